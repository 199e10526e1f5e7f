"""What money keeps from deletion, as customers and staff make it; what ends with a box (R12b, R21, R29)."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from post_office.models import Email

from lifecycle import holds, manifest
from mailboxes.flows import open_domain
from mailboxes.models import Mailbox
from payments import bank, flows, recording
from payments.models import AutoRenewal, Case, Payment, ScheduledCharge, Statement, StoredMethod
from payments.providers import sandbox
from payments.providers.base import Outcome, Result
from pecportal import clock
from renewals.models import Order, OrderLine
from tests.helpers import pay_card, pay_transfer, place, start_card
from tests.lifecycle.deletions import lines, noon, phases, run, warn, warn_twice

pytestmark = pytest.mark.django_db


@pytest.fixture
def last_day(make_box, alice, today):
    """A box on its last renewable day, E+90, warned: what is done there counts as begun in time."""
    box = make_box(alice, "persa", expires_in=-90)
    warn_twice(box)
    return box


def day_of(days: int):
    """Noon of a day from today in Rome: 1 is the deletion day of `last_day`."""
    return time_machine.travel(noon(clock.today() + timedelta(days=days)), tick=False)


def verdict(days: int) -> tuple[str, ...]:
    with day_of(days):
        run()
        return lines()[0][1:]


def attempt(order, alice, status: str) -> Payment:
    payment = start_card(order, alice)
    Payment.objects.filter(pk=payment.pk).update(status=status)
    return payment


BEGUN = {
    "created": lambda order, alice, dario: attempt(order, alice, "created"),
    "pending": lambda order, alice, dario: attempt(order, alice, "pending"),
    "unknown": lambda order, alice, dario: attempt(order, alice, "unknown"),
    "declared": lambda order, alice, dario: flows.declare_transfer(order_id=order.pk, actor=alice),
    "part": lambda order, alice, dario: pay_transfer(order, dario, amount=Decimal("5.00")),
    "amount": lambda order, alice, dario: mismatch(order, alice),
}


def mismatch(order, alice):
    """The provider has the money, but not the right amount: the order waits, staff decide."""
    recording.record_outcome(start_card(order, alice).pk, Outcome(Result.REGISTERED, amount=Decimal("11.00")))
    assert Case.objects.get().kind == "mismatch"


@pytest.mark.parametrize("what", BEGUN)
def test_money_begun_on_the_last_day_holds_for_fifteen_days(last_day, alice, dario, what):
    BEGUN[what](place(last_day, alice), alice, dario)
    assert verdict(1) == ("held", "money")
    assert verdict(15) == ("held", "money")
    assert phases() == {"persa@pec.example": "live"}
    assert verdict(16) == ("delete", "warned")
    assert phases() == {"persa@pec.example": "deleted"}
    assert Order.objects.get().status == "lapsed"
    assert Payment.objects.live().filter(sent_at=None).count() == 0, "nobody pays for a box that is gone"


def test_an_order_that_nobody_paid_holds_nothing(last_day, alice):
    place(last_day, alice)
    assert verdict(1) == ("delete", "warned")
    assert (Order.objects.get().status, OrderLine.objects.get().status) == ("lapsed", "closed")


def test_part_of_the_money_goes_back_to_staff_when_the_box_goes(last_day, alice, dario):
    pay_transfer(place(last_day, alice), dario, amount=Decimal("5.00"))
    assert verdict(16) == ("delete", "warned")
    assert [(c.kind, c.amount) for c in Case.objects.filter(closed_at=None)] == [("too_late", Decimal("5.00"))]


@pytest.mark.parametrize("status", ["paid", "attention"])
def test_an_order_paid_or_in_attention_holds_without_end(last_day, alice, dario, monkeypatch, status):
    order = place(last_day, alice)
    pay_card(order, alice)
    Order.objects.filter(pk=order.pk).update(status=status)
    if status == "attention":
        OrderLine.objects.update(status="attention")
    for days in (1, 16, 400):
        assert verdict(days) == ("held", "paid")
    assert phases() == {"persa@pec.example": "live"}


REMITTANCES = [
    "rinnovo persa@pec.example", "RINNOVO PERSA PEC EXAMPLE 2026", "persa(a)pec.example rinnovo",
    "persa at pec.example", "saldo PERSACHIOCCIOLAPEC.EXAMPLE",
]  # fmt: skip


@pytest.mark.parametrize("remittance", REMITTANCES)
def test_bank_money_that_names_the_box_holds_until_it_is_decided(last_day, make_box, alice, dario, today, remittance):
    other = make_box(alice, "altra", expires_in=-90)
    warn_twice(other)
    receipt = bank.record_receipt(
        bank_account="IT60", bank_reference="X1", amount=Decimal("12.08"), value_date=today, actor=dario,
        remittance=remittance,
    )  # fmt: skip
    with day_of(1):
        run()
        assert lines() == [("persa", "held", "money"), ("altra", "delete", "warned")]
        Case.objects.filter(receipt=receipt).update(closed_at=clock.now(), resolution="restituito")
        run()
        assert set(phases().values()) == {"deleted"}


def test_bank_money_of_after_the_last_day_holds_nothing(last_day, dario, today):
    with day_of(1):
        bank.record_receipt(
            bank_account="IT60", bank_reference="X1", amount=Decimal("12.08"), value_date=clock.today(), actor=dario,
            remittance="persa@pec.example",
        )  # fmt: skip
    assert verdict(1) == ("delete", "warned")


def test_money_for_last_years_order_holds_the_box_it_is_of(last_day, alice, dario):
    """The causale of last year, copied: a case already, and perhaps this year's renewal."""
    order = place(last_day, alice)
    flows.cancel_order(order_id=order.pk, actor=alice)
    pay_transfer(order, dario)
    assert [c.kind for c in Case.objects.filter(closed_at=None)] == ["too_late"]
    assert verdict(1) == ("held", "money")


