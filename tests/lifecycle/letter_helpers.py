"""What the tests of letters have in common."""

from datetime import UTC, date, datetime

import time_machine
from post_office.models import Email

from lifecycle.models import Letter, Notice


def at(day: date, hour: int = 12, minute: int = 0):
    """A clock that stands at an hour (UTC) of a day."""
    return time_machine.travel(datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC), tick=False)


def states() -> dict[str, str]:
    """The newest letter of each address, and its state."""
    return dict(Letter.objects.order_by("pk").values_list("to", "state"))


def noticed() -> list[tuple[str, int, str]]:
    rows = Notice.objects.order_by("box__address__name", "kind")
    return list(rows.values_list("box__address__name", "kind", "state"))


def queued() -> list[tuple[str, str]]:
    """What lies in the queue: to whom, and the subject."""
    return [(mail.to[0], mail.subject) for mail in Email.objects.order_by("id")]
