"""The days of an automatic charge, as tables (R24, R25)."""

from datetime import date

import pytest

from payments import charge_days

E = date(2027, 3, 1)


@pytest.mark.parametrize(
    ("expiry", "charge", "notice", "again"),
    [
        (date(2027, 3, 1), date(2027, 2, 22), date(2027, 1, 30), date(2027, 2, 14)),
        (date(2028, 3, 1), date(2028, 2, 23), date(2028, 1, 31), date(2028, 2, 15)),  # 29 February between
        (date(2027, 1, 5), date(2026, 12, 29), date(2026, 12, 6), date(2026, 12, 21)),
        (date(2027, 4, 2), date(2027, 3, 26), date(2027, 3, 3), date(2027, 3, 18)),  # the clocks go forward on 28 March
    ],
)
def test_the_days_of_a_cycle(expiry, charge, notice, again):
    assert charge_days.charge_day(expiry) == charge
    assert charge_days.notice_day(expiry) == notice
    assert charge_days.ask_again_day(expiry) == again


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (date(2027, 2, 21), date(2027, 2, 22)),
        (date(2027, 2, 22), date(2027, 2, 24)),  # E−7 → E−5
        (date(2027, 2, 23), date(2027, 2, 24)),
        (date(2027, 2, 24), date(2027, 2, 26)),  # → E−3
        (date(2027, 2, 26), date(2027, 2, 28)),  # → E−1
        (date(2027, 2, 28), date(2027, 3, 1)),  # → E
        (date(2027, 3, 1), None),  # on E it is over
        (date(2027, 3, 2), None),
    ],
)
def test_the_declared_schedule_of_retries_ends_at_e(after, expected):
    assert charge_days.next_try(E, after=after) == expected


@pytest.mark.parametrize(
    ("announced", "today", "expected"),
    [
        (None, date(2027, 1, 1), date(2027, 2, 22)),
        (None, date(2027, 2, 22), date(2027, 2, 23)),  # announced today, it comes tomorrow
        (None, date(2027, 2, 28), date(2027, 3, 1)),
        (None, date(2027, 3, 1), None),
        (date(2027, 2, 22), date(2027, 2, 22), date(2027, 2, 22)),
        (date(2027, 2, 22), date(2027, 2, 23), date(2027, 2, 23)),  # the job is late
        (date(2027, 3, 1), date(2027, 2, 23), date(2027, 3, 1)),
    ],
)
def test_the_day_named_of_a_charge_to_come_is_the_one_on_which_it_is_made(announced, today, expected):
    assert charge_days.coming_day(E, announced=announced, today=today) == expected


def test_an_installation_may_declare_another_schedule(settings):
    settings.CHARGE_RETRY_DAYS = [2]
    assert charge_days.next_try(E, after=date(2027, 2, 22)) == date(2027, 2, 27)
    assert charge_days.next_try(E, after=date(2027, 2, 27)) is None
    settings.CHARGE_RETRY_DAYS = []
    assert charge_days.next_try(E, after=date(2027, 2, 22)) is None


@pytest.mark.parametrize(
    ("told_on", "in_time"), [(date(2027, 1, 29), True), (date(2027, 1, 30), True), (date(2027, 1, 31), False)]
)
def test_thirty_days_before_is_in_time_and_twenty_nine_is_not(told_on, in_time):
    assert charge_days.in_time(E, told_on=told_on) is in_time
