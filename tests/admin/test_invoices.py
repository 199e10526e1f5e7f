"""Invoices for the bookkeeper: what waits, what can be done, what is exported, whether numbers are whole."""

import csv
import io
import re
import zipfile
from datetime import date, timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils.html import escape

from accounts.models import BillingProfile, User
from payments.admin.invoice_rows import advice
from payments.invoicing import issue, register, sending
from payments.models import Invoice, InvoiceCounter, Refund, SdiReceipt, Transmission
from pecportal import clock
from renewals import giving
from renewals.models import BillingSnapshot, Order
from tests.conftest import PASSWORD
from tests.helpers import pay_card, place
from tests.payments.invoicing.invoice_rows import credited, issued

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/payments/invoice/"
State = Invoice.State


@pytest.fixture
def given(make_box, alice):
    """given("name") → an order that was paid by card and fulfilled."""

    def make(name: str = "alice") -> Order:
        order = place(make_box(alice, name), alice)
        pay_card(order, alice)
        giving.fulfil(order.pk)
        return Order.objects.get(pk=order.pk)

    return make


def page(invoice, what="change"):
    return reverse(f"admin:payments_invoice_{what}", args=[invoice.pk])


def said(answer):
    return [(m.level_tag, m.message.replace("\u00a0", " ")) for m in get_messages(answer.wsgi_request)]


def buttons(client, invoice) -> set[str]:
    html = client.get(page(invoice)).content.decode()
    found = re.findall(rf'href="{LIST}{invoice.pk}/([^"/]+)', html)
    return set(found) - {"change", "history", "delete"}


def listed(answer) -> list[int]:
    return [invoice.number or 0 for invoice in answer.context["cl"].result_list]


# --- The queue --------------------------------------------------------------------------------------------------------


def test_the_queue_holds_what_waits_the_most_urgent_first(staff, given, today):
    states = [State.REJECTED, State.TO_SIGN, State.UNKNOWN, State.REFUSED, State.READY, State.SENT, State.DELIVERED]
    for number, state in enumerate(states, 1):
        issued(given(f"n{number}"), number=number, state=state, on=today - timedelta(20 - number))
    assert listed(staff.get(LIST)) == [1, 2, 3, 4]
    assert listed(staff.get(LIST, {"che": "da_inviare"})) == [1, 2, 3, 5]
    assert listed(staff.get(LIST, {"che": "in_ritardo"})) == [1, 2, 3, 5]
    assert listed(staff.get(LIST, {"che": "tutti"})) == [7, 6, 5, 4, 3, 2, 1]
    assert listed(staff.get(LIST, {"state__exact": "sent"})) == [6]
    assert listed(staff.get(LIST, {"q": "n7@pec.example"})) == [7]  # whatever its state
    assert listed(staff.get(LIST, {"q": f"PEC-{(today - timedelta(14)).year}-6"})) == [6]
    assert listed(staff.get(LIST, {"q": "6"})) == [6]
    assert listed(staff.get(LIST, {"q": Order.objects.get(invoices__number=5).number})) == [5]
    assert staff.get(LIST).context["title"] == "Fatture: 4 documenti da sistemare, 4 in ritardo verso SdI"


def cells(answer, column: str) -> list[str]:
    html = answer.content.decode()
    return [re.sub(r"<[^>]+>", "", c).strip() for c in re.findall(rf"field-{column}[^>]*>(.*?)</t[dh]>", html, re.S)]


def test_deadlines_are_red_when_past_and_marked_when_near(staff, given, today):
    for number, days in enumerate((-3, -1, 0, 2, 9), 1):
        issued(given(f"n{number}"), number=number, state=State.REJECTED, due_on=today + timedelta(days))
    answer = staff.get(LIST)
    words = ["in ritardo di 3 giorni", "in ritardo di 1 giorno", "oggi", "tra 2 giorni"]
    assert cells(answer, "by_when")[:4] == words
    html = answer.content.decode()
    colours = re.findall(rf"bg-(\w+)-[^>]*>\s*(?:{'|'.join(words)})", html)
    assert colours == ["red", "red", "orange", "orange"]
    Invoice.objects.update(state=State.DELIVERED)
    assert cells(staff.get(LIST, {"che": "tutti"}), "by_when") == ["-"] * 5


