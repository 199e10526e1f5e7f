"""What is over is forgotten: mails long since sent, sessions that ended. They hold personal data, and only grow."""

import time
from datetime import timedelta
from importlib import import_module

from django.conf import settings
from post_office.models import STATUS, Email

from pecportal import clock

BATCH = 1000
LONGEST = 200  # seconds; the next day's run goes on


def forget_mails() -> int:
    """Delete mails that were sent or given up and are older than MAIL_KEEP_DAYS; returns how many (R33).

    One that still waits stays, however old. What became of a notice is written in its letter, which stays too.
    """
    over = Email.objects.filter(
        created__lt=clock.now() - timedelta(days=settings.MAIL_KEEP_DAYS), status__in=[STATUS.sent, STATUS.failed]
    )
    began, forgotten = time.monotonic(), 0
    while time.monotonic() - began < LONGEST:
        batch = list(over.order_by("created").values_list("pk", flat=True)[:BATCH])
        if not batch:
            break
        Email.objects.filter(pk__in=batch).delete()
        forgotten += len(batch)
    return forgotten


def forget_sessions() -> None:
    """Delete the sessions that ended; with what was typed in an abandoned wizard."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
