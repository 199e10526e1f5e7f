"""Letters and a real relay: taken, put off, refused, away for a weekend, back again (R27)."""

import logging
from datetime import timedelta

import pytest
from django.db import connection
from post_office.models import STATUS, Email

from lifecycle import flows, letters, notices
from lifecycle.models import Letter, Notice
from mailboxes.models import Holder, Mailbox
from pecportal import mail, relay
from pecportal.tasks import send_mail
from tests.lifecycle.letter_helpers import at, noticed, states
from tests.peers.smtp_relay import Relay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]
ALICE, HOLDER = "alice@posta.example", "alice.contatto@posta.example"


@pytest.fixture
def smtp(settings):
    server = Relay()
    settings.POST_OFFICE = {
        **settings.POST_OFFICE,
        "BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"},
    }
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", server.port, 5
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    server.start()
    yield server
    server.stop()


@pytest.fixture
def told(make_box, alice, smtp) -> Mailbox:
    """A box whose notice of today is in the queue, for its holder and its account."""
    box = make_box(alice, "alice", expires_in=30)
    flows.run_day()
    return box


def test_accepted(told, smtp):
    assert send_mail() == 2
    assert states() == {ALICE: "accepted", HOLDER: "accepted"}
    letter = Letter.objects.get(to=ALICE)
    assert letter.settled_at == letter.mail.last_updated and letter.detail == ""
    assert {str(m["Message-ID"]) for m in smtp.taken} == set(Letter.objects.values_list("message_id", flat=True))
    assert send_mail() == 0 and len(smtp.taken) == 2
    assert notices.unsent() == notices.Unsent(due=0, waiting=0, refused=0)


def test_an_address_that_does_not_exist_is_refused_at_once_and_not_tried_again(told, smtp, caplog):
    smtp.say = {HOLDER: "550 5.1.1 <alice.contatto@posta.example>: User unknown"}
    with caplog.at_level(logging.INFO):
        assert send_mail() == 1
    assert states() == {ALICE: "accepted", HOLDER: "refused"}
    assert Letter.objects.get(to=HOLDER).detail.startswith("550 5.1.1 ") and notices.unsent().refused == 1
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("pecportal", "lifecycle"))]
    assert "mail queue: sent=1 put_off=0 refused=1" in ours and "@" not in "".join(ours)
    assert not logging.getLogger("post_office").isEnabledFor(logging.ERROR), "its errors name the recipient"
    with at(flows.clock.today() + timedelta(days=5)):
        send_mail()
    assert smtp.tries.count(HOLDER) == 1


def test_a_mailbox_that_is_busy_is_put_off_and_tried_later(told, smtp):
    smtp.say = {HOLDER: "450 4.2.1 Mailbox busy"}
    send_mail()
    assert states() == {ALICE: "accepted", HOLDER: "deferred"}
    assert Letter.objects.get(to=HOLDER).detail == "450 4.2.1 Mailbox busy"
    send_mail()
    assert smtp.tries.count(HOLDER) == 1, "not before five minutes"
    smtp.say = {}
    Email.objects.update(scheduled_time=None)
    send_mail()
    assert states() == {ALICE: "accepted", HOLDER: "accepted"} and len(smtp.taken) == 2


@pytest.mark.parametrize(
    "answer", ["554 5.7.1 Relay access denied", "550 5.7.1 rejected by policy", "530 5.7.0 Authentication required"]
)
def test_a_relay_that_refuses_us_burns_no_notice(told, smtp, answer):
    smtp.say = {"*": answer}
    send_mail()
    assert states() == {ALICE: "deferred", HOLDER: "deferred"}
    smtp.say = {}
    Email.objects.update(scheduled_time=None)
    send_mail()
    assert states() == {ALICE: "accepted", HOLDER: "accepted"}


def test_a_message_that_is_refused_is_put_off_too(told, smtp):
    smtp.at_data = "554 5.6.0 No"
    send_mail()
    assert states() == {ALICE: "deferred", HOLDER: "deferred"}
    assert Letter.objects.get(to=ALICE).detail == "554 5.6.0 No"


def test_a_relay_that_is_away_a_whole_weekend_loses_nothing(told, smtp, caplog):
    smtp.stop()
    mail.send("password_cambiata", to=["altra@posta.example"], context={})
    for _minute in range(100):  # many more than any number of tries
        assert send_mail() == 0
    assert states() == {ALICE: "deferred", HOLDER: "deferred"}
    assert set(Letter.objects.values_list("detail", flat=True)) == {"il relay non risponde (ConnectionRefusedError)"}
    assert set(Email.objects.values_list("status", "number_of_retries")) == {(STATUS.queued, None)}
    assert "the relay does not answer: ConnectionRefusedError" in caplog.text and "@" not in caplog.text
    Letter.objects.update(queued_at=flows.clock.now() - timedelta(hours=1, minutes=1))
    assert notices.unsent().waiting == 2
    Letter.objects.update(queued_at=flows.clock.now())
    smtp.start()
    assert send_mail() == 3
    assert states() == {ALICE: "accepted", HOLDER: "accepted"} and len(smtp.taken) == 3
    assert notices.unsent() == notices.Unsent(0, 0, 0)


