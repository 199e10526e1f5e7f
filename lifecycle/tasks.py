"""Edges for the worker. A nudge that beat repeats: just after midnight, and every three hours for what was left."""

import time

from celery import shared_task

from lifecycle import deletion, flows, letters

SECONDS = 240  # below the worker's hard limit, so that a run ends by itself and says how far it came


@shared_task
def run_day() -> None:
    """Every stage for today, and for the days that were missed."""
    flows.run_day(seconds=SECONDS)


@shared_task
def read_outcomes() -> None:
    """What the relay said of the letters since: the sender reads it after each run, this is for when it was killed."""
    letters.read_outcomes()


@shared_task
def finish_deletions() -> None:
    """Boxes whose deletion has begun: purged and recorded as gone, once the mail system confirms it."""
    deletion.finish_pending(stop_at=time.monotonic() + SECONDS)
