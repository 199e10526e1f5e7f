"""Giving what an order bought: its periods, its space, its boxes (R15, R17, R26c). Statuses move through settle.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes import flows as box_flows
from mailboxes.models import Domain, Mailbox, PaidPeriod
from mailboxes.models.boxes import Phase
from pecportal import clock, mail
from pecportal.errors import RefusedError
from renewals import domains, purchase
from renewals.models import Kind, Order, OrderLine
from renewals.settle import fix_fiscal_data, move_line, move_lines, move_order


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
            move_line(line, OrderLine.Status.ATTENTION, why=refusal)
        if order.lines.filter(status=OrderLine.Status.ATTENTION).exists():
            move_order(order, Order.Status.ATTENTION, why=_("una riga è da decidere"))
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
        move_order(order, Order.Status.FULFILLED, why=_("tutte le righe evase"), fulfilled_at=clock.now())
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
    fix_fiscal_data([order], now)
    if split_payment:
        order.amount_due = order.taxable
        order.save(update_fields=["amount_due"])
    given = _give(order, today)
    if given.refused:
        raise CannotGiveError(given.refused[0][1])
    move_order(order, Order.Status.FULFILLED, why=why, actor=actor, fulfilled_at=now)
    _tell_fulfilled(order, given, more={})
    transaction.on_commit(nudge_platform, robust=True)

    def start_changes() -> None:
        for box_id in given.changes:
            box_flows.start_change(box_id=box_id, today=today)

    transaction.on_commit(start_changes, robust=True)


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
        move_line(found.extended, OrderLine.Status.FULFILLED, why=_("evasa"))
    move_lines(found.followed, OrderLine.Status.FULFILLED, why=_("evasa con il dominio"))
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
    move_line(line, OrderLine.Status.FULFILLED, why=_("evasa"))
    return ""


def complete(line: OrderLine, *, period: PaidPeriod) -> None:
    """The box of a purchase (order locked, paid) lives: its line and its order are fulfilled (R30)."""
    line.period = period
    move_line(line, OrderLine.Status.FULFILLED, why=_("casella attivata"))
    move_order(line.order, Order.Status.FULFILLED, why=_("tutte le righe evase"), fulfilled_at=clock.now())


def _tell_fulfilled(order: Order, given: _Given, *, more: dict[str, object]) -> None:
    """Conferma pagamento with the new expiry: to the order's e-mail and to the account's when that is another (R12)."""
    told = [given.boxes[line.mailbox_id] for line in given.lines if line.mailbox_id]
    if given.domain is not None:  # all that have its dates now, also what was opened since (R17)
        told = [box for box in given.boxes.values() if box.owner_id == order.owner_id]
    context = {
        "order": order, "boxes": told, "box": told[0] if told else None, "domain": given.domain, **more,
    }  # fmt: skip
    mail.send("order_fulfilled", to=[order.email, order.owner.email], context=context)
