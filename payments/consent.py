"""The next automatic charge, as it is said beside a method before paying (R23): pure, no query, no clock."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from payments.auto_renewal import charge_day_from
from renewals.flows import Quote


@dataclass(frozen=True)
class NextCharge:
    """What templates/payments/_auto_renewal_consent.html says: day, amount (EUR, VAT included), years."""

    charge_on: date
    amount: Decimal
    years: int


def next_charge(*, new_expiry: date, amount: Decimal, years: int, today: date) -> NextCharge | None:
    """The charge that follows a renewal ending on `new_expiry` that cost `amount`; None when too late for one (R24).

    The amount of the renewal now paid is what the consent records: at E−30 the price of that day is compared with it.
    """
    day = charge_day_from(new_expiry, today=today)
    return NextCharge(charge_on=day, amount=amount, years=years) if day else None


def next_charge_of(quote: Quote, *, today: date) -> NextCharge | None:
    """The same for a renewal that the wizard has just priced."""
    return next_charge(new_expiry=quote.new_expiry, amount=quote.totals.total, years=quote.years, today=today)
