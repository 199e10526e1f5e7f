"""The end of a box on a real mail server: nothing stays on the disk, and only then is it Cancellata (R29, R30)."""

import shutil
import threading
import time
from datetime import timedelta

import pytest

from lifecycle import deletion
from lifecycle import flows as lifecycle
from mailboxes import telling
from mailboxes.models import Mailbox, PaidPeriod
from mailboxes.platform.base import get_platform
from tests.lifecycle.deletions import lines, phases, warn_twice
from tests.mail.conftest import PASSWORD, count, folder_of, furnish, message

pytestmark = [pytest.mark.servers, pytest.mark.real_hasher, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def lost(mail_servers, make_box, alice, today) -> Mailbox:
    """A box with mail in it, never renewed, warned twice, whose day has come."""
    box = make_box(alice, "persa", plan="pro")
    furnish(mail_servers, box)
    expires_on = today - (box.expires_on - today) * 3  # 120 days ago
    Mailbox.objects.filter(pk=box.pk).update(expires_on=expires_on, delete_from=today)
    PaidPeriod.objects.filter(box=box).update(starts=expires_on - timedelta(days=364), ends=expires_on)
    box.refresh_from_db()
    warn_twice(box)
    return box


def files(servers, box: Mailbox) -> list[str]:
    folder = folder_of(servers, box)
    return [str(path.relative_to(folder)) for path in folder.rglob("*")] if folder.exists() else []


def test_the_daily_run_deletes_it_and_the_disk_says_so(mail_servers, lost, make_box, alice, today):
    neighbour = make_box(alice, "vicina", plan="pro")
    furnish(mail_servers, neighbour)
    assert [name for name in files(mail_servers, lost) if "cur/" in name or "new/" in name]
    with mail_servers.imap(lost.address.name, PASSWORD):  # somebody is reading it
        lifecycle.run_for(today)
    assert (lines(), phases()) == (
        [("persa", "delete", "warned")],
        {"persa@pec.example": "deleted", "vicina@pec.example": "live"},
    )
    assert not folder_of(mail_servers, lost).exists()
    assert mail_servers.deliver(lost.address.name)[0] == 550
    assert count(mail_servers, neighbour.address.name) == 3


def test_a_mail_server_that_is_away_confirms_nothing(mail_servers, lost, today, settings):
    url, settings.DOVEADM_URL = settings.DOVEADM_URL, "http://127.0.0.1:9"
    lifecycle.run_for(today)
    assert phases() == {"persa@pec.example": "deleting"}
    assert files(mail_servers, lost)
    assert mail_servers.deliver(lost.address.name)[0] == 550  # unknown from the first commit on
    settings.DOVEADM_URL = url
    assert deletion.finish_pending() == 0
    assert phases() == {"persa@pec.example": "deleted"}
    assert not folder_of(mail_servers, lost).exists()


def test_looking_in_the_wrong_place_proves_nothing(mail_servers, lost, today, settings):
    """Where no boxes are there is nothing of this one: that is no confirmation."""
    settings.MAIL_STORAGE = str(mail_servers.folder / "log")
    lifecycle.run_for(today)
    assert phases() == {"persa@pec.example": "deleting"}
    assert files(mail_servers, lost)


def test_what_cannot_be_deleted_is_not_gone(mail_servers, lost, today):
    folder = folder_of(mail_servers, lost)
    stuck = folder / "mail" / "cur"
    shutil.chown(stuck, "root", "root")
    shutil.chown(stuck.parent, "root", "root")
    lifecycle.run_for(today)
    assert phases() == {"persa@pec.example": "deleting"}
    assert files(mail_servers, lost)
    for path in (stuck, stuck.parent):
        shutil.chown(path, "mail", "mail")
    assert deletion.finish_pending() == 0
    assert files(mail_servers, lost) == []


def test_mail_that_arrives_while_it_is_purged_leaves_nothing_behind(mail_servers, lost, today):
    """Senders keep trying, and a mail program keeps writing, through the whole deletion."""
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            mail_servers.deliver(lost.address.name)

    def write() -> None:
        while not over.is_set():
            try:
                with mail_servers.imap(lost.address.name, PASSWORD) as connection:
                    while not over.is_set():
                        connection.append("INBOX", None, None, message())
            except Exception:
                time.sleep(0.05)

    # Attiva until the moment of its deletion, as no rule would have it: the worst case.
    Mailbox.objects.filter(pk=lost.pk).update(expires_on=today, delete_from=today + (today - lost.expires_on))
    workers = [threading.Thread(target=work) for work in (send, write)]
    for worker in workers:
        worker.start()
    time.sleep(1)
    try:
        Mailbox.objects.filter(pk=lost.pk).update(login=None, phase="deleting")
        gone = deletion.purge(lost.pk)
        time.sleep(1)
    finally:
        over.set()
        for worker in workers:
            worker.join(30)
    assert gone
    assert files(mail_servers, lost) == []


def test_the_next_life_finds_nothing_and_is_not_found_by_a_late_purge(mail_servers, lost, make_box, alice, today):
    lifecycle.run_for(today)
    again = make_box(alice, "persa", plan="pro")
    assert count(mail_servers, again.address.name) == 0
    furnish(mail_servers, again)
    with pytest.raises(ValueError, match="living"):
        get_platform().purge(again.address.name)
    telling.tell_platform()
    assert count(mail_servers, again.address.name) == 3
    assert folder_of(mail_servers, again) != folder_of(mail_servers, lost)
