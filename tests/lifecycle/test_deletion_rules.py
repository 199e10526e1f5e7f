"""The one pure function that says whether an archive goes: each guard alone, in pairs, both sides of a day (R29)."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations

import pytest

from lifecycle import deletion_rules as rules
from lifecycle.deletion_rules import Facts, Why

EXPIRY = date(2026, 8, 27)
FROM = EXPIRY + timedelta(days=91)  # 26 November
SAFE = Facts(  # nothing holds this one
    expires_on=EXPIRY, delete_from=FROM, warned_on=(date(2026, 10, 26), date(2026, 11, 18)), paid_through=EXPIRY,
    last_warning_on=date(2026, 11, 18),
)  # fmt: skip
GUARDS = {
    Why.MONEY_PAID: {"at_work": ("R-7KQ4M2",)},
    Why.MONEY_ON_ITS_WAY: {"money_begun": (FROM - timedelta(days=1),)},
    Why.STAFF_HOLD: {"held_by_staff": "in causa"},
    Why.NOT_WARNED: {"warned_on": (date(2026, 10, 26),)},
}


def test_a_box_that_nothing_holds_goes():
    assert rules.holds(SAFE, FROM) == []
    assert rules.reason_to_delete(SAFE) == Why.WARNED


@pytest.mark.parametrize("why", GUARDS)
def test_each_guard_alone_holds(why):
    assert rules.holds(replace(SAFE, **GUARDS[why]), FROM) == [why]


@pytest.mark.parametrize("pair", list(combinations(GUARDS, 2)))
def test_every_pair_of_guards_holds_and_both_are_named(pair):
    facts = replace(SAFE, **GUARDS[pair[0]], **GUARDS[pair[1]])
    assert rules.holds(facts, FROM) == list(pair)
    assert not rules.lacks_only_warnings(rules.holds(facts, FROM))
    assert not rules.wants_warning(facts, rules.holds(facts, FROM), FROM)
    assert not rules.wants_person(facts, rules.holds(facts, FROM), FROM + timedelta(days=30))


@pytest.mark.parametrize("why", [w for w in GUARDS if w != Why.NOT_WARNED])
def test_what_people_decide_about_warnings_lifts_no_other_guard(why):
    assert rules.holds(replace(SAFE, warned_on=(), released_by_hand=True, **GUARDS[why]), FROM) == [why]
    released = replace(SAFE, warned_on=(), has_address=False, released_by_hand=True)
    assert (rules.holds(released, FROM), rules.reason_to_delete(released)) == ([], Why.RELEASED)


def test_a_box_paid_beyond_its_date_is_never_deleted():
    """Whatever wrote the date: the paid periods are the source of every expiry (R15)."""
    assert rules.holds(replace(SAFE, paid_through=EXPIRY + timedelta(days=1)), FROM) == [Why.MONEY_PAID]
    assert rules.holds(replace(SAFE, paid_through=None), FROM) == []


@pytest.mark.parametrize(
    ("begun", "today", "held"),
    [
        (FROM - timedelta(days=1), FROM, True),  # E+90: the last day
        (FROM, FROM, False),  # begun too late
        (FROM - timedelta(days=400), FROM, True),
        (FROM - timedelta(days=1), FROM + timedelta(days=14), True),
        (FROM - timedelta(days=1), FROM + timedelta(days=15), False),  # once: the hold is over
    ],
)
def test_money_on_its_way_holds_for_fifteen_days_if_begun_in_time(begun, today, held):
    found = rules.holds(replace(SAFE, money_begun=(FROM + timedelta(days=3), begun)), today)
    assert found == ([Why.MONEY_ON_ITS_WAY] if held else [])


def test_orders_paid_hold_without_end():
    facts = replace(SAFE, **GUARDS[Why.MONEY_PAID], **GUARDS[Why.MONEY_ON_ITS_WAY])
    assert rules.holds(facts, FROM + timedelta(days=1000)) == [Why.MONEY_PAID]


@pytest.mark.parametrize(
    ("days_ago", "enough"),
    [((), False), ((100,), False), ((100, 7), True), ((100, 6), False), ((30, 7, 0), True), ((6, 5, 4), False)],
)
def test_two_warnings_the_second_a_week_ago(days_ago, enough):
    today = FROM + timedelta(days=40)
    warned = tuple(today - timedelta(days=n) for n in days_ago)
    assert rules.holds(replace(SAFE, warned_on=warned), today) == ([] if enough else [Why.NOT_WARNED])


@pytest.mark.parametrize(
    ("warned", "last", "address", "today", "warning", "person"),
    [
        (0, None, True, FROM, True, False),  # nobody ever wrote
        (1, FROM - timedelta(days=2), True, FROM, False, False),  # two days ago: not yet again
        (1, FROM - timedelta(days=2), True, FROM + timedelta(days=5), True, False),
        (2, FROM - timedelta(days=2), True, FROM, False, False),  # only their seven days are missing
        (0, FROM + timedelta(days=7), True, FROM + timedelta(days=13), False, False),
        (0, FROM + timedelta(days=7), True, FROM + timedelta(days=14), True, True),
        (0, FROM - timedelta(days=2), False, FROM, False, True),  # no address: a person at once
    ],
)
def test_what_is_done_for_a_box_that_was_not_warned(warned, last, address, today, warning, person):
    days = tuple(today - timedelta(days=n) for n in range(warned))
    facts = replace(SAFE, warned_on=days, last_warning_on=last, has_address=address)
    found = rules.holds(facts, today)
    assert found == [Why.NOT_WARNED if address else Why.NO_ADDRESS]
    assert rules.wants_warning(facts, found, today) is warning
    assert rules.wants_person(facts, found, today) is person


@pytest.mark.parametrize(
    ("due", "of", "stops"),
    [
        (100, 1000, False),  # not above the count
        (101, 20200, False),  # 0.5 % exactly: not above the percentage
        (101, 20199, True),
        (101, 101, True),
        (40000, 9_000_000, False),
        (45001, 9_000_000, True),
    ],
)
def test_the_cap_stops_above_both_limits(due, of, stops):
    assert rules.is_over_cap(due, of=of, most=100, percent=0.5) is stops
