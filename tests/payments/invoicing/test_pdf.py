"""The courtesy copy: what it says is what the file says, the file is inside it, and it says that it is a copy."""

import hashlib
import io
import re
from dataclasses import replace
from decimal import Decimal as D

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12
from django.core.cache import caches
from django.utils import translation
from pypdf import PdfReader

from payments.invoicing import paper, signing
from payments.invoicing.document import Line, Means, Paid
from payments.invoicing.pdf import courtesy_copy
from payments.invoicing.xml import write
from tests.payments.invoicing.documents import BODY, ROSSI, invoice, note
from tests.payments.invoicing.population import DAY
from tests.payments.invoicing.test_signing import certificate_of

FILE = "IT01234560157_00017.xml"


@pytest.fixture(autouse=True)
def _fresh():
    caches["papers"].clear()


def drawn(document) -> PdfReader:
    return PdfReader(io.BytesIO(courtesy_copy(write(document), file_name=FILE, key="chiave")))


def said(pdf: PdfReader) -> str:
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pdf.pages))


def test_an_invoice_says_all_that_its_file_says():
    text = said(drawn(invoice(payments=(Paid(Means.CARD, D("24.16"), paid_on=DAY),))))
    for part in (
        "Copia di cortesia", "Fattura 2026/17", "del 20 novembre 2026", "Posta Esempio S.p.A.", "via dell'Industria 7",
        "20121 Milano (MI)", "Partita IVA 01234560157", "REA MI 1234567, capitale sociale € 1.000.000,00",
        "Alice Rossi", "via Roma 1", "00184 Roma (RM)", "Codice fiscale RSSLCA80A41H501U",
        "Rinnovo per 1 anno della casella PEC a@pec.example 20/11/2026 – 19/11/2027 22 % € 9,90",
        "Imponibile € 19,80", "IVA 22 % € 4,36", "Totale € 24,16",
        "Carta o pagamento on-line 20 novembre 2026 € 24,16", "Ordine R-7KQ4M2 del 17/11/2026",
        "Questa è una copia di cortesia: non è la fattura.", f"L'originale è il file XML {FILE}", "1 / 1",
    ):  # fmt: skip
        assert part in text, (part, text)
    assert "scissione" not in text and "IBAN" not in text


def test_a_bodys_invoice_says_what_the_body_pays_and_to_whom():
    text = said(drawn(invoice(BODY, split=True)))
    for part in (
        "Totale € 24,16", "IVA versata dall'ente (scissione dei pagamenti) − € 4,36", "Da pagare al fornitore € 19,80",
        "Bonifico bancario, IBAN IT60X0542811101000000123456", "Ordine di acquisto: Det. 12/2026 del 20/11/2026",
        "CIG: Z1A2B3C4D5", "CUP: J31B24000010001",
    ):  # fmt: skip
        assert part in text, (part, text)


def test_a_credit_note_says_which_invoice_it_corrects_once():
    text = said(drawn(note()))
    assert "Nota di credito NC/1" in text and "Fattura stornata: 2026/17 del 20/11/2026" in text
    assert text.count("Storno parziale della fattura 2026/17") == 1
    assert "Pagamento" not in text and "Periodo" not in text


def test_the_original_is_inside_to_the_byte_as_its_source():
    document = invoice()
    pdf = drawn(document)
    root = pdf.trailer["/Root"]
    assert pdf.attachments == {FILE: [write(document)]}
    (spec,) = {ref.idnum: ref.get_object() for ref in root["/AF"]}.values()  # WeasyPrint names it twice
    assert (spec["/AFRelationship"], spec["/F"], spec["/UF"]) == ("/Source", FILE, FILE)
    assert spec["/Desc"] == "Fattura 2026/17: originale (FatturaPA)"
    file = spec["/EF"]["/F"].get_object()
    assert file["/Subtype"] in ("/application/xml", "/text/xml")
    assert file["/Params"]["/Size"] == len(write(document)) and "/ModDate" in file["/Params"]
    assert hashlib.sha256(file.get_data()).digest() == hashlib.sha256(write(document)).digest()


