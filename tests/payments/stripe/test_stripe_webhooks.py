"""Stripe's webhooks: signed, recent, stored once, a hint and never a fact (R18)."""

import hashlib
import hmac
import json

import pytest
import time_machine
from django.test import Client

from payments import sync
from payments.models import Case, Payment, ProviderEvent
from pecportal import clock
from renewals.models import Order
from tests.helpers import place

pytestmark = pytest.mark.django_db(transaction=True)
OLD, NEW = "whsec_old", "whsec_new"


@pytest.fixture(autouse=True)
def _stripe(settings):
    settings.STRIPE_WEBHOOK_SECRETS = [NEW, OLD]


def event(kind: str, thing: dict, number: int = 1) -> bytes:
    return json.dumps({"id": f"evt_{number}", "type": kind, "data": {"object": thing}}).encode()


def signature(body: bytes, secret: str = NEW, at: int | None = None) -> str:
    at = int(clock.now().timestamp()) if at is None else at
    made = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={made}"


def post(body: bytes, signed: str) -> int:
    return (
        Client()
        .post("/webhook/stripe/", body, content_type="application/json", headers={"Stripe-Signature": signed})
        .status_code
    )


INTENT = {"object": "payment_intent", "id": "pi_1"}


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_any_of_the_secrets_while_one_is_replaced(secret):
    body = event("payment_intent.succeeded", INTENT)
    assert post(body, signature(body, secret)) == 200
    stored = ProviderEvent.objects.get()
    assert (stored.event_id, stored.remote_id, stored.kind) == ("evt_1", "pi_1", "payment")


def test_twice_is_stored_once():
    body = event("payment_intent.succeeded", INTENT)
    assert [post(body, signature(body)) for _time in range(2)] == [200, 200]
    assert ProviderEvent.objects.count() == 1


@pytest.mark.parametrize(
    "forge",
    [
        lambda body: "", lambda body: "t=1,v1=00", lambda body: signature(body, "whsec_other"),
        lambda body: signature(body + b" "), lambda body: signature(body, at=int(clock.now().timestamp()) - 400),
        lambda body: "nonsense", lambda body: signature(body).replace("v1=", "v0="), lambda body: "t=é,v1=é",
    ],
    ids=["none", "zeros", "other secret", "other body", "stale", "nonsense", "old scheme", "not ascii"],
)  # fmt: skip
def test_forged_or_stale_is_refused_and_not_stored(forge):
    body = event("payment_intent.succeeded", INTENT)
    assert post(body, forge(body)) == 400
    assert ProviderEvent.objects.count() == 0


def test_a_replay_after_the_tolerance_is_refused():
    body = event("payment_intent.succeeded", INTENT)
    signed = signature(body)
    with time_machine.travel(clock.now().timestamp() + 301, tick=False):
        assert post(body, signed) == 400


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"id": 1, "type": "x", "data": {}}', b"\xff\xfe"])
def test_what_is_no_event_is_refused_although_signed(body):
    assert post(body, signature(body)) == 400


def test_unknown_kinds_are_answered_and_do_nothing():
    body = event("customer.created", {"object": "customer", "id": "cus_1"})
    assert post(body, signature(body)) == 200
    sync.work_off_event(ProviderEvent.objects.get().pk)
    assert ProviderEvent.objects.get().processed_at is not None


def test_an_event_of_a_payment_that_is_not_ours_does_nothing(box, alice):
    place(box, alice)
    body = event("payment_intent.succeeded", {"object": "payment_intent", "id": "pi_foreign"})
    assert post(body, signature(body)) == 200
    sync.work_off_event(ProviderEvent.objects.get().pk)
    assert Order.objects.get().status == "awaiting_payment"


def test_a_dispute_is_a_case_and_shortens_nothing(box, alice):
    order = place(box, alice)
    Payment.objects.create(
        order=order, provider="stripe", status="registered", amount="12.08", received="12.08", remote_id="pi_1",
        charge_id="ch_1",
    )  # fmt: skip
    expiry = box.expires_on
    for number, names in enumerate(({"payment_intent": "pi_1"}, {"charge": "ch_1"}), start=1):
        thing = {"object": "dispute", "id": "dp_1", "amount": 1208, "reason": "fraudulent", "status": "open", **names}
        body = event("charge.dispute.created", thing, number)
        assert post(body, signature(body)) == 200
        sync.work_off_event(ProviderEvent.objects.latest("id").pk)
    case = Case.objects.get()
    assert (case.kind, str(case.amount), "dp_1" in case.detail, "12.08" in case.detail) == (
        "dispute",
        "12.08",
        True,
        True,
    )
    box.refresh_from_db()
    assert box.expires_on == expiry


def test_without_a_secret_nothing_is_believed(settings):
    settings.STRIPE_WEBHOOK_SECRETS = [""]
    body = event("payment_intent.succeeded", INTENT)
    assert post(body, signature(body, "")) == 400
