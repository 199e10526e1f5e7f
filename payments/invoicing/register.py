"""The register of numbered documents, for the bookkeeper: a period as a ZIP that is made while it is read, and whether
the numbers of each year are whole."""

import csv
import io
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Count, Max, Min, Q
from lxml import etree

from payments.invoicing import numbering, schema_check
from payments.invoicing.reading import text
from payments.models import Invoice, InvoiceCounter

State = Invoice.State
BATCH = 500
SPOOLED = 1_000_000  # bytes of the list kept in memory; the rest of it is in a temporary file
REGISTER = "registro.csv"
BUYER = "FatturaElettronicaHeader/CessionarioCommittente/DatiAnagrafici/"
COLUMNS = [
    "Numero", "Data", "Tipo", "Cliente", "Codice fiscale", "Partita IVA", "Imponibile", "Aliquota", "IVA", "Totale",
    "Scissione dei pagamenti", "Stato", "Identificativo SdI", "File", "Ordine", "Fattura stornata",
]  # fmt: skip
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would work out instead of showing


def numbered(first: date, last: date) -> Q:
    """Documents of a period, by their own date: all that took a number, so that the list has no gaps."""
    return Q(document_date__range=(first, last), number__isnull=False)


def archive(first: date, last: date) -> Iterator[bytes]:
    """A ZIP of the files of a period and, at its end, their register: in pieces, however many there are.

    Folders say what a file is worth: `fatture` SdI has, `da-inviare` it has not yet, `scartate` count as never issued.
    """
    sink = _Sink()
    with (
        zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as made,
        tempfile.SpooledTemporaryFile(max_size=SPOOLED, mode="w+", encoding="utf-8-sig", newline="") as register,
    ):
        rows = csv.writer(register, delimiter=";")
        rows.writerow(COLUMNS)
        for invoice in _each(first, last):
            xml = bytes(invoice.xml) if invoice.xml else b""
            rows.writerow(_row(invoice, xml))
            if xml:
                made.writestr(f"{_folder(invoice)}/{invoice.file_name}", xml)
            yield from sink.taken()
        register.seek(0)
        with made.open(REGISTER, "w") as entry:
            while piece := register.read(65536):
                entry.write(piece.encode())
                yield from sink.taken()
    yield from sink.taken()


class _Sink(io.RawIOBase):
    """Where the ZIP is written: what is not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: object) -> int:
        content = bytes(piece)  # type: ignore[call-overload]
        self._waiting += content
        return len(content)

    def taken(self) -> Iterator[bytes]:
        if self._waiting:
            yield bytes(self._waiting)
            self._waiting.clear()


def _each(first: date, last: date) -> Iterator[Invoice]:
    """A few at a time, from where the last ones ended (index invoice_register): no query is held open meanwhile."""
    found = Invoice.objects.filter(numbered(first, last)).select_related("order", "corrects").order_by(
        "document_date", "id"
    ).defer("corrects__xml", "detail")  # fmt: skip
    after = Q()
    while batch := list(found.filter(after)[:BATCH]):
        yield from batch
        end = batch[-1]
        after = Q(document_date__gt=end.document_date) | Q(document_date=end.document_date, id__gt=end.pk)


def _folder(invoice: Invoice) -> str:
    if invoice.state in (State.REJECTED, State.REPLACED):
        return "scartate"
    return "fatture" if invoice.state in Invoice.AT_SDI else "da-inviare"


def _row(invoice: Invoice, xml: bytes) -> list[str]:
    """As the file has it where there is one: the customer's data may have become others since."""
    buyer = schema_check.parse(xml) if xml else etree.Element("nothing")
    names = [text(buyer, BUYER + f"Anagrafica/{part}") for part in ("Denominazione", "Nome", "Cognome")]
    corrected = invoice.corrects
    return [
        invoice.number_text, f"{invoice.document_date:%d/%m/%Y}", invoice.kind, _shown(" ".join(filter(None, names))),
        text(buyer, BUYER + "CodiceFiscale"), text(buyer, BUYER + "IdFiscaleIVA/IdCodice"), _amount(invoice.taxable),
        _amount(invoice.vat_rate), _amount(invoice.vat), _amount(invoice.total), "sì" if invoice.split_payment else "",
        str(invoice.get_state_display()), invoice.sdi_id, invoice.file_name or "", invoice.order.number,
        corrected.number_text if corrected else "",
    ]  # fmt: skip


def _shown(name: str) -> str:
    return f"'{name}" if name.startswith(FORMULAS) else name


def _amount(value: Decimal) -> str:
    return f"{value:.2f}".replace(".", ",")


# --- Numbers without gaps ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class YearOfNumbers:
    """The numbers of a series in a year. `missing` and `twice` are empty, and `last` is `taken`, where all is well."""

    series: str
    year: int
    documents: int
    first: int
    last: int
    taken: int
    missing: tuple[int, ...]
    twice: int

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.twice and self.first == 1 and self.last == self.taken


def numbers_by_year() -> list[YearOfNumbers]:
    """Every series and year, latest first: three queries, and one more where a number is missing."""
    counted = (
        Invoice.objects.filter(number__isnull=False, year__isnull=False).order_by().values_list("series", "year")
        .annotate(Count("id"), Count("number", distinct=True), Min("number"), Max("number"))
    )  # fmt: skip
    found = {(series, year or 0): counts for series, year, *counts in counted}
    counters = InvoiceCounter.objects.exclude(series=InvoiceCounter.FILES, year=0)
    taken = {(series, year): last for series, year, last in counters.values_list("series", "year", "last")}
    years = sorted({*found, *taken}, key=lambda key: (-key[1], key[0]))
    return [_year(*key, found.get(key, [0, 0, 0, 0]), taken.get(key, 0)) for key in years]


def _year(series: str, year: int, counts: list[int], taken: int) -> YearOfNumbers:
    documents, different, first, last = counts
    whole = different == last == taken
    return YearOfNumbers(
        series=series, year=year, documents=documents, first=first, last=last, taken=taken,
        missing=() if whole else tuple(numbering.gaps(series, year)), twice=documents - different,
    )  # fmt: skip
