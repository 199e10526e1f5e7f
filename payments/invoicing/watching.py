"""What is wrong with invoices, for the alarms and the nightly reconciliation: queries, and nothing else."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from payments.invoicing import numbering, sending, sweeps
from payments.models import Invoice, InvoiceCounter, InvoiceEvent, Refund, SdiReceipt
from renewals.models import Order

NEAR = timedelta(days=2)  # before the last day at SdI
DECIDED_BY = timedelta(days=10)  # an order that staff must decide, after its money: then two days are left
WAITS_TOO_LONG = timedelta(hours=1)
INVOICED_WITHIN = timedelta(days=1)  # of what was given
UNSEEN = timedelta(hours=4)  # a receipt that nobody understood


def near_the_end(today: date) -> QuerySet[Invoice]:
    """What SdI has not got, and must have within two days, or should have had; the most urgent first."""
    return Invoice.objects.to_send().filter(due_on__lte=today + NEAR).order_by("due_on", "id")


def undecided(now: datetime) -> QuerySet[Order]:
    """Orders with money that staff have not decided ten days after it came: nobody can invoice them."""
    if settings.INVOICES_FROM is None:
        return Order.objects.none()
    return Order.objects.filter(status=Order.Status.ATTENTION, paid_at__lte=now - DECIDED_BY).order_by("paid_at")


def stuck_on_the_way(now: datetime) -> QuerySet[Invoice]:
    """Files that may have gone, that are ready and have not gone for an hour, that SdI does not answer for days."""
    since = now - WAITS_TOO_LONG
    ready = InvoiceEvent.objects.filter(invoice=OuterRef("pk"), after=Invoice.State.READY, at__lt=since)
    waiting = Q(Exists(ready), state=Invoice.State.READY)
    return Invoice.objects.filter(Q(state=Invoice.State.UNKNOWN) | waiting | sending.unanswered(now))


def not_understood(now: datetime) -> QuerySet[SdiReceipt]:
    return SdiReceipt.objects.filter(understood=False, seen_at=None, received_at__lt=now - UNSEEN)


def without_invoice(now: datetime) -> QuerySet[Order]:
    """Orders that should have an invoice, or a reason to wait for one, and have none."""
    given = Q(fulfilled_at__lt=now - INVOICED_WITHIN) | Q(fulfilled_at=None)
    return sweeps.orders_to_invoice().filter(given) | undecided(now)


def without_note(now: datetime) -> Iterator[Refund]:
    """Refunds done a day ago of an invoice that SdI has, for which something is still to be credited."""
    from payments.invoicing import notes

    for refund in sweeps.refunds_to_credit().filter(done_at__lt=now - INVOICED_WITHIN).select_related("order"):
        invoice = notes.invoice_of(refund.order_id) if refund.order_id else None
        if invoice is not None and notes.owed(invoice) > 0:
            yield refund


def missing_numbers() -> Iterator[tuple[InvoiceCounter, list[int]]]:
    """Series and years in which numbers were taken that no invoice has."""
    for counter in InvoiceCounter.objects.exclude(series=InvoiceCounter.FILES):
        if gone := numbering.gaps(counter.series, counter.year):
            yield counter, gone