BUTTONS = {
    State.TO_SIGN: {"copia.pdf", "fattura.xml"}, State.READY: {"copia.pdf", "fattura.xml"},
    State.UNKNOWN: {"copia.pdf", "fattura.xml", "partita", "non-partita"},
    State.REJECTED: {"copia.pdf", "fattura.xml", "correggi", "sostituisci"},
    State.REFUSED: {"copia.pdf", "fattura.xml", "correggi", "storna"},
    State.SENT: {"copia.pdf", "fattura.xml"}, State.DELIVERED: {"copia.pdf", "fattura.xml", "storna"},
    State.REPLACED: {"copia.pdf", "fattura.xml"},
}  # fmt: skip


@pytest.mark.parametrize(("state", "wanted"), BUTTONS.items())
def test_buttons_only_where_they_can_do_something(staff, given, state, wanted):
    invoice = issued(given(), number=1, state=state)
    assert buttons(staff, invoice) == wanted
    names = {"correct": "correggi", "replace": "sostituisci", "credit": "storna", "it_went": "partita"}
    for name in (name for name, path in names.items() if path not in wanted):
        answer = staff.post(page(invoice, name), {"amount": "1,00", "reason": "prova"})
        assert said(answer)[-1] == ("warning", "Non si può più: lo stato è cambiato.")
    assert Invoice.objects.get().state == state


def test_what_sdi_does_not_answer_for_a_week_is_in_the_queue_and_can_be_sent_again(staff, given):
    invoice = issued(given(), number=1, state=State.SENT)
    attempt = Transmission.objects.create(
        invoice=invoice, file_name=invoice.file_name, road="folder", outcome="sent", begun_at=clock.now()
    )
    assert (listed(staff.get(LIST)), "non-partita" in buttons(staff, invoice)) == ([], False)
    Transmission.objects.filter(pk=attempt.pk).update(begun_at=clock.now() - timedelta(7))
    assert (listed(staff.get(LIST)), "non-partita" in buttons(staff, invoice)) == ([1], True)
    staff.post(page(invoice, "it_did_not_go"), {})
    assert Invoice.objects.get().state == State.READY


@pytest.mark.parametrize("state", State)
def test_every_state_says_what_to_do(staff, given, state):
    invoice = issued(given(), number=1, state=state)
    told = advice(invoice)
    assert told.endswith(".") and escape(told) in staff.get(page(invoice)).content.decode()


# --- What staff do ----------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(given, alice) -> Invoice:
    """The invoice of an order whose data SdI would refuse: a postal code that is none."""
    order = given()
    BillingSnapshot.objects.filter(order=order).update(postal_code="1")
    BillingProfile.objects.filter(user=alice).update(postal_code="1")
    invoice = issue.issue(order.pk)
    assert invoice is not None and (invoice.state, invoice.number) == (State.WAITING, None)
    return invoice


def test_what_waits_says_why_and_is_looked_at_again(staff, waiting, alice):
    html = staff.get(page(waiting)).content.decode()
    assert "SdI la scarterebbe" in html and "senza numero" in html
    refused = staff.post(page(waiting, "reconsider"))
    assert refused.status_code == 200
    assert "Aspetta ancora:" in str(refused.context["form"].errors)
    BillingProfile.objects.filter(user=alice).update(postal_code="00184")
    answer = staff.post(page(waiting, "reconsider"))
    assert said(answer)[-1] == ("success", "Ora va bene: ha il suo numero e parte da sola.")
    waiting.refresh_from_db()
    assert (waiting.state, waiting.number) == (State.READY, 1)
    assert waiting.events.last().actor is None or waiting.events.last().actor.username == "dario"


