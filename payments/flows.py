"""The one road for on-line money (DESIGN §6): row first, network second, then one short transaction that records.

With refunds.py, through moves.py, the only writer of Payment.status. Lock order: order → receipt → payment → mailbox;
no network under a lock (R19).

Money moves only after `sent_at` is written, and `sent_at` is written only while nobody closes the attempt (`closing`):
so closing an attempt that was never sent is certain, and closing one that was sent asks what became of it.
"""

import logging
from collections.abc import Callable
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from payments import auto_renewal, cases, free_exit, methods, refunds, scheduled
from payments.models import Allocation, Case, Payment, PaymentEvent, StoredMethod
from payments.moves import move
from payments.providers import get_provider
from payments.providers.base import Outcome, ProviderTimeoutError, Result
from payments.refunds import MOST
from payments.timing import CHECK_AFTER, wait
from pecportal import clock, mail
from pecportal.errors import RefusedError
from pecportal.formats import euro, money
from renewals import giving, settle, undoing
from renewals.models import Order

log = logging.getLogger(__name__)


class UnknownPaymentError(RefusedError):
    """An attempt is in an unknown state: nothing new may start, nothing may be cancelled (R12b, R19)."""

    def __init__(self) -> None:
        super().__init__(
            _("Stiamo verificando il pagamento con la banca. Non pagare di nuovo: ti scriviamo appena è certo.")
        )


class NotPayableError(RefusedError):
    """The order does not wait for money any more."""


def missing(order: Order) -> Decimal:
    """What an order still lacks, EUR: the amount due less what bank money has given it already (§4 Receipt)."""
    return order.amount_due - refunds.total_of(Allocation.objects.filter(order=order))


def start(
    *,
    order_id: int,
    provider: str,
    user: User | None,
    auto_renewal_agreed: bool,
    consent_text_version: str = "",
    return_url: Callable[[Payment], str],
    cancel_url: str,
) -> str:
    """Begin an attempt and return where to send the customer.

    Closes an older live attempt at its provider first (R20). `user` is None when only the order number was given; then
    no automatic renewal can come of it (R23). Raises NotPayableError, UnknownPaymentError.
    """
    chosen = get_provider(provider)  # an unknown name leaves no row behind
    close_live_attempt(order_id)
    try:
        with transaction.atomic(durable=True):
            order = Order.objects.locked().get(pk=order_id)
            if not settle.is_payable(order, clock.today()):
                raise NotPayableError(_("Questo ordine non si può più pagare."))
            settle.set_method(order, provider)
            payment = Payment.objects.create(
                order=order,
                provider=provider,
                amount=missing(order),
                started_by=user,
                auto_renewal_agreed=auto_renewal_agreed and user is not None,
                consent_text_version=consent_text_version if auto_renewal_agreed else "",
                next_check_at=clock.now() + CHECK_AFTER[0],
            )
            PaymentEvent.objects.create(payment=payment, after=payment.status, why=_("avviato"))
    except IntegrityError as error:  # payment_one_live_per_order: another tab was quicker
        raise UnknownPaymentError from error
    try:
        started = chosen.start(payment, return_url=return_url(payment), cancel_url=cancel_url)
    except ProviderTimeoutError as error:
        record_outcome(payment.pk, Outcome(Result.UNKNOWN, reason=str(error)[:120]))
        raise UnknownPaymentError from error
    payment = record_outcome(payment.pk, Outcome(Result.PENDING, remote_id=started.remote_id))
    if not payment.is_live:
        # Closed by another tab before the provider knew of it: nobody is sent to pay there.
        _close_at_provider(payment)
        raise UnknownPaymentError
    return started.redirect_url


def close_live_attempt(order_id: int) -> None:
    """Close the live attempt of an order at its provider, if there is one, and record what it answers.

    Raises UnknownPaymentError when the provider cannot say. Afterwards the order may turn out to be paid.
    """
    live = Payment.objects.live().filter(order_id=order_id).first()
    if live is not None:
        _close_at_provider(live)