def test_bad_addresses_hold_up_nobody_else(smtp, db):
    """A batch with a failure in it was the last of a run: the next hundred waited a minute."""
    smtp.say = {f"no{n}@posta.example": "550 5.1.1 no" for n in range(0, 250, 50)}
    to = [f"no{n}@posta.example" for n in range(250)]
    mail.send("password_cambiata", to=to, context={})
    assert send_mail() == 245


def test_a_code_to_sign_in_overtakes_the_notices_of_a_day(told, smtp):
    mail.send("password_cambiata", to=["codice@posta.example"], context={})
    send_mail()
    first = Email.objects.order_by("-priority", "id").first()
    assert first.to == ["codice@posta.example"] and set(
        Email.objects.exclude(pk=first.pk).values_list("priority", flat=True)
    ) == {0}


def test_an_address_or_name_with_a_template_tag_in_it_is_sent_as_it_is(make_box, alice, smtp):
    make_box(alice, "{%a%}{{b}}", expires_in=30)
    flows.run_day()
    assert send_mail() == 2
    assert {subject.split()[0] for _to, subject in smtp.told} == {"{%a%}{{b}}@pec.example"}


# --- Midnight, and many days ------------------------------------------------------------------------------------------


def test_a_letter_that_waited_past_midnight_is_written_anew(make_box, alice, smtp, today):
    box = make_box(alice, "alice", expires_in=1)
    smtp.stop()
    flows.run_day()
    send_mail()
    assert "domani" in Email.objects.first().message
    smtp.start()
    with at(today + timedelta(days=1)):
        send_mail()
        assert smtp.taken == [] and noticed() == [(box.address.name, -1, "due")]
        assert notices.unsent() == notices.Unsent(due=1, waiting=0, refused=0)
        flows.run_day()
        send_mail()
    assert [to for to, _subject in smtp.told] == [HOLDER, ALICE]
    body = smtp.taken[0].get_body(("plain",)).get_content()
    assert "oggi" in body and "domani" not in body
    assert sorted(Letter.objects.values_list("to", "state")) == [
        (HOLDER, "accepted"), (HOLDER, "replaced"), (ALICE, "accepted"), (ALICE, "replaced"),
    ]  # fmt: skip


def test_at_midnight_only_who_got_nothing_is_written_to_again(make_box, alice, smtp, today):
    make_box(alice, "alice", expires_in=1)
    flows.run_day()
    smtp.say = {HOLDER: "451 4.7.1 Greylisted"}
    send_mail()
    smtp.say = {}
    with at(today + timedelta(days=1)):
        send_mail()
        flows.run_day()
        send_mail()
    assert [to for to, _subject in smtp.told] == [HOLDER, ALICE]
    assert [n.state for n in Notice.objects.all()] == ["told"]


def test_after_ten_days_without_a_relay_one_mail_with_the_truth(make_box, alice, smtp, today):
    """Two boxes of one account; meanwhile −15, −7 and −1 of one pass, −60 and −30 of the other."""
    one = make_box(alice, "una", expires_in=15)
    make_box(alice, "due", expires_in=32)
    Holder.objects.update(contact_email=ALICE)
    smtp.stop()
    for n in range(15):
        with at(today + timedelta(days=n), 0, 10):
            send_mail()
            flows.run_day()
            send_mail()
    smtp.start()
    with at(today + timedelta(days=14), 12):
        send_mail()
    assert [(to, subject.split(":")[0]) for to, subject in smtp.told] == [(ALICE, "2 caselle PEC scadono")]
    assert noticed() == [
        ("due@pec.example", -60, "moot"), ("due@pec.example", -30, "told"),
        ("una@pec.example", -15, "moot"), ("una@pec.example", -7, "moot"), ("una@pec.example", -1, "told"),
    ]  # fmt: skip
    body = " ".join(smtp.taken[0].get_body(("plain",)).get_content().split())
    assert f"- {one.address.name} · scade" in body and "domani" in body


def test_renewed_while_the_letter_waited(make_box, alice, smtp, today):
    box = make_box(alice, "alice", expires_in=30)
    smtp.stop()
    flows.run_day()
    send_mail()
    smtp.start()
    Mailbox.objects.filter(pk=box.pk).update(
        expires_on=today + timedelta(days=395), delete_from=today + timedelta(days=486)
    )
    with at(today + timedelta(days=1)):
        send_mail()
        flows.run_day()
        send_mail()
    assert smtp.taken == [] and noticed() == [(box.address.name, -30, "moot")]
    assert set(states().values()) == {"replaced"} and not Email.objects.exists()


