"""Webhooks are hints: stored once, answered 200, worked off by a task (R18, R22)."""

import json

import pytest
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse

from payments import flows, sync, tasks
from payments.models import Case, Payment, ProviderEvent
from payments.providers import sandbox
from renewals.models import Order
from tests.helpers import start_card

pytestmark = pytest.mark.django_db
URL = reverse("payments:webhook", args=["sandbox"])


@pytest.fixture
def post():
    def send(body: bytes, signature: str, **extra):
        client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        return client.post(
            URL, body, content_type="application/json", headers={"X-Sandbox-Signature": signature}, **extra
        )

    return send


@pytest.fixture
def worked(monkeypatch):
    """The nudges, worked off at once instead of by a worker."""
    nudged = []

    def now(event_id):
        nudged.append(event_id)
        sync.work_off_event(event_id)

    monkeypatch.setattr(tasks.work_off_event, "delay", now)
    return nudged


def statuses(order):
    order.refresh_from_db()
    return order.status, [p.status for p in order.payments.order_by("id")], Case.objects.count()


def test_one_event_posted_twice_pays_once(post, worked, order, attempt, box, commits):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    body, signature = sandbox.sandbox_event(attempt.remote_id)
    with commits():
        assert post(body, signature).status_code == 200
    expiry = type(box).objects.get().expires_on
    with commits():
        assert post(body, signature).status_code == 200
    event = ProviderEvent.objects.get()
    assert (event.remote_id, event.processed_at is not None, worked) == (attempt.remote_id, True, [event.pk])
    assert statuses(order) == ("fulfilled", ["registered"], 0)
    assert type(box).objects.get().expires_on == expiry > box.expires_on


def test_an_old_event_replayed_much_later_changes_nothing(post, worked, order, attempt, commits):
    body, signature = sandbox.sandbox_event(attempt.remote_id)
    with commits():
        post(body, signature)
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits():
        flows.fetch_and_record(attempt.pk)
    before = statuses(order)
    with commits():
        assert post(body, signature).status_code == 200
    assert (statuses(order), len(worked), before[0]) == (before, 1, "fulfilled")


def test_two_different_events_about_one_attempt_pay_once(post, worked, order, attempt, box, commits):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    for _ in range(2):
        with commits():
            assert post(*sandbox.sandbox_event(attempt.remote_id)).status_code == 200
    assert ProviderEvent.objects.count() == len(worked) == 2
    assert statuses(order) == ("fulfilled", ["registered"], 0)


@pytest.mark.parametrize("signature", ["", "0" * 64, "è", "right of another body"])
def test_a_forged_one_is_refused_and_not_stored(post, worked, order, attempt, commits, signature):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    body, _signature = sandbox.sandbox_event(attempt.remote_id)
    if signature == "right of another body":
        signature = sandbox.sign(body + b" ")
    with commits():
        assert post(body, signature).status_code == 400
    assert (ProviderEvent.objects.count(), worked) == (0, [])
    assert statuses(order) == ("awaiting_payment", ["pending"], 0)


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'"x"', b"{}", b'{"event_id": "e"}', b"\xff\xfe", b"null"])
def test_signed_but_not_an_event(post, body, db):
    assert post(body, sandbox.sign(body)).status_code == 400
    assert ProviderEvent.objects.count() == 0


def test_a_payment_that_is_not_ours_is_stored_and_left_alone(post, worked, order, attempt, commits):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits():
        assert post(*sandbox.sandbox_event("sbx_" + "f" * 32)).status_code == 200
    assert ProviderEvent.objects.get().processed_at is not None
    assert statuses(order) == ("awaiting_payment", ["pending"], 0)


def test_an_event_that_names_nothing_touches_no_attempt_without_an_id(post, worked, order, commits, alice):
    """An attempt whose id was never stored has an empty remote_id: an empty hint must not find it."""
    attempt = start_card(order, alice)
    Payment.objects.filter(pk=attempt.pk).update(remote_id="")
    sandbox.write(f"sbx_{attempt.public_id.hex}", status=sandbox.PAID)
    body = json.dumps({"event_id": "e1", "remote_id": ""}).encode()
    with commits():
        assert post(body, sandbox.sign(body)).status_code == 200
    assert statuses(order) == ("awaiting_payment", ["pending"], 0)


