"""Prices: tables of cases, then properties (R26)."""

from datetime import date
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from renewals import pricing


@pytest.mark.parametrize(
    ("plan", "extra_mailbox", "extra_archive", "years", "net"),
    [
        ("9.90", 0, 0, 1, "9.90"),
        ("9.90", 1, 0, 1, "12.90"),
        ("9.90", 1, 0, 3, "38.70"),
        ("19.90", 0, 2, 1, "23.90"),
        ("29.90", 3, 4, 5, "234.50"),
    ],
)
def test_net_of_a_line(plan, extra_mailbox, extra_archive, years, net):
    line = pricing.line_price(
        plan_price=D(plan), mailbox_gb_price=D("3.00"), archive_gb_price=D("2.00"),
        extra_mailbox_gb=extra_mailbox, extra_archive_gb=extra_archive, years=years,
    )  # fmt: skip
    assert line.net == D(net)


@pytest.mark.parametrize(("years", "extra"), [(0, 0), (6, 0), (1, -1)])
def test_impossible_lines_are_refused(years, extra):
    with pytest.raises(ValueError):
        pricing.line_price(
            plan_price=D(1), mailbox_gb_price=D(1), archive_gb_price=D(1), extra_mailbox_gb=extra, extra_archive_gb=0,
            years=years,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("nets", "taxable", "vat", "total"),
    [
        (["9.90"], "9.90", "2.18", "12.08"),  # 9.90 × 1.22 = 12.078
        (["9.90"] * 200, "1980.00", "435.60", "2415.60"),  # VAT once on the sum, not 200 × 2.18 = 436.00
        (["0.25"], "0.25", "0.06", "0.31"),  # 0.055 rounds half-up
        (["0.01"], "0.01", "0.00", "0.01"),
        (["19.90", "9.90"], "29.80", "6.56", "36.36"),
    ],
)
def test_vat_once_on_the_sum_half_up(nets, taxable, vat, total):
    result = pricing.totals([D(n) for n in nets], D("0.22"))
    assert (result.taxable, result.vat, result.total) == (D(taxable), D(vat), D(total))


@pytest.mark.parametrize(
    ("total", "rate", "taxable", "vat"),
    [("12.08", "0.22", "9.90", "2.18"), ("12.08", "0.25", "9.66", "2.42"), ("0.01", "0.22", "0.01", "0.00")],
)
def test_the_total_stays_when_the_rate_changes(total, rate, taxable, vat):
    result = pricing.resplit(D(total), D(rate))
    assert (result.taxable, result.vat, result.total) == (D(taxable), D(vat), D(total))


@pytest.mark.parametrize(
    ("today", "expires_on", "months"),
    [
        (date(2026, 11, 22), date(2026, 11, 22), 1),  # the last day is a part-month
        (date(2026, 11, 22), date(2026, 12, 21), 1),
        (date(2026, 11, 22), date(2026, 12, 22), 2),
        (date(2026, 11, 22), date(2027, 11, 21), 12),
        (date(2024, 2, 29), date(2025, 2, 28), 12),
    ],
)
def test_months_left_count_part_months_up(today, expires_on, months):
    assert pricing.months_left(today, expires_on) == months


def test_space_for_some_months_is_rounded_once():
    assert pricing.space_net(extra_gb=3, price_a_year=D("3.00"), months=7) == D("5.25")
    assert pricing.space_net(extra_gb=1, price_a_year=D("2.00"), months=1) == D("0.17")


money = st.decimals(min_value="0.01", max_value="9999", places=2)
rates = st.decimals(min_value="0", max_value="0.30", places=2)


@given(nets=st.lists(money, min_size=1, max_size=200), rate=rates)
def test_totals_add_up_and_vat_is_within_half_a_cent(nets, rate):
    result = pricing.totals(nets, rate)
    assert result.taxable == sum(nets)
    assert result.total == result.taxable + result.vat
    assert abs(result.vat - result.taxable * rate) <= D("0.005")


@given(total=money, rate=rates)
def test_resplit_never_moves_the_total(total, rate):
    result = pricing.resplit(total, rate)
    assert result.total == total == result.taxable + result.vat
    assert abs(result.taxable * (1 + rate) - total) <= D("0.0066")


@given(plan=money, gb=money, extra=st.integers(0, 100), years=st.integers(1, 5))
def test_five_years_cost_what_one_year_costs_five_times(plan, gb, extra, years):
    def net(n: int) -> D:
        return pricing.line_price(
            plan_price=plan, mailbox_gb_price=gb, archive_gb_price=gb, extra_mailbox_gb=extra, extra_archive_gb=extra,
            years=n,
        ).net  # fmt: skip

    assert net(years) == years * net(1)
