"""The end of a mail server's pipe: one delivery report from standard input, written down beside its letter."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from lifecycle.letters import Bounce, record_bounce
from lifecycle.letters.reports import NotAReportError, read

MOST = 5_000_000  # bytes: a report may hold the whole mail
# sysexits.h, which mail servers understand: malformed, unknown, try again later.
DATA_ERROR, NO_INPUT, TEMPORARY = 65, 66, 75
SAID = {
    Bounce.BOUNCED: "The letter came back: it counts as not delivered.",
    Bounce.DEFERRED: "The letter is late: it counts as not delivered yet.",
    Bounce.NOTHING: "Nothing to do: the report says nothing new of its letter.",
}


class Command(BaseCommand):
    help = (
        "Reads one delivery report (RFC 3464) from standard input, as a mail server pipes it, and writes down what "
        "became of the letter. Ends with 65 when it is none, 66 when no letter of ours is meant, 75 to be called again."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        raw = sys.stdin.buffer.read(MOST + 1)
        if len(raw) > MOST:
            raise CommandError("The report is larger than 5 MB: it was not read.", returncode=DATA_ERROR)
        try:
            report = read(raw)
        except NotAReportError as error:
            raise CommandError(str(error), returncode=DATA_ERROR) from error
        except (ValueError, LookupError, TypeError) as error:  # headers that no parser understands
            raise CommandError("The report is malformed and cannot be read.", returncode=DATA_ERROR) from error
        try:
            done = record_bounce(report)
        except DatabaseError as error:
            raise CommandError("The database does not answer: try again later.", returncode=TEMPORARY) from error
        if done is Bounce.UNKNOWN:
            raise CommandError("No letter has the Message-ID that the report names.", returncode=NO_INPUT)
        self.stdout.write(SAID[done])
