"""PayPal with several workers and with events in any order: one capture, and nothing undone (R18, R20, R22, R23)."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from payments import auto_renewal, flows, sync, tasks
from payments.models import AutoRenewal, Case, Payment, ProviderEvent, StoredMethod
from payments.providers.paypal import PayPal
from tests.helpers import years_later
from tests.payments.charging_helpers import beat, forget_mails, fresh, subjects
from tests.payments.test_paypal import begin, state

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]


@pytest.fixture
def tell(paypal, monkeypatch):
    """An event of PayPal's, posted to our address and worked off at once."""
    monkeypatch.setattr(tasks.work_off_event, "delay", sync.work_off_event)

    def post(kind: str, resource: dict) -> None:
        body, headers = paypal.event(kind, resource)
        answer = Client().post("/webhook/paypal/", body, content_type="application/json", headers=headers)
        assert answer.status_code == 200

    return post


# --- At once ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["", "slow", "drop"])
def test_workers_that_complete_at_once_capture_once(paypal, order, alice, box, monkeypatch, fault):
    """Return page, webhook and sync all see «approved» before any of them takes the money."""
    payment = begin(order, alice)
    paypal.approve(payment.remote_id)
    if fault:
        paypal.faults["capture"] = fault
    workers, seen = 4, threading.Barrier(4, timeout=20)
    fetch = PayPal.fetch

    def together(self, about):
        found = fetch(self, about)
        if found.ready:
            seen.wait()
        return found

    monkeypatch.setattr(PayPal, "fetch", together)

    def work(_n: int) -> str:
        try:
            return flows.fetch_and_record(payment.pk).status
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    monkeypatch.undo()
    flows.fetch_and_record(payment.pk)
    assert (state(order), paypal.captures_made) == (("fulfilled", ["registered"], []), 1)
    asked = [path for method, path in paypal.calls if path.endswith("/capture")]
    assert len(asked) == workers  # all of them asked, with one key
    assert fresh(box).expires_on == years_later(box.expires_on)
    assert AutoRenewal.objects.filter(ended_at=None).count() == 1


def test_cancelled_and_completed_at_once_is_one_or_the_other(paypal, order, alice, box):
    payment = begin(order, alice)
    paypal.approve(payment.remote_id)
    start = threading.Barrier(2, timeout=20)

    def work(what) -> None:
        try:
            start.wait()
            what()
        except (flows.NotPayableError, flows.UnknownPaymentError):
            pass
        finally:
            connection.close()

    stories = [
        lambda: flows.fetch_and_record(payment.pk),
        lambda: flows.cancel_order(order_id=order.pk, actor=alice),
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, stories))
    flows.fetch_and_record(payment.pk)
    paid = (("fulfilled", ["registered"], []), 1)
    assert (state(order), paypal.captures_made) in (paid, (("cancelled", ["cancelled"], []), 0))


# --- In any order -----------------------------------------------------------------------------------------------------


def capture_of(paypal, remote_id: str) -> dict:
    related = {"supplementary_data": {"related_ids": {"order_id": remote_id}}}
    return {**paypal.orders[remote_id]["captures"][0], **related}


def test_completed_before_approved_changes_nothing_more(paypal, order, alice, box, tell):
    payment = begin(order, alice)
    paypal.approve(payment.remote_id)
    tell("CHECKOUT.ORDER.APPROVED", {"id": payment.remote_id})
    tell("PAYMENT.CAPTURE.COMPLETED", capture_of(paypal, payment.remote_id))
    after, moves = fresh(box).expires_on, payment.events.count()
    for kind in ("CHECKOUT.ORDER.APPROVED", "CHECKOUT.ORDER.COMPLETED", "CHECKOUT.PAYMENT-APPROVAL.REVERSED"):
        tell(kind, {"id": payment.remote_id})
    tell("PAYMENT.CAPTURE.PENDING", capture_of(paypal, payment.remote_id))
    tell("PAYMENT.CAPTURE.DENIED", capture_of(paypal, payment.remote_id))
    assert (state(order), paypal.captures_made) == (("fulfilled", ["registered"], []), 1)
    assert (fresh(box).expires_on, payment.events.count()) == (after, moves)


def test_late_news_of_a_first_attempt_after_the_second_paid(paypal, order, alice, box, tell):
    first = begin(order, alice)
    second = begin(order, alice)  # closes the first
    paypal.approve(second.remote_id)
    tell("CHECKOUT.ORDER.APPROVED", {"id": second.remote_id})
    after = fresh(box).expires_on
    paypal.approve(first.remote_id)  # the tab that was left open
    tell("CHECKOUT.ORDER.APPROVED", {"id": first.remote_id})
    assert (state(order), paypal.captures_made) == (("fulfilled", ["cancelled", "registered"], []), 1)
    assert (fresh(box).expires_on, AutoRenewal.objects.filter(ended_at=None).count()) == (after, 1)
    assert paypal.orders[first.remote_id].get("captures") is None


