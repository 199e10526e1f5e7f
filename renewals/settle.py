"""What becomes of an order once it stands: paid, fulfilled, cancelled, lapsed (DESIGN §6).

Called by payments and lifecycle only; with flows.py the only writer of Order.status and OrderLine.status. Functions
that take an order expect its row locked by the caller. Lock order: order → receipt → payment → domain → mailbox.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.billing_forms import BillingForm
from accounts.models import BillingProfile, User
from mailboxes import flows as box_flows
from mailboxes import reversals
from mailboxes.catalogue import prices_on
from mailboxes.models import Domain, Mailbox, PaidPeriod
from mailboxes.models.boxes import Phase
from pecportal import clock, mail
from pecportal.errors import RefusedError
from renewals import domains, pricing, purchase
from renewals.models import BillingSnapshot, Kind, Order, OrderEvent, OrderLine, targets_of

log = logging.getLogger(__name__)


class IllegalMoveError(Exception):
    """A move that is not in the table of the model (R10): a programming error, never a customer's."""


def _move(order: Order, to: str, *, why: str, actor: User | None = None, **stamps: datetime) -> None:
    if to not in Order.MOVES[order.status]:
        raise IllegalMoveError(f"{order.number}: {order.status} → {to}")
    OrderEvent.objects.create(order=order, before=order.status, after=to, actor=actor, why=why)
    order.status = to
    for name, value in stamps.items():
        setattr(order, name, value)
    order.save(update_fields=["status", *stamps])


def _move_line(line: OrderLine, to: str, *, why: str, actor: User | None = None) -> None:
    if to not in OrderLine.MOVES[line.status]:
        raise IllegalMoveError(f"{line}: {line.status} → {to}")
    OrderEvent.objects.create(order=line.order, line=line, before=line.status, after=to, actor=actor, why=why)
    line.status = to
    line.is_open = to in OrderLine.OPEN
    line.save(update_fields=["status", "is_open", "period"])


def _move_lines(lines: Sequence[OrderLine], to: str, *, why: str, actor: User | None = None) -> None:
    """_move_line for many lines of one order in two statements (a domain with its boxes)."""
    for line in lines:
        if to not in OrderLine.MOVES[line.status]:
            raise IllegalMoveError(f"{line}: {line.status} → {to}")
    OrderEvent.objects.bulk_create(
        OrderEvent(order_id=line.order_id, line=line, before=line.status, after=to, actor=actor, why=why)
        for line in lines
    )
    stamps = {"status": to, "is_open": to in OrderLine.OPEN}
    OrderLine.objects.filter(pk__in=[line.pk for line in lines]).update(**stamps)
    for line in lines:
        for name, value in stamps.items():
            setattr(line, name, value)


def refusal_to_pay(order: Order, *, begun_on: date) -> str:
    """Why money begun on `begun_on` cannot pay this order, or "" when it can (R12b, R21, R21b).

    Money begun by E+90 still renews while no box of the order is DELETING; of a domain's order the domain (R17).
    """
    return refusal_for(order, targets_of(order.lines.select_related("mailbox", "domain")), begun_on=begun_on)


def refusal_for(order: Order, targets: Iterable[Mailbox | Domain], *, begun_on: date) -> str:
    """The same of an order whose targets (models.targets_of) are at hand: nothing is asked of the database."""
    if not order.is_awaiting_payment:
        return _("l'ordine è %(status)s") % {"status": order.get_status_display().lower()}
    for target in targets:
        if target.phase in (Phase.DELETING, Phase.DELETED):
            return _("il dominio non c'è più") if isinstance(target, Domain) else _("la casella non c'è più")
        if target.last_renewable_day and begun_on > target.last_renewable_day:
            return _("iniziato dopo l'ultimo giorno utile per rinnovare")
    return ""


def is_payable(order: Order, today: date) -> bool:
    """Whether the customer may start paying this order today (R12b)."""
    return refusal_to_pay(order, begun_on=today) == "" and today <= order.lapses_on


def mark_paid(order: Order, *, why: str, actor: User | None = None) -> None:
    """The provider has the money (locked order, awaiting payment): fix VAT and billing data, move to paid (R8).

    Raises IllegalMoveError when the order is not awaiting payment: callers ask refusal_to_pay first.
    """
    mark_all_paid([order], why=why, actor=actor)


