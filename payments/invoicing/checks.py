"""What SdI would refuse, found before sending: its list of controls, as far as a file alone can tell.

Pure: a file and the day in, findings out. The codes are the agency's ("Elenco controlli", published with the format);
those in letters are our own, for what SdI lets pass and no bookkeeper may. Not here, because no file alone can tell:
names and duplicates (00001–00002, 00404, 00409), signatures (001xx), what the tax registers and IPA know (00311, 00312,
00320–00326, 00398, 00399). Nor are the controls of what we never write: withholding, funds, discounts, stamp.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.core.exceptions import ValidationError
from lxml import etree

from accounts import fiscal, places
from payments.invoicing import schema_check
from payments.invoicing.document import Document
from payments.invoicing.reading import FIELDS, Amounts, amount, day, text
from payments.invoicing.xml import UnwritableError, write
from renewals import pricing

CENT = Decimal("0.01")
NOT_AS_THE_FORMAT, ABROAD, TOTAL, PAYMENT, TERM, NO_INVOICE, KIND = (
    "00200", "ESTERO", "TOTALE", "PAGAMENTO", "PERIODO", "STORNO", "TIPO",
)  # fmt: skip
SDI_ITSELF = "pec.fatturapa.it"
TOO_GENERAL = ("N2", "N3", "N6")
BUYER_ABROAD = "XXXXXXX"

SELLER = "FatturaElettronicaHeader/CedentePrestatore/DatiAnagrafici"
BUYER = "FatturaElettronicaHeader/CessionarioCommittente/DatiAnagrafici"
PLACE = "FatturaElettronicaHeader/CessionarioCommittente/Sede"
SENDING = "FatturaElettronicaHeader/DatiTrasmissione"
GENERAL = "FatturaElettronicaBody/DatiGenerali"
DOCUMENT = f"{GENERAL}/DatiGeneraliDocumento"
LINES = "FatturaElettronicaBody/DatiBeniServizi/DettaglioLinee"
SUMMARIES = "FatturaElettronicaBody/DatiBeniServizi/DatiRiepilogo"
PAYMENTS = "FatturaElettronicaBody/DatiPagamento/DettaglioPagamento"


@dataclass(frozen=True)
class Finding:
    """One reason for which a file must not be sent.

    `code`: SdI's, or one of ours in letters. `sentence`: Italian, without the customer's data. `field`: of the billing
    profile where the buyer's data are wrong, else the path of the element.
    """

    code: str
    sentence: str
    field: str


def review(document: Document, *, today: date) -> list[Finding]:
    """Why a document must not be sent; empty: it may. `today`: the day on which SdI would receive it."""
    return reviewed(document, today=today)[1]


def reviewed(document: Document, *, today: date) -> tuple[bytes | None, list[Finding]]:
    """The file of a document, where one can be written, and why it must not be sent (review)."""
    if document.buyer.country not in ("", places.ITALY):
        return None, list(_abroad())
    try:
        xml = write(document)
    except UnwritableError as error:
        return None, [Finding(NOT_AS_THE_FORMAT, str(error), error.field)]
    return xml, findings(xml, today=today)


def findings(xml: bytes, *, today: date) -> list[Finding]:
    """Why a file must not be sent. What is not a FatturaPA at all is looked at no further, as SdI does."""
    try:
        root = schema_check.parse(xml)
    except etree.XMLSyntaxError:
        return [Finding(NOT_AS_THE_FORMAT, "Il file non è un XML leggibile.", "")]
    if broken := [_malformed(path) for path in schema_check.broken_paths(root)]:
        return broken
    return [finding for check in (*CHECKS, lambda r: _dates(r, today)) for finding in check(root)]


def _malformed(path: str) -> Finding:
    name = path.rpartition("/")[2] or "FatturaElettronica"
    return Finding(
        NOT_AS_THE_FORMAT, f"Il dato «{name}» manca o non ha la forma che la fattura elettronica richiede.",
        FIELDS.get(path, path),
    )  # fmt: skip


def _found(code: str, sentence: str, path: str) -> Finding:
    return Finding(code, sentence, FIELDS.get(path, path))


# --- Who sends, and to whom -------------------------------------------------------------------------------------------


def _sending(root: etree._Element) -> Iterator[Finding]:
    form, code = text(root, f"{SENDING}/FormatoTrasmissione"), text(root, f"{SENDING}/CodiceDestinatario")
    pec = text(root, f"{SENDING}/PECDestinatario")
    if form != root.get("versione"):
        yield _found(
            "00428",
            "Il formato di trasmissione non è quello della versione del file.",
            f"{SENDING}/FormatoTrasmissione",
        )
    if len(code) != (6 if form == "FPA12" else 7):
        whose = "di una pubblica amministrazione ha 6" if form == "FPA12" else "di un privato ha 7"
        yield _found("00427", f"Il codice destinatario {whose} caratteri.", f"{SENDING}/CodiceDestinatario")
    if pec and code != fiscal.NO_SDI_CODE:
        yield _found(
            "00426", "Indica il codice destinatario o la PEC per le fatture, non tutti e due.",
            f"{SENDING}/PECDestinatario",
        )  # fmt: skip
    if pec.lower().rpartition("@")[2] == SDI_ITSELF:
        yield _found(
            "00330", "Questa è una casella del Sistema di Interscambio: scrivi la PEC del cliente.",
            f"{SENDING}/PECDestinatario",
        )  # fmt: skip
    if code == BUYER_ABROAD and text(root, f"{BUYER}/IdFiscaleIVA/IdPaese") in ("", "IT"):
        yield _found(
            "00313", "Il codice XXXXXXX è solo di chi sta all'estero: indica un altro codice.",
            f"{SENDING}/CodiceDestinatario",
        )  # fmt: skip


def _codes(root: etree._Element) -> Iterator[Finding]:
    """Form and check digit. Whether a code exists is known to the tax registers alone."""
    for code, path, check in (
        ("00300", f"{SENDING}/IdTrasmittente/IdCodice", _fiscal_code),
        ("00301", f"{SELLER}/IdFiscaleIVA/IdCodice", fiscal.check_partita_iva),
        ("00302", f"{SELLER}/CodiceFiscale", _fiscal_code),
        ("00305", f"{BUYER}/IdFiscaleIVA/IdCodice", fiscal.check_partita_iva),
        ("00306", f"{BUYER}/CodiceFiscale", _fiscal_code),
    ):
        written = text(root, path)
        if not written:
            continue
        try:
            as_it_should_be = check(written)
        except ValidationError as error:
            yield _found(code, error.messages[0], path)
        else:
            if as_it_should_be != written:
                yield _found(code, "Il codice contiene caratteri che non gli appartengono.", path)
    identities = [
        (text(root, f"{who}/IdFiscaleIVA/IdCodice"), text(root, f"{who}/CodiceFiscale")) for who in (SELLER, BUYER)
    ]
    if not any(identities[1]):
        yield _found("00417", "Serve il codice fiscale o la partita IVA del cliente.", f"{BUYER}/CodiceFiscale")
    same = any(ours == theirs != "" for ours, theirs in zip(*identities, strict=True))
    if same and text(root, f"{DOCUMENT}/TipoDocumento") == "TD01":
        yield _found("00471", "Il cliente è lo stesso fornitore: una fattura a sé stessi non si invia.", BUYER)


def _fiscal_code(written: str) -> str:
    return fiscal.check_body_code(written) if written.isdigit() else fiscal.check_personal_code(written)


def _abroad() -> Iterator[Finding]:
    yield _found(
        ABROAD, "Per chi ha sede o residenza fuori dall'Italia la fattura la prepara l'assistenza.", f"{PLACE}/Nazione"
    )


def _residence(root: etree._Element) -> Iterator[Finding]:
    if text(root, f"{PLACE}/Nazione") != places.ITALY:
        yield from _abroad()


# --- The document -----------------------------------------------------------------------------------------------------


def _document(root: etree._Element) -> Iterator[Finding]:
    kind = text(root, f"{DOCUMENT}/TipoDocumento")
    if kind not in ("TD01", "TD04"):
        yield _found(KIND, "Qui si emettono solo fatture e note di credito.", f"{DOCUMENT}/TipoDocumento")
    if not any(c in "0123456789" for c in text(root, f"{DOCUMENT}/Numero")):
        yield _found("00425", "Il numero del documento contiene almeno una cifra.", f"{DOCUMENT}/Numero")
    if kind == "TD04" and not root.findall(f"{GENERAL}/DatiFattureCollegate"):
        yield _found(NO_INVOICE, "Una nota di credito dice quale fattura corregge.", f"{GENERAL}/DatiFattureCollegate")


def _dates(root: etree._Element, today: date) -> Iterator[Finding]:
    issued = day(root, f"{DOCUMENT}/Data")
    assert issued is not None  # the schema asks for it
    if issued > today:
        yield _found("00403", "La data del documento è nel futuro.", f"{DOCUMENT}/Data")
    for linked in root.findall(f"{GENERAL}/DatiFattureCollegate"):
        before = day(linked, "Data")
        if before is not None and issued < before:
            yield _found(
                "00418", "La nota di credito ha una data che viene prima di quella della fattura.", f"{DOCUMENT}/Data"
            )
    for line in root.findall(LINES):
        starts, ends = day(line, "DataInizioPeriodo"), day(line, "DataFinePeriodo")
        if starts and ends and ends < starts:
            yield _found(TERM, "Il periodo di una riga finisce prima di cominciare.", f"{LINES}/DataFinePeriodo")


# --- Rates and sums ---------------------------------------------------------------------------------------------------


def _rates(root: etree._Element) -> Iterator[Finding]:
    for path, without, with_one in ((LINES, "00400", "00401"), (SUMMARIES, "00429", "00430")):
        for element in root.findall(path):
            rate, nature = amount(element, "AliquotaIVA"), text(element, "Natura")
            if rate == 0 and not nature:
                yield _found(without, "Con l'aliquota zero serve la natura dell'operazione.", f"{path}/Natura")
            if rate != 0 and nature:
                yield _found(with_one, "Con un'aliquota diversa da zero la natura non si indica.", f"{path}/Natura")
            if 0 < rate < 1:
                yield _found("00424", "L'aliquota si scrive in percento: 22.00, non 0.22.", f"{path}/AliquotaIVA")
            if nature in TOO_GENERAL:
                yield _found("00445", f"La natura {nature} non si usa più senza il dettaglio.", f"{path}/Natura")
    for summary in root.findall(SUMMARIES):
        if text(summary, "Natura").startswith("N6") and text(summary, "EsigibilitaIVA") == "S":
            yield _found(
                "00420", "L'inversione contabile e la scissione dei pagamenti non stanno insieme.",
                f"{SUMMARIES}/EsigibilitaIVA",
            )  # fmt: skip


def _summaries(root: etree._Element) -> Iterator[Finding]:
    """Each rate and nature of the lines has its summary. 00419 for none at all: the schema asks for one already."""
    lines, summaries = root.findall(LINES), root.findall(SUMMARIES)
    if {amount(x, "AliquotaIVA") for x in lines} - {amount(x, "AliquotaIVA") for x in summaries}:
        yield _found("00443", "Un'aliquota delle righe non è nel riepilogo.", f"{SUMMARIES}/AliquotaIVA")
    if {text(x, "Natura") for x in lines} - {text(x, "Natura") for x in summaries}:
        yield _found("00444", "Una natura delle righe non è nel riepilogo.", f"{SUMMARIES}/Natura")


def _sums(root: etree._Element) -> Iterator[Finding]:
    """To the cent, where SdI lets a euro pass in 00422; a cent in 00421 and 00423, as SdI does."""
    of_lines: dict[tuple[Decimal, str], Decimal] = defaultdict(Decimal)
    for line in root.findall(LINES):
        price, total = amount(line, "PrezzoUnitario"), amount(line, "PrezzoTotale")
        if abs(price * (amount(line, "Quantita") if text(line, "Quantita") else 1) - total) > CENT:
            yield _found("00423", "Il totale di una riga non è prezzo per quantità.", f"{LINES}/PrezzoTotale")
        of_lines[amount(line, "AliquotaIVA"), text(line, "Natura")] += total
    found = Amounts()
    for summary in root.findall(SUMMARIES):
        rate, taxable, vat = (amount(summary, tag) for tag in ("AliquotaIVA", "ImponibileImporto", "Imposta"))
        extra = amount(summary, "SpeseAccessorie") + amount(summary, "Arrotondamento")
        if of_lines[rate, text(summary, "Natura")] + extra != taxable:
            yield _found(
                "00422", "L'imponibile del riepilogo non è la somma delle righe.", f"{SUMMARIES}/ImponibileImporto"
            )
        if abs(pricing.cents(taxable * rate / 100) - vat) > CENT:
            yield _found("00421", "L'imposta del riepilogo non è l'imponibile per l'aliquota.", f"{SUMMARIES}/Imposta")
        found = found.plus(taxable, vat, to_the_state=text(summary, "EsigibilitaIVA") == "S")
    if amount(root, f"{DOCUMENT}/ImportoTotaleDocumento") != found.total:
        yield _found(
            TOTAL, "Il totale del documento non è imponibile più imposta.", f"{DOCUMENT}/ImportoTotaleDocumento"
        )
    paid = [amount(detail, "ImportoPagamento") for detail in root.findall(PAYMENTS)]
    if paid and sum(paid) != found.due:
        yield _found(PAYMENT, "I pagamenti non sono quanto il cliente deve.", f"{PAYMENTS}/ImportoPagamento")


CHECKS: tuple[Callable[[etree._Element], Iterator[Finding]], ...] = (
    _sending, _codes, _residence, _document, _rates, _summaries, _sums,
)  # fmt: skip
