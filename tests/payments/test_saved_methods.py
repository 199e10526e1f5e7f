"""Saved methods end to end, through the pages: a card on localstripe, an account on PayPal's stand-in (R23, R24)."""

from datetime import timedelta

import pytest
from django.test import Client

from payments import wallet
from payments.models import AutoRenewal, Payment, ScheduledCharge, StoredMethod
from renewals.models import Order
from tests.helpers import years_later
from tests.payments.charging_helpers import automatic, beat, forget_mails, fresh, subjects
from tests.payments.test_outcome import words
from tests.peers.localstripe import localstripe  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]
LIST = "/area-clienti/metodi-di-pagamento/"
PLAIN, OTHER, STRONG, DECLINED = "4242424242424242", "5555555555554444", "4000002500003155", "4000000000000341"


@pytest.fixture
def box(make_box, alice):
    return make_box(alice, "alice", expires_in=60)


@pytest.fixture
def client(browser_of, alice) -> Client:
    return browser_of(alice)


def add_card(client: Client, local, number: str = PLAIN, path: str = "aggiungi/") -> StoredMethod:
    """Aggiungi or Sostituisci, the card page, and back on the list, which says what was saved."""
    page = client.post(LIST + path, {"provider": "stripe"}).url
    setup = client.get(page).context["setup_intent"]
    local.give_card(setup, number)
    shown = client.post(page, {"setup_intent": setup}, follow=True)
    return saved(shown)


def add_account(client: Client, paypal, path: str = "aggiungi/") -> StoredMethod:
    page = client.post(LIST + path, {"provider": "paypal"}).url
    assert page.startswith(f"{paypal.url}/checkoutnow?token=")
    return saved(client.get(paypal.approve(page.partition("token=")[2]), follow=True))


def saved(shown) -> StoredMethod:
    method = StoredMethod.objects.latest("id")
    assert shown.request["PATH_INFO"] == LIST
    assert f"Metodo di pagamento salvato: {method.label}." in words(shown)
    return method


def customer_of(local, method: StoredMethod) -> str | None:
    return local.call("GET", f"/v1/payment_methods/{method.remote_id}")["customer"]


def before(box, days: int):
    return box.expires_on - timedelta(days=days)


def a_year_later(box):
    return years_later(box.expires_on)


# --- A card -----------------------------------------------------------------------------------------------------------


def test_a_card_is_added_replaced_and_taken_away(localstripe, client, box, alice):  # noqa: F811
    first = add_card(client, localstripe)
    assert (first.login, first.label, first.is_default) == (alice, "Visa •••• 4242", True)
    automatic(box, alice, first, days_before=60)
    second = add_card(client, localstripe, OTHER, f"{first.public_id}/sostituisci/")
    assert AutoRenewal.objects.get(ended_at=None).method == second
    listed = words(client.get(LIST))
    assert second.label in listed and first.label not in listed
    wallet.forget_removed()
    assert (customer_of(localstripe, first), customer_of(localstripe, second) is not None) == (None, True)
    client.post(f"{LIST}{second.public_id}/rimuovi/")
    assert (AutoRenewal.objects.get().ended_why, fresh(box).auto_renews) == ("method_removed", False)
    wallet.forget_removed()
    assert (customer_of(localstripe, second), localstripe.intents()) == (None, [])
    assert "Nessun metodo salvato" in words(client.get(LIST))


def test_a_saved_card_renews_by_itself(localstripe, client, box, alice):  # noqa: F811
    method = add_card(client, localstripe)
    automatic(box, alice, method, days_before=60)
    for days in (30, 8, 7, 7, 6):
        beat(before(box, days))
    payment = Payment.objects.get()
    assert (payment.status, payment.method, Order.objects.get().status) == ("registered", method, "fulfilled")
    assert (fresh(box).expires_on, ScheduledCharge.objects.get().status) == (a_year_later(box), "charged")
    assert [i["status"] for i in localstripe.intents()] == ["succeeded"]
    assert customer_of(localstripe, method) is not None  # kept for the next year


def test_a_bank_that_wants_the_customer_leaves_the_order_waiting_and_says_so(localstripe, client, box, alice):  # noqa: F811
    automatic(box, alice, add_card(client, localstripe, STRONG), days_before=60)
    beat(before(box, 30))
    forget_mails()
    for days in (7, 5, 0):
        beat(before(box, days))
    payment = Payment.objects.get()
    assert (payment.status, payment.decline, Order.objects.get().status) == ("failed", "auth", "awaiting_payment")
    assert [i["status"] for i in localstripe.intents()] == ["canceled"]  # nobody can pay it there any more
    assert len(subjects()) == 1 and "conferma" in subjects()[0]
    assert fresh(box).expires_on == box.expires_on


