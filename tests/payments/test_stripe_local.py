"""Cards on localstripe, a Stripe we did not write: the road from the card page to a moved expiry (R18–R23)."""

import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from payments import cards, flows, refunds, setups, sync, tasks
from payments.models import (
    AutoRenewal,
    Case,
    MethodSetup,
    Payment,
    ProviderCustomer,
    ProviderEvent,
    Refund,
    StoredMethod,
)
from payments.providers.stripe import Stripe
from pecportal import clock
from tests.helpers import place, years_later
from tests.peers.localstripe import WEBHOOK, localstripe  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]
PLAIN, STRONG, DECLINED = "4242424242424242", "4000002500003155", "4000000000000341"


@pytest.fixture
def begin(localstripe, order, alice):  # noqa: F811
    def go(*, user=alice, agreed: bool = True) -> Payment:
        address = flows.start(
            order_id=order.pk, provider="stripe", user=user, auto_renewal_agreed=agreed,
            consent_text_version="2026-11", return_url=lambda p: "/", cancel_url="/",
        )  # fmt: skip
        payment = Payment.objects.latest("id")
        assert address == reverse("payments:card", args=[payment.public_id])
        return payment

    return go


def give(local, payment: Payment, number: str) -> str:
    setup = cards.open_setup(payment)
    local.give_card(setup.remote_id, number)
    return setup.remote_id


def test_a_plain_card_moves_the_expiry_and_is_kept(localstripe, begin, box, order):  # noqa: F811
    payment, before = begin(), box.expires_on
    assert cards.pay(payment, give(localstripe, payment, PLAIN)) == ""
    payment.refresh_from_db(), order.refresh_from_db(), box.refresh_from_db()
    [intent] = localstripe.intents()
    assert (payment.status, payment.received, payment.remote_id) == ("registered", order.total, intent["id"])
    assert payment.charge_id == intent["latest_charge"]["id"]
    assert (order.status, box.expires_on) == ("fulfilled", years_later(before))
    method = StoredMethod.objects.get()
    assert (method.label, method.expires_month, method.expires_year) == ("Visa •••• 4242", 12, 2031)
    assert AutoRenewal.objects.get(ended_at=None).method == method


def test_what_stripe_told_of_it_is_listed(localstripe, begin):  # noqa: F811
    payment = begin()
    cards.pay(payment, give(localstripe, payment, PLAIN))
    payment.refresh_from_db()
    tasks.sync_listings()
    found = ProviderEvent.objects.filter(remote_id=payment.remote_id, processed_at=None)
    assert "payment" in found.values_list("kind", flat=True)


@pytest.mark.parametrize("signed_in", [True, False])
def test_without_the_consent_the_card_is_not_kept(localstripe, begin, alice, signed_in):  # noqa: F811
    payment = begin(user=alice if signed_in else None, agreed=False)
    cards.pay(payment, give(localstripe, payment, PLAIN))
    payment.refresh_from_db()
    [intent] = localstripe.intents()
    card = localstripe.call("GET", f"/v1/payment_methods/{intent['payment_method']}")
    assert (payment.status, card["customer"], StoredMethod.objects.count()) == ("registered", None, 0)


def test_strong_authentication_passes(localstripe, begin, order):  # noqa: F811
    payment = begin()
    secret = cards.pay(payment, give(localstripe, payment, STRONG))
    payment.refresh_from_db()
    assert secret.startswith(payment.remote_id) and payment.status == "pending"
    assert cards.secret_to_confirm(payment) == secret
    localstripe.confirm(payment.remote_id, success=True)
    flows.fetch_and_record(payment.pk)
    order.refresh_from_db()
    assert order.status == "fulfilled"


def test_strong_authentication_fails_and_nobody_can_pay_it_any_more(localstripe, begin, order):  # noqa: F811
    payment = begin()
    cards.pay(payment, give(localstripe, payment, STRONG))
    payment.refresh_from_db()
    localstripe.confirm(payment.remote_id, success=False)
    payment = flows.fetch_and_record(payment.pk)
    assert (payment.status, payment.decline) == ("failed", "auth")
    assert [i["status"] for i in localstripe.intents()] == ["canceled"]
    order.refresh_from_db()
    assert order.status == "awaiting_payment"


