"""The invoice of an order: what it froze, what it gave, how it was paid (R8, R26)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import accumulate

from django.db.models import Prefetch, prefetch_related_objects

from accounts.models import InvoiceAddressee
from payments.giving_back import gross_of
from payments.invoicing.document import HUNDRED, Document, Kind, Line, Means, Paid, Purchase, Seller, buyer_of
from payments.models import Allocation, Commitment
from payments.transfer import BY_BANK, POSTAL
from pecportal import clock
from renewals import pricing
from renewals.models import Kind as OrderKind
from renewals.models import Order, OrderLine

PUBLIC_BODY_DAYS = 30  # art. 4 D.Lgs. 231/2002: within thirty days of the invoice
NOT_GIVEN = (OrderLine.Status.REFUNDED, OrderLine.Status.CLOSED)
LONGEST_REFERENCE = 20  # IdDocumento
# All that an invoice is made of: four queries, for one order or for a thousand given to prefetch_related_objects.
FACTS = (
    Prefetch("lines", OrderLine.objects.select_related("mailbox__address", "domain", "address", "plan", "period")),
    Prefetch("allocations", Allocation.objects.select_related("receipt").order_by("id")),
    "billing",
    "commitment",
)


class NotInvoiceableError(Exception):
    """The order has nothing to invoice, or not yet; the message is for the log."""


class NothingLeftError(NotInvoiceableError):
    """All that was paid for has gone back before it was given."""


def operation_day(order: Order) -> date:
    """The day of the operation for VAT (art. 6 DPR 633/1972): when the money came; of a commitment its fulfilment."""
    moment = order.paid_at or order.fulfilled_at
    if moment is None:
        raise NotInvoiceableError(f"order {order.number} is {order.status}")
    return clock.rome_date(moment)


def of_order(order: Order, *, seller: Seller, number: str, issued_on: date, progressive: str) -> Document:
    """The invoice (TD01) of an order that was paid, or fulfilled on a public body's commitment.

    Of the lines, those that were refunded before they were given are left out, and with them what went back. Raises
    NotInvoiceableError: not paid, a line still to be decided, nothing given, no billing data.
    """
    if order.status not in (Order.Status.PAID, Order.Status.FULFILLED, Order.Status.REVERSED):
        raise NotInvoiceableError(f"order {order.number} is {order.status}")
    return draft(order, seller=seller, number=number, issued_on=issued_on, progressive=progressive)


def draft(
    order: Order, *, seller: Seller, number: str, issued_on: date, progressive: str,
    billing: InvoiceAddressee | None = None,
) -> Document:  # fmt: skip
    """As of_order, of an order in any state. `billing`: to whom, where that is not as the order has it."""
    prefetch_related_objects([order], *FACTS)
    billing = billing or getattr(order, "billing", None)
    if billing is None:
        raise NotInvoiceableError(f"order {order.number} has no billing data")
    lines = [line for line in order.lines.all() if line.status not in NOT_GIVEN]
    if not lines:
        raise NothingLeftError(f"order {order.number} gave nothing")
    commitment: Commitment | None = getattr(order, "commitment", None)
    split = commitment is not None and commitment.split_payment
    sums = _sums(order)
    due = sums.taxable if split else sums.taxable + sums.vat
    reference, reason = reference_of(order)
    return Document(
        kind=Kind.INVOICE, number=number, issued_on=issued_on, progressive=progressive, seller=seller,
        buyer=buyer_of(billing), lines=_lines(order, lines, sums.taxable), vat_rate=order.vat_rate * HUNDRED,
        taxable=sums.taxable, vat=sums.vat, reason=reason, split_payment=split,
        payments=_payments(order, due, issued_on, committed=commitment is not None), purchase=reference,
    )  # fmt: skip


@dataclass(frozen=True)
class _Sums:
    taxable: Decimal
    vat: Decimal


def _sums(order: Order) -> _Sums:
    """Those of the order; where a line went back before it was given, of what is left of the total (R26)."""
    refunded = [line for line in order.lines.all() if line.status == OrderLine.Status.REFUNDED]
    if not refunded:
        return _Sums(order.taxable, order.vat)
    for line in refunded:
        line.order = order
    left = pricing.resplit(order.total - sum((gross_of(line) for line in refunded), Decimal(0)), order.vat_rate)
    return _Sums(left.taxable, left.vat)


def shares(nets: Sequence[Decimal], whole: Decimal) -> list[Decimal]:
    """`whole` EUR by the proportions of `nets`, in cents that add up to it; `nets` themselves where they do."""
    total, last, found = sum(nets, Decimal(0)), Decimal(0), []
    for running in accumulate(nets):
        upto = (whole * running / total).quantize(pricing.CENT, ROUND_HALF_UP)
        found.append(upto - last)
        last = upto
    return found


def _lines(order: Order, lines: list[OrderLine], taxable: Decimal) -> tuple[Line, ...]:
    """A line each. Where VAT changed before the registration the nets are not the confirmed ones any more (§4)."""
    own = next((line.period for line in lines if line.domain_id and line.period), None)
    found = []
    for line, net in zip(lines, shares([line.net for line in lines], taxable), strict=True):
        period = own if line.follows_domain else line.period
        starts, ends = (period.starts, period.ends) if period else (None, None)
        if line.kind == OrderKind.SPACE and order.fulfilled_at and line.old_expiry:
            starts, ends = min(clock.rome_date(order.fulfilled_at), line.old_expiry), line.old_expiry
        found.append(Line(describe(line, order.years), net, starts, ends))
    return tuple(found)


def describe(line: OrderLine, years: int | None) -> str:
    """What a line is, in Italian whatever the language of the screen: an invoice is read by the bookkeeper."""
    term = f"per {years} {'anno' if years == 1 else 'anni'}"
    if line.domain is not None:
        return f"Rinnovo {term} del dominio {line.domain.name}"
    name = line.mailbox.address.name if line.mailbox else line.address.name if line.address else ""
    if line.kind == OrderKind.SPACE:
        more = [f"{n} GB di {where}" for n, where in _billed(line) if n]
        return f"Spazio aggiuntivo per la casella PEC {name}: {' e '.join(more)}"
    if line.follows_domain:
        return f"Rinnovo {term} della casella PEC su dominio {name}"
    what = "Acquisto" if line.kind == OrderKind.PURCHASE else "Rinnovo"
    more = [f"{n} GB in più di {where}" for n, where in _billed(line) if n]
    plan = f", tipologia {line.plan.name}" if line.plan else ""
    return f"{what} {term} della casella PEC {name}{plan}" + (f", con {' e '.join(more)}" if more else "")


def _billed(line: OrderLine) -> tuple[tuple[int, str], ...]:
    return (line.billed_mailbox_gb, "casella"), (line.billed_archive_gb, "archivio")


def _payments(order: Order, due: Decimal, issued_on: date, *, committed: bool) -> tuple[Paid, ...]:
    """The money that came, up to what is due; the rest as it is to come."""
    moment = order.collected_at or order.paid_at
    paid_on, found, left = clock.rome_date(moment) if moment else issued_on, [], due
    for allocation in order.allocations.all():
        means = _bank(order) if allocation.receipt_id else Means.CARD
        day = allocation.receipt.value_date if allocation.receipt else paid_on
        amount = min(allocation.amount, left)
        if amount > 0:
            found.append(Paid(means, amount, paid_on=day))
            left -= amount
    if left > 0:
        due_on = issued_on + timedelta(days=PUBLIC_BODY_DAYS) if committed else order.lapses_on
        means = _bank(order) if committed or order.method in (*BY_BANK, "") else Means.CARD
        found.append(Paid(means, left, due_on=due_on))
    return tuple(found)


def _bank(order: Order) -> Means:
    return Means.POSTAL if order.method == POSTAL else Means.TRANSFER


def reference_of(order: Order) -> tuple[Purchase | None, str]:
    """The body's reference, and the causale. What does not fit IdDocumento is told in the causale alone."""
    commitment: Commitment | None = getattr(order, "commitment", None)
    said = f"Ordine {order.number} del {clock.rome_date(order.confirmed_at):%d/%m/%Y}"
    if commitment is None:
        return None, said
    said += f", impegno di pagamento {commitment.reference} del {commitment.date:%d/%m/%Y}"
    fits = len(commitment.reference) <= LONGEST_REFERENCE and commitment.reference.isascii()
    number, on = (commitment.reference, commitment.date) if fits else (order.number, None)
    return Purchase(number, on, commitment.cig, commitment.cup), said
