"""An order's invoice: once, with a number without gaps, from the data that registration fixed; or it waits."""

from datetime import date, datetime, timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.db import IntegrityError, transaction
from post_office.models import Email

from accounts.models import BillingProfile
from payments.invoicing import checks, issue, numbering, rows, schema_check, states, sweeps, waiting
from payments.invoicing.reading import text
from payments.invoicing.xml import numbered, write
from payments.models import Invoice, InvoiceEvent
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import BillingSnapshot, Order
from tests.helpers import pay_card, place
from tests.payments.invoicing import documents
from tests.payments.invoicing.issued import fresh, given, invoiced
from tests.payments.invoicing.population import body_code

pytestmark = pytest.mark.django_db(transaction=True)
BUYER = "FatturaElettronicaHeader/CessionarioCommittente"
CIRCOLO = body_code("9756321058")
NUMBER = "FatturaElettronicaBody/DatiGenerali/DatiGeneraliDocumento/Numero"


@pytest.fixture
def order(box, alice) -> Order:
    return given(box, alice)


def read(invoice):
    return schema_check.parse(bytes(invoice.xml))


def test_an_order_that_was_given_has_its_invoice(order, today):
    invoice = invoiced(order)
    assert (invoice.number_text, invoice.state, invoice.kind, invoice.format) == (
        f"PEC-{today.year}-1", "ready", "TD01", "FPR12",
    )  # fmt: skip
    assert (invoice.document_date, invoice.money_on, invoice.due_on) == (today, today, today + timedelta(days=12))
    assert (invoice.taxable, invoice.vat, invoice.total) == (D("9.90"), D("2.18"), D("12.08"))
    assert invoice.file_name == "IT01234560157_00001.xml"
    assert checks.findings(bytes(invoice.xml), today=today) == []
    assert text(read(invoice), NUMBER) == invoice.number_text
    assert [(e.before, e.after) for e in invoice.events.all()] == [
        ("", "waiting"), ("waiting", "numbered"), ("numbered", "ready"),
    ]  # fmt: skip


def test_a_second_time_makes_nothing(order):
    invoiced(order)
    assert issue.issue(order.pk) is None
    sweeps.sweep()
    sweeps.sweep_all()
    assert Invoice.objects.count() == 1
    assert (numbering.gaps("PEC", clock.today().year), InvoiceEvent.objects.count()) == ([], 3)


def test_the_file_is_what_its_document_writes(order):
    invoice = issue.with_facts(invoiced(order).pk)
    assert bytes(invoice.xml) == write(rows.document_of(invoice, progressive="00001"))


def test_another_number_in_a_file_is_as_if_it_had_been_written_with_it():
    xml = write(documents.invoice(number="PEC-2026-99999999", progressive="ZZZZZ"))
    assert numbered(xml, number="2026/17", progressive="00017") == write(documents.invoice())


# --- Which orders, and when -------------------------------------------------------------------------------------------


def test_only_what_was_given_and_what_was_paid_ten_days_ago(box, alice, monkeypatch):
    order = place(box, alice)
    assert issue.issue(order.pk) is None
    monkeypatch.setattr("payments.recording.after_paid", lambda order_id: None)
    pay_card(order, alice)
    assert issue.issue(order.pk) is None
    with time_machine.travel(clock.now() + timedelta(days=10, minutes=1)):
        sweeps.sweep()
        invoice = Invoice.objects.get()
        assert (invoice.state, invoice.document_date) == ("ready", clock.today() - timedelta(days=10))


def test_an_order_in_attention_has_none(order):
    Order.objects.filter(pk=order.pk).update(status="attention", fulfilled_at=None)
    with time_machine.travel(clock.now() + timedelta(days=11)):
        assert issue.issue(order.pk) is None
        sweeps.sweep_all()
    assert not Invoice.objects.exists()


@pytest.mark.parametrize("begin", [None, 1])
def test_money_of_before_is_invoiced_elsewhere(order, settings, today, begin):
    settings.INVOICES_FROM = today + timedelta(days=begin) if begin else None
    assert issue.issue(order.pk) is None
    sweeps.sweep()
    sweeps.sweep_all()
    assert not Invoice.objects.exists()


