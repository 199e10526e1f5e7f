"""A public body's payment commitment: the order is fulfilled on its word, the money comes later (R26c)."""

import re
from datetime import date

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import FiscalIdentity, User
from payments import flows
from payments.invoicing import configuration
from payments.models import Commitment, Payment
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import il
from renewals import giving, settle
from renewals.models import BillingSnapshot, Kind, Order

# https://www.anticorruzione.it: ten characters; since 2024 they begin with a letter. https://www.programmazioneeconomica
# .gov.it: a CUP has fifteen, a letter, two digits of the year apart. Neither has a check digit that is published.
CIG = re.compile(r"[0-9A-Z]{10}", re.ASCII)
CUP = re.compile(r"[A-Z][0-9]{2}[A-Z][0-9]{11}|[0-9A-Z]{15}", re.ASCII)
NO_CIG = re.compile(r"0{10}|(.)\1{9}")


def check_cig(cig: str) -> str:
    """A CIG as it is kept, or "". Raises RefusedError."""
    code = re.sub(r"[\s.-]", "", cig).upper()
    if code and (not CIG.fullmatch(code) or NO_CIG.fullmatch(code)):
        raise RefusedError(_("Il CIG ha 10 caratteri, cifre e lettere: controllalo."))
    return code


def check_cup(cup: str) -> str:
    """A CUP as it is kept, or "". Raises RefusedError."""
    code = re.sub(r"[\s.-]", "", cup).upper()
    if code and not CUP.fullmatch(code):
        raise RefusedError(_("Il CUP ha 15 caratteri, cifre e lettere: controllalo."))
    return code


def refusal(order: Order) -> str:
    """Why no commitment can be registered for this order, or ""."""
    if not order.is_awaiting_payment:
        status = order.get_status_display().lower()
        return _("L'ordine è %(status)s: un impegno si registra solo mentre aspetta il pagamento.") % {"status": status}
    if order.kind == Kind.PURCHASE:
        return _("Un acquisto si attiva solo quando il pagamento è registrato: l'impegno non basta.")
    billing = BillingSnapshot.objects.filter(order=order).first()
    if billing is None or billing.subject != FiscalIdentity.Subject.PUBLIC_BODY:
        return _("L'ordine non è intestato a una pubblica amministrazione: senza il pagamento non si può evadere.")
    return ""


def register(
    *, order_id: int, reference: str, on: date, cig: str, cup: str, split_payment: bool, actor: User
) -> Commitment:
    """Register a commitment and fulfil its order at once: evaso, da incassare.

    A live attempt is closed at its provider first. All or nothing: where a line cannot be given, nothing is changed.
    Raises RefusedError (not a public body's order, not awaiting payment, a code that is wrong, money that arrived
    already, a line that cannot be given) and flows.UnknownPaymentError.
    """
    cig, cup, reference = check_cig(cig), check_cup(cup), " ".join(reference.split())
    if not 0 < len(reference) <= 60:
        raise RefusedError(_("Scrivi il numero o protocollo dell'impegno, al massimo 60 caratteri."))
    if on > clock.today():
        raise RefusedError(_("La data dell'impegno è nel futuro: controllala."))
    if split_payment and not configuration.split_payment_holds(clock.today()):
        raise RefusedError(_("La scissione dei pagamenti non è più in vigore: togli la spunta (SPLIT_PAYMENT_UNTIL)."))
    _check(Order.objects.get(pk=order_id))  # before an attempt is closed for nothing
    flows.close_live_attempt(order_id)
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner__billing", "billing").get(pk=order_id)
        _check(order)
        if Payment.objects.live().filter(order=order).exists():
            raise flows.UnknownPaymentError
        if order.allocations.exists():
            raise RefusedError(_("Per questo ordine è già arrivato del denaro: registra il resto, non l'impegno."))
        why = settle.refusal_to_pay(order, begun_on=min(on, clock.today()))
        if why:
            raise RefusedError(_("L'ordine non si può evadere: %(why)s.") % {"why": why})
        commitment = Commitment.objects.create(
            order=order, reference=reference, date=on, cig=cig, cup=cup, split_payment=split_payment,
            registered_by=actor,
        )  # fmt: skip
        facts = {"reference": reference, "day": il(on)}
        try:
            giving.fulfil_committed(
                order, why=_("impegno di pagamento %(reference)s, %(day)s") % facts, actor=actor,
                split_payment=split_payment,
            )  # fmt: skip
        except giving.CannotGiveError as error:
            raise RefusedError(_("L'ordine non si può evadere: %(why)s.") % {"why": error}) from error
        _check_body(order)  # as the data are now that they are fixed
        return commitment


def _check(order: Order) -> None:
    if why := refusal(order):
        raise RefusedError(why)


def _check_body(order: Order) -> None:
    if BillingSnapshot.objects.get(order=order).subject != FiscalIdentity.Subject.PUBLIC_BODY:
        raise RefusedError(
            _("I dati di fatturazione di oggi non sono più di una pubblica amministrazione: correggili, poi riprova.")
        )
