"""Customers, banks, providers and time do what they like, and the books stay true (R9, R15, R19–R22, R26).

A hypothesis state machine on real commits. Every example has rows of its own; the sweeps see the others' as well.
"""

from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal as D
from itertools import count, pairwise
from types import SimpleNamespace
from unittest import mock

import pytest
import time_machine
from django.db.models import Sum
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from lifecycle import stages
from lifecycle.models import LifecycleRun
from mailboxes import flows as box_flows
from mailboxes.models import Mailbox, PaidPeriod
from payments import bank, flows, sync
from payments.cases import LEFT_OF_MONEY
from payments.models import Allocation, Case, Payment, Receipt
from payments.providers import sandbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import flows as orders
from renewals import rules
from renewals.models import Order, OrderLine
from tests.conftest import holder_of
from tests.helpers import place, start_card

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = count(1)
WORLD = SimpleNamespace()  # what the fixtures made: plans and staff
SAID = [sandbox.PAID, sandbox.PAID, sandbox.REFUSED, sandbox.PENDING, sandbox.TIMEOUT]
LEFT_OF_A_PAYMENT = (Case.Kind.MONEY_MISMATCH, Case.Kind.MONEY_TOO_LATE, Case.Kind.RECEIPT_OVER)
PAID = (Order.Status.PAID, Order.Status.FULFILLED, Order.Status.ATTENTION)
WHICH = st.integers(min_value=0, max_value=30)
LOST = st.booleans()  # the nudge after the money is lost: only a sweep fulfils


def one(rows, which: int):
    return rows[which % len(rows)]


def total(rows, field: str = "amount") -> D:
    return rows.aggregate(sum=Sum(field))["sum"] or D(0)


