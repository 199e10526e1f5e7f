"""Who may pay without a sign-in: a visitor who named an order and a code of its holder (/paga/), for half an hour."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from accounts import fiscal
from accounts.models import User
from payments.models import Payment
from pecportal import clock
from renewals.models import HolderSnapshot, Kind, Order

SESSION_KEY = "paga"
VALID = 30 * 60  # seconds


@dataclass(frozen=True)
class Shown:
    """All that a visitor is told of an order: its number, its boxes, what it lacks comes from payments.recording."""

    order: Order
    addresses: list[str]


def find(number: str, code: str) -> Order | None:
    """The order of that number, if `code` is its holder's codice fiscale or partita IVA; never a representative's.

    A domain's order is its account's: who holds one of its boxes is told nothing of the others (R1).
    """
    order = Order.objects.filter(number=number.strip().upper()).first()
    given = fiscal.without_country(code)
    found = HolderSnapshot.objects.filter(line__order=order)
    if order is not None and order.kind == Kind.DOMAIN_RENEWAL:
        found = found.filter(line__domain__isnull=False)
    holders = list(found) if order else []
    codes = [c for holder in holders for c in (holder.codice_fiscale, holder.partita_iva)] or ["", ""]
    matches = [constant_time_compare(given, each) for each in codes]
    return order if given and any(matches) else None


def let_in(request: HttpRequest, order: Order) -> None:
    request.session[SESSION_KEY] = {"order": order.pk, "until": int(clock.now().timestamp()) + VALID}


def order_of(request: HttpRequest) -> Order | None:
    """The order that this visitor may pay, while the half hour lasts."""
    kept = request.session.get(SESSION_KEY) or {}
    if not kept or kept["until"] < clock.now().timestamp():
        return None
    return Order.objects.select_related("owner").filter(pk=kept["order"]).first()


def may_pay(request: HttpRequest, payment: Payment) -> bool:
    """Whether whoever asks began this attempt: the login that did, or the visitor let in for its order."""
    if payment.started_by_id is not None:
        return isinstance(request.user, User) and request.user.pk == payment.started_by_id
    order = order_of(request)
    return order is not None and order.pk == payment.order_id


def shown(order: Order) -> Shown:
    lines = order.lines.select_related("mailbox__address", "domain", "address")
    return Shown(order, [str(line.target) for line in lines if not line.follows_domain])
