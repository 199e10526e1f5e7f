"""Space: quotas that refuse, figures that are real, the archive, and what a smaller plan takes away (R6, R7)."""

import shutil
from datetime import timedelta

import pytest
from post_office.models import Email

from lifecycle import flows as lifecycle
from mailboxes import measuring, telling
from mailboxes.flows import measured
from mailboxes.models import Mailbox, Plan, SpaceUsed
from mailboxes.platform.base import get_platform
from mailboxes.rules import GB
from pecportal import clock
from tests.mail.conftest import PASSWORD, count, folder_of, furnish, message, weigh

pytestmark = [pytest.mark.servers, pytest.mark.real_hasher, pytest.mark.django_db(transaction=True)]
MB = 1024 * 1024


def test_a_full_box_is_refused_with_552_until_there_is_room(mail_servers, make_box, alice):
    box = make_box(alice, "piena")  # Standard, 1 GB
    address = box.address.name
    with mail_servers.imap(address, PASSWORD) as connection:
        connection.select("INBOX")
    weigh(mail_servers, box, GB - 2 * MB)
    assert mail_servers.deliver(address)[0] == 250
    code, text = mail_servers.deliver(address, body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 45_000)  # 3 MB
    assert (code, text[:5], "piena" in text) == (552, "5.2.2", True)
    weigh(mail_servers, box, 3 * MB)
    code, text = mail_servers.deliver(address)
    assert (code, text[:5], "piena" in text) == (552, "5.2.2", True)
    with mail_servers.imap(address, PASSWORD) as connection:
        answer, [why] = connection.append("INBOX", None, None, message())
        assert (answer, b"OVERQUOTA" in why) == ("NO", True)
    Mailbox.objects.filter(pk=box.pk).update(mailbox_gb=2)  # what a space order does: no telling
    assert mail_servers.deliver(address)[0] == 250
    Mailbox.objects.filter(pk=box.pk).update(mailbox_gb=1)
    with mail_servers.imap(address, PASSWORD) as connection:
        connection.select("INBOX")
        connection.store("1:*", "+FLAGS", r"(\Deleted)")
        connection.expunge()
    assert mail_servers.deliver(address)[0] == 250


