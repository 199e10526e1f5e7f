"""Is the clock right? Before time does anything: a wrong day would expire, warn and delete the wrong boxes.

Our clock is compared with itself (the newest run) and with that of the database's server. What is refused here is
refused before anything is written of that day, and stays refused until the clock is set, or somebody says it is right.
"""

import logging
from datetime import UTC, date

from django.conf import settings
from django.db.models import Max

from lifecycle import expiries, letters, manifest
from lifecycle.models import Figure, LifecycleRun
from pecportal import clock
from pecportal.errors import RefusedError

log = logging.getLogger(__name__)
ACCEPTED = "clock_accepted"  # the Figure that keeps the day (its ordinal) which somebody said is right


class ClockError(RefusedError):
    """The clock cannot be right. `facts`: the two clocks in few words, for an alarm."""

    def __init__(self, sentence: str, *, facts: str) -> None:
        super().__init__(sentence)
        self.facts = facts


def problem(today: date) -> ClockError | None:
    """Why nothing may be done on the day that our clock says; None when the clock seems right."""
    return _against_the_database() or _against_the_runs(today)


def check(today: date) -> None:
    """Raises ClockError when the clock cannot be right."""
    if found := problem(today):
        raise found


def _against_the_database() -> ClockError | None:
    theirs, ours = clock.database_clock(), clock.now()
    if theirs is None or not clock.are_apart(ours, theirs):
        return None
    here, there = (f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for moment in (ours, theirs))
    return ClockError(
        f"This machine's clock says {here}, that of the database's server {there}: set the one that is wrong.",
        facts=f"{here}, database {there}",
    )


def _against_the_runs(today: date) -> ClockError | None:
    found = LifecycleRun.objects.begun().aggregate(day=Max("day"), finished=Max("finished_at"))
    if found["day"] is None:
        return None  # the first run ever
    if today < found["day"]:
        return ClockError(
            f"This machine's clock says {today}, and the lifecycle has run for {found['day']} already: set the clock, "
            "or run `manage.py lifecycle --accept-clock` if it is right now and was wrong then.",
            facts=f"{today} < {found['day']}",
        )
    known = [found["day"], _accepted()]
    if found["finished"] is not None:  # a day that has passed may have been the last to be run, by hand
        known.append(clock.rome_date(found["finished"]))
    last = max(day for day in known if day is not None)
    if (today - last).days <= settings.CLOCK_MAX_JUMP_DAYS:
        return None
    return ClockError(
        f"This machine's clock says {today}, {(today - last).days} days after the last run, of {last}: set the clock, "
        "or run `manage.py lifecycle --accept-clock` if it is right.",
        facts=f"{last} → {today}",
    )


def accept(today: date) -> None:
    """Somebody says that `today` is right: runs, manifests, stops, expiries and notices of days still to come are
    forgotten, so that those days get theirs, and today's deletions can be released.

    Raises ClockError when the database server's clock says otherwise: that is no matter of opinion.
    """
    if found := _against_the_database():
        raise found
    ahead, _each = LifecycleRun.objects.filter(day__gt=today).delete()
    manifest.forget_after(today)
    expiries.forget_after(today)
    letters.forget_after(clock.now())
    Figure.objects.update_or_create(name=ACCEPTED, defaults={"value": today.toordinal(), "at": clock.now()})
    log.warning("lifecycle: the clock is said to be right on %s; %s runs of later days are forgotten", today, ahead)


def _accepted() -> date | None:
    kept = Figure.objects.filter(name=ACCEPTED).values_list("value", flat=True).first()
    return None if kept is None else date.fromordinal(kept)