def test_a_declined_card_is_tried_again_as_declared_and_never_twice_a_day(localstripe, client, box, alice):  # noqa: F811
    automatic(box, alice, add_card(client, localstripe, DECLINED), days_before=60)
    for days in range(30, -1, -1):
        beat(before(box, days))
        beat(before(box, days), hour=18)
    tried = [(box.expires_on - p.created_at.date()).days for p in Payment.objects.order_by("id")]
    assert tried == [7, 5, 3, 1, 0]
    assert {(p.status, p.decline) for p in Payment.objects.all()} == {("failed", "soft")}
    assert (Order.objects.get().status, ScheduledCharge.objects.get().status) == ("awaiting_payment", "failed")
    assert len(localstripe.intents()) == 5
    assert "succeeded" not in [i["status"] for i in localstripe.intents()]


def test_a_new_card_given_between_two_tries_pays(localstripe, client, box, alice):  # noqa: F811
    old = add_card(client, localstripe, DECLINED)
    automatic(box, alice, old, days_before=60)
    for days in (30, 7):
        beat(before(box, days))
    new = add_card(client, localstripe, PLAIN, f"{old.public_id}/sostituisci/")
    beat(before(box, 5))
    assert [(p.method, p.status) for p in Payment.objects.order_by("id")] == [(old, "failed"), (new, "registered")]
    assert fresh(box).expires_on == a_year_later(box)


# --- PayPal -----------------------------------------------------------------------------------------------------------


def test_an_account_is_added_replaced_and_taken_away(paypal, client, box, alice):
    first = add_account(client, paypal)
    assert (first.login, first.label, list(paypal.vault)) == (alice, "PayPal m•••@posta.example", [first.remote_id])
    automatic(box, alice, first, days_before=60)
    second = add_account(client, paypal, f"{first.public_id}/sostituisci/")
    assert AutoRenewal.objects.get(ended_at=None).method == second
    wallet.forget_removed()
    assert list(paypal.vault) == [second.remote_id]
    client.post(f"{LIST}{second.public_id}/rimuovi/")
    assert (AutoRenewal.objects.get().ended_why, fresh(box).auto_renews) == ("method_removed", False)
    wallet.forget_removed()
    assert (paypal.vault, paypal.captures_made) == ({}, 0)


def test_given_up_at_paypal_nothing_is_saved(paypal, client):
    page = client.post(LIST + "aggiungi/", {"provider": "paypal"}).url
    cancel = paypal.setups[page.partition("token=")[2]]["_context"]["cancel_url"]
    assert "Nessun metodo salvato" in words(client.get(cancel, follow=True))
    assert (StoredMethod.objects.count(), paypal.vault) == (0, {})


def test_a_saved_account_renews_by_itself(paypal, client, box, alice):
    method = add_account(client, paypal)
    automatic(box, alice, method, days_before=60)
    for days in (30, 7, 7, 6):
        beat(before(box, days))
    payment = Payment.objects.get()
    assert (payment.status, payment.method, Order.objects.get().status) == ("registered", method, "fulfilled")
    assert (fresh(box).expires_on, paypal.captures_made) == (a_year_later(box), 1)


@pytest.mark.parametrize(
    ("issue", "tries", "charge"),
    [("INSTRUMENT_DECLINED", [7, 5, 3, 1, 0], "failed"), ("PAYER_ACTION_REQUIRED", [7], "failed"),
     ("PAYER_ACCOUNT_LOCKED_OR_CLOSED", [7], "failed")],
)  # fmt: skip
def test_an_account_that_paypal_refuses(paypal, client, box, alice, issue, tries, charge):
    automatic(box, alice, add_account(client, paypal), days_before=60)
    paypal.refuse_vault = issue
    for days in (30, 7, 6, 5, 4, 3, 2, 1, 0):
        beat(before(box, days))
    assert [(box.expires_on - p.created_at.date()).days for p in Payment.objects.order_by("id")] == tries
    assert (Order.objects.get().status, ScheduledCharge.objects.get().status) == ("awaiting_payment", charge)
    assert (paypal.captures_made, fresh(box).expires_on) == (0, box.expires_on)


def test_an_account_refused_once_pays_at_the_next_try(paypal, client, box, alice):
    automatic(box, alice, add_account(client, paypal), days_before=60)
    paypal.refuse_vault = "INSTRUMENT_DECLINED"
    for days in (30, 7):
        beat(before(box, days))
    paypal.refuse_vault = ""
    beat(before(box, 5))
    assert (Payment.objects.count(), paypal.captures_made, fresh(box).expires_on) == (2, 1, a_year_later(box))
