"""What an e-invoice says, read back from its file for a page that people read: the courtesy copy.

From the file and nothing else: what is on paper cannot differ from what was sent, whatever the order or the customer's
data have become since. Pure; the words are Italian whatever the language of the screen, as those of the file are.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from lxml import etree

from payments.invoicing import schema_check
from payments.invoicing.document import Kind, Means
from payments.invoicing.reading import amount, day, text

HEADER, BODY = "FatturaElettronicaHeader/", "FatturaElettronicaBody/"
TITLES = {Kind.INVOICE: "Fattura", Kind.CREDIT_NOTE: "Nota di credito"}
MEANS = {
    Means.TRANSFER: "Bonifico bancario",
    Means.CARD: "Carta o pagamento on-line",
    Means.POSTAL: "Bollettino di conto corrente postale",
}


class UnreadableError(ValueError):
    """The bytes are no invoice of ours; the message is for the log and holds nothing of the file."""


@dataclass(frozen=True)
class Party:
    """Seller or buyer: a name, then the rest as lines in the order in which they are read."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class PaperLine:
    """`net` in EUR; `percent` is the VAT rate as it is written: 22 %."""

    description: str
    starts: date | None
    ends: date | None
    percent: str
    net: Decimal


@dataclass(frozen=True)
class PaperPayment:
    """`on` is the day on which it was paid, or by which it is to be: the file does not say which."""

    means: str
    on: date | None
    amount: Decimal
    iban: str
    bank: str


@dataclass(frozen=True)
class Paper:
    """An invoice or credit note as its courtesy copy shows it. Amounts are positive, in EUR."""

    title: str
    number: str
    issued_on: date
    seller: Party
    buyer: Party
    lines: tuple[PaperLine, ...]
    percent: str
    taxable: Decimal
    vat: Decimal
    total: Decimal
    split_payment: bool
    causes: tuple[str, ...]
    payments: tuple[PaperPayment, ...]
    references: tuple[tuple[str, str], ...]

    @property
    def due(self) -> Decimal:
        """What the buyer pays to the seller."""
        return self.taxable if self.split_payment else self.total

    @property
    def has_terms(self) -> bool:
        return any(line.starts or line.ends for line in self.lines)


def read(xml: bytes) -> Paper:
    """The courtesy copy of a FatturaPA file made by `xml.write`: one document, one rate. Raises UnreadableError."""
    try:
        return _read(schema_check.parse(xml))
    except (etree.XMLSyntaxError, ArithmeticError, ValueError) as error:
        raise UnreadableError("the file cannot be read as an invoice of ours") from error


def _read(root: etree._Element) -> Paper:
    general, goods = BODY + "DatiGenerali/", BODY + "DatiBeniServizi/"
    document, summary = general + "DatiGeneraliDocumento/", goods + "DatiRiepilogo/"
    issued_on = day(root, document + "Data")
    if issued_on is None:
        raise UnreadableError("no date")
    lines = tuple(_line(each) for each in root.iterfind(goods + "DettaglioLinee"))
    told = {line.description for line in lines}
    taxable, vat = amount(root, summary + "ImponibileImporto"), amount(root, summary + "Imposta")
    return Paper(
        title=TITLES[Kind(text(root, document + "TipoDocumento"))],
        number=text(root, document + "Numero"), issued_on=issued_on,
        seller=_party(root, HEADER + "CedentePrestatore/"), buyer=_party(root, HEADER + "CessionarioCommittente/"),
        lines=lines,
        percent=_percent(root, summary + "AliquotaIVA"),
        taxable=taxable, vat=vat, total=taxable + vat,
        split_payment=text(root, summary + "EsigibilitaIVA") == "S",
        causes=tuple(e.text for e in root.iterfind(document + "Causale") if e.text and e.text not in told),
        payments=tuple(_payment(each) for each in root.iterfind(BODY + "DatiPagamento/DettaglioPagamento")),
        references=tuple(_references(root, general)),
    )  # fmt: skip


def _party(root: etree._Element, path: str) -> Party:
    data, seat = path + "DatiAnagrafici/", path + "Sede/"
    name = text(root, data + "Anagrafica/Denominazione") or " ".join(
        text(root, data + f"Anagrafica/{part}") for part in ("Nome", "Cognome")
    )
    town = f"{text(root, seat + 'CAP')} {text(root, seat + 'Comune')}"
    province = text(root, seat + "Provincia")
    lines = [text(root, seat + "Indirizzo"), f"{town} ({province})" if province else town]
    codes = {"Partita IVA": "IdFiscaleIVA/IdCodice", "Codice fiscale": "CodiceFiscale"}
    found = {term: text(root, data + where) for term, where in codes.items()}
    lines += [f"{term} {code}" for term, code in found.items() if code]
    if office := text(root, path + "IscrizioneREA/Ufficio"):
        capital = text(root, path + "IscrizioneREA/CapitaleSociale")
        rea = f"REA {office} {text(root, path + 'IscrizioneREA/NumeroREA')}"
        lines.append(f"{rea}, capitale sociale € {_italian(capital)}" if capital else rea)
    return Party(name, tuple(lines))


def _italian(number: str) -> str:
    return f"{Decimal(number):,.2f}".translate(str.maketrans(",.", ".,"))


def _percent(element: etree._Element, path: str) -> str:
    return f"{amount(element, path).normalize():f} %".replace(".", ",")


def _line(line: etree._Element) -> PaperLine:
    return PaperLine(
        text(line, "Descrizione"), day(line, "DataInizioPeriodo"), day(line, "DataFinePeriodo"),
        _percent(line, "AliquotaIVA"), amount(line, "PrezzoTotale"),
    )  # fmt: skip


def _payment(paid: etree._Element) -> PaperPayment:
    return PaperPayment(
        MEANS[Means(text(paid, "ModalitaPagamento"))], day(paid, "DataScadenzaPagamento"),
        amount(paid, "ImportoPagamento"), text(paid, "IBAN"), text(paid, "IstitutoFinanziario"),
    )  # fmt: skip


def _references(root: etree._Element, general: str) -> list[tuple[str, str]]:
    """The buyer's own order with CIG and CUP, and the invoice that a credit note corrects."""
    order, linked = general + "DatiOrdineAcquisto/", general + "DatiFattureCollegate/"
    pairs = [
        ("Ordine di acquisto", _numbered(root, order)),
        ("CIG", text(root, order + "CodiceCIG")),
        ("CUP", text(root, order + "CodiceCUP")),
        ("Fattura stornata", _numbered(root, linked)),
    ]
    return [(term, value) for term, value in pairs if value]


def _numbered(root: etree._Element, path: str) -> str:
    number, on = text(root, path + "IdDocumento"), day(root, path + "Data")
    return f"{number} del {on:%d/%m/%Y}" if on else number
