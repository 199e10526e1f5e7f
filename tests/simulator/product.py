"""The product's side of the simulator: what people do goes in by its flows, what it shows comes out in bulk."""

import uuid
from collections import defaultdict
from datetime import date, datetime

from django.db import transaction
from django.db.models import Model, Q, QuerySet

from accounts.models import BillingProfile, User
from lifecycle.models import Letter, Notice, StaffHold
from mailboxes import domains, flows, rules, telling
from mailboxes.models import BoxEvent, Domain, Holder, Mailbox, Plan
from mailboxes.platform.local import LocalPlatform
from payments import flows as payments
from payments import sync
from payments.models import Case, Payment
from payments.providers import sandbox
from pecportal import clock
from renewals.models import Order, OrderLine
from tests.conftest import ADDRESS, CODES
from tests.helpers import pay_transfer, place, start_card
from tests.simulator.facts import Automatic, Extra, Money, Renewal, Space, Span, Usage
from tests.simulator.oracle import Day
from tests.simulator.world import ACCOUNTS, Drawn

STATES = {
    rules.State.ACTIVE: "active", rules.State.EXPIRED: "expired", rules.State.AWAITING_DELETION: "awaiting_deletion",
    rules.State.DELETING: "deleting", rules.State.DELETED: "deleted",
}  # fmt: skip
SHOWN = (
    "pk", "phase", "expires_on", "delete_from", "plan__code", "mailbox_gb", "archive_gb",
    "next_plan__code", "next_mailbox_gb", "next_archive_gb", "change_on",
)  # fmt: skip


