"""The nightly reconciliation reads zero on a healthy installation, and names each thing that does not add up."""

from datetime import timedelta
from decimal import Decimal as D
from html import unescape

import pytest
import time_machine
from django.test import Client

from mailboxes import reversals
from mailboxes.models import Domain, Mailbox, PaidPeriod
from payments import bank, giving_back, reconciliation, recording
from payments.models import Allocation, Commitment, Difference, Payment, ProviderEvent, Reconciliation
from payments.providers import sandbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order, OrderLine
from tests.domains import domain_of, on_domain, place_domain
from tests.helpers import pay_card, pay_transfer, place, start_card

pytestmark = pytest.mark.django_db(transaction=True)


def found() -> list[tuple[str, int]]:
    reconciliation.run()
    return list(Difference.objects.filter(closed_on=None).values_list("about", "object_id"))


@pytest.fixture
def paid(box, alice, dario):
    """A renewal that was paid and fulfilled; and things under way that are no differences."""
    order = place(box, alice)
    assert pay_transfer(order, dario).paid
    return Order.objects.get()


def test_a_healthy_installation_reads_zero(paid, make_box, alice):
    pay_card(place(make_box(alice, "carta"), alice), alice)
    start_card(place(make_box(alice, "ora"), alice), alice)
    place(make_box(alice, "attesa"), alice)
    make_box(alice, "scaduta", expires_in=-3)
    assert found() == []
    assert Reconciliation.objects.get().finished_at is not None


def test_a_paid_order_that_nobody_fulfilled_and_its_repair(box, alice, monkeypatch):
    order = place(box, alice)
    with monkeypatch.context() as patch:
        patch.setattr(recording, "after_paid", lambda order_id: None)
        pay_card(order, alice)
    assert found() == []  # the sweep has an hour
    with time_machine.travel(clock.now() + timedelta(hours=2), tick=False):
        line = OrderLine.objects.get()
        assert found() == [("no_period", line.pk)]
        reconciliation.repair(Difference.objects.get().pk)
        assert found() == []
    assert Order.objects.get().status == "fulfilled"
    assert Difference.objects.get().closed_on == Reconciliation.objects.latest("day")


def test_a_fulfilled_line_without_its_period(paid):
    line = OrderLine.objects.get()
    OrderLine.objects.update(period=None)
    assert ("no_period", line.pk) in found()


def test_a_period_whose_money_is_not_there(paid):
    Allocation.objects.update(amount=D("5.00"))
    period = PaidPeriod.objects.get(order_line__isnull=False)
    assert ("no_payment", period.pk) in found()
    with pytest.raises(RefusedError):
        reconciliation.repair(Difference.objects.get(about="no_payment").pk)


def test_a_commitment_covers_its_period_for_thirty_days(paid, dario):
    Allocation.objects.all().delete()
    Order.objects.update(collected_at=None)
    commitment = Commitment.objects.create(
        order=paid, reference="123", date=clock.today(), registered_by=dario
    )  # fmt: skip
    assert [pair for pair in found() if pair[0] != "receipt"] == []
    with time_machine.travel(clock.now() + timedelta(days=31), tick=False):
        assert ("uncollected", commitment.pk) in found()


def test_a_payment_without_an_outcome_and_its_repair(box, alice):
    payment = start_card(place(box, alice), alice)
    with time_machine.travel(clock.now() + timedelta(days=2), tick=False):
        assert found() == [("not_final", payment.pk)]
        sandbox.write(payment.remote_id, status=sandbox.REFUSED)
        reconciliation.repair(Difference.objects.get().pk)
        assert found() == []
    assert Payment.objects.get().status == "failed"


def test_an_event_nobody_worked_off(db):
    event = ProviderEvent.objects.create(provider="sandbox", event_id="evt_1", remote_id="sbx_nobody")
    with time_machine.travel(clock.now() + timedelta(hours=2), tick=False):
        assert found() == [("event", event.pk)]
        reconciliation.repair(Difference.objects.get().pk)
        assert found() == []


@pytest.mark.parametrize("days", [-1, 1, 366])
def test_a_box_whose_date_is_not_that_of_its_periods(box, days):
    Mailbox.objects.update(
        expires_on=box.expires_on + timedelta(days=days), delete_from=box.delete_from + timedelta(500)
    )
    assert found() == [("dates", box.pk)]
    reconciliation.repair(Difference.objects.get().pk)
    assert found() == []
    after = Mailbox.objects.get()
    assert after.expires_on == box.expires_on
    assert after.delete_from >= box.delete_from


