"""What stands open for a box, read once a request: what hides Rinnova, what a choice runs into (R4, R7, R9)."""

from django.db.models import FilteredRelation, Q, QuerySet

from mailboxes.flows import measured
from mailboxes.models import Mailbox
from mailboxes.platform.base import Usage
from renewals import flows, rules
from renewals.models import Kind, Order, OrderLine


def first_of(boxes: QuerySet[Mailbox]) -> Mailbox | None:
    """The first box with what stands open for it, in one query: one line of a kind at most (R9).

    Not for boxes to be locked: a query that waited for a lock shows the other tables as they were before.
    """
    kinds = {"open_renewal": Kind.RENEWAL, "open_space": Kind.SPACE}
    of_kind = {
        name: FilteredRelation("order_lines", condition=Q(order_lines__is_open=True, order_lines__kind=kind))
        for name, kind in kinds.items()
    }
    box = boxes.annotate(**of_kind).select_related(*(f"{name}__order" for name in kinds)).first()
    if box is not None:  # Django leaves the name of an empty relation out
        found: list[OrderLine] = [vars(box)[name] for name in kinds if name in vars(box)]
        box.open_lines = found  # type: ignore[attr-defined]
        box.open_renewals = [line for line in found if line.kind == Kind.RENEWAL]  # type: ignore[attr-defined]
    return box


def _open_lines(box: Mailbox) -> list[OrderLine]:
    """Open lines of every kind; the renewals among them where flows.facts looks for them. One query a box."""
    if not hasattr(box, "open_lines"):
        box.open_lines = flows.open_lines(box)  # type: ignore[attr-defined]
    return list(box.open_lines)  # type: ignore[attr-defined]


def open_renewal(box: Mailbox) -> Order | None:
    """The renewal order that stands open for a box."""
    return next((line.order for line in _open_lines(box) if line.kind == Kind.RENEWAL), None)


def space_order_open(box: Mailbox) -> bool:
    return any(line.kind == Kind.SPACE for line in _open_lines(box))


def usage_of(box: Mailbox) -> Usage:
    """Real usage, asked of the mail system."""
    return measured([box.address.name])[box.address.name]


def problems(box: Mailbox, choice: flows.Choice, used: Usage) -> list[rules.Problem]:
    """flows.problems_of on what was read already. The order asks again, under its lock, when it is placed."""
    return flows.problems_of(box=box, choice=choice, used=used, space_order_open=space_order_open(box))
