"""The one clock. Every date of the product is a calendar date in Europe/Rome (R13)."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone

ROME = ZoneInfo("Europe/Rome")
MOST_APART = timedelta(minutes=15)  # this machine's clock and that of the database's server


def now() -> datetime:
    """This moment, aware, in UTC."""
    return timezone.now()


def today() -> date:
    """Today's calendar date in Rome: at 23:30 UTC it is already tomorrow there."""
    return rome_date(now())


def rome_date(moment: datetime) -> date:
    """The calendar date in Rome at an aware `moment`."""
    return moment.astimezone(ROME).date()


def database_clock() -> datetime | None:
    """The moment by the clock of the database's server; None where that is this machine's (SQLite)."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def are_apart(ours: datetime, theirs: datetime) -> bool:
    """Whether two clocks differ by more than what is no matter: one of them is wrong."""
    return abs(theirs - ours) > MOST_APART
