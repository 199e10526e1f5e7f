"""What beat repeats until it is done: invoices to make, credit notes, files to write and sign, documents that wait."""

import logging
import random
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from datetime import time as time_of_day

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from payments.invoicing import issue, notes, signing, waiting
from payments.models import Invoice, Refund
from pecportal import clock
from renewals.models import Order

log = logging.getLogger(__name__)
LATELY = timedelta(days=2)  # what the minute's sweep looks at; the other looks at everything
LIVE_INVOICE = Invoice.objects.live().filter(order=OuterRef("pk"), kind=Invoice.Kind.INVOICE)


def orders_to_invoice(*, since: datetime | None = None) -> QuerySet[Order]:
    """Orders whose invoice is due now and was not made: given (since when), or paid long ago and not given yet."""
    if settings.INVOICES_FROM is None:
        return Order.objects.none()
    begun = datetime.combine(settings.INVOICES_FROM, time_of_day.min, tzinfo=clock.ROME)
    given = Q(status__in=issue.GIVEN, fulfilled_at__gte=max(begun, since) if since else begun)
    paid = Q(status=Order.Status.PAID, paid_at__lte=clock.now() - issue.PAID_LONG_AGO)
    mine = Q(paid_at__gte=begun) | Q(paid_at=None, fulfilled_at__gte=begun)
    return Order.objects.filter(given | paid, mine).exclude(Exists(LIVE_INVOICE))


def refunds_to_credit(*, since: datetime | None = None) -> QuerySet[Refund]:
    """Refunds that were done, of orders whose invoice SdI has taken, without a credit note."""
    at_sdi = Invoice.objects.live().filter(
        order=OuterRef("order"), kind=Invoice.Kind.INVOICE, state__in=Invoice.ISSUED
    )  # fmt: skip
    done = Refund.objects.filter(Exists(at_sdi), status=Refund.Status.DONE)
    if since is not None:
        done = done.filter(done_at__gte=since)
    return done.exclude(Exists(Invoice.objects.live().filter(refund=OuterRef("pk"))))


def sweep(*, seconds: float = 200) -> None:
    """Everything of the last days (beat, every minute)."""
    stop_at, since = time.monotonic() + seconds, clock.now() - LATELY
    unwritten = Invoice.objects.filter(state=Invoice.State.NUMBERED).order_by("due_on")
    _each(unwritten.values_list("pk", flat=True), issue.write_file, stop_at, "file of invoice")
    if signing.is_configured():
        unsigned = Invoice.objects.filter(state=Invoice.State.TO_SIGN).order_by("due_on")
        _each(unsigned.values_list("pk", flat=True), _sign, stop_at, "signature of invoice")
    _each(orders_to_invoice(since=since).values_list("pk", flat=True), issue.issue, stop_at, "invoice of order")
    _each(refunds_to_credit(since=since).values_list("pk", flat=True), notes.issue_note, stop_at, "note of refund")


def sweep_all(*, seconds: float = 200) -> None:
    """Everything that the minute's sweep does not look at any more, and what waits (beat, every few hours)."""
    stop_at = time.monotonic() + seconds
    waits = Invoice.objects.filter(state=Invoice.State.WAITING).order_by("due_on")
    _each(waits.values_list("pk", flat=True), waiting.reconsider, stop_at, "waiting invoice")
    _each(orders_to_invoice().values_list("pk", flat=True), issue.issue, stop_at, "invoice of order")
    # A refund whose note is not needed stays in this list: few, and quickly told.
    _each(refunds_to_credit().values_list("pk", flat=True), notes.issue_note, stop_at, "note of refund")


def _sign(invoice_id: int) -> None:
    issue.sign(Invoice.objects.get(pk=invoice_id))


def _each(ids: Iterable[int], step: Callable[[int], object], stop_at: float, what: str) -> None:
    """One step for each, in no order, so that several workers do different ones; what fails is tried again later."""
    found = list(ids)
    random.shuffle(found)
    for pk in found:
        if time.monotonic() >= stop_at:
            return
        try:
            step(pk)
        except Exception:  # one that fails keeps no other waiting
            log.exception("%s %s could not be made; it is tried again", what, pk)
