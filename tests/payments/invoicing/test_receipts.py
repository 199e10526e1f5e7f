"""SdI's receipts: each kind does what it says, once; what is none, or of nobody's file, is kept for staff."""

import subprocess
import sys
import zipfile
from datetime import datetime, timedelta
from email.message import EmailMessage
from functools import partial
from io import BytesIO, StringIO
from types import SimpleNamespace
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from post_office.models import Email

from payments.invoicing import answers, corrections, mailed, receipts
from payments.invoicing.sdi import folder
from payments.models import Invoice, SdiReceipt
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import day
from tests.payments.invoicing.issued import (
    MESSAGES,
    PRIVATE,
    answered,
    fresh,
    given,
    invoiced,
    message,
    rejection,
    sent,
)
from tests.races.test_races import at_once, meeting_after

BODYS = "<EsitoCommittente><IdentificativoSdI>1</IdentificativoSdI><Esito>{}</Esito></EsitoCommittente>"


@pytest.fixture
def invoice(box, alice) -> Invoice:
    return sent(invoiced(given(box, alice)))


db = pytest.mark.django_db(transaction=True)


@db
@pytest.mark.parametrize(
    ("root", "inside", "state"),
    [
        ("RicevutaConsegna", "", "delivered"),
        ("NotificaScarto", "", "rejected"),
        ("RicevutaScarto", "", "rejected"),
        ("NotificaMancataConsegna", "", "undelivered"),
        ("RicevutaImpossibilitaRecapito", "", "undelivered"),
        ("NotificaEsito", BODYS.format("EC01"), "accepted"),
        ("NotificaEsito", BODYS.format("EC02"), "refused"),
        ("NotificaDecorrenzaTermini", "", "accepted"),
        ("AttestazioneTrasmissioneFattura", "", "impossible"),
    ],
)
@pytest.mark.parametrize("space", [MESSAGES, PRIVATE], ids=["public", "private"])
def test_each_kind(invoice, root, inside, state, space):
    content = message(root, invoice.file_name, inside, space=space)
    receipt = answers.take(name="x.xml", content=content)
    found = fresh(invoice)
    assert (found.state, found.sdi_id) == (state, "112")
    assert found.answered_at == receipt.happened_at
    assert (receipt.invoice, receipt.understood, bytes(receipt.content)) == (invoice, True, content)


@db
def test_the_road_of_an_invoice_to_a_body(invoice):
    for number, (root, inside, state) in enumerate([
        ("NotificaMancataConsegna", "", "undelivered"), ("RicevutaConsegna", "", "delivered"),
        ("NotificaEsito", BODYS.format("EC01"), "accepted"),
    ], 1):  # fmt: skip
        assert answered(invoice, root, inside, number=number).state == state
    assert [e.why for e in invoice.events.all()][-3:] == ["MC", "RC", "NE EC01"]


@db
def test_who_was_not_reached_is_told_where_the_original_is_once(invoice):
    answered(invoice, "RicevutaImpossibilitaRecapito", number=1)
    answered(invoice, "RicevutaImpossibilitaRecapito", number=2)
    told = Email.objects.get(subject__startswith=f"Fattura {invoice.number_text} per l'ordine")
    assert told.to == ["alice@posta.example"]
    on = day(invoice.document_date)
    assert f"Abbiamo emesso il documento {invoice.number_text} ({on}, " in told.message


@db
@pytest.mark.race
@pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL's row locks")
def test_the_same_receipt_by_two_workers_is_one(invoice):
    content = message("RicevutaConsegna", invoice.file_name)
    with meeting_after("payments.invoicing.receipts.read"):
        found = at_once(*[partial(answers.take, name="a.xml", content=content)] * 2)
    assert found[0] == found[1] == SdiReceipt.objects.get()
    assert (found[0].understood, fresh(invoice).state) == (True, "delivered")
    assert invoice.events.filter(after="delivered").count() == 1


@db
def test_a_receipt_that_says_less_than_is_known_changes_nothing(invoice):
    answered(invoice, "NotificaEsito", BODYS.format("EC02"), number=1)
    assert answered(invoice, "RicevutaConsegna", number=2).state == "refused"
    assert SdiReceipt.objects.filter(understood=True).count() == 2


@db
def test_a_rejection_after_a_delivery_is_for_staff(invoice):
    answered(invoice, "RicevutaConsegna")
    assert answers.take(name="NS", content=rejection(invoice.file_name, number=2)).understood is False
    assert fresh(invoice).state == "delivered"


@db
def test_the_same_twice_is_one(invoice):
    content = message("RicevutaConsegna", invoice.file_name)
    first = answers.take(name="a.xml", content=content)
    assert answers.take(name="a.xml", content=content) == first
    assert answers.take(name="b.xml", content=content + b"\n") == first  # the same message, come another way
    assert (SdiReceipt.objects.count(), invoice.events.filter(after="delivered").count()) == (1, 1)


