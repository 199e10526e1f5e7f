"""What workers and time do: the sweeps of beat, the daily charges, two at once, days that pass (R19, R24, R28)."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lifecycle import stages
from lifecycle.models import LifecycleRun
from mailboxes.models import Mailbox
from payments import auto_renewal, charging, flows, refunds, sync, tasks
from payments.charge_days import notice_day
from payments.models import ScheduledCharge
from payments.providers import sandbox
from pecportal import clock
from renewals.models import Order
from tests.payments.machine.customers import Customers
from tests.payments.machine.others import Others
from tests.payments.machine.world import DEATH, DONE, PROVIDER, WHICH, one

WORKER = {
    "ask again": sync.sync_due,
    "fulfil": sync.fulfil_due,
    "refunds": refunds.send_due,
    "webhooks": tasks.work_off_left_over,
    "charges": charging.run,
}
TURNS = st.lists(st.integers(1, 7), min_size=2, max_size=3)
CLOSES = ["cancel", "cancel", "start", "transfer", "fetch", "sweep", "leave"]
MEANWHILE = ["fetch", "fetch", "fetch", "cancel", "start", "sweep", "charge", "bank"]
ANSWERS = {
    "paid": {"status": sandbox.PAID},
    "unsure, paid": {"status": sandbox.TIMEOUT, "really": sandbox.PAID},
    "unsure, refused": {"status": sandbox.TIMEOUT, "really": sandbox.REFUSED},
    **{how: {"status": sandbox.REFUSED, "reason": "no", "decline": how} for how in ("soft", "hard", "auth")},
}


class Workers(Customers, Others):
    @precondition(lambda self: self.orders())
    @rule(
        which=WHICH, first=st.sampled_from(CLOSES), second=st.sampled_from(MEANWHILE), provider=PROVIDER,
        pays=st.booleans(), turns=TURNS, dies=DEATH,
    )  # fmt: skip
    def two_at_once(self, which, first, second, provider, pays, turns, dies) -> None:
        """One closes what the other goes on with: they change places at any step where neither holds a lock."""
        order = one(self.orders(), which)
        if not order.payments.live().exists():
            self.done(lambda: self.start_attempt(order, provider))
        attempt = order.payments.last()
        if attempt is None:
            return
        if pays:
            self.customer_pays(attempt)
        card = one(self.methods(order.owner), 0)
        stories = {
            "fetch": lambda: flows.fetch_and_record(attempt.pk),
            "cancel": lambda: flows.cancel_order(order_id=order.pk, actor=order.owner, despite_transfer=True),
            "start": lambda: self.start_attempt(order, provider),
            "transfer": lambda: flows.choose_transfer(order.pk),
            "sweep": lambda: [sweep() for sweep in WORKER.values()],
            "charge": lambda: flows.charge(order_id=order.pk, method=card),
            "bank": lambda: self.money_arrives(order, order.amount_due),
            "leave": lambda: self.leave(order),
        }
        DONE["two at once"] += 1
        self.done(stories[first], stories[second], turns=turns, dies=dies)

    @rule(which=WHICH, method=WHICH, answer=st.sampled_from(sorted(ANSWERS)))
    def bank_makes_up_its_mind(self, which, method, answer) -> None:
        """What the next charges of a saved card come to."""
        sandbox.tell(one(self.methods(one(self.users, which)), method), **ANSWERS[answer])

    @precondition(lambda self: self.orders())
    @rule(which=WHICH, answer=st.sampled_from(sorted(ANSWERS)), dies=DEATH)
    def automatic_charge(self, which, answer, dies) -> None:
        order = one(self.orders(), which)
        card = next(c for c in self.cards if c.login_id == order.owner_id)
        sandbox.tell(card, **ANSWERS[answer])
        self.done(lambda: flows.charge(order_id=order.pk, method=card), dies=dies)

    @rule(work=st.sampled_from(sorted(WORKER)), minutes=st.sampled_from([0, 2, 6, 61]), dies=DEATH)
    def worker(self, work, minutes, dies) -> None:
        self.time.shift(timedelta(minutes=minutes))
        self.done(WORKER[work], dies=dies)

    @rule(days=st.sampled_from([0, 1, 6, 30, 91]))
    def time_goes_by(self, days) -> None:
        self.beat(timedelta(days=days, minutes=2))
        for stage in (stages.Stage.EXPIRIES, stages.Stage.CHANGES, stages.Stage.LAPSES):
            run, _created = LifecycleRun.objects.get_or_create(stage=stage, day=clock.today())
            self.done(lambda s=stage, r=run: stages.STAGES[s].work(stages.Work(r, today=clock.today())))
        assert not self.orders(status=Order.Status.PAID), "a sweep fulfils what is paid"

    @precondition(lambda self: self.next_charge_day())
    @rule(which=WHICH, meanwhile=st.booleans(), turns=TURNS, dies=DEATH)
    def the_day_of_a_charge_comes(self, which, meanwhile, turns, dies) -> None:
        """The next day on which a charge has a step due; its first run may die, or meet who switches it off."""
        self.time.shift(max(timedelta(0), self.next_charge_day() - clock.today()))
        box = one([box for box in map(self.box, range(3)) if box.auto_renews] or [self.box(which)], which)
        stories = [charging.run, lambda: auto_renewal.turn_off(box_id=box.pk, user=box.owner)]
        self.done(*stories[: 1 + meanwhile], turns=turns, dies=dies)
        self.beat(timedelta(minutes=70))

    def next_charge_day(self):
        return self.once(("charge day", clock.today()), self._next_charge_day)

    def _next_charge_day(self):
        charges = ScheduledCharge.objects.filter(box__in=self.boxes)
        days = [row.due_on for row in charges if row.due_on]
        known = {(row.box_id, row.expiry) for row in charges}
        for box in Mailbox.objects.filter(pk__in=[box.pk for box in self.boxes], auto_renews=True):
            if (box.pk, box.expires_on) not in known and box.expires_on >= clock.today():
                days.append(notice_day(box.expires_on))
        return min(days, default=None)

    def beat(self, after: timedelta) -> None:
        self.time.shift(after)
        for sweep in WORKER.values():
            self.done(sweep)
