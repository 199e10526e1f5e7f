"""Orders that end without being given, and what was given taken back (R4, R12b, R21, R26b, §4).

Statuses move through settle.py; as there, an order is locked by the caller.
"""

from django.db import transaction

from accounts.models import User
from mailboxes import reversals
from mailboxes.models import Domain, Mailbox
from pecportal import clock, mail
from renewals import giving
from renewals.models import Kind, Order, OrderLine
from renewals.settle import move_line, move_lines, move_order, subject_of


def cancel(order: Order, *, why: str, actor: User | None) -> None:
    """Annulla (locked order, awaiting payment, no live attempt): its lines close, Rinnova shows again (R4)."""
    _close(order, Order.Status.CANCELLED, why=why, actor=actor)


def lapse(order: Order, *, why: str) -> None:
    """The order's time is over (R12b), or its box is being deleted."""
    _close(order, Order.Status.LAPSED, why=why, actor=None)


def _close(order: Order, to: str, *, why: str, actor: User | None) -> None:
    move_order(order, to, why=why, actor=actor)
    move_lines(list(order.lines.filter(is_open=True)), OrderLine.Status.CLOSED, why=why, actor=actor)
    subject = subject_of(order)
    last = getattr(subject["box"], "last_renewable_day", None)  # an address has none
    context = {"order": order, **subject, "over": last is not None and clock.today() > last}
    mail.send("order_closed", to=[order.email, order.owner.email], context=context)


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
    move_lines([line for line in lines if line.follows_domain], OrderLine.Status.REVERSED, why=why, actor=actor)
    for line in lines:
        if line.follows_domain:
            continue
        line.order = order
        move_line(line, OrderLine.Status.REVERSED, why=why, actor=actor)
        box = locked.get(line.box_id or 0)
        if box is None:
            continue
        if line.period is not None:
            reversals.reverse_period(box=box, period=line.period, today=today, space=_space_of(box))
        elif line.kind == Kind.SPACE:
            reversals.put_back_space(box=box, space=_space_of(box), today=today)
    move_order(order, Order.Status.REVERSED, why=why, actor=actor)
    transaction.on_commit(giving.nudge_platform, robust=True)
    return [box.pk for box in locked.values() if box.change_on is not None and box.change_on <= today]


def give_up_line(line: OrderLine, *, why: str, actor: User | None) -> None:
    """A line of a paid order (locked) that will not be given: its money goes back, Rinnova shows again (R21).

    With the last of them the order ends: fulfilled if anything of it was given, else refunded.
    """
    order = line.order
    move_line(line, OrderLine.Status.REFUNDED, why=why, actor=actor)
    if order.lines.filter(is_open=True).exists():
        return
    given = order.lines.filter(status=OrderLine.Status.FULFILLED).exists()
    if given:
        move_order(order, Order.Status.FULFILLED, why=why, actor=actor, fulfilled_at=clock.now())
    else:
        move_order(order, Order.Status.REFUNDED, why=why, actor=actor)


def give_up(order: Order, *, why: str, actor: User | None) -> None:
    """Nothing that is still open of a paid order (locked) will be given."""
    for line in order.lines.filter(is_open=True).order_by("id"):
        line.order = order
        give_up_line(line, why=why, actor=actor)


def try_again(order: Order, *, why: str, actor: User) -> None:
    """Staff put right what stood in the way (locked order in attention): its lines wait to be fulfilled once more."""
    for line in order.lines.filter(status=OrderLine.Status.ATTENTION).order_by("id"):
        line.order = order
        move_line(line, OrderLine.Status.WAITING, why=why, actor=actor)
    move_order(order, Order.Status.PAID, why=why, actor=actor)
