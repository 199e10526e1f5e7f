"""A folder that an intermediary's program empties: `out` for our files, `in` for SdI's receipts."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from django.conf import settings

from payments.invoicing.sdi.base import NotSentError, Road

MOST = 5_000_000  # bytes of a file that is looked at: SdI's own limit


def outbox() -> Path:
    return Path(settings.SDI_FOLDER) / "out"


def inbox() -> Path:
    return Path(settings.SDI_FOLDER) / "in"


class FolderRoad(Road):
    name: ClassVar[str] = "folder"

    def send(self, file_name: str, content: bytes) -> str:
        """Written whole under another name, then linked to its own: nobody ever sees half of it, or two in one."""
        folder = outbox()
        temporary = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as made:
                temporary = Path(made.name)
                made.write(content)
                made.flush()
                os.fsync(made.fileno())
            temporary.chmod(0o640)
            try:
                os.link(temporary, folder / file_name)
            except FileExistsError:
                if (folder / file_name).read_bytes() != content:
                    raise NotSentError("nella cartella c'è già un altro file con questo nome") from None
        except OSError as error:
            raise NotSentError(f"la cartella non si può scrivere ({error.strerror})") from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        return "messo nella cartella"


def received() -> Iterator[Path]:
    """Files that lie in the inbox, oldest first; what begins with a dot is still being written."""
    folder = inbox()
    if not folder.is_dir():
        return
    found = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    yield from sorted(found, key=lambda path: (path.stat().st_mtime, path.name))


def put_away(path: Path, *, where: str) -> None:
    """Move a file that was read into a folder beside (`done` or `refused`), never over another."""
    folder = inbox().parent / where
    folder.mkdir(parents=True, exist_ok=True)
    target, count = folder / path.name, 1
    while target.exists():
        target, count = folder / f"{path.name}.{count}", count + 1
    path.rename(target)
