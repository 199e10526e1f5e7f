"""The day's run of every stage, claimed so that one does it, repeatable so that any may (R28).

The only writer of LifecycleRun. Twice, at once, or killed half-way: the end is the same, because each stage does what
is due and not yet done, and the database says what that is.
"""

import logging
import time
from dataclasses import dataclass, replace
from datetime import date, timedelta

from django.db import connection, transaction
from django.db.models import F, Min, Q, QuerySet

from lifecycle import alarms, clockcheck, figures, notices, rules
from lifecycle.models import LifecycleRun
from lifecycle.models.runs import AT_REST
from lifecycle.stages import STAGES, Stage
from lifecycle.work import BATCH, OutOfTimeError, Share, Work, ask_for_a_run, half_until, trail
from pecportal import clock
from pecportal.errors import RefusedError

log = logging.getLogger(__name__)


class StageError(Exception):
    """Some stages stopped on an error; the others ran. Says which."""


@dataclass(frozen=True)
class Done:
    """What became of one stage and day: its run, or None when another process has it."""

    stage: Stage
    day: date
    run: LifecycleRun | None


@dataclass(frozen=True)
class Due:
    """What a stage would do on a day."""

    stage: Stage
    day: date
    due: int


def check_day(day: date) -> None:
    """Raises RefusedError for a day that has not come: its boxes have not expired yet."""
    if day > clock.today():
        raise RefusedError(f"{day} has not come yet: the lifecycle runs for today or for a day that has passed.")


def run_day(*, seconds: float | None = None) -> list[Done]:
    """Run every stage for today and for the days it missed, oldest first. At most `seconds`, no limit when None.

    Raises StageError after the last stage when one of them stopped on an error, RefusedError when the clock is wrong.
    """
    today = clock.today()
    stop_at = None if seconds is None else time.monotonic() + seconds
    check_clock(today)
    return _run([(stage, day) for stage in STAGES for day in _days(stage, today)], today=today, stop_at=stop_at)


def run_for(day: date, *, batch: int = BATCH) -> list[Done]:
    """Run every stage for one day that has come; a finished one again: what is due by then is done, and counted.

    Raises RefusedError for a day in the future and when the clock is wrong, StageError as run_day does.
    """
    check_day(day)
    check_clock(clock.today())
    return _run([(stage, day) for stage in STAGES], today=clock.today(), batch=batch)


def run_share(*, stage: Stage, day: date, share: Share, seconds: float) -> None:
    """Help with a run that another worker has claimed: only the rows of `share`, at most `seconds`.

    Its rows are counted in that run. Late, twice or never: the run is complete without it. Raises RefusedError when
    the clock is wrong.
    """
    today = clock.today()
    clockcheck.check(today)
    run = LifecycleRun.objects.filter(stage=stage, day=day).first()
    if run is None or not STAGES[stage].shareable:
        return
    try:
        STAGES[stage].work(Work(run, today=today, stop_at=time.monotonic() + seconds, share=share))
    except OutOfTimeError:
        log.warning("lifecycle %s %s: share %s of %s is out of time", stage, day, share.part, share.of)


def take_up(*, seconds: float) -> None:
    """Go on with runs that were killed or ran out of time, if there are any."""
    if interrupted().exists():
        run_day(seconds=seconds)


def interrupted() -> QuerySet[LifecycleRun]:
    """Runs that were begun and not finished, and that nobody works on. One that stopped on an error waits for the
    next catch-up: at once it would only stop again."""
    free = Q(claimed_at=None, failed=0) | Q(claimed_at__lt=clock.now() - rules.STALE_AFTER)
    since = clock.today() - timedelta(days=rules.CATCH_UP_DAYS)
    return LifecycleRun.objects.begun().filter(free, day__gte=since).exclude(AT_REST)


def check_clock(today: date) -> None:
    """Raises RefusedError when the clock cannot be right; the runs of the day that it says are red, and an alarm is on.

    They count as not begun, so that a wrong day never becomes the newest one.
    """
    try:
        clockcheck.check(today)
    except clockcheck.ClockError as error:
        log.error("lifecycle %s: refused, the clock seems wrong", today)
        for stage in STAGES:
            LifecycleRun.objects.get_or_create(stage=stage, day=today)
        LifecycleRun.objects.filter(day=today, claimed_at=None, finished_at=None, seconds=0).update(failed=1)
        alarms.raise_one(alarms.CLOCK, error.facts)
        raise


def preview(day: date) -> list[Due]:
    """What run_for would find due, written nowhere; of a day to come: as the boxes are today."""
    due = {stage: parts.due(day).count() for stage, parts in STAGES.items()}
    # By then the stage before it has written its own, and put earlier ones aside.
    due[Stage.LETTERS] += due[Stage.NOTICES] - notices.put_aside_by(STAGES[Stage.NOTICES].due(day)).count()
    return [Due(stage, day, number) for stage, number in due.items()]


