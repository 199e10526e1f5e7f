"""Dates, states and space of a box: pure functions, no clock, no query.

Days are calendar dates in Europe/Rome; space is in whole GB. Sources: R6, R7, R13–R17 of the product's rules.
"""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise

MAX_YEARS = 5
SOON_DAYS = 90  # "in scadenza": red from 90 days before
FILLING_UP, ROOM_AGAIN = 0.7, 0.65  # of its space: from where its people are warned, and below which once more


class State(StrEnum):
    """What the customer is told. Only the last three come from a recorded phase."""

    ACTIVE = "attiva"
    EXPIRED = "scaduta"
    AWAITING_DELETION = "attesa_cancellazione"
    ACTIVATING = "in_attivazione"
    DELETING = "in_cancellazione"
    DELETED = "cancellata"


def state(*, phase: str, expires_on: date | None, delete_from: date | None, today: date) -> State:
    """The state on a day (R13, R16): Attiva through E, Scaduta from E+1, awaiting deletion from `delete_from`."""
    if phase == "activating":
        return State.ACTIVATING
    if phase == "deleting":
        return State.DELETING
    if phase == "deleted":
        return State.DELETED
    if expires_on is None or delete_from is None:
        raise ValueError("a live box has both dates")
    if today <= expires_on:
        return State.ACTIVE
    return State.EXPIRED if today < delete_from else State.AWAITING_DELETION


def clamp(year: int, month: int, day: int) -> date:
    """The day of that month, or its last day where the month is shorter."""
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def add_years(expires_on: date, years: int, *, anchor_month: int, anchor_day: int) -> date:
    """The new expiry: `years` after the old one, on the anchor's day (R14).

    29 February renews to the 28th and is the 29th again in leap years, because the anchor keeps it.
    Raises ValueError unless 1 ≤ years ≤ 5.
    """
    if not 1 <= years <= MAX_YEARS:
        raise ValueError(f"years must be 1 to {MAX_YEARS}, not {years}")
    return clamp(expires_on.year + years, anchor_month, anchor_day)


def deletion_day(expires_on: date, *, grace_days: int, not_before: date | None = None) -> date:
    """The first day of deletion: E + grace + 1 (E+91 for 90 days), never before `not_before` (R13)."""
    day = expires_on + timedelta(days=grace_days + 1)
    return max(day, not_before) if not_before else day


def last_renewable_day(delete_from: date) -> date:
    """E+90: the day before deletion starts."""
    return delete_from - timedelta(days=1)


@dataclass(frozen=True)
class Capacity:
    """Plan rank and total GB of both spaces."""

    rank: int
    mailbox_gb: int
    archive_gb: int

    def covers(self, other: "Capacity") -> bool:
        """True when nothing of `other` would be lost here."""
        return self.rank >= other.rank and self.mailbox_gb >= other.mailbox_gb and self.archive_gb >= other.archive_gb

    def larger(self, other: "Capacity") -> "Capacity":
        """The higher rank and the larger of each space: what holds from fulfilment to `change_on` (§4)."""
        return Capacity(
            max(self.rank, other.rank), max(self.mailbox_gb, other.mailbox_gb), max(self.archive_gb, other.archive_gb)
        )


@dataclass(frozen=True)
class PlanLimits:
    """What a plan allows, in whole GB."""

    rank: int
    base_mailbox_gb: int
    max_mailbox_gb: int
    base_archive_gb: int
    max_archive_gb: int

    def allows(self, mailbox_gb: int, archive_gb: int) -> bool:
        return (
            self.base_mailbox_gb <= mailbox_gb <= self.max_mailbox_gb
            and self.base_archive_gb <= archive_gb <= self.max_archive_gb
        )


class Fit(StrEnum):
    FITS = "fits"
    FITS_WITH_MORE = "fits_with_more"
    TOO_FULL = "too_full"


@dataclass(frozen=True)
class FitResult:
    """Whether what is used fits what is asked; the GB to buy or the GB to free where it does not (R7)."""

    fit: Fit
    needed_mailbox_gb: int = 0  # total GB of mailbox that would fit (FITS_WITH_MORE)
    needed_archive_gb: int = 0
    free_mailbox_bytes: int = 0  # bytes to delete (TOO_FULL)
    free_archive_bytes: int = 0


GB = 1024**3