@pytest.mark.parametrize("method", ["get", "put", "delete", "head"])
def test_only_post(method, db):
    assert getattr(Client(), method)(URL).status_code == 405


@pytest.mark.parametrize("provider", ["nobody", "transfer", "SANDBOX"])
def test_an_unknown_provider(provider, db):
    body, signature = sandbox.sandbox_event("sbx_x")
    url = reverse("payments:webhook", args=[provider])
    response = Client().post(url, body, content_type="application/json", headers={"X-Sandbox-Signature": signature})
    assert (response.status_code, ProviderEvent.objects.count()) == (404, 0)


def test_too_large_a_body_is_not_read(post, db):
    body = b'{"event_id": "e", "remote_id": "' + b"x" * (256 * 1024) + b'"}'
    assert post(body, sandbox.sign(body)).status_code == 413
    assert ProviderEvent.objects.count() == 0


def test_a_broker_that_is_away_still_answers_200(post, order, attempt, commits, monkeypatch):
    def gone(event_id):
        raise ConnectionError("no broker")

    monkeypatch.setattr(tasks.work_off_event, "delay", gone)
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits():
        assert post(*sandbox.sandbox_event(attempt.remote_id)).status_code == 200
    assert ProviderEvent.objects.get().processed_at is None
    with commits():
        tasks.work_off_left_over()
    assert statuses(order) == ("fulfilled", ["registered"], 0)


def test_only_our_failure_to_store_is_a_5xx(post, attempt, monkeypatch):
    def full(*args, **kwargs):
        raise DatabaseError("disk full")

    monkeypatch.setattr(ProviderEvent, "save", full)
    assert post(*sandbox.sandbox_event(attempt.remote_id)).status_code == 500


def test_an_event_that_cannot_be_worked_off_keeps_none_waiting(order, attempt, commits, monkeypatch):
    first = ProviderEvent.objects.create(provider="gone", event_id="1", remote_id="gone-1")
    Payment.objects.filter(pk=attempt.pk).update(provider="gone", remote_id="gone-1")
    second = ProviderEvent.objects.create(provider="sandbox", event_id="2", remote_id="unknown")
    tasks.work_off_left_over()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.processed_at, second.processed_at is not None) == (None, True)


def test_a_late_failure_after_registration_changes_nothing(post, worked, order, attempt, commits):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits():
        post(*sandbox.sandbox_event(attempt.remote_id))
    sandbox.write(attempt.remote_id, status=sandbox.REFUSED)
    with commits():
        assert post(*sandbox.sandbox_event(attempt.remote_id)).status_code == 200
    assert statuses(order) == ("fulfilled", ["registered"], 0)


def test_registered_after_failed_is_a_case_and_the_order_is_untouched(post, worked, order, attempt, commits):
    sandbox.write(attempt.remote_id, status=sandbox.REFUSED)
    with commits():
        post(*sandbox.sandbox_event(attempt.remote_id))
    assert statuses(order) == ("awaiting_payment", ["failed"], 0)
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits():
        post(*sandbox.sandbox_event(attempt.remote_id))
    assert statuses(order) == ("awaiting_payment", ["registered"], 1)
    case = Case.objects.get()
    assert (case.kind, case.payment_id, case.amount) == ("too_late", attempt.pk, order.amount_due)
    assert Order.objects.get().allocations.count() == 0


def test_news_of_attempt_a_never_changes_attempt_b(post, worked, order, attempt, alice, commits):
    sandbox.write(attempt.remote_id, status=sandbox.REFUSED)
    flows.fetch_and_record(attempt.pk)
    other = start_card(order, alice)
    with commits():
        post(*sandbox.sandbox_event(attempt.remote_id))
    assert statuses(order) == ("awaiting_payment", ["failed", "pending"], 0)
    sandbox.write(other.remote_id, status=sandbox.PAID)
    with commits():
        post(*sandbox.sandbox_event(other.remote_id))
    assert statuses(order) == ("fulfilled", ["failed", "registered"], 0)
