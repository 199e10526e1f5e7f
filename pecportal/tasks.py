"""The mail queue's worker, and what is forgotten in time."""

from celery import shared_task
from django.db import connection

from pecportal import relay, tidying

MAIL_LOCK = 7053001  # any constant of ours, for pg_try_advisory_lock


@shared_task
def send_mail() -> int:
    """Send what is queued, one worker at a time; returns how many mails the relay accepted.

    post_office's sender claims no row, so two at once would send twice: on PostgreSQL an advisory lock of the session
    keeps the second away. The embedded set-up has one worker.
    """
    if connection.vendor != "postgresql":
        return relay.send_queue()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [MAIL_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        try:
            return relay.send_queue()
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MAIL_LOCK])


@shared_task
def forget() -> None:
    """Mails long since sent, sessions that ended."""
    tidying.forget_mails()
    tidying.forget_sessions()
