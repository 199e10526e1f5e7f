"""What of money ends with a box whose deletion begins (R12b, R24b, R29). Called by lifecycle, in its transaction.

Lock order: order → receipt → payment → method → domain → mailbox. `hold` takes what comes before the domain, `end` is
called with the box locked and writes only what is held.
"""

import logging

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from mailboxes.models import Mailbox
from payments import auto_renewal, cases, flows, scheduled, wallet
from payments.models import Allocation, Payment, Receipt, StoredMethod
from pecportal.errors import RefusedError
from renewals import undoing
from renewals.models import Order, OrderLine

log = logging.getLogger(__name__)


def _open_orders(*, box_id: int | None, domain_id: int | None) -> QuerySet[Order]:
    """Orders that are not settled, of the box and of its domain."""
    targets = Q(pk__in=[])
    if box_id is not None:
        targets |= Q(mailbox=box_id)
    if domain_id is not None:
        targets |= Q(domain=domain_id)
    return Order.objects.filter(pk__in=OrderLine.objects.filter(targets, is_open=True).values("order"))


def hold(*, box_id: int | None, domain_id: int | None, login_id: int | None = None) -> dict[int, Order]:
    """Lock the open orders of a box and of its domain by id, the money they were given, the methods of its login."""
    ids = list(_open_orders(box_id=box_id, domain_id=domain_id).values_list("pk", flat=True))
    orders = {o.pk: o for o in Order.objects.locked().select_related("owner").filter(pk__in=ids).order_by("pk")}
    given = Allocation.objects.filter(order__in=orders)
    receipts = Receipt.objects.filter(pk__in=given.values("receipt")).order_by("pk")
    list(receipts.select_for_update(no_key=True, of=("self",)))
    list(Payment.objects.locked().filter(pk__in=given.values("payment")).order_by("pk"))
    if login_id is not None:
        list(StoredMethod.objects.filter(login=login_id).select_for_update(no_key=True, of=("self",)).order_by("pk"))
    return orders


def came_meanwhile(held: dict[int, Order], *, box_id: int | None, domain_id: int | None) -> bool:
    """Whether an order was placed between `hold` and the lock of the box: it is not held, so nothing may be done."""
    return _open_orders(box_id=box_id, domain_id=domain_id).exclude(pk__in=held).exists()


def end(*, box: Mailbox, held: dict[int, Order], login_id: int | None) -> list[int]:
    """Close what waits for money, give back what it had been given, end automatic renewal and the login's methods.

    `box` locked and DELETING already, `held` as `hold` gave it. Returns the orders that lapsed: their live attempts are
    to be closed after the commit (`close_attempts`). Money that arrives later is a case (R21).
    """
    lapsed = lapse(held, why=_("la casella è stata cancellata"))
    auto_renewal.end_with_box(box)
    if login_id is not None:
        wallet.remove_all_of(login_id)
    return lapsed


def lapse(held: dict[int, Order], *, why: str) -> list[int]:
    """The held orders that await payment lapse; money they had been given is a case each (R12b, R21)."""
    lapsed = []
    for order in held.values():
        if not order.is_awaiting_payment:
            continue
        released = cases.release_money(order=order)
        undoing.lapse(order, why="; ".join([why, *released])[:200])
        scheduled.order_moved(order)
        lapsed.append(order.pk)
    return lapsed


def close_attempts(order_ids: list[int]) -> None:
    """Close the live attempts of orders that lapsed, outside any lock; what cannot be closed is asked about by beat."""
    for order_id in order_ids:
        try:
            flows.close_live_attempt(order_id)
        except RefusedError:
            log.info("the attempt of order %s cannot be closed yet", order_id)
        except Exception:  # the deletion has begun, and one provider that fails keeps no other order's attempt open
            log.exception("the attempt of order %s could not be closed; it is asked about later", order_id)
