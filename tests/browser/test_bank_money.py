"""Bank money in a real browser: the customer's instructions, and a statement from the file to the paid order."""

import os
from decimal import Decimal
from pathlib import Path

import pytest

from payments import sync
from payments.models import Receipt, Statement
from renewals.models import Order
from tests.helpers import place
from tests.statement_files import OURS, camt, entry

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")  # a folder to look at what the browser saw


def shot(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


@pytest.fixture(autouse=True)
def _accounts(settings):
    settings.BANK_IBAN, settings.POSTAL_ACCOUNT = OURS, "001012345678"


def test_the_instructions_of_transfer_and_slip(new_page, sign_in, box, alice, axe):
    order = place(box, alice)
    page = new_page(width=360)
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/ordini/{order.number}/bonifico/")
    code = page.get_by_alt_text("Codice QR del bonifico")
    assert code.evaluate("image => image.complete && image.naturalWidth > 0")  # the policy lets it through
    assert axe(page) == []
    shot(page, "transfer-360")
    page.goto(f"/area-clienti/ordini/{order.number}/paga/")
    page.get_by_label("Bollettino postale").check()
    shot(page, "pay-360")
    page.get_by_role("button", name="Paga", exact=True).click()
    assert page.url.endswith("/bollettino/")
    assert axe(page) == []
    shot(page, "slip-360")
    page.get_by_role("button", name="Ho pagato il bollettino").click()
    assert "Aspettiamo il tuo bollettino" in page.inner_text("main")
    shot(page, "slip-declared-360")
    wide = new_page(width=1280, dark=True)
    sign_in(wide, alice.username)
    wide.goto(f"/area-clienti/ordini/{order.number}/bollettino/")
    shot(wide, "slip-1280-dark")
    if SHOTS:
        for method in ("transfer", "postal"):
            from payments.transfer import instructions, pdf

            order.method = method
            Path(SHOTS, f"{method}.pdf").write_bytes(pdf(order, instructions(order, amount=Decimal("12.08"))))


def test_a_statement_from_the_file_to_the_paid_order(page, sign_in, box, make_box, alice, dario, tmp_path):
    exact, less = place(box, alice), place(make_box(alice, "meno"), alice)
    bad, good = tmp_path / "sbagliato.xml", tmp_path / "estratto.xml"
    bad.write_bytes(camt([entry("R1", "0.00", exact.number)]))
    good.write_bytes(
        camt([
            entry("CRO 1", "12.08", exact.number), entry("CRO 2", "10.00", f"rinnovo {less.number} grazie"),
            entry("CRO 3", "55.00", "fattura 12"),
        ])
    )  # fmt: skip
    sign_in(page, dario.username)
    page.goto("/admin/payments/statement/carica/")
    page.locator("input[type=file]").set_input_files(bad)
    page.get_by_role("button", name="Leggi il file").click()
    assert "Riga 3: l'importo deve essere maggiore di zero." in page.inner_text("#content-main")
    shot(page, "statement-error")
    page.locator("input[type=file]").set_input_files(good)
    page.get_by_role("button", name="Leggi il file").click()
    page.wait_for_url("**/change/")
    told = page.inner_text("#content-main").lower()  # labels are capitals by style
    for words in ("Paga l'ordine", "meno del dovuto", "Nessun ordine", exact.number):
        assert words.lower() in told
    assert Receipt.objects.count() == 0
    shot(page, "statement-preview")
    page.get_by_role("link", name="Registra gli accrediti").click()
    shot(page, "statement-confirm")
    page.get_by_role("button", name="Registra gli accrediti").click()
    page.wait_for_url("**/change/")
    shot(page, "statement-applied")
    assert (Receipt.objects.count(), Statement.objects.get().applied_by) == (3, dario)
    sync.fulfil_due()
    assert Order.objects.get(pk=exact.pk).status == "fulfilled"
    page.goto(f"/admin/renewals/order/{less.pk}/impegno/")
    assert "non è intestato a una pubblica amministrazione" in page.inner_text("body")
    shot(page, "commitment-refused")
