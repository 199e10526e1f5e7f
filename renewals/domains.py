"""A domain and its boxes renewed in one order: placing it, and giving what it paid for (R17).

One line for the domain, one for each live box on it; only the domain's line makes a period. Lock order: order → domain
→ boxes by id, the same way round as opening a box on a domain, so that none passes a renewal by unseen.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts.models import BillingProfile, FiscalIdentity, User
from mailboxes import domains as box_domains
from mailboxes import rules as boxes
from mailboxes.catalogue import PriceList, prices_on
from mailboxes.hosting import is_hosted
from mailboxes.models import Domain, Mailbox, Price
from mailboxes.models.boxes import Phase
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import pricing, rules
from renewals.flows import AlreadyOrderedError, HostedEmailError, PriceChangedError, send_confirmation, write_order
from renewals.models import HolderSnapshot, Kind, Order, OrderLine


@dataclass(frozen=True)
class DomainQuote:
    """What renewing a domain with its boxes costs today and until when it lasts. Net prices, EUR; `*_price` a year."""

    years: int
    domain_price: Decimal
    domain_net: Decimal
    box_price: Decimal
    box_net: Decimal
    boxes: int
    totals: pricing.Totals
    new_expiry: date

    @property
    def boxes_net(self) -> Decimal:
        return self.boxes * self.box_net


# --- What stands ------------------------------------------------------------------------------------------------------


def boxes_of(domain: Domain) -> QuerySet[Mailbox]:
    """The live boxes that the account renews with its domain, by name: a line each. The door is the domain's own."""
    return (
        Mailbox.objects.filter(domain=domain, owner=domain.owner_id, phase=Phase.LIVE)
        .select_related("address", "plan", "holder")
        .order_by("address__name")
    )


def open_lines(domain_ids: Collection[int]) -> tuple[QuerySet[OrderLine], QuerySet[OrderLine]]:
    """Open lines of domain renewals with their orders: of these domains, and of the live boxes that hang on them.

    A box's line may stay to be decided when the domain's was given: until then no other order is possible (R9).
    """
    lines = OrderLine.objects.filter(is_open=True, kind=Kind.DOMAIN_RENEWAL).select_related("order")
    of_boxes = lines.filter(mailbox__domain__in=domain_ids, mailbox__phase=Phase.LIVE).select_related("mailbox")
    return lines.filter(domain__in=domain_ids), of_boxes


def open_order(domain: Domain) -> Order | None:
    """The renewal order that stands open for a domain."""
    for lines in open_lines([domain.pk]):
        if (line := lines.order_by("id").first()) is not None:
            return line.order
    return None


def offer(domain: Domain, order: Order | None, today: date) -> rules.Reason:
    """R4 for a domain: as for a box that never renews by itself. `order`: the one that stands open (open_order)."""
    facts = rules.BoxFacts(
        phase=domain.phase,
        on_domain=False,
        expires_on=domain.expires_on,
        delete_from=domain.delete_from,
        auto_renews=False,
        auto_over_for=None,
        open_renewal_awaits_payment=order.is_awaiting_payment if order else None,
    )
    return rules.offer(facts, today)


def new_expiry(domain: Domain, years: int) -> date:
    """Until when a renewal would last, counted from the expiry of now on the domain's anchor (R14)."""
    if domain.expires_on is None or domain.anchor_month is None or domain.anchor_day is None:
        raise ValueError("only a live domain can be renewed")
    return boxes.add_years(domain.expires_on, years, anchor_month=domain.anchor_month, anchor_day=domain.anchor_day)


def quote(*, domain: Domain, boxes: int, years: int, prices: PriceList) -> DomainQuote:
    """Price a domain with so many boxes: VAT once on the sum (R26).

    Raises MissingPriceError (of boxes only where there is one); ValueError on years outside 1–5.
    """
    domain_price = prices.item(Price.Item.DOMAIN)
    box_price = prices.item(Price.Item.DOMAIN_BOX) if boxes else Decimal(0)
    domain_net, box_net = pricing.yearly_net(domain_price, years), pricing.yearly_net(box_price, years)
    return DomainQuote(
        years=years,
        domain_price=domain_price,
        domain_net=domain_net,
        box_price=box_price,
        box_net=box_net,
        boxes=boxes,
        totals=pricing.totals([domain_net, boxes * box_net], prices.vat_rate),
        new_expiry=new_expiry(domain, years),
    )


# --- Placing ----------------------------------------------------------------------------------------------------------


