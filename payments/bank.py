"""Bank money: receipts that arrived, and the orders they pay (R21, R21b)."""

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from payments import cases, refunds, scheduled
from payments.allotment import Allocated, Standing, cases_of, decide
from payments.models import Allocation, Case, Payment, Receipt
from payments.recording import after_paid, missing
from payments.refunds import MOST
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import euro
from renewals import settle
from renewals.models import Order, targets_of
from renewals.references import creditor_reference, numbers_in

__all__ = ["Allocated", "allocate", "creditor_reference", "find_order", "record_and_match", "record_receipt"]

OLDEST_VALUE_DATE = timedelta(days=366)


def find_order(remittance: str) -> Order | None:
    """The order a causale names, by a valid creditor reference or by the order number itself; None when unsure."""
    orders = list(Order.objects.filter(number__in=numbers_in(remittance))[:2])
    return orders[0] if len(orders) == 1 else None


def record_receipt(*, actor: User, **facts: Any) -> Receipt:
    """Record money that arrived at the bank, paying nothing yet: an open case until it is allocated (R21).

    `facts`: bank_account, bank_reference, amount, value_date and, if known, currency, payer, remittance. Raises
    RefusedError: not an amount in cents above zero, dates that cannot be, the same bank reference a second time.
    """
    with transaction.atomic(durable=True):
        receipt = _insert(actor=actor, **facts)
        _open_unmatched(receipt)
    return receipt


def _insert(
    *, bank_account: str, bank_reference: str, amount: Decimal, value_date: date, actor: User,
    currency: str = "EUR", payer: str = "", remittance: str = "",
) -> Receipt:  # fmt: skip
    _check_amount(amount)
    if value_date > clock.today() + timedelta(days=5):
        raise RefusedError(_("La data valuta è troppo avanti nel tempo: controllala."))
    if value_date < clock.today() - OLDEST_VALUE_DATE:
        raise RefusedError(_("La data valuta è di più di un anno fa: controllala."))
    # One movement of the bank is one row, however it was typed.
    account, reference = "".join(bank_account.upper().split()), " ".join(bank_reference.upper().split())
    if not 0 < len(account) <= 34:
        raise RefusedError(_("Controlla il conto: è un IBAN, al massimo 34 caratteri."))
    if not 0 < len(reference) <= 60:
        raise RefusedError(_("Controlla il riferimento della banca: da 1 a 60 caratteri."))
    if not re.fullmatch(r"[A-Z]{3}", currency.upper()):
        raise RefusedError(_("Scrivi la valuta con tre lettere, come EUR."))
    try:
        with transaction.atomic():
            return Receipt.objects.create(
                bank_account=account,
                bank_reference=reference,
                amount=amount,
                currency=currency.upper(),
                value_date=value_date,
                payer=_cut(payer, 140),
                remittance=_cut(remittance, 200),
                recorded_by=actor,
            )
    except IntegrityError as error:
        raise RefusedError(_("Questo accredito è già registrato: stesso conto e stesso riferimento.")) from error


def _check_amount(amount: Decimal) -> None:
    if not amount.is_finite() or (abs(amount) < MOST and amount != amount.quantize(Decimal("0.01"))):
        raise RefusedError(_("Scrivi l'importo in euro, con al massimo due decimali."))
    if amount <= 0:
        raise RefusedError(_("L'importo deve essere maggiore di zero."))
    if amount > MOST:
        raise RefusedError(_("L'importo è troppo grande: controlla le cifre."))


def _cut(text: str, most: int) -> str:
    """What a bank wrote, as far as it fits; the database takes no NUL."""
    return text.replace("\x00", "").strip()[:most]


def allocate(*, receipt_id: int, order_id: int, actor: User) -> Allocated:
    """Give an order what it still lacks out of a receipt (§4 Receipt).

    Equal: the order is paid. Too much: it is paid, the rest is a case. Too little: it waits, a case. Money that cannot
    pay this order (cancelled, paid already, box gone, value date after the last renewable day) is a case, nothing is
    allocated. Raises RefusedError when nothing is left of the receipt, or it belongs to another account.
    """
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        return _allocate(order, refunds.lock_receipt(receipt_id), actor)


