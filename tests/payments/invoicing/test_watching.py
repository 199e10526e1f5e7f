"""What ops and staff are told: invoices that are late, orders to decide, files nobody knows of, differences."""

from datetime import timedelta

import pytest
import time_machine

from lifecycle import alarms
from lifecycle.models import Alarm
from payments import reconciliation
from payments.invoicing import answers, sending
from payments.models import Difference, Invoice, InvoiceCounter, SdiReceipt
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import BillingSnapshot, Order
from tests.payments.invoicing.issued import answered, given, invoiced, message, refunded, sent

pytestmark = pytest.mark.django_db(transaction=True)
OURS = ("invoices", "undecided", "sdi")


@pytest.fixture
def order(box, alice) -> Order:
    return given(box, alice)


def on() -> dict[str, str]:
    alarms.watch()
    return dict(Alarm.objects.filter(cleared_at=None, key__in=OURS).values_list("key", "detail"))


def differences() -> dict[str, int]:
    reconciliation.run()
    found = Difference.objects.filter(closed_on=None, about__in=["no_invoice", "no_note", "late_invoice", "numbers"])
    return dict(found.values_list("about", "object_id"))


def test_all_is_well(order):
    invoiced(order)
    assert (on(), differences()) == ({}, {})


def test_two_days_before_the_end_and_until_sdi_has_it(order, today):
    invoice = invoiced(order)
    with time_machine.travel(clock.now() + timedelta(days=9)):
        assert "invoices" not in on()
    with time_machine.travel(clock.now() + timedelta(days=10)):
        assert on()["invoices"] == f"1, {today + timedelta(days=12)}"
        assert "late_invoice" not in differences()
    with time_machine.travel(clock.now() + timedelta(days=13)):
        assert differences() == {"late_invoice": invoice.pk}
        assert invoice.is_late(clock.today())
        sent(invoice)
        assert (on(), differences()) == ({}, {})


def test_an_order_that_nobody_decides_for_ten_days(order):
    Order.objects.filter(pk=order.pk).update(status="attention", fulfilled_at=None)
    with time_machine.travel(clock.now() + timedelta(days=9, hours=23)):
        assert (on(), differences()) == ({}, {})
    with time_machine.travel(clock.now() + timedelta(days=10, hours=1)):
        assert on() == {"undecided": "1"}
        assert differences() == {"no_invoice": order.pk}


def test_an_order_that_was_given_and_has_no_invoice_is_repaired(order):
    with time_machine.travel(clock.now() + timedelta(hours=23)):
        assert differences() == {}
    with time_machine.travel(clock.now() + timedelta(hours=25)):
        assert differences() == {"no_invoice": order.pk}
        reconciliation.repair(Difference.objects.get(closed_on=None, about="no_invoice").pk)
        assert Invoice.objects.get().state == "ready"
        assert differences() == {}


def test_a_refund_without_its_note_is_repaired(order):
    answered(sent(invoiced(order)))
    refund = refunded(order, "5.00")
    with time_machine.travel(clock.now() + timedelta(hours=25)):
        assert differences() == {"no_note": refund.pk}
        reconciliation.repair(Difference.objects.get(closed_on=None, about="no_note").pk)
        assert Invoice.objects.get(kind="TD04").refund == refund
        assert differences() == {}


def test_a_file_that_does_not_go_and_one_of_which_nobody_knows(order, settings):
    settings.SDI_ROAD = ""
    invoice = invoiced(order)
    assert on() == {}
    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        assert on() == {"sdi": "1 / 0"}
        settings.SDI_ROAD = "folder"
        sending.send_due()
        assert on() == {}
    Invoice.objects.filter(pk=invoice.pk).update(state="unknown")
    assert on() == {"sdi": "1 / 0"}


def test_a_file_of_which_sdi_says_nothing_for_days(order, dario):
    """Lost on the way after it was taken (a PEC that was not delivered, an intermediary that stopped)."""
    invoice = sent(invoiced(order))
    with time_machine.travel(clock.now() + timedelta(days=6, hours=23)):
        assert on() == {}
        assert list(Invoice.objects.queue()) == []
        with pytest.raises(RefusedError):
            sending.it_did_not_go(invoice_id=invoice.pk, actor=dario)
    with time_machine.travel(clock.now() + timedelta(days=7, hours=1)):
        assert on() == {"sdi": "1 / 0"}
        sending.it_did_not_go(invoice_id=invoice.pk, actor=dario)
        again = sent(invoice)
        assert (again.state, again.file_name, on()) == ("sent", invoice.file_name, {})


def test_a_receipt_that_nobody_understood_until_somebody_looked(dario):
    receipt = answers.take(name="x", content=message("RicevutaConsegna", "IT01234560157_ZZZZZ.xml"))
    assert on() == {}
    with time_machine.travel(clock.now() + timedelta(hours=5)):
        assert on() == {"sdi": "0 / 1"}
        answers.seen(receipt_id=receipt.pk, actor=dario)
        assert on() == {}
    assert SdiReceipt.objects.count() == 1


def test_a_missing_number(order):
    invoiced(order)
    counter = InvoiceCounter.objects.get(series="PEC")
    InvoiceCounter.objects.filter(pk=counter.pk).update(last=3)
    assert differences() == {"numbers": counter.pk}
    assert Difference.objects.get(about="numbers").detail == f"PEC-{clock.today().year}: 2, 3"


def test_waiting_ones_come_first_by_their_last_day(make_box, alice, today):
    orders = [given(make_box(alice, name), alice) for name in ("a", "b", "c")]
    BillingSnapshot.objects.filter(order__in=orders[:2]).update(city="Рим")
    found = [invoiced(order) for order in orders]
    Invoice.objects.filter(pk=found[1].pk).update(due_on=today)
    assert list(Invoice.objects.queue()) == [found[1], found[0]]
    assert list(Invoice.objects.visible_to(alice)) == [found[2]]
    assert not Invoice.objects.visible_to(orders[0].lines.get().mailbox.login).exists()