def mark_all_paid(orders: Sequence[Order], *, why: str, actor: User | None = None) -> None:
    """mark_paid for many locked orders in a handful of queries (a bank statement)."""
    now = clock.now()
    for order in orders:
        if Order.Status.PAID not in Order.MOVES[order.status]:
            raise IllegalMoveError(f"{order.number}: {order.status} → {Order.Status.PAID}")
    _fix_fiscal_data(orders, now)
    OrderEvent.objects.bulk_create(
        OrderEvent(order=order, before=order.status, after=Order.Status.PAID, actor=actor, why=why) for order in orders
    )
    stamps = {"status": Order.Status.PAID, "paid_at": now, "collected_at": now}
    Order.objects.filter(pk__in=[order.pk for order in orders]).update(**stamps)
    for order in orders:
        for name, value in stamps.items():
            setattr(order, name, value)


def mark_collected(order: Order, *, why: str, actor: User | None = None) -> None:
    """The money that a public body had promised is all there (locked order, fulfilled on its commitment, R26c)."""
    if not order.awaits_collection:
        raise IllegalMoveError(f"{order.number}: nothing is to be collected")
    order.collected_at = clock.now()
    order.save(update_fields=["collected_at"])
    OrderEvent.objects.create(order=order, before=order.status, after=order.status, actor=actor, why=why)


class _Invoiceable(BillingForm):
    """Billing data held against what an invoice needs; nothing is asked of the database."""

    def check_key(self, key: str) -> None:
        """The key is the account's own already."""

    def _post_clean(self) -> None:
        """No instance is made."""


def _fix_fiscal_data(orders: Sequence[Order], now: datetime) -> None:
    """VAT rate and billing data are those of the day the payment is registered (R8); the total never moves.

    Billing data that no invoice could be made from do not replace those of the confirmation. A VAT rate that is missing
    today is an alarm and leaves that of the confirmation: registered money is never turned away.
    """
    rate = prices_on(clock.rome_date(now)).rate
    fixed, kept = [], []
    for order in orders:
        if rate is None:
            log.critical("no VAT rate in force: order %s keeps that of its confirmation", order.number)
        elif rate != order.vat_rate:
            split = pricing.resplit(order.total, rate)
            order.vat_rate, order.taxable, order.vat = rate, split.taxable, split.vat
            order.save(update_fields=["vat_rate", "taxable", "vat"])
        today_billing: BillingProfile | None = getattr(order.owner, "billing", None)
        confirmed: BillingSnapshot | None = getattr(order, "billing", None)
        identity = today_billing.identity() if today_billing else {}
        changed = bool(identity) and (confirmed is None or identity != confirmed.identity())
        if changed and _Invoiceable(data=identity).is_valid():
            fixed.append(BillingSnapshot(order=order, fixed_at=now, **identity))
        else:
            kept.append(order.pk)
    if fixed:
        BillingSnapshot.objects.bulk_create(
            fixed, update_conflicts=True, unique_fields=["order"], update_fields=[*BillingSnapshot.COPIED, "fixed_at"]
        )
    if kept:
        BillingSnapshot.objects.filter(order__in=kept).update(fixed_at=now)