def test_money_of_a_first_attempt_after_the_second_paid_is_a_case(paypal, order, alice, box, tell):
    first = begin(order, alice)
    second = begin(order, alice)
    paypal.approve(second.remote_id)
    tell("CHECKOUT.ORDER.APPROVED", {"id": second.remote_id})
    after = fresh(box).expires_on
    paypal.approve(first.remote_id)
    paypal.capture(first.remote_id)  # somebody took it by hand at PayPal
    for _ in range(2):
        tell("PAYMENT.CAPTURE.COMPLETED", capture_of(paypal, first.remote_id))
    assert state(order) == ("fulfilled", ["registered", "registered"], ["too_late"])
    assert (fresh(box).expires_on, Case.objects.get().payment_id) == (after, first.pk)


# --- An account that is kept after the money was registered -----------------------------------------------------------


@pytest.fixture
def kept_later(paypal, order, alice, tell) -> Payment:
    paypal.vault_later = True
    payment = begin(order, alice)
    paypal.approve(payment.remote_id)
    tell("CHECKOUT.ORDER.APPROVED", {"id": payment.remote_id})
    assert (state(order)[0], AutoRenewal.objects.count(), StoredMethod.objects.count()) == ("fulfilled", 0, 0)
    return payment


def test_the_renewal_agreed_to_is_switched_on_when_the_account_is_kept_and_once(
    paypal, kept_later, order, box, alice, tell
):
    forget_mails()
    resource = paypal.keep(kept_later.remote_id)
    for _ in range(3):
        tell("VAULT.PAYMENT-TOKEN.CREATED", resource)
    consent = AutoRenewal.objects.get()
    kept_later.refresh_from_db()
    assert (consent.order, consent.agreed_by, consent.years, consent.ended_at) == (order, alice, 1, None)
    assert (consent.method.remote_id, consent.method.label) == (resource["id"], "PayPal m•••@posta.example")
    assert (kept_later.method, fresh(box).auto_renews) == (consent.method, True)
    assert len([s for s in subjects() if "rinnovo automatico attiv" in s]) == 1
    paid = fresh(box)
    for days in (30, 7):
        beat(paid.expires_on.fromordinal(paid.expires_on.toordinal() - days))
    assert (paypal.captures_made, fresh(box).expires_on.year) == (2, paid.expires_on.year + 1)


def test_events_of_other_accounts_switch_nothing_on(paypal, kept_later, tell):
    resource = paypal.keep(kept_later.remote_id)
    for metadata in ({}, None, {"order_id": ""}, {"order_id": "5O190127TN364715T"}):
        tell("VAULT.PAYMENT-TOKEN.CREATED", {**resource, "metadata": metadata})
    assert AutoRenewal.objects.count() == 0


def test_not_agreed_to_is_not_switched_on_later(paypal, order, alice, tell):
    paypal.vault_later = True
    payment = begin(order, alice, agreed=False)
    paypal.approve(payment.remote_id)
    tell("CHECKOUT.ORDER.APPROVED", {"id": payment.remote_id})
    paypal.orders[payment.remote_id]["_customer"] = "customer_other"
    tell("VAULT.PAYMENT-TOKEN.CREATED", paypal.keep(payment.remote_id))
    assert (AutoRenewal.objects.count(), StoredMethod.objects.count()) == (0, 0)


def test_what_was_decided_by_hand_meanwhile_holds(paypal, kept_later, box, alice, tell):
    other = StoredMethod.objects.create(login=alice, provider="sandbox", remote_id="c", label="Carta")
    auto_renewal.turn_on(box_id=box.pk, user=alice, method_id=other.pk, years=2)
    auto_renewal.turn_off(box_id=box.pk, user=alice)
    tell("VAULT.PAYMENT-TOKEN.CREATED", paypal.keep(kept_later.remote_id))
    assert (AutoRenewal.objects.filter(ended_at=None).count(), fresh(box).auto_renews) == (0, False)


def test_a_list_without_an_answer_leaves_the_money_registered(paypal, order, alice, tell):
    paypal.vault_later = True
    payment = begin(order, alice)
    paypal.approve(payment.remote_id)
    paypal.faults["tokens"] = "500"
    tell("CHECKOUT.ORDER.APPROVED", {"id": payment.remote_id})
    assert state(order) == ("fulfilled", ["registered"], [])
    assert ProviderEvent.objects.get().processed_at is not None