def test_one_that_was_issued_elsewhere_takes_no_number(staff, waiting):
    empty = staff.post(page(waiting, "elsewhere"), {"reference": " "})
    assert empty.context["form"].errors["reference"] == ["Scrivi numero e data del documento emesso altrove."]
    staff.post(page(waiting, "elsewhere"), {"reference": "EST/4 del 20/11/2026"})
    waiting.refresh_from_db()
    assert (waiting.state, waiting.number, waiting.detail) == (State.ELSEWHERE, None, "EST/4 del 20/11/2026")
    assert InvoiceCounter.objects.count() == 0


@pytest.fixture
def unknown(given) -> Invoice:
    invoice = issued(given(), number=1, state=State.UNKNOWN)
    Transmission.objects.create(invoice=invoice, file_name=invoice.file_name, road="mail", begun_at=clock.now())
    return invoice


def test_an_unknown_attempt_is_decided_by_a_person(staff, unknown, dario):
    asked = staff.get(page(unknown, "it_did_not_go")).content.decode()
    assert "Hai controllato che il file non è arrivato" in asked
    staff.post(page(unknown, "it_went"))
    unknown.refresh_from_db()
    assert (unknown.state, unknown.events.last().actor) == (State.SENT, dario)
    again = staff.post(page(unknown, "it_did_not_go"))
    assert said(again)[-1][0] == "warning"
    assert Invoice.objects.get().state == State.SENT


def test_one_that_did_not_go_is_ready_again(staff, unknown):
    staff.post(page(unknown, "it_did_not_go"))
    unknown.refresh_from_db()
    assert (unknown.state, unknown.transmissions.get().outcome) == (State.READY, "failed")
    assert sending.Outcome.FAILED == "failed"


@pytest.fixture
def rejected(given, today) -> Invoice:
    return issued(given(), number=1, state=State.REJECTED, on=today, due_on=today + timedelta(3))


def test_a_rejected_one_is_corrected_with_the_data_of_today(staff, rejected, alice, dario):
    BillingProfile.objects.filter(user=alice).update(address="via Nuova 3")
    answer = staff.post(page(rejected, "correct"), {"with_todays_data": "on"})
    assert said(answer)[-1] == ("success", "Corretta: parte da sola con lo stesso numero e la stessa data.")
    before = (rejected.number, rejected.document_date)
    rejected.refresh_from_db()
    assert (rejected.state, rejected.number, rejected.document_date) == (State.READY, *before)
    assert b"via Nuova 3" in bytes(rejected.xml) and rejected.events.last().actor == dario


def test_what_would_be_rejected_again_is_told_and_nothing_changes(staff, rejected, alice):
    BillingProfile.objects.filter(user=alice).update(postal_code="1")
    answer = staff.post(page(rejected, "correct"), {"with_todays_data": "on"})
    assert answer.status_code == 200
    assert "SdI la scarterebbe di nuovo." in str(answer.context["form"].errors)
    rejected.refresh_from_db()
    assert rejected.state == State.REJECTED


def test_after_five_days_a_new_one_takes_its_place(staff, rejected, today):
    Invoice.objects.update(due_on=today - timedelta(1))
    late = staff.post(page(rejected, "correct"), {"with_todays_data": ""})
    assert "I cinque giorni per correggerla sono passati" in str(late.context["form"].errors)
    answer = staff.post(page(rejected, "replace"), {"with_todays_data": ""})
    new = Invoice.objects.get(replaces=rejected)
    assert answer["Location"] == page(new)
    assert (new.state, new.number, Invoice.objects.get(pk=rejected.pk).state) == (State.READY, 2, State.REPLACED)


def test_a_credit_note_by_hand_is_of_no_more_than_is_left(staff, given, today):
    invoice = issued(given(), number=1, on=today)
    assert "Restano € 12,08 da stornare" in staff.get(page(invoice, "credit")).content.decode().replace("\u00a0", " ")
    too_much = staff.post(page(invoice, "credit"), {"amount": "12,09", "reason": "prova"})
    assert "Si possono stornare al massimo" in str(too_much.context["form"].errors)
    answer = staff.post(page(invoice, "credit"), {"amount": "12,08", "reason": "ordine annullato"})
    note = Invoice.objects.get(kind="TD04")
    assert answer["Location"] == page(note)
    assert (note.corrects, note.total, note.number) == (invoice, D("12.08"), 2)
    assert "storna" not in buttons(staff, invoice)
    assert note.number_text in staff.get(page(invoice)).content.decode()


