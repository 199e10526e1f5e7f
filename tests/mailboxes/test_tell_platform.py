"""Telling the mail system what changed: all of it, once, whoever else is at it (R28; DESIGN §6 step 4)."""

import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connection

from mailboxes import telling
from mailboxes.models import Mailbox
from mailboxes.platform.local import LocalPlatform
from pecportal import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def twelve(make_box, alice, monkeypatch):
    monkeypatch.setattr(telling, "TOLD_AT_ONCE", 5)
    return [make_box(alice, f"casella{n:02}", expires_in=-3) for n in range(12)]


@pytest.fixture
def told(monkeypatch):
    """The addresses whose state was told, in order."""
    calls: list[str] = []
    real = LocalPlatform.apply_state

    def apply_state(self, address, state):
        calls.append(address)
        real(self, address, state)

    monkeypatch.setattr(LocalPlatform, "apply_state", apply_state)
    return calls


def due() -> int:
    return Mailbox.objects.exclude(platform_due_at=None).count()


def test_one_call_works_until_nothing_is_due(twelve, told, platform):
    assert telling.tell_platform() == telling.Told(12, 0)
    assert (sorted(told), due()) == ([box.address.name for box in twelve], 0)
    assert {platform.state_of(address)["state"] for address in told} == {"scaduta"}
    assert telling.tell_platform() == telling.Told(0, 0)


def test_it_stops_when_its_time_is_over_and_leaves_the_rest_due_at_once(twelve, told, monkeypatch):
    ticks = iter([0, *[1] * 7, *[201] * 3])  # the beginning, then a look before each box
    monkeypatch.setattr(telling.time, "monotonic", lambda: next(ticks))
    assert telling.tell_platform() == telling.Told(7, 0)
    monkeypatch.undo()
    assert Mailbox.objects.filter(platform_due_at__lte=clock.now()).count() == 5


def test_no_more_than_asked_for(twelve, told):
    assert telling.tell_platform(limit=7) == telling.Told(7, 0)
    assert (len(told), due()) == (7, 5)


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("a broken file")])
def test_a_box_that_cannot_be_told_keeps_none_waiting_and_is_tried_again(twelve, monkeypatch, error, platform):
    bad, real = twelve[0].address.name, LocalPlatform.set_capacity

    def set_capacity(self, address, **gb):
        if address == bad:
            raise error
        real(self, address, **gb)

    with time_machine.travel(clock.now(), tick=False) as watch:
        with monkeypatch.context() as patch:
            patch.setattr(LocalPlatform, "set_capacity", set_capacity)
            assert telling.tell_platform() == telling.Told(11, 1)
        assert telling.tell_platform() == telling.Told(0, 0)  # not at once
        watch.shift(timedelta(minutes=5, seconds=1))
        assert telling.tell_platform() == telling.Told(1, 0)
    assert (platform.state_of(bad)["state"], due()) == ("scaduta", 0)


def test_what_a_killed_worker_had_claimed_is_told_later(twelve, monkeypatch):
    def killed(self, address, **gb):
        raise SystemExit

    with time_machine.travel(clock.now(), tick=False) as watch:
        with monkeypatch.context() as patch, pytest.raises(SystemExit):
            patch.setattr(LocalPlatform, "set_capacity", killed)
            telling.tell_platform()
        assert due() == 12
        watch.shift(timedelta(minutes=5, seconds=1))
        assert telling.tell_platform() == telling.Told(12, 0)
    assert due() == 0


def test_a_change_while_it_is_told_is_told_as_well(box, monkeypatch, platform):
    """Also when another worker told the change first: the last word is what the database says."""
    real = LocalPlatform.set_capacity
    meanwhile = []

    def set_capacity(self, address, *, mailbox_gb, archive_gb):
        if not meanwhile:
            meanwhile.append(address)
            Mailbox.objects.filter(pk=box.pk).update(mailbox_gb=2, platform_due_at=clock.now())
            telling.tell_platform(limit=1)  # the other worker, quicker than we are
            assert platform.state_of(address)["mailbox_gb"] == 2
        real(self, address, mailbox_gb=mailbox_gb, archive_gb=archive_gb)

    monkeypatch.setattr(LocalPlatform, "set_capacity", set_capacity)
    telling.tell_platform()
    assert (platform.state_of("alice@pec.example")["mailbox_gb"], due()) == (2, 0)


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SKIP LOCKED is PostgreSQL's")
def test_two_workers_tell_each_box_once(twelve, told):
    start = threading.Barrier(2)

    def work() -> None:
        start.wait(10)
        telling.tell_platform()
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (sorted(told), due()) == ([box.address.name for box in twelve], 0)


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SKIP LOCKED is PostgreSQL's")
def test_control_two_workers_that_claim_nothing_tell_each_box_twice(twelve, told, monkeypatch):
    both = threading.Barrier(2)

    def claim_nothing(size: int):
        boxes = list(Mailbox.objects.filter(platform_due_at__lte=clock.now()).select_related("address"))
        both.wait(10)
        return boxes, clock.now()

    monkeypatch.setattr(telling, "_claim_due", claim_nothing)
    monkeypatch.setattr(telling, "_tell", lambda box, claim: LocalPlatform().apply_state(box.address.name, "scaduta"))
    stop = {"limit": 12}
    threads = [threading.Thread(target=lambda: (telling.tell_platform(**stop), connection.close())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(told) == 24