def test_renewed_on_the_day_before_the_letter_left(make_box, alice, smtp, today):
    """Whoever has just paid and then reads that the box expires pays a second time: of a digest the others are told."""
    renewed, other = (make_box(alice, name, expires_in=30) for name in ("prima", "altra"))
    flows.run_day()
    Mailbox.objects.filter(pk=renewed.pk).update(
        expires_on=today + timedelta(days=395), delete_from=today + timedelta(days=486)
    )
    send_mail()
    assert not [subject for _to, subject in smtp.told if "prima@" in subject or "2 caselle" in subject]
    flows.run_day()
    send_mail()
    assert noticed() == [(other.address.name, -30, "told"), (renewed.address.name, -30, "moot")]
    assert sorted(to for to, _subject in smtp.told) == [HOLDER, ALICE]
    assert all("altra@pec.example" in subject for _to, subject in smtp.told)


# --- Killed, twice, at once -------------------------------------------------------------------------------------------


def test_killed_between_writing_and_sending(told, smtp, monkeypatch):
    """The worker dies after the relay took the mails and before the outcome is read: beat's own task reads it."""
    monkeypatch.setattr(letters.outcomes, "_read_batch", lambda: (_ for _ in ()).throw(RuntimeError("killed")))
    send_mail()
    assert set(states().values()) == {"queued"} and len(smtp.taken) == 2
    monkeypatch.undo()
    flows.run_day()
    from lifecycle.tasks import read_outcomes

    read_outcomes()
    read_outcomes()
    send_mail()
    assert set(states().values()) == {"accepted"} and len(smtp.taken) == 2


def test_a_mail_taken_out_of_the_queue_by_hand_is_not_called_accepted(told, smtp):
    Email.objects.filter(to=[ALICE]).delete()
    send_mail()
    assert states() == {ALICE: "refused", HOLDER: "accepted"}
    assert Letter.objects.get(to=ALICE).detail == "tolta dalla coda prima di partire"


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="the lock is PostgreSQL's")
def test_no_letter_is_taken_back_while_another_process_sends(make_box, alice, smtp, today):
    import psycopg

    make_box(alice, "alice", expires_in=1)
    flows.run_day()
    parameters = connection.get_connection_params()
    known = {k: parameters[k] for k in ("host", "port", "user", "password", "dbname") if parameters.get(k)}
    with psycopg.connect(**known) as other, at(today + timedelta(days=1)):
        other.execute("SELECT pg_advisory_lock(7053001)")
        assert send_mail() == 0
        assert set(states().values()) == {"queued"} and Email.objects.count() == 2
        other.execute("SELECT pg_advisory_unlock(7053001)")
        send_mail()
        assert set(states().values()) == {"replaced"} and smtp.taken == []


# --- What an answer means ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "final"),
    [
        ("SMTPRecipientsRefused", "{'a@b.it': (550, b'5.1.1 User unknown')}", True),
        ("SMTPRecipientsRefused", "{'a@b.it': (550, b'No such user here')}", True),
        ("SMTPRecipientsRefused", "{'a@b.it': (552, b'5.2.2 Over quota')}", True),
        ("SMTPRecipientsRefused", "{'a@b.it': (554, b'5.7.1 Relay access denied')}", False),
        ("SMTPRecipientsRefused", "{'a@b.it': (554, b'no')}", False),
        ("SMTPRecipientsRefused", "{'a@b.it': (550, b'5.1.8 Sender domain not found')}", False),
        ("SMTPRecipientsRefused", "{'a@b.it': (450, b'4.1.1 unverified')}", False),
        ("SMTPDataError", "(550, b'5.1.1 odd')", False),
        ("SMTPSenderRefused", "(550, b'5.1.0 who are you', 'noreply@b.it')", False),
        ("SMTPServerDisconnected", "Connection unexpectedly closed", False),
        ("SMTPRecipientsRefused", "{}", False),
        ("SMTPRecipientsRefused", "garbage {'", False),
    ],
)
def test_final_is_only_what_is_said_of_the_recipient(kind, text, final):
    assert relay.failure(kind, text).is_final is final


def test_waits_grow_and_last_five_days(settings):
    waits = [relay.wait(n) for n in range(1, settings.POST_OFFICE["MAX_RETRIES"] + 1)]
    assert waits[:6] == [timedelta(minutes=m) for m in (5, 10, 20, 40, 80, 120)]
    assert timedelta(days=5) <= sum(waits, timedelta()) <= timedelta(days=5, hours=2)
