"""A consumer leaves a contract in a real browser: from the order's page, in two steps, to the receipt (R26b)."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lifecycle.tasks import charge_due
from mailboxes.models import Mailbox, PaidPeriod, Plan
from payments import refunds
from payments.models import Payment, Refund, ScheduledCharge, Withdrawal
from payments.tasks import fulfil_due
from pecportal.formats import fino
from renewals.models import Order
from tests.browser.test_accessibility import LOOKS, fits
from tests.browser.test_automatic import switch_on
from tests.browser.test_renewal import assert_styled, confirm, to_step_three
from tests.helpers import pay_card, pay_transfer, place

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")  # a folder to look at what the browser saw
IBAN = "IT60X0542811101000000123456"


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def test_from_the_order_to_the_receipt_on_the_sandbox_card(page, sign_in, alice, box, mails):
    sign_in(page, alice.username)
    page.get_by_role("link", name="Gestisci").first.click()
    to_step_three(page, box)
    expect(page.get_by_role("main")).to_contain_text("Recedere dal contratto qui")  # said before the button
    confirm(page, method="sandbox")
    page.get_by_role("button", name="Paga", exact=True).click()
    order = Order.objects.get()
    assert (order.status, Mailbox.objects.get().expires_on > box.expires_on) == ("fulfilled", True)
    page.goto(f"/area-clienti/ordini/{order.number}/")
    page.get_by_role("link", name="Recedere dal contratto qui").click()
    expect(page.get_by_role("main")).to_contain_text("Tutto: non avevi chiesto")
    expect(page.get_by_label("Nome e cognome")).to_have_value("Alice Rossi")
    page.get_by_label("E-mail").fill("mario@posta.example")
    page.get_by_role("button", name="Continua").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Confermi il recesso")
    assert Withdrawal.objects.count() == 0  # nothing before the second step
    page.get_by_role("button", name="Conferma il recesso qui").click()
    expect(page.get_by_role("main")).to_contain_text("Recesso registrato: ti rimborsiamo €\u00a012,08")
    expect(page.get_by_role("link", name="Recedere dal contratto qui")).to_have_count(0)
    refunds.send_due()
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("Ti abbiamo restituito €\u00a012,08")
    found = Mailbox.objects.get()
    assert (Order.objects.get().status, found.expires_on, found.auto_renews) == ("reversed", box.expires_on, False)
    assert (Payment.objects.get().status, Refund.objects.get().status) == ("refunded", "done")
    sent = mails()
    receipt = next(part for part in sent.split("To: ") if "Recesso dall'ordine" in part or "recesso" in part.lower())
    assert order.number in receipt and "12,08" in receipt
    assert "To: mario@posta.example" in sent
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    expect(page.get_by_role("link", name="Rinnova").first).to_be_visible()


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_both_pages_on_every_screen(new_page, sign_in, axe, alice, make_box, dario, width, dark):
    """The longest: with its warning and its IBAN, an error, the refusal, the order before and afterwards."""
    box = make_box(alice, "cresce" + "e" * 40, expires_in=-40)
    order = place(box, alice, plan=Plan.objects.get(code="pro"), immediate_start=True)
    pay_transfer(order, dario)
    page, look = new_page(width=width, dark=dark), f"{width}-{'dark' if dark else 'light'}"
    sign_in(page, alice.username)

    def check(name: str) -> None:
        assert_styled(page)
        shot(page, f"{name}-{look}")
        assert axe(page) == [], page.url
        assert fits(page), f"{page.url} scrolls sideways"

    page.goto(f"/area-clienti/pec/{box.public_id}/")
    check("box")
    page.goto(f"/area-clienti/ordini/{order.number}/")
    check("order-before")
    page.get_by_role("link", name="Recedere dal contratto qui").click()
    check("step-1")
    page.get_by_role("button", name="Continua").click()
    check("step-1-error")
    page.get_by_label("IBAN").fill(IBAN)
    page.get_by_role("button", name="Continua").click()
    expect(page.get_by_role("button", name="Conferma il recesso qui")).to_be_visible()
    check("step-2")
    page.get_by_role("button", name="Conferma il recesso qui").click()
    expect(page.get_by_role("main")).to_contain_text("Recesso registrato")
    check("order-after")
    page.goto(f"/area-clienti/ordini/{order.number}/esito/")
    check("outcome-after")
    page.goto(f"/area-clienti/ordini/{order.number}/recesso/")
    expect(page.get_by_role("main")).to_contain_text("Sei già receduto")
    check("refused")


def test_without_javascript_and_twice(new_page, sign_in, alice, box):
    order = place(box, alice)
    pay_card(order, alice, agreed=False)
    page = new_page(js=False)
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/ordini/{order.number}/recesso/")
    page.get_by_role("button", name="Continua").click()
    other = page.context.new_page()  # a second tab, both on the second step
    other.goto(f"/area-clienti/ordini/{order.number}/recesso/")
    other.get_by_role("button", name="Continua").click()
    page.get_by_role("button", name="Modifica i dati").click()
    page.get_by_label("Nome e cognome").fill("Alice R.")
    page.get_by_role("button", name="Continua").click()
    page.get_by_role("button", name="Conferma il recesso qui").click()
    other.get_by_role("button", name="Conferma il recesso qui").click()
    expect(other.get_by_role("main")).to_contain_text("Sei già receduto")
    assert (Withdrawal.objects.get().name, Refund.objects.count()) == ("Alice R.", 1)


def move_back(days: int) -> None:
    """The data move, not the clock: the automatic renewal was made so many days earlier than it was."""
    for period in PaidPeriod.objects.order_by("starts"):
        starts, ends = period.starts - timedelta(days=days), period.ends - timedelta(days=days)
        PaidPeriod.objects.filter(pk=period.pk).update(starts=starts, ends=ends)
    for box in Mailbox.objects.all():
        expires_on, delete_from = box.expires_on - timedelta(days=days), box.delete_from - timedelta(days=days)
        Mailbox.objects.filter(pk=box.pk).update(expires_on=expires_on, delete_from=delete_from)
    for order in Order.objects.all():
        at = {name: getattr(order, name) - timedelta(days=days) for name in ("confirmed_at", "paid_at", "fulfilled_at")}
        Order.objects.filter(pk=order.pk).update(**at)


@pytest.mark.parametrize(("width", "dark"), LOOKS[:1] + LOOKS[-1:])
def test_free_after_a_late_notice_from_the_box_to_the_receipt(
    new_page, sign_in, axe, alice, make_box, today, mails, width, dark
):
    """Switched on twenty days before the expiry, charged, and left in the fourth month of the new term (R25)."""
    box = make_box(alice, "alice", expires_in=20)
    page, look = new_page(width=width, dark=dark), f"{width}-{'dark' if dark else 'light'}"
    sign_in(page, alice.username)
    switch_on(page, box)
    ScheduledCharge.objects.update(due_on=today)
    charge_due()
    fulfil_due()
    assert "senza costi" in mails()
    move_back(120)
    found, order = Mailbox.objects.get(), Order.objects.get()
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    main = page.get_by_role("main")
    expect(main).to_contain_text(f"puoi recedere in ogni momento senza costi {fino(found.expires_on)}")

    def check(name: str) -> None:
        assert_styled(page)
        shot(page, f"free-{name}-{look}")
        assert axe(page) == [], page.url
        assert fits(page), f"{page.url} scrolls sideways"

    check("box")
    page.get_by_role("link", name="Recedere dal contratto qui").click()
    expect(main).to_contain_text("Recedi senza costi, perché l'avviso del rinnovo automatico non ti era arrivato")
    expect(main).to_contain_text("Finisce anche il rinnovo automatico della casella")
    check("step-1")
    page.get_by_label("E-mail").fill("mario@posta.example")
    page.get_by_role("button", name="Continua").click()
    check("step-2")
    page.get_by_role("button", name="Conferma il recesso qui").click()
    expect(main).to_contain_text("Recesso registrato: ti rimborsiamo")
    done = Withdrawal.objects.get()
    term = (order.lines.get().period.ends - box.expires_on + timedelta(days=120)).days
    assert done.kept == (order.amount_due * 100 / term).quantize(done.kept)
    assert done.kept + done.amount == order.amount_due
    found.refresh_from_db()
    assert (found.expires_on, found.auto_renews) == (today, False)
