"""Domains as their pages show them: dates, the boxes that hang on them, and the renewal of all of them (R4, R17)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes import rules
from mailboxes.models import Domain, Mailbox
from mailboxes.models.boxes import Phase
from pecportal.area import dates
from pecportal.area.boxes import OpenOrder, open_order
from pecportal.area.orders import attempt_of
from pecportal.area.wording import Said
from renewals.domains import offer, open_lines
from renewals.rules import Reason

SHOWN = 10  # boxes named under a domain; the rest is found by searching


def of_account(user: User) -> QuerySet[Domain]:
    """The account's domains, first to expire on top, with how many boxes each has and the first of them."""
    boxes = Mailbox.objects.visible_to(user).exclude(phase=Phase.DELETED)
    count = boxes.filter(domain=OuterRef("pk")).order_by().values("domain").annotate(n=Count("pk")).values("n")
    first = boxes.select_related("address").order_by("address__name")[:SHOWN]
    return (
        Domain.objects.visible_to(user)
        .annotate(box_count=Coalesce(Subquery(count), 0))
        .prefetch_related(Prefetch("boxes", queryset=first, to_attr="first_boxes"))
        .order_by("expires_on", "name")
    )


@dataclass(frozen=True)
class DomainCard:
    """A domain on a day."""

    domain: Domain
    today: date
    state: rules.State
    boxes: Sequence[Mailbox]
    box_count: int
    reason: Reason
    order: OpenOrder | None

    @property
    def expiry(self) -> Said | None:
        return Said(self.domain.expires_on, self.today) if self.domain.expires_on else None

    @property
    def last_day(self) -> Said | None:
        return Said(self.domain.last_renewable_day, self.today) if self.domain.last_renewable_day else None

    @property
    def is_soon(self) -> bool:
        alive = self.state in (rules.State.ACTIVE, rules.State.EXPIRED, rules.State.AWAITING_DELETION)
        return alive and self.expiry is not None and self.expiry.days <= rules.SOON_DAYS

    @property
    def is_active(self) -> bool:
        return self.state is rules.State.ACTIVE

    @property
    def can_read_only(self) -> bool:
        return self.state is rules.State.EXPIRED

    @property
    def look(self) -> str:
        if self.state is rules.State.ACTIVE:
            return "in_scadenza" if self.is_soon else "attiva"
        return "scaduta" if self.state is rules.State.AWAITING_DELETION else self.state.value

    @property
    def state_label(self) -> str:
        return {
            rules.State.ACTIVE: _("Attivo, in scadenza") if self.is_soon else _("Attivo"),
            rules.State.EXPIRED: _("Scaduto"),
            rules.State.AWAITING_DELETION: _("Scaduto, in attesa di cancellazione"),
            rules.State.ACTIVATING: _("In attivazione"),
            rules.State.DELETING: _("In cancellazione"),
            rules.State.DELETED: _("Cancellato"),
        }[self.state]

    @property
    def points(self) -> Sequence[dates.Point]:
        """The strip of a box, without a charge: a domain never renews by itself. Notices are told of boxes only."""
        domain, known = self.domain, (rules.State.ACTIVE, rules.State.EXPIRED)
        if self.state not in known or not (domain.expires_on and domain.delete_from):
            return []
        points = dates.strip(
            today=self.today, expires_on=domain.expires_on, delete_from=domain.delete_from, charge_on=None,
            change_on=None, change_label="", in_full=True,
        )  # fmt: skip
        return [point for point in points if self.box_count or point.kind != "notice"]

    @property
    def more(self) -> int:
        return self.box_count - len(self.boxes)


def cards(found: Iterable[Domain], *, today: date) -> list[DomainCard]:
    """Cards of domains read with of_account; their open orders in two queries, however many there are."""
    known = list(found)
    orders = _open_orders([domain.pk for domain in known], today)
    return [_card(domain, orders.get(domain.pk), today) for domain in known]


def _card(domain: Domain, order: OpenOrder | None, today: date) -> DomainCard:
    return DomainCard(
        domain=domain,
        today=today,
        state=domain.state(today),
        boxes=domain.first_boxes,  # type: ignore[attr-defined]
        box_count=domain.box_count,  # type: ignore[attr-defined]
        reason=offer(domain, order.order if order else None, today),
        order=order,
    )


def _open_orders(ids: list[int], today: date) -> dict[int, OpenOrder]:
    """The open renewal of each domain that has one; the account's own, so always visible to it (R1)."""
    if not ids:
        return {}
    found: dict[int, OpenOrder] = {}
    for lines in open_lines(ids):
        for line in lines.annotate(order_visible=Value(True), live_attempt=attempt_of("order_id")):
            domain_id = line.domain_id or (line.mailbox.domain_id if line.mailbox else None)
            if domain_id is not None:
                found.setdefault(domain_id, open_order(line, today=today))
    return found
