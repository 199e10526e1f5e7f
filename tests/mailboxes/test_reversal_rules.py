"""Dates and space after a reversal: tables of cases, then properties (§4 PaidPeriod, R13–R15)."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes import rules
from mailboxes.rules import Capacity, CapacityChange, Paid, Reversal, Term

OPENING = Term(date(2026, 1, 2), date(2027, 1, 1))
RENEWAL = Term(date(2027, 1, 2), date(2028, 1, 1))
LEAP = Term(date(2027, 3, 1), date(2028, 2, 29))


def reverse(terms, term, on, anchor=(1, 1)):
    month, day = anchor
    least = on + timedelta(days=90)
    return rules.reverse(terms, term, on=on, anchor_month=month, anchor_day=day, grace_days=90, not_before=least)


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ([], None),
        ([OPENING], date(2027, 1, 1)),
        ([OPENING, RENEWAL], date(2028, 1, 1)),
        ([OPENING, Term(RENEWAL.starts, RENEWAL.ends, date(2026, 12, 1))], date(2027, 1, 1)),  # before it began
        ([OPENING, Term(RENEWAL.starts, RENEWAL.ends, date(2027, 1, 1))], date(2027, 1, 1)),  # the day before
        ([OPENING, Term(RENEWAL.starts, RENEWAL.ends, date(2027, 1, 2))], date(2027, 1, 2)),  # on its first day
        ([OPENING, Term(RENEWAL.starts, RENEWAL.ends, date(2027, 3, 9))], date(2027, 3, 9)),
        ([OPENING, Term(RENEWAL.starts, RENEWAL.ends, date(2028, 3, 9))], date(2028, 1, 1)),  # after its last
        ([Term(OPENING.starts, OPENING.ends, date(2025, 12, 1))], None),
    ],
)
def test_the_expiry_that_periods_give(terms, expected):
    assert rules.expiry_of(terms) == expected


@pytest.mark.parametrize(
    ("terms", "term", "on", "anchor", "expected"),
    [
        # not begun: all as before
        ([OPENING, RENEWAL], RENEWAL, date(2026, 11, 25), (1, 1), (date(2027, 1, 1), date(2027, 4, 2), 1, 1)),
        ([OPENING, RENEWAL], RENEWAL, date(2027, 1, 1), (1, 1), (date(2027, 1, 1), date(2027, 4, 2), 1, 1)),
        # begun: through that day, which the anchor becomes
        ([OPENING, RENEWAL], RENEWAL, date(2027, 1, 2), (1, 1), (date(2027, 1, 2), date(2027, 4, 3), 1, 2)),
        ([OPENING, RENEWAL], RENEWAL, date(2027, 3, 9), (1, 1), (date(2027, 3, 9), date(2027, 6, 8), 3, 9)),
        # on its last day nothing is cut, and the anchor stays
        ([OPENING, RENEWAL], RENEWAL, date(2028, 1, 1), (1, 1), (date(2028, 1, 1), date(2028, 4, 1), 1, 1)),
        # 29 February: the anchor of a box that is on the 28th this year stays the 29th; a cut on the 29th is one
        (
            [Term(date(2026, 3, 1), date(2027, 2, 28)), LEAP], LEAP, date(2027, 2, 1), (2, 29),
            (date(2027, 2, 28), date(2027, 5, 30), 2, 29),
        ),
        ([OPENING, Term(date(2027, 1, 2), date(2029, 1, 1))], Term(date(2027, 1, 2), date(2029, 1, 1)),
         date(2028, 2, 29), (1, 1), (date(2028, 2, 29), date(2028, 5, 30), 2, 29)),
        # a period reversed earlier does not stand in the way, and still counts through its day
        (
            [
                OPENING, Term(date(2027, 1, 2), date(2028, 1, 1), date(2027, 3, 9)),
                Term(date(2027, 3, 10), date(2028, 3, 9)),
            ],
            Term(date(2027, 3, 10), date(2028, 3, 9)), date(2027, 3, 9), (3, 9),
            (date(2027, 3, 9), date(2027, 6, 8), 3, 9),
        ),
    ],
)  # fmt: skip
def test_the_dates_after_a_reversal(terms, term, on, anchor, expected):
    assert reverse(terms, term, on, anchor) == Reversal(*expected)


def test_only_the_last_period_and_none_that_is_over():
    with pytest.raises(rules.NotLastPeriodError):
        reverse([OPENING, RENEWAL], OPENING, date(2026, 11, 25))
    with pytest.raises(rules.PeriodOverError):
        reverse([OPENING], OPENING, date(2027, 1, 2))
    with pytest.raises(ValueError, match="no paid period"):
        reverse([OPENING], OPENING, date(2025, 12, 31))


@given(
    first=st.dates(date(2020, 1, 1), date(2060, 1, 1)),
    years=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    after=st.integers(0, 4000),
    grace=st.integers(30, 120),
)
def test_whatever_is_reversed(first, years, after, grace):
    terms, ends = [], first
    for n in years:
        starts, ends = (
            ends + timedelta(days=1),
            rules.add_years(ends, n, anchor_month=first.month, anchor_day=first.day),
        )
        terms.append(Term(starts, ends))
    on = terms[0].starts + timedelta(days=after)
    if on > ends:
        return
    found = rules.reverse(
        terms, terms[-1], on=on, anchor_month=first.month, anchor_day=first.day, grace_days=grace,
        not_before=on + timedelta(days=90),
    )  # fmt: skip
    left = [*terms[:-1], Term(terms[-1].starts, terms[-1].ends, on)]
    assert found.expires_on == rules.expiry_of(left)
    assert terms[-2].ends <= found.expires_on <= terms[-1].ends
    assert found.expires_on >= on  # today's paid day is never taken away
    assert (found.delete_from - on).days >= 90
    assert (found.delete_from - found.expires_on).days > grace or (found.delete_from - on).days == 90
    assert rules.clamp(found.expires_on.year, found.anchor_month, found.anchor_day) == found.expires_on


STANDARD, PRO, BIG = Capacity(0, 1, 0), Capacity(1, 2, 3), Capacity(2, 5, 8)
TODAY = date(2026, 11, 25)
NOW, NEXT, THIRD = date(2027, 1, 1), date(2028, 1, 1), date(2029, 1, 1)


@pytest.mark.parametrize(
    ("in_force", "left", "expected"),
    [
        (PRO, [Paid(NOW, STANDARD)], CapacityChange(PRO, STANDARD, TODAY)),  # an upgrade goes, after the guard
        (STANDARD, [Paid(NOW, STANDARD)], CapacityChange(STANDARD, None, None)),
        (PRO, [Paid(NOW, PRO)], CapacityChange(PRO, None, None)),  # a smaller plan that waited is dropped
        (STANDARD, [Paid(NOW, PRO)], CapacityChange(PRO, None, None)),  # it had started: what was paid is back
        (PRO, [Paid(NOW, PRO), Paid(NEXT, STANDARD)], CapacityChange(PRO, STANDARD, date(2027, 1, 2))),
        # an earlier order's upgrade holds from its fulfilment, not from its term
        (PRO, [Paid(NOW, STANDARD), Paid(NEXT, PRO)], CapacityChange(PRO, None, None)),
        # what is in force stays until the term that is still to come begins
        (BIG, [Paid(NOW, PRO), Paid(NEXT, STANDARD)], CapacityChange(BIG, STANDARD, date(2027, 1, 2))),
        (BIG, [Paid(TODAY - timedelta(days=1), STANDARD)], CapacityChange(BIG, STANDARD, TODAY)),
        (BIG, [], CapacityChange(BIG, None, None)),
    ],
)
def test_space_after_a_reversal(in_force, left, expected):
    assert rules.capacity_after_reversal(in_force=in_force, left=left, today=TODAY) == expected
