"""Which days are owed, and from when (R7, R13, R28)."""

from datetime import date, timedelta

import pytest

from lifecycle import rules

TODAY = date(2026, 11, 22)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.mark.parametrize(
    ("first", "finished", "owed"),
    [
        (None, [], [0]),  # a new installation has missed nothing
        (0, [], [0]),
        (0, [0], [0]),  # today again: what was left at midnight
        (1, [1], [0]),
        (1, [], [1, 0]),  # yesterday was killed half-way
        (4, [4, 3], [2, 1, 0]),  # two days without a worker
        (4, [4, 2, 1], [3, 0]),  # a hole in the middle
        (400, [400, *range(1, 31)], [31, 0]),  # no further back than 31 days
        (400, [400], [*range(31, -1, -1)]),
    ],
)
def test_days_to_run(first, finished, owed):
    found = rules.days_to_run(
        first=None if first is None else ago(first), finished={ago(n) for n in finished}, today=TODAY
    )
    assert found == [ago(n) for n in owed]


@pytest.mark.parametrize(
    ("expires_on", "first_day"),
    [
        (date(2027, 2, 28), date(2027, 3, 1)),  # a clamped 29 February
        (date(2028, 2, 29), date(2028, 3, 1)),
        (date(2026, 12, 31), date(2027, 1, 1)),
    ],
)
def test_scaduta_from(expires_on, first_day):
    assert rules.scaduta_from(expires_on) == first_day


@pytest.mark.parametrize(("days", "stuck"), [(0, False), (29, False), (30, True), (31, True)])
def test_is_stuck(days, stuck):
    assert rules.is_stuck(refused_on=ago(days), day=TODAY) is stuck
