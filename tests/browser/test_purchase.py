"""A deleted address bought again in a real browser: to In attivazione, then to Attiva (R30)."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mailboxes.models import Mailbox
from pecportal.formats import day, fino
from renewals.models import Order
from tests.browser.test_accessibility import LOOKS, fits
from tests.browser.test_renewal import CONFIRM, NEXT, assert_styled, confirm
from tests.buying import activate, buy, deleted, new_life
from tests.helpers import pay_card

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")  # a folder to look at what the browser saw
BUY = re.compile("^Acquista di nuovo")


@pytest.fixture
def gone(make_box, alice):
    return deleted(make_box(alice, "persa", plan="pro", expires_in=-150))


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def to_step_three(page: Page) -> None:
    page.get_by_role("link", name=BUY).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Acquisto di")
    for step in (1, 2):
        expect(page.get_by_role("heading", level=1)).to_contain_text(f"Passo {step} di 3")
        page.get_by_role("button", name=NEXT).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Passo 3 di 3")


def test_from_cancellata_to_attiva_with_the_sandbox_card(page, sign_in, alice, gone, mails):
    sign_in(page, alice.username)
    page.goto("/area-clienti/pec/")
    assert_styled(page)
    to_step_three(page)
    for choice in ("input[name=years][value='2']", "input[name=method][value=sandbox]"):
        with page.expect_response("**/acquista/pagamento/riepilogo/"):  # none is on its way when the form leaves
            page.locator(choice).check()
    expect(page.locator("#riepilogo-totale")).to_have_text("€\u00a048,56")
    page.locator("input[name=terms]").check()
    page.get_by_role("button", name=CONFIRM).click()
    page.get_by_role("button", name="Paga", exact=True).click()
    main = page.get_by_role("main")
    expect(main).to_contain_text("In attivazione")
    order, box = Order.objects.get(), new_life(gone)
    assert (order.status, box.phase, box.expires_on) == ("paid", "activating", None)
    other = page.context.new_page()  # this one looks again by itself, and is not left meanwhile
    other.goto(f"/area-clienti/pec/{box.public_id}/")
    expect(other.get_by_role("main")).to_contain_text("La stiamo attivando")
    assert activate() == 1
    box = new_life(gone)
    expect(main).to_contain_text(f"Attiva {fino(box.expires_on)}", timeout=60_000)
    expect(main).to_contain_text("Imposta la password")
    expect(main).to_contain_text("Rinnovo automatico: attivo")
    page.get_by_role("link", name="Vai alla casella").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("persa")
    expect(main.get_by_text("Ultimo giorno di servizio").locator("..")).to_contain_text(day(box.expires_on))
    expect(main).to_contain_text(f"perché l'ordine {order.number} ha attivato la casella")
    page.goto(f"/area-clienti/pec/{gone.public_id}/")
    expect(main).to_contain_text("Riacquistata")
    expect(page.get_by_role("link", name=BUY)).to_have_count(0)
    sent = mails()
    assert f"ordine {order.number} da pagare" in sent
    assert f"Subject: persa@pec.example è attiva {fino(box.expires_on)}" in sent
    assert "Non ricordo la password" in sent


def test_without_javascript_the_total_is_shown_anew(new_page, sign_in, alice, gone):
    page = new_page(js=False)
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{gone.public_id}/")
    to_step_three(page)
    page.locator("input[name=years][value='3']").check()
    page.locator("input[name=method][value='transfer']").check()
    page.locator("input[name=terms]").check()
    page.get_by_role("button", name=CONFIRM).click()
    expect(page.get_by_role("main")).to_contain_text("72,83")  # 3 × 19.90 × 1.22, shown before it is ordered
    assert Order.objects.count() == 0
    page.get_by_role("button", name=CONFIRM).click()
    assert (Order.objects.get().years, str(Order.objects.get().total)) == (3, "72.83")
    expect(page.get_by_role("main")).to_contain_text("La casella si attiva appena arriva")


@pytest.mark.parametrize(("width", "dark"), [*LOOKS, (768, False)])
def test_every_page_on_every_screen(new_page, sign_in, axe, alice, make_box, width, dark):
    gone = deleted(make_box(alice, "persa" + "a" * 40, plan="pro", expires_in=-150))
    page, look = new_page(width=width, dark=dark), f"{width}-{'dark' if dark else 'light'}"
    sign_in(page, alice.username)

    def check(name: str) -> None:
        assert_styled(page)
        shot(page, f"{name}-{look}")
        assert axe(page) == [], page.url
        assert fits(page), f"{page.url} scrolls sideways"

    page.goto("/area-clienti/pec/")
    check("1-list")
    page.goto(f"/area-clienti/pec/{gone.public_id}/")
    check("2-box")
    page.get_by_role("link", name=BUY).click()
    check("3-plan")
    page.get_by_role("button", name=NEXT).click()
    check("4-holder")
    page.get_by_role("button", name=NEXT).click()
    page.get_by_role("button", name=CONFIRM).click()
    expect(page.get_by_role("main")).to_contain_text("Scegli come pagare")
    check("5-confirm-error")
    confirm(page, method="transfer")
    check("6-transfer")
    order = Order.objects.get()
    page.goto("/area-clienti/pec/")
    check("7-list-order")
    page.goto(f"/area-clienti/ordini/{order.number}/paga/")
    check("8-pay")
    pay_card(order, alice)
    page.goto(f"/area-clienti/ordini/{order.number}/esito/?giro=24")  # as when it has looked often enough
    check("9-in-activation")
    page.goto(f"/area-clienti/pec/{new_life(gone).public_id}/")
    check("10-box-in-activation")
    page.goto(f"/area-clienti/ordini/{order.number}/recesso/")
    check("11-withdraw-before")
    activate()
    page.goto(f"/area-clienti/ordini/{order.number}/esito/")
    check("12-active")
    page.goto(f"/area-clienti/ordini/{order.number}/")
    check("13-order")
    page.goto(f"/area-clienti/ordini/{order.number}/recesso/")
    check("14-withdraw-after")
    page.goto("/area-clienti/pec/")
    check("15-list-new-life")


def test_another_holder_reads_the_reason(page, sign_in, alice, gone):
    from mailboxes.models import Address

    Address.objects.filter(pk=gone.address_id).update(tombstone="f" * 64)
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{gone.public_id}/acquista/")
    expect(page.get_by_role("main")).to_contain_text("Solo il titolare di allora")
    assert Order.objects.count() == 0 and Mailbox.objects.count() == 1


def test_an_open_order_is_paid_or_cancelled_from_the_card(page, sign_in, alice, gone):
    order = buy(gone, alice)
    sign_in(page, alice.username)
    page.goto("/area-clienti/pec/")
    expect(page.get_by_role("main")).to_contain_text(f"C'è già un ordine di acquisto ({order.number}")
    page.get_by_role("link", name=re.compile("^Annulla")).first.click()
    expect(page.get_by_role("main")).to_contain_text("la casella non verrà attivata")
    page.get_by_role("button", name=re.compile("Annulla")).click()
    page.wait_for_load_state()
    page.goto("/area-clienti/pec/")
    expect(page.get_by_role("link", name=BUY)).to_have_count(1)
