"""A domain and its boxes renewed in a real browser, from one of the boxes to the moved expiry (R17)."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from mailboxes.models import Domain, Mailbox
from mailboxes.rules import add_years
from payments.models import AutoRenewal
from pecportal.formats import day, fino
from renewals.models import Order
from tests.browser.test_accessibility import fits
from tests.browser.test_renewal import CONFIRM, NEXT, assert_styled
from tests.domains import domain_of, on_domain, place_domain
from tests.helpers import pay_card

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")  # a folder to look at what the browser saw
LOOKS = [(360, True), (768, False), (1280, False)]


def after(domain: Domain, years: int):
    return add_years(domain.expires_on, years, anchor_month=domain.anchor_month, anchor_day=domain.anchor_day)


@pytest.fixture
def domain(alice, make_box):
    found = domain_of(alice)
    on_domain(make_box, found, "info", "ufficio")
    on_domain(make_box, found, "bruno", holder="bruno")
    return found


def test_from_a_box_to_its_domain_to_the_moved_expiry_by_card(page, sign_in, alice, domain, mails):
    sign_in(page, alice.username)
    page.get_by_role("link", name="Gestisci").first.click()
    page.get_by_role("link", name="info@pec.rossi.example").first.click()
    page.get_by_role("link", name="Vai al dominio").click()
    page.get_by_role("link", name="Rinnova").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Passo 1 di 3")
    assert_styled(page)
    for name in ("info@pec.rossi.example", "ufficio@pec.rossi.example", "bruno@pec.rossi.example"):
        expect(page.get_by_role("main")).to_contain_text(name)
    expect(page.locator("#riepilogo-totale")).to_have_text("€\u00a043,92")
    page.locator("input[name=years][value='2']").check()
    expect(page.locator("#riepilogo-totale")).to_have_text("€\u00a087,84")
    expect(page.locator("#righe")).to_contain_text("€\u00a016,00")
    page.get_by_role("button", name=NEXT).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Passo 2 di 3")
    page.get_by_label("E-mail per questo ordine").fill("ordine@posta.example")
    page.get_by_role("button", name=NEXT).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Passo 3 di 3")
    expect(page.get_by_role("main")).not_to_contain_text("innovo automatico")
    page.locator("input[name=method][value='sandbox']").check()
    page.locator("input[name=terms]").check()
    page.get_by_role("button", name=CONFIRM).click()
    page.get_by_role("button", name="Paga", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Rinnovato {fino(after(domain, 2))}")
    assert {d.expires_on for d in [Domain.objects.get(), *Mailbox.objects.all()]} == {after(domain, 2)}
    order = Order.objects.get()
    assert (order.status, str(order.total), AutoRenewal.objects.count()) == ("fulfilled", "87.84", 0)
    page.get_by_role("link", name="Vai al dominio").click()
    expect(page.get_by_role("main")).to_contain_text(day(after(domain, 2)))
    sent = mails()
    assert f"Subject: rossi.example: ordine {order.number} da pagare" in sent
    assert f"Subject: rossi.example è rinnovato {fino(after(domain, 2))}" in sent
    assert "- bruno@pec.rossi.example" in sent


def test_without_javascript(new_page, sign_in, alice, domain):
    page = new_page(js=False, width=360)
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/domini/{domain.public_id}/rinnova/")
    page.locator("input[name=years][value='3']").check()
    page.get_by_role("button", name="Aggiorna il riepilogo").click()
    expect(page.locator("#riepilogo-totale")).to_have_text("€\u00a0131,76")
    page.get_by_role("button", name=NEXT).click()
    page.get_by_role("button", name=NEXT).click()
    page.locator("input[name=method][value='transfer']").check()
    page.locator("input[name=terms]").check()
    page.get_by_role("button", name=CONFIRM).click()
    expect(page.get_by_role("main")).to_contain_text("Dominio e caselle restano come sono finché non arriva.")
    assert (Order.objects.get().years, str(Order.objects.get().total)) == (3, "131.76")


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_every_page_on_every_screen(new_page, sign_in, axe, alice, make_box, domain, width, dark):
    many = domain_of(alice, "molte.example", expires_in=-12)
    on_domain(make_box, many, *[f"casella{n:02}" for n in range(12)])
    long = domain_of(alice, f"{'un-nome-molto-lungo-' * 3}fine.example", expires_in=-95)
    on_domain(make_box, long, "l" * 64)
    page, look = new_page(width=width, dark=dark), f"{width}-{'dark' if dark else 'light'}"
    sign_in(page, alice.username)

    def check(name: str, path: str = "") -> None:
        if path:
            page.goto(path)
        assert_styled(page)
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{look}.png"), full_page=True)
        assert axe(page) == [], page.url
        assert fits(page), f"{page.url} scrolls sideways"

    base = f"/area-clienti/domini/{domain.public_id}/"
    check("list", "/area-clienti/domini/")
    check("domain", base)
    check("box", f"/area-clienti/pec/{domain.boxes.first().public_id}/")
    check("many-1", f"/area-clienti/domini/{many.public_id}/rinnova/")
    check("step-1", f"{base}rinnova/")
    page.get_by_role("button", name=NEXT).click()
    check("step-2")
    page.get_by_label("E-mail per questo ordine").fill("info@pec.rossi.example")
    page.get_by_role("button", name=NEXT).click()
    check("step-2-error")
    page.get_by_label("E-mail per questo ordine").fill("ordine@posta.example")
    page.get_by_role("button", name=NEXT).click()
    page.get_by_role("button", name=CONFIRM).click()
    check("step-3-error")
    page.locator("input[name=method][value='transfer']").check()
    page.locator("input[name=terms]").check()
    page.get_by_role("button", name=CONFIRM).click()
    check("outcome-transfer")
    order = Order.objects.get()
    check("order", f"/area-clienti/ordini/{order.number}/")
    check("cancel", f"/area-clienti/ordini/{order.number}/annulla/")
    check("domain-ordered", base)
    pay_card(order, alice)
    check("outcome", f"/area-clienti/ordini/{order.number}/esito/")
    check("withdraw", f"/area-clienti/ordini/{order.number}/recesso/")
    place_domain(many, alice)
    check("list-ordered", "/area-clienti/domini/")
