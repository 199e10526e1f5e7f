"""A clock that is wrong stops time's work before anything is written of the day that it says (R28)."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from post_office.models import Email

from lifecycle import alarms, clockcheck, flows, holds, tasks
from lifecycle.models import Alarm, DeletionStop, Letter, LifecycleRun, ManifestLine
from mailboxes.models import BoxEvent, Mailbox
from mailboxes.telling import tell_platform
from payments import charging
from payments.models import ScheduledCharge
from pecportal import clock
from renewals.models import Order
from tests.lifecycle.deletions import warn_twice
from tests.lifecycle.letter_helpers import noticed
from tests.payments.charging_helpers import automatic, card, on

pytestmark = pytest.mark.django_db
REAL = clock.database_clock


@pytest.fixture(autouse=True)
def as_in_production(settings):
    settings.CLOCK_MAX_JUMP_DAYS = 31


@pytest.fixture
def due_later(make_box, alice):
    """A box that a clock too far ahead would take for expired."""
    return make_box(alice, "futura", expires_in=20)


def at(days: int):
    moment = datetime.combine(clock.today() + timedelta(days=days), datetime.min.time(), UTC) + timedelta(hours=12)
    return time_machine.travel(moment, tick=False)


def begun() -> list[str]:
    return sorted({str(day) for day in LifecycleRun.objects.begun().values_list("day", flat=True)})


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("lifecycle", *arguments, stdout=out)
    return out.getvalue()


def test_a_clock_too_far_ahead_expires_nothing(due_later, today):
    flows.run_day()
    with at(32):
        with pytest.raises(clockcheck.ClockError, match=f"32 days after the last run, of {today}: set the clock"):
            flows.run_day()
        with pytest.raises(clockcheck.ClockError):
            flows.run_for(today)
        with pytest.raises(CommandError, match="32 days after the last run"):
            command()
        tasks.run_day()  # the worker's way: refused, logged, no traceback
    assert not BoxEvent.objects.filter(kind="expired").exists()
    assert Mailbox.objects.get(pk=due_later.pk).expiry_recorded_for is None
    assert begun() == [str(today)]
    red = LifecycleRun.objects.filter(day=today + timedelta(days=32))
    assert {(run.failed, run.claimed_at, run.finished_at) for run in red} == {(1, None, None)}
    assert len(red) == 6
    assert Alarm.objects.filter(key="clock", cleared_at=None).count() == 1
    # Set right, it goes on by itself, as if nothing had been.
    with at(1):
        flows.run_day()
        alarms.watch()
    assert begun() == [str(today), str(today + timedelta(days=1))]
    assert Alarm.objects.get(key="clock").cleared_at is not None


@pytest.mark.parametrize("days", [1, 31])
def test_an_outage_of_a_month_is_no_wrong_clock(due_later, today, days):
    flows.run_day()
    with at(days):
        flows.run_day()
    assert str(today + timedelta(days=days)) in begun()


def test_a_day_run_by_hand_is_not_what_the_clock_is_held_against(today):
    """An installation whose only run is of a day long past: it ran today all the same."""
    flows.run_for(today - timedelta(days=200))
    flows.run_day()
    assert str(today) in begun()


def test_somebody_may_say_that_a_jump_is_right(due_later, today):
    flows.run_day()
    with at(60):
        out = command("--accept-clock")
        assert "expiries   1 expected, 1 done" in out
        flows.run_day()
    with at(91):
        flows.run_day()  # 31 days from the day that was accepted
    assert BoxEvent.objects.filter(kind="expired").count() == 1


def test_what_was_accepted_is_only_that_day(today):
    flows.run_day()
    with at(60):
        clockcheck.accept(clock.today())
    with at(92), pytest.raises(clockcheck.ClockError):
        flows.run_day()


def test_a_clock_that_went_back_stops_until_somebody_says_that_it_is_right_now(make_box, alice, today):
    make_box(alice, "ieri", expires_in=-1)
    with at(20):
        flows.run_day()
    with pytest.raises(clockcheck.ClockError, match=f"has run for {today + timedelta(days=20)} already"):
        flows.run_day()
    with pytest.raises(CommandError):
        command("--date", str(today))
    assert begun() == [str(today + timedelta(days=20))]
    command("--accept-clock")
    assert begun() == [str(today)]  # the day that has not come will have its run
    with at(20):
        flows.run_day()
    assert len(begun()) == 21


def test_what_was_done_too_early_is_done_again_on_its_day(make_box, alice, platform, today):
    """The mail system hears that the box is Attiva after all, and of its expiry when that comes; so do its people."""
    box = make_box(alice, "futura", expires_in=10)
    address = box.address.name
    flows.run_day()
    with at(11):
        flows.run_day()
        tell_platform()
        Letter.objects.exclude(to="alice@posta.example").update(state="accepted", settled_at=clock.now())
        assert platform.state_of(address)["state"] == "scaduta"
    command("--accept-clock")
    tell_platform()
    assert platform.state_of(address)["state"] == "attiva"
    assert not BoxEvent.objects.filter(kind="expired").exists()
    assert noticed() == [(address, -15, "told")]
    assert Counter(Letter.objects.values_list("state", flat=True)) == {"accepted": 1, "queued": 1, "replaced": 2}
    assert Email.objects.filter(to="alice@posta.example").count() == 1, "that of today, which is true"
    with at(11):
        flows.run_day()
        tell_platform()
    assert platform.state_of(address)["state"] == "scaduta"
    assert BoxEvent.objects.get(kind="expired").day == today + timedelta(days=11)
    assert noticed() == [(address, -15, "told"), (address, 1, "told")]
    assert Letter.objects.filter(notices__kind=1, state="queued").count() == 2


def test_a_stop_of_a_day_that_has_not_come_is_forgotten_too(make_box, alice, dario, settings, today):
    """Or nobody could release a day until that one is over, and that one would have the lines of today."""
    settings.DELETION_CAP_COUNT, settings.DELETION_CAP_PERCENT = 0, 0
    box = make_box(alice, "persa", expires_in=-100)
    warn_twice(box)
    with at(20):
        flows.run_day()
    command("--accept-clock")
    stop = DeletionStop.objects.get(day=today)
    holds.ask_release(stop_id=stop.pk, actor=dario, why="giusto")
    holds.release_stop(stop_id=stop.pk, actor=alice)
    assert set(ManifestLine.objects.values_list("day", flat=True)) == {today}


@pytest.mark.parametrize(("minutes", "stops"), [(-16, True), (-15, False), (0, False), (15, False), (16, True)])
def test_the_clock_of_the_databases_server(make_box, alice, today, monkeypatch, minutes, stops):
    make_box(alice, "ieri", expires_in=-1)
    with at(0):
        theirs = clock.now() + timedelta(minutes=minutes)
        monkeypatch.setattr(clock, "database_clock", lambda: theirs)
        if stops:
            with pytest.raises(clockcheck.ClockError, match="that of the database's server"):
                flows.run_day()
            with pytest.raises(CommandError, match="that of the database's server"):
                command("--accept-clock")  # no matter of opinion
        else:
            flows.run_day()
    assert BoxEvent.objects.filter(kind="expired").count() == (0 if stops else 1)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL has a clock of its own")
def test_postgresql_is_asked_for_the_moment_and_not_for_the_day():
    theirs = REAL()
    assert abs(theirs - clock.now()) < timedelta(minutes=1)
    with at(100):
        assert REAL() - theirs < timedelta(minutes=1)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's clock is ours")
def test_sqlite_has_no_clock_of_its_own():
    assert REAL() is None


def test_help_of_another_worker_is_refused_too(due_later, today):
    flows.run_day()
    with at(32), pytest.raises(clockcheck.ClockError):
        tasks.run_share("expiries", str(today), 1, 2)
    assert not BoxEvent.objects.filter(kind="expired").exists()


def test_the_alarm_is_told_once_and_says_both_clocks(today):
    flows.run_day()
    with at(40):
        for _n in range(3):
            tasks.run_day()
            alarms.watch()
    told = Email.objects.get(subject__startswith="Allarme: L'orologio")
    assert f"{today} → {today + timedelta(days=40)}" in told.message


# --- Automatic renewals (R24): ahead they would be charged too early, or given up because E seems past ----------------


@pytest.fixture
def announced(make_box, alice):
    """A box whose charge is announced, and due on E−7: in fourteen days."""
    box = automatic(make_box(alice, "alice", expires_in=21), alice, card(alice), days_before=21)
    charging.run()
    return box


def charge(day: date) -> tuple[str, int]:
    with on(day):
        tasks.charge_due()
    return ScheduledCharge.objects.get().status, Order.objects.count()


def test_nothing_is_charged_on_a_day_too_far_ahead_however_the_database_agrees(announced, today):
    flows.run_day()
    assert charge(today + timedelta(days=32)) == ("announced", 0)
    assert charge(announced.expires_on - timedelta(days=7)) == ("charged", 1)


def test_nothing_is_charged_on_a_day_before_the_newest_run(announced):
    e = announced.expires_on
    with on(e - timedelta(days=6)):
        flows.run_day()
    assert charge(e - timedelta(days=7)) == ("announced", 0)
    assert charge(e - timedelta(days=6)) == ("charged", 1)


@pytest.mark.parametrize("minutes", [-16, 16])
def test_nothing_is_charged_while_the_databases_clock_says_otherwise(announced, monkeypatch, minutes):
    day = announced.expires_on - timedelta(days=7)
    with on(day):
        theirs = clock.now() + timedelta(minutes=minutes)
    monkeypatch.setattr(clock, "database_clock", lambda: theirs)
    assert charge(day) == ("announced", 0)
    monkeypatch.setattr(clock, "database_clock", clock.now)
    assert charge(day) == ("charged", 1)


def test_a_day_with_more_charges_than_a_run_has_time_for_goes_on_at_once(monkeypatch):
    asked = []
    monkeypatch.setattr(charging, "run", lambda: not asked)
    monkeypatch.setattr(tasks.charge_due, "delay", lambda: asked.append(1))
    tasks.charge_due()
    tasks.charge_due()
    assert asked == [1]