def _close_at_provider(payment: Payment) -> None:
    Payment.objects.live().filter(pk=payment.pk).update(closing=True)
    payment.refresh_from_db()
    try:
        outcome = get_provider(payment.provider).close(payment)
    except ProviderTimeoutError as error:
        record_outcome(payment.pk, Outcome(Result.UNKNOWN, reason=str(error)[:120]))
        raise UnknownPaymentError from error
    record_outcome(payment.pk, outcome)
    if outcome.result in (Result.UNKNOWN, Result.PENDING):
        raise UnknownPaymentError


def fetch_and_record(payment_id: int) -> Payment:
    """Ask the provider about an attempt and record the answer: what return page, webhook and sync all do (R18)."""
    payment = Payment.objects.get(pk=payment_id)
    try:
        outcome = get_provider(payment.provider).fetch(payment)
        if outcome.ready and payment.is_live:
            outcome = _complete(payment)
    except ProviderTimeoutError as error:
        outcome = Outcome(Result.UNKNOWN, reason=str(error)[:120])
    return record_outcome(payment_id, outcome)


def claim(payment_id: int) -> bool:
    """Take the right to move the money of a live attempt: once, while its order waits and nobody closes it."""
    free = Payment.objects.live().filter(
        pk=payment_id, closing=False, sent_at=None, order__status=Order.Status.AWAITING_PAYMENT
    )
    return bool(free.update(sent_at=clock.now()))


def _complete(payment: Payment) -> Outcome:
    """The customer agreed at the provider: take the money, unless the attempt is being closed. Repeatable."""
    claim(payment.pk)
    payment.refresh_from_db()
    if payment.sent_at is None:
        return Outcome(Result.CANCELLED, reason=_("chiuso prima che il denaro si muovesse"))
    return get_provider(payment.provider).complete(payment)


def charge(*, order_id: int, method: StoredMethod) -> Payment:
    """Charge an order to a saved method, nobody being there (R24); returns the attempt with its outcome.

    Raises NotPayableError, UnknownPaymentError when another attempt is under way.
    """
    chosen = get_provider(method.provider)
    try:
        with transaction.atomic(durable=True):
            order = Order.objects.locked().get(pk=order_id)
            if not settle.is_payable(order, clock.today()):
                raise NotPayableError(_("Questo ordine non si può più pagare."))
            if not scheduled.begin(order, today=clock.today()):
                raise NotPayableError(_("Questo addebito non va più fatto."))
            settle.set_method(order, method.provider)
            now = clock.now()
            payment = Payment.objects.create(
                order=order, provider=method.provider, amount=missing(order), method=method, sent_at=now,
                next_check_at=now + CHECK_AFTER[0],
            )  # fmt: skip
            PaymentEvent.objects.create(payment=payment, after=payment.status, why=_("rinnovo automatico"))
    except IntegrityError as error:  # payment_one_live_per_order
        raise UnknownPaymentError from error
    try:
        outcome = chosen.charge(payment, method)
    except ProviderTimeoutError as error:
        outcome = Outcome(Result.UNKNOWN, reason=str(error)[:120])
    return record_outcome(payment.pk, outcome)


def record_outcome(payment_id: int, outcome: Outcome) -> Payment:
    """Record what a provider said of an attempt, once: the same news twice changes nothing. Returns it as it stands.

    Registered money pays its order, or becomes a case when amount or currency differ or the order does not wait for it
    (R21). After the commit the order is fulfilled; what fails there is picked up by the sweep.
    """
    order_id = Payment.objects.values_list("order_id", flat=True).get(pk=payment_id)
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        payment = Payment.objects.locked().select_related("started_by").get(pk=payment_id)
        given_up = payment.status in (Payment.Status.FAILED, Payment.Status.CANCELLED)
        # Told to wait: the outcome was unknown, or money was asked for and its answer took long.
        was_unsure = payment.status == Payment.Status.UNKNOWN or bool(payment.sent_at and payment.checks)
        changed = _write(payment, outcome)
        if outcome.refunded and payment.status in (Payment.Status.REGISTERED, Payment.Status.REFUNDED):
            refunds.note_outside(payment, outcome.refunded)
        if not changed:
            _switch_on_late(order, payment, outcome)
            return payment
        over = payment.status in (Payment.Status.FAILED, Payment.Status.CANCELLED)
        if over and payment.is_automatic:
            scheduled.attempt_over(order, payment, today=clock.today())
        elif over and was_unsure:
            _tell_failed(order)
        if payment.status != Payment.Status.REGISTERED:
            return payment
        due = missing(order)
        if _pays(order, payment, outcome, given_up=given_up, due=due):
            Allocation.objects.create(order=order, amount=due, payment=payment)
            settle.mark_paid(order, why=_("pagamento registrato"))
            cases.close_short(order=order, actor=None, resolution=_("saldato"))
            _switch_on(order, payment, outcome)
            scheduled.order_moved(order)
            transaction.on_commit(lambda: after_paid(order_id), robust=True)
        elif payment.is_automatic:
            scheduled.attempt_over(order, payment, today=clock.today())
    return payment


