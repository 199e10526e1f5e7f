"""Orders whose time is over (R12b)."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import transaction
from post_office.models import Email

from lifecycle import flows
from lifecycle.models import LifecycleRun
from lifecycle.stages import due_lapses
from payments import flows as money
from payments.models import Case, Payment
from payments.providers import sandbox
from pecportal import clock
from pecportal.formats import fino, il
from renewals import undoing
from renewals.models import Order
from tests.domains import domain_of, on_domain, place_domain
from tests.helpers import pay_transfer, place, start_card
from tests.payments.charging_helpers import at

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(make_box, alice, today):
    """order("name", days) → a renewal of Alice's, payable through that many days from today."""

    def make(name: str, days: int) -> Order:
        order = place(make_box(alice, name), alice)
        Order.objects.filter(pk=order.pk).update(lapses_on=today + timedelta(days=days))
        return order

    return make


def status(order: Order) -> str:
    return Order.objects.get(pk=order.pk).status


def numbers() -> tuple[int, int, int, int]:
    run = LifecycleRun.objects.get(stage="lapses")
    return run.expected, run.done, run.failed, run.left


def test_an_order_lapses_the_day_after_its_last(order, today, alice, settings):
    settings.NOTICE_DAYS = []  # the mails here are those of the orders
    late, yesterday, on_it, later = order("a", -10), order("b", -1), order("c", 0), order("d", 1)
    Email.objects.all().delete()
    flows.run_for(today)
    assert [status(o) for o in (late, yesterday, on_it, later)] == [
        "lapsed",
        "lapsed",
        "awaiting_payment",
        "awaiting_payment",
    ]
    assert numbers() == (2, 2, 0, 0)
    assert [line.is_open for o in (late, on_it) for line in o.lines.all()] == [False, True]
    move = late.events.filter(line=None).last()
    assert (move.before, move.after, move.actor) == ("awaiting_payment", "lapsed", None)
    assert move.why.startswith("non pagato entro il ")
    told = Email.objects.count()
    assert told == 4  # two orders, to the order's e-mail and to the account's
    flows.run_for(today)
    assert (Email.objects.count(), numbers()) == (told, (2, 2, 0, 0))
    place(late.lines.get().mailbox, alice)  # the box can be renewed again


def test_money_on_its_way_keeps_an_order(order, today, alice, dario):
    declared, trying, unknown, part = (order(name, -1) for name in ("a", "b", "c", "d"))
    Order.objects.update(lapses_on=today)
    money.declare_transfer(order_id=declared.pk, actor=alice)
    start_card(trying, alice)
    Payment.objects.filter(pk=start_card(unknown, alice).pk).update(status="unknown")
    assert not pay_transfer(part, dario, amount=Decimal("5.00")).paid
    Order.objects.update(lapses_on=today - timedelta(days=1))
    flows.run_for(today)
    assert [status(o) for o in (declared, trying, unknown, part)] == ["awaiting_payment"] * 4
    assert numbers() == (0, 0, 0, 0)


def test_an_attempt_that_failed_does_not_keep_it(order, today, alice):
    tried = order("a", 0)
    payment = start_card(tried, alice)
    sandbox.write(payment.remote_id, status=sandbox.REFUSED)
    money.fetch_and_record(payment.pk)
    assert Payment.objects.get().status == "failed"
    Order.objects.update(lapses_on=today - timedelta(days=1))
    flows.run_for(today)
    assert status(tried) == "lapsed"


def test_paid_and_cancelled_orders_stay_what_they_are(order, today, alice, dario):
    paid, cancelled = order("a", 0), order("b", 0)
    pay_transfer(paid, dario)
    money.cancel_order(order_id=cancelled.pk, actor=alice)
    before = [status(paid), status(cancelled)]
    Order.objects.update(lapses_on=today - timedelta(days=1))
    flows.run_for(today)
    assert [status(paid), status(cancelled)] == before
    assert numbers() == (0, 0, 0, 0)


def test_an_order_paid_while_the_sweep_waits_is_looked_at_again(order, today, alice, monkeypatch):
    """The list is read first: what was declared after that is seen under the lock."""
    first, second = order("a", -1), order("b", -1)
    from lifecycle import stages

    real = stages._batches

    def late(due, by, size):
        for ids in real(due, by, size):
            Order.objects.filter(pk=second.pk).update(transfer_declared_on=today)
            yield ids

    monkeypatch.setattr(stages, "_batches", late)
    flows.run_for(today)
    assert [status(first), status(second)] == ["lapsed", "awaiting_payment"]
    assert numbers() == (2, 1, 0, 1)


def test_one_bad_order_stops_no_other(order, today, monkeypatch, caplog):
    bad, good = order("a", -2), order("b", -1)
    from lifecycle import stages

    real = stages.undoing.lapse

    def lapse(given, *, why):
        if given.pk == bad.pk:
            raise RuntimeError("bad@posta.example")
        real(given, why=why)

    monkeypatch.setattr(stages.undoing, "lapse", lapse)
    flows.run_for(today)
    assert [status(bad), status(good)] == ["awaiting_payment", "lapsed"]
    assert numbers() == (2, 1, 1, 0)
    assert f"order {bad.pk}: RuntimeError" in caplog.text and "@" not in caplog.text


def test_money_that_staff_must_decide_about_keeps_it(order, today, alice):
    """A card attempt that was given up and turns out paid: the order may yet be what it pays for (R21)."""
    held = order("a", 0)
    attempt = start_card(held, alice)
    money.choose_transfer(held.pk)
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    money.fetch_and_record(attempt.pk)
    Order.objects.update(lapses_on=today - timedelta(days=1))
    flows.run_for(today)
    assert (status(held), numbers()) == ("awaiting_payment", (0, 0, 0, 0))
    Case.objects.update(closed_at=clock.now(), resolution="restituiti")
    assert list(due_lapses(today)) == [held]


def letter(order: Order, *, after_days: int) -> str:
    """The mail of an order that lapses on a later day."""
    with time_machine.travel(at(clock.today() + timedelta(days=after_days)), tick=False), transaction.atomic():
        undoing.lapse(Order.objects.locked().select_related("owner").get(pk=order.pk), why="prova")
    mail = Email.objects.filter(subject__contains="non vale più").first()
    assert ("puoi rinnovar" in mail.message) == ("puoi rinnovar" in mail.html_message)
    return mail.message


@pytest.mark.parametrize("days", [90, 91])
def test_its_mail_says_until_when_the_box_can_or_could_be_renewed(make_box, alice, days):
    box = make_box(alice, "ferma", expires_in=0)
    said = letter(place(box, alice), after_days=days)
    last = box.last_renewable_day
    possible = f"puoi rinnovarla {fino(last)}: dopo sarà cancellata"
    over = f"è scaduta {il(box.expires_on)} e si poteva rinnovare entro {il(last)}: può essere cancellata"
    assert (possible in said, over in said) == (days == 90, days == 91)


@pytest.mark.parametrize("days", [90, 91])
def test_the_same_of_a_domain(make_box, alice, days):
    domain = domain_of(alice, expires_in=0)
    on_domain(make_box, domain, "info")
    said = letter(place_domain(domain, alice), after_days=days)
    last = domain.last_renewable_day
    over = f"Il dominio rossi.example è scaduto {il(domain.expires_on)} e si poteva rinnovare entro {il(last)}: dopo"
    assert (f"puoi rinnovarli {fino(last)}" in said, over in said) == (days == 90, days == 91)