def test_the_note_of_a_refund_is_on_its_page_and_made_from_there(staff, given, dario, today):
    order = given()
    invoice = issued(order, number=1, on=today, state=State.READY)
    refund = Refund.objects.create(
        order=order, payment=order.payments.get(), amount=D("5.00"), status="done", done_at=clock.now(), asked_by=dario,
    )  # fmt: skip
    address = reverse("admin:payments_refund_credit", args=[refund.pk])
    assert "SdI non ha ancora una fattura di questo ordine" in str(staff.post(address).context["form"].errors)
    Invoice.objects.update(state=State.DELIVERED)
    assert address in staff.get(reverse("admin:payments_refund_change", args=[refund.pk])).content.decode()
    staff.post(address)
    note = Invoice.objects.get(kind="TD04")
    assert (note.refund, note.corrects, note.total) == (refund, invoice, D("5.00"))
    html = staff.get(reverse("admin:payments_refund_change", args=[refund.pk])).content.decode()
    assert note.number_text in html and address not in html


def test_the_files_and_the_order_lead_to_each_other(staff, given):
    invoice = issued(given(), number=1)
    assert staff.get(page(invoice, "xml_file")).content == bytes(invoice.xml)
    assert staff.get(page(invoice, "courtesy_pdf")).content[:5] == b"%PDF-"
    order = staff.get(reverse("admin:renewals_order_change", args=[invoice.order.pk])).content.decode()
    assert page(invoice) in order
    assert reverse("admin:renewals_order_change", args=[invoice.order.pk]) in staff.get(page(invoice)).content.decode()


def test_who_may_only_look_moves_and_exports_nothing(client, given):
    invoice = issued(given(), number=1, state=State.REJECTED)
    reader = User.objects.create_user("lettrice", PASSWORD, is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_invoice"))
    client.force_login(reader, backend="accounts.backends.AccountBackend")
    assert buttons(client, invoice) == {"copia.pdf", "fattura.xml"}
    for what in ("correct", "replace", "credit", "reconsider", "elsewhere", "it_went", "it_did_not_go"):
        assert client.post(page(invoice, what)).status_code == 403
    assert client.post(LIST + "esporta/").status_code == 403
    assert client.get(LIST + "numerazione/").status_code == 200
    assert client.post(LIST + "numerazione/").status_code == 403
    assert Invoice.objects.get().state == State.REJECTED


# --- Receipts ---------------------------------------------------------------------------------------------------------

UPLOAD = "/admin/payments/sdireceipt/carica/"
RC = """<?xml version="1.0"?><t:RicevutaConsegna xmlns:t="http://www.fatturapa.gov.it/sdi/messaggi/v1.0">
<IdentificativoSdI>111</IdentificativoSdI><NomeFile>{}</NomeFile><DataOraRicezione>2026-11-20T10:00:00</DataOraRicezione>
<DataOraConsegna>2026-11-20T12:00:00</DataOraConsegna><MessageId>9</MessageId></t:RicevutaConsegna>"""


def upload(client, content: bytes, name="IT01234560157_00001_RC_001.xml"):
    return client.post(UPLOAD, {"file": SimpleUploadedFile(name, content)})


def test_a_receipt_that_is_uploaded_moves_its_invoice_once(staff, given):
    invoice = issued(given(), number=1, state=State.SENT)
    for _time in range(2):
        answer = upload(staff, RC.format(invoice.file_name).encode())
        assert said(answer)[-1] == ("success", f"Ricevuta applicata: {invoice.number_text} è «Consegnata».")
    invoice.refresh_from_db()
    assert (invoice.state, SdiReceipt.objects.count()) == (State.DELIVERED, 1)
    assert "Ricevuta di consegna" in staff.get(answer["Location"]).content.decode()


def test_what_is_not_understood_is_kept_until_somebody_looked(staff, dario):
    for name, content in {"a.xml": b"<no/>", "b.xml": RC.format("IT999_00001.xml").encode()}.items():
        assert said(upload(staff, content, name))[-1][0] == "warning"
    listing = reverse("admin:payments_sdireceipt_changelist")
    assert {r.name for r in staff.get(listing).context["cl"].result_list} == {"a.xml", "b.xml"}
    receipt = SdiReceipt.objects.get(name="a.xml")
    shown = staff.get(reverse("admin:payments_sdireceipt_change", args=[receipt.pk])).content.decode()
    assert "&lt;no/&gt;" in shown and "<no/>" not in shown
    staff.post(reverse("admin:payments_sdireceipt_look", args=[receipt.pk]))
    receipt.refresh_from_db()
    assert receipt.seen_by == dario
    assert {r.name for r in staff.get(listing).context["cl"].result_list} == {"b.xml"}
    assert staff.get(listing, {"che": "tutte"}).context["cl"].result_count == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "Il file è vuoto."), (b"x" * 1_000_001, "Il file è più grande di 1 MB: non è una ricevuta di SdI.")],
)
def test_a_bad_upload_is_told_beside_its_field(staff, content, sentence):
    assert dict(upload(staff, content).context["form"].errors) == {"file": [sentence]}
    assert SdiReceipt.objects.count() == 0