def test_a_statement_that_is_not_registered_yet_counts(last_day, alice, dario, today):
    order = place(last_day, alice)
    statement = Statement.objects.create(
        sha256="0" * 64, name="e.xml", format="camt053", bank_account="IT60", uploaded_by=dario
    )
    statement.rows.create(
        line=1, bank_reference="E1", amount=Decimal("12.08"), value_date=today,
        remittance=bank.creditor_reference(order),
    )  # fmt: skip
    assert verdict(1) == ("held", "money")
    Statement.objects.update(applied_at=clock.now())
    assert verdict(1) == ("delete", "warned")


def test_money_of_the_domain_holds_its_boxes(make_box, alice, today):
    domain = open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today - timedelta(days=90)
    )
    box = make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    for kind in (60, 83):
        warn(box, kind, on=box.expires_on + timedelta(days=kind))
    order = place(make_box(alice, "altra"), alice)
    OrderLine.objects.update(mailbox=None, domain=domain, kind="domain_renewal")
    Order.objects.update(kind="domain_renewal", transfer_declared_on=today)
    assert verdict(1) == ("held", "money")
    Order.objects.update(transfer_declared_on=None, status="paid")
    assert verdict(1) == ("held", "paid")
    Order.objects.update(status="awaiting_payment")
    assert verdict(1) == ("delete", "warned")
    order.refresh_from_db()
    domain.refresh_from_db()
    assert (order.status, domain.phase) == ("lapsed", "deleted")


def test_money_begun_in_time_and_registered_late_renews(last_day, alice, dario, today):
    """R16, R21b: past E+90 and not yet DELETING, the value date decides."""
    order = place(last_day, alice)
    flows.declare_transfer(order_id=order.pk, actor=alice)
    assert verdict(3) == ("held", "money")
    with day_of(3):
        assert pay_transfer(order, dario, value_date=today).paid
        recording.after_paid(order.pk)
        run()
    box = Mailbox.objects.get()
    assert (box.phase, box.expires_on.year) == ("live", last_day.expires_on.year + 1)


