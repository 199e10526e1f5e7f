"""Each control of SdI's, on a file that breaks it alone; what breaks the schema; what cannot be written (R31)."""

import hashlib
import re
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree

from payments.invoicing import checks, schema_check
from payments.invoicing.xml import write
from tests.payments.invoicing.documents import BODY, invoice, note
from tests.payments.invoicing.population import DAY, SELLER

HEADER, FILE = "FatturaElettronicaHeader", "FatturaElettronicaBody"
BUYER, SELLING = f"{HEADER}/CessionarioCommittente", f"{HEADER}/CedentePrestatore"
SENDING, GENERAL = f"{HEADER}/DatiTrasmissione", f"{FILE}/DatiGenerali"
LINE, SUMMARY = f"{FILE}/DatiBeniServizi/DettaglioLinee", f"{FILE}/DatiBeniServizi/DatiRiepilogo"


def at(root, path, tag, text):
    """Write an element that is not there yet, at its place in the schema's sequence: after the one named."""
    before = root.find(path)
    added = etree.Element(tag)
    added.text = text
    before.addnext(added)


def put(path, text):
    def change(root):
        root.find(path).text = text

    return change


def natures(nature: str, rate: str = "0.00", of: tuple[str, ...] = (LINE, SUMMARY)):
    """Every rate of the file with a nature (or none), and sums that agree."""

    def change(root):
        for path in (LINE, SUMMARY):
            for element in root.findall(path):
                element.find("AliquotaIVA").text = rate
                if nature and path in of:
                    at(element, "AliquotaIVA", "Natura", nature)
        put(f"{SUMMARY}/Imposta", "0.00")(root)
        put(f"{GENERAL}/DatiGeneraliDocumento/ImportoTotaleDocumento", "19.80")(root)
        put(f"{FILE}/DatiPagamento/DettaglioPagamento/ImportoPagamento", "19.80")(root)

    return change


def both(*changes):
    def change(root):
        for one in changes:
            one(root)

    return change


def with_pec(address):
    return lambda root: at(root, f"{SENDING}/CodiceDestinatario", "PECDestinatario", address)


def same_as_seller(root):
    put(f"{BUYER}/DatiAnagrafici/CodiceFiscale", SELLER.codice_fiscale)(root)


def no_buyer_code(root):
    element = root.find(f"{BUYER}/DatiAnagrafici/CodiceFiscale")
    element.getparent().remove(element)


def second_summary(root):
    """The second line has a rate that the summary lacks; the sums of the first still hold."""
    second = root.findall(LINE)[1]
    second.find("AliquotaIVA").text = "10.00"
    put(f"{SUMMARY}/ImponibileImporto", "9.90")(root)
    put(f"{SUMMARY}/Imposta", "2.18")(root)
    put(f"{GENERAL}/DatiGeneraliDocumento/ImportoTotaleDocumento", "12.08")(root)
    put(f"{FILE}/DatiPagamento/DettaglioPagamento/ImportoPagamento", "12.08")(root)


def small_rate(root):
    natures("", "0.22")(root)
    put(f"{SUMMARY}/Imposta", "0.04")(root)
    put(f"{GENERAL}/DatiGeneraliDocumento/ImportoTotaleDocumento", "19.84")(root)
    put(f"{FILE}/DatiPagamento/DettaglioPagamento/ImportoPagamento", "19.84")(root)


def forget_the_invoice(root):
    element = root.find(f"{GENERAL}/DatiFattureCollegate")
    element.getparent().remove(element)


