"""Edges for the worker: one flow call each. Nudges that beat repeats; the database says what there is to do."""

import logging
import time
from datetime import date

from celery import shared_task
from django_celery_beat.models import PeriodicTask

from lifecycle import alarms, clockcheck, deletion, flows, letters
from lifecycle.models import LifecycleRun
from lifecycle.work import Share
from payments import charging
from pecportal import clock
from pecportal.errors import RefusedError

log = logging.getLogger(__name__)
SECONDS = 240  # below the worker's hard limit, so that a run ends by itself and says how far it came


def _is_off() -> bool:
    """Whether ops switched the day's run off: not only beat asks for it, and then no nudge may start it either."""
    jobs = list(PeriodicTask.objects.filter(task=run_day.name).values_list("enabled", flat=True))
    if not jobs or any(jobs):
        return False
    log.warning("lifecycle: switched off in the timetable")
    return True


@shared_task
def run_day() -> None:
    """Every stage for today, and for the days that were missed."""
    if _is_off():
        return
    try:
        flows.run_day(seconds=SECONDS)
    except RefusedError as error:  # its alarm is on: the worker needs no traceback of it
        log.error("lifecycle: %s", error)


@shared_task
def run_share(stage: str, day: str, part: int, of: int) -> None:
    """Help with a stage of a day (ISO): the share `part` among `of`."""
    if _is_off():
        return
    flows.run_share(
        stage=LifecycleRun.Stage(stage), day=date.fromisoformat(day), share=Share(part, of), seconds=SECONDS
    )


@shared_task
def take_up() -> None:
    """Runs that a kill interrupted, or that ran out of time while the broker was away."""
    try:
        flows.take_up(seconds=SECONDS)
    except RefusedError as error:
        log.error("lifecycle: %s", error)


@shared_task
def watch() -> None:
    """Raise and clear the alarms."""
    alarms.watch()


@shared_task
def read_outcomes() -> None:
    """What the relay said of the letters since: the sender reads it after each run, this is for when it was killed."""
    letters.read_outcomes()


@shared_task
def finish_deletions() -> None:
    """Boxes whose deletion has begun: purged and recorded as gone, once the mail system confirms it."""
    deletion.finish_pending(stop_at=time.monotonic() + SECONDS)


@shared_task
def charge_due() -> None:
    """Automatic renewals. On a wrong day they would be charged too early, or given up because E seems past."""
    if found := clockcheck.problem(clock.today()):
        log.error("automatic renewals: %s", found)
        return
    if charging.run():
        charge_due.delay()  # a day with many charges; if nobody hears it, beat comes back
