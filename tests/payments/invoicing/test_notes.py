"""Credit notes: of what went back on an invoice that SdI has, once, to the cent; and what needs none."""

from datetime import timedelta
from decimal import Decimal as D
from functools import partial

import pytest
import time_machine
from django.db import connection

from payments import giving_back, refunds
from payments.invoicing import notes, rows, schema_check, sweeps
from payments.invoicing.reading import text
from payments.models import Invoice, Refund
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.payments.invoicing.issued import answered, fresh, given, invoiced, refunded, sent
from tests.races.test_races import at_once, meeting_after

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def order(box, alice) -> Order:
    return given(box, alice)


@pytest.fixture
def invoice(order) -> Invoice:
    return answered(sent(invoiced(order)), number=90)


def test_a_refund_done_is_a_credit_note(order, invoice, dario, today):
    giving_back.refund_order(order_id=order.pk, amount=D("5.00"), actor=dario, why="cortesia")
    sweeps.sweep()
    assert Invoice.objects.count() == 1  # not before the money went
    refunds.send_due()
    sweeps.sweep()
    note = Invoice.objects.get(kind="TD04")
    assert (note.total, note.corrects, note.refund, note.state) == (D("5.00"), invoice, Refund.objects.get(), "ready")
    assert (note.taxable, note.vat, note.number_text) == (D("4.10"), D("0.90"), f"PEC-{today.year}-2")
    root = schema_check.parse(bytes(note.xml))
    linked = "FatturaElettronicaBody/DatiGenerali/DatiFattureCollegate/IdDocumento"
    assert text(root, linked) == invoice.number_text
    sweeps.sweep()
    sweeps.sweep_all()
    assert Invoice.objects.count() == 2


@pytest.mark.parametrize("state", ["waiting", "ready", "sending", "unknown", "sent", "rejected"])
def test_no_note_before_sdi_has_the_invoice(order, invoice, state):
    Invoice.objects.filter(pk=invoice.pk).update(state=state)
    refund = refunded(order, "5.00")
    assert notes.issue_note(refund.pk) is None
    Invoice.objects.filter(pk=invoice.pk).update(state="delivered")
    assert notes.issue_note(refund.pk).total == D("5.00")


@pytest.mark.parametrize("status", ["created", "pending", "unknown", "failed"])
def test_no_note_of_money_that_has_not_gone(order, invoice, status):
    assert notes.issue_note(refunded(order, "5.00", status=status).pk) is None


def test_notes_add_up_to_their_invoice(order, invoice):
    for part in ("4.00", "4.00", "4.08"):
        notes.issue_note(refunded(order, part).pk)
    found = Invoice.objects.filter(kind="TD04")
    assert (sum(n.taxable for n in found), sum(n.vat for n in found)) == (D("9.90"), D("2.18"))
    assert rows.credited(invoice) == D("12.08")


def test_money_of_another_order_or_of_none_is_not_credited(order, invoice):
    assert notes.issue_note(Refund.objects.create(
        payment=order.allocations.get().payment, amount=D("1.00"), status="done", done_at=clock.now(), why="x"
    ).pk) is None  # fmt: skip


def test_the_day_of_a_note_is_that_of_the_money(order, invoice, today):
    with time_machine.travel(clock.now() + timedelta(days=40)):
        note = notes.issue_note(refunded(order, "5.00").pk)
    day = today + timedelta(days=40)
    assert (note.document_date, note.money_on, note.due_on) == (day, day, day + timedelta(days=12))


def test_staff_credit_what_was_never_collected(order, invoice, dario):
    for wrong in ("0", "-1", "NaN", "1.001", "12.09"):
        with pytest.raises(RefusedError):
            notes.credit(invoice_id=invoice.pk, amount=D(wrong), actor=dario, why="prova")
    note = notes.credit(invoice_id=invoice.pk, amount=D("12.08"), actor=dario, why="impegno ritirato")
    assert (note.state, note.refund, note.events.first().actor) == ("ready", None, dario)
    with pytest.raises(RefusedError, match=r"al massimo €\s0,00"):
        notes.credit(invoice_id=invoice.pk, amount=D("0.01"), actor=dario, why="prova")


def test_a_refund_of_what_staff_credited_already_makes_no_second_note(order, invoice, dario):
    notes.credit(invoice_id=invoice.pk, amount=D("5.00"), actor=dario, why="prova")
    assert notes.issue_note(refunded(order, "5.00").pk) is None
    assert notes.issue_note(refunded(order, "2.00").pk).total == D("2.00")


def test_an_invoice_that_is_not_at_sdi_is_not_credited(order, dario):
    with pytest.raises(RefusedError, match="non è ancora stata inviata"):
        notes.credit(invoice_id=invoiced(order).pk, amount=D("1.00"), actor=dario, why="prova")


def test_a_note_waits_until_sdi_has_said_that_the_invoice_is_one(order, invoice):
    """What SdI rejects was never issued: a note would be about an invoice that is none."""
    Invoice.objects.filter(pk=invoice.pk).update(state="sent")
    refund = refunded(order, "5.00")
    assert notes.issue_note(refund.pk) is None
    sweeps.sweep()
    assert Invoice.objects.count() == 1
    answered(invoice)
    sweeps.sweep_all()
    assert Invoice.objects.get(kind="TD04").refund == refund


def test_the_refund_of_a_line_that_was_never_invoiced_takes_no_other_refund_s_note(order, invoice):
    """In whatever order they are looked at: the note has the day of the money that it credits."""
    Order.objects.filter(pk=order.pk).update(amount_due=D("20.00"), total=D("20.00"), taxable=D("16.39"), vat=D("3.61"))
    of_line = refunded(order, "7.92")
    with time_machine.travel(clock.now() + timedelta(days=30)):
        later = refunded(order, "3.00")
        assert notes.issue_note(of_line.pk) is None
        note = notes.issue_note(later.pk)
        assert (note.refund, note.total, note.document_date) == (later, D("3.00"), clock.today())


@pytest.mark.race
@pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL's row locks")
def test_two_workers_make_one_note_and_together_no_more_than_the_invoice(order, invoice, dario):
    refund = refunded(order, "7.00")
    with meeting_after("payments.invoicing.issue.examine"):
        at_once(partial(notes.issue_note, refund.pk), partial(notes.issue_note, refund.pk))
    assert Invoice.objects.filter(kind="TD04").count() == 1
    by_hand = partial(notes.credit, invoice_id=invoice.pk, amount=D("5.00"), actor=dario, why="prova")
    with meeting_after("payments.invoicing.issue.examine"):
        at_once(by_hand, by_hand)
    assert rows.credited(fresh(invoice)) == D("12.00")
