"""Cards in a real browser, with localstripe's stand-in for Stripe's script: a moved expiry, or an honest page."""

import pytest

from mailboxes.models import Mailbox
from payments.models import MethodSetup, Payment, StoredMethod
from payments.providers.stripe import Stripe
from renewals.models import Order
from tests.helpers import place
from tests.payments.stripe.conftest import _running, peer  # noqa: F401
from tests.peers.localstripe import DECLINED_AT_CHARGE, DECLINED_AT_ONCE, GOOD, THREE_DS

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def type_card(page, number: str) -> None:
    field = page.locator("#campo-carta")
    field.locator("[placeholder=number]").fill(number)
    field.locator("[placeholder=exp_month]").fill("12")
    field.locator("[placeholder=exp_year]").fill("32")
    field.locator("[placeholder=cvc]").fill("123")
    field.locator("[placeholder=postal_code]").fill("00184")


def to_the_card(page, sign_in, alice, order) -> None:
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/ordini/{order.number}/paga/")
    page.get_by_role("radio", name="Carta").check()
    page.get_by_role("button", name="Paga", exact=True).click()
    page.wait_for_url("**/carta/")
    page.locator("#campo-carta input").first.wait_for()


@pytest.mark.parametrize("answer", [None, True, False], ids=["plain", "3-D Secure passed", "3-D Secure failed"])
def test_a_card(page, sign_in, alice, box, peer, answer):  # noqa: F811
    order = place(box, alice)
    to_the_card(page, sign_in, alice, order)
    type_card(page, GOOD if answer is None else THREE_DS)
    page.get_by_role("button", name="Paga € 12,08").click()
    if answer is not None:
        page.get_by_role("button", name="Complete authentication").click()  # of the card
        choice = "Complete authentication" if answer else "Fail authentication"
        page.get_by_role("button", name=choice).click()  # of the payment
    page.wait_for_url("**/esito/")
    after = Mailbox.objects.get().expires_on
    if answer is False:
        assert "Non ti è stato addebitato nulla" in page.inner_text("main")
        assert (after, Order.objects.get().status) == (box.expires_on, "awaiting_payment")
    else:
        assert (after.year, Order.objects.get().status) == (box.expires_on.year + 1, "fulfilled")


def test_declined_when_charged(page, sign_in, alice, box, peer):  # noqa: F811
    order = place(box, alice)
    to_the_card(page, sign_in, alice, order)
    type_card(page, DECLINED_AT_CHARGE)
    page.get_by_role("button", name="Paga € 12,08").click()
    page.wait_for_url("**/esito/")
    assert "carta rifiutata" in page.inner_text("main")
    assert Payment.objects.get().status == "failed"


def test_declined_at_once_another_card_on_the_same_page(page, sign_in, alice, box, peer, axe):  # noqa: F811
    order = place(box, alice)
    to_the_card(page, sign_in, alice, order)
    type_card(page, DECLINED_AT_ONCE)
    page.get_by_role("button", name="Paga € 12,08").click()
    page.get_by_role("alert").filter(has_text="declined").wait_for()
    assert Payment.objects.get().status == "pending"
    page.reload()
    page.locator("#campo-carta input").first.wait_for()
    type_card(page, GOOD)
    page.get_by_role("button", name="Paga € 12,08").click()
    page.wait_for_url("**/esito/")
    assert Order.objects.get().status == "fulfilled"


def test_saved_without_paying(page, sign_in, alice, peer):  # noqa: F811
    sign_in(page, alice.username)
    setup = MethodSetup.objects.create(login=alice, provider="stripe")
    started = Stripe().start_setup(setup, return_url="/", cancel_url="/")
    MethodSetup.objects.filter(pk=setup.pk).update(remote_id=started.remote_id)
    page.goto(started.redirect_url)
    page.locator("#campo-carta input").first.wait_for()
    type_card(page, GOOD)
    page.get_by_role("button", name="Salva la carta").click()
    page.get_by_text("Metodo salvato: Visa •••• 4242").wait_for()
    assert StoredMethod.objects.get().login == alice
