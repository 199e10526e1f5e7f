"""The mail servers' way into the database, made or mended."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError, connection

from mailboxes.platform import role


class Command(BaseCommand):
    help = (
        "Makes the PostgreSQL role of the mail servers (MAIL_DB_ROLE, MAIL_DB_PASSWORD), which reads the views of the "
        "schema mail and nothing else. Run it after the migrations, as often as you like; it sets the password anew."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("The mail servers read PostgreSQL: with SQLite there is no role to make.")
        if not settings.MAIL_DB_PASSWORD:
            raise CommandError("MAIL_DB_PASSWORD is not set: it is the password that the mail servers connect with.")
        try:
            role.ensure(settings.MAIL_DB_ROLE, settings.MAIL_DB_PASSWORD)
        except ValueError as error:
            raise CommandError(f"MAIL_DB_ROLE: {error}.") from error
        except ProgrammingError as error:
            raise CommandError(
                f"PostgreSQL refuses; DATABASE_URL must name a user who may make roles: {error}"
            ) from error
        self.stdout.write(f"The role {settings.MAIL_DB_ROLE} reads the views of the schema mail, and nothing else.")