def fits(
    *, limits: PlanLimits, mailbox_gb: int, archive_gb: int, mailbox_used: int, archive_used: int, drop_archive: bool
) -> FitResult:
    """R7's guard on real usage (`*_used` in bytes). `drop_archive`: the plan has no archive and its messages will go,
    so what the archive holds does not count."""
    archive_counts = 0 if drop_archive else archive_used
    if mailbox_used <= mailbox_gb * GB and archive_counts <= archive_gb * GB:
        return FitResult(Fit.FITS)
    over_mailbox = max(0, mailbox_used - limits.max_mailbox_gb * GB)
    over_archive = max(0, archive_counts - limits.max_archive_gb * GB)
    if over_mailbox or over_archive:
        return FitResult(Fit.TOO_FULL, free_mailbox_bytes=over_mailbox, free_archive_bytes=over_archive)
    return FitResult(
        Fit.FITS_WITH_MORE,
        needed_mailbox_gb=max(mailbox_gb, -(-mailbox_used // GB)),
        needed_archive_gb=max(archive_gb, -(-archive_counts // GB)),
    )


@dataclass(frozen=True)
class CapacityChange:
    """What a fulfilled order does to a box: `now` holds at once, `later` from `change_on`; else both None."""

    now: Capacity
    later: Capacity | None
    change_on: date | None


def change(
    *,
    current: Capacity,
    ordered: Capacity,
    old_expiry: date,
    today: date,
    waiting: Capacity | None = None,
    waiting_on: date | None = None,
) -> CapacityChange:
    """Space after an order is fulfilled (§4 Capacity, R7).

    Each space has the larger of old and new, the plan the higher rank; the new alone holds from the day after the old
    expiry, from `today` when the box is Scaduta (whoever starts it checks the real usage first). A change that already
    waits is replaced only by an order that raises it.
    """
    now = current.larger(ordered)
    if waiting is not None and waiting_on is not None:
        later, on = waiting.larger(ordered), waiting_on
    else:
        later, on = ordered, max(old_expiry + timedelta(days=1), today)
    return CapacityChange(now, None, None) if now == later else CapacityChange(now, later, on)


# --- Paid periods and their reversal (§4 PaidPeriod, R15) -------------------------------------------------------------


@dataclass(frozen=True)
class Term:
    """A paid period: first and last day, and the day it was reversed on, if it was."""

    starts: date
    ends: date
    reversed_on: date | None = None

    @property
    def last_day(self) -> date | None:
        """The last day it pays for; None when it was reversed before it began."""
        if self.reversed_on is None:
            return self.ends
        return min(self.ends, self.reversed_on) if self.reversed_on >= self.starts else None


def expiry_of(terms: Iterable[Term]) -> date | None:
    """The expiry that paid periods give: the last day that any of them pays for; None when none does (R15)."""
    return max((term.last_day for term in terms if term.last_day is not None), default=None)


class NotLastPeriodError(ValueError):
    """A later period must be reversed first (§4)."""


class PeriodOverError(ValueError):
    """Its last day has passed: there is nothing left of it to take back."""


@dataclass(frozen=True)
class Reversal:
    """The dates of a box or domain after a reversal; written together."""

    expires_on: date
    delete_from: date
    anchor_month: int
    anchor_day: int

    @property
    def last_renewable_day(self) -> date:
        return last_renewable_day(self.delete_from)


def reverse(
    terms: Iterable[Term], term: Term, *, on: date, anchor_month: int, anchor_day: int, grace_days: int,
    not_before: date,
) -> Reversal:  # fmt: skip
    """The dates once `term`, the last of `terms`, is reversed on a day (§4, R13–R15).

    Begun, it counts through that day, and the anchor becomes that day's; not begun, all is as before it. `grace_days`
    decides the deletion as ever; it never begins before `not_before`. Raises NotLastPeriodError, PeriodOverError;
    ValueError when no paid day would be left.
    """
    others = [other for other in terms if other != term]
    if any(other.reversed_on is None and other.starts > term.starts for other in others):
        raise NotLastPeriodError
    if term.ends < on:
        raise PeriodOverError
    cut = Term(term.starts, term.ends, on)
    expires_on = expiry_of([*others, cut])
    if expires_on is None:
        raise ValueError("no paid period is left")
    if cut.last_day == expires_on and expires_on != term.ends:
        anchor_month, anchor_day = on.month, on.day
    delete_from = deletion_day(expires_on, grace_days=grace_days, not_before=not_before)
    return Reversal(expires_on, delete_from, anchor_month, anchor_day)


@dataclass(frozen=True)
class Paid:
    """What was paid for a term: its last day and the space (the period's, and what space orders added to it)."""

    ends: date
    capacity: Capacity


def capacity_after_reversal(*, in_force: Capacity, left: list[Paid], today: date) -> CapacityChange:
    """Space once an order was reversed; `left`: what is still paid for, from the term of today (else the last) on.

    As if the reversed order had never been (§4 Capacity): what is smaller waits, on today at the earliest, for R7's
    guard; where a term still to come brings a change of its own, what is in force stays until that one begins.
    """
    if not left:
        return CapacityChange(in_force, None, None)
    entitled = CapacityChange(left[0].capacity, None, None)
    for before, term in pairwise(left):
        entitled = change(
            current=entitled.now, ordered=term.capacity, old_expiry=before.ends, today=today,
            waiting=entitled.later, waiting_on=entitled.change_on,
        )  # fmt: skip
    if entitled.later is not None:
        return CapacityChange(in_force.larger(entitled.now), entitled.later, entitled.change_on)
    if entitled.now.covers(in_force):
        return entitled
    return CapacityChange(in_force, entitled.now, today)
