"""The mail queue's worker."""

import logging

from celery import shared_task
from django.db import connection
from post_office.mail import get_queued, send_queued

log = logging.getLogger(__name__)
MAIL_LOCK = 7053001  # any constant of ours, for pg_try_advisory_lock


@shared_task
def send_mail() -> int:
    """Send what is queued, one worker at a time; returns how many mails the relay accepted.

    post_office's sender claims no row, so two at once would send twice: on PostgreSQL an advisory lock of the session
    keeps the second away. The embedded set-up has one worker.
    """
    if connection.vendor != "postgresql":
        return send_queued_until_empty()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [MAIL_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        try:
            return send_queued_until_empty()
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MAIL_LOCK])


def send_queued_until_empty() -> int:
    total = 0
    while get_queued().exists():
        sent, failed, requeued = send_queued(processes=1)
        total += sent
        if failed or requeued:
            log.warning("mail queue: sent=%s failed=%s requeued=%s", sent, failed, requeued)
            break
    return total
