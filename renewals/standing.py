"""What stands open for a box, read once a request: what hides Rinnova, what a choice runs into (R4, R7, R9)."""

from mailboxes.flows import measured
from mailboxes.models import Mailbox
from mailboxes.platform.base import Usage
from renewals import flows, rules
from renewals.models import Kind, Order, OrderLine


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
