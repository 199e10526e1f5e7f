"""The days of an automatic charge: pure functions, no clock, no query (R24, R25). Calendar dates in Rome."""

from datetime import date, timedelta

from django.conf import settings

LAW_DAYS = 30  # art. 65-bis of the consumer code: the notice goes thirty days before the expiry
ASK_AGAIN_DAYS = 15  # R24: consent to a higher amount is asked again


def charge_day(expires_on: date) -> date:
    """The day of the automatic charge: E − 7 (R24)."""
    return expires_on - timedelta(days=settings.CHARGE_DAYS_BEFORE)


def charge_day_from(expires_on: date, *, today: date) -> date | None:
    """The next charge when switched on today: E−7, after that the next day, at the latest E; None on E (R24)."""
    day = max(charge_day(expires_on), today + timedelta(days=1))
    return day if day <= expires_on else None


def coming_day(expires_on: date, *, announced: date | None, today: date) -> date | None:
    """The day to name of the next charge. `announced`: its day if it was, today once that is past (the job is late).

    Announced today or later it comes the next day at the earliest; None where there is none left (R24).
    """
    return max(announced, today) if announced else charge_day_from(expires_on, today=today)


def notice_day(expires_on: date) -> date:
    """The first day on which the charge is announced: E − 30 (R25)."""
    return expires_on - timedelta(days=settings.AUTO_NOTICE_DAYS)


def in_time(expires_on: date, *, told_on: date) -> bool:
    """Whether a notice sent on `told_on` is one the law counts (R25)."""
    return (expires_on - told_on).days >= LAW_DAYS


def ask_again_day(expires_on: date) -> date:
    """E − 15: consent to a higher amount is asked a second time (R24)."""
    return expires_on - timedelta(days=ASK_AGAIN_DAYS)


def next_try(expires_on: date, *, after: date) -> date | None:
    """The next day of the declared schedule after a day on which the charge was refused; None when none is left."""
    days = sorted(expires_on - timedelta(days=before) for before in settings.CHARGE_RETRY_DAYS)
    return next((day for day in days if after < day <= expires_on), None)