def _switch_on(order: Order, payment: Payment, outcome: Outcome) -> None:
    """Automatic renewal, if agreed to (R23). What goes wrong with it never undoes the registered money."""
    if outcome.saved is None or payment.started_by is None or not payment.auto_renewal_agreed:
        return
    try:
        with transaction.atomic():
            auto_renewal.after_payment(order=order, payment=payment, saved=outcome.saved)
    except Exception:
        log.exception("automatic renewal could not be switched on by payment %s", payment.pk)


def _switch_on_late(order: Order, payment: Payment, outcome: Outcome) -> None:
    """The provider kept the method only after the money was registered (PayPal): what was agreed to holds still (R23).

    Once: `payment.method` is written with it. Not where the money pays nothing, or the order was taken back.
    """
    if payment.status != Payment.Status.REGISTERED or payment.method_id is not None or outcome.saved is None:
        return
    paid = order.status in (Order.Status.PAID, Order.Status.ATTENTION, Order.Status.FULFILLED)
    if paid and payment.allocations.filter(order=order).exists():
        _switch_on(order, payment, outcome)


def _tell_failed(order: Order) -> None:
    """Who was told "stiamo verificando, ti scriviamo" and saw no outcome since: it did not go through (R19)."""
    mail.send(
        "payment_failed", to=[order.email, order.owner.email], context={"order": order, **settle.subject_of(order)}
    )


def _write(payment: Payment, outcome: Outcome) -> bool:
    """Write the new status and its event; False when nothing changed or the move is not allowed (R22)."""
    payment.remote_id = payment.remote_id or outcome.remote_id
    to = {
        Result.PENDING: Payment.Status.PENDING,
        Result.REGISTERED: Payment.Status.REGISTERED,
        Result.FAILED: Payment.Status.FAILED,
        Result.CANCELLED: Payment.Status.CANCELLED,
        Result.UNKNOWN: Payment.Status.UNKNOWN,
        Result.REFUNDED: Payment.Status.REFUNDED,
    }[outcome.result]
    before = payment.status
    payment.charge_id = payment.charge_id or outcome.charge_id
    # Leaving `refunded` is for payments.refunds alone: a provider goes on calling refunded money registered.
    if to == before or to not in Payment.MOVES[before] or before == Payment.Status.REFUNDED:
        if to != before:
            log.info("payment %s: late news %s ignored in state %s", payment.pk, to, before)
        _plan_next_check(payment, live=payment.is_live)
        payment.save(update_fields=["remote_id", "charge_id", "next_check_at", "checks"])
        return False
    payment.reason, payment.decline = outcome.reason[:120], outcome.decline
    if to == Payment.Status.REGISTERED:
        payment.registered_at = clock.now()
        amount = payment.amount if outcome.amount is None else outcome.amount
        if (outcome.currency or payment.currency) == settings.CURRENCY and 0 < amount <= MOST:
            payment.received = amount
    _plan_next_check(payment, live=to in Payment.LIVE)
    told = ("reason", "decline", "remote_id", "charge_id", "registered_at", "received", "next_check_at", "checks")
    move(payment, to, why=outcome.reason, also=told)
    return True


def _plan_next_check(payment: Payment, *, live: bool) -> None:
    if not live:
        payment.next_check_at = None
    elif payment.next_check_at is None or payment.next_check_at <= clock.now():
        payment.next_check_at = clock.now() + wait(payment.checks)


