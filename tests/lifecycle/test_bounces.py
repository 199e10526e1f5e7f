"""Delivery reports, as Postfix writes them, from standard input to the letter (R29)."""

import io
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from lifecycle import alarms, letters, notices
from lifecycle.letters import reports
from lifecycle.management.commands import read_bounce
from lifecycle.models import Alarm, Letter
from pecportal import clock

ID = "<176.1.22@pecportal.example>"


def report(
    *, action="failed", status="5.1.1", said="550 5.1.1 <anna@altra.example>: Recipient address rejected: User unknown",
    message_id=ID, original="text/rfc822-headers",
) -> bytes:  # fmt: skip
    """A report in the form of Postfix: words, the two groups of fields, the headers (or the whole) of our mail."""
    reference = f"Message-ID: {message_id}\n" if message_id else ""
    return f"""Return-Path: <>
Received: by relay.provider.example (Postfix)
\tid 4A1B2C3D4E; Thu, 26 Nov 2026 00:07:11 +0100 (CET)
Date: Thu, 26 Nov 2026 00:07:11 +0100 (CET)
From: MAILER-DAEMON@relay.provider.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: noreply@provider.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="4A1B2C3D4E.1764112031/relay.provider.example"
Message-Id: <20261126000711.5F6A7B@relay.provider.example>

--4A1B2C3D4E.1764112031/relay.provider.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--4A1B2C3D4E.1764112031/relay.provider.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.provider.example
X-Postfix-Queue-ID: 4A1B2C3D4E
X-Postfix-Sender: rfc822; noreply@provider.example
Arrival-Date: Thu, 26 Nov 2026 00:06:58 +0100 (CET)

Final-Recipient: rfc822; anna@altra.example
Original-Recipient: rfc822;anna@altra.example
Action: {action}
Status: {status}
Remote-MTA: dns; mx.altra.example
Diagnostic-Code: smtp; {said}

--4A1B2C3D4E.1764112031/relay.provider.example
Content-Description: Undelivered Message
Content-Type: {original}

From: Posta Esempio <noreply@provider.example>
To: anna@altra.example
Subject: una@pec.example scade il 1 gennaio 2027
{reference}Date: Thu, 26 Nov 2026 00:06:57 +0100

--4A1B2C3D4E.1764112031/relay.provider.example--
""".encode()


LATE = {"action": "delayed", "status": "4.4.1", "said": "connect to mx.altra.example[192.0.2.7]:25: timed out"}


@pytest.fixture
def letter(db) -> Letter:
    now = clock.now()
    Letter.objects.create(to="b@altra.example", message_id="<2@x>", state="accepted", queued_at=now, settled_at=now)
    return Letter.objects.create(
        to="anna@altra.example", message_id=ID, state="accepted", queued_at=now, settled_at=now - timedelta(days=1)
    )


def pipe(raw: bytes, monkeypatch) -> str:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    out = io.StringIO()
    call_command("read_bounce", stdout=out)
    return out.getvalue().strip()


@pytest.mark.parametrize("original", ["text/rfc822-headers", "message/rfc822"])
def test_a_letter_that_came_back(letter, monkeypatch, original):
    assert pipe(report(original=original), monkeypatch) == "The letter came back: it counts as not delivered."
    letter.refresh_from_db()
    assert (letter.state, letter.detail[:15]) == ("bounced", "5.1.1 550 5.1.1")
    assert letter.settled_at > clock.now() - timedelta(minutes=1)
    assert Letter.objects.get(message_id="<2@x>").state == "accepted"
    settled = letter.settled_at
    assert pipe(report(original=original), monkeypatch).startswith("Nothing to do")
    assert pipe(report(**LATE), monkeypatch).startswith("Nothing to do")
    letter.refresh_from_db()
    assert (letter.state, letter.settled_at) == ("bounced", settled)


def test_a_server_that_gave_up_after_days_says_4_and_the_letter_came_back_all_the_same(letter, monkeypatch):
    pipe(report(status="4.4.1", said="connect to mx.altra.example: timed out"), monkeypatch)
    letter.refresh_from_db()
    assert letter.state == "bounced"


