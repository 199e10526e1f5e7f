"""Placing orders. With settle.py the only writer of Order.status and OrderLine.status (DESIGN §3)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import BillingProfile, User
from mailboxes import rules as boxes
from mailboxes.catalogue import PriceList, prices_on
from mailboxes.flows import limits, measured
from mailboxes.hosting import is_hosted
from mailboxes.models import Address, Domain, Mailbox, Plan, Price
from mailboxes.platform.base import Usage
from pecportal import clock, mail
from pecportal.errors import RefusedError
from renewals import pricing, rules
from renewals.models import BillingSnapshot, HolderSnapshot, Kind, Order, OrderEvent, OrderLine, new_number
from renewals.references import creditor_reference, customer_code

log = logging.getLogger(__name__)


class AlreadyOrderedError(RefusedError):
    """An open renewal order stands already; `order` is it (R9)."""

    def __init__(self, order: Order | None) -> None:
        super().__init__(_("Per questa casella c'è già un ordine di rinnovo."))
        self.order = order


class HostedEmailError(RefusedError):
    """The order's e-mail would end with the box it is about (R12)."""

    def __init__(self) -> None:
        super().__init__(_("L'e-mail dell'ordine non può essere una casella PEC gestita qui: scadrebbe con lei."))


class PriceChangedError(RefusedError):
    """The price on the screen is no longer the price of today."""

    def __init__(self) -> None:
        super().__init__(_("Il prezzo è cambiato da quando hai aperto la pagina: controlla il nuovo totale."))


class ChoiceError(RefusedError):
    """The choice of plan and space does not hold any more; `problems` says why (renewals.rules)."""

    def __init__(self, problems: list[rules.Problem]) -> None:
        super().__init__(_("Tipologia e spazio scelti non sono più possibili: controlla il primo passo."))
        self.problems = problems


@dataclass(frozen=True)
class Choice:
    """What the wizard's first screen asks: plan, total GB of both spaces, and the tick that the archive may go."""

    plan: Plan
    mailbox_gb: int
    archive_gb: int
    archive_loss_accepted: bool = False


@dataclass(frozen=True)
class Quote:
    """What a renewal would cost today and until when it would last."""

    line: pricing.LinePrice
    totals: pricing.Totals
    new_expiry: date
    years: int


def facts(box: Mailbox) -> rules.BoxFacts:
    """R4's facts of one box; reads its open renewal line (one query, none when prefetched as `open_renewals`)."""
    lines = getattr(box, "open_renewals", None)
    if lines is None:
        lines = list(open_renewal_lines().filter(mailbox=box))
    return rules.BoxFacts(
        phase=box.phase,
        on_domain=box.kind == Mailbox.Kind.ON_DOMAIN,
        expires_on=box.expires_on,
        delete_from=box.delete_from,
        auto_renews=box.auto_renews,
        auto_over_for=box.auto_over_for,
        open_renewal_awaits_payment=lines[0].order.is_awaiting_payment if lines else None,
    )


def open_renewal_lines() -> QuerySet[OrderLine]:
    """Open renewal lines with their orders: what hides Rinnova (R4, R9)."""
    return OrderLine.objects.filter(is_open=True, kind=Kind.RENEWAL).select_related("order")


def quote(*, box: Mailbox, choice: Choice, years: int, prices: PriceList) -> Quote:
    """Price a renewal. Raises MissingPriceError; ValueError on years outside 1–5."""
    if box.expires_on is None or box.anchor_month is None or box.anchor_day is None:
        raise ValueError("only a live standalone box can be priced for renewal")
    new_expiry = boxes.add_years(box.expires_on, years, anchor_month=box.anchor_month, anchor_day=box.anchor_day)
    return quote_until(new_expiry, choice=choice, years=years, prices=prices)


def quote_until(new_expiry: date, *, choice: Choice, years: int, prices: PriceList) -> Quote:
    """The price of a plan and its GB for some years: the same for a box that is renewed and for one that is bought."""
    line = pricing.line_price(
        plan_price=prices.plan(choice.plan.code),
        mailbox_gb_price=prices.item(Price.Item.MAILBOX_GB),
        archive_gb_price=prices.item(Price.Item.ARCHIVE_GB),
        extra_mailbox_gb=max(0, choice.mailbox_gb - choice.plan.base_mailbox_gb),
        extra_archive_gb=max(0, choice.archive_gb - choice.plan.base_archive_gb),
        years=years,
    )
    return Quote(line, pricing.totals([line.net], prices.vat_rate), new_expiry, years)


