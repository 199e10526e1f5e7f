"""Random lives of boxes, the same for the same seed: how they come in, what people do, when the job is down."""

import random
from calendar import isleap
from dataclasses import dataclass, replace
from datetime import date, timedelta

from tests.simulator.facts import GRACE, Automatic, Extra, History, Money, Renewal, Space, Span, Usage
from tests.simulator.oracle import days, expiry_after

YEARS = (1, 1, 1, 1, 2, 2, 3, 4, 5)
MOMENTS = ("early", "early", "near", "near", "near", "near", "on", "after", "late", "late", "last", "stretched")
LAST_MOMENTS = ("too late", "never", "never")
ORDERED = 0.4  # of the renewals are placed, paid and fulfilled as orders; the others only move dates and space
ACCOUNTS = 20
DOWN = 1 / 70  # of the days begin an outage
AGAIN = 0.12  # of the days have the job run a second time
CUT_SHORT = 0.05  # of the days have it run out of time first


@dataclass(frozen=True)
class Drawn:
    """A life, and where it hangs: boxes with the same `domain` share its dates."""

    number: int
    history: History
    domain: int | None = None
    domain_days: int | None = None  # the domain's own days before the deletion

    @property
    def account(self) -> int:
        return (self.number if self.domain is None else self.domain) % ACCOUNTS


@dataclass(frozen=True)
class Calendar:
    days: list[date]
    down: set[date]
    again: set[date]
    cut_short: set[date]


def draw_calendar(rng: random.Random, *, first: date, years: int) -> Calendar:
    """Consecutive days, with outages of one to five days, some of weeks, one longer than a missed day is remembered."""
    all_days = [first + days(n) for n in range((date(first.year + years, first.month, first.day) - first).days)]
    down: set[date] = set()
    for day in all_days[1:]:
        if rng.random() < DOWN:
            length = rng.choice((1, 1, 1, 2, 3, 5, rng.randint(6, 20)))
            down.update(day + days(n) for n in range(length))
    longest = rng.choice(all_days[30:-60])
    down.update(longest + days(n) for n in range(40))
    ran = [day for day in all_days if day not in down]
    return Calendar(
        all_days,
        down,
        {day for day in ran if rng.random() < AGAIN},
        {day for day in ran if rng.random() < CUT_SHORT},
    )


def draw_boxes(rng: random.Random, *, count: int, first: date, last: date) -> list[Drawn]:
    """Lives on ACCOUNTS accounts in turn; what an account's contacts refuse, they refuse for all its boxes."""
    found: list[Drawn] = []
    dead = [_dead_contacts(rng, first, last) for _ in range(ACCOUNTS)]
    domain = 0
    while len(found) < count:
        if rng.random() < 0.08:
            domain += 1
            opened, expires_on = _coming_in(rng, first, last)
            own_days = rng.choice((None, None, 30, 120))
            refusing = dead[domain % ACCOUNTS]
            space = Space("domain", 1, 0)
            drawn, _left_at = _renewals(rng, opened, expires_on, space, last)
            renewals = tuple(replace(renewal, begun=renewal.day, space=None) for renewal in drawn)
            history = History(
                opened, expires_on, space, renewals, deletion_days=own_days or GRACE, dead_contact=refusing
            )
            for _ in range(min(rng.randint(1, 3), count - len(found))):
                usage = _usage(rng, opened, last)
                found.append(Drawn(len(found), replace(history, usage=usage), domain, own_days))
        else:
            history = _standalone(rng, first, last)
            found.append(Drawn(len(found), replace(history, dead_contact=dead[len(found) % ACCOUNTS])))
    return found


def _dead_contacts(rng: random.Random, first: date, last: date) -> tuple[Span, ...]:
    """None for most accounts; for some weeks or months in which the relay refuses what is written to them."""
    if rng.random() < 0.6:
        return ()
    begin = first + days(rng.randrange((last - first).days))
    return (Span(begin, begin + days(rng.choice((10, 40, 100, 300)))),)


