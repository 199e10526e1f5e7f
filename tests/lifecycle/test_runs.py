"""Runs: claimed, repeated, killed half-way, missed, refused, rehearsed (R28); and the command."""

from datetime import UTC, datetime, time, timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask

from lifecycle import expiries, flows, tasks, work
from lifecycle.models import LifecycleRun, Notice
from mailboxes.models import BoxEvent, Mailbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.helpers import place
from tests.lifecycle.deletions import warn_twice

pytestmark = pytest.mark.django_db
STAGES = ["changes", "deletions", "expiries", "lapses", "letters", "notices"]


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("lifecycle", *arguments, stdout=out)
    return out.getvalue()


def events() -> int:
    return BoxEvent.objects.filter(kind="expired").count()


def test_every_stage_of_a_day_leaves_one_run(make_box, alice, today):
    make_box(alice, "gone", expires_in=-100)
    assert [(d.stage.value, d.day) for d in flows.run_day()] == [
        (stage, today) for stage in ("expiries", "lapses", "notices", "letters", "changes", "deletions")
    ]
    flows.run_day()
    runs = LifecycleRun.objects.order_by("stage")
    assert [(r.stage, r.day, r.expected, r.done, r.failed) for r in runs] == [
        ("changes", today, 0, 0, 0),
        ("deletions", today, 1, 0, 0),  # never warned: held
        ("expiries", today, 1, 1, 0),
        ("lapses", today, 0, 0, 0),
        ("letters", today, 1, 1, 0),  # a further warning, told by the second run
        ("notices", today, 0, 0, 0),  # past its deletion day: nothing more is promised
    ]
    assert all(r.seconds > 0 for r in runs)


def test_the_command_says_what_deletion_would_do_and_what_it_did(make_box, alice, today):
    _kept, due, first = (
        make_box(alice, n, expires_in=-d) for n, d in (("novanta", 90), ("novantuno", 91), ("prima", 300))
    )
    many = [make_box(alice, f"tante{n}", expires_in=-95) for n in range(51)]
    warn_twice(first, *many)
    would = command("--dry-run")
    assert "Boxes past their deletion day: 52 would be deleted, held: 1 not_warned" in would
    assert would.index(str(first.public_id)) < would.index(str(many[0].public_id))
    assert str(many[48].public_id) in would and str(many[49].public_id) not in would and "  and 2 more" in would
    assert str(due.public_id) not in would and "@" not in would
    assert set(Mailbox.objects.values_list("phase", flat=True)) == {"live"}
    did = command()
    assert "deletions  53 expected, 52 done, 0 failed, 1 left" in did
    assert "Boxes past their deletion day: 52 deleted or under way, held: 1 not_warned" in did
    assert str(first.public_id) in did and "@" not in did
    assert Mailbox.objects.filter(phase="deleted").count() == 52


def test_the_command_says_that_the_cap_stopped(make_box, alice, today, settings):
    settings.DELETION_CAP_COUNT = 1
    warn_twice(*[make_box(alice, f"tante{n}", expires_in=-95) for n in range(2)])
    assert f"{today}  deletions  stopped by the cap: 2 of 2 boxes" in command()
    assert set(Mailbox.objects.values_list("phase", flat=True)) == {"live"}


def test_what_is_due_later_the_same_day_adds_to_the_numbers(make_box, alice, today):
    make_box(alice, "prima", expires_in=-1)
    flows.run_for(today)
    make_box(alice, "importata", expires_in=-2)
    flows.run_for(today)
    run = LifecycleRun.objects.get(stage="expiries")
    assert (run.expected, run.done, events()) == (2, 2, 2)


