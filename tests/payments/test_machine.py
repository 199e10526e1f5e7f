"""Customers, banks, providers, workers that die, and time do what they like: the books stay true (R9, R15–R26).

A hypothesis state machine on real commits. Every example has rows of its own; the sweeps see the others' as well. At
the end of each example every provider answers, the sweeps run, and nothing may be left in doubt. MACHINE_STEPS says how
many steps in all: 3,000 by default, more in `make soak`.
"""

import json
import os
from collections import Counter
from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal as D
from itertools import count
from types import SimpleNamespace
from unittest import mock

import pytest
import time_machine
from django.conf import settings as django_settings
from django.db import connection, transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
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
from mailboxes.catalogue import prices_on
from mailboxes.models import Mailbox
from payments import bank, cases, flows, refunds, sync, tasks
from payments.models import Case, Payment, ProviderEvent, Receipt, Refund, StoredMethod
from payments.providers import PROVIDERS, sandbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import space
from renewals.models import Order
from tests.conftest import holder_of
from tests.helpers import place
from tests.payments import invariants
from tests.payments.peer import CAPTURED, MEANWHILE, Capturing, Killed, Watched, dies_at

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = int(os.environ.get("MACHINE_STEPS", "3000"))
AN_EXAMPLE = 40
PHASES = [Phase.generate] if os.environ.get("MACHINE_RAW") else [Phase.generate, Phase.shrink]
NUMBERS = count(1)
WORLD = SimpleNamespace()  # what the fixtures made: plans and staff
DONE: Counter[str] = Counter()
WHICH = st.one_of(st.just(0), st.just(0), st.integers(min_value=0, max_value=30))  # of a list, what matters most first
DEATH = st.one_of(st.none(), st.none(), st.none(), st.integers(min_value=1, max_value=45))  # before which statement
WORKER = {
    "ask again": sync.sync_due,
    "fulfil": sync.fulfil_due,
    "refunds": refunds.send_due,
    "webhooks": tasks.work_off_left_over,
}
HOLDS_MONEY = (sandbox.PAID, sandbox.REFUNDED)


def one(rows, which: int):
    return rows[which % len(rows)]