def _pays(order: Order, payment: Payment, outcome: Outcome, *, given_up: bool, due: Decimal) -> bool:
    """Whether registered money pays the order, of which `due` is missing; if not, the case is opened here.

    Money for an attempt that had been given up never settles the order by itself (§4): another may be under way.
    More than is missing (bank money came while the customer was paying) pays it, and the rest is a case.
    """
    amount = payment.amount if outcome.amount is None else outcome.amount
    currency = outcome.currency or payment.currency
    # What an order that is settled already still lacks says nothing: its money is refused below, not here.
    short = order.is_awaiting_payment and amount < due
    if amount != payment.amount or currency != payment.currency or short:
        arrived = money(amount, currency)
        cases.open_case(
            Case.Kind.MONEY_MISMATCH, order=order, payment=payment, amount=amount if amount <= MOST else None,
            currency=currency,
            detail=_("arrivati %(arrived)s, dovuti %(due)s") % {"arrived": arrived, "due": euro(due)},
        )  # fmt: skip
        return False
    refusal = settle.refusal_to_pay(order, begun_on=clock.rome_date(payment.created_at))
    if given_up:
        refusal = _("il pagamento risultava già chiuso")
    if refusal:
        cases.open_case(Case.Kind.MONEY_TOO_LATE, order=order, payment=payment, amount=amount, detail=refusal)
    elif amount > due:
        cases.open_case(
            Case.Kind.RECEIPT_OVER, order=order, payment=payment, amount=amount - due,
            detail=_("avanzano %(left)s dopo l'ordine %(order)s") % {"left": euro(amount - due), "order": order},
        )  # fmt: skip
    return not refusal


def after_paid(order_id: int) -> None:
    """What follows a registered payment: fulfilment, and a case for what cannot be given. Repeatable."""
    giving.fulfil(
        order_id, on_attention=cases.open_for_attention, on_activating=nudge_activation,
        also_told=free_exit.facts_for_mail,
    )  # fmt: skip


def nudge_activation() -> None:
    """Ask the worker to activate what was bought; if nobody hears it, beat does it within a minute."""
    from payments.tasks import activate_due

    activate_due.delay()


def cancel_order(*, order_id: int, actor: User, despite_transfer: bool = False, why: str = "") -> None:
    """Annulla (R12b): close a live attempt at the provider first; money that was captured makes the order paid instead.

    `why` is what staff decided; empty when the customer does it. Raises UnknownPaymentError, NotPayableError (paid
    meanwhile, or closed already), RefusedError when a transfer was declared and it was not confirmed once more.
    """
    close_live_attempt(order_id)
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        if not order.is_awaiting_payment:
            paid = order.paid_at is not None
            raise NotPayableError(
                _("L'ordine risulta pagato e non si può più annullare.") if paid else _("L'ordine è già chiuso.")
            )
        if Payment.objects.live().filter(order=order).exists():
            raise UnknownPaymentError
        if order.transfer_declared_on and not despite_transfer:
            raise RefusedError(_("Hai dichiarato di aver pagato: conferma che vuoi annullare lo stesso."))
        released = cases.release_money(order=order)
        reasons = [why or _("annullato dal cliente"), *released]
        undoing.cancel(order, why="; ".join(reasons)[:200], actor=actor)
        scheduled.order_moved(order)


def choose_transfer(order_id: int, *, method: str = "transfer") -> None:
    """The customer will pay by bank transfer, or by postal slip: close what is live, remember the method.

    Raises as `start` does.
    """
    close_live_attempt(order_id)
    with transaction.atomic(durable=True):
        order = Order.objects.locked().get(pk=order_id)
        today = clock.today()
        if not settle.is_payable(order, today):
            raise NotPayableError(_("Questo ordine non si può più pagare."))
        if refusal := methods.refusal_of(order, method, today=today):
            raise RefusedError(refusal)  # R29: it could arrive after the deletion
        settle.set_method(order, method)


def declare_transfer(*, order_id: int, actor: User) -> None:
    """Ho fatto il bonifico: the order will not lapse, and Annulla asks twice (R12b)."""
    with transaction.atomic(durable=True):
        order = Order.objects.locked().get(pk=order_id)
        if not settle.is_payable(order, clock.today()):
            raise NotPayableError(_("Questo ordine non aspetta un pagamento."))
        settle.declare_transfer(order, today=clock.today(), actor=actor)