def test_a_repair_after_fewer_days_of_grace_brings_no_deletion_nearer(box, settings):
    """R13: an expiry that was written too early comes back, and the day of deletion that was shown stays."""
    shown = box.delete_from
    Mailbox.objects.filter(pk=box.pk).update(expires_on=box.expires_on - timedelta(days=3))
    settings.GRACE_DAYS = 30
    reversals.restore_dates(box_id=box.pk, today=clock.today())
    repaired = Mailbox.objects.get(pk=box.pk)
    assert (repaired.expires_on, repaired.delete_from) == (box.expires_on, shown)


def test_a_receipt_that_pays_nothing_for_two_days(dario):
    receipt = bank.record_receipt(
        actor=dario, bank_account="IT60", bank_reference="R1", amount=D("12.08"), value_date=clock.today()
    )
    assert found() == []
    with time_machine.travel(clock.now() + timedelta(days=3), tick=False):
        assert found() == [("receipt", receipt.pk)]


def test_twice_is_one_row(box):
    Mailbox.objects.update(expires_on=box.expires_on + timedelta(days=1))
    assert (found(), found(), Difference.objects.count()) == ([("dates", box.pk)], [("dates", box.pk)], 1)


def test_the_page_of_staff(box, dario):
    staff = Client()
    staff.force_login(dario, backend="accounts.backends.AccountBackend")
    Mailbox.objects.update(expires_on=box.expires_on + timedelta(days=1))
    page = staff.post("/admin/payments/difference/controlla/", follow=True)
    assert "1 differenze" in unescape(page.content.decode())
    assert "alice@pec.example" in unescape(page.content.decode())
    event = ProviderEvent.objects.create(provider="sandbox", event_id="evt_1")
    ProviderEvent.objects.update(received_at=clock.now() - timedelta(hours=2))
    assert ("event", event.pk) in found()
    difference = Difference.objects.get(about="event")
    staff.post(f"/admin/payments/difference/{difference.pk}/ripara/")
    difference.refresh_from_db()
    assert difference.closed_on is not None
    again = staff.post(f"/admin/payments/difference/{difference.pk}/ripara/")  # from a page opened before
    assert list(again.context["form"].non_field_errors()) == ["La differenza è già chiusa: non c'è niente da riparare."]


def test_a_domain_whose_dates_left_its_periods_and_its_repair(alice, make_box, dario):
    domain = domain_of(alice)
    (box,) = on_domain(make_box, domain, "info")
    pay_transfer(place_domain(domain, alice), dario)
    paid_until = Domain.objects.get().expires_on
    assert found() == []
    wrong = paid_until + timedelta(days=400)
    Domain.objects.update(expires_on=wrong, delete_from=wrong + timedelta(days=91))
    Mailbox.objects.update(expires_on=wrong, delete_from=wrong + timedelta(days=91))
    assert found() == [("domain_dates", domain.pk)]  # its box says what the domain says: nobody else would see it
    reconciliation.repair(Difference.objects.get(closed_on=None).pk)
    assert found() == []
    end = (paid_until, paid_until + timedelta(days=91))
    assert list(Domain.objects.values_list("expires_on", "delete_from")) == [end]
    assert list(Mailbox.objects.values_list("expires_on", "delete_from")) == [end]
    assert box.events.filter(kind="reversed").count() == 1


def test_a_box_that_left_its_domain_and_a_reversal_of_a_domain(alice, make_box, dario):
    domain = domain_of(alice)
    (box,) = on_domain(make_box, domain, "info")
    order = place_domain(domain, alice)
    pay_card(order, alice)
    giving_back.reverse_order(order_id=order.pk, amount=D("0"), actor=dario, why="errore")
    assert found() == []  # dates and periods went back together
    Mailbox.objects.update(expires_on=domain.expires_on + timedelta(days=7))
    assert found() == [("dates", box.pk)]
    reconciliation.repair(Difference.objects.get(closed_on=None).pk)
    assert (found(), Mailbox.objects.get().expires_on) == ([], domain.expires_on)
