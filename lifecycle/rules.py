"""Which days a stage owes, and what falls due when: pure functions, no clock, no query (R7, R13, R27, R28)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

STALE_AFTER = timedelta(minutes=30)  # a run claimed longer ago and not finished was killed: whoever comes may claim it
CATCH_UP_DAYS = 31  # how far back a missed day still gets a run of its own; what was due then is done in any case
SHARED_ABOVE = 20_000  # what one worker does in a few seconds is not worth a message to another
ROWS_A_SHARE = 10_000
MOST_SHARES = 8
STUCK_AFTER_DAYS = 30  # R7: from the day the customer was told to the case
# A point of the calendar that passed longer ago is not told any more: the next one is. So boxes that come in long after
# their last point (an import, a deletion that a reversal put off) start no wave of mails about something old.
TOLD_WITHIN_DAYS = 31


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


def shares(due: int) -> int:
    """Among how many workers a sweep of `due` rows is shared out: 1 when it is not worth it."""
    return 1 if due <= SHARED_ABOVE else min(MOST_SHARES, due // ROWS_A_SHARE)


def scaduta_from(expires_on: date) -> date:
    """The first day of Scaduta, E+1 (R13): the day of its event, however late the sweep ran."""
    return expires_on + timedelta(days=1)


def is_stuck(*, refused_on: date, day: date) -> bool:
    """Whether a smaller plan that did not fit on `refused_on` still waits on `day` long enough to be a case (R7)."""
    return day >= refused_on + timedelta(days=STUCK_AFTER_DAYS)


# --- Notices (R27): a kind is the days from the expiry on which it is owed, negative before it ------------------------


def notice_day(expires_on: date, kind: int) -> date:
    """The day on which the notice of this kind is owed."""
    return expires_on + timedelta(days=kind)


def due_kind(expires_on: date, today: date, offsets: Collection[int]) -> int | None:
    """The last kind whose day has come on `today`: the only one still worth telling. None before the first."""
    return max((kind for kind in offsets if notice_day(expires_on, kind) <= today), default=None)


@dataclass(frozen=True)
class Window:
    """The expiries, both days included, for which `kind` is what is to be told."""

    kind: int
    first: date
    last: date


def windows(today: date, offsets: Collection[int], *, day: date) -> Sequence[Window]:
    """due_kind turned round, for a query: which expiries have which kind to be told on `today`.

    Only kinds that were due by `day` (today, or a day that was missed), and whose day is at most 31 days ago. No
    expiry is in two windows, so a missed day never tells an older point than today's.
    """
    kinds = sorted(set(offsets))
    found = []
    for n, kind in enumerate(kinds):
        first = today - timedelta(days=kind + TOLD_WITHIN_DAYS)
        if n + 1 < len(kinds):  # from the day of the next kind on, that one is the last
            first = max(first, today - timedelta(days=kinds[n + 1] - 1))
        last = min(today, day) - timedelta(days=kind)
        if first <= last:
            found.append(Window(kind, first, last))
    return found
