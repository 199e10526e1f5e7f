"""The day's run of every stage, claimed so that one does it, repeatable so that any may (R28).

The only writer of LifecycleRun. Twice, at once, or killed half-way: the end is the same, because each stage does what
is due and not yet done, and the database says what that is.
"""

import logging
import time
from dataclasses import dataclass
from datetime import date, datetime

from django.db.models import F, Min, Q

from lifecycle import rules
from lifecycle.models import LifecycleRun
from lifecycle.stages import BATCH, STAGES, OutOfTimeError, Stage, Work, trail
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

    Raises StageError after the last stage when one of them stopped on an error.
    """
    today = clock.today()
    stop_at = None if seconds is None else time.monotonic() + seconds
    return _run([(stage, day) for stage in STAGES for day in _days(stage, today)], today=today, stop_at=stop_at)


def run_for(day: date, *, batch: int = BATCH) -> list[Done]:
    """Run every stage for one day that has come; a finished one again: what is due by then is done, and counted.

    Raises RefusedError for a day in the future, StageError as run_day does.
    """
    check_day(day)
    return _run([(stage, day) for stage in STAGES], today=clock.today(), batch=batch)


def preview(day: date) -> list[Due]:
    """What run_for would find due, written nowhere; of a day to come: as the boxes are today."""
    return [Due(stage, day, parts.due(day).count()) for stage, parts in STAGES.items()]


def _days(stage: Stage, today: date) -> list[date]:
    runs = LifecycleRun.objects.filter(stage=stage, day__lt=today)
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
    told, stopped = [], []
    for stage, day in jobs:
        run = _claim(stage, day)
        if run is None:
            log.info("lifecycle %s %s: another process has it", stage, day)
        elif not _work(Work(run, today=today, batch=batch, stop_at=stop_at)):
            stopped.append(f"{stage.value} of {day}")
        if run is not None:
            run.refresh_from_db()
        told.append(Done(stage, day, run))
    if stopped:
        raise StageError(f"stopped on an error, see the log: {', '.join(stopped)}")
    return told


def _claim(stage: Stage, day: date) -> LifecycleRun | None:
    """Make the run ours with one filtered update; None when another process has it and may still be at work.

    Expected is what was done before plus what is due now, so that a second run of a day keeps its numbers true.
    """
    now = clock.now()
    LifecycleRun.objects.get_or_create(stage=stage, day=day)
    free = Q(claimed_at=None) | Q(finished_at__isnull=False) | Q(claimed_at__lt=now - rules.STALE_AFTER)
    run = LifecycleRun.objects.filter(free, stage=stage, day=day)
    if not run.update(claimed_at=now, finished_at=None, failed=0):
        return None
    LifecycleRun.objects.filter(stage=stage, day=day).update(expected=F("done") + STAGES[stage].due(day).count())
    return LifecycleRun.objects.get(stage=stage, day=day)


def _work(work: Work) -> bool:
    """Do a claimed run, and write how it ended; False when it stopped on an error.

    A run that stopped, on an error or out of time, is free again at once; one that was killed after half an hour.
    """
    run, began = work.run, time.monotonic()
    ended: dict[str, datetime | None] = {}
    mine = LifecycleRun.objects.filter(pk=run.pk, claimed_at=run.claimed_at)
    try:
        STAGES[Stage(run.stage)].work(work)
        ended = {"finished_at": clock.now()}
    except OutOfTimeError:
        ended = {"claimed_at": None}
        log.warning("lifecycle %s %s: out of time, the rest is done by the next run", run.stage, run.day)
    except Exception as error:
        ended = {"claimed_at": None}
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
