"""Stripe's webhooks: forged, stale, foreign, replayed, rotated; and what a good one is worth (R18, R22)."""

import pytest
from django.test import Client
from django.urls import reverse

from payments import sync, tasks
from payments.models import Case, Payment, ProviderEvent
from tests.peers.stripe_fake import Fake, sign

pytestmark = pytest.mark.django_db
OLD, NEW = "whsec_old", "whsec_new"


@pytest.fixture
def payment(order, settings, monkeypatch) -> Payment:
    settings.STRIPE_WEBHOOK_SECRETS, settings.STRIPE_SECRET_KEY = [OLD, NEW], "sk_test_x"
    monkeypatch.setattr(tasks.work_off_event, "delay", sync.work_off_event)
    return Payment.objects.create(
        order=order, provider="stripe", amount=order.total, remote_id="pi_ours", charge_id="ch_ours"
    )


@pytest.fixture
def post(payment, commits):
    def go(body: bytes, signature: str) -> int:
        client = Client(enforce_csrf_checks=True, headers={"Stripe-Signature": signature})
        with commits():
            address = reverse("payments:webhook", args=["stripe"])
            return client.post(address, body, content_type="application/json").status_code

    return go


def dispute(**changes: object) -> dict:
    return {"id": "dp_1", "payment_intent": "pi_ours", "charge": "ch_ours", "reason": "fraudulent",
            "status": "needs_response", **changes}  # fmt: skip


def test_each_secret_of_a_rotation_is_good_and_no_other(post):
    codes = {}
    for secret in (OLD, NEW, "whsec_other", ""):
        codes[secret] = post(*Fake().event("charge.dispute.created", dispute(), secret=secret))
    assert codes == {OLD: 200, NEW: 200, "whsec_other": 400, "": 400}
    assert ProviderEvent.objects.count() == 2


def test_without_secrets_nothing_is_believed(post, settings):
    settings.STRIPE_WEBHOOK_SECRETS = []
    assert post(*Fake().event("charge.dispute.created", dispute(), secret="")) == 400
    settings.STRIPE_WEBHOOK_SECRETS = [""]
    assert post(*Fake().event("charge.dispute.created", dispute(), secret="")) == 400


def test_forged_stale_and_broken_ones_leave_nothing(post):
    body, signature = Fake().event("charge.dispute.created", dispute(), secret=NEW)
    bad = [
        (body.replace(b"pi_ours", b"pi_0urs"), signature),
        (body, ""),
        (body, "t=1,v1=x"),
        (body, signature.replace("v1", "v0")),
        Fake().event("charge.dispute.created", dispute(), secret=NEW, age=301),
        *((raw, sign(raw, secret=NEW)) for raw in (b"", b"[]", b"{}", b"null", b'{"type": 1}', b"\xff\xfe")),
        (b'{"id": "e", "type": "refund.created", "data": {"object": []}}', ""),
    ]
    assert [post(*event) for event in bad] == [400] * len(bad)
    assert (ProviderEvent.objects.count(), Case.objects.count()) == (0, 0)


def test_a_megabyte_is_refused_unread(post):
    body = b" " * 1_000_000
    assert post(body, sign(body, secret=NEW)) == 413


def test_replayed_it_is_one(post):
    event = Fake().event("charge.dispute.created", dispute(), secret=NEW)
    assert [post(*event) for _ in range(3)] == [200, 200, 200]
    assert (ProviderEvent.objects.count(), Case.objects.count()) == (1, 1)


def test_a_dispute_is_a_case_and_moves_nothing(post, payment, order):
    assert post(*Fake().event("charge.dispute.created", dispute(payment_intent=None), secret=NEW)) == 200
    case = Case.objects.get()
    assert (case.kind, case.payment) == ("dispute", payment)
    assert case.detail == "il cliente ha contestato l'addebito (fraudulent · needs_response)"
    payment.refresh_from_db()
    assert payment.status == "created"


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("payment_intent.succeeded", {"id": "pi_theirs"}),
        ("charge.refunded", {"id": "ch_theirs", "payment_intent": "pi_theirs"}),
        ("charge.dispute.created", {"id": "dp_1", "charge": "ch_theirs"}),
        ("setup_intent.succeeded", {"id": "seti_theirs"}),
        ("customer.created", {"id": "pi_ours"}),
    ],
)
def test_foreign_and_unknown_ones_do_nothing(post, payment, kind, about):
    assert post(*Fake().event(kind, about, secret=NEW)) == 200
    assert ProviderEvent.objects.get().processed_at is not None
    payment.refresh_from_db()
    assert (payment.status, Case.objects.count()) == ("created", 0)


@pytest.mark.parametrize("changes", [{"livemode": True}, {"account": "acct_other"}])
def test_another_mode_or_account_is_stored_and_names_nothing(post, changes):
    assert post(*Fake().event("charge.dispute.created", dispute(), secret=NEW, **changes)) == 200
    event = ProviderEvent.objects.get()
    assert (event.kind, event.remote_id, Case.objects.count()) == ("other", "", 0)


@pytest.mark.parametrize(
    ("kind", "about", "expected"),
    [
        ("payment_intent.succeeded", {"id": "pi_ours"}, ("payment", "pi_ours")),
        ("charge.refunded", {"id": "ch_ours", "payment_intent": "pi_ours"}, ("refund", "pi_ours")),
        ("refund.updated", {"id": "re_1", "charge": "ch_ours"}, ("refund", "ch_ours")),
    ],
)
def test_it_asks_stripe_about_the_attempt(post, payment, monkeypatch, kind, about, expected):
    asked = []
    monkeypatch.setattr("payments.flows.fetch_and_record", asked.append)  # a nudge is all it is worth
    assert post(*Fake().event(kind, about, secret=NEW)) == 200
    event = ProviderEvent.objects.get()
    assert ((event.kind, event.remote_id), asked) == (expected, [payment.pk])
