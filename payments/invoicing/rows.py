"""The document that a row of an invoice or credit note is: from its order, or from what it credits."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from django.conf import settings

from accounts.models import InvoiceAddressee
from payments.invoicing import configuration
from payments.invoicing.document import Document, Kind, Line, buyer_of, credit_note
from payments.invoicing.from_order import NotInvoiceableError, draft, reference_of
from payments.models import Invoice
from payments.models.invoices import number_text
from renewals.models import Order


def billing_of(invoice: Invoice) -> InvoiceAddressee | None:
    """To whom: the order's data as they were fixed (R8), or those that took their place on this document."""
    if mended := getattr(invoice, "buyer", None):
        return mended
    if invoice.corrects is not None:
        return billing_of(invoice.corrects)
    return getattr(invoice.order, "billing", None)


def document_of(invoice: Invoice, *, progressive: str, billing: InvoiceAddressee | None = None) -> Document:
    """What a row says, for the file `progressive`; without a number, with one as long as they can be.

    `billing`: to whom, if that is being tried. Raises NotInvoiceableError.
    """
    billing = billing or billing_of(invoice)
    if invoice.kind == Kind.CREDIT_NOTE:
        return _note(invoice, progressive=progressive, billing=billing)
    document = draft(
        invoice.order, seller=configuration.seller(), number=invoice.number_text or longest_number(invoice.money_on),
        issued_on=invoice.document_date or invoice.money_on, progressive=progressive, billing=billing,
    )  # fmt: skip
    if (old := invoice.replaces) is not None:
        said = f"{document.reason}; sostituisce la fattura {old.number_text} del {old.document_date:%d/%m/%Y}, scartata"
        document = replace(document, reason=said)
    return document


def longest_number(day: date) -> str:
    """As long as the number of a document of that year can be, for a document that has none yet."""
    return number_text(settings.INVOICE_SERIES, day.year, 99_999_999)


def as_issued(invoice: Invoice) -> Document:
    """An invoice by its sums alone, in one line: what a credit note is a part of, whatever became of the order since.

    Raises NotInvoiceableError where there is nobody to make it out to.
    """
    assert invoice.document_date is not None
    billing = billing_of(invoice)
    if billing is None:
        raise NotInvoiceableError(f"invoice {invoice.pk} has no billing data")
    reference, reason = reference_of(Order.objects.select_related("commitment").get(pk=invoice.order_id))
    return Document(
        kind=Kind.INVOICE, number=invoice.number_text, issued_on=invoice.document_date, progressive="1",
        seller=configuration.seller(), buyer=buyer_of(billing), lines=(Line(reason, invoice.taxable),),
        vat_rate=invoice.vat_rate, taxable=invoice.taxable, vat=invoice.vat, reason=reason,
        split_payment=invoice.split_payment, purchase=reference,
    )  # fmt: skip


def credited(invoice: Invoice) -> Decimal:
    """What live credit notes of an invoice's order give back already, EUR (also those of one that it replaced)."""
    notes = Invoice.objects.live().filter(order=invoice.order_id, kind=Kind.CREDIT_NOTE)
    return sum((note.due for note in notes), Decimal(0))


def _note(note: Invoice, *, progressive: str, billing: InvoiceAddressee | None) -> Document:
    """A credit note by its own row: taxable and VAT are those worked out when it was made (R26)."""
    assert note.corrects is not None
    base = as_issued(note.corrects)
    if billing is not None:
        base = replace(base, buyer=buyer_of(billing))
    document = credit_note(
        base, number=note.number_text or longest_number(note.money_on),
        issued_on=note.document_date or note.money_on, progressive=progressive, amount=note.due,
        order_number=note.order.number,
    )  # fmt: skip
    return replace(document, lines=(Line(document.reason, note.taxable),), taxable=note.taxable, vat=note.vat)