def test_the_archive_has_a_quota_of_its_own(mail_servers, box):
    furnish(mail_servers, box)
    weigh(mail_servers, box, 2 * GB)  # the box is full, the archive is not
    assert mail_servers.deliver(box.address.name)[0] == 552
    with mail_servers.imap(box.address.name, PASSWORD) as connection:
        connection.select("INBOX")
        assert connection.append("INBOX", None, None, message())[0] == "NO"
        assert connection.copy("1", "Archivio/2026")[0] == "OK"
        names = [root for [root] in connection.getquotaroot("Archivio/2026")[1][1:]]
        assert b"Archivio" in names[0]
        assert b"3145728" in names[0]
    used = get_platform().usage([box.address.name])[box.address.name]
    assert (used.mailbox_bytes // GB, used.archive_bytes // GB) == (2, 0)
    weigh(mail_servers, box, 3 * GB, archive=True)
    with mail_servers.imap(box.address.name, PASSWORD) as connection:
        assert connection.append("Archivio/2026", None, None, message())[0] == "NO"


def test_a_standard_box_has_no_archive_and_cannot_make_one(mail_servers, make_box, alice):
    """Not by that name either: a folder so named would be behind the archive on the day there is one."""
    box = make_box(alice, "standard")
    with mail_servers.imap(box.address.name, PASSWORD) as connection:
        assert not any(b"Archivio" in line for line in connection.list()[1])
        connection.create("Altro")
        for name in ("Archivio", "Archivio/2026"):
            assert connection.create(name)[0] == "NO"
            assert connection.append(name, None, None, message())[0] == "NO"
            assert connection.rename("Altro", name)[0] == "NO"
    assert not list(folder_of(mail_servers, box).glob("archive/.*/cur"))


def downgrade(box: Mailbox, *, on) -> None:
    """As an order for Standard, fulfilled before `on`, leaves the box."""
    plan = Plan.objects.get(code="standard")
    Mailbox.objects.filter(pk=box.pk).update(next_plan=plan, next_mailbox_gb=1, next_archive_gb=0, change_on=on)


def test_a_downgrade_takes_the_archive_on_its_day_and_not_before(mail_servers, rome_is, box):
    furnish(mail_servers, box)
    starts = box.expires_on - timedelta(days=5)
    downgrade(box, on=starts)
    archive = folder_of(mail_servers, box) / "archive"
    rome_is(starts - timedelta(days=1))
    lifecycle.run_day()
    telling.tell_platform()
    assert count(mail_servers, box.address.name, "Archivio/2026") == 1
    rome_is(starts)
    lifecycle.run_day()
    with mail_servers.imap(box.address.name, PASSWORD) as connection:  # gone at once for the customer
        assert not any(b"Archivio" in line for line in connection.list()[1])
        assert connection.select("Archivio/2026", readonly=True)[0] == "NO"
    assert archive.exists()
    telling.tell_platform()
    assert not archive.exists()
    assert count(mail_servers, box.address.name) == 3


def test_a_word_of_yesterday_takes_no_archive(mail_servers, box):
    """Told late, after the customer has bought one again: the database says so, and it stays."""
    furnish(mail_servers, box)
    get_platform().set_capacity(box.address.name, mailbox_gb=1, archive_gb=0)
    assert count(mail_servers, box.address.name, "Archivio/2026") == 1


def test_a_downgrade_that_does_not_fit_is_put_off(mail_servers, rome_is, box):
    furnish(mail_servers, box)
    weigh(mail_servers, box, 2 * GB - 5 * MB)  # no plan Standard has 2 GB in 1
    starts = box.expires_on - timedelta(days=5)
    downgrade(box, on=starts)
    rome_is(starts)
    lifecycle.run_day()
    box.refresh_from_db()
    assert (box.plan.code, box.mailbox_gb, box.archive_gb, box.change_refused_on) == ("pro", 2, 3, starts)
    telling.tell_platform()
    assert count(mail_servers, box.address.name, "Archivio/2026") == 1


# --- Figures and the warning ------------------------------------------------------------------------------------------


def warnings() -> list[str]:
    return [mail.to[0] for mail in Email.objects.order_by("id") if "dello spazio è occupato" in mail.subject]


def measure_again() -> measuring.Measured:
    SpaceUsed.objects.update(next_check_at=clock.now())
    return measuring.measure_due()


def test_boxes_are_measured_and_warned_of_once(mail_servers, make_box, alice):
    box, empty = make_box(alice, "quasi.piena"), make_box(alice, "vuota")
    with mail_servers.imap(box.address.name, PASSWORD) as connection:
        connection.select("INBOX")
    telling.tell_platform()
    assert measuring.measure_due() == measuring.Measured(2, 0)
    assert warnings() == []
    weigh(mail_servers, box, int(0.71 * GB))
    assert measuring.measure_due() == measuring.Measured(0, 0)  # not their turn
    assert [measure_again(), measure_again()] == [measuring.Measured(2, 0)] * 2
    row = SpaceUsed.objects.get(box=box)
    assert row.mailbox_bytes // MB == int(0.71 * 1024)
    assert row.measured_at is not None
    assert warnings() == ["alice.contatto@posta.example", "alice@posta.example"]
    with mail_servers.imap(box.address.name, PASSWORD) as connection:
        connection.select("INBOX")
        connection.store("1:*", "+FLAGS", r"(\Deleted)")
        connection.expunge()
    measure_again()
    assert SpaceUsed.objects.get(box=box).warned_at is None
    assert SpaceUsed.objects.get(box=empty).mailbox_bytes == 0
    assert len(warnings()) == 2


def test_without_the_mail_server_what_was_measured_stays_and_is_asked_for_again(mail_servers, box, settings):
    furnish(mail_servers, box)
    telling.tell_platform()
    measuring.measure_due()
    before = SpaceUsed.objects.get(box=box)
    settings.DOVEADM_URL = "http://127.0.0.1:9"
    assert measure_again() == measuring.Measured(0, 1)
    after = SpaceUsed.objects.get(box=box)
    assert (after.mailbox_bytes, after.measured_at) == (before.mailbox_bytes, before.measured_at)
    assert clock.now() < after.next_check_at < clock.now() + timedelta(minutes=11)
    with pytest.raises(OSError, match="did not answer"):  # a guard never takes "I do not know" for "empty"
        measured([box.address.name])


def test_a_wrong_key_is_refused(mail_servers, box, settings):
    settings.DOVEADM_KEY = "another"
    with pytest.raises(OSError, match="401"):
        get_platform().usage([box.address.name])


def test_one_box_that_cannot_be_measured_keeps_no_other(mail_servers, make_box, alice):
    bad, good = make_box(alice, "rotta"), make_box(alice, "sana")
    for box in (bad, good):
        with mail_servers.imap(box.address.name, PASSWORD) as connection:
            connection.append("INBOX", None, None, message())
    mail = folder_of(mail_servers, bad) / "mail"
    shutil.rmtree(mail)
    mail.write_text("not a folder")
    telling.tell_platform()
    assert measure_again() == measuring.Measured(1, 1)
    assert SpaceUsed.objects.get(box=good).mailbox_bytes > 0


def test_a_box_that_is_gone_is_measured_no_more(mail_servers, box):
    telling.tell_platform()
    Mailbox.objects.filter(pk=box.pk).update(login=None, phase="deleted")
    measure_again()
    assert not SpaceUsed.objects.exists()