def test_the_minute_s_sweep_looks_at_the_last_days_and_the_other_at_all(order):
    Order.objects.filter(pk=order.pk).update(fulfilled_at=clock.now() - timedelta(days=3))
    sweeps.sweep()
    assert not Invoice.objects.exists()
    sweeps.sweep_all()
    assert Invoice.objects.count() == 1


def test_the_year_of_a_number_is_that_of_the_document_not_of_today(make_box, alice):
    with time_machine.travel(datetime(2026, 12, 31, 23, 30, tzinfo=clock.ROME)):
        old = given(make_box(alice, "vecchio"), alice)
    with time_machine.travel(datetime(2027, 1, 1, 0, 30, tzinfo=clock.ROME)):  # 2026 still in UTC
        new = given(make_box(alice, "nuovo"), alice)
        found = [invoiced(new), invoiced(old)]
    assert [i.number_text for i in found] == ["PEC-2027-1", "PEC-2026-1"]
    assert found[1].document_date == date(2026, 12, 31)


# --- Whose data (R8) --------------------------------------------------------------------------------------------------


def test_data_that_changed_after_the_registration_change_nothing(order, alice):
    BillingProfile.objects.filter(user=alice).update(address="via Dopo 3")
    assert text(read(invoiced(order)), f"{BUYER}/Sede/Indirizzo") == "via Roma 1"


def test_an_association_with_a_codice_fiscale_alone(order):
    BillingSnapshot.objects.filter(order=order).update(
        subject="company", company_name="Circolo di Prova", codice_fiscale=CIRCOLO, partita_iva=""
    )
    root = read(invoiced(order))
    assert text(root, f"{BUYER}/DatiAnagrafici/CodiceFiscale") == CIRCOLO
    assert root.find(f"{BUYER}/DatiAnagrafici/IdFiscaleIVA") is None


# --- What SdI would reject waits without a number ---------------------------------------------------------------------


@pytest.fixture
def unwritable(order):
    """The order's data hold a name in letters that the format lacks."""
    BillingSnapshot.objects.filter(order=order).update(last_name="Иванова")
    return order


def told():
    return Email.objects.filter(subject__contains="correggi i dati per la fattura")


def test_a_name_in_other_letters_waits_and_its_account_is_told_once(unwritable):
    invoice = invoiced(unwritable)
    assert (invoice.state, invoice.reason, invoice.number, invoice.xml) == ("waiting", "rejectable", None, None)
    assert invoice.detail.startswith("Cognome: Il carattere «И»")
    (mail,) = told()
    assert mail.to == ["alice@posta.example"]
    assert "Cognome: Il carattere «И»" in mail.message and "/area-clienti/dati/" in mail.message
    BillingProfile.objects.update(last_name="Иванова")
    sweeps.sweep_all()
    assert fresh(invoice).state == "waiting"
    assert told().count() == 1


def test_it_takes_no_number(unwritable, make_box, alice):
    invoiced(unwritable)
    assert invoiced(given(make_box(alice, "altra"), alice)).number == 1


def test_mended_by_the_account_it_is_numbered_and_the_order_keeps_what_it_had(unwritable):
    invoice = invoiced(unwritable)
    BillingProfile.objects.update(last_name="Ivanova")
    sweeps.sweep_all()
    invoice = fresh(invoice)
    assert (invoice.state, invoice.number, invoice.reason, invoice.detail) == ("ready", 1, "", "")
    assert text(read(invoice), f"{BUYER}/DatiAnagrafici/Anagrafica/Cognome") == "Ivanova"
    assert BillingSnapshot.objects.get(order=unwritable).last_name == "Иванова"


def test_another_customer_s_data_are_taken_by_a_person_alone(unwritable, dario):
    invoice = invoiced(unwritable)
    other = {"codice_fiscale": "VRDCRL90M50L219I", "fiscal_key": "VRDCRL90M50L219I", "last_name": "Verdi"}
    BillingProfile.objects.update(**other)
    sweeps.sweep_all()
    assert fresh(invoice).state == "waiting"
    assert waiting.reconsider(invoice.pk, actor=dario).state == "ready"