class Money(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.watch = time_machine.travel(clock.now(), tick=False)
        self.time = self.watch.start()

    def teardown(self) -> None:
        self.watch.stop()

    @initialize(expiries=st.lists(st.integers(min_value=-89, max_value=400), min_size=3, max_size=3))
    def people(self, expiries) -> None:
        n = next(NUMBERS)
        self.users = [
            User.objects.create_user(f"{n}-{k}@conti.example", email=f"{n}-{k}@posta.example") for k in (0, 1)
        ]
        for k, days in enumerate(expiries):
            owner = self.users[k % 2]
            box_flows.open_box(
                address=f"b{n}-{k}@pec.example", owner=owner, holder=holder_of(owner, "alice"),
                plan=WORLD.plans.pro, expires_on=clock.today() + timedelta(days=days),
            )  # fmt: skip
        self.boxes = list(Mailbox.objects.filter(owner__in=self.users).order_by("pk"))

    # --- What is there -------------------------------------------------------------------------------------------

    def orders(self, **only):
        return list(Order.objects.filter(owner__in=self.users, **only).order_by("pk"))

    def attempts(self, **only):
        return list(Payment.objects.filter(order__owner__in=self.users, **only).order_by("pk"))

    def receipts(self):
        return list(Receipt.objects.filter(payer=self.payer).order_by("pk"))

    @property
    def payer(self) -> str:
        return self.users[0].username

    def done(self, story, *, lost: bool = False) -> None:
        """Do it, or be refused with a sentence; nothing else may come of it."""
        broken = mock.patch("renewals.settle.fulfil", side_effect=OSError) if lost else nullcontext()
        try:
            with broken:
                story()
        except RefusedError as refusal:
            assert str(refusal).endswith((".", "!", "?"))

    # --- What may happen -----------------------------------------------------------------------------------------

    @rule(which=WHICH, years=st.integers(1, 5), plan=st.sampled_from(["standard", "pro", "premium"]))
    def confirm(self, which, years, plan) -> None:
        box = Mailbox.objects.select_related("address", "plan", "owner").get(pk=one(self.boxes, which).pk)
        self.done(lambda: place(box, box.owner, plan=getattr(WORLD.plans, plan), years=years))

    @precondition(lambda self: self.orders())
    @rule(which=WHICH, said=st.sampled_from(SAID), lost=LOST, agreed=st.booleans())
    def card(self, which, said, lost, agreed) -> None:
        order = one(self.orders(), which)

        def pay() -> None:
            attempt = start_card(order, order.owner, agreed=agreed)
            sandbox.write(attempt.remote_id, status=said)
            flows.fetch_and_record(attempt.pk)

        self.done(pay, lost=lost)

    @precondition(lambda self: self.attempts())
    @rule(which=WHICH, said=st.sampled_from(SAID), lost=LOST)
    def late_news(self, which, said, lost) -> None:
        attempt = one(self.attempts(), which)
        if attempt.status != Payment.Status.REGISTERED:  # a provider that has the money does not unsay it
            sandbox.write(f"sbx_{attempt.public_id.hex}", status=said)
        self.done(lambda: flows.fetch_and_record(attempt.pk), lost=lost)

    @precondition(lambda self: self.orders())
    @rule(
        which=WHICH, cents=st.sampled_from(["due", -500, -1, 1, 700, 9000]), days=st.integers(-5, 5), lost=LOST,
        named=st.booleans(),
    )  # fmt: skip
    def transfer(self, which, cents, days, lost, named) -> None:
        order = one(self.orders(), which)
        amount = order.amount_due + (D(0) if cents == "due" else D(cents) / 100)
        self.done(
            lambda: bank.record_and_match(
                actor=WORLD.staff, order=order if named else None, bank_account="IT60", payer=self.payer,
                bank_reference=f"{self.payer} {len(self.receipts())}", amount=max(amount, D("0.01")),
                value_date=clock.today() + timedelta(days=days),
            ),
            lost=lost,
        )  # fmt: skip

    @precondition(lambda self: self.receipts())
    @rule(which=WHICH)
    def the_same_movement_again(self, which) -> None:
        receipt = one(self.receipts(), which)
        with pytest.raises(RefusedError, match="già registrato"):
            bank.record_and_match(
                actor=WORLD.staff, bank_account="IT60", bank_reference=receipt.bank_reference, amount=receipt.amount,
                value_date=clock.today(), payer=self.payer,
            )  # fmt: skip

    @precondition(lambda self: self.receipts() and self.orders())
    @rule(which=WHICH, whose=WHICH, lost=LOST)
    def staff_allocates(self, which, whose, lost) -> None:
        receipt, order = one(self.receipts(), which), one(self.orders(), whose)
        self.done(lambda: bank.allocate(receipt_id=receipt.pk, order_id=order.pk, actor=WORLD.staff), lost=lost)

    @precondition(lambda self: self.orders())
    @rule(which=WHICH, despite=st.booleans())
    def annulla(self, which, despite) -> None:
        order = one(self.orders(), which)
        self.done(lambda: flows.cancel_order(order_id=order.pk, actor=order.owner, despite_transfer=despite))

    @precondition(lambda self: self.orders())
    @rule(which=WHICH)
    def says_transfer_was_made(self, which) -> None:
        order = one(self.orders(), which)
        self.done(lambda: flows.declare_transfer(order_id=order.pk, actor=order.owner))

    @rule(days=st.sampled_from([0, 1, 6, 30, 91]))
    def time_goes_by(self, days) -> None:
        self.time.shift(timedelta(days=days, minutes=2))
        sync.sync_due()
        sync.fulfil_due()
        for stage in (stages.Stage.EXPIRIES, stages.Stage.CHANGES, stages.Stage.LAPSES):
            run, _created = LifecycleRun.objects.get_or_create(stage=stage, day=clock.today())
            stages.STAGES[stage].work(stages.Work(run, today=clock.today()))
        if days:
            assert not self.orders(status=Order.Status.PAID), "a sweep fulfils what is paid"

    # --- What stays true -----------------------------------------------------------------------------------------

    @invariant()
    def no_cent_is_lost_or_counted_twice(self) -> None:
        for receipt in self.receipts():
            left = Case.objects.filter(receipt=receipt, kind__in=LEFT_OF_MONEY, closed_at=None)
            assert left.count() <= 1
            assert receipt.amount == total(Allocation.objects.filter(receipt=receipt)) + total(left)
        for attempt in self.attempts():
            left = Case.objects.filter(payment=attempt, kind__in=LEFT_OF_A_PAYMENT, closed_at=None)
            registered = attempt.status == Payment.Status.REGISTERED
            known = total(Allocation.objects.filter(payment=attempt)) + total(left)
            assert known == (attempt.amount if registered else 0)

    @invariant()
    def an_order_is_paid_exactly_or_not(self) -> None:
        for order in self.orders():
            given = total(order.allocations.all())
            short = list(
                Case.objects.filter(order=order, kind="short", closed_at=None).values_list("amount", flat=True)
            )
            if order.status in PAID:
                assert given == order.amount_due
            elif order.status == Order.Status.AWAITING_PAYMENT:
                assert given < order.amount_due
            else:
                assert given == 0
            missing = [order.amount_due - given] if 0 < given < order.amount_due else []
            assert short == missing
            assert order.payments.live().count() <= 1

    @invariant()
    def every_date_comes_from_what_was_paid(self) -> None:
        for box in Mailbox.objects.filter(owner__in=self.users):
            periods = list(PaidPeriod.objects.filter(box=box).order_by("starts"))
            assert all(b.starts == a.ends + timedelta(days=1) for a, b in pairwise(periods))
            assert box.expires_on == periods[-1].ends
            assert box.delete_from == box.expires_on + timedelta(days=91)
            lines = OrderLine.objects.filter(mailbox=box)
            fulfilled = list(lines.filter(status=OrderLine.Status.FULFILLED))
            assert sorted(p.pk for p in periods[1:]) == sorted(line.period_id for line in fulfilled)
            assert {p.source for p in periods[1:]} == {line.public_id for line in fulfilled}
            assert all(line.order.status == Order.Status.FULFILLED for line in fulfilled)
            waiting = lines.filter(is_open=True).count()
            assert waiting <= 1
            if waiting:
                assert rules.offer(orders.facts(box), clock.today()) is not rules.Reason.RENEW
            assert box.auto_renews == box.auto_renewals.filter(ended_at=None).exists()


def test_the_books_stay_true(plans, dario):
    WORLD.plans, WORLD.staff = plans, dario
    run_state_machine_as_test(
        Money,
        settings=settings(
            max_examples=15, stateful_step_count=15, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