def fulfil(
    order_id: int,
    *,
    on_attention: Callable[[int], None] | None = None,
    on_activating: Callable[[], None] | None = None,
    also_told: Callable[[Order], dict[str, object]] | None = None,
) -> bool:
    """Give what a paid order bought, in one transaction; safe to call again, a second call adds nothing (R15).

    Returns True when the order was fulfilled now. A line that cannot be fulfilled goes to attention, and the order with
    it: staff decide, the money is not lost. `on_attention` is called then with the order's id, in the same transaction:
    what staff must see is there, or the order is still paid and tried again. `also_told`: what the mail says more of
    the order, asked once it is fulfilled. A purchase stays paid, its box In attivazione, until the mail system has it
    (`complete`); `on_activating` is called after the commit.
    """
    today = clock.today()
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        if order.status != Order.Status.PAID:
            return False
        given = _give(order, today)
        for line, refusal in given.refused:
            _move_line(line, OrderLine.Status.ATTENTION, why=refusal)
        if order.lines.filter(status=OrderLine.Status.ATTENTION).exists():
            _move(order, Order.Status.ATTENTION, why=_("una riga è da decidere"))
            context: dict[str, object] = {"order": order, "domain": domains.given_of(order)}
            mail.send("order_attention", to=[order.email, order.owner.email], context=context)
            transaction.on_commit(nudge_platform, robust=True)
            if on_attention is not None:
                on_attention(order_id)
            return False
        if order.kind == Kind.PURCHASE:
            if on_activating is not None:
                transaction.on_commit(on_activating, robust=True)
            return False
        _move(order, Order.Status.FULFILLED, why=_("tutte le righe evase"), fulfilled_at=clock.now())
        _tell_fulfilled(order, given, more=also_told(order) if also_told else {})
        transaction.on_commit(nudge_platform, robust=True)
    for box_id in given.changes:
        box_flows.start_change(box_id=box_id, today=today)
    return True


class CannotGiveError(RefusedError):
    """A line of the order cannot be given: the sentence says why."""


def fulfil_committed(order: Order, *, why: str, actor: User, split_payment: bool) -> None:
    """Fulfil an order on a public body's commitment, before its money (locked, awaiting payment, R26c).

    In the caller's transaction: VAT and billing data are fixed, then every line is given. With split payment the body
    pays us the taxable sum, and the VAT to the state. Raises CannotGiveError, and the caller rolls back.
    """
    if order.kind == Kind.PURCHASE:
        raise CannotGiveError(_("un acquisto si attiva solo quando il pagamento è registrato"))
    today, now = clock.today(), clock.now()
    _fix_fiscal_data([order], now)
    if split_payment:
        order.amount_due = order.taxable
        order.save(update_fields=["amount_due"])
    given = _give(order, today)
    if given.refused:
        raise CannotGiveError(given.refused[0][1])
    _move(order, Order.Status.FULFILLED, why=why, actor=actor, fulfilled_at=now)
    _tell_fulfilled(order, given, more={})
    transaction.on_commit(nudge_platform, robust=True)
    for box_id in given.changes:
        transaction.on_commit(partial(box_flows.start_change, box_id=box_id, today=today), robust=True)


@dataclass
class _Given:
    """What giving an order's lines came to: `refused` with the reason; `changes`: boxes whose change is due today."""

    lines: list[OrderLine]
    boxes: dict[int, Mailbox]
    refused: list[tuple[OrderLine, str]] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)
    domain: Domain | None = None


def _give(order: Order, today: date) -> _Given:
    """Lock the boxes of an order (locked) by id and give each waiting line."""
    lines = list(order.lines.filter(status=OrderLine.Status.WAITING).select_related("plan").order_by("id"))
    if order.kind == Kind.DOMAIN_RENEWAL:
        return _give_domain(order, lines, today)
    ids = [line.mailbox_id for line in lines if line.mailbox_id]
    locked = (
        Mailbox.objects.locked()
        .filter(pk__in=ids)
        .select_related("plan", "next_plan", "address", "holder", "owner")
        .order_by("pk")
    )
    given = _Given(lines, {box.pk: box for box in locked})
    for line in lines:
        line.order = order
        box = given.boxes.get(line.mailbox_id or 0)
        refusal = _fulfil_line(line, box, order, today)
        if refusal:
            given.refused.append((line, refusal))
        elif box is not None and box.change_on is not None and box.change_on <= today:
            given.changes.append(box.pk)
    return given


def _give_domain(order: Order, lines: list[OrderLine], today: date) -> _Given:
    """The same of a domain's order: the domain's line makes the period, its boxes follow it (R17)."""
    found = domains.give(order, lines, today=today)
    if found.extended is not None:
        _move_line(found.extended, OrderLine.Status.FULFILLED, why=_("evasa"))
    _move_lines(found.followed, OrderLine.Status.FULFILLED, why=_("evasa con il dominio"))
    return _Given(lines, {box.pk: box for box in found.boxes}, found.refused, domain=found.domain)


def nudge_platform() -> None:
    from mailboxes.tasks import sync_platform

    sync_platform.delay()


