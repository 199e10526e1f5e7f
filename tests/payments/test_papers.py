"""Documents on paper: what PDF/A asks for, letters that people have in their names, a failure that stops nothing."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import pytest
from django.core.cache import caches
from django.urls import reverse
from pypdf import PdfReader

from accounts.models import BillingProfile
from payments import papers
from renewals.models import Order
from tests.helpers import pay_transfer, place
from tests.payments.test_outcome import words


@pytest.fixture(autouse=True)
def _fresh(settings, tmp_path):
    caches["papers"].clear()


def read(content: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(content))


def said(content: bytes) -> str:
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in read(content).pages))


LETTERS = "<html lang='it'><head><title>Prova</title></head><body><h1>Lettere</h1><p>{}</p></body></html>"


def test_letters_of_both_font_files_are_read_back_as_they_were():
    """Of two files of one family WeasyPrint embedded one, and Łódź was drawn with other letters."""
    names = "Àccènti ìòù, Łódź, Žižek, Ősi, Şerban, Đorđe, € 12,08"
    content = papers.draw(LETTERS.format(names))
    assert names in said(content)
    fonts = {f["/BaseFont"] for page in read(content).pages for f in fonts_of(page)}
    assert len(fonts) == 3 and all("Paper" in name for name in fonts), fonts


def fonts_of(page):
    return [font.get_object() for font in page["/Resources"]["/Font"].values()]


def test_what_pdf_a_3a_asks_for():
    """ISO 19005-3: its own statement, tags, a language, an output intent, fonts inside."""
    content = papers.draw(LETTERS.format("a"), papers.Attached("a.xml", b"<a/>", "originale"))
    pdf = read(content)
    root = pdf.trailer["/Root"]
    xmp = root["/Metadata"].get_object().get_data().decode()
    assert re.search(r'pdfaid:part(>|=")3', xmp) and re.search(r'pdfaid:conformance(>|=")A', xmp)
    assert (root["/MarkInfo"]["/Marked"], root["/Lang"]) == (True, "it")
    assert root["/StructTreeRoot"]["/K"]
    (intent,) = root["/OutputIntents"]
    assert intent.get_object()["/S"] == "/GTS_PDFA1"
    assert pdf.trailer["/ID"] and "/Encrypt" not in pdf.trailer
    for page in pdf.pages:
        for font in fonts_of(page):
            (kid,) = font["/DescendantFonts"]
            assert "/FontFile2" in kid.get_object()["/FontDescriptor"]


def test_a_document_is_drawn_once_and_anew_when_it_says_something_else():
    with patch.object(papers, "draw", side_effect=lambda html, attached: html.encode()) as drawn:
        one = papers.kept("R-1", "<p>a", papers.Attached("a.xml", b"<a/>", ""))
        assert papers.kept("R-1", "<p>a", papers.Attached("a.xml", b"<a/>", "")) == one
        assert drawn.call_count == 1
        papers.kept("R-1", "<p>b", papers.Attached("a.xml", b"<a/>", ""))
        papers.kept("R-1", "<p>a", papers.Attached("a.xml", b"<b/>", ""))
        papers.kept("R-1", "<p>a")
        papers.kept("R-2", "<p>a", papers.Attached("a.xml", b"<a/>", ""))
    assert drawn.call_count == 5


def test_a_document_fetches_nothing(live_server_never):
    content = papers.draw(LETTERS.format(f"<img src='{live_server_never.url}/x.png' alt='x'>"))
    assert live_server_never.asked == 0
    assert read(content).pages


@pytest.fixture
def live_server_never():
    """A server that counts who comes."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread
    from types import SimpleNamespace

    seen = SimpleNamespace(asked=0, url="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.asked += 1
            self.send_error(404)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    seen.url = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield seen
    server.shutdown()
    server.server_close()


def test_several_at_once_come_out_as_they_would_one_by_one():
    """The threads of gunicorn share the fonts, which Pango does not promise to bear: they take turns."""
    pages = [LETTERS.format(f"numero {n} " * 50) for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(papers.draw, pages))
    assert [said(content).count(f"numero {n} ") > 40 for n, content in enumerate(made)] == [True] * 8


# --- The order's summary ----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_summary_of_an_order_says_what_its_page_says(browser_of, alice, dario, box):
    order = place(box, alice)
    pay_transfer(order, dario)
    answer = browser_of(alice).get(reverse("payments:order_pdf", args=[order.number]))
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    assert answer["Content-Disposition"] == f'inline; filename="{order.number}.pdf"'
    text = said(answer.content)
    for part in (
        f"Ordine {order.number}", "alice@pec.example", "Imponibile € 9,90", "IVA 22 % € 2,18", "Totale € 12,08",
        "Dati di fatturazione", "RSSLCA80A41H501U", "Questo è un riepilogo, non una fattura", "Bonifico",
    ):  # fmt: skip
        assert part in text, (part, text)


@pytest.mark.django_db
def test_on_paper_a_mailbox_login_sees_no_more_than_on_the_page(browser_of, alice, box):
    """Hers is another file than the account's, though the order is one (R1)."""
    BillingProfile.objects.filter(user=alice).update(address="via del Segreto 9")
    order = place(box, alice)
    address = reverse("payments:order_pdf", args=[order.number])
    assert "via del Segreto 9" in said(browser_of(alice).get(address).content)
    text = said(browser_of(box.login).get(address).content)
    assert order.number in text and "via del Segreto 9" not in text and "Dati di fatturazione" not in text


@pytest.mark.django_db
def test_in_english(browser_of, alice, box):
    order = place(box, alice)
    client = browser_of(alice)
    client.cookies["lingua"] = "en"
    content = client.get(reverse("payments:order_pdf", args=[order.number])).content
    assert read(content).trailer["/Root"]["/Lang"] == "en"
    assert "Total €12.08" in said(content)


@pytest.mark.django_db
def test_a_document_that_cannot_be_drawn_says_so_and_changes_nothing(browser_of, alice, box):
    order = place(box, alice)
    client = browser_of(alice)
    for name in ("order_pdf", "transfer_pdf"):
        address = reverse(f"payments:{name}", args=[order.number])
        with patch.object(papers, "_dress", side_effect=OSError("no fonts")):
            answer = client.get(address)
        page = words(answer)
        assert answer.status_code == 503
        assert "riprova fra qualche minuto" in page and "Riprova" in page
        assert client.get(address)["Content-Type"] == "application/pdf"
    assert Order.objects.get().status == "awaiting_payment"
