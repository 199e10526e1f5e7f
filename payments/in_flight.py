"""Money on its way to boxes, and orders paid but not yet given: what keeps a box from its deletion (R29).

Only read, in a fixed number of queries for any number of boxes. lifecycle decides what it means.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db.models import Q, QuerySet

from mailboxes.models import Domain, Mailbox
from payments.cases import LEFT_OF_MONEY
from payments.models import Allocation, Case, Payment, Receipt, StatementRow
from pecportal import clock
from renewals.models import Order, OrderLine
from renewals.references import numbers_in

AT_WORK = (Order.Status.PAID, Order.Status.ATTENTION)


@dataclass
class Money:
    """What money does to one box: `at_work`: orders paid or in attention; `begun`: the days on which money that has
    not become a renewal set out."""

    at_work: list[str] = field(default_factory=list)
    begun: list[date] = field(default_factory=list)


@dataclass(frozen=True)
class _Ordered:
    number: str
    status: str
    declared: date | None


def of_boxes(boxes: Sequence[Mailbox]) -> dict[int, Money]:
    """Money of each box, by its id; `boxes` with their address and domain at hand.

    Counted: orders of the box, of its domain and of its address; live attempts; transfers and slips declared; part
    payments; money that staff must still decide about, of such an order or naming box, domain or order in its causale.
    """
    orders, of_box = _orders_of(boxes)
    set_out = _set_out(orders)
    boxed = _cases_of_boxes([box.pk for box in boxes])
    named = _Named(_unmatched())
    found = {}
    for box in boxes:
        mine = of_box[box.pk]
        money = Money(at_work=sorted(orders[pk].number for pk in mine if orders[pk].status in AT_WORK))
        for pk in sorted(mine):
            money.begun += set_out[pk]
        money.begun += boxed[box.pk]
        money.begun += named.days(_names(box, [orders[pk].number for pk in mine]))
        found[box.pk] = money
    return found


def of_domain(domain: Domain) -> Money:
    """The same of a domain whose boxes are gone: its own orders, and money that names it or them."""
    lines = OrderLine.objects.filter(domain=domain).values_list(
        "order_id", "order__number", "order__status", "order__transfer_declared_on"
    )
    orders = {pk: _Ordered(number, status, declared) for pk, number, status, declared in lines}
    money = Money(at_work=sorted(order.number for order in orders.values() if order.status in AT_WORK))
    money.begun = [day for days in _set_out(orders).values() for day in days]
    numbers = [order.number for order in orders.values()]
    money.begun += _Named(_unmatched()).days(_bare(name) for name in (domain.name, *numbers))
    return money


def _orders_of(boxes: Sequence[Mailbox]) -> tuple[dict[int, _Ordered], dict[int, set[int]]]:
    """Every order that ever was of these boxes, and which are whose: a causale may name one of last year."""
    domains = {box.domain_id for box in boxes if box.domain_id}
    lines = OrderLine.objects.filter(
        Q(mailbox__in=[box.pk for box in boxes])
        | Q(domain__in=domains)
        | Q(address__in=[box.address_id for box in boxes])
    )
    orders: dict[int, _Ordered] = {}
    by: dict[tuple[str, int], set[int]] = defaultdict(set)
    for order, number, status, declared, mailbox, domain, address in lines.values_list(
        "order_id", "order__number", "order__status", "order__transfer_declared_on", "mailbox", "domain", "address"
    ):
        orders[order] = _Ordered(number, status, declared)
        target = ("box", mailbox) if mailbox else ("domain", domain) if domain else ("address", address)
        by[target].add(order)
    of_box = {
        box.pk: by["box", box.pk] | by["address", box.address_id] | (by["domain", box.domain_id or 0])
        for box in boxes
    }  # fmt: skip
    return orders, of_box


def _set_out(orders: dict[int, _Ordered]) -> dict[int, list[date]]:
    """By order: the days on which money for it set out that has not paid it."""
    found: dict[int, list[date]] = defaultdict(list)
    waiting = [pk for pk, order in orders.items() if order.status == Order.Status.AWAITING_PAYMENT]
    for pk in waiting:
        declared = orders[pk].declared
        if declared is not None:
            found[pk].append(declared)
    for pk, at in Payment.objects.live().filter(order__in=orders).values_list("order", "created_at"):
        found[pk].append(clock.rome_date(at))
    parts = Allocation.objects.filter(order__in=waiting)
    for pk, value, at in parts.values_list("order", "receipt__value_date", "payment__created_at"):
        found[pk].append(_day(value, at))
    for pk, value, at, opened in _money_cases().filter(order__in=orders).values_list("order", *_WHEN):
        found[pk].append(_day(value, at or opened))
    return found


_WHEN = ("receipt__value_date", "payment__created_at", "opened_at")


def _money_cases() -> QuerySet[Case]:
    return Case.objects.filter(kind__in=(*LEFT_OF_MONEY, Case.Kind.PAYMENT_STUCK), closed_at=None)


def _cases_of_boxes(ids: Iterable[int]) -> dict[int, list[date]]:
    found: dict[int, list[date]] = defaultdict(list)
    for pk, value, at, opened in _money_cases().filter(box__in=ids).values_list("box", *_WHEN):
        found[pk].append(_day(value, at or opened))
    return found


def _day(value: date | None, at: datetime | None) -> date:
    """A receipt's value date, else the day on which the attempt or the case began."""
    if value is not None:
        return value
    assert at is not None  # one of the two is there
    return clock.rome_date(at)


def _unmatched() -> list[tuple[str, date]]:
    """Causali and value dates of bank money that pays nothing yet: of receipts, and of statements not registered."""
    receipts = Receipt.objects.filter(cases__in=_money_cases()).values_list("remittance", "value_date")
    rows = StatementRow.objects.filter(receipt=None, statement__applied_at=None)
    return [*receipts, *rows.values_list("remittance", "value_date")]


class _Named:
    """Causali as banks leave them: cut, in capitals, with other signs or none between the words."""

    def __init__(self, unmatched: Iterable[tuple[str, date]]) -> None:
        self.texts = [(f"{_bare(text)} {' '.join(map(_bare, numbers_in(text)))}", day) for text, day in unmatched]
        self.all = "\n".join(text for text, _day in self.texts)

    def days(self, names: Iterable[str]) -> list[date]:
        hits = [name for name in names if name in self.all]
        return [day for text, day in self.texts if any(name in text for name in hits)]


def _names(box: Mailbox, numbers: Iterable[str]) -> list[str]:
    """What a causale may call a box: its address, its domain, the number of an order of it. Better one too many."""
    local, _at, host = box.address.name.rpartition("@")
    addresses = [_bare(f"{local}{sign}{host}") for sign in ("@", "(a)", "at", "chiocciola")]
    return [*addresses, *([_bare(box.domain.name)] if box.domain else []), *map(_bare, numbers)]


def _bare(text: str) -> str:
    return re.sub(r"[^0-9A-Z]", "", text.upper())
