"""A card in Chromium, with localstripe's stand-in for stripe.js: to a moved expiry, or to an honest page."""

import re

import pytest
from django.urls import reverse

from payments import flows
from payments.models import MethodSetup, Payment, StoredMethod
from tests.conftest import CODES
from tests.helpers import place
from tests.peers.localstripe import localstripe  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.servers, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def card_page(localstripe, new_page, sign_in, box, alice):  # noqa: F811
    """Alice, signed in, on the card page of her order; returns the page."""

    def go(**look):
        order = place(box, alice)
        page = new_page(**look)
        sign_in(page, alice.username)
        flows.start(
            order_id=order.pk, provider="stripe", user=alice, auto_renewal_agreed=True,
            consent_text_version="2026-11", return_url=lambda p: "/", cancel_url="/",
        )  # fmt: skip
        payment = Payment.objects.get()
        page.goto(reverse("payments:card", args=[payment.public_id]))
        return page

    return go


def type_card(page, number: str, button: str = "Paga ") -> None:
    fields = {"number": number, "exp_month": "12", "exp_year": "31", "cvc": "123", "postal_code": "00184"}
    for name, value in fields.items():
        page.get_by_placeholder(name).fill(value)
    page.get_by_role("button", name=re.compile(f"^{button}")).click()


def settled(box, order_status: str) -> tuple[int, str]:
    before = box.expires_on
    box.refresh_from_db()
    order = Payment.objects.get().order
    assert order.status == order_status
    return box.expires_on.year - before.year, Payment.objects.get().status


def test_a_plain_card(card_page, box):
    page = card_page()
    type_card(page, "4242424242424242")
    page.wait_for_url("**/esito/**")
    assert settled(box, "fulfilled") == (1, "registered")
    assert StoredMethod.objects.get().label == "Visa •••• 4242"


def test_the_bank_asks_and_the_customer_confirms(card_page, box):
    page = card_page()
    type_card(page, "4000002500003155")
    page.get_by_role("button", name="Complete authentication").click()  # of the card
    page.get_by_text("La tua banca chiede una conferma").wait_for()
    page.get_by_role("button", name="Complete authentication").click()  # of the payment
    page.wait_for_url("**/esito/**")
    assert settled(box, "fulfilled") == (1, "registered")


def test_the_bank_asks_and_the_customer_does_not(card_page, box):
    page = card_page()
    type_card(page, "4000002500003155")
    page.get_by_role("button", name="Fail authentication").click()  # of the card: still here, nothing charged
    page.get_by_text("La carta non è stata accettata. Non è stato addebitato nulla").wait_for()
    assert Payment.objects.get().sent_at is None
    page.get_by_role("button", name=re.compile("^Paga ")).click()
    page.get_by_role("button", name="Complete authentication").click()
    page.get_by_text("La tua banca chiede una conferma").wait_for()
    page.get_by_role("button", name="Fail authentication").click()
    page.wait_for_url("**/esito/**")
    assert settled(box, "awaiting_payment") == (0, "failed")
    assert page.get_by_role("link", name="Paga", exact=True).first.is_visible()


def test_a_card_refused_when_it_is_given(card_page, box):
    page = card_page()
    type_card(page, "4000000000000002")
    page.get_by_text("La carta non è stata accettata. Non è stato addebitato nulla").wait_for()
    assert Payment.objects.get().sent_at is None
    type_card(page, "4242424242424242")  # another card, on the same page
    page.wait_for_url("**/esito/**")
    assert settled(box, "fulfilled") == (1, "registered")


def test_a_card_refused_when_it_is_charged(card_page, box):
    page = card_page()
    type_card(page, "4000000000000341")
    page.wait_for_url("**/esito/**")
    assert settled(box, "awaiting_payment") == (0, "failed")
    assert page.get_by_role("link", name="Paga", exact=True).first.is_visible()


def test_a_card_saved_without_paying(localstripe, page, sign_in, alice):  # noqa: F811
    sign_in(page, alice.username)
    setup = MethodSetup.objects.create(login=alice, provider="stripe")
    address = reverse("payments:card_setup", args=[setup.public_id])
    page.goto(address)
    type_card(page, "4000000000000002", "Salva la carta")
    page.get_by_text("La carta non è stata accettata").wait_for()
    type_card(page, "4242424242424242", "Salva la carta")
    page.wait_for_url(lambda url: address not in url)
    setup.refresh_from_db()
    assert (setup.status, setup.method.label, localstripe.intents()) == ("done", "Visa •••• 4242", [])


def test_a_visitor_pays_with_a_card(localstripe, page, box, alice):  # noqa: F811
    order = place(box, alice)
    page.goto("/paga/")
    page.get_by_label("Numero dell'ordine").fill(order.number)
    page.get_by_label("Codice fiscale o partita IVA del titolare").fill(CODES["alice"])
    page.get_by_role("main").get_by_role("button").click()
    page.locator("input[name=method][value=stripe]").check(force=True)
    page.get_by_role("main").get_by_role("button").click()
    type_card(page, "4242424242424242")
    page.wait_for_url("**/paga/esito/")
    page.get_by_role("heading", name="Pagamento registrato").wait_for()
    assert settled(box, "fulfilled") == (1, "registered")
    assert StoredMethod.objects.count() == 0


def test_a_card_is_added_from_the_page_of_methods(localstripe, page, sign_in, alice):  # noqa: F811
    sign_in(page, alice.username)
    page.goto(reverse("payments:methods"))
    page.get_by_role("link", name="Aggiungi").first.click()
    page.locator("input[name=provider][value=stripe]").check(force=True)
    page.get_by_role("main").locator("form button[type=submit]").click()
    type_card(page, "4242424242424242", "Salva la carta")
    page.get_by_text("Metodo di pagamento salvato: Visa •••• 4242.").wait_for()
    assert page.url.endswith(reverse("payments:methods"))


@pytest.mark.parametrize(("width", "dark"), [(360, False), (1280, False), (1280, True)])
def test_the_page_is_clean(card_page, axe, width, dark, tmp_path):
    page = card_page(width=width, dark=dark)
    page.get_by_placeholder("number").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # localstripe's own inputs have no labels: what is inside the frame is Stripe's to say
    assert [found for found in axe(page) if "placeholder=" not in found] == []
    page.screenshot(path=tmp_path / f"card-{width}-{dark}.png", full_page=True)
