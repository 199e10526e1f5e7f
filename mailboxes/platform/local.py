"""The mail system of the embedded set-up and of tests: one small file per address under VAR_DIR/platform."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from mailboxes.platform.base import OneHash, Usage
from mailboxes.rules import State
from pecportal import clock


class LocalPlatform(OneHash):
    """Keeps usage, state and capacity. The password is `User.password`, so there is nothing of it here."""

    def usage(self, addresses: Iterable[str]) -> dict[str, Usage]:
        found = {}
        for address in addresses:
            content = _read(_path(address))
            if content is not None:
                measured = content.get("measured_at")
                found[address] = Usage(
                    mailbox_bytes=content.get("mailbox_bytes", 0),
                    archive_bytes=content.get("archive_bytes", 0),
                    measured_at=datetime.fromisoformat(measured) if measured else None,
                )
        return found

    def apply_state(self, address: str, state: str) -> None:
        if state in (State.DELETING, State.DELETED) and _read(_path(address)) is None:
            return  # purged, or never told: it is not made known again
        with _changing(address) as content:
            content["state"] = str(state)

    def set_capacity(self, address: str, *, mailbox_gb: int, archive_gb: int) -> None:
        with _changing(address) as content:
            content.update(mailbox_gb=mailbox_gb, archive_gb=archive_gb)
            if archive_gb == 0:
                content["archive_bytes"] = 0

    def open(self, address: str, *, mailbox_gb: int, archive_gb: int) -> bool:
        with _changing(address) as content:
            if "state" not in content:  # a late second call never puts a living box back
                content.update(state="in_attivazione", mailbox_gb=mailbox_gb, archive_gb=archive_gb)
        return True

    def purge(self, address: str) -> bool:
        path = _path(address)
        if path.parent.exists():
            with _locked(path):
                path.unlink(missing_ok=True)
        return not path.exists()

    def set_usage(self, address: str, mailbox_bytes: int, archive_bytes: int = 0) -> None:
        """Pretend that this much is used, as measured now: for the demo and for tests."""
        with _changing(address) as content:
            content.update(
                mailbox_bytes=mailbox_bytes, archive_bytes=archive_bytes, measured_at=clock.now().isoformat()
            )

    def state_of(self, address: str) -> dict[str, Any] | None:
        """All that is kept of an address, or None: for tests."""
        return _read(_path(address))


def _path(address: str) -> Path:
    name = hashlib.sha256(address.strip().lower().encode()).hexdigest()
    return Path(f"{settings.VAR_DIR}/platform/{name[:2]}/{name}.json")


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(FileNotFoundError):
        return json.loads(path.read_text())
    return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time among web and worker, or one would undo the other's change."""
    with (path.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _changing(address: str) -> Iterator[dict[str, Any]]:
    """What is kept of an address, to be changed in place; written whole or not at all."""
    path = _path(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        content = _read(path) or {"address": address.strip().lower()}
        yield content
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