def problems_of(*, box: Mailbox, choice: Choice, used: Usage, space_order_open: bool) -> list[rules.Problem]:
    """rules.choice_problems on the facts of a box."""
    return list(
        rules.choice_problems(
            current=box.capacity,
            limits=limits(choice.plan),
            selectable=choice.plan.selectable,
            mailbox_gb=choice.mailbox_gb,
            archive_gb=choice.archive_gb,
            mailbox_used=used.mailbox_bytes,
            archive_used=used.archive_bytes,
            archive_loss_accepted=choice.archive_loss_accepted,
            space_order_open=space_order_open,
        )
    )


def open_lines(box: Mailbox) -> list[OrderLine]:
    """Open lines of every kind with their orders; the renewals among them where `facts` looks for them. One query."""
    found = list(OrderLine.objects.filter(mailbox=box, is_open=True).select_related("order"))
    box.open_renewals = [line for line in found if line.kind == Kind.RENEWAL]  # type: ignore[attr-defined]
    return found


def place_renewal(
    *,
    box: Mailbox,
    user: User,
    choice: Choice,
    years: int,
    holder: dict[str, object],
    email: str,
    method: str,
    terms_version: str,
    terms_ip: str | None,
    immediate_start: bool,
    shown_total: Decimal,
) -> Order:
    """Confirm a renewal: one order, awaiting payment, with everything R8 freezes.

    `box` as the caller read it: it is read again under its lock. `holder` are FiscalIdentity fields as confirmed on the
    second screen; `shown_total` is the total on the button's page: a different price of today is refused, not charged.
    Two confirmations at once make one order: the second gets AlreadyOrderedError. Raises also ChoiceError,
    PriceChangedError, MissingPriceError, RefusedError.
    """
    if is_hosted(email):
        raise HostedEmailError
    if not 1 <= years <= boxes.MAX_YEARS:
        raise RefusedError(_("Scegli da 1 a 5 anni."))
    box_id, address = box.pk, box.address.name
    used = measured([address])[address]  # asked before the lock: nothing slow under it
    today, now = clock.today(), clock.now()
    try:
        with transaction.atomic(durable=True):
            box = (
                Mailbox.objects.visible_to(user)
                .select_related("address", "plan", "owner", "owner__billing", "holder")
                .locked()
                .get(pk=box_id)
            )
            space_order_open = any(line.kind == Kind.SPACE for line in open_lines(box))
            reason = rules.offer(facts(box), today)
            if reason in (rules.Reason.ORDER_TO_PAY, rules.Reason.ORDER_AT_WORK):
                raise AlreadyOrderedError(_open_order(box.pk))
            if reason is not rules.Reason.RENEW:
                raise RefusedError(_("In questo momento la casella non può essere rinnovata."))
            prices = prices_on(today)
            choice = replace(choice, plan=prices.row(choice.plan.code))  # the screen's may be a minute old
            found = problems_of(box=box, choice=choice, used=used, space_order_open=space_order_open)
            if found:
                raise ChoiceError(found)
            priced = quote(box=box, choice=choice, years=years, prices=prices)
            if priced.totals.total != shown_total:
                raise PriceChangedError
            order = write_order(
                kind=Kind.RENEWAL, box=box, user=user, years=years, email=email, method=method, totals=priced.totals,
                terms_version=terms_version, terms_ip=terms_ip, immediate_start=immediate_start, now=now, today=today,
            )  # fmt: skip
            line = _write_line(order, box, choice, priced, holder)
            send_confirmation(order=order, line=line, box=box, new_expiry=priced.new_expiry)
    except IntegrityError as error:
        # The constraint line_one_open_per_box: another connection was quicker.
        standing = _open_order(box_id)
        if standing is None:
            raise
        raise AlreadyOrderedError(standing) from error
    return order


def place_automatic(
    *, box: Mailbox, choice: Choice, priced: Quote, email: str, method: str, terms_version: str, agreed_at: datetime
) -> Order:
    """The renewal that an automatic charge pays, nobody being there: with the terms of its consent (R24).

    In the caller's transaction, `box` locked and looked at (`facts`, `problems_of`); raises IntegrityError where an
    open order stands all the same (R9). No confirmation is sent: the notice announced it, the outcome is told.
    """
    order = write_order(
        kind=Kind.RENEWAL, box=box, user=None, years=priced.years, email=email, method=method, totals=priced.totals,
        terms_version=terms_version, terms_ip=None, immediate_start=False, now=clock.now(), today=clock.today(),
        terms_accepted_at=agreed_at,
    )  # fmt: skip
    _write_line(order, box, choice, priced, {})
    return order