def test_a_run_in_other_hands_is_left_alone_until_it_is_stale(make_box, alice, today):
    make_box(alice, "una", expires_in=-1)
    now = clock.now()
    LifecycleRun.objects.create(stage="expiries", day=today, claimed_at=now - timedelta(minutes=29), expected=1)
    told = {d.stage.value: d.run for d in flows.run_for(today)}
    assert told["expiries"] is None and told["lapses"] is not None
    assert events() == 0
    assert "expiries   another process is at work on it" in command("--date", str(today))
    LifecycleRun.objects.update(claimed_at=now - timedelta(minutes=31))
    flows.run_for(today)
    run = LifecycleRun.objects.get(stage="expiries")
    assert (events(), run.expected, run.done) == (1, 1, 1)
    assert run.finished_at is not None


def test_a_run_killed_half_way_ends_the_same(make_box, alice, today, monkeypatch):
    for n in range(5):
        make_box(alice, f"casella{n}", expires_in=-1)
    real, calls = expiries._record, []

    class KilledError(BaseException):
        """As a SIGKILL: no handler of ours runs for it."""

    def record(rows, work):
        if len(calls) == 2:
            raise KilledError
        calls.append(rows)
        real(rows, work)

    monkeypatch.setattr(expiries, "_record", record)
    with pytest.raises(KilledError):
        flows.run_for(today, batch=2)
    run = LifecycleRun.objects.get(stage="expiries")
    assert (run.expected, run.done, run.finished_at, events()) == (5, 4, None, 4)
    monkeypatch.undo()
    flows.run_for(today)
    assert events() == 4, "still claimed by the process that was killed"
    LifecycleRun.objects.filter(pk=run.pk).update(claimed_at=run.claimed_at - timedelta(minutes=31))
    flows.run_for(today)
    run.refresh_from_db()
    assert (run.expected, run.done, run.failed, events()) == (5, 5, 0, 5)
    assert run.finished_at is not None
    assert set(Mailbox.objects.values_list("expiry_recorded_for", flat=True)) == {today - timedelta(days=1)}


def test_a_stage_that_stops_on_an_error_is_free_at_once_and_stops_no_other(make_box, alice, today, monkeypatch, caplog):
    make_box(alice, "una", expires_in=-1)
    with monkeypatch.context() as patch:
        patch.setattr(work, "after", lambda *args: (_ for _ in ()).throw(RuntimeError("una@pec.example")))
        patch.setattr(expiries, "after", work.after)
        stopped = ", ".join(f"{stage} of {today}" for stage in ("expiries", "lapses", "notices", "changes"))
        with pytest.raises(flows.StageError, match=stopped):
            flows.run_for(today)
        with pytest.raises(CommandError, match="stopped on an error"):
            command()
    assert LifecycleRun.objects.get(stage="deletions").finished_at is not None
    assert "stopped on RuntimeError at <genexpr>" in caplog.text and "@" not in caplog.text
    flows.run_for(today)
    run = LifecycleRun.objects.get(stage="expiries")
    assert (run.expected, run.done, events()) == (1, 1, 1)


def test_a_run_that_is_out_of_time_says_so_and_the_next_one_goes_on(make_box, alice, today):
    for n in range(2):
        make_box(alice, f"casella{n}", expires_in=-1)
    flows.run_day(seconds=0)
    run = LifecycleRun.objects.get(stage="notices")  # the expiries were one batch, and it was the last
    assert (run.done, run.finished_at, run.claimed_at) == (2, None, None)  # one batch, then it looked at the time
    tasks.run_day()
    assert events() == 2
    assert LifecycleRun.objects.filter(finished_at=None).count() == 0


def test_a_run_that_is_out_of_time_asks_for_the_next_at_once(
    make_box, alice, today, django_capture_on_commit_callbacks
):
    for n in range(2):
        make_box(alice, f"casella{n}", expires_in=-1)
    with django_capture_on_commit_callbacks() as asked:
        flows.run_day(seconds=0)
    assert tasks.run_day.delay in asked
    assert not LifecycleRun.objects.filter(stage="deletions").exists(), "no later stage was begun"
    with django_capture_on_commit_callbacks() as asked:
        flows.take_up(seconds=60)  # as when nobody could be asked
    assert tasks.run_day.delay not in asked
    assert LifecycleRun.objects.filter(finished_at=None).count() == 0 and LifecycleRun.objects.count() == 6


