"""The seam to the mail system: what pecportal asks of it, and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from accounts.models import User


@dataclass(frozen=True)
class Usage:
    """Space used, in bytes, and when it was measured."""

    mailbox_bytes: int
    archive_bytes: int
    measured_at: datetime | None


class UnknownBoxError(LookupError):
    """The mail system does not know the address: there is nothing of it left to purge."""


class Platform(Protocol):
    """A mail system. Every method may be called twice with the same arguments and ends in the same state."""

    def check_password(self, login: User, raw: str) -> bool:
        """Whether `raw` opens the box of `login` (a mailbox login); constant time, also for an unknown one."""

    def set_password(self, login: User, raw: str) -> None:
        """Make `raw` the password of the box and of its login: it is one hash, `User.password`."""

    def usage(self, addresses: Iterable[str]) -> dict[str, Usage]:
        """Space used by each address, one call for many. An address the system does not know is left out."""

    def apply_state(self, address: str, state: str) -> None:
        """Tell the state of the box (mailboxes.rules.State), so that it sends, receives and opens accordingly.

        The states of a box that is being deleted, or was, never make the mail system know it anew.
        """

    def set_capacity(self, address: str, *, mailbox_gb: int, archive_gb: int) -> None:
        """Set both spaces; an archive of 0 GB is removed with its messages (R7)."""

    def open(self, address: str, *, mailbox_gb: int, archive_gb: int) -> bool:
        """Make an empty box that nobody can use yet. True when it is confirmed there, False while it is being made.

        Of one that is there already nothing changes.
        """

    def purge(self, address: str) -> bool:
        """Delete all content. True when it is confirmed gone (also when it was gone already); False: not yet.

        May raise UnknownBoxError for what was gone already, anything else while it is away: then it is asked again.
        """


class OneHash:
    """The password of a mail system that checks the portal's own hash, `User.password` (R1)."""

    def check_password(self, login: User, raw: str) -> bool:
        # Django hashes once also for an unusable password, and renews a hash whose cost is out of date.
        return login.check_password(raw)

    def set_password(self, login: User, raw: str) -> None:
        login.set_password(raw)
        login.save(update_fields=["password"])


@cache
def _platform(path: str) -> Platform:
    return import_string(path)()


def get_platform() -> Platform:
    """The mail system of this installation (setting MAILBOX_PLATFORM)."""
    return _platform(settings.MAILBOX_PLATFORM)