# --- The register -----------------------------------------------------------------------------------------------------


def unzipped(answer) -> tuple[zipfile.ZipFile, list[dict[str, str]]]:
    made = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert made.testzip() is None
    text = made.read("registro.csv").decode("utf-8-sig")
    return made, list(csv.DictReader(io.StringIO(text), delimiter=";"))


def test_a_period_is_a_zip_of_files_and_their_register(staff, given):
    first = issued(given("a"), number=1, on=date(2026, 1, 31))
    credited(first, number=2, amount=D("2.08"), on=date(2026, 2, 1))
    issued(given("b"), number=3, on=date(2026, 2, 28), state=State.REPLACED)
    issued(given("c"), number=4, on=date(2026, 2, 28), state=State.READY)
    issued(given("d"), number=5, on=date(2026, 2, 10), state=State.NUMBERED, xml=None, file_name=None)
    issued(given("e"), number=6, on=date(2026, 3, 1))
    answer = staff.post(LIST + "esporta/", {"first": "01/02/2026", "last": "28/02/2026"})
    assert answer["Content-Disposition"] == 'attachment; filename="fatture_2026-02-01_2026-02-28.zip"'
    made, rows = unzipped(answer)
    assert made.namelist() == [
        "fatture/IT01234560157_T0002.xml", "scartate/IT01234560157_T0003.xml", "da-inviare/IT01234560157_T0004.xml",
        "registro.csv",
    ]  # fmt: skip
    assert made.read("fatture/IT01234560157_T0002.xml") == bytes(Invoice.objects.get(number=2).xml)
    assert [row["Numero"] for row in rows] == [f"PEC-2026-{n}" for n in (2, 5, 3, 4)]
    assert rows[0] == {
        "Numero": "PEC-2026-2", "Data": "01/02/2026", "Tipo": "TD04", "Cliente": "Alice Rossi",
        "Codice fiscale": "RSSLCA80A41H501U", "Partita IVA": "", "Imponibile": "1,70", "Aliquota": "22,00",
        "IVA": "0,38", "Totale": "2,08", "Scissione dei pagamenti": "", "Stato": "Consegnata",
        "Identificativo SdI": "", "File": "IT01234560157_T0002.xml", "Ordine": first.order.number,
        "Fattura stornata": "PEC-2026-1",
    }  # fmt: skip
    assert (rows[1]["Cliente"], rows[1]["File"], rows[1]["Totale"]) == ("", "", "12,08")


