"""What becomes of an order once it stands: whether it can be paid, that it is paid, and every move of its status (R10).

With flows.py, which places orders, the only writer of Order.status and OrderLine.status: giving.py (fulfilled) and
undoing.py (cancelled, lapsed, reversed, given up) move orders and lines through here. Called by payments and lifecycle
only. Functions that take an order expect its row locked by the caller. Lock order: order → receipt → payment → domain →
mailbox.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from django.utils.translation import gettext as _

from accounts.billing_forms import BillingForm
from accounts.models import BillingProfile, User
from mailboxes.catalogue import vat_rate_on
from mailboxes.models import Domain, Mailbox
from mailboxes.models.boxes import Phase
from pecportal import clock
from renewals import pricing
from renewals.models import BillingSnapshot, Order, OrderEvent, OrderLine, targets_of

log = logging.getLogger(__name__)


class IllegalMoveError(Exception):
    """A move that is not in the table of the model (R10): a programming error, never a customer's."""


def move_order(order: Order, to: str, *, why: str, actor: User | None = None, **stamps: datetime) -> None:
    """Write an order's new status and its event, with the times in `stamps`. Raises IllegalMoveError."""
    if to not in Order.MOVES[order.status]:
        raise IllegalMoveError(f"{order.number}: {order.status} → {to}")
    OrderEvent.objects.create(order=order, before=order.status, after=to, actor=actor, why=why)
    order.status = to
    for name, value in stamps.items():
        setattr(order, name, value)
    order.save(update_fields=["status", *stamps])


def move_line(line: OrderLine, to: str, *, why: str, actor: User | None = None) -> None:
    """The same of a line of a locked order; the period it points at is saved with it."""
    if to not in OrderLine.MOVES[line.status]:
        raise IllegalMoveError(f"{line}: {line.status} → {to}")
    OrderEvent.objects.create(order=line.order, line=line, before=line.status, after=to, actor=actor, why=why)
    line.status = to
    line.is_open = to in OrderLine.OPEN
    line.save(update_fields=["status", "is_open", "period"])


def move_lines(lines: Sequence[OrderLine], to: str, *, why: str, actor: User | None = None) -> None:
    """move_line for many lines of one order in two statements (a domain with its boxes)."""
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
    return order.is_awaiting_payment and today <= order.lapses_on and not refusal_to_pay(order, begun_on=today)


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
    fix_fiscal_data(orders, now)
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


def fix_fiscal_data(orders: Sequence[Order], now: datetime) -> None:
    """VAT rate and billing data are those of the day the payment is registered (R8); the total never moves.

    Billing data that no invoice could be made from do not replace those of the confirmation. A VAT rate that is missing
    today is an alarm and leaves that of the confirmation: registered money is never turned away.
    """
    rate = vat_rate_on(clock.rome_date(now))
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


def subject_of(order: Order) -> dict[str, object]:
    """What a mail about an order names: `box`, its first box, domain or address; `domain` where it is one (R17)."""
    line = order.lines.select_related("mailbox__address", "domain", "address").order_by("id").first()
    first = line.target if line else None
    return {"box": first, "domain": first if isinstance(first, Domain) else None}


def set_method(order: Order, method: str) -> None:
    """Remember the method last chosen (locked order)."""
    if order.method != method:
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