def _fulfil_line(line: OrderLine, box: Mailbox | None, order: Order, today: date) -> str:
    """Give one line to its locked box; returns the refusal, or "" when it is given (of a purchase: prepared)."""
    if line.kind == Kind.PURCHASE:
        return purchase.prepare(line)
    if box is None or line.plan is None or line.mailbox_gb is None or line.archive_gb is None:
        return _("riga che non si può evadere")
    if box.phase != Phase.LIVE or box.expires_on is None:
        return _("la casella non è attiva né scaduta")
    if box.kind == Mailbox.Kind.ON_DOMAIN:
        return _("la casella è ora su un dominio")
    if line.kind == Kind.SPACE:
        if line.old_expiry != box.expires_on:
            return _("spazio superato da un rinnovo")  # R9
        old_expiry = box.expires_on
    elif line.kind == Kind.RENEWAL and order.years is not None:
        old_expiry = box.expires_on
        line.period = box_flows.extend(
            box=box, years=order.years, source=line.public_id, plan=line.plan, mailbox_gb=line.mailbox_gb,
            archive_gb=line.archive_gb, today=today,
        )  # fmt: skip
    else:
        return _("riga che non si può evadere")
    box_flows.order_capacity(
        box=box,
        plan=line.plan,
        mailbox_gb=line.mailbox_gb,
        archive_gb=line.archive_gb,
        old_expiry=old_expiry,
        today=today,
    )
    _move_line(line, OrderLine.Status.FULFILLED, why=_("evasa"))
    return ""


def complete(line: OrderLine, *, period: PaidPeriod) -> None:
    """The box of a purchase (order locked, paid) lives: its line and its order are fulfilled (R30)."""
    line.period = period
    _move_line(line, OrderLine.Status.FULFILLED, why=_("casella attivata"))
    _move(line.order, Order.Status.FULFILLED, why=_("tutte le righe evase"), fulfilled_at=clock.now())


def _tell_fulfilled(order: Order, given: _Given, *, more: dict[str, object]) -> None:
    """Conferma pagamento with the new expiry: to the order's e-mail and to the account's when that is another (R12)."""
    told = [given.boxes[line.mailbox_id] for line in given.lines if line.mailbox_id]
    if given.domain is not None:  # all that have its dates now, also what was opened since (R17)
        told = [box for box in given.boxes.values() if box.owner_id == order.owner_id]
    context = {
        "order": order, "boxes": told, "box": told[0] if told else None, "domain": given.domain, **more,
    }  # fmt: skip
    mail.send("order_fulfilled", to=[order.email, order.owner.email], context=context)


def cancel(order: Order, *, why: str, actor: User | None) -> None:
    """Annulla (locked order, awaiting payment, no live attempt): its lines close, Rinnova shows again (R4)."""
    _close(order, Order.Status.CANCELLED, why=why, actor=actor)


def lapse(order: Order, *, why: str) -> None:
    """The order's time is over (R12b), or its box is being deleted."""
    _close(order, Order.Status.LAPSED, why=why, actor=None)


def _close(order: Order, to: str, *, why: str, actor: User | None) -> None:
    _move(order, to, why=why, actor=actor)
    _move_lines(list(order.lines.filter(is_open=True)), OrderLine.Status.CLOSED, why=why, actor=actor)
    mail.send("order_closed", to=[order.email, order.owner.email], context={"order": order, **subject_of(order)})


def subject_of(order: Order) -> dict[str, object]:
    """What a mail about an order names: `box`, its first box, domain or address; `domain` where it is one (R17)."""
    line = order.lines.select_related("mailbox__address", "domain", "address").order_by("id").first()
    first = line.target if line else None
    return {"box": first, "domain": first if isinstance(first, Domain) else None}


def _boxes_of(lines: list[OrderLine]) -> dict[int, Mailbox]:
    """The boxes of some lines, locked in the order of their ids."""
    ids = [line.box_id for line in lines if line.box_id]
    found = Mailbox.objects.locked().filter(pk__in=ids).select_related("plan", "next_plan", "address").order_by("pk")
    return {box.pk: box for box in found}


