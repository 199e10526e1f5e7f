"""Automatic renewal with two workers at once, and against whoever switches it off; each with its control (R20, R24)."""

from datetime import timedelta
from unittest import mock

import pytest
import time_machine
from django.db import connection
from post_office.models import Email

from payments import auto_renewal, charging, scheduled, sync, wallet
from payments.models import Payment, ScheduledCharge
from renewals.models import Order
from tests.payments.charging_helpers import at, automatic, card, fresh, on
from tests.races.test_races import at_once, meeting_after, no_locks

pytestmark = [
    pytest.mark.race,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL's row locks"),
]


@pytest.fixture
def method(alice):
    return card(alice)


@pytest.fixture
def auto(make_box, alice, method):
    return automatic(make_box(alice, "alice", expires_in=60), alice, method, days_before=60)


def announced(auto):
    with on(auto.expires_on - timedelta(days=30)):
        charging.run()
    return auto


def test_two_workers_announce_once(auto):
    with time_machine.travel(at(auto.expires_on - timedelta(days=30)), tick=False):
        at_once(charging.run, charging.run)
    assert ScheduledCharge.objects.count() == 1
    assert Email.objects.filter(subject__contains="addebitiamo", to=["alice@posta.example"]).count() == 1


def charge_twice(auto) -> None:
    with time_machine.travel(at(auto.expires_on - timedelta(days=7)), tick=False):
        with meeting_after("payments.charging.measured"):
            at_once(charging.run, charging.run)
        sync.fulfil_due()


def test_two_workers_charge_once(auto):
    charge_twice(announced(auto))
    assert (Order.objects.count(), Payment.objects.count()) == (1, 1)
    assert ScheduledCharge.objects.get().status == "charged"
    assert fresh(auto).periods.count() == 2


def try_twice(auto) -> list[object]:
    """The order stands; both workers come to `begin` at once."""
    day = auto.expires_on - timedelta(days=7)
    with time_machine.travel(at(day), tick=False):
        order_id = charging._place(ScheduledCharge.objects.get())
        begun = []

        def begin(order, *, today, real=scheduled.begin):
            allowed = real(order, today=today)
            begun.append(allowed)
            return allowed

        with mock.patch("payments.scheduled.begin", begin), meeting_after("payments.scheduled.is_stale"):
            at_once(*[lambda: charging._charge(order_id)] * 2)
    return begun


def test_two_tries_of_one_order_begin_once(auto):
    begun = try_twice(announced(auto))
    assert begun.count(True) == 1
    assert Payment.objects.count() == 1


def test_control_without_the_locks_both_begin_and_the_constraint_stops_the_second(auto):
    announced(auto)
    with no_locks():
        begun = try_twice(auto)
    assert begun.count(True) == 2
    assert Payment.objects.filter(status="registered").count() == 1


def off_against_charge(auto, alice) -> None:
    day = auto.expires_on - timedelta(days=7)
    with time_machine.travel(at(day), tick=False):
        order_id = charging._place(ScheduledCharge.objects.get())
        at_once(
            lambda: charging._charge(order_id),
            lambda: auto_renewal.turn_off(box_id=auto.pk, user=alice),
        )


def test_switched_off_against_the_charge_has_one_winner(auto, alice):
    off_against_charge(announced(auto), alice)
    status, taken = ScheduledCharge.objects.get().status, Payment.objects.filter(status="registered").count()
    assert (status, taken) in {("cancelled", 0), ("charged", 1), ("cancelled", 1)}
    if not Payment.objects.exists():
        assert status == "cancelled"
    assert not fresh(auto).auto_renews


def test_removed_against_the_charge_never_charges_a_removed_method(auto, alice, method):
    announced(auto)
    day = auto.expires_on - timedelta(days=7)
    with time_machine.travel(at(day), tick=False):
        order_id = charging._place(ScheduledCharge.objects.get())
        at_once(
            lambda: charging._charge(order_id),
            lambda: wallet.remove(user=alice, method_id=method.pk),
        )
    method.refresh_from_db()
    if method.removed_at and Payment.objects.exists():
        assert Payment.objects.get().created_at <= method.removed_at
    assert (method.removed_at is None) <= Payment.objects.exists()
