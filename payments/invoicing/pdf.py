"""The courtesy copy of an e-invoice: a page made from its file, with the file attached (art. 1 c. 3 D.Lgs. 127/2015:
the XML is the invoice)."""

from django.utils import translation

from payments import papers
from payments.invoicing import paper

ITALIAN = "it"


def courtesy_copy(xml: bytes, *, file_name: str, key: str) -> bytes:
    """The PDF/A-3a of an invoice or credit note; slow unless it was drawn lately.

    `file_name` is what the file was sent as, `key` the invoice's public id. Raises paper.UnreadableError.
    """
    read = paper.read(xml)
    with translation.override(ITALIAN):
        html = papers.page("payments/invoice_pdf.html", {"paper": read, "file_name": file_name})
    attached = papers.Attached(file_name, xml, f"{read.title} {read.number}: originale (FatturaPA)")
    return papers.kept(key, html, attached)
