"""Invoices in a real browser: the customer's list and files, the bookkeeper's queue, export and numbers."""

import io
import os
import zipfile
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest
from pypdf import PdfReader

from payments.models import Invoice
from renewals.models import Order
from tests.helpers import pay_transfer, place
from tests.payments.invoicing.invoice_rows import credited, issued

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")  # a folder to look at what the browser saw
LIST = "/area-clienti/fatture/"
LOOKS = [(360, False), (360, True), (768, False), (1280, False), (1280, True)]
LONGEST = "a" * 64
State = Invoice.State


def shot(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


@pytest.fixture
def invoices(make_box, alice, dario, today) -> list[Invoice]:
    """One of each standing, over two years, one with a credit note; the first for the longest address allowed."""
    found = []
    names = [LONGEST, "uno", "due", "tre", "quattro", "cinque"]
    states = [State.READY, State.SENT, State.DELIVERED, State.UNDELIVERED, State.REJECTED, State.REFUSED]
    for number, (name, state) in enumerate(zip(names, states, strict=True), 1):
        order = place(make_box(alice, name), alice)
        pay_transfer(order, dario, reference=f"CRO{number}")
        on = date(2025, 6, 1) if number == 3 else date(2026, 10, 20) + timedelta(number)
        found.append(issued(Order.objects.get(pk=order.pk), number=number, on=on, state=state, due_on=today))
    credited(found[2], number=7, amount=D("4.00"), on=date(2026, 10, 28))
    return found


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_the_list_looks_well_and_is_read_out_well(new_page, sign_in, alice, invoices, axe, width, dark):
    page = new_page(width=width, dark=dark)
    sign_in(page, alice.username)
    page.goto(LIST)
    assert page.locator("tbody tr").count() == 7
    assert axe(page) == [] and fits(page)
    shot(page, f"fatture-{width}{'-dark' if dark else ''}")
    page.goto(f"/area-clienti/ordini/{invoices[2].order.number}/")
    assert axe(page) == [] and fits(page)
    shot(page, f"ordine-{width}{'-dark' if dark else ''}")


def test_without_invoices(page, sign_in, alice, axe):
    sign_in(page, alice.username)
    page.goto(LIST)
    assert "Nessuna fattura" in page.inner_text("main")
    assert axe(page) == []
    shot(page, "fatture-nessuna")


def test_from_the_first_page_to_the_files(page, sign_in, alice, invoices):
    sign_in(page, alice.username)
    page.goto("/area-clienti/")
    page.get_by_role("link", name="Fatture", exact=True).click()
    page.wait_for_url(f"**{LIST}")
    page.get_by_label("Anno").select_option("2025")
    page.get_by_role("button", name="Applica").click()
    page.wait_for_url("**anno=2025*")
    assert [row.split("\t")[0] for row in page.locator("tbody tr").all_inner_texts()] == [
        "PEC-2025-3", "Nota di credito\nPEC-2026-7",
    ]  # fmt: skip
    with page.expect_download() as coming:
        page.get_by_role("link", name="XML della fattura PEC-2025-3").click()
    download = coming.value
    assert download.suggested_filename == invoices[2].file_name
    assert Path(download.path()).read_bytes() == bytes(invoices[2].xml)
    address = page.get_by_role("link", name="PDF della fattura PEC-2025-3").get_attribute("href")
    answer = page.request.get(address)
    assert answer.headers["content-type"] == "application/pdf"
    pdf = PdfReader(io.BytesIO(answer.body()))
    assert "copia di cortesia" in pdf.pages[0].extract_text()
    assert pdf.attachments[invoices[2].file_name] == [bytes(invoices[2].xml)]
    page.get_by_role("link", name="Togli i filtri").click()
    page.locator("input[name=q]").fill("quattro@")
    page.get_by_role("button", name="Applica").click()
    assert page.locator("tbody tr").count() == 1
    page.locator("input[name=q]").fill("nessuno")
    page.get_by_role("button", name="Applica").click()
    assert "Nessuna fattura trovata" in page.inner_text("main")
    page.get_by_role("link", name="Vedi tutte le fatture").click()
    assert page.locator("tbody tr").count() == 7


def test_the_keyboard_alone_reaches_the_files_without_scripts(new_page, sign_in, alice, invoices):
    page = new_page(js=False)
    sign_in(page, alice.username)
    page.goto(LIST)
    seen = []
    for _press in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert "PDF della fattura PEC-2025-3" in [" ".join(text.split()) for text in seen]


def test_the_bookkeepers_day(page, sign_in, dario, invoices, axe):
    sign_in(page, dario.username)
    page.goto("/admin/payments/invoice/")
    shot(page, "admin-coda")
    assert page.locator("#result_list tbody tr").count() == 2
    assert "2 documenti da sistemare" in page.title()
    assert axe(page) == []
    page.get_by_role("link", name="PEC-2026-5", exact=True).click()
    page.wait_for_url("**/change/")
    assert "Correggi e reinvia con lo stesso numero entro" in page.inner_text("body")
    shot(page, "admin-fattura")
    page.get_by_role("link", name="Correggi e reinvia").click()
    page.get_by_role("button", name="Correggi e reinvia").click()
    page.wait_for_url("**/change/")
    assert "Corretta: parte da sola con lo stesso numero e la stessa data." in page.inner_text("body")
    assert Invoice.objects.get(number=5).state == State.READY

    page.goto("/admin/payments/invoice/esporta/")
    page.locator("input[name=first]").fill("1/1/2025")
    page.locator("input[name=last]").fill("31/12/2024")
    page.get_by_role("button", name="Scarica lo ZIP").click()
    assert "L'ultimo giorno viene prima del primo." in page.inner_text("#content-main")
    shot(page, "admin-esporta")
    page.locator("input[name=last]").fill("31/12/2026")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Scarica lo ZIP").click()
    made = zipfile.ZipFile(coming.value.path())
    assert made.testzip() is None and len(made.namelist()) == 8
    assert made.namelist()[-1] == "registro.csv"

    page.goto("/admin/payments/invoice/")
    page.get_by_role("link", name="Numerazione").click()
    told = page.inner_text("#content-main").lower()
    assert "da controllare" in told  # 1 and 2 of 2025 were never taken
    assert axe(page) == []
    shot(page, "admin-numerazione")
    page.goto("/admin/payments/sdireceipt/carica/")
    shot(page, "admin-ricevuta")
