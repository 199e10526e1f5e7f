"""Bank money: receipts that arrived, and the orders they pay (R21, R21b)."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from stdnum import iso11649

from accounts.models import User
from payments import cases, refunds
from payments.flows import MOST, after_paid, missing
from payments.models import Allocation, Case, Receipt
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import euro
from renewals import settle
from renewals.models import Order
from renewals.references import creditor_reference

__all__ = ["Allocated", "allocate", "creditor_reference", "find_order", "record_and_match", "record_receipt"]

OLDEST_VALUE_DATE = timedelta(days=366)


def find_order(remittance: str) -> Order | None:
    """The order a causale names, by a valid creditor reference or by the order number itself; None when unsure."""
    text = re.sub(r"[^0-9A-Z]", "", remittance.upper())
    found = {m for m in re.findall(r"(?=(RF\d\d[RSAD][2-9A-HJ-NP-Z]{6}))", text) if iso11649.is_valid(m)}
    numbers = {f"{m[4]}-{m[5:]}" for m in found}
    numbers |= {f"{a}-{b}" for a, b in re.findall(r"\b([RSAD])-([2-9A-HJ-NP-Z]{6})\b", remittance.upper())}
    orders = list(Order.objects.filter(number__in=numbers)[:2])
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


@dataclass(frozen=True)
class Allocated:
    """What an allocation did: how much it gave, what the order still misses, what is left, or why it was refused."""

    given: Decimal = Decimal(0)
    missing: Decimal = Decimal(0)
    left: Decimal = Decimal(0)
    refusal: str = ""

    @property
    def paid(self) -> bool:
        return not self.refusal and self.missing == 0


def allocate(*, receipt_id: int, order_id: int, actor: User) -> Allocated:
    """Give an order what it still lacks out of a receipt (§4 Receipt).

    Equal: the order is paid. Too much: it is paid, the rest is a case. Too little: it waits, a case. Money that cannot
    pay this order (cancelled, paid already, box gone, value date after the last renewable day) is a case, nothing is
    allocated. Raises RefusedError when nothing is left of the receipt.
    """
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        receipt = Receipt.objects.select_for_update(no_key=True, of=("self",)).get(pk=receipt_id)
        return _allocate(order, receipt, actor)


def _allocate(order: Order, receipt: Receipt, actor: User) -> Allocated:
    """Both rows locked. Whatever was open about this receipt is closed, and one case says what is left of it now."""
    left = refunds.unapplied(receipt)
    if left <= 0:
        raise RefusedError(_("Questo accredito è già attribuito per intero."))
    if Allocation.objects.filter(receipt=receipt).exclude(order__owner=order.owner_id).exists():
        raise RefusedError(
            _("Una parte di questo accredito ha pagato un ordine di un altro account: il resto si può solo restituire.")
        )
    # The value date decides only for money that is registered after the last day (R21b).
    refusal = settle.refusal_to_pay(order, begun_on=min(receipt.value_date, clock.today()))
    if not refusal and receipt.currency != settings.CURRENCY:
        refusal = _("valuta diversa")
    if refusal:
        cases.settle_receipt(
            receipt=receipt, actor=actor,
            resolution=_("non ha pagato l'ordine %(order)s: %(why)s") % {"order": order, "why": refusal},
        )  # fmt: skip
        cases.open_case(Case.Kind.MONEY_TOO_LATE, order=order, receipt=receipt, amount=left, detail=refusal)
        return Allocated(left=left, refusal=refusal)
    due = missing(order)
    given = min(left, due)
    Allocation.objects.create(order=order, amount=given, receipt=receipt, made_by=actor)
    result = Allocated(given=given, missing=due - given, left=left - given)
    told = _("attribuiti %(given)s all'ordine %(order)s") % {"given": euro(given), "order": order}
    cases.settle_receipt(receipt=receipt, actor=actor, resolution=told)
    if result.paid:
        settle.mark_paid(order, why=_("bonifico registrato"), actor=actor)
        cases.close_short(order=order, actor=actor, resolution=_("saldato"))
        order_id = order.pk
        transaction.on_commit(lambda: after_paid(order_id), robust=True)
    else:
        cases.close_short(order=order, actor=actor, resolution=told)
        cases.open_case(
            Case.Kind.RECEIPT_SHORT, order=order, receipt=receipt, amount=result.missing,
            detail=_("mancano %(missing)s all'ordine %(order)s") % {"missing": euro(result.missing), "order": order},
        )  # fmt: skip
    if result.left > 0:
        cases.open_case(
            Case.Kind.RECEIPT_OVER, order=order, receipt=receipt, amount=result.left,
            detail=_("avanzano %(left)s dopo l'ordine %(order)s") % {"left": euro(result.left), "order": order},
        )  # fmt: skip
    return result


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
