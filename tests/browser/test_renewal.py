"""A customer renews in a real browser: both logins, card and transfer, with and without JavaScript."""

import re
import threading
import time
from datetime import timedelta

import pytest
from playwright.sync_api import Page, Response, expect

from accounts.models import BillingProfile
from mailboxes.models import Mailbox, PaidPeriod
from mailboxes.rules import add_years
from payments import confirm as step_three
from payments.models import AutoRenewal, Case, Payment
from pecportal.formats import day, fino
from renewals.models import Order

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
NEXT = "Prosegui e completa l'ordine"
CONFIRM = "Conferma e completa l'ordine con obbligo di pagamento"


def after(box: Mailbox, years: int):
    return add_years(box.expires_on, years, anchor_month=box.anchor_month, anchor_day=box.anchor_day)


def to_step_three(page: Page, box: Mailbox) -> None:
    """From the list or the box's page to the third screen, changing nothing."""
    page.get_by_role("link", name=re.compile("^Rinnova")).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Passo 1 di 3")
    page.get_by_role("button", name=NEXT).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Passo 2 di 3")
    page.get_by_role("button", name=NEXT).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Passo 3 di 3")


def choose(page: Page, *, method: str, years: int = 1) -> None:
    """Choose, and wait until htmx has written the price of just that: who is quicker is told so."""

    def of_these(answer: Response) -> bool:
        sent = (answer.request.post_data or "").split("&")
        return answer.url.endswith("/riepilogo/") and {f"years={years}", f"method={method}"} <= set(sent)

    page.locator(f"input[name=years][value='{years}']").check()
    with page.expect_response(of_these):
        page.locator(f"input[name=method][value='{method}']").check()
        page.locator(f"input[name=method][value='{method}']").dispatch_event("input")  # where it was chosen already
    expect(page.locator(".htmx-request")).to_have_count(0)  # an expression polled in the page is eval: the policy


def confirm(page: Page, *, method: str, years: int = 1) -> None:
    choose(page, method=method, years=years)
    page.locator("input[name=terms]").check()
    page.get_by_role("button", name=CONFIRM).click()
    page.wait_for_load_state()


def assert_styled(page: Page) -> None:
    """The stylesheet arrived: otherwise every picture and every axe run means nothing."""
    assert page.evaluate("getComputedStyle(document.body).fontFamily").startswith(("'Atkinson", '"Atkinson'))


