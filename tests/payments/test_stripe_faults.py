"""Stripe when it hurts: answers lost after the work, refusals with their codes, refunds that fail, lying amounts."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.test import Client
from post_office.models import Email

from payments import cards, flows, giving_back, refunds, sync, tasks
from payments.models import Case, Payment, ProviderCustomer, ProviderEvent, Refund, StoredMethod
from payments.providers import stripe_api
from payments.providers import stripe_words as words
from payments.providers.base import ProviderTimeoutError
from payments.providers.stripe import Stripe
from pecportal import clock, formats
from tests.helpers import place
from tests.peers.stripe_fake import stripe_fake  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]


@pytest.fixture
def begin(stripe_fake, order, alice):  # noqa: F811
    def go() -> Payment:
        flows.start(
            order_id=order.pk, provider="stripe", user=alice, auto_renewal_agreed=True,
            consent_text_version="2026-11", return_url=lambda p: "/", cancel_url="/",
        )  # fmt: skip
        return Payment.objects.latest("id")

    return go


def give(fake, payment: Payment, **decline: str) -> str:
    setup = cards.open_setup(payment)
    fake.give_card(setup.remote_id, fake.card(**decline))
    return setup.remote_id


@pytest.fixture
def paid(stripe_fake, begin) -> Payment:  # noqa: F811
    payment = begin()
    cards.pay(payment, give(stripe_fake, payment))
    payment.refresh_from_db()
    assert payment.status == "registered"
    return payment


@pytest.mark.parametrize("what", ["drop", "500", "delay"])
def test_an_answer_lost_after_the_work_is_unknown_then_one_charge(stripe_fake, begin, order, monkeypatch, what):  # noqa: F811
    payment = begin()
    setup = give(stripe_fake, payment)
    stripe_fake.fault("POST /v1/payment_intents$", what)
    with monkeypatch.context() as patch:
        if what == "delay":
            patch.setattr(stripe_api, "TIMEOUT", (5.0, 1.5))
        cards.pay(payment, setup)
    payment.refresh_from_db()
    assert (payment.status, payment.remote_id) == ("unknown", "")
    assert cards.pay(payment, setup) == ""  # the page posted again
    assert sync.sync_listing("stripe", clock.now() - timedelta(hours=1)) == 1
    order.refresh_from_db()
    assert (order.status, len(stripe_fake.intents())) == ("fulfilled", 1)


def test_no_answer_before_the_money_keeps_the_page(stripe_fake, begin):  # noqa: F811
    payment = begin()
    setup = give(stripe_fake, payment)
    stripe_fake.fault("attach", "refuse")
    with pytest.raises(cards.NoAnswerError):
        cards.pay(payment, setup)
    payment.refresh_from_db()
    assert payment.sent_at is None and stripe_fake.intents() == []
    cards.pay(payment, setup)
    payment.refresh_from_db()
    assert payment.status == "registered"


def test_the_same_payment_sent_twice_is_one(stripe_fake, begin):  # noqa: F811
    payment = begin()
    seen = Stripe().setups.read(give(stripe_fake, payment))
    taken = [Stripe().take(payment, customer=seen.customer, method=seen.method) for _ in range(2)]
    assert taken[0].outcome == taken[1].outcome and len(stripe_fake.intents()) == 1
    payment.amount += 1
    with pytest.raises(ProviderTimeoutError):  # never "failed": the first one may have taken the money
        Stripe().take(payment, customer=seen.customer, method=seen.method)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ({"decline_code": "insufficient_funds"}, "soft"),
        ({"decline_code": "try_again_later"}, "soft"),
        ({"decline_code": "do_not_honor"}, "soft"),
        ({"decline_code": "do_not_honor", "advice_code": "do_not_try_again"}, "hard"),
        ({"decline_code": "fraudulent", "advice_code": "try_again_later"}, "soft"),
        ({"decline_code": "expired_card"}, "hard"),
        ({"decline_code": "lost_card"}, "hard"),
        ({"decline_code": "stolen_card"}, "hard"),
        ({"decline_code": "authentication_required"}, "auth"),
        ({"code": "authentication_required"}, "auth"),
        ({"code": "expired_card"}, "hard"),
    ],
)
def test_what_a_refusal_means(stripe_fake, make_box, alice, error, told):  # noqa: F811
    customer = Stripe().setups.new_customer("x")
    ProviderCustomer.objects.create(login=alice, provider="stripe", remote_id=customer)
    card = stripe_fake.card(**error)
    stripe_fake.things[card]["customer"] = customer
    method = StoredMethod.objects.create(login=alice, provider="stripe", remote_id=card, label="x")
    payment = flows.charge(order_id=place(make_box(alice, "uno"), alice).pk, method=method)
    assert (payment.status, payment.decline) == ("failed", told)
    assert payment.remote_id == stripe_fake.intents()[0]["id"]
    assert "rubata" not in payment.reason and "smarrita" not in payment.reason


@pytest.mark.parametrize("change", [{"amount_received": 1}, {"currency": "usd"}])
def test_another_amount_or_currency_is_a_case(stripe_fake, begin, order, change):  # noqa: F811
    payment = begin()
    seen = Stripe().setups.read(give(stripe_fake, payment))
    flows.claim(payment.pk)
    payment.refresh_from_db()
    Stripe().take(payment, customer=seen.customer, method=seen.method)
    stripe_fake.intents()[0].update(change)
    flows.fetch_and_record(payment.pk)
    order.refresh_from_db()
    assert (order.status, Case.objects.get().kind) == ("awaiting_payment", "mismatch")


def send(payment: Payment, amount: Decimal, staff) -> Refund:
    with transaction.atomic():
        locked = Payment.objects.locked().get(pk=payment.pk)
        refund = refunds.ask(payment=locked, amount=amount, actor=staff, why="prova", order=payment.order)
    refunds.send_due()
    refund.refresh_from_db()
    return refund


def test_a_refund_whose_answer_was_lost_is_given_once(stripe_fake, paid, dario):  # noqa: F811
    stripe_fake.fault("POST /v1/refunds", "drop")
    refund = send(paid, Decimal("5.00"), dario)
    assert refund.status == "unknown"
    Refund.objects.update(next_check_at=clock.now())
    stripe_fake.keys.clear()  # a day later the key is forgotten: the list is asked first
    refunds.send_due()
    refund.refresh_from_db()
    made = [t for t in stripe_fake.things.values() if t["object"] == "refund"]
    assert (refund.status, [m["id"] for m in made]) == ("done", [refund.remote_id])


def test_a_refund_that_is_pending_then_fails_is_a_case(stripe_fake, paid, dario):  # noqa: F811
    stripe_fake.refund_status = "pending"
    refund = send(paid, Decimal("5.00"), dario)
    assert refund.status == "pending"
    stripe_fake.things[refund.remote_id].update(status="failed", failure_reason="expired_or_canceled_card")
    Refund.objects.update(next_check_at=clock.now())
    refunds.send_due()
    refund.refresh_from_db()
    assert (refund.status, Case.objects.get().kind) == ("failed", "refund")


@pytest.fixture
def tell(stripe_fake, monkeypatch):  # noqa: F811
    """A signed event of a refund, posted to our address and worked off by the task it nudges."""
    monkeypatch.setattr(tasks.work_off_event, "delay", sync.work_off_event)

    def post(refund: Refund) -> None:
        body, signature = stripe_fake.event("refund.failed", stripe_fake.things[refund.remote_id])
        headers = {"Stripe-Signature": signature}
        client = Client(raise_request_exception=False, headers=headers)
        assert client.post("/webhook/stripe/", body, content_type="application/json").status_code == 200

    return post


@pytest.mark.parametrize("still_counted", [True, False], ids=["the charge counts it", "the charge forgets it"])
@pytest.mark.parametrize("amount", ["5.00", "12.08"])
def test_a_refund_that_comes_back_weeks_later_is_a_case_once(stripe_fake, paid, dario, tell, amount, still_counted):  # noqa: F811
    refund = send(paid, Decimal(amount), dario)
    paid.refresh_from_db()
    assert (refund.status, paid.status) == ("done", "refunded" if refund.amount == paid.received else "registered")
    stripe_fake.things[refund.remote_id].update(status="failed", failure_reason="lost_or_stolen_card")
    if not still_counted:
        stripe_fake.things[paid.charge_id]["amount_refunded"] = 0
    for _ in range(2):
        tell(refund)
    refund.refresh_from_db(), paid.refresh_from_db()
    letters = Email.objects.filter(subject__contains="è tornato indietro").order_by("to")
    assert [letter.to for letter in letters] == [["alice@posta.example"], ["ordine@posta.example"]]  # once
    for letter in letters:
        assert formats.euro(refund.amount) in letter.message and paid.order.number in letter.html_message
    case = Case.objects.get()
    assert (refund.status, paid.status) == ("failed", "registered")
    assert (case.kind, case.amount, case.order, case.closed_at) == ("refund", refund.amount, paid.order, None)
    assert "tornato indietro" in case.detail and refunds.applied(paid, paid.order) == paid.received
    # staff send it once more, out of the case; later news of the first one changes nothing
    stripe_fake.things[paid.charge_id]["amount_refunded"] = 0
    giving_back.refund_case(case_id=case.pk, amount=refund.amount, reference="", actor=dario, why="carta nuova")
    refunds.send_due()
    tell(refund)
    assert [r.status for r in Refund.objects.order_by("id")] == ["failed", "done"]
    assert Case.objects.filter(closed_at=None).count() == 0
    paid.refresh_from_db()
    assert refunds.applied(paid, paid.order) == paid.received - refund.amount


def test_a_refund_that_came_back_is_asked_about_until_stripe_answers(stripe_fake, paid, dario, tell):  # noqa: F811
    refund = send(paid, Decimal("5.00"), dario)
    stripe_fake.things[refund.remote_id].update(status="failed")
    stripe_fake.fault("GET /v1/refunds/", "500")
    tell(refund)
    assert (Case.objects.count(), ProviderEvent.objects.get().processed_at) == (0, None)
    tasks.work_off_left_over()
    assert (Case.objects.get().kind, ProviderEvent.objects.get().processed_at is not None) == ("refund", True)


def test_a_dispute_whose_webhook_got_lost_is_a_case_once(stripe_fake, paid, client):  # noqa: F811
    about = {"id": "dp_1", "payment_intent": paid.remote_id, "reason": "fraudulent", "status": "needs_response"}
    body, signature = stripe_fake.event("charge.dispute.created", about)
    stripe_fake.event("charge.dispute.created", {**about, "id": "dp_2"}, livemode=True)
    old = stripe_fake.event("charge.dispute.created", {**about, "id": "dp_3"})[0]
    stripe_fake.things[json.loads(old)["id"]]["created"] -= 100_000
    for _time in range(2):
        tasks.sync_listings()
        tasks.work_off_left_over()
    assert [(case.kind, case.payment) for case in Case.objects.all()] == [("dispute", paid)]
    assert not ProviderEvent.objects.filter(processed_at=None).exists()
    # The webhook comes after all: it is known.
    told = client.post("/webhook/stripe/", body, "application/json", headers={"Stripe-Signature": signature})
    assert (told.status_code, ProviderEvent.objects.count(), Case.objects.count()) == (200, 2, 1)


def test_money_given_back_at_stripe_is_noted(stripe_fake, paid):  # noqa: F811
    stripe_fake.post("/v1/refunds", {"payment_intent": paid.remote_id, "amount": "300", "metadata": {}}, "by hand")
    sync.sync_listing("stripe", clock.now() - timedelta(hours=1))
    assert (Refund.objects.get().amount, Case.objects.get().kind) == (Decimal("3.00"), "outside")


def test_a_wrong_key_is_no_answer(stripe_fake, begin, settings):  # noqa: F811
    payment = begin()
    settings.STRIPE_SECRET_KEY = "sk_test_wrong"
    with pytest.raises(cards.NoAnswerError):
        cards.open_setup(payment)


def test_the_list_is_read_to_its_end_and_no_further(stripe_fake):  # noqa: F811
    for number in range(250):
        stripe_fake._new("pi", "payment_intent", status="canceled", currency="eur", latest_charge=None,
                         payment_method=None, amount=number)  # fmt: skip
    things = stripe_fake.intents()
    for thing in things[:120]:
        thing["created"] -= 100_000
    assert len(list(Stripe().recent(clock.now() - timedelta(hours=1)))) == 130
    assert words.cents(Decimal("12.08")) == 1208 and words.euros(1208) == Decimal("12.08")