def test_without_billing_data_it_waits_for_them(order, alice):
    BillingSnapshot.objects.filter(order=order).delete()
    BillingProfile.objects.filter(user=alice).update(last_name="Иванова")
    invoice = invoiced(order)
    assert (invoice.state, invoice.reason, invoice.total) == ("waiting", "no_data", D("12.08"))
    assert told().count() == 1
    BillingProfile.objects.filter(user=alice).update(last_name="Rossi")
    sweeps.sweep_all()
    assert fresh(invoice).state == "ready"


def test_what_was_given_back_while_it_waited_asks_nothing_of_the_customer(unwritable, today):
    """Paid long ago and never given: it waits for data, then the money goes back, and there is nothing to invoice."""
    Order.objects.filter(pk=unwritable.pk).update(status="paid", fulfilled_at=None, paid_at=clock.now() - timedelta(11))
    BillingSnapshot.objects.filter(order=unwritable).update(last_name="Rossi", country="FR", province="")
    invoice = invoiced(unwritable)
    assert (invoice.reason, told().count()) == ("abroad", 0)
    Order.objects.filter(pk=unwritable.pk).update(status="refunded")
    unwritable.lines.update(status="refunded", is_open=False)
    sweeps.sweep_all()
    invoice = fresh(invoice)
    assert (invoice.state, told().count()) == ("waiting", 0)
    assert "denaro è tornato" in invoice.detail


def test_a_customer_abroad_waits_for_staff_who_invoice_elsewhere(order, dario):
    BillingSnapshot.objects.filter(order=order).update(country="FR", province="")
    invoice = invoiced(order)
    assert (invoice.state, invoice.reason) == ("waiting", "abroad")
    assert not told().exists()
    with pytest.raises(RefusedError, match="Scrivi il numero"):
        waiting.close_elsewhere(invoice_id=invoice.pk, reference=" ", actor=dario)
    waiting.close_elsewhere(invoice_id=invoice.pk, reference="E/12 del 3 dicembre", actor=dario)
    invoice = fresh(invoice)
    assert (invoice.state, invoice.detail, invoice.number) == ("elsewhere", "E/12 del 3 dicembre", None)
    sweeps.sweep_all()
    assert Invoice.objects.count() == 1


def test_what_has_a_number_is_not_closed_elsewhere(order, dario):
    with pytest.raises(RefusedError, match="senza numero"):
        waiting.close_elsewhere(invoice_id=invoiced(order).pk, reference="E/12", actor=dario)


def test_split_payment_that_is_over_waits(order, dario, settings, today):
    from payments.models import Commitment

    Order.objects.filter(pk=order.pk).update(amount_due=D("9.90"))
    Commitment.objects.create(order=order, reference="D", date=today, split_payment=True, registered_by=dario)
    settings.SPLIT_PAYMENT_UNTIL = today - timedelta(days=1)
    assert (invoiced(order).reason, Invoice.objects.get().number) == ("split", None)
    settings.SPLIT_PAYMENT_UNTIL = today
    sweeps.sweep_all()
    assert Invoice.objects.get().number == 1


# --- The database keeps the promise -----------------------------------------------------------------------------------


def test_a_row_without_a_number_cannot_go_anywhere(unwritable):
    invoice = invoiced(unwritable)
    for state in ("ready", "sent", "delivered", "rejected"):
        with pytest.raises(IntegrityError), transaction.atomic():
            Invoice.objects.filter(pk=invoice.pk).update(state=state)


def test_two_live_invoices_of_an_order_cannot_be(order):
    invoice = invoiced(order)
    with pytest.raises(IntegrityError), transaction.atomic():
        states.create(
            why="", order=order, money_on=invoice.money_on, due_on=invoice.due_on, vat_rate=22, taxable=1, vat=0,
            total=1,
        )  # fmt: skip


def test_a_move_that_is_not_in_the_table_is_refused(order):
    invoice = invoiced(order)
    for to in ("sent", "waiting", "numbered", "accepted_twice"):
        with pytest.raises(states.IllegalMoveError):
            states.move(invoice, to, why="")
    with pytest.raises(states.IllegalMoveError), transaction.atomic():
        states.number(invoice, on=clock.today(), why="")
    assert fresh(invoice).state == "ready"
