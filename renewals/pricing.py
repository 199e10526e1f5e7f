"""The one road for prices: pure functions on Decimal EUR, no query, no clock (R26)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    """Rounded half-up to the cent."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class LinePrice:
    """Net prices a year of one line and what it costs for its term, EUR."""

    base_price: Decimal
    billed_mailbox_gb: int
    mailbox_gb_price: Decimal
    billed_archive_gb: int
    archive_gb_price: Decimal
    net: Decimal


def line_price(
    *,
    plan_price: Decimal,
    mailbox_gb_price: Decimal,
    archive_gb_price: Decimal,
    extra_mailbox_gb: int,
    extra_archive_gb: int,
    years: int,
) -> LinePrice:
    """Net of a renewal line: years × (plan + each GB above the plan's base). All GB above base are charged (§4).

    Raises ValueError on a term outside 1–5 years or negative GB.
    """
    if not 1 <= years <= 5:
        raise ValueError(f"years must be 1 to 5, not {years}")
    if extra_mailbox_gb < 0 or extra_archive_gb < 0:
        raise ValueError("GB cannot be negative")
    a_year = plan_price + extra_mailbox_gb * mailbox_gb_price + extra_archive_gb * archive_gb_price
    return LinePrice(
        base_price=plan_price,
        billed_mailbox_gb=extra_mailbox_gb,
        mailbox_gb_price=mailbox_gb_price,
        billed_archive_gb=extra_archive_gb,
        archive_gb_price=archive_gb_price,
        net=cents(years * a_year),
    )


def yearly_net(price_a_year: Decimal, years: int) -> Decimal:
    """Net of a line of a domain's renewal: years × the price of the domain, or of one of its boxes (R17).

    Raises ValueError on a term outside 1–5 years.
    """
    if not 1 <= years <= 5:
        raise ValueError(f"years must be 1 to 5, not {years}")
    return cents(years * price_a_year)


@dataclass(frozen=True)
class Totals:
    """What an order costs, EUR: VAT once on the taxable sum (R26)."""

    vat_rate: Decimal
    taxable: Decimal
    vat: Decimal
    total: Decimal


def totals(nets: Iterable[Decimal], vat_rate: Decimal) -> Totals:
    """Sum the nets, VAT once on the sum, half-up."""
    taxable = cents(sum(nets, Decimal(0)))
    vat = cents(taxable * vat_rate)
    return Totals(vat_rate=vat_rate, taxable=taxable, vat=vat, total=taxable + vat)


def resplit(total: Decimal, vat_rate: Decimal) -> Totals:
    """The same total at another rate: taxable = total / (1 + rate) half-up, VAT by difference (§4)."""
    taxable = cents(total / (1 + vat_rate))
    return Totals(vat_rate=vat_rate, taxable=taxable, vat=total - taxable, total=total)


def months_left(today: date, expires_on: date) -> int:
    """Months from today through the expiry, part-months up, at least one: what space bought now is charged for."""
    if today > expires_on:
        raise ValueError("no months are left after the expiry")
    months = (expires_on.year - today.year) * 12 + expires_on.month - today.month
    return max(1, months + (1 if expires_on.day >= today.day else 0))


def space_net(*, extra_gb: int, price_a_year: Decimal, months: int) -> Decimal:
    """Net of more GB for some months: a twelfth of the yearly price a month, rounded once."""
    return cents(extra_gb * price_a_year * months / 12)
