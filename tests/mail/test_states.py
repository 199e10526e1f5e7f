"""What each state of a box means to a mail program and to other mail servers (R13, R16).

The day is moved in the database alone (fixture rome_is): nothing of the portal runs between one state and the next.
"""

import imaplib
import smtplib
import time
from datetime import timedelta

import pytest

from lifecycle import flows as lifecycle
from mailboxes import ending, telling
from mailboxes.models import Mailbox
from tests.helpers import pay_card, place
from tests.mail.conftest import (
    ATTIVA,
    GONE,
    PASSWORD,
    SCADUTA,
    count,
    folder_of,
    furnish,
    message,
    open_folder,
    what_works,
)

pytestmark = [pytest.mark.servers, pytest.mark.real_hasher, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(
    ("days", "expected"),
    [(-40, ATTIVA), (0, ATTIVA), (1, SCADUTA), (90, SCADUTA), (91, SCADUTA), (400, SCADUTA)],
    ids=["attiva", "last day", "scaduta", "last renewable day", "awaiting deletion", "a year late"],
)
def test_days_after_the_expiry(mail_servers, rome_is, box, days, expected):
    furnish(mail_servers, box)
    rome_is(box.expires_on + timedelta(days=days))
    assert what_works(mail_servers, box) == expected


def test_a_box_in_deletion_and_a_deleted_one_are_unknown(mail_servers, box, today):
    furnish(mail_servers, box)
    ending.begin(box, today=today, why="prova")
    assert what_works(mail_servers, box) == GONE
    ending.finish(box, today=today)
    assert what_works(mail_servers, box) == GONE


def test_a_box_in_activation_is_unknown(mail_servers, box):
    Mailbox.objects.filter(pk=box.pk).update(phase="activating", expires_on=None, delete_from=None)
    assert what_works(mail_servers, box) == GONE


def test_refusals_say_why_in_words(mail_servers, rome_is, box):
    rome_is(box.expires_on + timedelta(days=1))
    assert "Casella scaduta: non riceve messaggi" in mail_servers.deliver(box.address.name)[1]
    assert "Casella scaduta: non invia messaggi" in mail_servers.submit(box.address.name, PASSWORD, to="a@b.example")[1]


def test_everything_is_back_with_the_payment(mail_servers, rome_is, alice, box, settings):
    """Nothing is told to the mail servers, which need no telling; only a session of before has to end."""
    furnish(mail_servers, box)
    rome_is(box.expires_on + timedelta(days=30))
    assert mail_servers.deliver(box.address.name)[0] == 550
    settings.PAYMENT_PROVIDERS = ["sandbox", "transfer"]
    pay_card(place(box, alice), alice)
    assert what_works(mail_servers, box) == ATTIVA


# --- What was open before midnight ------------------------------------------------------------------------------------


def test_an_open_session_ends_when_the_expiry_is_recorded(mail_servers, rome_is, box):
    furnish(mail_servers, box)
    rome_is(box.expires_on)
    telling.tell_platform()
    with mail_servers.imap(box.address.name, PASSWORD) as connection:
        open_folder(connection)
        rome_is(box.expires_on + timedelta(days=1))
        # The control: until it ends it has the rights that it began with.
        assert connection.append("INBOX", None, None, message())[0] == "OK"
        lifecycle.run_day()
        assert Mailbox.objects.get(pk=box.pk).platform_due_at is not None
        assert telling.tell_platform() == telling.Told(1, 0)
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            connection.append("INBOX", None, None, message())
    with mail_servers.imap(box.address.name, PASSWORD) as connection:
        assert connection.append("INBOX", None, None, message())[0] == "NO"


def test_a_session_of_the_time_as_scaduta_ends_with_the_renewal(mail_servers, rome_is, alice, box, settings):
    rome_is(box.expires_on + timedelta(days=30))
    telling.tell_platform()
    with mail_servers.imap(box.address.name, PASSWORD) as connection:
        assert connection.append("INBOX", None, None, message())[0] == "NO"
        settings.PAYMENT_PROVIDERS = ["sandbox", "transfer"]
        pay_card(place(box, alice), alice)
        telling.tell_platform()
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            connection.noop()


def test_a_submission_that_was_open_sends_nothing_more(mail_servers, rome_is, box):
    with smtplib.SMTP("127.0.0.1", mail_servers.ports["submission"]) as connection:
        connection.login(box.address.name, PASSWORD)
        assert connection.sendmail(box.address.name, ["uno@altrove.example"], b"Subject: 1\r\n\r\n.") == {}
        rome_is(box.expires_on + timedelta(days=1))
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="Casella scaduta"):
            connection.sendmail(box.address.name, ["due@altrove.example"], b"Subject: 2\r\n\r\n.")
        with pytest.raises(smtplib.SMTPRecipientsRefused, match="Casella scaduta"):
            connection.sendmail("", ["due@altrove.example"], b"Subject: 3\r\n\r\n.")  # without a sender


