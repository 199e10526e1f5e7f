"""Credit notes (TD04): of money that went back, and of what staff say; never of more than is left of their invoice.

Money that went back for lines which were never invoiced needs none: the invoice leaves them out (from_order).
"""

from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from payments import refunds
from payments.invoicing import issue, rows, states
from payments.invoicing.document import credit_note
from payments.models import Invoice, Refund
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import euro
from renewals.models import Order
from renewals.pricing import CENT


def invoice_of(order_id: int) -> Invoice | None:
    """The live invoice of an order, if SdI says that it is one: only then is there something to correct."""
    live = Invoice.objects.live().filter(order=order_id, kind=Invoice.Kind.INVOICE, state__in=Invoice.ISSUED)
    return live.select_related("order__owner", "order__billing", "buyer").first()


def owed(invoice: Invoice) -> Decimal:
    """EUR that went back of an invoice and that no credit note says yet; zero if none."""
    gone = refunds.total_of(Refund.objects.filter(order=invoice.order_id, status=Refund.Status.DONE))
    never_invoiced = invoice.order.amount_due - invoice.due
    return max(Decimal(0), min(gone - never_invoiced, invoice.due) - rows.credited(invoice))


def issue_note(refund_id: int) -> Invoice | None:
    """The credit note of a refund, once. None: nothing to credit, or not yet (SdI has not taken the invoice)."""
    refund = Refund.objects.get(pk=refund_id)
    if refund.status != Refund.Status.DONE or refund.order_id is None or refund.done_at is None:
        return None
    return _issue(refund.order_id, refund=refund, most=_invoiced_part(refund), why=_("rimborso"), actor=None)


def _invoiced_part(refund: Refund) -> Decimal:
    """EUR of a refund (done) that its order's invoice has: what was never invoiced went back first, then the rest.

    Whatever the order in which refunds are looked at, each note is of its own money, and has its day.
    """
    invoice = invoice_of(refund.order_id) if refund.order_id else None
    if invoice is None:
        return Decimal(0)
    done = Refund.objects.filter(order=refund.order_id, status=Refund.Status.DONE).order_by("done_at", "id")
    upto = Decimal(0)
    for each in done:
        upto += each.amount
        if each.pk == refund.pk:
            break
    return min(refund.amount, upto - (invoice.order.amount_due - invoice.due))


def credit(*, invoice_id: int, amount: Decimal, actor: User, why: str) -> Invoice:
    """Staff credit part of an invoice for which no refund does it (an order taken back that was never collected).

    Raises RefusedError: SdI has not taken the invoice yet, or less of it is left.
    """
    invoice = Invoice.objects.select_related("order").get(pk=invoice_id, kind=Invoice.Kind.INVOICE)
    if not amount.is_finite() or amount <= 0 or amount != amount.quantize(CENT):
        raise RefusedError(_("Scrivi l'importo in euro, maggiore di zero e con al massimo due decimali."))
    most = invoice.due - rows.credited(invoice)
    if amount > most:
        raise RefusedError(_("Si possono stornare al massimo %(most)s.") % {"most": euro(most)})
    note = _issue(invoice.order_id, refund=None, most=amount, why=why, actor=actor)
    if note is None:
        raise RefusedError(_("La fattura non è ancora stata inviata, o è cambiata adesso: guardala e riprova."))
    return note


def _issue(order_id: int, *, refund: Refund | None, most: Decimal, why: str, actor: User | None) -> Invoice | None:
    invoice = invoice_of(order_id)
    if invoice is None or invoice.document_date is None:
        return None
    before = rows.credited(invoice)
    amount = min(most, owed(invoice)) if refund else most
    if amount <= 0:
        return None
    done_on = clock.rome_date(refund.done_at) if refund and refund.done_at else clock.today()
    day = max(done_on, invoice.document_date)
    found = issue.examine(
        lambda: credit_note(
            rows.as_issued(invoice), number=rows.longest_number(day), issued_on=day, progressive=issue.PROGRESSIVE,
            amount=amount, before=before, order_number=invoice.order.number,
        ),
        money_on=invoice.money_on,
    )  # fmt: skip
    if found.document is None:
        return None
    with transaction.atomic(durable=True):
        Order.objects.locked().get(pk=order_id)  # one note at a time: the second sees what the first credits
        again = Invoice.objects.get(pk=invoice.pk)
        if again.state not in Invoice.ISSUED or rows.credited(again) != before:
            return None
        if refund and Invoice.objects.live().filter(refund=refund).exists():
            return None
        note = states.create(
            why=why, actor=actor, kind=Invoice.Kind.CREDIT_NOTE, order=invoice.order, corrects=invoice, refund=refund,
            money_on=day, due_on=day + issue.DAYS, **found.facts,
        )  # fmt: skip
        issue.number_or_wait(note, found, on=day, actor=actor)
    return note if found.xml is None else issue.file_of(note, examined=found.xml)
