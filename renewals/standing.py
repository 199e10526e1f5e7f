"""What stands open for a box, read once a request: what hides Rinnova, what a choice runs into (R4, R7, R9)."""

from mailboxes.flows import limits, measured
from mailboxes.models import Mailbox
from mailboxes.platform.base import Usage
from renewals import flows, rules
from renewals.models import Kind, Order, OrderLine


def _open_lines(box: Mailbox) -> list[OrderLine]:
    """Open lines of every kind; the renewals among them where flows.facts looks for them. One query a box."""
    found: list[OrderLine] | None = getattr(box, "open_lines", None)
    if found is None:
        found = list(OrderLine.objects.filter(mailbox=box, is_open=True).select_related("order"))
        box.open_lines = found  # type: ignore[attr-defined]
        box.open_renewals = [line for line in found if line.kind == Kind.RENEWAL]  # type: ignore[attr-defined]
    return found


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
    return list(
        rules.choice_problems(
            current=box.capacity,
            limits=limits(choice.plan),
            selectable=choice.plan.selectable,
            mailbox_gb=choice.mailbox_gb,
            archive_gb=choice.archive_gb,
            mailbox_used=used.mailbox_bytes,
            archive_used=used.archive_bytes,
            archive_loss_accepted=choice.archive_loss_accepted,
            space_order_open=space_order_open(box),
        )
    )