@db
def test_of_an_unknown_file_it_is_kept_for_staff(invoice, dario):
    receipt = answers.take(name="a.xml", content=message("RicevutaConsegna", "IT01234560157_XXXXX.xml"))
    assert (receipt.kind, receipt.invoice, receipt.understood) == ("RC", None, False)
    assert fresh(invoice).state == "sent"
    answers.seen(receipt_id=receipt.pk, actor=dario)
    with pytest.raises(RefusedError):
        answers.seen(receipt_id=receipt.pk, actor=dario)


@db
def test_a_rejection_as_a_double_of_what_went_twice_is_for_staff(invoice, dario):
    Invoice.objects.filter(pk=invoice.pk).update(state="ready")
    again = sent(invoice)
    receipt = answers.take(name="NS", content=rejection(invoice.file_name, code="00002"))
    assert (receipt.understood, fresh(again).state) == (False, "sent")


@db
def test_a_rejection_as_a_double_of_a_file_that_went_once_is_one(invoice, dario):
    """A correction went before it under another name: the number itself was used by another program."""
    answers.take(name="NS", content=rejection(invoice.file_name))
    again = sent(corrections.correct(invoice_id=invoice.pk, with_todays_data=False, actor=dario))
    receipt = answers.take(name="NS", content=rejection(again.file_name, code="00404", number=2))
    assert (receipt.understood, fresh(again).state) == (True, "rejected")


@db
def test_a_rejection_gives_five_days_from_sdi_s_day(invoice):
    day = clock.today() - timedelta(days=2)
    content = rejection(invoice.file_name).replace(clock.today().isoformat().encode(), day.isoformat().encode())
    answers.take(name="NS", content=content)
    assert fresh(invoice).due_on == day + timedelta(days=5)


HOSTILE = {
    "dtd": b'<!DOCTYPE x [<!ENTITY a "b">]><RicevutaConsegna><NomeFile>&a;</NomeFile></RicevutaConsegna>',
    "file": b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><RicevutaConsegna><NomeFile>a</NomeFile></RicevutaConsegna>',
    "bomb": b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"&a;" * 10) for n in range(9))
    + b"]><RicevutaConsegna><NomeFile>&a8;</NomeFile></RicevutaConsegna>",
    "no xml": b"%PDF-1.7",
    "nothing": b"",
    "another message": b"<FileMetadati><NomeFile>a</NomeFile></FileMetadati>",
    "no file": b"<RicevutaConsegna><IdentificativoSdI>1</IdentificativoSdI></RicevutaConsegna>",
    "large": b"<RicevutaConsegna><NomeFile>" + b"a" * receipts.MOST + b"</NomeFile></RicevutaConsegna>",
    "zero": b"<RicevutaConsegna><NomeFile>a\x00b</NomeFile></RicevutaConsegna>",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_receipt_is_not_read(content):
    with pytest.raises(receipts.UnreadableError) as error:
        receipts.read(content)
    assert str(error.value)


@db
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_and_is_kept_for_staff_once(content):
    receipt = answers.take(name="strano.xml", content=content)
    assert (receipt.kind, receipt.understood, receipt.invoice) == ("", False, None)
    assert receipt.detail
    assert answers.take(name="strano.xml", content=content) == receipt


def test_what_a_receipt_says():
    said = receipts.read(rejection("IT01234560157_00001.xml", code="00404"))
    assert (said.kind, said.of_file, said.sdi_id, said.message_id) == ("NS", "IT01234560157_00001.xml", "112", "9001")
    assert (said.codes, said.detail) == (("00404",), "00404 Codice non valido")
    moment = message("RicevutaConsegna", "a", "<DataOraConsegna>2026-12-01T10:00:00</DataOraConsegna>")
    assert receipts.read(moment).happened_at == datetime(2026, 12, 1, 10, 0, tzinfo=clock.ROME)


# --- How they come ----------------------------------------------------------------------------------------------------


@db
def test_out_of_the_folder(invoice):
    folder.inbox().mkdir(parents=True)
    (folder.inbox() / "IT01234560157_00001_RC_001.xml").write_bytes(message("RicevutaConsegna", invoice.file_name))
    (folder.inbox() / "strano.xml").write_bytes(HOSTILE["dtd"])
    (folder.inbox() / ".half").write_bytes(b"<Ricev")
    assert answers.take_all() == 2
    assert fresh(invoice).state == "delivered"
    assert [p.name for p in folder.inbox().iterdir()] == [".half"]
    parent = folder.inbox().parent
    assert [p.name for p in (parent / "done").iterdir()] == ["IT01234560157_00001_RC_001.xml"]
    assert [p.name for p in (parent / "refused").iterdir()] == ["strano.xml"]
    assert answers.take_all() == 0