def allocate_payment(*, payment_id: int, order_id: int, actor: User) -> Allocated:
    """The same with on-line money that pays nothing yet: only an order of the account that paid it (R21)."""
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        payment = Payment.objects.locked().select_related("order").get(pk=payment_id)
        if payment.order.owner_id != order.owner_id:
            raise RefusedError(_("L'ordine è di un altro account: questo denaro si può solo restituire."))
        if payment.received is None:
            raise RefusedError(_("Non è in euro o non è registrato: si può solo restituire presso il gestore."))
        if Allocation.objects.filter(payment=payment, order=order).exists():
            raise RefusedError(_("Questo pagamento ha già pagato questo ordine: il resto si può restituire."))
        return _allocate(order, payment, actor)


def _allocate(order: Order, source: Receipt | Payment, actor: User) -> Allocated:
    """Both rows locked. Whatever was open about this money is closed, and one case says what is left of it now."""
    is_bank = isinstance(source, Receipt)
    of: dict[str, Any] = {"receipt": source} if is_bank else {"payment": source}
    left = refunds.unapplied(source)
    if left <= 0:
        if source.refunds.counted().filter(order=None).exists():
            raise RefusedError(_("Quello che avanzava di questo denaro è già restituito per intero."))
        raise RefusedError(
            _("Questo accredito è già attribuito per intero.") if is_bank
            else _("Questo pagamento è già attribuito per intero.")
        )  # fmt: skip
    if Allocation.objects.filter(**of).exclude(order__owner=order.owner_id).exists():
        raise RefusedError(
            _("Una parte di questo accredito ha pagato un ordine di un altro account: il resto si può solo restituire.")
        )
    begun = source.value_date if isinstance(source, Receipt) else clock.rome_date(source.created_at)
    standing = Standing(order, targets_of(order.lines.select_related("mailbox", "domain")), missing(order))
    result = decide(standing, left=left, value_date=begun, currency=source.currency, today=clock.today())
    told = _("attribuiti %(given)s all'ordine %(order)s") % {"given": euro(result.given), "order": order}
    if result.refusal:
        told = _("non ha pagato l'ordine %(order)s: %(why)s") % {"order": order, "why": result.refusal}
    cases.settle_source(source=source, actor=actor, resolution=told)
    if result.given:
        Allocation.objects.create(order=order, amount=result.given, made_by=actor, **of)
        cases.close_short(order=order, actor=actor, resolution=_("saldato") if result.paid else told)
    if result.paid:
        _paid(order, actor, why=_("bonifico registrato") if is_bank else _("pagamento attribuito"))
    for facts in cases_of(result, order):
        cases.open_case(order=order, **of, **facts)
    return result


def _paid(order: Order, actor: User, *, why: str) -> None:
    """Its money is complete: paid, or collected where it was fulfilled on a promise (R26c)."""
    if order.awaits_collection:
        settle.mark_collected(order, why=_("impegno incassato"), actor=actor)
        return
    settle.mark_paid(order, why=why, actor=actor)
    scheduled.order_moved(order)
    order_id = order.pk
    transaction.on_commit(lambda: after_paid(order_id), robust=True)


def record_and_match(*, actor: User, order: Order | None = None, **facts: Any) -> tuple[Receipt, Allocated | None]:
    """Record a receipt and allocate it to `order`, or to the one its causale names; without any, open a case.

    One transaction: a receipt is never there without what it paid or a case. `facts` and refusals as record_receipt.
    """
    target = order or find_order(str(facts.get("remittance", "")))
    if target is None:
        return record_receipt(actor=actor, **facts), None
    with transaction.atomic(durable=True):
        locked = Order.objects.locked().select_related("owner").get(pk=target.pk)
        receipt = _insert(actor=actor, **facts)
        return receipt, _allocate(locked, receipt, actor)


def _open_unmatched(receipt: Receipt) -> None:
    cases.open_case(
        Case.Kind.RECEIPT_UNMATCHED, receipt=receipt, amount=receipt.amount, detail=_("la causale non nomina un ordine")
    )