def test_switched_off_no_nudge_starts_it(make_box, alice, today):
    """Letters taken back, a stop released, a run out of time: they ask for a run, which ops may have stopped."""
    call_command("seed_timetable", stdout=StringIO())
    jobs = PeriodicTask.objects.filter(name__in=["lifecycle: the day", "lifecycle: catch up"])
    jobs.update(enabled=False)
    box = make_box(alice, "ieri", expires_in=-1)
    tasks.run_day()
    tasks.run_share("expiries", str(today), 0, 1)
    assert not LifecycleRun.objects.exists() and events() == 0
    command()  # by hand it runs all the same
    assert events() == 1
    Mailbox.objects.filter(pk=box.pk).update(expiry_recorded_for=None)
    jobs.filter(name="lifecycle: catch up").update(enabled=True)
    tasks.run_day()
    assert Mailbox.objects.get(pk=box.pk).expiry_recorded_for == box.expires_on


def test_missed_days_get_their_runs(make_box, alice, today):
    with time_machine.travel(
        datetime.combine(today - timedelta(days=3), datetime.min.time(), UTC) + timedelta(hours=12)
    ):
        flows.run_day()
    make_box(alice, "due-giorni-fa", expires_in=-3)
    make_box(alice, "ieri", expires_in=-1)
    flows.run_day()
    days = [today - timedelta(days=n) for n in (3, 2, 1, 0)]
    done = list(LifecycleRun.objects.filter(stage="expiries").order_by("day").values_list("day", "done"))
    assert done == list(zip(days, [0, 1, 0, 1], strict=True))
    assert LifecycleRun.objects.count() == 24
    assert sorted(BoxEvent.objects.filter(kind="expired").values_list("day", flat=True)) == [days[1], days[3]]
    with CaptureQueriesContext(connection) as queries:
        flows.run_day()
    assert LifecycleRun.objects.count() == 24
    assert len(queries) < 95


def test_a_past_day_does_what_was_due_then(make_box, alice, today):
    make_box(alice, "cinque", expires_in=-5)
    make_box(alice, "due", expires_in=-2)
    command("--date", str(today - timedelta(days=3)))
    assert list(BoxEvent.objects.filter(kind="expired").values_list("box__address__name", flat=True)) == [
        "cinque@pec.example"
    ]
    assert set(LifecycleRun.objects.values_list("day", flat=True)) == {today - timedelta(days=3)}


def test_a_day_to_come_can_be_looked_at(make_box, alice, today):
    make_box(alice, "domani", expires_in=0)
    tomorrow = today + timedelta(days=1)
    assert f"{tomorrow}  expiries   1 due" in command("--date", str(tomorrow), "--dry-run")
    assert events() == 0 and not LifecycleRun.objects.exists()


def test_a_day_that_has_not_come_is_refused(make_box, alice, today):
    make_box(alice, "domani", expires_in=0)
    tomorrow = today + timedelta(days=1)
    with pytest.raises(CommandError, match=f"^{tomorrow} has not come yet: the lifecycle runs for today or for a day"):
        command("--date", str(tomorrow))
    with pytest.raises(RefusedError):
        flows.run_for(tomorrow)
    assert events() == 0 and not LifecycleRun.objects.exists()


@pytest.mark.parametrize("text", ["domani", "2026-02-30", "22/11/2026", ""])
def test_a_date_that_is_none_is_refused(db, text):
    with pytest.raises(CommandError, match="is not a day: write it as 2026-11-22"):
        command("--date", text)