def test_a_declined_card_ends_the_attempt_and_the_next_one_pays(localstripe, begin, order):  # noqa: F811
    first = begin()
    cards.pay(first, give(localstripe, first, DECLINED))
    first.refresh_from_db()
    assert (first.status, first.decline) == ("failed", "soft")
    second = begin()
    cards.pay(second, give(localstripe, second, PLAIN))
    order.refresh_from_db()
    assert (order.status, second.pk != first.pk) == ("fulfilled", True)


def test_the_page_posted_twice_makes_one_payment_intent(localstripe, begin):  # noqa: F811
    payment = begin()
    setup = give(localstripe, payment, PLAIN)
    stale = Payment.objects.get(pk=payment.pk)
    cards.pay(payment, setup)
    assert cards.pay(stale, setup) == ""
    assert len(localstripe.intents()) == 1


def test_a_card_given_for_another_payment_is_not_taken(localstripe, begin, order, make_box, carla):  # noqa: F811
    mine = begin()
    theirs = place(make_box(carla, "carla"), carla)
    flows.start(
        order_id=theirs.pk, provider="stripe", user=carla, auto_renewal_agreed=True, consent_text_version="2026-11",
        return_url=lambda p: "/", cancel_url="/",
    )  # fmt: skip
    other = Payment.objects.get(order=theirs)
    setup = give(localstripe, other, PLAIN)
    for made_up in (setup, "seti_unknown", "", "../customers"):
        with pytest.raises(cards.ForeignSetupError):
            cards.pay(mine, made_up)
    mine.refresh_from_db()
    assert (mine.sent_at, localstripe.intents()) == (None, [])


def test_pages_of_somebody_else_are_not_found(localstripe, begin, alice, carla, box):  # noqa: F811
    payment = begin()
    setup = MethodSetup.objects.create(login=alice, provider="stripe")
    for address in (
        reverse("payments:card", args=[payment.public_id]),
        reverse("payments:card_setup", args=[setup.public_id]),
    ):
        seen = {}
        for name, user in (("carla", carla), ("alice", alice), ("box", box.login)):
            client = Client()
            client.force_login(user)
            seen[name] = client.get(address).status_code
        assert seen == {"carla": 404, "alice": 200, "box": 404}
        assert Client().get(address).status_code == 302


def test_the_page_admits_stripe_and_other_pages_do_not(localstripe, begin, alice, settings):  # noqa: F811
    client = Client()
    client.force_login(alice)
    policy = client.get(reverse("payments:card", args=[begin().public_id])).headers["Content-Security-Policy"]
    assert f"script-src 'self' {localstripe.url}" in policy
    assert f"frame-src {localstripe.url}" in policy and f"connect-src 'self' {localstripe.url}" in policy
    assert localstripe.url not in client.get("/area-clienti/").headers["Content-Security-Policy"]


def test_an_attempt_never_sent_is_closed_for_certain(localstripe, begin, order):  # noqa: F811
    payment = begin()
    setup = give(localstripe, payment, PLAIN)
    flows.cancel_order(order_id=order.pk, actor=payment.started_by)
    payment.refresh_from_db(), order.refresh_from_db()
    assert (payment.status, order.status) == ("cancelled", "cancelled")
    assert cards.pay(payment, setup) == "" and localstripe.intents() == []


def test_closing_while_the_bank_asks_ends_it_there_too(localstripe, begin, order):  # noqa: F811
    payment = begin()
    cards.pay(payment, give(localstripe, payment, STRONG))
    flows.cancel_order(order_id=order.pk, actor=payment.started_by)
    assert [i["status"] for i in localstripe.intents()] == ["canceled"]
    payment.refresh_from_db()
    assert payment.status == "cancelled"


def test_money_whose_answer_was_lost_is_found_by_the_list_and_once(localstripe, begin, order):  # noqa: F811
    payment = begin()
    setup = give(localstripe, payment, PLAIN)
    seen = Stripe().setups.read(setup)
    Stripe().setups.attach(seen)
    assert flows.claim(payment.pk)
    payment.refresh_from_db()
    Stripe().take(payment, customer=seen.customer, method=seen.method)  # done there; we stopped before writing
    since = clock.now() - timedelta(hours=1)
    assert [sync.sync_listing("stripe", since), sync.sync_listing("stripe", since)] == [1, 0]
    order.refresh_from_db()
    assert (order.status, len(localstripe.intents()), Case.objects.count()) == ("fulfilled", 1, 0)