def _coming_in(rng: random.Random, first: date, last: date) -> tuple[date, date]:
    """The day a box is opened and its expiry: also one long past, also the odd days of calendars."""
    opened = first if rng.random() < 0.5 else first + days(rng.randrange((last - first).days * 4 // 5))
    odd = rng.random()
    year = opened.year + (0 if rng.random() < 0.5 else 1)
    if odd < 0.2:
        leap = next(y for y in range(opened.year, opened.year + 9) if isleap(y) and date(y, 2, 29) > opened - days(80))
        expires_on = date(leap, 2, 29)
    elif odd < 0.3:
        expires_on = rng.choice((_last_sunday(year, 3), _last_sunday(year, 10))) - days(rng.randint(0, 1))
    elif odd < 0.4:
        expires_on = date(year, *rng.choice(((12, 31), (1, 1), (2, 28), (3, 1))))
    else:
        expires_on = opened + days(rng.randint(-100, 400))
    return opened, max(expires_on, opened - days(110))


def _last_sunday(year: int, month: int) -> date:
    last = date(year, month, 31)
    return last - timedelta(days=(last.weekday() + 1) % 7)


def _space(rng: random.Random) -> Space:
    plan = rng.choice(("standard", "standard", "pro", "premium"))
    if plan == "standard":
        return Space(plan, rng.choice((1, 1, 2)), 0)
    more = rng.choice((0, 0, 0, 1, 3)), rng.choice((0, 0, 0, 1, 4))
    return Space(plan, 2 + more[0], (3 if plan == "pro" else 8) + more[1])


def _usage(rng: random.Random, opened: date, last: date) -> tuple[Usage, ...]:
    """Mostly little; now and then what only a larger box holds, now and then to the last byte."""
    found = {}
    for _ in range(rng.choice((0, 1, 3, 6))):
        day = opened + days(rng.randrange(max(1, (last - opened).days)))
        largest = _space(rng)
        share = rng.choice((0.1, 0.4, 0.9, 1.0, 1.0))
        found[day] = Usage(day, int(largest.mailbox * 1000 * share), int(largest.archive * 1000 * share))
    return tuple(found.values())


def _standalone(rng: random.Random, first: date, last: date) -> History:
    opened, expires_on = _coming_in(rng, first, last)
    space = _space(rng)
    renewals, left_at = _renewals(rng, opened, expires_on, space, last)
    automatic = _automatic(rng, opened, last)
    # A renewal order beside a charge to come is R24's business: there, what is ordered is fulfilled the same day.
    if automatic:
        renewals = tuple(replace(renewal, begun=renewal.day) for renewal in renewals)
    else:
        renewals = tuple(
            replace(renewal, late=True, ordered=True)
            if renewal.begun < renewal.day or rng.random() < ORDERED
            else renewal
            for renewal in renewals
        )
    money = () if automatic or left_at is None else _money(rng, opened, left_at, renewals)
    holds = () if left_at is None or rng.random() < 0.6 else (_span(rng, left_at, 40, 130, 60, free=opened),)
    span = max(1, (last - opened).days)
    extras = tuple(
        Extra(opened + days(rng.randrange(span)), rng.randint(0, 1), rng.randint(0, 2), rng.random() < 0.5)
        for _ in range(rng.choice((0, 0, 1, 3)))
    )
    return History(
        opened, expires_on, space, renewals, tuple({extra.day: extra for extra in extras}.values()),
        _usage(rng, opened, last), automatic, holds, money, readable=rng.random() > 0.05,
    )  # fmt: skip


def _span(rng: random.Random, expires_on: date, least: int, most: int, length: int, *, free: date) -> Span:
    """Some days, from `least` to `most` after the expiry on, and not before `free`."""
    first = max(free, expires_on + days(rng.randint(least, most)))
    return Span(first, first + days(rng.randint(1, length)))


def _money(rng: random.Random, opened: date, left_at: date, renewals: tuple[Renewal, ...]) -> tuple[Money, ...]:
    """Of a customer who leaves: now and then an order whose money is begun around E+90 and never arrives."""
    if rng.random() < 0.3:
        return ()
    free = max([opened, *(renewal.day + days(1) for renewal in renewals)])
    span = _span(rng, left_at, 70, 95, 40, free=free)
    return (Money(span.first, span.last, rng.random() < 0.3),)


def _renewals(
    rng: random.Random, opened: date, expires_on: date, space: Space, last: date
) -> tuple[tuple[Renewal, ...], date | None]:
    """One after the other, each at some distance from the expiry, until the customer leaves or time is over.

    Returns them and the expiry at which the customer leaves, None where time is over first.
    """
    anchor = expires_on.month, expires_on.day
    found: list[Renewal] = []
    free = opened  # from when the next order may be placed
    while len(found) < 9:
        moment = rng.choice(LAST_MOMENTS if rng.random() < 0.1 else MOMENTS)
        if moment == "never":
            return tuple(found), expires_on
        leap = anchor == (2, 29) and rng.random() < 0.5
        if leap:
            moment = "early"  # through a 28th or two to the 29th
        begun, day = _moment(rng, moment, expires_on)
        begun = max(begun, free)
        day = max(begun, day)
        if day > last:
            break
        if rng.random() < 0.5:
            space = _space(rng)
        renewal = Renewal(day, begun, rng.choice((1, 3) if leap else YEARS), space, rng.random() < 0.5)
        found.append(renewal)
        if begun > expires_on + days(GRACE):
            return tuple(found), expires_on  # too late: the rules do not take it
        expires_on = expiry_after(expires_on=expires_on, years=renewal.years, month=anchor[0], day=anchor[1])
        free = day + days(1)
    return tuple(found), None


def _moment(rng: random.Random, moment: str, expires_on: date) -> tuple[date, date]:
    """When the money is begun and when it is registered, in days from the expiry."""
    begun = {
        "early": rng.randint(-500, -8), "near": rng.randint(-10, 0), "on": 0, "after": 1, "late": rng.randint(1, 90),
        "last": GRACE, "stretched": rng.randint(80, GRACE), "too late": rng.randint(GRACE + 1, 130),
    }[moment]  # fmt: skip
    later = rng.randint(1, 20) if moment == "stretched" else 0
    return expires_on + days(begun), expires_on + days(begun + later)


def _automatic(rng: random.Random, opened: date, last: date) -> tuple[Automatic, ...]:
    if rng.random() > 0.25:
        return ()
    span = max(4, (last - opened).days)
    on, over, off = sorted(rng.sample(range(span), 3))
    found = [Automatic(opened + days(on), on=True)]
    if rng.random() < 0.5:
        found.append(Automatic(opened + days(over), on=True, over=True))
    if rng.random() < 0.7:
        found.append(Automatic(opened + days(off), on=False))
    return tuple(found)