def test_a_letter_that_is_late_is_not_accepted_until_the_servers_time_is_over(letter, monkeypatch):
    assert pipe(report(**LATE), monkeypatch) == "The letter is late: it counts as not delivered yet."
    letter.refresh_from_db()
    assert (letter.state, letter.settled_at) == ("deferred", None) and letter.detail.startswith("4.4.1 connect to")
    assert letters.read_outcomes() == 0
    Letter.objects.filter(pk=letter.pk).update(queued_at=clock.now() - timedelta(hours=2))
    alarms.watch()  # the relay took it: its next stop is nobody's alarm here
    assert notices.unsent().waiting == 0 and not Alarm.objects.exists()
    Letter.objects.filter(pk=letter.pk).update(delayed_at=clock.now() - timedelta(days=4, hours=23))
    assert letters.read_outcomes() == 0
    Letter.objects.filter(pk=letter.pk).update(delayed_at=clock.now() - timedelta(days=5, minutes=1))
    assert letters.read_outcomes() == 1
    letter.refresh_from_db()
    assert letter.state == "accepted" and letter.settled_at > clock.now() - timedelta(minutes=1)


def test_late_and_then_back(letter, monkeypatch):
    pipe(report(**LATE), monkeypatch)
    pipe(report(status="4.4.1"), monkeypatch)
    letter.refresh_from_db()
    assert (letter.state, letter.delayed_at) == ("bounced", None)


def test_back_before_the_queue_said_that_it_was_sent(letter, monkeypatch):
    """The sender was killed after the relay took the mail: the report is the truth, whatever the queue says later."""
    Letter.objects.filter(pk=letter.pk).update(state="queued", settled_at=None)
    pipe(report(), monkeypatch)
    letters.read_outcomes()
    letter.refresh_from_db()
    assert letter.state == "bounced"


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_good_news_changes_nothing(letter, monkeypatch, action):
    assert pipe(report(action=action, status="2.0.0"), monkeypatch).startswith("Nothing to do")
    letter.refresh_from_db()
    assert letter.state == "accepted"


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "This is not a delivery report"),
        (b"Subject: Fuori ufficio\n\nTorno lunedi.", "This is not a delivery report"),
        (bytes(range(256)) * 40, "This is not a delivery report"),
        (report().replace(b"Action:", b"Reaction:"), "The report names no recipient with an Action."),
        (report(message_id=""), "The report does not hold the headers of the mail it is about"),
        (report()[:300], "This is not a delivery report"),
        (b"x" * (read_bounce.MOST + 1), "The report is larger than 5 MB"),
    ],
)
def test_what_is_no_report_ends_with_a_sentence_and_65(letter, monkeypatch, raw, sentence):
    with pytest.raises(CommandError, match=sentence.replace("(", r"\(")) as refusal:
        pipe(raw, monkeypatch)
    assert refusal.value.returncode == 65
    letter.refresh_from_db()
    assert letter.state == "accepted"


def test_a_report_about_another_mail_ends_with_66(letter, monkeypatch):
    with pytest.raises(CommandError, match="No letter has the Message-ID that the report names") as refusal:
        pipe(report(message_id="<other@pecportal.example>"), monkeypatch)
    assert refusal.value.returncode == 66 and "@" not in str(refusal.value)


def test_a_database_that_is_away_asks_the_mail_server_to_come_again(letter, monkeypatch):
    monkeypatch.setattr(read_bounce, "record_bounce", lambda report: (_ for _ in ()).throw(OperationalError("gone")))
    with pytest.raises(CommandError, match="try again later") as refusal:
        pipe(report(), monkeypatch)
    assert refusal.value.returncode == 75


@pytest.mark.parametrize("at", range(0, len(report()), 97))
def test_a_report_cut_anywhere_is_read_or_refused_and_never_a_traceback(at):
    try:
        assert reports.read(report()[:at]).message_id == ID
    except reports.NotAReportError:
        assert at < len(report()) - 60


def test_a_folded_message_id_is_put_together():
    assert reports.read(report(message_id=f"\n {ID}")).message_id == ID
