"""Bank money: receipts that arrived, and the orders they pay (R21, R21b)."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Sum
from django.utils.translation import gettext as _
from stdnum import iso11649

from accounts.models import User
from payments import cases
from payments.flows import after_paid
from payments.models import Allocation, Case, Receipt
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import settle
from renewals.models import Order
from renewals.references import creditor_reference

__all__ = ["Allocated", "allocate", "creditor_reference", "find_order", "record_and_match", "record_receipt"]


def find_order(remittance: str) -> Order | None:
    """The order a causale names, by a valid creditor reference or by the order number itself; None when unsure."""
    text = re.sub(r"[^0-9A-Z]", "", remittance.upper())
    found = {m for m in re.findall(r"(?=(RF\d\d[RSAD][2-9A-HJ-NP-Z]{6}))", text) if iso11649.is_valid(m)}
    numbers = {f"{m[4]}-{m[5:]}" for m in found}
    numbers |= {f"{a}-{b}" for a, b in re.findall(r"\b([RSAD])-([2-9A-HJ-NP-Z]{6})\b", remittance.upper())}
    orders = list(Order.objects.filter(number__in=numbers)[:2])
    return orders[0] if len(orders) == 1 else None


def record_receipt(
    *, bank_account: str, bank_reference: str, amount: Decimal, value_date: date, actor: User,
    currency: str = "EUR", payer: str = "", remittance: str = "",
) -> Receipt:  # fmt: skip
    """Record money that arrived at the bank. It pays nothing until it is allocated.

    Raises RefusedError: amount not above zero, value date in the future, the same bank reference a second time.
    """
    if amount <= 0:
        raise RefusedError(_("L'importo deve essere maggiore di zero."))
    if value_date > clock.today() + timedelta(days=5):
        raise RefusedError(_("La data valuta è troppo avanti nel tempo: controllala."))
    try:
        with transaction.atomic():
            return Receipt.objects.create(
                bank_account=bank_account.strip(),
                bank_reference=bank_reference.strip(),
                amount=amount,
                currency=currency,
                value_date=value_date,
                payer=payer.strip(),
                remittance=remittance.strip(),
                recorded_by=actor,
            )
    except IntegrityError as error:
        raise RefusedError(_("Questo accredito è già registrato: stesso conto e stesso riferimento.")) from error


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
        left = receipt.amount - _sum(Allocation.objects.filter(receipt=receipt))
        if left <= 0:
            raise RefusedError(_("Questo accredito è già attribuito per intero."))
        refusal = settle.refusal_to_pay(order, begun_on=receipt.value_date)
        if not refusal and receipt.currency != settings.CURRENCY:
            refusal = _("valuta diversa")
        if refusal:
            kind = Case.Kind.MONEY_TOO_LATE
            cases.open_case(kind, order=order, receipt=receipt, amount=left, detail=refusal)
            return Allocated(left=left, refusal=refusal)
        due = order.amount_due - _sum(Allocation.objects.filter(order=order))
        given = min(left, due)
        Allocation.objects.create(order=order, amount=given, receipt=receipt, made_by=actor)
        result = Allocated(given=given, missing=due - given, left=left - given)
        cases.close_matched(receipt=receipt, actor=actor, order=order)
        if result.paid:
            settle.mark_paid(order, why=_("bonifico registrato"), actor=actor)
            cases.close_short(order=order, actor=actor)
            transaction.on_commit(lambda: after_paid(order_id), robust=True)
        else:
            cases.open_case(
                Case.Kind.RECEIPT_SHORT, order=order, receipt=receipt, amount=result.missing,
                detail=_("mancano %(missing)s € all'ordine %(order)s") % {"missing": result.missing, "order": order},
            )  # fmt: skip
        if result.left > 0:
            cases.open_case(
                Case.Kind.RECEIPT_OVER, order=order, receipt=receipt, amount=result.left,
                detail=_("avanzano %(left)s € dopo l'ordine %(order)s") % {"left": result.left, "order": order},
            )  # fmt: skip
    return result


def record_and_match(*, actor: User, order: Order | None = None, **receipt: object) -> tuple[Receipt, Allocated | None]:
    """Record a receipt and allocate it to `order`, or to the one its causale names; without any, open a case."""
    recorded = record_receipt(actor=actor, **receipt)  # type: ignore[arg-type]
    target = order or find_order(recorded.remittance)
    if target is None:
        cases.open_case(
            Case.Kind.RECEIPT_UNMATCHED, receipt=recorded, amount=recorded.amount,
            detail=_("la causale non nomina un ordine"),
        )  # fmt: skip
        return recorded, None
    return recorded, allocate(receipt_id=recorded.pk, order_id=target.pk, actor=actor)


def _sum(allocations: QuerySet[Allocation]) -> Decimal:
    return allocations.aggregate(total=Sum("amount"))["total"] or Decimal(0)