# code, the field it is said beside, the file, what breaks it. Twice in a file: said twice.
BROKEN = [
    ("00428", f"{SENDING}/FormatoTrasmissione", invoice(BODY), lambda root: root.set("versione", "FPR12")),
    ("00427", "sdi_code", invoice(), put(f"{SENDING}/CodiceDestinatario", "UF1234")),
    ("00427", "sdi_code", invoice(BODY), put(f"{SENDING}/CodiceDestinatario", "ABC1234")),
    ("00426", "sdi_pec", invoice(), both(put(f"{SENDING}/CodiceDestinatario", "ABC1234"), with_pec("a@pec.it"))),
    ("00330", "sdi_pec", invoice(), with_pec("sdi01@pec.fatturapa.it")),
    ("00313", "sdi_code", invoice(), put(f"{SENDING}/CodiceDestinatario", "XXXXXXX")),
    (
        "00300", f"{SENDING}/IdTrasmittente/IdCodice", invoice(),
        put(f"{SENDING}/IdTrasmittente/IdCodice", "01234560158"),
    ),
    (
        "00301", f"{SELLING}/DatiAnagrafici/IdFiscaleIVA/IdCodice", invoice(),
        put(f"{SELLING}/DatiAnagrafici/IdFiscaleIVA/IdCodice", "01234560158"),
    ),
    (
        "00302", f"{SELLING}/DatiAnagrafici/CodiceFiscale", invoice(),
        put(f"{SELLING}/DatiAnagrafici/CodiceFiscale", "RSSLCA80A41H501X"),
    ),
    (
        "00305", "partita_iva", invoice(BODY),
        put(f"{BUYER}/DatiAnagrafici/IdFiscaleIVA/IdCodice", "00514490011"),
    ),
    (
        "00305", "partita_iva", invoice(BODY),
        put(f"{BUYER}/DatiAnagrafici/IdFiscaleIVA/IdCodice", "IT00514490010"),
    ),
    ("00306", "codice_fiscale", invoice(), put(f"{BUYER}/DatiAnagrafici/CodiceFiscale", "RSSLCA80A41H501X")),
    ("00306", "codice_fiscale", invoice(BODY), put(f"{BUYER}/DatiAnagrafici/CodiceFiscale", "00514490011")),
    ("00417", "codice_fiscale", invoice(), no_buyer_code),
    ("00471", "codice_fiscale", invoice(), same_as_seller),
    ("00403", f"{GENERAL}/DatiGeneraliDocumento/Data", invoice(issued_on=DAY + timedelta(days=1)), lambda root: None),
    (
        "00418", f"{GENERAL}/DatiGeneraliDocumento/Data", note(),
        put(f"{GENERAL}/DatiGeneraliDocumento/Data", (DAY - timedelta(days=1)).isoformat()),
    ),
    ("00425", f"{GENERAL}/DatiGeneraliDocumento/Numero", invoice(number="FATTURA"), lambda root: None),
    ("00400", f"{LINE}/Natura", invoice(), natures("N2.2", of=(SUMMARY,))),
    ("00401", f"{LINE}/Natura", invoice(), lambda root: at(root.find(LINE), "AliquotaIVA", "Natura", "N2.2")),
    ("00429", f"{SUMMARY}/Natura", invoice(), natures("N2.2", of=(LINE,))),
    ("00430", f"{SUMMARY}/Natura", invoice(), lambda root: at(root.find(SUMMARY), "AliquotaIVA", "Natura", "N2.2")),
    ("00424", f"{LINE}/AliquotaIVA", invoice(), small_rate),
    ("00445", f"{LINE}/Natura", invoice(), natures("N2")),
    (
        "00420", f"{SUMMARY}/EsigibilitaIVA", invoice(BODY, split=True), natures("N6.9"),
    ),
    ("00443", f"{SUMMARY}/AliquotaIVA", invoice(), second_summary),
    ("00444", f"{SUMMARY}/Natura", invoice(), lambda root: at(root.find(LINE), "AliquotaIVA", "Natura", "N2.2")),
    ("00423", f"{LINE}/PrezzoTotale", invoice(), put(f"{LINE}/PrezzoUnitario", "9.88")),
    ("00422", f"{SUMMARY}/ImponibileImporto", invoice(), put(f"{LINE}/PrezzoTotale", "9.91")),
    (
        "00421", f"{SUMMARY}/Imposta", invoice(),
        both(
            put(f"{SUMMARY}/Imposta", "4.38"),
            put(f"{GENERAL}/DatiGeneraliDocumento/ImportoTotaleDocumento", "24.18"),
            put(f"{FILE}/DatiPagamento/DettaglioPagamento/ImportoPagamento", "24.18"),
        ),
    ),
    (
        "TOTALE", f"{GENERAL}/DatiGeneraliDocumento/ImportoTotaleDocumento", invoice(),
        put(f"{GENERAL}/DatiGeneraliDocumento/ImportoTotaleDocumento", "24.15"),
    ),
    (
        "PAGAMENTO", f"{FILE}/DatiPagamento/DettaglioPagamento/ImportoPagamento", invoice(BODY, split=True),
        put(f"{FILE}/DatiPagamento/DettaglioPagamento/ImportoPagamento", "24.16"),
    ),
    ("PERIODO", f"{LINE}/DataFinePeriodo", invoice(), put(f"{LINE}/DataFinePeriodo", "2026-11-19")),
    ("STORNO", f"{GENERAL}/DatiFattureCollegate", note(), forget_the_invoice),
    (
        "TIPO", f"{GENERAL}/DatiGeneraliDocumento/TipoDocumento", invoice(),
        put(f"{GENERAL}/DatiGeneraliDocumento/TipoDocumento", "TD24"),
    ),
    ("ESTERO", "country", invoice(), put(f"{BUYER}/Sede/Nazione", "FR")),
]  # fmt: skip
# What else the same fault is, by the agency's own list: a nature where there should be none has no summary, and so on.
ALONG_WITH = {
    "00400": {"00444", "00422"}, "00401": {"00444", "00422"}, "00429": {"00444", "00422"}, "00430": {"00444", "00422"},
    "00444": {"00401", "00422"},
}  # fmt: skip


