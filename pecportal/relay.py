"""Sending the mail queue: batch by batch, never a word that is no longer true, never giving up on an outage.

post_office keeps the queue and speaks SMTP, but to it every failure is alike. Here they differ: a relay that takes
nothing at all costs no mail a try; what is put off comes again later and later, for days; an address that does not
exist is not tried twice.
"""

import ast
import logging
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.backends.smtp import EmailBackend
from django.dispatch import Signal
from post_office.mail import get_queued, send_queued
from post_office.models import STATUS, Email, Log

from pecportal import clock

log = logging.getLogger(__name__)
SECONDS = 200  # a run's time; with a last batch of at most 60 it ends before the worker's hard limit
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=5), timedelta(hours=2)

# Before each batch, while nobody else sends: whoever wrote a mail that is no longer true takes it back now.
before_batch = Signal()
# After a run: what became of the mails can be read. `down`: why the relay took none at all, or "".
after_run = Signal()


def send_queue(*, seconds: float = SECONDS) -> int:
    """Send what is due, at most for `seconds`; returns how many mails the relay accepted. One caller at a time.

    Ends early when the relay takes nothing: it is asked again a minute later, not hammered.
    """
    stop_at, total, down = time.monotonic() + seconds, 0, ""
    while time.monotonic() < stop_at:
        before_batch.send(sender=None)
        if not get_queued().exists():
            break
        if down := silent():
            log.error("mail queue: the relay does not answer: %s", down)
            break
        began = clock.now()
        sent, failed, requeued = send_queued(processes=1)
        total += sent
        if failed or requeued:
            refused = _sort_failures(began)
            log.warning("mail queue: sent=%s put_off=%s refused=%s", sent, requeued - refused, failed + refused)
            if not sent and not refused:
                break
    after_run.send(sender=None, down=down)
    return total


def silent() -> str:
    """The kind of error with which the relay fails to open a session, "" when it opens one (files always do)."""
    backend = get_connection(settings.POST_OFFICE["BACKENDS"]["default"])
    if not isinstance(backend, EmailBackend):
        return ""
    try:
        backend.open()
    except OSError as error:  # every error of smtplib is one: refused, timed out, no TLS, wrong password
        return type(error).__name__
    finally:
        backend.close()
    return ""


def _sort_failures(since: datetime) -> int:
    """Of what failed since a moment: give up what is final, put off the rest; returns how many are final."""
    failed = {mail.pk: mail for mail in Email.objects.filter(status=STATUS.requeued, last_updated__gte=since)}
    final = {pk for pk, why in failures(failed).items() if why.is_final}
    Email.objects.filter(pk__in=final).update(status=STATUS.failed, scheduled_time=None)
    waiting = [mail for pk, mail in failed.items() if pk not in final]
    for mail in waiting:
        mail.scheduled_time = mail.last_updated + wait(mail.number_of_retries or 1)
    Email.objects.bulk_update(waiting, ["scheduled_time"], batch_size=500)
    return len(final)


def wait(tries: int) -> timedelta:
    """How long a mail waits after it was put off for the n-th time: 5 minutes, doubled up to 2 hours."""
    return min(FIRST_WAIT * 2 ** min(tries - 1, 10), LONGEST_WAIT)


@dataclass(frozen=True)
class Failure:
    """Why a mail did not leave: the kind of error, and what the relay said where it said something."""

    kind: str
    code: int | None
    words: str

    def __str__(self) -> str:
        return f"{self.code} {self.words}" if self.code else f"{self.kind}: {self.words}"

    @property
    def is_final(self) -> bool:
        """Whether the recipient does not exist or takes no mail: no later try can help.

        Only then. Another 5xx is about the sender, the message or the relay's own rules (5.7.1, "relay access denied"):
        somebody sets it right, and until then a day's notices must not be burnt. Codes: RFC 3463, RFC 5321.
        """
        if self.kind != "SMTPRecipientsRefused" or self.code is None or self.code < 500:
            return False
        enhanced = re.match(r"5\.(\d{1,3})\.(\d{1,3})\b", self.words)
        if enhanced is None:
            return self.code in (550, 551, 553)
        return enhanced[1] in ("1", "2") and enhanced.groups() not in (("1", "7"), ("1", "8"))  # the sender's address


def failures(mails: Iterable[int]) -> dict[int, Failure]:
    """The last failure of each mail that ever failed. One query."""
    found = Log.objects.filter(email__in=list(mails), status=STATUS.failed).order_by("id")
    return {entry.email_id: failure(entry.exception_type, entry.message) for entry in found}


def failure(kind: str, text: str) -> Failure:
    """Read an error of smtplib as post_office wrote it: {"address": (550, b"words")}, (554, b"words"), or words."""
    try:
        found = ast.literal_eval(text)
        code, words = next(iter(found.values())) if isinstance(found, dict) else found[:2]
        return Failure(kind, int(code), " ".join(words.decode("utf-8", "replace").split()))
    except (ValueError, SyntaxError, TypeError, AttributeError, StopIteration, MemoryError, RecursionError):
        return Failure(kind, None, " ".join(text.split()))