class Product:
    """The boxes of the drawn lives, by their numbers."""

    def __init__(self, staff: User) -> None:
        self.staff = staff
        self.plans = {plan.code: plan for plan in Plan.objects.all()}
        self.platform = LocalPlatform()
        self.domains: dict[int, Domain] = {}
        self.ids: dict[int, int] = {}
        self.numbers: dict[int, int] = {}
        self.orders: dict[int, Order] = {}
        self.renewed: set[tuple[int | None, date]] = set()
        self.holders = [self._account(n) for n in range(ACCOUNTS)]
        self.unreadable = self._account(ACCOUNTS, email="", contact="contatto@pec.example")
        self.seen: dict[type, int] = defaultdict(int)

    def _account(self, n: int, *, email: str | None = None, contact: str = "") -> Holder:
        name = f"{3000000 + n}@conti.example"
        user = User.objects.create_user(name, email=f"conto{n}@posta.example" if email is None else email)
        person = {"first_name": "Alice", "last_name": "Rossi", "codice_fiscale": CODES["alice"], **ADDRESS}
        if n == 0:
            BillingProfile.objects.create(user=user, is_consumer=True, **person)
        return Holder.objects.create(owner=user, contact_email=contact or f"contatto{n}@posta.example", **person)

    # What people do

    def open(self, drawn: Drawn) -> None:
        past = drawn.history
        holder = self.holders[drawn.account] if past.readable else self.unreadable
        domain = None
        if drawn.domain is not None:
            domain = self.domains.get(drawn.domain) or flows.open_domain(
                name=f"d{drawn.domain}.example", mail_host=f"pec.d{drawn.domain}.example", owner=holder.owner,
                expires_on=past.expires_on, deletion_days=drawn.domain_days,
            )  # fmt: skip
            self.domains[drawn.domain] = domain
        box = flows.open_box(
            address=f"b{drawn.number}@{domain.mail_host if domain else 'pec.example'}", owner=holder.owner,
            holder=holder, plan=self.plans[past.space.plan], mailbox_gb=past.space.mailbox,
            archive_gb=past.space.archive, expires_on=None if domain else past.expires_on, domain=domain,
        )  # fmt: skip
        self.ids[drawn.number] = box.pk
        self.numbers[box.pk] = drawn.number

    def use(self, number: int, used: Usage) -> None:
        name = Mailbox.objects.values_list("address__name", flat=True).get(pk=self.ids[number])
        self.platform.set_usage(name, used.mailbox * rules.GB // 1000, used.archive * rules.GB // 1000)

    def switch(self, number: int, automatic: Automatic) -> None:
        """As the flows of the automatic renewal leave the box; what they do for it is not time's."""
        box = Mailbox.objects.get(pk=self.ids[number])
        box.auto_renews = automatic.on
        if automatic.over:
            box.auto_over_for = box.expires_on
        box.save(update_fields=["auto_renews", "auto_over_for"])

    def place(self, number: int, renewal: Renewal) -> None:
        """Confirm the order on the screens. Raises RefusedError when they do not take it."""
        box = Mailbox.objects.select_related("plan", "owner", "holder", "address").get(pk=self.ids[number])
        space = renewal.space
        assert space is not None
        self.orders[number] = place(
            box, box.owner, plan=self.plans[space.plan], gb=(space.mailbox, space.archive), years=renewal.years
        )
        if renewal.begun < renewal.day:
            payments.declare_transfer(order_id=self.orders[number].pk, actor=box.owner)

    def pay(self, number: int, renewal: Renewal) -> None:
        """The bank's money for the order that stands, and what the workers do then."""
        order = self.orders.pop(number)
        pay_transfer(order, self.staff, reference=f"REF-{order.pk}", value_date=renewal.begun)
        sync.fulfil_due()

    def pay_in_vain(self, number: int, renewal: Renewal) -> None:
        """The bank's money for a box that is gone: a case, and the box stays gone (R21)."""
        order = self.orders.pop(number)
        pay_transfer(order, self.staff, reference=f"REF-{order.pk}", value_date=renewal.begun)
        assert Case.objects.filter(order=order, closed_at=None).exists()

    def begin_money(self, number: int, money: Money) -> None:
        """An order as the box is, and an attempt that the provider leaves open; or one that staff must decide about."""
        box = Mailbox.objects.select_related("plan", "owner", "holder", "address").get(pk=self.ids[number])
        order = self.orders[number] = place(box, box.owner)
        if money.by_staff:
            self._decide(order, Order.Status.ATTENTION, OrderLine.Status.ATTENTION)
        else:
            start_card(order, box.owner)

    def end_money(self, number: int, money: Money) -> None:
        """Nothing came of it; where the box is still there the order is closed."""
        order = self.orders.pop(number)
        if money.by_staff:
            self._decide(order, Order.Status.REFUNDED, OrderLine.Status.REFUNDED)
            return
        for payment in Payment.objects.live().filter(order=order):
            sandbox.write(payment.remote_id, status=sandbox.REFUSED)
            payments.fetch_and_record(payment.pk)
        order.refresh_from_db()
        if order.is_awaiting_payment:
            payments.cancel_order(order_id=order.pk, actor=order.owner)

    @staticmethod
    def _decide(order: Order, status: str, line: str) -> None:
        Order.objects.filter(pk=order.pk).update(status=status)
        order.lines.update(status=line, is_open=line in OrderLine.OPEN)

    def hold(self, number: int, hold: Span) -> None:
        StaffHold.objects.create(box_id=self.ids[number], why="in lite", placed_by=self.staff, placed_at=clock.now())

    def lift(self, number: int, hold: Span) -> None:
        open_holds = StaffHold.objects.filter(box_id=self.ids[number], released_at=None)
        open_holds.update(released_at=clock.now(), released_by=self.staff)

    def owes_notices(self) -> bool:
        return Notice.objects.filter(state=Notice.State.DUE).exists()

    def relay(self, refused: set[int]) -> None:
        """The relay takes the letters that wait, but for those to the contacts of `refused` accounts."""
        waiting = Letter.objects.filter(state__in=Letter.WAITING)
        dead = [f"{name}{n}@posta.example" for n in refused for name in ("conto", "contatto")]
        waiting.filter(to__in=dead).update(state=Letter.State.REFUSED, settled_at=clock.now())
        waiting.update(state=Letter.State.ACCEPTED, settled_at=clock.now())

    def renew(self, number: int, renewal: Renewal) -> None:
        """The dates and the space of a fulfilled renewal, without its order."""
        space = renewal.space
        if space is None:
            self._renew_domain(number, renewal)
            return
        with transaction.atomic(durable=True):
            box = self._locked(number)
            old = box.expires_on
            assert old is not None
            flows.extend(
                box=box, years=renewal.years, source=uuid.uuid4(), plan=self.plans[space.plan],
                mailbox_gb=space.mailbox, archive_gb=space.archive, today=renewal.day,
            )  # fmt: skip
            self._order(box, space, old_expiry=old, today=renewal.day)
        if box.change_on is not None and box.change_on <= renewal.day:
            flows.start_change(box_id=box.pk, today=renewal.day)

    def _renew_domain(self, number: int, renewal: Renewal) -> None:
        """A domain's boxes are renewed with it, all at once (R17): the first of them does it."""
        domain_id = Mailbox.objects.values_list("domain_id", flat=True).get(pk=self.ids[number])
        if (domain_id, renewal.day) in self.renewed:
            return
        self.renewed.add((domain_id, renewal.day))
        with transaction.atomic(durable=True):
            domain = Domain.objects.locked().get(pk=domain_id)
            boxes = domains.lock_boxes(domain)
            domains.extend_domain(
                domain=domain, boxes=boxes, years=renewal.years, source=uuid.uuid4(), today=renewal.day
            )

    def enlarge(self, number: int, extra: Extra) -> None:
        """The space of a fulfilled space order, without the order."""
        with transaction.atomic(durable=True):
            box = self._locked(number)
            assert box.expires_on is not None
            larger = Space(box.plan.code, box.mailbox_gb + extra.mailbox, box.archive_gb + extra.archive)
            self._order(box, larger, old_expiry=box.expires_on, today=extra.day)

    def _locked(self, number: int) -> Mailbox:
        return Mailbox.objects.locked().select_related("plan", "next_plan").get(pk=self.ids[number])

    def _order(self, box: Mailbox, space: Space, *, old_expiry: date, today: date) -> None:
        flows.order_capacity(
            box=box, plan=self.plans[space.plan], mailbox_gb=space.mailbox, archive_gb=space.archive,
            old_expiry=old_expiry, today=today,
        )  # fmt: skip

    # What it shows

    def days(self, today: date, *, since: datetime) -> dict[int, Day]:
        """Every box as it stands at the end of a day that began at `since`, with what was written about it."""
        told, diary = self._told(since), self._diary(today)
        found = {}
        for (
            pk,
            phase,
            expires_on,
            delete_from,
            plan,
            mailbox,
            archive,
            *later,
            change_on,
        ) in Mailbox.objects.values_list(*SHOWN):
            state = rules.state(phase=phase, expires_on=expires_on, delete_from=delete_from, today=today)
            waiting = Space(*later) if later[0] is not None else None
            notices = told.get(pk, [])
            found[self.numbers[pk]] = Day(
                STATES[state], phase, expires_on, delete_from, Space(plan, mailbox, archive), waiting, change_on,
                notices[0] if len(notices) == 1 else notices or None,  # two on one day equal nothing the oracle says
                tuple(sorted(diary.get(pk, []))),
            )  # fmt: skip
        return found

    def _told(self, since: datetime) -> dict[int, list]:
        none = Q(state=Notice.State.NO_ADDRESS, created_at__gte=since)
        found = defaultdict(list)
        for box_id, expiry, kind, state in Notice.objects.filter(none | Q(told_at__gte=since)).values_list(
            "box_id", "expiry", "kind", "state"
        ):
            found[box_id].append((expiry, kind, state == Notice.State.TOLD))
        return found

    def _diary(self, today: date) -> dict[int, list[tuple[date, str]]]:
        found = defaultdict(list)
        for pk, box_id, day, kind in self._new(BoxEvent).values_list("pk", "box_id", "day", "kind"):
            self.seen[BoxEvent] = max(self.seen[BoxEvent], pk)
            if kind != BoxEvent.Kind.OPENED:
                found[box_id].append((day, kind))
        for pk, box_id in self._new(Case).filter(kind=Case.Kind.DOWNGRADE_STUCK).values_list("pk", "box_id"):
            self.seen[Case] = max(self.seen[Case], pk)
            found[box_id].append((today, "case"))
        return found

    def _new(self, model: type[Model]) -> QuerySet:
        return model.objects.filter(pk__gt=self.seen[model])

    def tell_platform(self) -> list[tuple[int, dict]]:
        """Let the worker tell the mail system what is due; returns what that then keeps of those boxes."""
        due = list(Mailbox.objects.filter(platform_due_at__isnull=False).values_list("pk", "address__name"))
        if due:
            told = telling.tell_platform()
            assert (told.done, told.failed) == (len(due), 0)
        return [(self.numbers[pk], self.platform.state_of(name) or {}) for pk, name in due]