@pytest.mark.parametrize("document", [invoice(), invoice(BODY), invoice(BODY, split=True), note(), note(BODY)])
def test_what_is_right_passes(document):
    assert checks.review(document, today=DAY) == []


@pytest.mark.parametrize(("code", "field", "document", "change"), BROKEN)
def test_each_control_finds_what_was_made_for_it(code, field, document, change):
    root = schema_check.parse(write(document))
    change(root)
    found = checks.findings(etree.tostring(root), today=DAY)
    assert (code, field) in {(f.code, f.field) for f in found}
    assert {f.code for f in found} - {code} == ALONG_WITH.get(code, set())
    assert all(f.sentence.endswith(".") and "RSSLCA" not in f.sentence for f in found)


def test_every_control_has_a_file_that_breaks_it():
    source = Path(checks.__file__).read_text().split("def _malformed")[1]
    named = set(re.findall(r'"(00\d{3})"', source)) | {"TOTALE", "PAGAMENTO", "PERIODO", "STORNO", "TIPO", "ESTERO"}
    assert len(named) > 25
    assert {code for code, *_ in BROKEN} == named


# --- The schema -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "written", "field"),
    [
        (f"{BUYER}/DatiAnagrafici/CodiceFiscale", "rsslca80a41h501u", "codice_fiscale"),
        (f"{BUYER}/DatiAnagrafici/Anagrafica/Nome", "Ž", "first_name"),
        (f"{BUYER}/DatiAnagrafici/Anagrafica/Cognome", "R" * 61, "last_name"),
        (f"{BUYER}/Sede/CAP", "184", "postal_code"),
        (f"{BUYER}/Sede/Provincia", "Roma", "province"),
        (f"{SENDING}/CodiceDestinatario", "abc1234", "sdi_code"),
        (f"{GENERAL}/DatiGeneraliDocumento/Numero", "2" * 21, f"{GENERAL}/DatiGeneraliDocumento/Numero"),
        (f"{SUMMARY}/Imposta", "4.3", f"{SUMMARY}/Imposta"),
    ],
)
def test_what_is_not_as_the_schema_says_is_found_beside_its_field(path, written, field):
    root = schema_check.parse(write(invoice()))
    root.find(path).text = written
    (found,) = checks.findings(etree.tostring(root), today=DAY)
    assert (found.code, found.field) == ("00200", field)
    assert written not in found.sentence  # it is the customer's


def test_a_file_that_is_no_invoice_is_found_and_nothing_is_fetched():
    assert [f.code for f in checks.findings(b"no", today=DAY)] == ["00200"]
    assert [f.code for f in checks.findings(b"<a/>", today=DAY)] == ["00200"]
    bomb = b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>'
    assert [f.code for f in checks.findings(bomb, today=DAY)] == ["00200"]
    assert b"&e;" in etree.tostring(schema_check.parse(bomb))


def test_a_signature_has_its_schema_here():
    """The import of xmldsig was followed: a signature of nothing is refused for what it lacks, not as unknown."""
    root = schema_check.parse(write(invoice()))
    root.append(etree.Element("{http://www.w3.org/2000/09/xmldsig#}Signature"))
    assert schema_check.broken_paths(root) == ["Signature"]


@pytest.mark.parametrize("path", [schema_check.FATTURA, schema_check.SIGNATURE])
def test_the_schemas_are_the_published_ones(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"| `{path.name}` |" in (readme := (schema_check.FOLDER / "README.md").read_text())
    assert digest in readme.split(path.name)[1].split("\n")[0]
