"""What providers, banks and staff do (R18, R21, R21b, R26): nobody of them keeps to our order of things."""

import json
from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.test import Client
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from payments import bank, flows, giving_back, sync
from payments.models import Case, ProviderEvent
from payments.providers import sandbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order, OrderLine
from tests.payments import invariants
from tests.payments.machine.world import DEATH, HOLDS_MONEY, NUMBERS, WHICH, WORLD, World, one

CENT = D("0.01")
OF_MONEY = (*invariants.OF_A_PAYMENT, *invariants.OF_A_RECEIPT, Case.Kind.REFUND_BY_BANK, Case.Kind.REFUND_FAILED)
GIVEN = (Order.Status.FULFILLED, Order.Status.REVERSED)


class Others(World):
    @precondition(lambda self: self.attempts())
    @rule(which=WHICH)
    def provider_goes_away_or_comes_back(self, which) -> None:
        attempt = one(self.attempts(), which)
        if not self.answers_again(attempt) and (status := self.there(attempt)):
            sandbox.write(self.remote(attempt), status=sandbox.TIMEOUT, really=status)

    @precondition(lambda self: self.attempts())
    @rule(which=WHICH, lie=st.sampled_from(["late", "late", "more", "less", "dollars"]))
    def provider_lies(self, which, lie) -> None:
        """Money for an attempt that was closed, another amount, another currency."""
        attempt = one(self.attempts(), which)
        where = self.there(attempt)
        if not where or where in HOLDS_MONEY or (lie != "late" and where != sandbox.OPEN):
            return
        cents = {"more": CENT, "less": -CENT}.get(lie, D(0))
        currency = "USD" if lie == "dollars" else "EUR"
        self.set_there(attempt, sandbox.PAID, amount=str(attempt.amount + cents), currency=currency)
        self.lies.add(self.remote(attempt))

    @precondition(lambda self: self.post)
    @rule(which=WHICH, times=st.sampled_from([0, 1, 1, 2]), keeps=st.booleans(), worked=st.booleans(), dies=DEATH)
    def webhook(self, which, times, keeps, worked, dies) -> None:
        """Delivered in any order: never, once, twice, and once more much later; worked off at once or left over."""
        body, signature = one(self.post, which)
        if not keeps:
            self.post.remove((body, signature))
        for _time in range(times):
            answer = Client().post(
                "/webhook/sandbox/", body, content_type="application/json",
                headers={"X-Sandbox-Signature": signature},
            )  # fmt: skip
            assert answer.status_code == 200
        stored = ProviderEvent.objects.filter(event_id=json.loads(body)["event_id"])
        assert len(stored) == 1 if times else len(stored) <= 1
        if worked and stored:
            self.done(lambda: sync.work_off_event(stored[0].pk), dies=dies)

    @precondition(lambda self: self.orders())
    @rule(
        which=WHICH, cents=st.sampled_from(["due", "due", -500, -1, 1, 700, 9000]), days=st.integers(-5, 5),
        named=st.booleans(), dies=DEATH,
    )  # fmt: skip
    def transfer(self, which, cents, days, named, dies) -> None:
        order = one(self.orders(), which)
        amount = order.amount_due + (D(0) if cents == "due" else D(cents) / 100)
        self.done(lambda: self.money_arrives(order, max(amount, CENT), days=days, named=named), dies=dies)

    def money_arrives(self, order: Order, amount: D, *, days: int = 0, named: bool = True) -> None:
        bank.record_and_match(
            actor=WORLD.staff, order=order if named else None, bank_account="IT60", payer=self.payer,
            bank_reference=f"{self.payer} {len(self.receipts())}", amount=amount,
            value_date=clock.today() + timedelta(days=days),
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

    @precondition(lambda self: self.attempts(status="registered"))
    @rule(which=WHICH, cents=st.sampled_from([1, 500, 0]), told=st.booleans(), dies=DEATH)
    def refund_made_at_the_provider(self, which, cents, told, dies) -> None:
        attempt = one(self.attempts(status="registered"), which)
        if attempt.received is None:
            return
        ours = invariants.counted(attempt.refunds.all())
        there = self.at_provider(attempt)
        on_the_way = invariants.total(
            r for r in ours if not r.remote_id.startswith("outside") and f"refund_{r.public_id.hex}" not in there
        )
        left = attempt.received - self.given_back_there(attempt) - on_the_way
        amount = D(cents) / 100 if cents else left
        if 0 < amount <= left:
            sandbox.write(self.remote(attempt), **{f"refund_outside{next(NUMBERS)}": str(amount)})
            if told:
                self.done(lambda: flows.fetch_and_record(attempt.pk), dies=dies)

    # --- Staff ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.receipts() and self.orders())
    @rule(which=WHICH, whose=WHICH, dies=DEATH)
    def staff_allocates(self, which, whose, dies) -> None:
        receipt, order = one(self.receipts(), which), one(self.orders(), whose)
        self.done(lambda: bank.allocate(receipt_id=receipt.pk, order_id=order.pk, actor=WORLD.staff), dies=dies)

    def open_cases(self):
        mine = Case.objects.filter(closed_at=None, kind__in=OF_MONEY)
        of_orders = mine.filter(order__owner__in=self.users)
        found = of_orders | mine.filter(receipt__payer=self.payer)
        return self.once("cases", lambda: list(found.order_by("pk")))

    @precondition(lambda self: self.open_cases())
    @rule(which=WHICH, whose=WHICH, all_of_it=st.booleans(), attributes=st.booleans(), dies=DEATH)
    def staff_decides_a_case(self, which, whose, all_of_it, attributes, dies) -> None:
        """Rimborsa, all or half of it, or Attribuisci a un altro ordine."""
        case, orders = one(self.open_cases(), which), self.orders()
        case.refresh_from_db()
        left = giving_back.left_of_case(case)
        amount = left if all_of_it else (left / 2).quantize(CENT)
        facts = {"case_id": case.pk, "actor": WORLD.staff}

        def decide() -> None:
            if attributes and orders:
                giving_back.attribute_case(order_id=one(orders, whose).pk, **facts)
            else:
                giving_back.refund_case(amount=amount, reference=f"CRO {next(NUMBERS)}", why="deciso", **facts)

        self.done(decide, dies=dies)

    @precondition(lambda self: self.orders(status__in=GIVEN))
    @rule(which=WHICH, cents=st.sampled_from([1, 300, 100000]), reverses=st.booleans(), dies=DEATH)
    def staff_gives_back(self, which, cents, reverses, dies) -> None:
        """Goodwill, or the order taken back; the amount is what staff typed, or all that is left."""
        order = one(self.orders(status__in=GIVEN), which)
        amount = min(D(cents) / 100, giving_back.held_for(order) - giving_back.promised(order))
        story = giving_back.reverse_order if reverses else giving_back.refund_order
        self.done(lambda: story(order_id=order.pk, amount=amount, actor=WORLD.staff, why="scuse"), dies=dies)

    @precondition(lambda self: self.lines_in_attention())
    @rule(which=WHICH, gives_up=st.booleans(), dies=DEATH)
    def staff_decides_a_line(self, which, gives_up, dies) -> None:
        line = one(self.lines_in_attention(), which)
        who = {"actor": WORLD.staff, "why": "deciso"}

        def decide() -> None:
            if gives_up:
                giving_back.refund_line(line_id=line.pk, **who)
            else:
                giving_back.try_again(order_id=line.order_id, **who)

        self.done(decide, dies=dies)

    def lines_in_attention(self):
        attention = OrderLine.objects.filter(order__owner__in=self.users, status=OrderLine.Status.ATTENTION)
        return self.once("lines", lambda: list(attention.order_by("pk")))
