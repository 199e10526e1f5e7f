"""What the pages of an order show: one door to it, and rows in words (R1)."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Prefetch
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from accounts.models import FiscalIdentity, User
from mailboxes import rules as boxes
from mailboxes.models import Mailbox
from payments import free_exit, giving_back
from payments.methods import name_of
from payments.models import Allocation, Payment
from pecportal import clock
from pecportal.formats import day, years
from renewals import domains
from renewals.models import Kind, Order, OrderLine

STATE_LOOKS: dict[str, str] = {  # how templates/partials/state.html draws each status; the word is the status itself
    Order.Status.AWAITING_PAYMENT: "in_scadenza",
    Order.Status.PAID: "in_attivazione",
    Order.Status.FULFILLED: "attiva",
    Order.Status.ATTENTION: "in_scadenza",
}


@dataclass(frozen=True)
class Row:
    """A row of partials/summary_list.html."""

    term: str
    value: str


@dataclass(frozen=True)
class Movement:
    """An attempt to pay, bank money that arrived, or (below zero) money that goes back, as the order page lists it."""

    day: date
    name: str
    amount: Decimal
    state: str


def order_or_404(request: HttpRequest, number: str) -> Order:
    """The order as this login may see it, with its lines and attempts; anybody else's does not exist (R1)."""
    if "\x00" in number:
        raise Http404  # PostgreSQL refuses NUL
    lines = OrderLine.objects.select_related(
        "mailbox__address", "mailbox__next_plan", "domain", "address", "plan", "holder", "period__box__address",
        "period__box__next_plan",
    )  # fmt: skip
    orders = free_exit.with_until(Order.objects.visible_to(user_of(request)).select_related("owner", "withdrawal"))
    return get_object_or_404(orders.prefetch_related(Prefetch("lines", lines), "payments"), number=number)


def box_or_404(request: HttpRequest, box_id: object) -> Mailbox:
    """The box as this login may see it (R1)."""
    found = Mailbox.objects.visible_to(user_of(request)).select_related("address", "plan", "next_plan")
    return get_object_or_404(found, public_id=box_id)


def user_of(request: HttpRequest) -> User:
    """Who is signed in, behind @login_required."""
    assert isinstance(request.user, User)
    return request.user


def shows_email(order: Order, user: User) -> bool:
    """The e-mail of the order is the account's business, unless the box's own login typed it (R1)."""
    return not user.is_mailbox or order.placed_by_id == user.pk


def main_line(order: Order) -> OrderLine | None:
    """The line that says until when an order renews: its only one, or that of the domain, which its boxes follow."""
    lines = list(order.lines.all())
    found = lines if len(lines) == 1 else [line for line in lines if line.domain_id is not None]
    return found[0] if len(found) == 1 else None


def expiry_of(order: Order) -> date | None:
    """The day until which an order renews what it is about; None where there are several, or none."""
    line = main_line(order)
    return new_expiry(order, line) if line else None


def new_expiry(order: Order, line: OrderLine) -> date | None:
    """The day until which a renewal line gives, or will give, its box or domain; None for what moves no expiry."""
    if line.period is not None:
        return None if line.period.reversed_on else line.period.ends
    if line.kind == Kind.DOMAIN_RENEWAL:
        return _with_domain(order, line)
    box = line.mailbox
    if line.kind != Kind.RENEWAL or not line.is_open or order.years is None or box is None:
        return None
    if box.expires_on is None or box.anchor_month is None or box.anchor_day is None:
        return None
    return boxes.add_years(box.expires_on, order.years, anchor_month=box.anchor_month, anchor_day=box.anchor_day)


def _with_domain(order: Order, line: OrderLine) -> date | None:
    """The same of a line without a period in a domain's order: a box has the day of its domain (R17)."""
    own = main_line(order)
    if line.follows_domain:
        gives = line.status in (OrderLine.Status.WAITING, OrderLine.Status.FULFILLED)
        return new_expiry(order, own) if own is not None and gives else None
    if not line.is_open or order.years is None or line.domain is None or line.domain.expires_on is None:
        return None
    return domains.new_expiry(line.domain, order.years)


def movements(order: Order) -> list[Movement]:
    """Attempts, bank money and refunds of an order, oldest first. Of a receipt only what it gave this order (R1)."""
    rows = [
        Movement(clock.rome_date(p.created_at), name_of(p.provider), p.amount, p.get_status_display())
        for p in order.payments.all()
    ]
    given = Allocation.objects.filter(order=order, receipt__isnull=False).select_related("receipt")
    by = "postal" if order.method == "postal" else "transfer"
    registered = str(Payment.Status.REGISTERED.label)
    rows += [Movement(a.receipt.value_date, name_of(by), a.amount, registered) for a in given if a.receipt]
    rows += [
        Movement(clock.rome_date(r.done_at or r.created_at), _("Rimborso"), -r.amount, str(r.get_status_display()))
        for r in giving_back.refunds_of(order)
    ]
    return sorted(rows, key=lambda row: row.day)


def identity_rows(who: FiscalIdentity | None) -> list[Row]:
    """Name, codes and address of a holder or of an invoice's addressee; what is empty is left out."""
    if who is None:
        return []
    place = f"{who.postal_code} {who.city}".strip() + (f" ({who.province})" if who.province else "")
    rows = [
        Row(_("Nome o denominazione"), who.display_name),
        Row(_("Codice fiscale"), who.codice_fiscale),
        Row(_("Partita IVA"), who.partita_iva),
        Row(_("Indirizzo"), ", ".join(part for part in (who.address, place) if part)),
        Row(_("Telefono"), who.phone),
    ]
    return [row for row in rows if row.value]


def order_rows(order: Order, *, email: str) -> list[Row]:
    """Days and choices of an order; `email` is empty where it may not be shown (R1)."""
    moments = (
        (_("Confermato il"), order.confirmed_at),
        (_("Pagato il"), order.paid_at),
        (_("Completato il"), order.fulfilled_at),
    )
    rows = [Row(term, day(clock.rome_date(moment))) for term, moment in moments if moment]
    if order.is_awaiting_payment:
        rows.append(Row(_("Pagabile fino al"), day(order.payable_until)))
    if order.years:
        rows.append(Row(_("Frequenza di rinnovo"), years(order.years)))
    if order.method:
        rows.append(Row(_("Metodo scelto"), name_of(order.method)))
    if order.transfer_declared_on:
        term = _("Bollettino dichiarato il") if order.method == "postal" else _("Bonifico dichiarato il")
        rows.append(Row(term, day(order.transfer_declared_on)))
    return [*rows, Row(_("E-mail dell'ordine"), email)] if email else rows