def _days(stage: Stage, today: date) -> list[date]:
    runs = LifecycleRun.objects.begun().filter(stage=stage, day__lt=today)
    return rules.days_to_run(
        first=runs.aggregate(first=Min("day"))["first"],
        finished=set(
            runs.filter(finished_at__isnull=False).order_by("-day").values_list("day", flat=True)[: rules.CATCH_UP_DAYS]
        ),
        today=today,
    )


def _run(
    jobs: list[tuple[Stage, date]], *, today: date, batch: int = BATCH, stop_at: float | None = None
) -> list[Done]:
    told, stopped, out_of_time = [], [], set()
    for stage, day in jobs:
        if stage in out_of_time:
            continue
        until = half_until(stop_at) if stage is Stage.CHANGES else stop_at  # the deletions have a time of their own
        run = _claim(stage, day)
        if run is None:
            log.info("lifecycle %s %s: another process has it", stage, day)
        else:
            try:
                if not _work(Work(run, today=today, batch=batch, stop_at=until)):
                    stopped.append(f"{stage.value} of {day}")
            except OutOfTimeError:
                out_of_time.add(stage)
            run.refresh_from_db()
        told.append(Done(stage, day, run))
        if out_of_time - {Stage.CHANGES}:
            break
    if out_of_time:
        ask_for_a_run()
    elif any(done.run for done in told):
        _count(today)
    if stopped:
        raise StageError(f"stopped on an error, see the log: {', '.join(stopped)}")
    return told


def _count(today: date) -> None:
    """The figures of the day; that they cannot be counted undoes nothing that was done."""
    try:
        figures.write(today=today)
    except Exception as error:  # the work of the day is done and must not look undone
        log.error("lifecycle: the figures could not be counted: %s", trail(error))


def _claim(stage: Stage, day: date) -> LifecycleRun | None:
    """Make the run ours with one filtered update; None when another process has it and may still be at work.

    Expected is what was done before plus what is due now, so that a second run of a day keeps its numbers true.
    """
    now = clock.now()
    LifecycleRun.objects.get_or_create(stage=stage, day=day)
    free = Q(claimed_at=None) | AT_REST | Q(claimed_at__lt=now - rules.STALE_AFTER)
    run = LifecycleRun.objects.filter(free, stage=stage, day=day)
    if not run.update(claimed_at=now, failed=0):
        return None
    LifecycleRun.objects.filter(stage=stage, day=day).update(expected=F("done") + STAGES[stage].due(day).count())
    return LifecycleRun.objects.get(stage=stage, day=day)


def _work(work: Work) -> bool:
    """Do a claimed run, and write how it ended; False when it stopped on an error. Raises OutOfTimeError.

    A run that stopped, on an error or out of time, is free again at once; one that was killed after half an hour.
    """
    run, began = work.run, time.monotonic()
    ended: dict[str, object] = {}
    mine = LifecycleRun.objects.filter(pk=run.pk, claimed_at=run.claimed_at)
    try:
        _sweep(work)
        ended = {"finished_at": clock.now()}
    except OutOfTimeError:
        ended = {"claimed_at": None, "finished_at": None}
        log.warning("lifecycle %s %s: out of time, the rest is done by the next run", run.stage, run.day)
        raise
    except Exception as error:  # the other stages go on; the run is free again, and written as one that failed
        ended = {"claimed_at": None, "finished_at": None, "failed": F("failed") + 1}
        log.error("lifecycle %s %s: stopped on %s", run.stage, run.day, trail(error))
        return False
    finally:
        mine.update(seconds=F("seconds") + (time.monotonic() - began), **ended)
    run.refresh_from_db()
    log.info(
        "lifecycle %s %s: expected=%s done=%s failed=%s left=%s seconds=%.1f",
        run.stage, run.day, run.expected, run.done, run.failed, run.left, run.seconds,
    )  # fmt: skip
    return True


def _sweep(work: Work) -> None:
    """Do what is due. Much of it: other workers are asked to help, and whatever they leave is done here all the same.

    SQLite has one writer, so nobody could help.
    """
    parts = STAGES[Stage(work.run.stage)]
    among = rules.shares(work.run.expected - work.run.done) if parts.shareable else 1
    if among > 1 and connection.features.has_select_for_update_skip_locked:
        _ask_for_help(work.run, among)
        parts.work(replace(work, share=Share(0, among)))
    parts.work(work)


def _ask_for_help(run: LifecycleRun, among: int) -> None:
    from lifecycle.tasks import run_share

    def nudge() -> None:
        for part in range(1, among):
            run_share.delay(run.stage, run.day.isoformat(), part, among)

    transaction.on_commit(nudge, robust=True)
