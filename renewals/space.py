"""More space in the middle of a term: an order of its own kind, with R9's guards."""

from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes.catalogue import prices_on
from mailboxes.flows import limits
from mailboxes.hosting import is_hosted
from mailboxes.models import Mailbox, Price
from mailboxes.rules import State
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import day
from renewals import pricing
from renewals.flows import HostedEmailError, PriceChangedError, send_confirmation, write_order
from renewals.models import HolderSnapshot, Kind, Order, OrderLine


def place_space(
    *, box_id: int, user: User, mailbox_gb: int, archive_gb: int, email: str, method: str, terms_version: str,
    terms_ip: str | None, shown_total: Decimal,
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
        if box.kind == Mailbox.Kind.ON_DOMAIN or box.state(today) is not State.ACTIVE or box.expires_on is None:
            raise RefusedError(_("Lo spazio si aggiunge solo a una casella attiva che non sia su dominio."))
        if OrderLine.objects.filter(mailbox=box, is_open=True).exists():
            raise RefusedError(_("C'è già un ordine aperto per questa casella: pagalo o annullalo."))
        more_mailbox, more_archive = mailbox_gb - box.mailbox_gb, archive_gb - box.archive_gb
        if min(more_mailbox, more_archive) < 0 or more_mailbox + more_archive == 0:
            raise RefusedError(_("Indica quanti GB aggiungere."))
        if not limits(box.plan).allows(mailbox_gb, archive_gb):
            raise RefusedError(_("Con la tipologia %(plan)s non puoi avere così tanto spazio.") % {"plan": box.plan})
        if box.change_on is not None:
            raise RefusedError(
                _("Dal %(day)s vale lo spazio già scelto con il rinnovo: da quel giorno potrai aggiungerne altro.")
                % {"day": day(box.change_on)}
            )
        prices, months = prices_on(today), pricing.months_left(today, box.expires_on)
        per_mailbox, per_archive = prices.item(Price.Item.MAILBOX_GB), prices.item(Price.Item.ARCHIVE_GB)
        net = pricing.space_net(extra_gb=more_mailbox, price_a_year=per_mailbox, months=months) + pricing.space_net(
            extra_gb=more_archive, price_a_year=per_archive, months=months
        )
        totals = pricing.totals([net], prices.vat_rate)
        if totals.total != shown_total:
            raise PriceChangedError(
                _("Il prezzo è cambiato da quando hai aperto la pagina: controlla il nuovo totale.")
            )
        order = write_order(
            kind=Kind.SPACE, box=box, user=user, years=None, email=email, method=method, totals=totals,
            terms_version=terms_version, terms_ip=terms_ip, immediate_start=False, now=now, today=today,
        )  # fmt: skip
        line = OrderLine.objects.create(
            order=order, kind=Kind.SPACE, mailbox=box, plan=box.plan, mailbox_gb=mailbox_gb, archive_gb=archive_gb,
            billed_mailbox_gb=more_mailbox, mailbox_gb_price=per_mailbox, billed_archive_gb=more_archive,
            archive_gb_price=per_archive, net=net, old_expiry=box.expires_on,
        )  # fmt: skip
        HolderSnapshot.objects.create(line=line, **box.holder.identity())
        send_confirmation(order=order, line=line, box=box, new_expiry=box.expires_on)
    return order
