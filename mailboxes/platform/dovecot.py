"""Dovecot and Postfix, which read the state of a box from our database themselves (docs/mail.md).

State, space and password are true for them the moment they are committed, through the views of the schema `mail`. What
is left to be told is what no view can: end the sessions that were opened in another state, delete, measure.
"""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from django.conf import settings

from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.platform import doveadm
from mailboxes.platform.base import OneHash, Usage
from pecportal import clock

FILES = {"fsDriver": "posix", "fsArgs": "dirs"}
MARK = ".pecportal-boxes"  # in MAIL_STORAGE: without it we would look for boxes where there are none
SECONDS_TO_LEAVE = 5  # for sessions that were told to end
AT_ONCE, REQUESTS = 100, 4  # boxes of one request, and requests at once: Dovecot answers each in a process of its own


class DovecotPlatform(OneHash):
    """Mail in one folder per life of an address, named by the box's public id: no later life can find it."""

    def usage(self, addresses: Iterable[str]) -> dict[str, Usage]:
        names = list(dict.fromkeys(addresses))
        commands: list[doveadm.Command] = [("quotaGet", {"user": name.strip().lower()}) for name in names]
        requests = [commands[start : start + AT_ONCE] for start in range(0, len(commands), AT_ONCE)]
        with ThreadPoolExecutor(REQUESTS) as pool:
            answers = [answer for told in pool.map(doveadm.ask, requests) for answer in told]
        measured_at = clock.now()
        rows = {name: answer.or_raise(doveadm.NO_USER) for name, answer in zip(names, answers, strict=True)}
        return {name: _usage(told, measured_at) for name, told in rows.items() if told}

    def apply_state(self, address: str, state: str) -> None:
        """End the sessions of the box: mail programs sign in again by themselves, with the rights of now."""
        _end_sessions(address)

    def set_capacity(self, address: str, *, mailbox_gb: int, archive_gb: int) -> None:
        """Space is in the views. An archive goes only if the database still says so: what is told may be late (R7)."""
        if archive_gb > 0:
            return
        boxes = Mailbox.objects.filter(address__name=address.strip().lower(), phase=Phase.LIVE, archive_gb=0)
        for public_id in boxes.values_list("public_id", flat=True):
            archive = f"{_folder(public_id.hex)}/archive"
            if _is_there(archive):
                _end_sessions(address)
                if not _delete(archive):
                    raise doveadm.DoveadmError("an archive could not be deleted")

    def open(self, address: str, *, mailbox_gb: int, archive_gb: int) -> bool:
        """Folders are made by the first message; what is confirmed is that the mail system is there to make them."""
        return _is_there()

    def purge(self, address: str) -> bool:
        """Delete every life of the address but a living one, and look on the disk whether they are gone."""
        lives = Mailbox.objects.filter(address__name=address.strip().lower())
        if lives.filter(phase=Phase.LIVE).exists():
            raise ValueError("a living box is not purged")
        _end_sessions(address)
        gone = [_delete(_folder(public_id.hex)) for public_id in lives.values_list("public_id", flat=True)]
        return all(gone)


def _folder(box: str) -> str:
    """Where in MAIL_STORAGE a life of an address has its mail, as dovecot-sql.conf.ext says it."""
    return f"{box[:2]}/{box}"


def _usage(rows: list[dict[str, str]], measured_at: datetime) -> Usage:
    """Thousands of bytes, rounded up, by the quota's name; a box without an archive has no such row."""
    used = {row["root"]: int(row["value"]) * 1024 for row in rows if row["type"] == "STORAGE"}
    if "Casella" not in used:
        raise doveadm.DoveadmError("no figure for a box")
    return Usage(used["Casella"], used.get("Archivio", 0), measured_at)


def _is_there(path: str = "") -> bool:
    """Whether there is such a folder in MAIL_STORAGE; that folder itself when none is named.

    Raises DoveadmError when MAIL_STORAGE is not where the boxes are: nothing there would prove nothing.
    """
    paths = (f"{settings.MAIL_STORAGE}/{MARK}", f"{settings.MAIL_STORAGE}/{path}")
    mark, found = doveadm.ask([("fsStat", {**FILES, "path": path}) for path in paths])
    if mark.code == doveadm.NOT_FOUND:
        raise doveadm.DoveadmError("MAIL_STORAGE is not where the mail server keeps the boxes")
    mark.or_raise()
    found.or_raise(doveadm.NOT_FOUND)
    return found.code == 0


def _delete(path: str) -> bool:
    """Whether it is gone, afterwards. Deleting what is not there is an error to doveadm, so it is looked at first."""
    if not _is_there(path):
        return True
    doveadm.ask([("fsDelete", {**FILES, "path": [f"{settings.MAIL_STORAGE}/{path}"], "recursive": True})])
    return not _is_there(path)


def _end_sessions(address: str) -> None:
    """Disconnect who is signed in as the box, and wait until they are gone. Nobody being there is fine.

    Raises DoveadmError when they do not go.
    """
    mask = address.strip().lower()
    until = time.monotonic() + SECONDS_TO_LEAVE
    while True:
        kicked, who = doveadm.ask([("kick", {"mask": [mask]}), ("who", {"mask": [mask]})])
        kicked.or_raise(doveadm.NOT_FOUND)
        if mask not in {row["username"] for row in who.or_raise()}:  # a mask may also match others
            return
        if time.monotonic() > until:
            raise doveadm.DoveadmError("a session does not end")
        time.sleep(0.05)