def test_more_than_a_batch_comes_out_whole_and_in_order(staff, given, monkeypatch):
    monkeypatch.setattr(register, "BATCH", 2)
    for number in range(1, 8):  # three of one day: the second key of the order counts
        issued(given(f"n{number}"), number=number, on=date(2026, 5, 1 + number // 4))
    _made, rows = unzipped(staff.post(LIST + "esporta/", {"first": "1/5/2026", "last": "31/5/2026"}))
    assert [row["Numero"] for row in rows] == [f"PEC-2026-{n}" for n in range(1, 8)]


def test_a_name_is_no_formula(staff, given, alice):
    BillingProfile.objects.filter(user=alice).update(first_name="=1+1", last_name="Rossi")
    order = given()
    BillingSnapshot.objects.filter(order=order).update(first_name="=1+1")
    issued(order, number=1, on=date(2026, 5, 1))
    _made, rows = unzipped(staff.post(LIST + "esporta/", {"first": "1/5/2026", "last": "1/5/2026"}))
    assert rows[0]["Cliente"] == "'=1+1 Rossi"


@pytest.mark.parametrize(
    ("first", "last", "errors"),
    [
        ("", "x", {"first": ["Scrivi la data."], "last": ["Scrivi la data come 31/05/2027."]}),
        ("2/2/2026", "1/2/2026", {"last": ["L'ultimo giorno viene prima del primo."]}),
        ("1/2/2026", "2/2/2026", {"__all__": ["In questo periodo non c'è nessun documento."]}),
    ],
)
def test_a_wrong_period_is_told_beside_its_field(staff, first, last, errors):
    answer = staff.post(LIST + "esporta/", {"first": first, "last": last})
    assert dict(answer.context["form"].errors) == errors


# --- Numbers ----------------------------------------------------------------------------------------------------------


def verdicts(client) -> list[list[str]]:
    rows = client.get(LIST + "numerazione/").context["table"]["rows"]
    return [[re.sub(r"<[^>]+>|\s+", " ", str(cell)).strip() for cell in row] for row in rows]


def test_numbers_that_are_whole_say_so(staff, given):
    assert "Nessun documento è ancora stato numerato." in staff.get(LIST + "numerazione/").content.decode()
    with time_machine.travel("2026-12-30T10:00:00+01:00"):
        issue.issue(given("a").pk)
        issue.issue(given("b").pk)
    with time_machine.travel("2027-01-02T10:00:00+01:00"):
        issue.issue(given("c").pk)
    assert verdicts(staff) == [
        ["2027", "PEC", "Senza buchi", "1", "1", "1", "1", "-"],
        ["2026", "PEC", "Senza buchi", "2", "1", "2", "2", "-"],
    ]  # fmt: skip
    html = staff.get(LIST + "numerazione/").content.decode()
    assert "senza buchi e senza doppi" in html


@pytest.mark.parametrize(
    ("numbers", "taken", "verdict"),
    [
        ([1, 2, 4, 7], 7, ["Da controllare", "4", "1", "7", "7", "3, 5, 6"]),
        ([1, 2], 4, ["Da controllare", "2", "1", "2", "4", "3, 4"]),
        ([2, 3], 3, ["Da controllare", "2", "2", "3", "3", "1"]),
        ([1, 2, 3], 2, ["Da controllare", "3", "1", "3", "2", "-"]),
        ([], 60, ["Da controllare", "0", "0", "0", "60", ", ".join(map(str, range(1, 51))) + " e altri 10"]),
    ],
    ids=["holes", "lost at the end", "lost at the start", "counter behind", "all lost"],
)
def test_numbers_that_are_not_are_named(staff, given, numbers, taken, verdict):
    for number in numbers:
        issued(given(f"n{number}"), number=number, on=date(2026, 5, 1))
    InvoiceCounter.objects.update_or_create(series="PEC", year=2026, defaults={"last": taken})
    InvoiceCounter.objects.create(series=InvoiceCounter.FILES, year=0, last=999)
    assert verdicts(staff) == [["2026", "PEC", *verdict]]
    assert "parlane con chi gestisce" in staff.get(LIST + "numerazione/").content.decode()