class Money(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.watch = time_machine.travel(clock.now(), tick=False)
        self.time = self.watch.start()
        self.away: dict[str, str] = {}  # attempts whose provider does not answer → how they really stand there
        self.lies: set[str] = set()  # attempts about which the provider said what no provider should
        self.post: list[tuple[bytes, str]] = []  # webhooks on their way
        self.books = None
        self.sound = False
        MEANWHILE.clear()

    def teardown(self) -> None:
        try:
            if self.sound:
                self.everything_comes_to_an_end()
        finally:
            MEANWHILE.clear()
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
        self.cards = [
            StoredMethod.objects.create(login=user, provider="sandbox", remote_id=f"card_{user.pk}", label="Carta")
            for user in self.users
        ]
        self.owners = [user.pk for user in self.users]
        self.sound = True

    # --- What is there ----------------------------------------------------------------------------------------------

    def orders(self, **only):
        found = Order.objects.filter(owner__in=self.users, **only).order_by("-pk")
        return sorted(found, key=lambda order: not order.is_awaiting_payment)

    def attempts(self, **only):
        return list(Payment.objects.filter(order__owner__in=self.users, **only).order_by("-pk"))

    def receipts(self):
        return list(Receipt.objects.filter(payer=self.payer).order_by("pk"))

    def undecided(self):
        """Open cases about money that pays nothing."""
        mine = Case.objects.filter(order__owner__in=self.users, closed_at=None, kind__in=invariants.OF_A_PAYMENT)
        return list(mine.select_related("payment", "receipt").order_by("pk"))

    @property
    def payer(self) -> str:
        return self.users[0].username

    @staticmethod
    def remote(attempt: Payment) -> str:
        return f"sbx_{attempt.public_id.hex}"

    def there(self, attempt: Payment) -> str:
        """How an attempt really stands at the provider; "" when it never got there."""
        try:
            status = sandbox.read(self.remote(attempt))["status"]
        except FileNotFoundError:
            return ""
        return self.away.get(self.remote(attempt), status)

    def set_there(self, attempt: Payment, status: str, **more: str) -> None:
        if self.remote(attempt) in self.away:
            self.away[self.remote(attempt)] = status
            sandbox.write(self.remote(attempt), **more)
        else:
            sandbox.write(self.remote(attempt), status=status, **more)

    def customer_pays(self, attempt: Payment) -> None:
        if attempt.provider == "capture":
            sandbox.write(self.remote(attempt), agreed="yes")
        else:
            self.set_there(attempt, sandbox.PAID)

    def done(self, story, *, dies: int | None = None) -> None:
        """Do it, be refused with a sentence, or die on the way; nothing else may come of it."""
        self.sound = False
        try:
            with dies_at(dies) if dies else nullcontext():
                story()
        except RefusedError as refusal:
            assert str(refusal).endswith((".", "!", "?")), refusal
            DONE["refused"] += 1
        except Killed:
            DONE["killed"] += 1
        finally:
            MEANWHILE.clear()
        assert not connection.in_atomic_block
        self.sound = True

    # --- Customers --------------------------------------------------------------------------------------------------

    def box(self, which: int) -> Mailbox:
        found = Mailbox.objects.select_related("address", "plan", "owner", "holder")
        return found.get(pk=one(self.boxes, which).pk)

    @rule(which=WHICH, years=st.integers(1, 5), plan=st.sampled_from(["standard", "pro", "premium"]), dies=DEATH)
    def confirm(self, which, years, plan, dies) -> None:
        box = self.box(which)
        self.done(lambda: place(box, box.owner, plan=getattr(WORLD.plans, plan), years=years), dies=dies)

    @rule(which=WHICH, more=st.sampled_from([(1, 0), (0, 1), (2, 1)]), dies=DEATH)
    def more_space(self, which, more, dies) -> None:
        box, today = self.box(which), clock.today()
        gb = {"mailbox_gb": box.mailbox_gb + more[0], "archive_gb": box.archive_gb + more[1]}

        def order() -> None:
            if why := space.refusal(box, today=today, order_open=False):
                raise RefusedError(why)  # as the page does before it prices
            price = space.quote_space(box=box, prices=prices_on(today), today=today, **gb).totals.total
            space.place_space(
                box_id=box.pk, user=box.owner, email="ordine@posta.example", method="transfer", terms_version="1",
                terms_ip=None, shown_total=price, **gb,
            )  # fmt: skip

        self.done(order, dies=dies)

    @precondition(lambda self: self.orders())
    @rule(which=WHICH, agreed=st.booleans(), provider=st.sampled_from(["sandbox", "capture"]), dies=DEATH)
    def start(self, which, agreed, provider, dies) -> None:
        self.done(lambda: self._start(one(self.orders(), which), agreed, provider), dies=dies)

    def _start(self, order: Order, agreed: bool, provider: str) -> None:
        flows.start(
            order_id=order.pk, provider=provider, user=order.owner, auto_renewal_agreed=agreed,
            consent_text_version="1", return_url=lambda p: "/", cancel_url="/",
        )  # fmt: skip

    @precondition(lambda self: self.attempts())
    @rule(
        which=WHICH,
        does=st.sampled_from(["pays", "pays", "pays", "refused", "pending", "cancelled"]),
        told=st.booleans(),
    )
    def customer_at_the_provider(self, which, does, told) -> None:
        """Only what the provider's page allows: an attempt that is closed there can neither be paid nor refused."""
        attempt = one(self.attempts(), which)
        if self.there(attempt) not in (sandbox.OPEN, sandbox.PENDING):
            return
        if does == "pays":
            self.customer_pays(attempt)
        else:
            self.set_there(attempt, does)
        if told:
            self.post.append(sandbox.sandbox_event(self.remote(attempt)))

    @precondition(lambda self: self.attempts())
    @rule(which=WHICH, dies=DEATH)
    def comes_back(self, which, dies) -> None:
        attempt = one(self.attempts(), which)
        self.done(lambda: flows.fetch_and_record(attempt.pk), dies=dies)

    @precondition(lambda self: self.orders())
    @rule(which=WHICH, agreed=st.booleans(), provider=st.sampled_from(["sandbox", "capture"]), dies=DEATH)
    def pays_on_line(self, which, agreed, provider, dies) -> None:
        """Start, pay and come back in one go, as most people do."""
        order = one(self.orders(), which)

        def pay() -> None:
            self._start(order, agreed, provider)
            attempt = order.payments.latest("pk")
            self.customer_pays(attempt)
            flows.fetch_and_record(attempt.pk)

        self.done(pay, dies=dies)

    @precondition(lambda self: self.orders())
    @rule(which=WHICH, despite=st.booleans(), dies=DEATH)
    def annulla(self, which, despite, dies) -> None:
        order = one(self.orders(), which)
        self.done(lambda: flows.cancel_order(order_id=order.pk, actor=order.owner, despite_transfer=despite), dies=dies)

    @precondition(lambda self: self.orders())
    @rule(which=WHICH, chooses=st.booleans())
    def says_transfer_was_made(self, which, chooses) -> None:
        order = one(self.orders(), which)
        if chooses:
            self.done(lambda: flows.choose_transfer(order.pk))
        self.done(lambda: flows.declare_transfer(order_id=order.pk, actor=order.owner))

    # --- Two workers: one is at a provider, the other goes on -------------------------------------------------------

    @precondition(lambda self: self.attempts())
    @rule(
        which=WHICH, first=st.sampled_from(["fetch", "cancel", "start", "transfer"]),
        when=st.sampled_from(["before", "after"]), dies=DEATH,
        second=st.sampled_from(["fetch", "cancel", "start", "sweep", "pays"]),
    )  # fmt: skip
    def at_once(self, which, first, when, second, dies) -> None:
        attempt = one(self.attempts(), which)
        order = attempt.order
        stories = {
            "fetch": lambda: flows.fetch_and_record(attempt.pk),
            "cancel": lambda: flows.cancel_order(order_id=order.pk, actor=order.owner, despite_transfer=True),
            "start": lambda: self._start(order, True, "capture"),
            "transfer": lambda: flows.choose_transfer(order.pk),
            "sweep": lambda: [sweep() for sweep in WORKER.values()],
            "pays": lambda: self.customer_at_the_provider(which, "pays", False),
        }

        def other() -> None:
            try:
                stories[second]()
            except RefusedError:
                DONE["refused"] += 1

        setattr(MEANWHILE, when, other)
        self.done(stories[first], dies=dies)

    # --- Providers and banks ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.attempts())
    @rule(which=WHICH)
    def provider_goes_away_or_comes_back(self, which) -> None:
        attempt = one(self.attempts(), which)
        remote = self.remote(attempt)
        if remote in self.away:
            sandbox.write(remote, status=self.away.pop(remote))
        elif status := self.there(attempt):
            self.away[remote] = status
            sandbox.write(remote, status=sandbox.TIMEOUT)

    @precondition(lambda self: self.attempts())
    @rule(which=WHICH, lie=st.sampled_from(["late", "late", "more", "less", "dollars"]))
    def provider_lies(self, which, lie) -> None:
        """Money for an attempt that was closed, another amount, another currency."""
        attempt = one(self.attempts(), which)
        where = self.there(attempt)
        if not where or where in HOLDS_MONEY or (lie != "late" and where != sandbox.OPEN):
            return
        cents = {"more": D("0.01"), "less": D("-0.01")}.get(lie, D(0))
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
        self.done(
            lambda: bank.record_and_match(
                actor=WORLD.staff, order=order if named else None, bank_account="IT60", payer=self.payer,
                bank_reference=f"{self.payer} {len(self.receipts())}", amount=max(amount, D("0.01")),
                value_date=clock.today() + timedelta(days=days),
            ),
            dies=dies,
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

    # --- Staff ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.receipts() and self.orders())
    @rule(which=WHICH, whose=WHICH, dies=DEATH)
    def staff_allocates(self, which, whose, dies) -> None:
        receipt, order = one(self.receipts(), which), one(self.orders(), whose)
        self.done(lambda: bank.allocate(receipt_id=receipt.pk, order_id=order.pk, actor=WORLD.staff), dies=dies)

    @precondition(lambda self: self.undecided())
    @rule(which=WHICH, dies=DEATH)
    def staff_gives_back(self, which, dies) -> None:
        """The refund of what a case is about, and the case closed with it, in one transaction."""
        case = one(self.undecided(), which)

        def give_back() -> None:
            with transaction.atomic():
                if case.payment is not None:
                    payment = Payment.objects.locked().get(pk=case.payment_id)
                    amount = refunds.unapplied(payment)
                    refunds.ask(payment=payment, amount=amount, actor=WORLD.staff, why="da restituire")
                else:
                    refunds.by_bank(
                        receipt_id=case.receipt_id, amount=refunds.unapplied(case.receipt), reference=f"CRO {case.pk}",
                        actor=WORLD.staff, why="da restituire",
                    )  # fmt: skip
                cases.close_case(case_id=case.pk, actor=WORLD.staff, resolution="restituito")

        self.done(give_back, dies=dies)

    @precondition(lambda self: self.attempts(status="registered"))
    @rule(which=WHICH, cents=st.sampled_from([1, 500, 0]), told=st.booleans(), dies=DEATH)
    def refund_made_at_the_provider(self, which, cents, told, dies) -> None:
        attempt = one(self.attempts(status="registered"), which)
        if attempt.received is None:
            return
        left = attempt.received - invariants.total(invariants.counted(attempt.refunds.all())) - self._outside(attempt)
        amount = D(cents) / 100 if cents else left
        if 0 < amount <= left:
            sandbox.write(self.remote(attempt), **{f"refund_outside{next(NUMBERS)}": str(amount)})
            if told:
                self.done(lambda: flows.fetch_and_record(attempt.pk), dies=dies)

    def _outside(self, attempt: Payment) -> D:
        """What the provider gave back and we do not know of yet, EUR."""
        there = sum(
            (D(v) for k, v in sandbox.read(self.remote(attempt)).items() if k.startswith("refund_")), D(0)
        )  # fmt: skip
        ours = attempt.refunds.all()
        arrived = {f"refund_{r.public_id.hex}" for r in ours}
        known = invariants.total(r for r in ours if r.remote_id.startswith("outside"))
        sent = sum((D(v) for k, v in sandbox.read(self.remote(attempt)).items() if k in arrived), D(0))
        return max(D(0), there - sent - known)

    # --- Workers and time -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.orders())
    @rule(
        which=WHICH, says=st.sampled_from(["paid", "paid", "soft", "hard", "auth", "timeout"]), dies=DEATH,
        sure=st.booleans(),
    )  # fmt: skip
    def automatic_charge(self, which, says, dies, sure) -> None:
        order = one(self.orders(), which)
        card = next(c for c in self.cards if c.login_id == order.owner_id)
        told = {"paid": {"status": sandbox.PAID}, "timeout": {"status": sandbox.TIMEOUT}}
        sandbox.tell(card, **told.get(says, {"status": sandbox.REFUSED, "reason": "no", "decline": says}))
        self.done(lambda: flows.charge(order_id=order.pk, method=card), dies=dies)
        for attempt in self.attempts(method=card):
            try:
                status = sandbox.read(self.remote(attempt))["status"]
            except FileNotFoundError:
                continue
            if status == sandbox.TIMEOUT and self.remote(attempt) not in self.away:
                self.away[self.remote(attempt)] = sandbox.PAID if sure else sandbox.REFUSED

    @rule(work=st.sampled_from(sorted(WORKER)), minutes=st.sampled_from([0, 2, 6, 61]), dies=DEATH)
    def worker(self, work, minutes, dies) -> None:
        self.time.shift(timedelta(minutes=minutes))
        self.done(WORKER[work], dies=dies)

    @rule(days=st.sampled_from([0, 1, 6, 30, 91]))
    def time_goes_by(self, days) -> None:
        self.time.shift(timedelta(days=days, minutes=2))
        for sweep in WORKER.values():
            self.done(sweep)
        for stage in (stages.Stage.EXPIRIES, stages.Stage.CHANGES, stages.Stage.LAPSES):
            run, _created = LifecycleRun.objects.get_or_create(stage=stage, day=clock.today())
            self.done(lambda s=stage, r=run: stages.STAGES[s].work(stages.Work(r, today=clock.today())))
        assert not self.orders(status=Order.Status.PAID), "a sweep fulfils what is paid"

    # --- What stays true --------------------------------------------------------------------------------------------

    def read(self) -> invariants.Books:
        return invariants.read(owners=self.owners, receipts=Receipt.objects.filter(payer=self.payer))

    @invariant()
    def the_books_are_true(self) -> None:
        if not self.sound:
            return
        DONE["steps"] += 1
        self.sound = False
        books = self.read()
        invariants.check(books, today=clock.today(), grace_days=django_settings.GRACE_DAYS)
        if self.books is not None:
            invariants.nothing_moved_back(self.books, books)
        self.books = books
        self.the_provider_agrees(books)
        self.sound = True

    def the_provider_agrees(self, books: invariants.Books) -> None:
        """What we call registered is there; nobody paid an order twice, or one that was given up (R12b, R20)."""
        paid = Counter()
        order_of = {order.pk: order for order in books.orders}
        for attempt in books.payments:
            holds = self.there(attempt) in HOLDS_MONEY
            assert holds or attempt.status not in invariants.TAKEN, f"{attempt} has money that the provider has not"
            if holds and self.remote(attempt) not in self.lies:
                paid[attempt.order_id] += 1
                order = order_of[attempt.order_id]
                ended = order.status in (Order.Status.CANCELLED, Order.Status.LAPSED)
                assert not ended, f"{order} is {order.status}, and its attempt {attempt.pk} was paid ({attempt.status})"
        assert all(n == 1 for n in paid.values()), f"orders paid twice at the provider: {paid}"

    def everything_comes_to_an_end(self) -> None:
        """Every provider answers again, beat goes on for some days: nothing is in doubt, nothing is missing."""
        for remote, status in self.away.items():
            sandbox.write(remote, status=status)
        self.away = {}
        for attempt in self.attempts():
            if self.remote(attempt) in self.lies:  # nobody asks about a closed attempt: its provider has to tell
                flows.fetch_and_record(attempt.pk)
        for days in (0, 0, 0, 1, 1, 2):
            self.time.shift(timedelta(days=days, minutes=70))
            for sweep in WORKER.values():
                sweep()
        books = self.read()
        invariants.check(books, today=clock.today(), grace_days=django_settings.GRACE_DAYS)
        invariants.all_is_final(books)
        for attempt in books.payments:
            holds = self.there(attempt) in HOLDS_MONEY
            assert holds == (attempt.status in invariants.TAKEN), (
                f"{attempt}: the provider has it {self.there(attempt)}"
            )
            for refund in books.of("refunds", payment_id=attempt.pk, status=Refund.Status.DONE):
                sent = f"refund_{refund.public_id.hex}" in sandbox.read(self.remote(attempt))
                assert sent or refund.remote_id.startswith("outside"), f"refund {refund.pk} never got there"
        assert not ProviderEvent.objects.filter(processed_at=None).exists(), "webhooks that nobody worked off"


def test_the_books_stay_true(plans, dario):
    WORLD.plans, WORLD.staff = plans, dario
    DONE.clear()
    CAPTURED.clear()
    with mock.patch.dict(PROVIDERS, {"sandbox": Watched, "capture": Capturing}):
        run_state_machine_as_test(
            Money,
            settings=settings(
                max_examples=max(1, STEPS // AN_EXAMPLE), stateful_step_count=AN_EXAMPLE, deadline=None, database=None,
                suppress_health_check=list(HealthCheck), print_blob=True, report_multiple_bugs=False,
                phases=PHASES,
            ),
        )  # fmt: skip
    print(
        Counter(Payment.objects.values_list("provider", "status")), Counter(Order.objects.values_list("kind", "status"))
    )
    print(
        Counter(Refund.objects.values_list("status", flat=True)), Counter(Case.objects.values_list("kind", flat=True))
    )
    print(f"{DONE['steps']} steps, {DONE['refused']} refused, {DONE['killed']} deaths, {len(CAPTURED)} captures")
    assert DONE["steps"] >= STEPS * 0.7
    assert DONE["killed"] > 0