def test_money_that_comes_after_the_point_of_no_return_is_a_case(last_day, alice, dario, monkeypatch):
    """Between DELETING and DELETED: the money is kept for staff, and the box goes all the same (R21)."""
    order = place(last_day, alice)
    attempt = start_card(order, alice)
    Payment.objects.update(sent_at=clock.now())
    with monkeypatch.context() as patch:
        patch.setattr("lifecycle.deletion._purge", lambda address: False)
        patch.setattr("payments.box_gone.close_attempts", lambda orders: None)
        with day_of(16):
            run()
            assert phases() == {"persa@pec.example": "deleting"}
            sandbox.write(attempt.remote_id, status=sandbox.PAID)
            flows.fetch_and_record(attempt.pk)
            assert pay_transfer(order, dario, value_date=last_day.last_renewable_day).refusal != ""
    order.refresh_from_db()
    assert order.status == "lapsed"
    assert sorted(c.kind for c in Case.objects.filter(closed_at=None)) == ["too_late", "too_late"]
    with day_of(16):
        run()
    assert phases() == {"persa@pec.example": "deleted"}


# --- What ends with the box -------------------------------------------------------------------------------------------


def test_automatic_renewal_and_the_methods_of_the_login_end(last_day, alice, plans):
    login = last_day.login
    theirs = StoredMethod.objects.create(login=login, provider="sandbox", remote_id="c1", label="Sua", is_default=True)
    StoredMethod.objects.create(login=login, provider="sandbox", remote_id="c2", label="Altra")
    accounts = StoredMethod.objects.create(login=alice, provider="sandbox", remote_id="c3", label="Carta")
    AutoRenewal.objects.create(
        box=last_day, method=theirs, years=1, amount=Decimal("12.08"), consent_text_version="2026-11",
        agreed_by=login, agreed_at=clock.now(),
    )  # fmt: skip
    Mailbox.objects.filter(pk=last_day.pk).update(auto_renews=True, auto_over_for=last_day.expires_on)
    ScheduledCharge.objects.create(
        box=last_day, expiry=last_day.expires_on, status="announced", amount=Decimal("12.08"), years=1
    )
    assert verdict(1) == ("delete", "warned")
    assert list(StoredMethod.objects.filter(removed_at=None)) == [accounts]
    assert StoredMethod.objects.filter(is_default=True).count() == 0
    consent = AutoRenewal.objects.get()
    assert (consent.ended_why, consent.ended_at is not None) == ("box_gone", True)
    assert ScheduledCharge.objects.get().status == "cancelled"
    assert Mailbox.objects.get().auto_renews is False


def test_the_mail_of_a_lapsed_order_says_what_becomes_of_the_box(last_day, alice):
    place(last_day, alice, email="ordine@posta.example")
    assert verdict(1) == ("delete", "warned")
    told = Email.objects.get(to=["ordine@posta.example"], subject__contains="non vale più")
    assert "adesso la cancelliamo con tutto il contenuto" in told.message
    assert "puoi rinnovarla" not in told.message


def test_staff_hold_a_box_and_lift_it(last_day, dario):
    holds.place_hold(box_id=last_day.pk, actor=dario, why="in causa")
    assert verdict(1) == ("held", "staff")
    holds.lift_hold(box_id=last_day.pk, actor=dario)
    assert verdict(1) == ("delete", "warned")


def test_the_manifest_of_many_boxes_takes_a_fixed_number_of_queries(make_box, alice, today):
    counted = []
    for number in (3, 250):
        boxes = [make_box(alice, f"b{number}-{n}", expires_in=-100) for n in range(number)]
        warn_twice(*boxes[: number // 3])
        with CaptureQueriesContext(connection) as queries:
            manifest.make_manifest(today)
        counted.append(sum("INSERT" not in q["sql"] for q in queries))  # SQLite cuts large inserts in pieces
    assert counted[0] == counted[1] <= 20, counted
    assert len(lines()) == 253
