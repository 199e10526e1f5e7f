"""What is read of boxes for their cards, a query a subject, and none where no box of the page has the subject."""

import logging
from collections.abc import Sequence

from django.db.models import (
    Exists,
    F,
    FilteredRelation,
    OuterRef,
    Q,
    QuerySet,
    Value,
    prefetch_related_objects,
)

from accounts.models import User
from mailboxes import measuring
from mailboxes.flows import measured
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.platform.base import Usage
from payments.models import AutoRenewal
from pecportal.area.orders import OrderRow, attempt_of
from renewals import purchase
from renewals.flows import open_renewal_lines
from renewals.models import Kind, Order, OrderLine

log = logging.getLogger(__name__)
AUTOMATIC = {  # what payments.readiness looks at, and where it stands
    "auto_agreed": "amount",
    "auto_card_month": "method__expires_month",
    "auto_card_year": "method__expires_year",
    "charge_status": "charge__status",
    "charge_due_on": "charge__due_on",
    "charge_amount": "charge__amount",
    "charge_why": "charge__why",
    "charge_in_time": "charge__notice_in_time",
    "to_consumer": "box__owner__billing__is_consumer",
}


def with_relations(boxes: QuerySet[Mailbox]) -> QuerySet[Mailbox]:
    """With what every card shows of other tables."""
    return boxes.select_related("address", "plan", "holder", "space_used")


def read_few(boxes: Sequence[Mailbox]) -> None:
    """Domains and next plans, which few boxes have."""
    for name in ("domain", "next_plan"):
        having = [box for box in boxes if getattr(box, f"{name}_id") is not None]
        if having:
            prefetch_related_objects(having, name)


def read_automatic(boxes: Sequence[Mailbox]) -> None:
    """The consent that stands and the charge of this expiry, of boxes that renew by themselves."""
    ids = [box.pk for box in boxes if box.auto_renews]
    if not ids:
        return
    charge = FilteredRelation(
        "box__scheduled_charges", condition=Q(box__scheduled_charges__expiry=F("box__expires_on"))
    )
    standing = AutoRenewal.objects.filter(box__in=ids, ended_at=None).annotate(charge=charge)
    facts = {row["box"]: row for row in standing.values("box", *AUTOMATIC.values())}
    for box in boxes:
        if (row := facts.get(box.pk)) is not None:
            for name, field in AUTOMATIC.items():
                setattr(box, name, row[field])


def read_open_renewals(boxes: Sequence[Mailbox], *, user: User, foot: Sequence[OrderRow] | None) -> None:
    """The open renewal line of each box, with its order, whether `user` may see it (R1), and its attempt under way."""
    lines = _of_foot(foot) if foot is not None else _open_lines(boxes, user)
    for box in boxes:
        box.open_renewals = [line for line in lines if line.mailbox_id == box.pk]  # type: ignore[attr-defined]


def _of_foot(foot: Sequence[OrderRow]) -> list[OrderLine]:
    """Those of orders that the page has at its foot, which `user` sees."""
    found = []
    for row in foot:
        for line in row.order.lines.all():
            if line.is_open and line.kind == Kind.RENEWAL:
                line.order_visible, line.live_attempt = True, row.attempt  # type: ignore[attr-defined]
                found.append(line)
    return found


def _open_lines(boxes: Sequence[Mailbox], user: User) -> Sequence[OrderLine]:
    # An account sees every order of its boxes; a mailbox login not one that has other boxes in it.
    order = Order.objects.visible_to(user).filter(pk=OuterRef("order_id"))
    visible = Exists(order) if user.is_mailbox else Value(True)
    lines = open_renewal_lines().filter(mailbox__in=boxes)
    return list(lines.annotate(order_visible=visible, live_attempt=attempt_of("order_id")))


def purchase_lines() -> QuerySet[OrderLine]:
    return purchase.open_purchase_lines().annotate(live_attempt=attempt_of("order_id"))


def usage_of(boxes: Sequence[Mailbox]) -> dict[str, Usage]:
    """Usage by address of the boxes that are alive: as last measured, else asked of the mail system. Those of which
    neither is to be had are not in it."""
    found = measuring.known(box for box in boxes if box.phase == Phase.LIVE)
    rest = [box.address.name for box in boxes if box.phase == Phase.LIVE and box.address.name not in found]
    try:
        return {**found, **measured(rest)} if rest else found
    except OSError:
        log.warning("the mail system did not tell the usage of %s boxes", len(rest))
        return found
