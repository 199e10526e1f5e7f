"""The one clock. Every date of the product is a calendar date in Europe/Rome (R13)."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.utils import timezone

ROME = ZoneInfo("Europe/Rome")


def now() -> datetime:
    """This moment, aware, in UTC."""
    return timezone.now()


def today() -> date:
    """Today's calendar date in Rome: at 23:30 UTC it is already tomorrow there."""
    return rome_date(now())


def rome_date(moment: datetime) -> date:
    """The calendar date in Rome at an aware `moment`."""
    return moment.astimezone(ROME).date()