# --- Delivery and sending ---------------------------------------------------------------------------------------------

SECONDS = 60  # that a message has from Postfix to the relay, or to the box


def left_for(servers, address: str) -> list[str]:
    """The subjects of what the relay took for an address, once there is something: what other tests sent comes late."""
    until = time.monotonic() + SECONDS
    while True:
        found = [subject for to, subject in servers.relay.told if to == address]
        if found or time.monotonic() > until:
            return found
        time.sleep(0.1)


def arrived(servers, box: Mailbox) -> int:
    until = time.monotonic() + SECONDS
    while not (found := count(servers, box.address.name)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def test_what_is_delivered_is_there_and_what_is_sent_leaves(mail_servers, box):
    assert mail_servers.deliver("ALICE@PEC.example", body="Buongiorno.") == (250, "")
    assert mail_servers.submit(box.address.name, PASSWORD, to="lontano@altrove.example") == (250, "")
    assert left_for(mail_servers, "lontano@altrove.example") == ["Prova"]
    assert arrived(mail_servers, box) == 1
    with mail_servers.imap(box.address.name, PASSWORD) as connection:
        connection.select("INBOX", readonly=True)
        assert b"Buongiorno." in connection.fetch("1", "(BODY[])")[1][0][1]


def test_what_is_sent_to_a_neighbour_goes_through_the_access_point_too(mail_servers, box, make_box, alice):
    """It certifies: a message between two boxes of this machine is no exception."""
    other = make_box(alice, "altra")
    assert mail_servers.submit(box.address.name, PASSWORD, to=other.address.name) == (250, "")
    assert left_for(mail_servers, other.address.name) == ["Prova"]
    assert count(mail_servers, other.address.name) == 0


def test_what_waited_since_before_midnight_is_not_delivered(mail_servers, rome_is, box):
    """Dovecot refuses for itself, whatever Postfix has accepted before."""
    rome_is(box.expires_on + timedelta(days=1))
    with smtplib.LMTP(str(mail_servers.folder / "run" / "lmtp")) as connection:
        connection.ehlo()
        connection.mail("mittente@altrove.example")
        code, text = connection.rcpt(box.address.name)
        assert (code, text[:5]) == (550, b"5.1.1")


def test_nobody_sends_as_another_box_or_without_signing_in(mail_servers, box, make_box, alice):
    other = make_box(alice, "altra")
    code, text = mail_servers.submit(box.address.name, PASSWORD, to="a@b.example", sender=other.address.name)
    assert (code, text[:5]) == (553, "5.7.1")
    code, text = mail_servers.submit(box.address.name, PASSWORD, to="a@b.example", sender="")
    assert (code, text[:5]) == (550, "5.7.1"), "without a sender it would go under any name that its From says"
    assert mail_servers.submit(box.address.name, "sbagliata", to="a@b.example")[0] == 535
    assert mail_servers.deliver("a@altrove.example")[0] == 554  # no open relay
    with smtplib.SMTP("127.0.0.1", mail_servers.ports["submission"]) as connection:
        connection.ehlo()
        connection.mail(box.address.name)
        assert connection.rcpt("a@b.example")[0] == 554


@pytest.mark.parametrize("name", ["o'neill", "nome+cognome", "a/b", "b&c", "con_sotto", "x" * 64])
def test_every_address_that_the_portal_takes_works(mail_servers, make_box, alice, name):
    box = make_box(alice, name)
    assert mail_servers.deliver(box.address.name) == (250, "")
    assert mail_servers.submit(box.address.name, PASSWORD, to="a@b.example") == (250, "")
    assert arrived(mail_servers, box) == 1
    assert folder_of(mail_servers, box).is_dir()
