"""/paga/ with a card on localstripe and with PayPal on its stand-in, through the pages: nothing is kept (R23)."""

import pytest
from django.test import Client
from django.urls import reverse

from mailboxes.models import Mailbox
from payments import visitors
from payments.models import AutoRenewal, Payment, ProviderCustomer, StoredMethod
from tests.conftest import CODES
from tests.helpers import place, years_later
from tests.payments.test_visitors import find, text
from tests.peers.localstripe import localstripe  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]
PLAIN, STRONG, DECLINED = "4242424242424242", "4000002500003155", "4000000000000341"


@pytest.fixture
def order(make_box, alice):
    return place(make_box(alice, "studio", holder="bruno"), alice)


@pytest.fixture
def visitor(order) -> Client:
    """Somebody who named the order and Bruno's code."""
    client = Client()
    assert find(client, order.number, CODES["bruno"]).request["PATH_INFO"] == "/paga/ordine/"
    return client


def give_card(client: Client, local, address: str, number: str):
    """The card page as a browser fills it in; what it answers."""
    setup = client.get(address).context["setup_intent"]
    local.give_card(setup, number)
    return client.post(address, {"setup_intent": setup})


def kept() -> list[int]:
    return [model.objects.count() for model in (StoredMethod, ProviderCustomer, AutoRenewal)]


def registered(page) -> bool:
    return page.request["PATH_INFO"] == "/paga/esito/" and "Pagamento registrato" in text(page)


def test_a_card_pays_and_nothing_of_it_is_kept(localstripe, order, visitor):  # noqa: F811
    before = Mailbox.objects.get().expires_on
    address = visitor.post("/paga/ordine/", {"method": "stripe"}).url
    payment = Payment.objects.get()
    assert (address, payment.auto_renewal_agreed) == (reverse("payments:card", args=[payment.public_id]), False)
    shown = text(visitor.get(address))
    assert "La carta non resta salvata" in shown
    assert not [secret for secret in ("alice", "Rossi", CODES["bruno"], "2000001@") if secret in shown]
    back = give_card(visitor, localstripe, address, PLAIN)
    assert registered(visitor.get(back.url, follow=True))
    [intent] = localstripe.intents()
    assert localstripe.call("GET", f"/v1/payment_methods/{intent['payment_method']}")["customer"] is None
    assert kept() == [0, 0, 0]
    assert Mailbox.objects.get().expires_on == years_later(before)


def test_a_card_whose_bank_asks(localstripe, order, visitor):  # noqa: F811
    address = visitor.post("/paga/ordine/", {"method": "stripe"}).url
    asked = give_card(visitor, localstripe, address, STRONG)
    assert "La tua banca chiede una conferma" in text(asked)
    localstripe.confirm(Payment.objects.get().remote_id, success=True)
    assert registered(visitor.get(asked.context["back"], follow=True))
    assert kept() == [0, 0, 0]


def test_a_refused_card_is_said_and_another_pays(localstripe, order, visitor):  # noqa: F811
    address = visitor.post("/paga/ordine/", {"method": "stripe"}).url
    page = visitor.get(give_card(visitor, localstripe, address, DECLINED).url, follow=True)
    assert "Pagamento non riuscito" in text(page) and "Non ti è stato addebitato nulla" in text(page)
    again = visitor.post("/paga/ordine/", {"method": "stripe"}).url
    assert again != address
    assert registered(visitor.get(give_card(visitor, localstripe, again, PLAIN).url, follow=True))


def test_the_card_page_is_open_to_its_visitor_only(localstripe, order, visitor, make_box, carla, alice, browser_of):  # noqa: F811
    address = visitor.post("/paga/ordine/", {"method": "stripe"}).url
    setup = visitor.get(address).context["setup_intent"]
    localstripe.give_card(setup, PLAIN)
    other, theirs = Client(), place(make_box(carla, "carla"), carla)
    find(other, theirs.number, CODES["carla"])
    assert other.session[visitors.SESSION_KEY]["order"] == theirs.pk
    for stranger in (Client(), other, browser_of(carla), browser_of(alice)):
        assert stranger.get(address).status_code == 404
        assert stranger.post(address, {"setup_intent": setup}).status_code == 404
    assert (localstripe.intents(), Payment.objects.get().sent_at) == ([], None)


def test_paypal_pays_and_nothing_of_it_is_kept(paypal, order, visitor):
    before = Mailbox.objects.get().expires_on
    assert visitor.post("/paga/ordine/", {"method": "paypal"}).url.startswith(f"{paypal.url}/checkoutnow")
    back = paypal.approve(Payment.objects.get().remote_id)
    assert registered(visitor.get(back, follow=True))
    assert (kept(), paypal.vault, paypal.captures_made) == ([0, 0, 0], {}, 1)
    assert Mailbox.objects.get().expires_on == years_later(before)


def test_paypal_given_up_is_an_honest_page(paypal, order, visitor):
    visitor.post("/paga/ordine/", {"method": "paypal"})
    cancel = paypal.orders[Payment.objects.get().remote_id]["_context"]["cancel_url"]
    page = visitor.get(cancel, follow=True)
    assert page.request["PATH_INFO"] == "/paga/esito/" and paypal.captures_made == 0
    assert "Pagamento registrato" not in text(page)
    assert visitor.post("/paga/ordine/", {"method": "paypal"}).url.startswith(paypal.url)
