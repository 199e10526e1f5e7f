"""Dates and space: tables of cases, then properties (R7, R13–R16)."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes import rules
from mailboxes.rules import GB, Capacity, Fit, PlanLimits, State

E = date(2027, 1, 1)
D = date(2027, 4, 2)  # E + 91


@pytest.mark.parametrize(
    ("expires_on", "years", "expected"),
    [
        (date(2026, 12, 31), 1, date(2027, 12, 31)),
        (date(2026, 11, 22), 5, date(2031, 11, 22)),
        (date(2027, 1, 31), 2, date(2029, 1, 31)),
        (date(2024, 2, 29), 1, date(2025, 2, 28)),
        (date(2024, 2, 29), 4, date(2028, 2, 29)),
        (date(2025, 2, 28), 3, date(2028, 2, 29)),  # anchored on the 29th: it is the 29th again in a leap year
    ],
)
def test_new_expiry(expires_on, years, expected):
    day = 29 if (expires_on.month, expected.month) == (2, 2) else expires_on.day
    assert rules.add_years(expires_on, years, anchor_month=expires_on.month, anchor_day=day) == expected


def test_a_box_born_on_29_february_over_twelve_years_with_mixed_terms():
    expires_on, seen = date(2024, 2, 29), []
    for years in (1, 2, 1, 5, 3):
        expires_on = rules.add_years(expires_on, years, anchor_month=2, anchor_day=29)
        seen.append(expires_on)
    assert seen == [date(2025, 2, 28), date(2027, 2, 28), date(2028, 2, 29), date(2033, 2, 28), date(2036, 2, 29)]


def test_a_box_anchored_on_28_february_never_moves_to_the_29th():
    assert rules.add_years(date(2027, 2, 28), 1, anchor_month=2, anchor_day=28) == date(2028, 2, 28)


@pytest.mark.parametrize("years", [-1, 0, 6, 100])
def test_years_outside_one_to_five_are_refused(years):
    with pytest.raises(ValueError, match="years"):
        rules.add_years(E, years, anchor_month=1, anchor_day=1)


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (E - timedelta(days=400), State.ACTIVE),
        (E, State.ACTIVE),
        (E + timedelta(days=1), State.EXPIRED),
        (E + timedelta(days=90), State.EXPIRED),
        (E + timedelta(days=91), State.AWAITING_DELETION),
        (E + timedelta(days=900), State.AWAITING_DELETION),
    ],
)
def test_state_is_derived_from_the_two_columns(today, expected):
    assert rules.state(phase="live", expires_on=E, delete_from=D, today=today) == expected


@pytest.mark.parametrize(
    ("phase", "expected"),
    [("activating", State.ACTIVATING), ("deleting", State.DELETING), ("deleted", State.DELETED)],
)
def test_recorded_phases_win_over_dates(phase, expected):
    assert rules.state(phase=phase, expires_on=E, delete_from=D, today=E) == expected


def test_a_live_box_without_dates_is_an_error():
    with pytest.raises(ValueError, match="both dates"):
        rules.state(phase="live", expires_on=None, delete_from=None, today=E)


def test_deletion_starts_on_the_91st_day_and_never_moves_earlier():
    assert rules.deletion_day(E, grace_days=90) == E + timedelta(days=91)
    assert rules.deletion_day(E, grace_days=30, not_before=D) == D
    assert rules.last_renewable_day(D) == E + timedelta(days=90)


STANDARD = PlanLimits(rank=1, base_mailbox_gb=1, max_mailbox_gb=2, base_archive_gb=0, max_archive_gb=0)
PRO = PlanLimits(rank=2, base_mailbox_gb=2, max_mailbox_gb=50, base_archive_gb=3, max_archive_gb=100)


@pytest.mark.parametrize(
    ("limits", "mailbox_gb", "archive_gb", "mailbox_used", "archive_used", "drop", "expected"),
    [
        (STANDARD, 1, 0, GB, 0, False, rules.FitResult(Fit.FITS)),
        (STANDARD, 1, 0, GB + 1, 0, False, rules.FitResult(Fit.FITS_WITH_MORE, needed_mailbox_gb=2)),
        (STANDARD, 1, 0, 2 * GB + 5, 0, True, rules.FitResult(Fit.TOO_FULL, free_mailbox_bytes=5)),
        (STANDARD, 1, 0, GB, 9 * GB, True, rules.FitResult(Fit.FITS)),  # the archive goes: it does not count
        (PRO, 2, 3, 2 * GB, 8 * GB, False,
         rules.FitResult(Fit.FITS_WITH_MORE, needed_mailbox_gb=2, needed_archive_gb=8)),
        (PRO, 2, 3, 51 * GB, 3 * GB, False, rules.FitResult(Fit.TOO_FULL, free_mailbox_bytes=GB)),
    ],
)  # fmt: skip
def test_what_is_used_fits_or_not(limits, mailbox_gb, archive_gb, mailbox_used, archive_used, drop, expected):
    result = rules.fits(
        limits=limits, mailbox_gb=mailbox_gb, archive_gb=archive_gb, mailbox_used=mailbox_used,
        archive_used=archive_used, drop_archive=drop,
    )  # fmt: skip
    assert result == expected


def cap(rank: int, mailbox: int, archive: int) -> Capacity:
    return Capacity(rank, mailbox, archive)


NEXT = E + timedelta(days=1)


@pytest.mark.parametrize(
    ("current", "ordered", "today", "waiting", "expected"),
    [
        (cap(1, 1, 0), cap(1, 1, 0), E, None, (cap(1, 1, 0), None, None)),  # the same again
        (cap(1, 1, 0), cap(2, 2, 3), E, None, (cap(2, 2, 3), None, None)),  # an upgrade starts at once
        (cap(3, 2, 8), cap(1, 1, 0), E, None, (cap(3, 2, 8), cap(1, 1, 0), NEXT)),  # a downgrade on E+1
        (cap(2, 5, 3), cap(3, 2, 8), E, None, (cap(3, 5, 8), cap(3, 2, 8), NEXT)),  # more here, less there
        (cap(3, 2, 8), cap(1, 1, 0), E + timedelta(9), None, (cap(3, 2, 8), cap(1, 1, 0), E + timedelta(9))),  # Scaduta
        (cap(3, 2, 8), cap(2, 2, 3), E, cap(1, 1, 0), (cap(3, 2, 8), cap(2, 2, 3), NEXT)),  # raises what waits
        (cap(3, 2, 8), cap(1, 1, 0), E, cap(2, 2, 3), (cap(3, 2, 8), cap(2, 2, 3), NEXT)),  # does not lower it
        (cap(3, 2, 8), cap(3, 2, 8), E, cap(1, 1, 0), (cap(3, 2, 8), None, None)),  # takes the downgrade back
    ],
)
def test_capacity_after_fulfilment(current, ordered, today, waiting, expected):
    result = rules.change(
        current=current, ordered=ordered, old_expiry=E, today=today, waiting=waiting,
        waiting_on=NEXT if waiting else None,
    )  # fmt: skip
    assert (result.now, result.later, result.change_on) == expected


dates = st.dates(min_value=date(2000, 1, 1), max_value=date(2090, 12, 31))
terms = st.lists(st.integers(1, 5), min_size=1, max_size=8)
capacities = st.builds(Capacity, st.integers(0, 3), st.integers(1, 60), st.integers(0, 60))


@given(start=dates, years=terms)
def test_any_mix_of_terms_ends_where_one_sum_would(start, years):
    expires_on = start
    for term in years:
        expires_on = rules.add_years(expires_on, term, anchor_month=start.month, anchor_day=start.day)
    assert expires_on == rules.clamp(start.year + sum(years), start.month, start.day)


@given(start=dates, years=st.integers(1, 5))
def test_a_renewal_always_lengthens_by_whole_years(start, years):
    new = rules.add_years(start, years, anchor_month=start.month, anchor_day=start.day)
    assert new.year - start.year == years
    assert new.month == start.month
    assert start.day - new.day in ((0, 1) if (start.month, start.day) == (2, 29) else (0,))


@given(expires_on=dates, offset=st.integers(-1000, 1000))
def test_every_day_has_exactly_one_state(expires_on, offset):
    delete_from = rules.deletion_day(expires_on, grace_days=90)
    state = rules.state(
        phase="live", expires_on=expires_on, delete_from=delete_from, today=expires_on + timedelta(days=offset)
    )
    assert state == (State.ACTIVE if offset <= 0 else State.EXPIRED if offset <= 90 else State.AWAITING_DELETION)


@given(current=capacities, ordered=capacities, early=st.integers(-40, 40))
def test_nothing_paid_for_is_lost_before_its_end(current, ordered, early):
    result = rules.change(current=current, ordered=ordered, old_expiry=E, today=E + timedelta(days=early))
    assert result.now.covers(current)
    assert result.now.covers(ordered)
    assert (result.later or result.now) == ordered
    if result.change_on is not None:
        assert result.change_on == max(NEXT, E + timedelta(days=early))
