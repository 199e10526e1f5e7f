"""Invoices as rows, in any state, with the file that the order makes: what screens and exports are tried on."""

from datetime import date, timedelta
from decimal import Decimal

from payments.invoicing.document import Document, credit_note
from payments.invoicing.from_order import draft
from payments.invoicing.xml import write
from payments.models import Invoice, InvoiceCounter
from renewals.models import Order
from tests.payments.invoicing.population import DAY, SELLER

SERIES = "PEC"


def issued(order: Order, *, number: int, on: date = DAY, state: str = "delivered", **changes) -> Invoice:
    """The invoice of an order, numbered and written."""
    document = draft(
        Order.objects.get(pk=order.pk), seller=SELLER, number=f"{SERIES}-{on.year}-{number}", issued_on=on,
        progressive=f"{number:05}",
    )  # fmt: skip
    return _row(document, order, number=number, on=on, state=state, **changes)


def credited(invoice: Invoice, *, number: int, amount: Decimal, on: date = DAY, state: str = "delivered") -> Invoice:
    """A credit note on it."""
    assert invoice.document_date and invoice.number
    document = draft(
        Order.objects.get(pk=invoice.order_id), seller=SELLER, number=invoice.number_text,
        issued_on=invoice.document_date, progressive="00001",
    )  # fmt: skip
    note = credit_note(
        document, number=f"{SERIES}-{on.year}-{number}", issued_on=on, progressive=f"{number:05}", amount=amount,
        order_number=invoice.order.number,
    )  # fmt: skip
    return _row(note, invoice.order, number=number, on=on, state=state, corrects=invoice)


def _row(document: Document, order: Order, *, number: int, on: date, state: str, **changes) -> Invoice:
    facts: dict[str, object] = {
        "kind": document.kind.value, "format": document.format, "order": order, "series": SERIES, "year": on.year,
        "number": number, "document_date": on, "money_on": on, "due_on": on + timedelta(12),
        "vat_rate": document.vat_rate, "taxable": document.taxable, "vat": document.vat, "total": document.total,
        "split_payment": document.split_payment, "state": state,
        "xml": write(document), "file_name": f"IT{SELLER.codice_fiscale}_T{number:04}.xml",
    }  # fmt: skip
    counter, _new = InvoiceCounter.objects.get_or_create(series=SERIES, year=on.year, defaults={"last": number})
    InvoiceCounter.objects.filter(pk=counter.pk, last__lt=number).update(last=number)
    return Invoice.objects.create(**{**facts, **changes})