def test_account_login_pays_with_the_sandbox_card(page, sign_in, alice, box, mails):
    sign_in(page, alice.username)
    assert_styled(page)
    page.get_by_role("link", name="Gestisci").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Posta certificata")
    to_step_three(page, box)
    confirm(page, method="sandbox", years=2)
    expect(page.get_by_text("Questa banca non esiste")).to_be_visible()
    page.get_by_role("button", name="Paga", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text(day(after(box, 2)))
    order = Order.objects.get()
    assert (order.status, order.years, str(order.total)) == ("fulfilled", 2, "24.16")
    old, box = box, Mailbox.objects.get(pk=box.pk)
    assert box.expires_on == after(old, 2)
    assert box.auto_renews
    consent = AutoRenewal.objects.get(box=box, ended_at=None)
    assert (consent.years, consent.amount, consent.agreed_by) == (2, order.total, alice)
    # One click off, on the page that thanks.
    page.get_by_role("button", name="Disattiva").click()
    page.wait_for_load_state()
    assert not Mailbox.objects.get(pk=box.pk).auto_renews
    sent = mails()
    assert f"ordine {order.number} da pagare" in sent
    assert f"Subject: alice@pec.example è rinnovata {fino(box.expires_on)}" in sent
    assert "rinnovo automatico attivo" in sent
    assert "rinnovo automatico disattivato" in sent


def test_account_login_pays_by_transfer_that_staff_record_in_admin(new_page, sign_in, alice, box, dario, mails):
    page = new_page()
    sign_in(page, alice.username)
    page.goto("/area-clienti/pec/")
    to_step_three(page, box)
    confirm(page, method="transfer")
    order = Order.objects.get()
    expect(page.get_by_role("main")).to_contain_text("€ 12,08")
    page.goto(f"/area-clienti/ordini/{order.number}/bonifico/")
    page.get_by_role("button", name="Ho fatto il bonifico").click()
    page.wait_for_load_state()
    assert Order.objects.get().transfer_declared_on is not None
    assert Mailbox.objects.get(pk=box.pk).expires_on == box.expires_on  # nothing moves before the registration

    staff = new_page()
    sign_in(staff, dario.username)
    staff.goto("/admin/payments/receipt/")
    staff.get_by_role("link", name="Registra un accredito").first.click()
    staff.locator("[name=bank_account]").fill("IT60X0542811101000000123456")
    staff.locator("[name=bank_reference]").fill("CRO-1")
    staff.locator("[name=amount]").fill("12,08")
    staff.locator("[name=order]").fill(order.number)
    staff.get_by_role("button", name=re.compile("Registra")).first.click()
    staff.wait_for_load_state()
    box_now = Mailbox.objects.get(pk=box.pk)
    assert box_now.expires_on == after(box, 1), staff.inner_text("body")
    page.goto(f"/area-clienti/ordini/{order.number}/esito/")
    expect(page.get_by_role("main")).to_contain_text(day(box_now.expires_on))
    assert not box_now.auto_renews
    assert f"è rinnovata {fino(box_now.expires_on)}" in mails()


@pytest.mark.parametrize("method", ["sandbox", "transfer"])
def test_mailbox_login_renews_its_own_box_on_a_phone(new_page, sign_in, alice, make_box, method):
    box = make_box(alice, "di.bruno", holder="bruno")
    make_box(alice, "segreta")
    page = new_page(width=360)
    sign_in(page, "di.bruno@pec.example", tab="casella")
    assert str(box.public_id) in page.url
    to_step_three(page, box)
    expect(page.get_by_role("main")).not_to_contain_text("Rossi")  # the account's own data
    confirm(page, method=method)
    if method == "sandbox":
        page.get_by_role("button", name="Paga", exact=True).click()
        expect(page.get_by_role("main")).to_contain_text(day(after(box, 1)))
        assert Mailbox.objects.get(pk=box.pk).expires_on == after(box, 1)
        assert AutoRenewal.objects.get().method.login == box.login
    else:
        expect(page.get_by_role("main")).to_contain_text("bonifico", ignore_case=True)
        assert Order.objects.get().status == "awaiting_payment"
    assert "segreta" not in page.content()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_without_javascript_everything_still_works(new_page, sign_in, alice, box):
    page = new_page(js=False)
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    to_step_three(page, box)
    page.locator("input[name=years][value='3']").check()
    page.locator("input[name=method][value='sandbox']").check()
    page.locator("input[name=terms]").check()
    page.get_by_role("button", name=CONFIRM).click()
    if (
        "rinnova/pagamento" in page.url
    ):  # the total on the page was for one year: it is shown anew, nothing typed is lost
        expect(page.get_by_role("main")).to_contain_text("36,23")
        assert Order.objects.count() == 0
        page.get_by_role("button", name=CONFIRM).click()
    page.get_by_role("button", name="Paga", exact=True).click()
    assert Mailbox.objects.get(pk=box.pk).expires_on == after(box, 3)


@pytest.mark.parametrize(
    ("button", "status", "words"),
    [
        ("Rifiuta", "failed", "Paga"),
        ("Lascia in sospeso", "pending", "Non pagare di nuovo"),
        ("Non rispondere", "unknown", "Non pagare di nuovo"),
        ("Annulla", "cancelled", "Paga"),
    ],
)
def test_a_card_that_does_not_pay_ends_on_an_honest_page(page, sign_in, alice, box, button, status, words):
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    to_step_three(page, box)
    confirm(page, method="sandbox")
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("main")).to_contain_text(words)
    assert Payment.objects.get().status == status
    assert Order.objects.get().status == "awaiting_payment"
    assert Mailbox.objects.get(pk=box.pk).expires_on == box.expires_on


def test_strong_authentication_then_paid(page, sign_in, alice, box):
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    to_step_three(page, box)
    confirm(page, method="sandbox")
    page.get_by_role("button", name="Chiedi autenticazione forte").click()
    code = re.search(r"codice di prova è\D*(\d+)", page.inner_text("main"))
    page.locator("[name=code]").fill(code.group(1))
    page.get_by_role("button", name="Conferma").click()
    expect(page.get_by_role("main")).to_contain_text(day(after(box, 1)))
    assert Order.objects.get().status == "fulfilled"


def test_data_that_no_invoice_could_have_are_mended_before_the_order(page, sign_in, alice, box, axe):
    BillingProfile.objects.update(city="Рим")
    sign_in(page, alice.username)
    page.goto("/area-clienti/pec/")
    to_step_three(page, box)
    confirm(page, method="transfer", years=3)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Passo 3 di 3")
    assert axe(page) == []
    page.get_by_role("link", name=re.compile("Comune: Il carattere")).first.click()
    page.wait_for_url("**/area-clienti/dati/**")
    page.get_by_label("Comune").fill("Roma")
    page.get_by_role("button", name="Salva").first.click()
    page.wait_for_url("**/rinnova/pagamento/")
    assert page.locator("input[name=years][value='3']").is_checked()  # nothing that was chosen is lost
    confirm(page, method="transfer", years=3)
    assert (Order.objects.get().years, Order.objects.get().method) == (3, "transfer")


def test_annulla_brings_rinnova_back(page, sign_in, alice, box):
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    to_step_three(page, box)
    confirm(page, method="transfer")
    page.goto("/area-clienti/pec/")
    expect(page.get_by_role("link", name=re.compile("^Rinnova"))).to_have_count(0)
    page.get_by_role("link", name=re.compile("^Annulla")).first.click()
    page.get_by_role("button", name=re.compile("Annulla")).click()
    page.wait_for_load_state()
    assert Order.objects.get().status == "cancelled"
    page.goto("/area-clienti/pec/")
    expect(page.get_by_role("link", name=re.compile("^Rinnova"))).to_have_count(1)


