"""Orders as lists show them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from django.db import connection
from django.db.models import Case, Exists, F, OrderBy, OuterRef, Prefetch, Q, QuerySet, Subquery, Value, When
from django.db.models.lookups import Exact

from accounts.models import User
from mailboxes.models import Mailbox
from payments import cases, free_exit, withdrawal
from payments.models import Payment
from pecportal import clock
from renewals.models import Order, OrderLine

MOST = 50  # under a page of 25 boxes: every open order fits (R9: one of a kind a box), then the latest
AWAITING = Order.Status.AWAITING_PAYMENT


@dataclass(frozen=True)
class OrderRow:
    """An order on a day: what it is about, and what can be done about it."""

    order: Order
    targets: Sequence[str]
    day: date
    attempt: str | None  # of an order that waits for a payment: the state of the attempt under way
    too_late: bool  # awaiting payment, but its last day is past (R12b)
    can_withdraw: bool  # a consumer's, in its days (R25, R26b); the page says why when it turns out that it cannot be
    free_until: date | None  # its last day, where it may be left free of costs for want of a notice in time (R25)

    @property
    def checking(self) -> bool:
        """An attempt is in an unknown state: neither pay nor cancel (R12b, R19)."""
        return self.attempt == Payment.Status.UNKNOWN

    @property
    def running(self) -> bool:
        """An attempt is under way at the provider."""
        return self.attempt == Payment.Status.PENDING

    @property
    def more(self) -> int:
        return len(self.targets) - 1

    @property
    def can_pay(self) -> bool:
        return self.order.is_awaiting_payment and not self.checking and not self.too_late

    @property
    def can_cancel(self) -> bool:
        return self.order.is_awaiting_payment and not self.checking


def with_details(orders: QuerySet[Order]) -> QuerySet[Order]:
    """The lines with what they point at (one query more)."""
    lines = OrderLine.objects.select_related("mailbox__address", "domain", "address")
    return orders.prefetch_related(Prefetch("lines", queryset=lines))


def attempt_of(order: str) -> Case:
    """What is known of money on its way to an order, whose id the field `order` is: the state of the attempt under way;
    unknown also while staff decide about money that came, for that is not to be paid again either (R21)."""
    live = Payment.objects.live().filter(order=OuterRef(order)).values("status")[:1]
    held = Exists(cases.held().filter(order=OuterRef(order)))
    return Case(When(held, then=Value(Payment.Status.UNKNOWN)), default=Subquery(live))


def rows(orders: Iterable[Order], *, user: User, today: date) -> list[OrderRow]:
    """Rows of orders read `with_details`; one query more where some of them may be left free of costs (R25), and one
    where some wait for a payment: the attempts under way."""
    found = list(orders)
    free_exit.read_until(found)
    unpaid = [order.pk for order in found if order.is_awaiting_payment]
    attempts = _attempts(unpaid) if unpaid else {}
    return [_row(order, attempts.get(order.pk), user, today) for order in found]


def _attempts(unpaid: Sequence[int]) -> dict[int, str]:
    """attempt_of many orders at hand. Written out: on a page of 25 boxes the ORM takes longer to build this than the
    database to answer it."""
    live, kinds = [str(status) for status in Payment.LIVE], [str(kind) for kind in cases.CAME_FOR_ORDER]
    marks = {"orders": _marks(unpaid), "live": _marks(live), "kinds": _marks(kinds)}
    sql = (  # noqa: S608  (nothing but marks is put in)
        "SELECT order_id, status FROM payments_payment WHERE order_id IN ({orders}) AND status IN ({live}) UNION ALL "
        "SELECT order_id, %s FROM payments_case WHERE order_id IN ({orders}) AND kind IN ({kinds}) "
        "AND closed_at IS NULL AND amount > 0"
    ).format(**marks)
    unknown = Payment.Status.UNKNOWN.value
    found: dict[int, str] = {}
    with connection.cursor() as cursor:
        cursor.execute(sql, [*unpaid, *live, unknown, *unpaid, *kinds])
        for order_id, status in cursor.fetchall():
            if found.get(order_id) != unknown:
                found[order_id] = status
    return found


def _marks(values: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(values))


def _row(order: Order, attempt: str | None, user: User, today: date) -> OrderRow:
    return OrderRow(
        order=order,
        targets=[str(line.target) for line in order.lines.all()],
        day=clock.rome_date(order.confirmed_at),
        attempt=attempt,
        too_late=order.is_awaiting_payment and order.payable_until < today,
        can_withdraw=withdrawal.until(order, user=user, today=today) is not None,
        free_until=withdrawal.free_until(order, user=user, today=today),
    )


def of_boxes(boxes: Sequence[Mailbox], *, user: User, today: date) -> list[OrderRow]:
    """Orders that hold one of these boxes and that `user` may see (R1): those to pay first, then the latest.

    A purchase holds the address: it stands under each of its lives that it ended or began.
    """
    addresses = [box.address_id for box in boxes]
    about = Q(mailbox_id__in=[box.pk for box in boxes]) | Q(address_id__in=addresses)
    return _holding(OrderLine.objects.filter(about), user=user, today=today)


def all_open(rows: Sequence[OrderRow], user: User) -> Sequence[OrderRow] | None:
    """These rows, where no open order of their boxes was left out: for want of room, or as not for `user` to see."""
    return rows if len(rows) < MOST and not user.is_mailbox else None


def of_domains(domain_ids: Sequence[int], *, user: User, today: date) -> list[OrderRow]:
    """The same of domains."""
    return _holding(OrderLine.objects.filter(domain_id__in=domain_ids), user=user, today=today)


def _holding(lines: QuerySet[OrderLine], *, user: User, today: date) -> list[OrderRow]:
    holding = lines.values("order_id")
    to_pay_first = OrderBy(Exact(F("status"), AWAITING), descending=True)
    found = Order.objects.visible_to(user).filter(pk__in=holding).order_by(to_pay_first, "-confirmed_at", "-id")
    return rows(with_details(found)[:MOST], user=user, today=today)


def left_free(rows: Iterable[OrderRow], box: Mailbox) -> OrderRow | None:
    """The automatic renewal that gave a box its expiry, where it may still be left free of costs (R25)."""
    for row in rows:
        if row.order.kind == Order.Kind.RENEWAL and row.free_until and row.free_until == box.expires_on:
            return row
    return None


def to_pay(user: User) -> QuerySet[Order]:
    """The account's orders that wait for a payment; not one whose payment is being verified: "non pagare di nuovo"."""
    held = Exists(cases.held().filter(order=OuterRef("pk")))
    return of_account(user).filter(~held, status=AWAITING).exclude(payments__status=Payment.Status.UNKNOWN)


def of_account(user: User) -> QuerySet[Order]:
    """The account's orders, through the one door (R1), latest first; the second filter lets the owner's index serve."""
    return Order.objects.visible_to(user).filter(owner=user).order_by("-confirmed_at", "-id")