def test_a_dry_run_says_what_is_due_and_writes_nothing(make_box, alice, plans, today):
    make_box(alice, "una", expires_in=-1)
    make_box(alice, "due", expires_in=-95)
    change = make_box(alice, "tre", plan="pro")
    Mailbox.objects.filter(pk=change.pk).update(
        next_plan=plans.standard, next_mailbox_gb=1, next_archive_gb=0, change_on=today
    )
    order = place(make_box(alice, "quattro"), alice)
    Order.objects.filter(pk=order.pk).update(lapses_on=today - timedelta(days=1))

    def rows() -> dict[str, list]:
        return {m.__name__: list(m.objects.order_by("pk").values()) for m in (Mailbox, BoxEvent, Order, LifecycleRun)}

    before = rows()
    with CaptureQueriesContext(connection) as queries:
        out = command("--dry-run")
    assert rows() == before and before["LifecycleRun"] == []
    assert [q["sql"] for q in queries if not q["sql"].lstrip("(").startswith("SELECT")] == []
    counts = [line.split()[1:3] for line in out.splitlines() if line.startswith(str(today))]
    assert counts == [
        ["expiries", "2"],
        ["lapses", "1"],
        ["notices", "3"],
        ["letters", "3"],  # those that the stage before it owes
        ["changes", "1"],
        ["deletions", "1"],
    ]
    real = command()
    assert "expiries   2 expected, 2 done" in real
    assert [line.split()[1:3] for line in real.splitlines() if line.startswith(str(today))] == counts
    assert "expiries   0 due" in command("--dry-run")


def test_a_dry_run_of_a_day_to_come_says_which_notices_it_will_owe(make_box, alice, today):
    """Beside one of today that nobody was told of, and that the later point puts aside."""
    box = make_box(alice, "domani", expires_in=31)
    Notice.objects.create(
        box=box, owner=alice, expiry=box.expires_on, kind=-60, state="due", created_at=clock.now()
    )  # fmt: skip
    assert "letters    1 due" in command("--dry-run")
    tomorrow = today + timedelta(days=1)
    out = command("--date", str(tomorrow), "--dry-run")
    assert "notices    1 due" in out and "letters    1 due" in out
    with time_machine.travel(datetime.combine(tomorrow, time(12), clock.ROME), tick=False):
        assert "letters    1 expected, 1 done" in command("--date", str(tomorrow))


def test_a_dry_run_of_a_day_that_has_passed_says_that_nothing_is_deleted(make_box, alice, today):
    """As a run for it does: deletion is today's alone, under today's cap."""
    warn_twice(make_box(alice, "persa", expires_in=-100))
    yesterday = str(today - timedelta(days=1))
    assert "would be deleted" not in command("--date", yesterday, "--dry-run")
    assert "deletions  0 expected, 0 done" in command("--date", yesterday)


def test_a_dry_run_says_that_the_cap_would_stop(make_box, alice, today, settings):
    settings.DELETION_CAP_COUNT = 1
    warn_twice(*[make_box(alice, f"tante{n}", expires_in=-95) for n in range(2)])
    for out in (command("--dry-run"), command(), command("--dry-run")):
        assert f"{today}  deletions  stopped by the cap: 2 of 2 boxes" in out
        assert "2 would be deleted" not in out


def test_sql_never_asks_the_database_for_the_day(make_box, alice, today):
    make_box(alice, "una", expires_in=-1)
    with CaptureQueriesContext(connection) as queries:
        flows.run_day()
    assert queries
    words = ("current_date", "now()", "statement_timestamp", "clock_timestamp")
    assert [q["sql"] for q in queries if any(w in q["sql"].lower() for w in words)] == []


def test_the_timetable_names_a_task_that_exists():
    from pecportal.celery import TIMETABLE

    named = {task for task, _when in TIMETABLE.values() if task.startswith("lifecycle")}
    ours = (
        tasks.run_day, tasks.take_up, tasks.watch, tasks.read_outcomes, tasks.finish_deletions, tasks.charge_due,
    )  # fmt: skip
    assert named == {task.name for task in ours}
