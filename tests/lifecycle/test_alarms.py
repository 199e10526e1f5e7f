"""Alarms: raised once, told once, cleared when it is over; not what another alarm says already (R28)."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.urls import reverse
from post_office.models import Email

from lifecycle import alarms, expiries, flows, holds, tasks
from lifecycle.models import Alarm, DeletionStop, Letter, LifecycleRun, Notice
from mailboxes.models import BoxEvent, Mailbox
from payments import charging
from payments.invoicing import watching
from pecportal import clock
from tests.conftest import PASSWORD
from tests.payments.charging_helpers import automatic, card

pytestmark = pytest.mark.django_db


def rome(today, hour: int, minute: int = 0, *, days: int = 0):
    moment = datetime(today.year, today.month, today.day, hour, minute, tzinfo=clock.ROME) + timedelta(days=days)
    return time_machine.travel(moment.astimezone(UTC), tick=False)


def on() -> dict[str, str]:
    return dict(Alarm.objects.filter(cleared_at=None).values_list("key", "detail"))


def mails() -> list[str]:
    return list(Email.objects.filter(to="ops@posta.example").order_by("id").values_list("subject", flat=True))


@pytest.fixture
def quiet(today):
    """A day whose runs are finished, by one at night."""
    with rome(today, 0, 5):
        flows.run_day()
    with rome(today, 12):
        alarms.watch()
    assert on() == {} and mails() == []


def test_a_late_run_is_told_once_and_cleared_once(quiet, today):
    with rome(today, 1, 14, days=1):
        alarms.watch()
        assert on() == {}, "the night's run has until a quarter past one"
    tomorrow = today + timedelta(days=1)
    for hour in (2, 3, 12):
        with rome(today, hour, days=1):
            alarms.watch()
    assert on() == {"late": f"{tomorrow}: expiries, lapses, notices, letters, changes, deletions"}
    assert mails() == ["Allarme: Il giro giornaliero è in ritardo"]
    with rome(today, 0, 30, days=2):
        alarms.watch()
        assert list(on()) == ["late"], "midnight does not make up for yesterday"
    with rome(today, 0, 40, days=2):
        flows.run_day()
        alarms.watch()
        alarms.watch()
    assert on() == {}
    assert mails()[1:] == ["Allarme finito: Il giro giornaliero è in ritardo"]
    assert Alarm.objects.count() == 1


def test_a_run_that_never_comes_again_stays_an_alarm(quiet, today, settings):
    settings.CLOCK_MAX_JUMP_DAYS = 366
    for days in (1, 40, 300):
        with rome(today, 12, days=days):
            alarms.watch()
            assert list(on()) == ["late"]
    assert len(mails()) == 1


def test_it_is_raised_anew_when_it_happens_anew(quiet, today):
    for days in (1, 2):
        with rome(today, 12, days=days):
            alarms.watch()
            flows.run_day()
            alarms.watch()
    assert Alarm.objects.filter(key="late").count() == 2
    assert len(mails()) == 4


def test_a_new_installation_has_nothing_to_be_late_with(db, today):
    with rome(today, 12):
        alarms.watch()
    assert on() == {}


def test_a_run_with_failures_says_which_stage_and_no_address(
    quiet, make_box, alice, today, monkeypatch, caplog, settings
):
    settings.NOTICE_DAYS = []  # letters that no relay takes have an alarm of their own
    bad = make_box(alice, "guasta", expires_in=-1)

    def refuse(rows, work):
        if rows:
            raise ValueError(f"cannot record {bad.address}")

    with monkeypatch.context() as patch, rome(today, 13):
        patch.setattr(expiries, "_record", refuse)
        flows.run_day()
        alarms.watch()
    assert on() == {"failed:expiries": f"{today}: 1"}
    letter = Email.objects.get(to="ops@posta.example")
    assert letter.subject == "Allarme: Un giro giornaliero ha errori (Scadenze)"
    assert "guasta" not in letter.message + letter.html_message + caplog.text
    with rome(today, 15):
        flows.run_day()
        alarms.watch()
    assert on() == {}


def test_a_stage_that_stopped_on_an_error_is_one_alarm_and_not_also_late(quiet, today, monkeypatch):
    def broken(work):
        raise RuntimeError

    with monkeypatch.context() as patch, rome(today, 12, days=1):
        parts = flows.STAGES["expiries"]
        patch.setitem(flows.STAGES, "expiries", type(parts)(parts.due, broken))
        with pytest.raises(flows.StageError):
            flows.run_day()
        alarms.watch()
    assert list(on()) == ["failed:expiries"]


def test_a_killed_run_is_taken_up_or_else_an_alarm(quiet, make_box, alice, today):
    make_box(alice, "ieri", expires_in=-1)
    with rome(today, 12):
        run = LifecycleRun.objects.get(stage="expiries")
        LifecycleRun.objects.filter(pk=run.pk).update(claimed_at=clock.now())
    for minutes, expected in ((31, []), (41, ["interrupted"])):
        with rome(today, 12, minutes):
            alarms.watch()
            assert list(on()) == expected
    with rome(today, 12, 20):
        flows.take_up(seconds=60)
        assert BoxEvent.objects.filter(kind="expired").count() == 0, "still in the other's hands"
    with rome(today, 12, 45):
        flows.take_up(seconds=60)
        alarms.watch()
    assert BoxEvent.objects.filter(kind="expired").count() == 1
    assert on() == {}


def test_what_is_finished_is_not_taken_up(quiet, today, django_assert_num_queries):
    with rome(today, 15), django_assert_num_queries(1):
        flows.take_up(seconds=60)


def test_what_waits_too_long(quiet, make_box, alice, today):
    box = make_box(alice, "attesa")
    gone = make_box(alice, "cancellanda", expires_in=-100)
    Mailbox.objects.filter(pk=gone.pk).update(phase="deleting", login=None)
    with rome(today, 15):
        now = clock.now()
        event = BoxEvent.objects.create(box=gone, day=today, kind="deleting")
        BoxEvent.objects.filter(pk=event.pk).update(at=now - timedelta(minutes=61))
        Letter.objects.create(to="alice@posta.example", queued_at=now - timedelta(minutes=61), state="deferred")
        Letter.objects.create(to="alice@posta.example", queued_at=now - timedelta(minutes=59))
        for kind, minutes in ((-7, 61), (-15, 59)):
            Notice.objects.create(
                box=box, owner=alice, expiry=today, kind=kind, created_at=now - timedelta(minutes=minutes)
            )
        DeletionStop.objects.create(day=today, boxes=500, of_boxes=9000, stopped_at=now)
        alarms.watch()
        assert on() == {"purge": "1", "letters": "1", "notices": "1", "deletion_stop": f"{today}: 500 / 9000"}
        # Over: purged, sent, told; and the run of a later day is under the cap.
        Mailbox.objects.filter(pk=gone.pk).update(phase="deleted")
        Letter.objects.update(state="accepted", settled_at=now)
        Notice.objects.update(state="moot")
        alarms.watch()
        assert on() == {"deletion_stop": f"{today}: 500 / 9000"}
    with rome(today, 0, 1, days=1):
        alarms.watch()
        assert list(on()) == ["deletion_stop"], "midnight releases nothing"
    with rome(today, 0, 10, days=1):
        flows.run_day()
        alarms.watch()
    assert on() == {}


@pytest.mark.django_db(transaction=True)
def test_a_further_warning_that_is_owed_by_day_is_told_at_once(make_box, alice, dario, today, monkeypatch):
    """The deletion finds it after the letters of its run; the run after it comes hours later."""
    asked: list[bool] = []
    monkeypatch.setattr(tasks.run_day, "delay", lambda: asked.append(True))
    box = make_box(alice, "trattenuta", expires_in=-120)
    holds.place_hold(box_id=box.pk, actor=dario, why="verifica")
    with rome(today, 0, 5):
        flows.run_day()
    with rome(today, 9):
        holds.lift_hold(box_id=box.pk, actor=dario)
    assert asked == []
    with rome(today, 9, 35):  # the timetable's catch up; the next is at 12:35
        flows.run_day()
        assert asked == [True]
        tasks.run_day()
    assert asked == [True]
    with rome(today, 10, 40):
        alarms.watch()
    assert "notices" not in on()


def test_what_cannot_be_looked_at_hides_nothing_and_is_not_called_over(quiet, make_box, alice, today, monkeypatch):
    def broken(now: datetime) -> None:
        raise ValueError

    with rome(today, 15):
        DeletionStop.objects.create(day=today, boxes=500, of_boxes=9000, stopped_at=clock.now())
        alarms.raise_one(alarms.SDI, "1 / 0")
        with monkeypatch.context() as patch:
            patch.setattr(watching, "near_the_end", broken)
            alarms.watch()
        assert on() == {"deletion_stop": f"{today}: 500 / 9000", "sdi": "1 / 0", "blind": "invoices"}
        alarms.watch()
        assert list(on()) == ["deletion_stop"]


def test_a_wrong_clock_says_all_that_the_runs_would(quiet, today, settings):
    settings.CLOCK_MAX_JUMP_DAYS = 31
    with rome(today, 12, days=40):
        alarms.watch()
    assert list(on()) == ["clock"]


def test_without_an_address_of_ops_it_is_in_the_log_and_in_admin(quiet, today, settings, caplog):
    settings.OPS_EMAIL = ""
    with rome(today, 12, days=1):
        alarms.watch()
    assert list(on()) == ["late"] and Alarm.objects.get().told_at is None
    assert "alarm late" in caplog.text and Email.objects.count() == 0


def test_staff_read_it_with_what_to_do(quiet, today, client, dario):
    with rome(today, 12, days=1):
        alarms.watch()
        client.login(username="dario", password=PASSWORD)
        page = client.get(reverse("admin:lifecycle_alarm_changelist"))
        assert page.status_code == 200
        assert "Il giro giornaliero è in ritardo" in page.content.decode() and "Acceso" in page.content.decode()
        one = client.get(reverse("admin:lifecycle_alarm_change", args=[Alarm.objects.get().pk]))
    assert "Controlla che worker e beat siano attivi" in one.content.decode()


def test_a_run_that_a_wrong_clock_kept_from_beginning_is_red_in_admin(quiet, today, settings, client, dario):
    settings.CLOCK_MAX_JUMP_DAYS = 31
    with rome(today, 12, days=40):
        with pytest.raises(flows.RefusedError):
            flows.run_day()
        client.login(username="dario", password=PASSWORD)
        page = client.get(reverse("admin:lifecycle_lifecyclerun_changelist")).content.decode()
    assert page.count("Non partito") == 6


def test_automatic_renewals_that_nobody_charges(quiet, make_box, alice, today):
    """Nobody else says it: who renews automatically gets no warning before the expiry."""
    automatic(make_box(alice, "auto", expires_in=60), alice, card(alice), days_before=60)
    for days, expected in ((31, None), (32, "1"), (33, "1"), (52, "1")):  # announced on E-30
        with rome(today, 12, days=days):
            alarms.watch()
            assert on().get("charges") == expected
    with rome(today, 12, days=52):
        charging.run()
        alarms.watch()
        assert "charges" not in on()
    for days, expected in ((54, None), (55, "1"), (58, "1")):  # charged on E-7
        with rome(today, 12, days=days):
            alarms.watch()
            assert on().get("charges") == expected
    with rome(today, 12, days=58):
        charging.run()
        alarms.watch()
        assert "charges" not in on()


def test_a_consent_just_given_with_a_payment_is_no_late_announcement(quiet, make_box, alice, today):
    """Until the years that were paid for are given, the box still has the expiry of before."""
    box = make_box(alice, "auto", expires_in=60)
    with rome(today, 11):
        automatic(box, alice, card(alice), days_before=60)
    Mailbox.objects.filter(pk=box.pk).update(expires_on=today + timedelta(days=20))
    for days, expected in ((0, None), (1, None), (3, "1")):
        with rome(today, 12, 30, days=days):
            alarms.watch()
            assert on().get("charges") == expected


@pytest.fixture
def failing(make_box, alice, today, monkeypatch):
    """A stage that fails every night, and its alarm."""
    make_box(alice, "guasta", expires_in=-1)

    def refuse(rows, work) -> None:
        if rows:
            raise ValueError

    monkeypatch.setattr(expiries, "_record", refuse)
    with rome(today, 0, 5):
        flows.run_day()
        alarms.watch()
    assert "failed:expiries" in on()


def test_a_stage_that_fails_is_not_over_while_it_is_tried_again(failing, today):
    with rome(today, 0, 35):
        assert flows._claim(LifecycleRun.Stage.EXPIRIES, today) is not None
        alarms.watch()
    assert "failed:expiries" in on()


def test_a_wrong_clock_calls_no_alarm_over_that_nobody_looked_at(failing, today, monkeypatch):
    with rome(today, 0, 10):
        monkeypatch.setattr(clock, "database_clock", lambda: clock.now() + timedelta(hours=5))
        alarms.watch()
    assert set(on()) == {"clock", "failed:expiries"}
