"""Which days a stage owes, and what falls due when: pure functions, no clock, no query (R7, R13, R28)."""

from collections.abc import Collection
from datetime import date, timedelta

STALE_AFTER = timedelta(minutes=30)  # a run claimed longer ago and not finished was killed: whoever comes may claim it
CATCH_UP_DAYS = 31  # how far back a missed day still gets a run of its own; what was due then is done in any case
STUCK_AFTER_DAYS = 30  # R7: from the day the customer was told to the case


def days_to_run(*, first: date | None, finished: Collection[date], today: date) -> list[date]:
    """The days a stage still owes a run, oldest first, today always last.

    `first` is the day of its first run ever (None before that: nothing was missed), `finished` the days whose run was
    finished. Today is there even when finished, because what could not be done at midnight is tried again.
    """
    if first is None:
        return [today]
    start = max(first, today - timedelta(days=CATCH_UP_DAYS))
    missed = (start + timedelta(days=n) for n in range((today - start).days))
    return [day for day in missed if day not in finished] + [today]


def scaduta_from(expires_on: date) -> date:
    """The first day of Scaduta, E+1 (R13): the day of its event, however late the sweep ran."""
    return expires_on + timedelta(days=1)


def is_stuck(*, refused_on: date, day: date) -> bool:
    """Whether a smaller plan that did not fit on `refused_on` still waits on `day` long enough to be a case (R7)."""
    return day >= refused_on + timedelta(days=STUCK_AFTER_DAYS)
