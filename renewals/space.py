"""More space in the middle of a term: an order of its own kind, with R9's guards."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import transaction
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes.catalogue import PriceList, prices_on
from mailboxes.flows import limits
from mailboxes.hosting import is_hosted
from mailboxes.models import Mailbox, Price
from mailboxes.rules import State
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import dal
from renewals import pricing
from renewals.flows import HostedEmailError, PriceChangedError, send_confirmation, write_order
from renewals.models import HolderSnapshot, Kind, Order, OrderLine


@dataclass(frozen=True)
class SpaceQuote:
    """What more space costs from today to the expiry: GB added, net prices a year and a term, EUR."""

    more_mailbox: int
    more_archive: int
    mailbox_gb_price: Decimal
    archive_gb_price: Decimal
    months: int
    net: Decimal
    totals: pricing.Totals


def refusal(box: Mailbox, *, today: date, order_open: bool) -> str:
    """Why no space can be added to this box now, in a sentence, or "" when it can (R9, §4 Capacity)."""
    if box.kind == Mailbox.Kind.ON_DOMAIN or box.state(today) is not State.ACTIVE or box.expires_on is None:
        return _("Lo spazio si aggiunge solo a una casella attiva che non sia su dominio.")
    if order_open:
        return _("C'è già un ordine aperto per questa casella: pagalo o annullalo.")
    if box.change_on is not None:
        return _("%(day)s vale lo spazio già scelto con il rinnovo: da quel giorno potrai aggiungerne altro.") % {
            "day": capfirst(dal(box.change_on))
        }
    if most_of(box) == (0, 0):
        return _("La tipologia %(plan)s non può avere più spazio di così: puoi cambiarla quando rinnovi.") % {
            "plan": box.plan
        }
    return ""


def most_of(box: Mailbox) -> tuple[int, int]:
    """How many GB the plan lets be added to the mailbox and to the archive."""
    plan = limits(box.plan)
    return max(0, plan.max_mailbox_gb - box.mailbox_gb), max(0, plan.max_archive_gb - box.archive_gb)


def quote_space(*, box: Mailbox, mailbox_gb: int, archive_gb: int, prices: PriceList, today: date) -> SpaceQuote:
    """Price total GB of both spaces for the months left, part-months up.

    Raises RefusedError when nothing is added or the plan does not allow it, MissingPriceError.
    """
    more_mailbox, more_archive = mailbox_gb - box.mailbox_gb, archive_gb - box.archive_gb
    if min(more_mailbox, more_archive) < 0 or more_mailbox + more_archive == 0:
        raise RefusedError(_("Indica quanti GB aggiungere."))
    if not limits(box.plan).allows(mailbox_gb, archive_gb):
        raise RefusedError(_("Con la tipologia %(plan)s non puoi avere così tanto spazio.") % {"plan": box.plan})
    assert box.expires_on is not None
    months = pricing.months_left(today, box.expires_on)
    per_mailbox, per_archive = prices.item(Price.Item.MAILBOX_GB), prices.item(Price.Item.ARCHIVE_GB)
    net = pricing.space_net(extra_gb=more_mailbox, price_a_year=per_mailbox, months=months) + pricing.space_net(
        extra_gb=more_archive, price_a_year=per_archive, months=months
    )
    return SpaceQuote(
        more_mailbox, more_archive, per_mailbox, per_archive, months, net, pricing.totals([net], prices.vat_rate)
    )


def place_space(
    *, box_id: int, user: User, mailbox_gb: int, archive_gb: int, email: str, method: str, terms_version: str,
    terms_ip: str | None, shown_total: Decimal, immediate_start: bool = False,
) -> Order:  # fmt: skip
    """Order more GB (total of both spaces) for the months left to the expiry, part-months up; they end with the box.

    Refused when the box is not Attiva, when nothing is added, outside the plan's limits, with a renewal order open,
    with a space order open already (R9), or while a smaller plan waits for its day: raising that would give away the
    larger plan until the new expiry (§4 Capacity).
    """
    if is_hosted(email):
        raise HostedEmailError
    today, now = clock.today(), clock.now()
    with transaction.atomic(durable=True):
        box = (
            Mailbox.objects.visible_to(user)
            .select_related("address", "plan", "owner", "holder")
            .locked()
            .get(pk=box_id)
        )
        order_open = OrderLine.objects.filter(mailbox=box, is_open=True).exists()
        if why := refusal(box, today=today, order_open=order_open):
            raise RefusedError(why)
        assert box.expires_on is not None  # of an active box
        quote = quote_space(
            box=box, mailbox_gb=mailbox_gb, archive_gb=archive_gb, prices=prices_on(today), today=today
        )  # fmt: skip
        if quote.totals.total != shown_total:
            raise PriceChangedError
        order = write_order(
            kind=Kind.SPACE, box=box, user=user, years=None, email=email, method=method, totals=quote.totals,
            terms_version=terms_version, terms_ip=terms_ip, immediate_start=immediate_start, now=now, today=today,
        )  # fmt: skip
        line = OrderLine.objects.create(
            order=order, kind=Kind.SPACE, mailbox=box, plan=box.plan, mailbox_gb=mailbox_gb, archive_gb=archive_gb,
            billed_mailbox_gb=quote.more_mailbox, mailbox_gb_price=quote.mailbox_gb_price,
            billed_archive_gb=quote.more_archive, archive_gb_price=quote.archive_gb_price, net=quote.net,
            old_expiry=box.expires_on,
        )  # fmt: skip
        HolderSnapshot.objects.create(line=line, **box.holder.identity())
        send_confirmation(order=order, line=line, box=box, new_expiry=box.expires_on)
    return order