def place_domain_renewal(
    *, domain_id: int, user: User, years: int, email: str, method: str, terms_version: str, terms_ip: str | None,
    immediate_start: bool, shown_total: Decimal,
) -> Order:  # fmt: skip
    """Confirm the renewal of a domain with all its boxes: one order, awaiting payment, frozen as R8 says.

    Domain and boxes are read again under their locks; `shown_total` is the total on the button's page, and a box opened
    meanwhile is another total: refused, not charged. Raises Domain.DoesNotExist (not this account's, R1),
    AlreadyOrderedError (two tabs), HostedEmailError, PriceChangedError, MissingPriceError, RefusedError.
    """
    if is_hosted(email):
        raise HostedEmailError
    if not 1 <= years <= boxes.MAX_YEARS:
        raise RefusedError(_("Scegli da 1 a 5 anni."))
    today, now = clock.today(), clock.now()
    try:
        with transaction.atomic(durable=True):
            domain = (
                Domain.objects.visible_to(user).select_related("owner", "owner__billing").locked().get(pk=domain_id)
            )
            held = [box for box in box_domains.lock_boxes(domain) if box.owner_id == domain.owner_id]
            standing = open_order(domain)
            reason = offer(domain, standing, today)
            if standing is not None and reason in (rules.Reason.ORDER_TO_PAY, rules.Reason.ORDER_AT_WORK):
                raise AlreadyOrderedError(standing)
            if reason is not rules.Reason.RENEW:
                raise RefusedError(_("In questo momento il dominio non può essere rinnovato."))
            priced = quote(domain=domain, boxes=len(held), years=years, prices=prices_on(today))
            if priced.totals.total != shown_total:
                raise PriceChangedError
            order = write_order(
                kind=Kind.DOMAIN_RENEWAL, box=domain, user=user, years=years, email=email, method=method,
                totals=priced.totals, terms_version=terms_version, terms_ip=terms_ip, immediate_start=immediate_start,
                now=now, today=today,
            )  # fmt: skip
            line = _write_lines(order, domain, held, priced)
            send_confirmation(order=order, line=line, box=domain, new_expiry=priced.new_expiry, boxes=held)
    except IntegrityError as error:
        # line_one_open_per_domain, or _per_box: another connection was quicker.
        quicker = open_order(Domain.objects.get(pk=domain_id))
        if quicker is None:
            raise
        raise AlreadyOrderedError(quicker) from error
    return order


def _write_lines(order: Order, domain: Domain, held: Sequence[Mailbox], priced: DomainQuote) -> OrderLine:
    """The domain's line first, then a line each box by name; who holds each of them is frozen too (R8)."""
    line = OrderLine.objects.create(
        order=order, kind=Kind.DOMAIN_RENEWAL, domain=domain, base_price=priced.domain_price, net=priced.domain_net,
        old_expiry=domain.expires_on,
    )  # fmt: skip
    lines = OrderLine.objects.bulk_create(
        OrderLine(
            order=order, kind=Kind.DOMAIN_RENEWAL, mailbox=box, plan=box.plan, mailbox_gb=box.mailbox_gb,
            archive_gb=box.archive_gb, base_price=priced.box_price, net=priced.box_net, old_expiry=box.expires_on,
        )
        for box in sorted(held, key=lambda box: box.address.name)
    )  # fmt: skip
    holders = [HolderSnapshot(line=each, **each.mailbox.holder.identity()) for each in lines if each.mailbox]
    billing: BillingProfile | None = getattr(domain.owner, "billing", None)
    if billing is not None:  # a domain is held by the account itself
        own = {name: getattr(billing, name) for name in FiscalIdentity.COPIED}
        holders.append(HolderSnapshot(line=line, **own))
    HolderSnapshot.objects.bulk_create(holders)
    return line


# --- Giving -----------------------------------------------------------------------------------------------------------


@dataclass
class Giving:
    """What giving came to: the domain's line that was extended now, box lines that go with it, those that cannot."""

    domain: Domain
    boxes: list[Mailbox]
    extended: OrderLine | None = None
    followed: list[OrderLine] = field(default_factory=list)
    refused: list[tuple[OrderLine, str]] = field(default_factory=list)


def give(order: Order, lines: Sequence[OrderLine], *, today: date) -> Giving:
    """Extend the domain of an order (locked) and its boxes, in the caller's transaction; moves no line.

    `lines`: those that wait. Every live box of the domain gets the new dates, also one that was opened after the order
    was placed. A box of the order that is gone, or is not on the domain any more, is refused: its money goes back, the
    rest is given. Where the domain itself cannot be given nothing is.
    """
    own = order.lines.get(domain__isnull=False)
    domain = Domain.objects.locked().get(order_lines=own)
    held = box_domains.lock_boxes(domain)
    waiting = next((line for line in lines if line.pk == own.pk), None)
    found = Giving(domain, held)
    stands = own.status == OrderLine.Status.FULFILLED and own.period is not None and own.period.reversed_on is None
    if waiting is not None and domain.phase == Phase.LIVE and order.years is not None:
        waiting.order = order
        waiting.period = box_domains.extend_domain(
            domain=domain, boxes=held, years=order.years, source=waiting.public_id, today=today
        )
        found.extended, stands = waiting, True
    elif waiting is not None:
        found.refused.append((waiting, _("il dominio non è attivo né scaduto")))
    alive = {box.pk for box in held}
    for line in lines:
        line.order = order
        if line.mailbox_id is None:
            continue
        if not stands:
            found.refused.append((line, _("il dominio non è stato rinnovato")))
        elif line.mailbox_id not in alive:
            found.refused.append((line, _("la casella non è più attiva sul dominio")))
        else:
            found.followed.append(line)
    return found


def given_of(order: Order) -> Domain | None:
    """The domain that a domain's order has renewed, also where one of its boxes is still to be decided; else None."""
    given = Q(status=OrderLine.Status.FULFILLED, period__reversed_on=None)
    line = order.lines.filter(given, domain__isnull=False).select_related("domain").first()
    return line.domain if line else None
