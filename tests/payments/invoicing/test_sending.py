"""Files go to SdI once: by a real SMTP server or a folder; what nobody can say is for staff, and never sent again."""

import socket
import threading
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from unittest import mock

import pytest
import time_machine
from django.db import connection

from payments.invoicing import answers, sending
from payments.invoicing.sdi import ROADS, folder, get_road
from payments.invoicing.sdi.base import NotSentError, PerhapsSentError, Road
from payments.models import Invoice, Transmission
from pecportal import clock
from pecportal.errors import RefusedError
from tests.payments.invoicing.issued import answered, fresh, given, invoiced, message
from tests.payments.test_kills import Killed
from tests.peers.smtp_relay import Relay, free_port
from tests.races.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)
SDI = "sdi01@pec.fatturapa.it"


@pytest.fixture
def invoice(box, alice) -> Invoice:
    return invoiced(given(box, alice))


@pytest.fixture
def relay(settings):
    found = Relay()
    settings.SDI_ROAD, settings.SDI_MAIL_URL = "mail", f"smtp://127.0.0.1:{found.port}"
    settings.SDI_MAIL_FROM = "fatture@pec.provider.example"
    found.start()
    yield found
    found.stop()


def only() -> Transmission:
    return Transmission.objects.get()


def later(watch, **gap) -> None:
    watch.shift(timedelta(**gap))
    sending.send_due()


# --- By certified mail ------------------------------------------------------------------------------------------------


@pytest.mark.servers
def test_a_mail_with_the_file_attached(invoice, relay):
    assert sending.send_due() == 1
    (mail,) = relay.taken
    assert (mail["To"], mail["From"], mail["Subject"]) == (SDI, "fatture@pec.provider.example", invoice.file_name)
    (attached,) = mail.iter_attachments()
    assert attached.get_filename() == invoice.file_name
    assert attached.get_payload(decode=True) == bytes(invoice.xml)
    assert (fresh(invoice).state, only().outcome, only().road) == ("sent", "sent", "mail")
    assert only().detail.startswith("250 ")
    assert sending.send_due() == 0
    assert len(relay.taken) == 1


@pytest.mark.servers
@pytest.mark.parametrize("where", ["away", "recipient", "content"])
def test_what_the_server_refuses_did_not_go_and_is_tried_later(invoice, relay, where):
    if where == "away":
        relay.stop()
    elif where == "recipient":
        relay.say["*"] = "450 4.2.0 try later"
    else:
        relay.at_data = "451 4.3.0 try later"
    with time_machine.travel(clock.now(), tick=False) as watch:
        sending.send_due()
        assert (fresh(invoice).state, only().outcome) == ("ready", "failed")
        assert sending.send_due() == 0  # not at once
        relay.say.clear()
        relay.at_data = ""
        if where == "away":
            relay.start()
        later(watch, minutes=6)
    assert fresh(invoice).state == "sent"
    assert [t.outcome for t in invoice.transmissions.all()] == ["failed", "sent"]
    assert len(relay.taken) == 1


def _breaks_after_content(port: int, got: list[bytes]) -> threading.Thread:
    """An SMTP server that takes the content and hangs up without a word."""
    listening = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        with listening, listening.accept()[0] as peer, peer.makefile("rwb") as lines:
            lines.write(b"220 here\r\n")
            lines.flush()
            for line in lines:
                if line.upper().startswith(b"DATA"):
                    lines.write(b"354 go on\r\n")
                    lines.flush()
                    while (content := lines.readline()) not in (b".\r\n", b""):
                        got.append(content)
                    return
                lines.write(b"250 OK\r\n")
                lines.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.servers
def test_a_connection_that_breaks_after_the_content_is_for_staff(invoice, settings, dario):
    port, got = free_port(), []
    settings.SDI_ROAD, settings.SDI_MAIL_URL = "mail", f"smtp://127.0.0.1:{port}"
    settings.SDI_MAIL_FROM = "fatture@pec.provider.example"
    server = _breaks_after_content(port, got)
    with time_machine.travel(clock.now(), tick=False) as watch:
        sending.send_due()
        server.join(timeout=10)
        assert got
        assert (fresh(invoice).state, only().outcome) == ("unknown", "unknown")
        for _turn in range(4):
            later(watch, days=1)
    assert (fresh(invoice).state, Transmission.objects.count()) == ("unknown", 1)


# --- A folder ---------------------------------------------------------------------------------------------------------


def test_a_file_in_a_folder_whole_and_alone(invoice):
    assert sending.send_due() == 1
    (found,) = folder.outbox().iterdir()
    assert (found.name, found.read_bytes()) == (invoice.file_name, bytes(invoice.xml))
    assert (fresh(invoice).state, only().road) == ("sent", "folder")


def test_another_file_of_that_name_is_never_written_over(invoice):
    folder.outbox().mkdir(parents=True)
    there = folder.outbox() / invoice.file_name
    there.write_text("altro")
    sending.send_due()
    assert (fresh(invoice).state, only().outcome, there.read_text()) == ("ready", "failed", "altro")


def test_the_same_file_there_already_has_gone(invoice):
    folder.outbox().mkdir(parents=True)
    (folder.outbox() / invoice.file_name).write_bytes(bytes(invoice.xml))
    sending.send_due()
    assert fresh(invoice).state == "sent"


