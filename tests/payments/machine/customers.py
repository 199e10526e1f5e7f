"""What customers do: order, pay, come back or not, change their mind, leave (R4, R9, R12b, R20, R23, R24, R26b)."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mailboxes.catalogue import prices_on
from payments import auto_renewal, flows, withdrawal
from payments.models import ScheduledCharge
from payments.providers import sandbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import space
from renewals.models import Order
from tests.helpers import place
from tests.payments.machine.world import DEATH, IBAN, PROVIDER, WHICH, WORLD, World, one


class Customers(World):
    @rule(
        which=WHICH, years=st.integers(1, 5), plan=st.sampled_from(["standard", "pro", "premium"]),
        at_once=st.booleans(), dies=DEATH,
    )  # fmt: skip
    def confirm(self, which, years, plan, at_once, dies) -> None:
        box = self.box(which)
        facts = {"plan": getattr(WORLD.plans, plan), "years": years, "immediate_start": at_once}
        self.done(lambda: place(box, box.owner, **facts), dies=dies)

    @rule(which=WHICH, more=st.sampled_from([(1, 0), (0, 1), (2, 1)]), at_once=st.booleans(), dies=DEATH)
    def more_space(self, which, more, at_once, dies) -> None:
        box, today = self.box(which), clock.today()
        gb = {"mailbox_gb": box.mailbox_gb + more[0], "archive_gb": box.archive_gb + more[1]}

        def order() -> None:
            if why := space.refusal(box, today=today, order_open=False):
                raise RefusedError(why)  # as the page does before it prices
            price = space.quote_space(box=box, prices=prices_on(today), today=today, **gb).totals.total
            space.place_space(
                box_id=box.pk, user=box.owner, email="ordine@posta.example", method="transfer", terms_version="1",
                terms_ip=None, shown_total=price, immediate_start=at_once, **gb,
            )  # fmt: skip

        self.done(order, dies=dies)

    @precondition(lambda self: self.orders())
    @rule(which=WHICH, agreed=st.booleans(), provider=PROVIDER, dies=DEATH)
    def start(self, which, agreed, provider, dies) -> None:
        self.done(lambda: self.start_attempt(one(self.orders(), which), provider, agreed=agreed), dies=dies)

    @precondition(lambda self: self.attempts())
    @rule(
        which=WHICH, does=st.sampled_from(["pays", "pays", "pays", "refused", "pending", "cancelled"]),
        told=st.booleans(),
    )  # fmt: skip
    def customer_at_the_provider(self, which, does, told) -> None:
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
    @rule(which=WHICH, agreed=st.booleans(), provider=PROVIDER, dies=DEATH)
    def pays_on_line(self, which, agreed, provider, dies) -> None:
        """Start, pay and come back in one go, as most people do."""
        order = one(self.orders(), which)

        def pay() -> None:
            self.start_attempt(order, provider, agreed=agreed)
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

    @precondition(lambda self: self.orders(status__in=withdrawal.OPEN_TO_IT))
    @rule(which=WHICH, iban=st.sampled_from([IBAN, IBAN, ""]), dies=DEATH)
    def recedes(self, which, iban, dies) -> None:
        order = one(self.orders(status__in=withdrawal.OPEN_TO_IT), which)
        self.done(lambda: self.leave(order, iban=iban), dies=dies)

    @staticmethod
    def leave(order: Order, *, iban: str = IBAN) -> None:
        shown = withdrawal.offer(order, today=clock.today()).amount
        withdrawal.withdraw(
            order_id=order.pk, user=order.owner, name="Alice", email="recesso@posta.example", iban=iban, shown=shown
        )

    # --- Automatic renewal ------------------------------------------------------------------------------------------

    @rule(which=WHICH, method=WHICH, years=st.integers(1, 3), dies=DEATH)
    def switches_on(self, which, method, years, dies) -> None:
        box = self.box(which)
        card = one(self.methods(box.owner), method)
        story = {"box_id": box.pk, "user": box.owner, "method_id": card.pk, "years": years}
        self.done(lambda: auto_renewal.turn_on(**story), dies=dies)

    @precondition(lambda self: any(self.box(k).auto_renews for k in range(3)))
    @rule(which=WHICH, dies=DEATH)
    def switches_off(self, which, dies) -> None:
        box = self.box(which)
        self.done(lambda: auto_renewal.turn_off(box_id=box.pk, user=box.owner), dies=dies)

    @precondition(lambda self: self.asked())
    @rule(which=WHICH, dies=DEATH)
    def agrees_to_the_higher_amount(self, which, dies) -> None:
        asked = one(self.asked(), which)
        box = asked.box
        amount = auto_renewal.amount_of(box, years=asked.years, day=clock.today())
        self.done(lambda: auto_renewal.agree_to_amount(box_id=box.pk, user=box.owner, shown=amount), dies=dies)

    def asked(self):
        found = ScheduledCharge.objects.filter(box__in=self.boxes, status="consent").order_by("pk")
        return self.once("asked", lambda: list(found))
