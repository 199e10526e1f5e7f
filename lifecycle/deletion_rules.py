"""Whether a box may be deleted, and why not: pure functions of plain facts, no clock, no query (R13, R29)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from lifecycle.models import ManifestLine

Why = ManifestLine.Why
MONEY_HOLD_DAYS = 15  # R29: from `delete_from`, so once an expiry
WARNINGS_NEEDED = 2
WARNED_DAYS = 7  # from the day the relay accepted the last warning that is needed
WARN_AGAIN_DAYS = 7  # between further warnings of a box that is past its deletion day
CASE_AFTER_DAYS = 14  # from `delete_from`: until then a further warning may still be accepted


@dataclass(frozen=True)
class Facts:
    """What is known of a box that is past its deletion day. Days are calendar dates in Rome.

    `at_work`: orders paid or in attention. `paid_through`: the last day that its paid periods pay for, None when it has
    none. `money_begun`: when money set out that has not become a renewal. `held_by_staff`: the reason, or "".
    `warned_on`: for each warning after the expiry, the first day on which the relay accepted a letter that did not come
    back; a day once. `last_warning_on`: the day of the newest warning, accepted or not. `has_address`: somebody can be
    written to.
    """

    expires_on: date
    delete_from: date
    at_work: tuple[str, ...] = ()
    paid_through: date | None = None
    money_begun: tuple[date, ...] = ()
    held_by_staff: str = ""
    warned_on: tuple[date, ...] = ()
    last_warning_on: date | None = None
    has_address: bool = True
    released_by_hand: bool = False


def money_hold_until(delete_from: date) -> date:
    """The first day on which money that is still on its way holds no more (R29)."""
    return delete_from + timedelta(days=MONEY_HOLD_DAYS)


def begun_in_time(money_begun: tuple[date, ...], delete_from: date) -> bool:
    """Whether any of this money set out through the last renewable day, E+90 (R21b, R29)."""
    return any(day < delete_from for day in money_begun)


def is_warned(warned_on: tuple[date, ...], today: date) -> bool:
    """Two warnings accepted, the second of them at least seven days ago."""
    return sum(day <= today - timedelta(days=WARNED_DAYS) for day in warned_on) >= WARNINGS_NEEDED


def holds(facts: Facts, today: date) -> list[Why]:
    """Everything that keeps the box from deletion on `today`, the gravest first; empty: it is deleted."""
    found = []
    if facts.at_work or (facts.paid_through is not None and facts.paid_through > facts.expires_on):
        found.append(Why.MONEY_PAID)
    if begun_in_time(facts.money_begun, facts.delete_from) and today < money_hold_until(facts.delete_from):
        found.append(Why.MONEY_ON_ITS_WAY)
    if facts.held_by_staff:
        found.append(Why.STAFF_HOLD)
    if not facts.released_by_hand and not is_warned(facts.warned_on, today):
        found.append(Why.NOT_WARNED if facts.has_address else Why.NO_ADDRESS)
    return found


def reason_to_delete(facts: Facts) -> Why:
    """Of a box that nothing holds."""
    return Why.RELEASED if facts.released_by_hand else Why.WARNED


def lacks_only_warnings(found: Sequence[Why]) -> bool:
    """Whether nothing else keeps the box."""
    return list(found) in ([Why.NOT_WARNED], [Why.NO_ADDRESS])


def wants_warning(facts: Facts, found: Sequence[Why], today: date) -> bool:
    """Whether a further warning is owed: nothing else holds the box, and the last one is a week old (R29).

    Not where two were accepted and only their seven days are missing, nor where nobody can be written to.
    """
    if not lacks_only_warnings(found) or not facts.has_address or len(facts.warned_on) >= WARNINGS_NEEDED:
        return False
    last = facts.last_warning_on
    return last is None or last <= today - timedelta(days=WARN_AGAIN_DAYS)


def wants_person(facts: Facts, found: Sequence[Why], today: date) -> bool:
    """Whether staff must decide: at once where nobody can be written to, else after two weeks of trying (R29)."""
    if not lacks_only_warnings(found) or len(facts.warned_on) >= WARNINGS_NEEDED:
        return False
    return not facts.has_address or today >= facts.delete_from + timedelta(days=CASE_AFTER_DAYS)


def is_over_cap(due: int, *, of: int, most: int, percent: float) -> bool:
    """Whether a day's run that deletes `due` of `of` boxes stops: above both limits, not above one of them (R29)."""
    return due > most and due * 100 > percent * of
