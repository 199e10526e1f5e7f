"""How any stage works: one claimed run, its numbers in the database, its time, and its rows in batches (R28)."""

import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, Q, QuerySet

from lifecycle.models import LifecycleRun

log = logging.getLogger(__name__)
BATCH = 5000
After = tuple[date, int]  # the last row of a batch: its date and its id


class OutOfTimeError(Exception):
    """The time given to this run is over; what is left is done by the next one."""


class Share(NamedTuple):
    """The rows of one worker among `of`: those whose id (or account's id) leaves `part` when divided by `of`."""

    part: int
    of: int


def trail(error: Exception) -> str:
    """The kind of an error and where it came from, for a log: never its words, which may hold an address (R33)."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return f"{type(error).__name__} at " + " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))


@dataclass
class Work:
    """One claimed run at work: its day, its numbers, and when it has to stop (time.monotonic(), None: never).

    With a `share` it does only those rows. A share is help and nothing more: whoever claimed the run sweeps everything
    afterwards, so nothing depends on the shares that other workers were asked to do.
    """

    run: LifecycleRun
    today: date
    batch: int = BATCH
    stop_at: float | None = None
    share: Share | None = None

    def count(self, *, done: int = 0, failed: int = 0) -> None:
        """Add to the numbers in the database: inside the transaction of the work, so that a kill leaves them true.

        The last statement of that transaction, because workers on one run wait for one another here.
        """
        if done or failed:
            LifecycleRun.objects.filter(pk=self.run.pk).update(done=F("done") + done, failed=F("failed") + failed)

    def fail(self, what: str, pk: int, error: Exception) -> None:
        """Count and log one box or order that failed. In a share it is only logged: the sweep of everything meets it
        again, and would count it twice."""
        log.error("lifecycle %s %s: %s %s: %s", self.run.stage, self.run.day, what, pk, trail(error))
        if self.share is None:
            self.count(failed=1)

    def go_singly(self, what: str, error: Exception) -> None:
        """Log a batch that did not go as one: the caller does its rows one at a time, and only a bad one is counted."""
        log.warning(
            "lifecycle %s %s: a batch of %s goes one at a time: %s", self.run.stage, self.run.day, what, trail(error)
        )

    @property
    def out_of_time(self) -> bool:
        return self.stop_at is not None and time.monotonic() >= self.stop_at

    def check_time(self) -> None:
        if self.out_of_time:
            raise OutOfTimeError


def ask_for_a_run() -> None:
    """Ask a worker for the day's run at once. When the broker is away, beat asks for it later."""
    from lifecycle.tasks import run_day

    transaction.on_commit(run_day.delay, robust=True)


def half_until(stop_at: float | None) -> float | None:
    """When half of the time left until `stop_at` (time.monotonic(), None: no end) is over."""
    return None if stop_at is None else (time.monotonic() + stop_at) / 2


def shared(due: QuerySet, share: Share | None, *, by: str = "pk") -> QuerySet:
    """The rows of `due` that are this share's; all of them without one. `by`: what stays together in one share."""
    if share is None:
        return due
    return due.alias(part_of_share=F(by) % share.of).filter(part_of_share=share.part)


def after(due: QuerySet, by: str, last: After | None) -> QuerySet:
    """The rows of `due` that come after the row `last`, in the order of the date `by` and the id."""
    if last is not None:
        due = due.filter(Q(**{f"{by}__gt": last[0]}) | Q(**{by: last[0], "pk__gt": last[1]}), **{f"{by}__gte": last[0]})
    return due.order_by(by, "pk")


def batches(due: QuerySet, by: str, size: int) -> Iterator[list[int]]:
    """The ids of `due` in batches, by keyset on the date `by` and the id: no offset, no long list, no row twice."""
    last: After | None = None
    while rows := list(after(due, by, last).values_list(by, "pk")[:size]):
        last = rows[-1]
        yield [pk for _date, pk in rows]