def test_what_was_sent_and_is_not_there_is_unknown_for_an_hour(localstripe, begin, monkeypatch):  # noqa: F811
    payment = begin()
    assert Stripe().fetch(payment).result == "pending"
    flows.claim(payment.pk)
    payment.refresh_from_db()
    assert Stripe().fetch(payment).result == "unknown"
    payment.sent_at -= timedelta(minutes=61)
    assert Stripe().fetch(payment).result == "failed"


def test_money_without_a_row_is_a_case_once(localstripe, begin):  # noqa: F811
    begin()
    card = {"number": PLAIN, "exp_month": 1, "exp_year": 2031, "cvc": "123"}
    method = localstripe.call("POST", "/v1/payment_methods", {"type": "card", "card": card})
    money = {"amount": 3333, "currency": "eur", "payment_method": method["id"], "confirm": True}
    made = localstripe.call("POST", "/v1/payment_intents", money)
    for _ in range(2):
        sync.sync_listing("stripe", clock.now() - timedelta(hours=1))
    case = Case.objects.get()
    assert (case.kind, case.amount, made["id"] in case.detail) == ("stranger", Decimal("33.33"), True)


def test_refunds_part_by_part_and_to_the_end(localstripe, begin, order, dario):  # noqa: F811
    payment = begin()
    cards.pay(payment, give(localstripe, payment, PLAIN))
    payment.refresh_from_db()
    for amount in (Decimal("5.00"), order.total - Decimal("5.00")):
        with transaction.atomic():
            locked = Payment.objects.locked().get(pk=payment.pk)
            refunds.ask(payment=locked, amount=amount, actor=dario, why="prova", order=order)
        refunds.send_due()
    payment.refresh_from_db()
    assert [r.status for r in Refund.objects.all()] == ["done", "done"]
    assert payment.status == "refunded"
    again = Refund.objects.first()
    assert Stripe().fetch_refund(again).remote_id == again.remote_id
    again.remote_id = ""
    assert Stripe().fetch_refund(again).result == "refunded"  # found by its mark
    assert flows.fetch_and_record(payment.pk).status == "refunded" and Case.objects.count() == 0


def test_a_saved_card_is_charged_with_nobody_there(localstripe, make_box, alice):  # noqa: F811
    def save(number: str) -> StoredMethod:
        setup = MethodSetup.objects.create(login=alice, provider="stripe")
        opened = cards.open_setup(setup)
        localstripe.give_card(opened.remote_id, number)
        return cards.keep(setup, opened.remote_id).method

    told = []
    for number, name in ((PLAIN, "uno"), (STRONG, "due"), (DECLINED, "tre")):
        payment = flows.charge(order_id=place(make_box(alice, name), alice).pk, method=save(number))
        told.append((payment.status, payment.decline))
    assert told == [("registered", ""), ("failed", "auth"), ("failed", "soft")]
    assert ProviderCustomer.objects.count() == 1
    method = StoredMethod.objects.first()
    Stripe().forget(method)
    assert localstripe.call("GET", f"/v1/payment_methods/{method.remote_id}")["customer"] is None


def test_a_card_saved_without_paying(localstripe, alice):  # noqa: F811
    setup = MethodSetup.objects.create(login=alice, provider="stripe")
    opened = cards.open_setup(setup)
    setups.remember(setup, opened.remote_id)
    assert setups.finish(setup.pk) is None  # nothing given yet
    localstripe.give_card(opened.remote_id, PLAIN)
    done = [setups.finish(setup.pk) for _ in range(2)]
    method = StoredMethod.objects.get()
    assert done == [method, method]
    assert (method.login, method.label) == (alice, "Visa •••• 4242")
    assert localstripe.intents() == []


def test_its_signed_webhook_is_believed(localstripe, begin, live_server):  # noqa: F811
    hook = {"url": f"{live_server.url}/webhook/stripe/", "secret": WEBHOOK, "events": ["payment_intent.succeeded"]}
    localstripe.call("POST", "/_config/webhooks/ours", hook)
    payment = begin()
    cards.pay(payment, give(localstripe, payment, PLAIN))
    payment.refresh_from_db()
    for _ in range(600):  # it sends a second later
        if ProviderEvent.objects.exists():
            break
        time.sleep(0.1)
    event = ProviderEvent.objects.get()
    assert (event.kind, event.remote_id) == ("payment", payment.remote_id)
