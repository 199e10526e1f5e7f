"""Withdrawal, storno and bank money against the automatic charge: never a surprise, never stuck (R4, R24, R26b)."""

from datetime import timedelta

import pytest

from payments import auto_renewal, giving_back, sync, withdrawal
from payments.models import Payment, ScheduledCharge
from payments.providers import sandbox
from payments.statements import flow
from pecportal import clock
from renewals import flows as orders
from renewals import rules
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place
from tests.payments.charging_helpers import automatic, beat, card, fresh, on
from tests.payments.money import money_adds_up
from tests.payments.test_charging import dearer
from tests.renewals.test_space import more
from tests.statement_files import OURS, camt, entry

pytestmark = pytest.mark.django_db
IBAN = "IT60X0542811101000000123456"


def days(n: int) -> timedelta:
    return timedelta(days=n)


@pytest.fixture
def method(alice):
    return card(alice)


@pytest.fixture
def auto(make_box, alice, method):
    return automatic(make_box(alice, "alice", expires_in=60), alice, method, days_before=60)


def leave(order, alice):
    offer = withdrawal.offer(order, today=clock.today())
    return withdrawal.withdraw(
        order_id=order.pk, user=alice, name="Alice", email="mario@posta.example", iban=IBAN, shown=offer.amount
    )


def state(box):
    found = fresh(box)
    return found.expires_on, found.auto_renews, rules.offer(orders.facts(found), clock.today())


def failed_charge(auto, method):
    """E−7, and the bank says no for good: Rinnova shows."""
    sandbox.tell(method, status=sandbox.REFUSED, decline="hard", reason="carta bloccata")
    beat(auto.expires_on - days(30))
    beat(auto.expires_on - days(7))


def test_the_charge_that_waited_for_consent_ends_with_the_order_that_took_its_place(auto, alice):
    e = auto.expires_on
    dearer("20.00", from_day=e - days(40))
    beat(e - days(30))
    with on(e - days(20)):
        order = place(fresh(auto), alice)
        pay_card(order, alice)  # with a new consent, which goes when the order goes
        sync.fulfil_due()
    assert fresh(auto).expires_on > e
    with on(e - days(18)):
        leave(Order.objects.get(), alice)
        assert ScheduledCharge.objects.get().status == "cancelled"
        assert state(auto) == (e, False, rules.Reason.RENEW)
    for before in (15, 7, 0):
        beat(e - days(before))
    assert Payment.objects.count() == 1
    money_adds_up()


def by_staff(order, alice, dario):
    giving_back.reverse_order(order_id=order.pk, amount=order.amount_due, actor=dario, why="errore")


def by_customer(order, alice, dario):
    leave(order, alice)


@pytest.mark.parametrize("reverse", [by_customer, by_staff])
def test_an_expiry_that_comes_back_after_its_charge_failed_offers_rinnova(auto, alice, dario, method, reverse):
    e = auto.expires_on
    failed_charge(auto, method)
    with on(e - days(6)):
        pay_transfer(Order.objects.get(), dario)
        sync.fulfil_due()
        auto_renewal.turn_off(box_id=auto.pk, user=alice)
        auto_renewal.turn_on(box_id=auto.pk, user=alice, method_id=method.pk, years=1)
    assert fresh(auto).auto_over_for is None  # the new consent is for the next expiry
    with on(e - days(5)):
        reverse(Order.objects.get(), alice, dario)
        assert state(auto) == (e, True, rules.Reason.RENEW)
    sandbox.tell(method, status=sandbox.PAID)
    for before in (4, 1, 0):
        beat(e - days(before))
    assert Payment.objects.filter(status="registered").count() == 0
    money_adds_up()


def test_withdrawing_from_an_automatic_order_charges_nothing_again(auto, alice):
    e = auto.expires_on
    beat(e - days(30))
    beat(e - days(7))
    with on(e - days(5)):
        leave(Order.objects.get(), alice)
        assert state(auto) == (e, True, rules.Reason.RENEW)
    for before in (4, 1, 0):
        beat(e - days(before))
    assert (Payment.objects.count(), ScheduledCharge.objects.get().status) == (1, "charged")
    money_adds_up()


def test_leaving_a_space_order_leaves_the_announced_charge_alone(auto, alice, dario, commits):
    """Its expiry never moved: what was announced still comes."""
    e = auto.expires_on
    beat(e - days(30))
    with on(e - days(20)):
        order = more(fresh(auto), alice, 2)
        pay_transfer(order, dario)
        sync.fulfil_due()
    assert fresh(auto).mailbox_gb == 2
    with on(e - days(19)):
        with commits():
            leave(Order.objects.get(), alice)
        assert (fresh(auto).mailbox_gb, state(auto)) == (1, (e, True, rules.Reason.AUTO_RENEWAL))
    assert (ScheduledCharge.objects.get().status, fresh(auto).auto_over_for) == ("announced", None)


@pytest.mark.parametrize("road", ["hand", "file"])
def test_a_charge_paid_by_transfer_is_over_at_once(auto, alice, dario, method, settings, tmp_path, road):
    settings.BANK_IBAN = OURS
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - days(30))
    beat(e - days(7))
    charge = ScheduledCharge.objects.get()
    assert (charge.status, charge.due_on is not None) == ("trying", True)
    with on(e - days(6)):
        order = Order.objects.get()
        if road == "hand":
            pay_transfer(order, dario)
        else:
            path = tmp_path / "estratto.xml"
            path.write_bytes(camt([entry("R1", order.amount_due, order.number, day=clock.today())]))
            with path.open("rb") as file:
                taken = flow.take(file, name="estratto.xml", size=path.stat().st_size, actor=dario)
            flow.apply(statement_id=taken.pk, actor=dario)
    charge.refresh_from_db()
    assert (charge.status, charge.due_on, charge.why) == ("cancelled", None, "pagato dal cliente")
    assert fresh(auto).auto_over_for == e