def test_a_folder_that_cannot_be_written_is_tried_later(invoice, settings, tmp_path):
    settings.SDI_FOLDER = tmp_path / "file"
    settings.SDI_FOLDER.write_text("not a folder")
    sending.send_due()
    assert (fresh(invoice).state, only().outcome) == ("ready", "failed")


def test_without_a_road_files_wait(invoice, settings):
    settings.SDI_ROAD = ""
    assert (sending.send_due(), fresh(invoice).state) == (0, "ready")


# --- Once -------------------------------------------------------------------------------------------------------------


class Slow(Road):
    name = "folder"
    sent: list[str] = []

    def send(self, file_name, content):
        self.sent.append(file_name)
        return "ok"


@pytest.mark.race
@pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL's row locks")
@pytest.mark.parametrize("locked", [True, False], ids=["", "control"])
def test_two_workers_send_once(invoice, locked):
    Slow.sent = []
    barrier = threading.Barrier(2)
    real = Transmission.objects.create

    def meet(**facts):
        try:
            barrier.wait(timeout=2 if locked else 10)  # without the lock nothing holds the other back: it comes
        except threading.BrokenBarrierError:
            pass
        return real(**facts)

    off = mock.patch("payments.models.invoices.InvoiceQuerySet.locked", lambda self: self)
    with nullcontext() if locked else off, mock.patch.object(sending.Transmission.objects, "create", meet):
        if not locked:
            with connection.schema_editor() as editor:
                editor.remove_constraint(Transmission, Transmission._meta.constraints[0])
        try:
            at_once(*[partial(sending.send, invoice.pk, Slow())] * 2)
        finally:
            if not locked:
                Transmission.objects.all().delete()
                with connection.schema_editor() as editor:
                    editor.add_constraint(Transmission, Transmission._meta.constraints[0])
    assert len(Slow.sent) == (1 if locked else 2)


@pytest.mark.parametrize("state", ["to_sign", "sending", "unknown", "sent", "delivered", "rejected"])
def test_only_what_is_ready_is_sent(invoice, state):
    Invoice.objects.filter(pk=invoice.pk).update(state=state)
    assert not sending.send(invoice.pk, Slow())
    assert not Transmission.objects.exists()


class Dies(Road):
    name = "folder"

    def send(self, file_name, content):
        raise Killed


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_that_dies_while_it_sends_leaves_it_to_staff(invoice, dario, after):
    with time_machine.travel(clock.now(), tick=False) as watch:
        if after:
            with mock.patch("payments.invoicing.sending._end", side_effect=Killed), pytest.raises(Killed):
                sending.send(invoice.pk, get_road())
        else:
            with pytest.raises(Killed):
                sending.send(invoice.pk, Dies())
        assert fresh(invoice).state == "sending"
        later(watch, minutes=10)
        assert fresh(invoice).state == "sending"  # it may still be at it
        later(watch, minutes=10)
        assert fresh(invoice).state == "unknown"
        later(watch, days=3)
    assert Transmission.objects.count() == 1
    if after:
        sending.it_went(invoice_id=invoice.pk, actor=dario)
        assert (fresh(invoice).state, only().outcome) == ("sent", "sent")
    else:
        sending.it_did_not_go(invoice_id=invoice.pk, actor=dario)
        assert (fresh(invoice).state, only().outcome) == ("ready", "failed")
        with time_machine.travel(clock.now() + timedelta(days=4)):
            sending.send_due()
        assert (fresh(invoice).state, fresh(invoice).file_name) == ("sent", invoice.file_name)
    with pytest.raises(RefusedError):
        sending.it_went(invoice_id=invoice.pk, actor=dario)


class Odd(Road):
    name = "folder"

    def send(self, file_name, content):
        raise RuntimeError("nobody thought of this")


def test_an_error_that_nobody_thought_of_is_unknown(invoice):
    sending.send(invoice.pk, Odd())
    assert (fresh(invoice).state, only().outcome, only().detail) == ("unknown", "unknown", "RuntimeError")


@pytest.mark.parametrize("error", [NotSentError, PerhapsSentError])
def test_a_receipt_that_is_quicker_than_the_attempt_s_end_stands(invoice, error):
    class Quick(Road):
        name = "folder"

        def send(self, file_name, content):
            answers.take(name="RC", content=message("RicevutaConsegna", file_name))
            raise error("rete caduta")

    sending.send(invoice.pk, Quick())
    assert (fresh(invoice).state, only().outcome) == ("delivered", "sent")
    assert sending.send_due() == 0


def test_a_receipt_says_that_an_unknown_attempt_had_gone(invoice):
    sending.send(invoice.pk, Odd())
    assert answered(invoice).state == "delivered"
    assert (only().outcome, only().detail) == ("sent", "lo dice la ricevuta di SdI")


def test_the_most_urgent_goes_first(make_box, alice):
    late, soon = (invoiced(given(make_box(alice, name), alice)) for name in ("a", "b"))
    Invoice.objects.filter(pk=soon.pk).update(due_on=clock.today())
    Slow.sent = []
    with mock.patch.dict(ROADS, {"folder": Slow}):
        sending.send_due()
    assert Slow.sent == [soon.file_name, late.file_name]