def test_of_a_signed_file_too(settings, tmp_path):
    """XAdES: the signature stands inside the file, which is attached with it."""
    made = rsa.generate_private_key(65537, 2048)
    file = tmp_path / "firma.p12"
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"f", made, certificate_of(made), None, NoEncryption()))
    settings.SIGNING_KEY, settings.SIGNING_PASSWORD = str(file), ""
    signed = signing.sign(write(invoice(BODY, split=True)))
    pdf = PdfReader(io.BytesIO(courtesy_copy(signed, file_name=FILE, key="firmata")))
    assert b"SignatureValue" in signed and pdf.attachments == {FILE: [signed]}
    assert "Da pagare al fornitore €\u00a019,80" in said(pdf).replace("€ ", "€\u00a0")


def tags(node, found: list[str]) -> list[str]:
    node = node.get_object()
    if isinstance(node, dict):
        found.append(str(node.get("/S", "")))
        kids = node.get("/K", [])
        for kid in kids if isinstance(kids, list) else [kids]:
            tags(kid, found)
    return found


def test_it_is_tagged_as_it_is_read():
    """Headings, tables with their headers, in Italian, under a title that tells one copy from another."""
    pdf = drawn(invoice())
    root = pdf.trailer["/Root"]
    found = tags(root["/StructTreeRoot"], [])
    assert {"/H1", "/H2", "/Table", "/TR", "/TH", "/TD", "/P"} <= set(found)
    assert found.count("/H1") == 1 and found.count("/Table") == 3
    assert (root["/Lang"], pdf.metadata.title) == ("it", "Fattura 2026/17 · copia di cortesia")
    xmp = root["/Metadata"].get_object().get_data().decode()
    assert re.search(r'pdfaid:part(>|=")3', xmp) and re.search(r'pdfaid:conformance(>|=")A', xmp)


def test_two_hundred_lines_go_on_over_the_pages_under_the_same_headers():
    lines = tuple(Line(f"Rinnovo per 1 anno della casella PEC c{n}@pec.rossi.example", D("4.90")) for n in range(200))
    pdf = drawn(invoice(lines=lines, taxable=D("980.00"), vat=D("215.60"), payments=()))
    pages = [page.extract_text() for page in pdf.pages]
    assert len(pages) > 3
    assert all("Descrizione" in text for text in pages[:-1])
    assert all(f"{n} / {len(pages)}" in text and "Fattura 2026/17 del" in text for n, text in enumerate(pages, 1))
    assert sum(text.count("€\u00a04,90") for text in pages) == 200
    assert len(pages[0].split("c0@pec")) == 2  # the first line is on the first page: no half empty one before it


def test_it_is_italian_whatever_the_screen_speaks():
    with translation.override("en"):
        text = said(drawn(invoice()))
    assert "del 20 novembre 2026" in text and "€ 24,16" in text


def test_what_a_customer_is_called_is_no_markup():
    text = said(drawn(invoice(replace(ROSSI, last_name="<b>Rossi</b> & figli"))))
    assert "Alice <b>Rossi</b> & figli" in text


def test_colours_of_ink_are_readable_in_grey():
    """Whatever the colour, text is at most half as light as paper: read from the page's own instructions."""
    pdf = drawn(invoice())
    inks = set()
    for page in pdf.pages:
        for red, green, blue in re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) rg", page.get_contents().get_data()):
            inks.add(0.2126 * float(red) + 0.7152 * float(green) + 0.0722 * float(blue))
    assert inks
    assert [ink for ink in inks if 0.5 < ink < 0.9] == []


def test_the_longest_words_stay_on_the_page():
    """A name of 80 letters and an address of 64 ran over the edge."""
    buyer = replace(ROSSI, first_name="", last_name="", company_name="B" * 80, address="v" * 60)
    line = Line(f"Rinnovo per 1 anno della casella PEC {'a' * 64}@pec.example", D("19.80"), DAY, DAY)
    (page,) = drawn(invoice(buyer, lines=(line,))).pages
    text = page.extract_text()
    assert "B" * 80 in text.replace("\n", "") and "B" * 80 not in text
    assert "a" * 64 in text.replace("\n", "") and "a" * 64 not in text


DTD = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>'


@pytest.mark.parametrize("content", [b"", b"<a/>", b"%PDF-1.7", DTD, write(invoice()).replace(b"TD01", b"TD99")])
def test_what_is_no_invoice_is_refused_and_nothing_of_it_is_told(content):
    with pytest.raises(paper.UnreadableError) as refused:
        courtesy_copy(content, file_name=FILE, key="chiave")
    assert str(refused.value) == "the file cannot be read as an invoice of ours"
