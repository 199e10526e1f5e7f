"""Real Dovecot and Postfix, driven as a customer's mail program and as another mail server would."""

import imaplib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from mailboxes.models import Mailbox
from tests.peers.mail_servers import MailServers

PASSWORD = "Prova-pec-2026"
imaplib.Commands["MOVE"] = ("SELECTED",)


def message(size: int = 200) -> bytes:
    head = b"From: a@altrove.example\r\nSubject: prova\r\n\r\n"
    return head + (b"x" * 70 + b"\r\n") * max(1, -(-(size - len(head)) // 72))


@pytest.fixture
def fill_by_imap(mail_servers) -> Callable[..., None]:
    """fill_by_imap(address, mailbox_bytes, archive_bytes=0): messages of that many bytes, by a mail program."""

    def put(address: str, mailbox_bytes: int, archive_bytes: int = 0) -> None:
        with mail_servers.imap(address, PASSWORD) as connection:
            assert connection.append("INBOX", None, None, message(mailbox_bytes))[0] == "OK"
            if archive_bytes:
                connection.create("Archivio/2026")
                assert connection.append("Archivio/2026", None, None, message(archive_bytes))[0] == "OK"

    return put


@pytest.fixture
def box(make_box, alice) -> Mailbox:
    """Alice's Pro box, Attiva, expiring in 40 days."""
    return make_box(alice, "alice", plan="pro")


@dataclass(frozen=True)
class Can:
    """What can be done with a box. `login`: over IMAP; `send`, `receive`: the code and, if it is refused, its class."""

    login: bool
    read: bool = False
    append: bool = False
    copy: bool = False
    move: bool = False
    store: bool = False
    expunge: bool = False
    create: bool = False
    archive: bool = False
    send: str = ""
    receive: str = ""


ATTIVA = Can(*[True] * 9, send="250", receive="250")
SCADUTA = Can(True, True, send="550 5.7.1", receive="550 5.2.1")
GONE = Can(False, send="535 login: 5.7.8", receive="550 5.1.1")


def open_folder(connection: imaplib.IMAP4, name: str = "INBOX") -> None:
    """SELECT it as any mail program does, and go on where it turns out to be read only."""
    connection.is_readonly = True
    assert connection._simple_command("SELECT", name)[0] == "OK"
    connection.state = "SELECTED"


def count(servers: MailServers, address: str, folder: str = "INBOX") -> int:
    with servers.imap(address, PASSWORD) as connection:
        return int(connection.select(folder, readonly=True)[1][0])


def flags(servers: MailServers, address: str) -> str:
    """The flags of the first message, as another session sees them."""
    with servers.imap(address, PASSWORD) as connection:
        connection.select("INBOX", readonly=True)
        return connection.fetch("1", "(FLAGS)")[1][0].decode()


def furnish(servers: MailServers, box: Mailbox) -> None:
    """Three messages, a folder with one, an archive with one: while the box is Attiva."""
    with servers.imap(box.address.name, PASSWORD) as connection:
        for folder in ("Pratiche", "Archivio/2026"):
            assert connection.create(folder)[0] == "OK"
            assert connection.append(folder, None, None, message())[0] == "OK"
        for _n in range(3):
            assert connection.append("INBOX", None, None, message())[0] == "OK"


def what_works(servers: MailServers, box: Mailbox) -> Can:
    """Try everything, and look for the effects in other sessions: STORE and EXPUNGE may say OK and do nothing."""
    address = box.address.name
    did: dict[str, object] = {"login": False}
    try:
        with servers.imap(address, PASSWORD) as connection:
            did["login"] = True
            open_folder(connection)
            did["read"] = b"xxx" in connection.fetch("1", "(BODY.PEEK[])")[1][0][1]
            did["append"] = connection.append("INBOX", None, None, message())[0] == "OK"
            did["copy"] = connection.copy("1", "Pratiche")[0] == "OK"
            did["create"] = connection.create("Nuova")[0] == "OK"
            did["archive"] = connection.append("Archivio/2026", None, None, message())[0] == "OK"
            connection.store("1", "+FLAGS", r"(\Flagged)")
            moved = connection._simple_command("MOVE", "2", "Pratiche")[0] == "OK"
        did["store"] = r"\Flagged" in flags(servers, address)
        before = count(servers, address)
        with servers.imap(address, PASSWORD) as connection:
            open_folder(connection)
            connection.store("1", "+FLAGS", r"(\Deleted)")
            connection.expunge()
        did["expunge"] = count(servers, address) < before
        in_folder = count(servers, address, "Pratiche")
        did["move"] = moved and in_folder == 3
        assert in_folder == 1 + bool(did["copy"]) + moved
        assert count(servers, address, "Archivio/2026") == 1 + bool(did["archive"])
    except imaplib.IMAP4.error as error:
        assert not did["login"], error
    did["send"] = _short(*servers.submit(address, PASSWORD, to="fuori@altrove.example"))
    did["receive"] = _short(*servers.deliver(address))
    return Can(**{**asdict(Can(False)), **did})


def _short(code: int, text: str) -> str:
    words = 2 if text.startswith("login:") else 1
    return " ".join([str(code), *text.split()[:words]])


# --- The disk ---------------------------------------------------------------------------------------------------------


def folder_of(servers: MailServers, box: Mailbox) -> Path:
    return servers.boxes / box.public_id.hex[:2] / box.public_id.hex


def weigh(servers: MailServers, box: Mailbox, size: int, *, archive: bool = False) -> None:
    """A message of `size` bytes in the box, as the mail server counts it; on the disk it takes no room.

    Named as Dovecot names them, with its size, which is what quotas count.
    """
    maildir = folder_of(servers, box) / ("archive/.2026" if archive else "mail")
    path = maildir / "cur" / f"1700000000.M{size}P1.prova,S={size},W={size}:2,"
    with path.open("wb") as file:
        file.truncate(size)
    shutil.chown(path, "mail", "mail")
    os.utime(maildir / "cur")
