"""The free way out of an automatic renewal whose notice went late or never (R25; art. 65-bis cod. consumo).

A consumer who was not told, 30 days before the expiry, by which day to cancel may leave at any moment, without costs,
until the next expiry. The law does not say what becomes of the price already paid; we give the unused part back, by
days. Leaving a contract of duration works for the future only (art. 1373 cod. civ.): the days enjoyed, that of leaving
included, are paid for. But to keep the price of days that nobody will enjoy would be the very cost which the law
forbids, for a service that is not given any more (art. 2033 cod. civ.): no fee, no minimum, no notice period, and all
of it back while the new term has not begun. The same holds for space bought on top of such a term: it ends with it.

Which law applies is read from ScheduledCharge: charged, and not told in time. A renewal that the customer paid by hand
is none of these, whatever was announced.
"""

from collections.abc import Iterable
from datetime import date

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from payments.models import ScheduledCharge
from renewals.models import Kind, Order, OrderLine

NOT_IN_TIME = Q(order__scheduled_charge__notice_in_time=False) | Q(order__scheduled_charge__notice_in_time=None)


def _renewals() -> QuerySet[OrderLine]:
    """The renewal lines that stand, of consumers who were charged without having been told in time."""
    return OrderLine.objects.filter(
        NOT_IN_TIME,
        kind=Kind.RENEWAL,
        status=OrderLine.Status.FULFILLED,
        order__status=Order.Status.FULFILLED,
        order__is_consumer=True,
        order__scheduled_charge__status=ScheduledCharge.Status.CHARGED,
    )


def with_until(orders: QuerySet[Order]) -> QuerySet[Order]:
    """Each order with `free_until`: the last day of its free way out, the next expiry; None where it has none."""
    own = _renewals().filter(order=OuterRef("pk")).values("period__ends")
    term = _renewals().filter(mailbox=OuterRef("mailbox"), period__ends=OuterRef("old_expiry"))
    space = OrderLine.objects.filter(
        Exists(term), order=OuterRef("pk"), kind=Kind.SPACE, status=OrderLine.Status.FULFILLED
    ).values("old_expiry")
    return orders.annotate(free_until=Coalesce(Subquery(own[:1]), Subquery(space[:1])))


def read_until(orders: Iterable[Order]) -> None:
    """The same for orders at hand: one query, none where no order can have it (of a consumer, fulfilled, ordered by
    nobody or for space)."""
    known = list(orders)
    able = [
        order.pk
        for order in known
        if order.is_consumer
        and order.status == Order.Status.FULFILLED
        and (order.placed_by_id is None or order.kind == Kind.SPACE)
    ]
    read = with_until(Order.objects.filter(pk__in=able)) if able else ()
    until = {order.pk: order.free_until for order in read}  # type: ignore[attr-defined]
    for order in known:
        order.free_until = until.get(order.pk)  # type: ignore[attr-defined]


def ends_on(order: Order) -> date | None:
    """The last day on which an order may be left free of costs, today or long past; None where it never could.

    Asks nothing of an order that was read `with_until`, nor of one that cannot have it.
    """
    if not order.is_consumer or order.status != Order.Status.FULFILLED:
        return None
    if not hasattr(order, "free_until"):
        read_until([order])
    return order.free_until  # type: ignore[attr-defined]


def space_on_top(order: Order) -> QuerySet[Order]:
    """The space orders that end with the term of a renewal: its reversal would leave them without a box to serve."""
    renewed = order.lines.filter(kind=Kind.RENEWAL, mailbox=OuterRef("mailbox"), period__ends=OuterRef("old_expiry"))
    lines = OrderLine.objects.filter(Exists(renewed), kind=Kind.SPACE, status=OrderLine.Status.FULFILLED)
    found = Order.objects.filter(pk__in=lines.values("order"), status=Order.Status.FULFILLED, is_consumer=True)
    return found.order_by("-id")


def facts_for_mail(order: Order) -> dict[str, object]:
    """What the mail of a fulfilled order says more, in the transaction that fulfils it."""
    return {"free_until": ends_on(order)}
