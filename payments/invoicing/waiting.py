"""Documents that wait for the bookkeeper, looked at again: the account mends its data, or staff say what to do."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import BillingProfile, InvoiceAddressee, User
from payments.invoicing import rows, states
from payments.invoicing.issue import PROGRESSIVE, Examined, examine, made, wait, with_facts, write_file
from payments.models import Invoice, InvoiceBuyer
from pecportal.errors import RefusedError

State = Invoice.State


def reconsider(invoice_id: int, *, actor: User | None = None) -> Invoice:
    """Look again at a document that waits: numbered, if it may be sent now.

    As the order has the data; else as the account has them today, if it is still the same customer (one fiscal key),
    or if a person says so (`actor`). The customer was told, and mends them on its page.
    """
    invoice = with_facts(invoice_id)
    if invoice.state != State.WAITING:
        return invoice
    found, mended = _best(invoice, anyone=actor is not None)
    with transaction.atomic(durable=True):
        invoice = Invoice.objects.locked().select_related("order__owner").get(pk=invoice_id)
        if invoice.state != State.WAITING:
            return invoice
        if found.reason:
            wait(invoice, found)
            return invoice
        if mended is not None:
            take_data(invoice, mended)
        if invoice.number is None:
            states.number(invoice, on=invoice.money_on, why=_("i dati ora vanno bene"), actor=actor, **found.facts)
    return write_file(invoice_id)


def _best(invoice: Invoice, *, anyone: bool) -> tuple[Examined, BillingProfile | None]:
    """The data with which a document may be sent, those of the order first; None where they are the order's."""
    current = rows.billing_of(invoice)
    found = _examined(invoice, current)
    today: BillingProfile | None = getattr(invoice.order.owner, "billing", None)
    if not found.reason or today is None:
        return found, None
    same = current is None or current.own_fiscal_key() == today.own_fiscal_key()
    if (same or anyone) and (current is None or current.identity() != today.identity()):
        other = _examined(invoice, today)
        if not other.reason:
            return other, today
    return found, None


def _examined(invoice: Invoice, billing: InvoiceAddressee | None) -> Examined:
    if invoice.number is not None:
        return made(invoice, progressive=PROGRESSIVE, billing=billing)
    return examine(
        lambda: rows.document_of(invoice, progressive=PROGRESSIVE, billing=billing), money_on=invoice.money_on
    )


def take_data(invoice: Invoice, data: InvoiceAddressee) -> None:
    """Make a document (locked) out as `data` say from now on; the order keeps its own (R8)."""
    InvoiceBuyer.objects.update_or_create(invoice=invoice, defaults=data.identity())


def close_elsewhere(*, invoice_id: int, reference: str, actor: User) -> None:
    """Staff invoiced it in another program (a customer abroad): `reference` says which document. It takes no number.

    Raises RefusedError: it has a number, or does not wait; no reference.
    """
    reference = " ".join(reference.split())[:120]
    if not reference:
        raise RefusedError(_("Scrivi il numero e la data del documento emesso con l'altro programma."))
    with transaction.atomic(durable=True):
        invoice = Invoice.objects.locked().get(pk=invoice_id)
        if invoice.state != State.WAITING or invoice.number is not None:
            raise RefusedError(_("Solo un documento senza numero si può chiudere così: questo va corretto e inviato."))
        why = _("emessa fuori da qui: %(reference)s") % {"reference": reference}
        states.move(invoice, State.ELSEWHERE, why=why, actor=actor, reason="", detail=reference)