def test_two_tabs_make_one_order_and_back_makes_none(page, sign_in, alice, box):
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    to_step_three(page, box)
    other = page.context.new_page()
    other.goto(page.url)
    confirm(page, method="transfer")
    confirm(other, method="transfer")
    assert Order.objects.count() == 1
    expect(other.get_by_role("main")).to_contain_text(Order.objects.get().number)
    page.go_back()
    if "rinnova/pagamento" in page.url and page.get_by_role("button", name=CONFIRM).count():
        page.get_by_role("button", name=CONFIRM).click()
        page.wait_for_load_state()
    assert Order.objects.count() == 1
    assert Case.objects.count() == 0
    assert PaidPeriod.objects.count() == 1


def test_the_keyboard_alone_from_sign_in_to_outcome(page, alice, box):
    def reach(name: str, role: str = "button") -> None:
        for _step in range(120):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "() => { const e = document.activeElement; return (e.innerText || e.value) + '|' + (e.name || '') }"
            )
            if name in focused:
                return
        raise AssertionError(f"{name} cannot be reached with Tab on {page.url}")

    page.goto("/accesso/?con=account")
    reach("|login")
    page.keyboard.type(alice.username)
    reach("|password")
    page.keyboard.type("Prova-pec-2026")
    page.keyboard.press("Enter")
    page.wait_for_url("**/area-clienti/")
    reach("Gestisci")
    page.keyboard.press("Enter")
    page.wait_for_url("**/pec/")
    reach("Rinnova")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rinnova/")
    reach(NEXT)
    page.keyboard.press("Enter")
    page.wait_for_url("**/intestatario/")
    reach(NEXT)
    page.keyboard.press("Enter")
    page.wait_for_url("**/pagamento/")
    reach("|method")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    reach("|terms")
    page.keyboard.press("Space")
    reach(CONFIRM)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("esito|sandbox"))
    assert Order.objects.get().status == "awaiting_payment"


@pytest.mark.parametrize("summary", ["on its way", "still waiting"])
def test_a_summary_answered_after_the_order_does_not_take_the_customer_elsewhere(
    page, sign_in, alice, box, monkeypatch, summary
):
    """The slow case made certain: the live summary is looked at once the order stands, and is answered before it."""
    ordered, answered = threading.Event(), threading.Event()
    live, place = step_three._live, step_three._Step.place

    def late(request, **kwargs):
        ordered.wait(60)
        try:
            return live(request, **kwargs)
        finally:
            answered.set()

    def slow(step, form):
        answer = place(step, form)
        ordered.set()
        answered.wait(60 if summary == "on its way" else 1)  # held back by the page, nobody answers: go on
        time.sleep(0.5)  # its answer reaches the browser first
        return answer

    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    to_step_three(page, box)
    page.locator("input[name=terms]").check()
    monkeypatch.setattr(step_three, "_live", late)
    monkeypatch.setattr(step_three._Step, "place", slow)
    choose = "document.querySelector('input[name=method][value=sandbox]').click()"
    if summary == "on its way":
        with page.expect_request("**/riepilogo/"):
            page.evaluate(choose)
        page.get_by_role("button", name=CONFIRM).click()
    else:  # both in one breath: the 150 ms are not over when the form leaves
        page.evaluate(choose + "; document.querySelector('main form .actions button').click()")
    page.wait_for_url("**/sandbox/**")
    expect(page.get_by_text("Questa banca non esiste")).to_be_visible()
    assert answered.is_set() is (summary == "on its way")
    assert Order.objects.get().status == "awaiting_payment"


def test_a_double_click_on_the_button_is_one_confirmation(page, sign_in, alice, box, monkeypatch):
    place = step_three._Step.place

    def slow(step, form):
        time.sleep(0.5)  # the second click finds the page still there
        return place(step, form)

    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    to_step_three(page, box)
    choose(page, method="sandbox")
    page.locator("input[name=terms]").check()
    sent = []
    page.on("request", lambda r: sent.append(r.url) if r.method == "POST" and r.is_navigation_request() else None)
    monkeypatch.setattr(step_three._Step, "place", slow)
    page.get_by_role("button", name=CONFIRM).dblclick(delay=50)
    page.wait_for_url("**/sandbox/**")
    assert len(sent) == 1
    assert Payment.objects.count() == Order.objects.count() == 1


def test_an_expired_box_is_red_and_renewable_until_its_last_day(page, sign_in, alice, make_box, today):
    box = make_box(alice, "scaduta", plan="pro", expires_in=-12)
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    main = page.get_by_role("main")
    expect(main).to_contain_text("Scaduta")
    expect(main).to_contain_text(day(box.expires_on + timedelta(days=90)).rsplit(" ", 1)[0])
    to_step_three(page, box)
    confirm(page, method="sandbox")
    page.get_by_role("button", name="Paga", exact=True).click()
    expect(main).to_contain_text(day(after(box, 1)))