def _space_of(box: Mailbox) -> list[reversals.Space]:
    """What the space orders of a box that stand have paid for."""
    lines = OrderLine.objects.filter(mailbox=box, kind=Kind.SPACE, status=OrderLine.Status.FULFILLED)
    return [
        reversals.Space(line.old_expiry, line.plan, line.mailbox_gb or 0, line.archive_gb or 0)
        for line in lines.select_related("plan")
        if line.old_expiry is not None and line.plan is not None
    ]


def reverse(order: Order, *, why: str, actor: User | None) -> list[int]:
    """Take back what a fulfilled order gave (locked order): its periods, else its space (§4, R26b).

    Returns the boxes whose smaller space starts today: the caller asks start_change for them after the commit. Raises
    RefusedError when a period of it is not the last; IllegalMoveError on an order that is not fulfilled.
    """
    today = clock.today()
    lines = list(order.lines.filter(status=OrderLine.Status.FULFILLED).select_related("period").order_by("id"))
    for line in lines:
        if line.period is not None and line.domain_id is not None:
            domain = Domain.objects.locked().get(pk=line.domain_id)
            boxes = list(Mailbox.objects.locked().filter(domain=domain).order_by("pk"))
            reversals.reverse_domain_period(domain=domain, boxes=boxes, period=line.period, today=today)
    locked = _boxes_of(lines)
    _move_lines([line for line in lines if line.follows_domain], OrderLine.Status.REVERSED, why=why, actor=actor)
    for line in lines:
        if line.follows_domain:
            continue
        line.order = order
        _move_line(line, OrderLine.Status.REVERSED, why=why, actor=actor)
        box = locked.get(line.box_id or 0)
        if box is None:
            continue
        if line.period is not None:
            reversals.reverse_period(box=box, period=line.period, today=today, space=_space_of(box))
        elif line.kind == Kind.SPACE:
            reversals.put_back_space(box=box, space=_space_of(box), today=today)
    _move(order, Order.Status.REVERSED, why=why, actor=actor)
    transaction.on_commit(nudge_platform, robust=True)
    return [box.pk for box in locked.values() if box.change_on is not None and box.change_on <= today]


def give_up_line(line: OrderLine, *, why: str, actor: User | None) -> None:
    """A line of a paid order (locked) that will not be given: its money goes back, Rinnova shows again (R21).

    With the last of them the order ends: fulfilled if anything of it was given, else refunded.
    """
    order = line.order
    _move_line(line, OrderLine.Status.REFUNDED, why=why, actor=actor)
    if order.lines.filter(is_open=True).exists():
        return
    given = order.lines.filter(status=OrderLine.Status.FULFILLED).exists()
    if given:
        _move(order, Order.Status.FULFILLED, why=why, actor=actor, fulfilled_at=clock.now())
    else:
        _move(order, Order.Status.REFUNDED, why=why, actor=actor)


def give_up(order: Order, *, why: str, actor: User | None) -> None:
    """Nothing that is still open of a paid order (locked) will be given."""
    for line in order.lines.filter(is_open=True).order_by("id"):
        line.order = order
        give_up_line(line, why=why, actor=actor)


def try_again(order: Order, *, why: str, actor: User) -> None:
    """Staff put right what stood in the way (locked order in attention): its lines wait to be fulfilled once more."""
    for line in order.lines.filter(status=OrderLine.Status.ATTENTION).order_by("id"):
        line.order = order
        _move_line(line, OrderLine.Status.WAITING, why=why, actor=actor)
    _move(order, Order.Status.PAID, why=why, actor=actor)


def set_method(order: Order, method: str) -> None:
    """Remember the method last chosen (locked order)."""
    order.method = method
    order.save(update_fields=["method"])


def declare_transfer(order: Order, *, today: date, actor: User) -> None:
    """Ho fatto il bonifico (locked order, awaiting payment): the order will not lapse, Annulla will warn (R12b)."""
    if order.transfer_declared_on is None:
        order.transfer_declared_on = today
        order.save(update_fields=["transfer_declared_on"])
        OrderEvent.objects.create(
            order=order,
            before=order.status,
            after=order.status,
            actor=actor,
            why=_("bollettino dichiarato") if order.method == "postal" else _("bonifico dichiarato"),
        )
