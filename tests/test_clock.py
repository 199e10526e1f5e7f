"""The one clock: the calendar date in Rome, also on the night of 23 hours and on that of 25 (R13)."""

from datetime import UTC, date, datetime

import pytest
import time_machine

from mailboxes import rules
from pecportal import clock

LAST_INSTANTS = {  # the last second of a day in Rome, and the first of the next, in UTC
    "winter": (date(2027, 1, 31), datetime(2027, 1, 31, 22, 59, 59), datetime(2027, 1, 31, 23, 0, 0)),
    "summer": (date(2027, 7, 31), datetime(2027, 7, 31, 21, 59, 59), datetime(2027, 7, 31, 22, 0, 0)),
    "before the night of 23 hours": (date(2027, 3, 27), datetime(2027, 3, 27, 22, 59, 59), datetime(2027, 3, 27, 23)),
    "after the night of 23 hours": (date(2027, 3, 28), datetime(2027, 3, 28, 21, 59, 59), datetime(2027, 3, 28, 22)),
    "before the night of 25 hours": (
        date(2027, 10, 30),
        datetime(2027, 10, 30, 21, 59, 59),
        datetime(2027, 10, 30, 22),
    ),
    "after the night of 25 hours": (date(2027, 10, 31), datetime(2027, 10, 31, 22, 59, 59), datetime(2027, 10, 31, 23)),
}


@pytest.mark.parametrize(("expires_on", "last", "first"), LAST_INSTANTS.values(), ids=LAST_INSTANTS)
def test_a_box_is_attiva_through_the_last_second_of_its_day_in_rome(expires_on, last, first):
    delete_from = rules.deletion_day(expires_on, grace_days=90)

    def state(moment: datetime) -> rules.State:
        with time_machine.travel(moment.replace(tzinfo=UTC), tick=False):
            return rules.state(phase="live", expires_on=expires_on, delete_from=delete_from, today=clock.today())

    assert (state(last), state(first)) == (rules.State.ACTIVE, rules.State.EXPIRED)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2027, 3, 28, 0, 59, 59), date(2027, 3, 28)),  # 01:59:59, then 03:00:00
        (datetime(2027, 3, 28, 1, 0, 0), date(2027, 3, 28)),
        (datetime(2027, 10, 31, 0, 30, 0), date(2027, 10, 31)),  # 02:30 for the first time
        (datetime(2027, 10, 31, 1, 30, 0), date(2027, 10, 31)),  # 02:30 for the second
    ],
)
def test_the_hour_that_is_missing_or_comes_twice_changes_no_day(moment, day):
    assert clock.rome_date(moment.replace(tzinfo=UTC)) == day