@db
def test_killed_between_the_receipt_and_its_file_it_is_taken_again_to_no_effect(invoice):
    folder.inbox().mkdir(parents=True)
    (folder.inbox() / "rc.xml").write_bytes(message("RicevutaConsegna", invoice.file_name))
    with mock.patch("payments.invoicing.sdi.folder.put_away", side_effect=OSError(5, "prova")):
        answers.take_all()
    answers.take_all()
    assert (fresh(invoice).state, SdiReceipt.objects.count()) == ("delivered", 1)


@db
def test_the_command_takes_a_folder_s(invoice, tmp_path):
    (tmp_path / "rc.xml").write_bytes(message("RicevutaConsegna", invoice.file_name))
    (tmp_path / "altro.xml").write_bytes(b"<x/>")
    out = StringIO()
    call_command("sdi_receipts", str(tmp_path), stdout=out)
    assert out.getvalue() == "Receipts: 1 understood, 1 for staff to look at.\n"
    assert fresh(invoice).state == "delivered"
    with pytest.raises(CommandError, match="no folder"):
        call_command("sdi_receipts", str(tmp_path / "nowhere"))


def pec(*attachments: tuple[str, bytes]) -> bytes:
    """A PEC: the message of SdI inside that of the mail system, with its certificate beside it."""
    inner, outer = EmailMessage(), EmailMessage()
    inner["From"], inner["Subject"] = "sdi01@pec.fatturapa.it", "Invio ricevuta"
    inner.set_content("In allegato la ricevuta.")
    for name, content in attachments:
        inner.add_attachment(content, maintype="text", subtype="xml", filename=name)
    outer["From"], outer["Subject"] = "Per conto di: sdi01@pec.fatturapa.it", "POSTA CERTIFICATA: Invio ricevuta"
    outer.set_content("Messaggio di posta certificata")
    outer.add_attachment(b"<postacert/>", maintype="application", subtype="xml", filename="daticert.xml")
    outer.add_attachment(inner, filename="postacert.eml")
    return outer.as_bytes()


def test_receipts_are_found_inside_a_pec_by_their_names():
    raw = pec(("IT01234560157_00001_RC_001.xml", b"<a/>"), ("IT01234560157_00001.xml", b"<b/>"), ("foto.png", b"x"))
    assert mailed.receipts_in(raw) == [mailed.Attached("IT01234560157_00001_RC_001.xml", b"<a/>")]
    assert mailed.receipts_in(b"Subject: niente\n\nciao") == []
    assert mailed.receipts_in(b"\xff\xfe\x00 not a mail") == []


def zipped(*files: tuple[str, bytes]) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return made.getvalue()


@db
def test_an_attestation_comes_in_a_zip_with_the_invoice(invoice):
    """So SdI sends it (specifications of the format, annex B-1, 1.8.4)."""
    inside = message("AttestazioneTrasmissioneFattura", invoice.file_name)
    archive = zipped((invoice.file_name, bytes(invoice.xml)), ("IT01234560157_00001_AT_001.xml", inside))
    (found,) = mailed.receipts_in(pec(("IT01234560157_00001_AT_001.zip", archive)))
    receipt = answers.take(name=found.name, content=found.content)
    assert (receipt.kind, receipt.understood, fresh(invoice).state) == ("AT", True, "impossible")


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 not a zip",
        zipped(("IT01234560157_00001.xml", b"<a/>")),
        zipped(("IT01234560157_00001_AT_001.xml", b" " * (receipts.MOST + 1))),
        zipped(("IT01234560157_00001_AT_001.xml", HOSTILE["dtd"])),
    ],
    ids=["broken", "nothing in it", "bomb", "dtd"],
)
def test_a_zip_that_is_no_attestation_is_not_read(content):
    with pytest.raises(receipts.UnreadableError):
        receipts.read(content)


@db
def test_a_mail_is_piped_to_the_command(invoice):
    raw = pec(("IT01234560157_00001_RC_001.xml", message("RicevutaConsegna", invoice.file_name)))
    for _twice in range(2):
        out = StringIO()
        with mock.patch("sys.stdin", SimpleNamespace(buffer=BytesIO(raw))):
            call_command("read_sdi_mail", stdout=out)
        assert out.getvalue() == "Receipts of SdI: 1.\n"
    assert (fresh(invoice).state, SdiReceipt.objects.count()) == ("delivered", 1)


def test_without_a_database_the_mail_server_is_told_to_come_again(settings):
    raw = pec(("IT01234560157_00001_RC_001.xml", b"<a/>"))
    done = subprocess.run(
        [sys.executable, "manage.py", "read_sdi_mail"], input=raw, capture_output=True, check=False,
        cwd=settings.BASE_DIR, env={"PATH": "", "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none",
                                    "VAR_DIR": str(settings.VAR_DIR)},
    )  # fmt: skip
    assert done.returncode == 75, done.stderr
