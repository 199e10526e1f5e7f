"""The end of a mail server's pipe: one mail to the PEC that SdI answers to, from standard input."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from payments.invoicing import answers
from payments.invoicing.mailed import receipts_in

MOST = 20_000_000  # bytes of a mail
DATA_ERROR, TEMPORARY = 65, 75  # sysexits.h, which mail servers understand: malformed, try again later


class Command(BaseCommand):
    help = (
        "Reads one mail from standard input, as a mail server pipes it, and takes SdI's receipts out of it. Other mail "
        "is left alone. Ends with 65 when it cannot be read, 75 to be called again."
    )
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        raw = sys.stdin.buffer.read(MOST + 1)
        if len(raw) > MOST:
            raise CommandError("The mail is larger than 20 MB: it was not read.", returncode=DATA_ERROR)
        try:
            found = receipts_in(raw)
        except (ValueError, LookupError, TypeError) as error:
            raise CommandError("The mail is malformed and cannot be read.", returncode=DATA_ERROR) from error
        try:
            for attached in found:
                answers.take(name=attached.name, content=attached.content)
        except DatabaseError as error:
            raise CommandError("The database does not answer: try again later.", returncode=TEMPORARY) from error
        self.stdout.write(f"Receipts of SdI: {len(found)}.")