def _write_line(order: Order, box: Mailbox, choice: Choice, priced: Quote, holder: dict[str, object]) -> OrderLine:
    identity = {**box.holder.identity(), **holder}
    return write_line(order, choice, priced, identity, mailbox=box, old_expiry=box.expires_on)


def write_line(
    order: Order, choice: Choice, priced: Quote, holder: dict[str, object], **about: Mailbox | Address | date | None
) -> OrderLine:
    """A line with the prices it was confirmed at and its holder's data (R8); `about`: what it points at, old_expiry."""
    line = OrderLine.objects.create(
        order=order,
        kind=order.kind,
        plan=choice.plan,
        mailbox_gb=choice.mailbox_gb,
        archive_gb=choice.archive_gb,
        base_price=priced.line.base_price,
        billed_mailbox_gb=priced.line.billed_mailbox_gb,
        mailbox_gb_price=priced.line.mailbox_gb_price,
        billed_archive_gb=priced.line.billed_archive_gb,
        archive_gb_price=priced.line.archive_gb_price,
        net=priced.line.net,
        archive_loss_accepted=choice.archive_loss_accepted,
        **about,
    )
    HolderSnapshot.objects.create(line=line, **holder)
    return line


def _open_order(box_id: int) -> Order | None:
    line = open_renewal_lines().filter(mailbox_id=box_id).first()
    return line.order if line else None


def write_order(
    *, kind: Kind, box: Mailbox | Domain, user: User | None, years: int | None, email: str, method: str,
    totals: pricing.Totals, terms_version: str, terms_ip: str | None, immediate_start: bool, now: datetime,
    today: date, terms_accepted_at: datetime | None = None,
) -> Order:  # fmt: skip
    """The order row with what R8 freezes of the account and the contract; the caller adds its lines."""
    billing: BillingProfile | None = getattr(box.owner, "billing", None)
    order = Order.objects.create(
        number=_free_number(kind),
        kind=kind,
        owner=box.owner,
        placed_by=user,
        years=years,
        email=email,
        method=method,
        vat_rate=totals.vat_rate,
        taxable=totals.taxable,
        vat=totals.vat,
        total=totals.total,
        amount_due=totals.total,
        terms_version=terms_version,
        terms_accepted_at=terms_accepted_at or now,
        terms_ip=terms_ip,
        is_consumer=bool(billing and billing.is_consumer),
        immediate_start=immediate_start,
        lapses_on=today + timedelta(days=settings.ORDER_LAPSE_DAYS),
        confirmed_at=now,
    )
    if billing is not None:
        BillingSnapshot.objects.create(order=order, **billing.identity())
    why = _("confermato dal cliente") if user else _("rinnovo automatico")
    OrderEvent.objects.create(order=order, after=order.status, actor=user, why=why)
    return order


def _free_number(kind: Kind) -> str:
    for _attempt in range(20):
        number = new_number(kind)
        if not Order.objects.filter(number=number).exists():
            return number
    raise RuntimeError("no free order number in twenty tries")


def send_confirmation(
    *, order: Order, line: OrderLine, box: Mailbox | Domain, new_expiry: date, boxes: Sequence[Mailbox] = ()
) -> None:
    """The order confirmation (R12): to the order's e-mail, and to the account's when that is another.

    `box` is what was ordered, a box or a domain with its `boxes` (R17). It names no fiscal data at all, so one text
    serves the holder and the account.
    """
    last_day = box.last_renewable_day if line.mailbox_id is not None else None  # of a purchase the box is yet to come
    context = {
        "order": order,
        "line": line,
        "box": box,
        "domain": box if isinstance(box, Domain) else None,
        "boxes": boxes,
        "new_expiry": new_expiry,
        "payable_until": min(order.lapses_on, last_day or order.lapses_on),
        "by_transfer": order.method == "transfer",
        "by_slip": order.method == "postal",
        "customer_code": customer_code(order),
        "postal_account": settings.POSTAL_ACCOUNT,
        "causale": creditor_reference(order),
        "iban": settings.BANK_IBAN,
        "beneficiary": settings.BANK_BENEFICIARY,
    }
    mail.send("order_confirmed", to=[order.email, box.owner.email], context=context)
