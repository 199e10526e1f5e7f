"""Acquista di nuovo: the address of a deleted box bought again by its own holder (R30).

The order stands here, and its box In attivazione once it is paid; renewals.activation brings it to life. Lock order:
order → receipt → payment → address → mailbox.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes import activation
from mailboxes import rules as boxes
from mailboxes.catalogue import PriceList, prices_on
from mailboxes.flows import limits, tombstone_hash
from mailboxes.hosting import is_hosted
from mailboxes.models import Address, Holder, Mailbox
from mailboxes.models.boxes import Phase
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import again, flows, rules, words
from renewals.again import Again
from renewals.models import Kind, Order, OrderLine


def is_of(holder: Holder, address: Address) -> bool:
    """Whether this is the holder that the tombstone of an address remembers; without one it is nobody's to buy."""
    return bool(address.tombstone) and hmac.compare_digest(address.tombstone, tombstone_hash(holder.fiscal_key))


@dataclass(frozen=True)
class Standing:
    """A deleted box and R30: the reason, and what is behind it, as far as its account may know it.

    `holder`: the account's, whose key the tombstone keeps. `line`: of the account's open purchase, with its order.
    `new_life`: the account's later box of the same address.
    """

    reason: Again
    holder: Holder | None
    line: OrderLine | None
    new_life: Mailbox | None


def open_purchase_lines() -> QuerySet[OrderLine]:
    """Open purchase lines with their orders: at most one an address (line_one_open_per_address)."""
    return OrderLine.objects.filter(is_open=True, kind=Kind.PURCHASE).select_related("order")


def standing_of(
    found: Sequence[Mailbox], *, lines: Callable[[], QuerySet[OrderLine]] | None = None
) -> dict[int, Standing]:
    """R30 for the deleted boxes among `found`, of one account, with address and holder; by their ids.

    Two queries for all of them, none where no box is deleted; one more where a holder is not the one of the tombstone.
    `lines` makes open_purchase_lines with what the caller needs of it besides; not asked where no box is deleted.
    """
    gone = [box for box in found if box.phase == Phase.DELETED]
    if not gone:
        return {}
    addresses = {box.address_id for box in gone}
    ordered = {line.address_id: line for line in (lines or open_purchase_lines)().filter(address__in=addresses)}
    lives = list(Mailbox.objects.filter(address__in=addresses).order_by("pk"))
    holders = _holders(gone)
    return {box.pk: _standing(box, ordered.get(box.address_id), lives, holders.get(box.pk)) for box in gone}


def _standing(box: Mailbox, line: OrderLine | None, lives: list[Mailbox], holder: Holder | None) -> Standing:
    of_address = [life for life in lives if life.address_id == box.address_id]
    later = [life for life in of_address if life.owner_id == box.owner_id and life.pk > box.pk]
    ours = line if line is not None and line.order.owner_id == box.owner_id else None
    reason = again.offer(
        again.AgainFacts(
            deleted=box.phase == Phase.DELETED,
            on_domain=box.kind == Mailbox.Kind.ON_DOMAIN,
            lives_again=bool(later) or any(life.phase != Phase.DELETED for life in of_address),
            same_holder=holder is not None,
            order_awaits_payment=line.order.is_awaiting_payment if line is not None else None,
            order_is_ours=ours is not None,
        )
    )
    return Standing(reason, holder, ours, later[-1] if later else None)


def _holders(gone: list[Mailbox]) -> dict[int, Holder]:
    """Of each box the account's holder that its tombstone remembers: the box's own, else another with the same key."""
    found = {box.pk: box.holder for box in gone if is_of(box.holder, box.address)}
    rest = [box for box in gone if box.pk not in found and box.address.tombstone]
    if rest:
        for holder in Holder.objects.filter(owner=rest[0].owner_id):
            found.update({box.pk: holder for box in rest if is_of(holder, box.address)})
    return found


def called_off(found: Sequence[Mailbox]) -> set[int]:
    """Ids of the boxes In attivazione among `found` whose order is no more; a query where there are any."""
    waiting = {box.address_id: box.pk for box in found if box.phase == Phase.ACTIVATING}
    if not waiting:
        return set()
    ordered = open_purchase_lines().filter(address__in=waiting).values_list("address_id", flat=True)
    return {pk for address_id, pk in waiting.items() if address_id not in set(ordered)}


def quote(*, choice: flows.Choice, years: int, prices: PriceList, today: date) -> flows.Quote:
    """Price a purchase, as a renewal; `new_expiry` is what it would be if the box came to life today (R14)."""
    until = boxes.add_years(today, years, anchor_month=today.month, anchor_day=today.day)
    return flows.quote_until(until, choice=choice, years=years, prices=prices)


def problems_of(choice: flows.Choice) -> list[rules.Problem]:
    """What stands against a choice for an empty box: only what its plan allows (R6)."""
    found = rules.choice_problems(
        current=boxes.Capacity(0, 0, 0), limits=limits(choice.plan), selectable=choice.plan.selectable,
        mailbox_gb=choice.mailbox_gb, archive_gb=choice.archive_gb, mailbox_used=0, archive_used=0,
        archive_loss_accepted=False, space_order_open=False,
    )  # fmt: skip
    return list(found)


def place_purchase(
    *, box: Mailbox, user: User, choice: flows.Choice, years: int, holder: dict[str, object], email: str, method: str,
    terms_version: str, terms_ip: str | None, immediate_start: bool, shown_total: Decimal,
) -> Order:  # fmt: skip
    """Order the address of a deleted box again: one order, awaiting payment, with all that R8 freezes (R30).

    `box` as the caller read it: it is looked at again under the lock of its address. `holder` and `shown_total` as for
    place_renewal, and as there: AlreadyOrderedError, ChoiceError, PriceChangedError, MissingPriceError, RefusedError.
    """
    if is_hosted(email):
        raise flows.HostedEmailError
    if not 1 <= years <= boxes.MAX_YEARS:
        raise RefusedError(_("Scegli da 1 a 5 anni."))
    today, now = clock.today(), clock.now()
    try:
        with transaction.atomic(durable=True):
            address = Address.objects.select_for_update(no_key=True, of=("self",)).get(pk=box.address_id)
            mine = Mailbox.objects.visible_to(user).select_related("address", "holder", "owner", "owner__billing")
            box = mine.get(pk=box.pk)
            buyer = _require_offer(box)
            prices = prices_on(today)
            choice = flows.Choice(prices.row(choice.plan.code), choice.mailbox_gb, choice.archive_gb)
            if found := problems_of(choice):
                raise flows.ChoiceError(found)
            priced = quote(choice=choice, years=years, prices=prices, today=today)
            if priced.totals.total != shown_total:
                raise flows.PriceChangedError
            order = flows.write_order(
                kind=Kind.PURCHASE, box=box, user=user, years=years, email=email, method=method, totals=priced.totals,
                terms_version=terms_version, terms_ip=terms_ip, immediate_start=immediate_start, now=now, today=today,
            )  # fmt: skip
            line = flows.write_line(order, choice, priced, {**buyer.identity(), **holder}, address=address)
            flows.send_confirmation(order=order, line=line, box=box, new_expiry=priced.new_expiry)
    except IntegrityError as error:
        # The constraint line_one_open_per_address: another connection was quicker.
        standing = open_purchase_lines().filter(address=box.address_id).first()
        if standing is None:
            raise
        raise _already(standing.order, box) from error
    return order


def _require_offer(box: Mailbox) -> Holder:
    """The holder who buys; raises the refusal with its reason (R30), or AlreadyOrderedError."""
    standing = standing_of([box]).get(box.pk)
    if standing is None:
        raise RefusedError(words.not_again(Again.NOT_DELETED))
    if standing.line is not None:
        raise flows.AlreadyOrderedError(standing.line.order)
    if standing.reason is not Again.BUY or standing.holder is None:
        raise RefusedError(words.not_again(standing.reason))
    return standing.holder


def _already(order: Order, box: Mailbox) -> RefusedError:
    if order.owner_id == box.owner_id:
        return flows.AlreadyOrderedError(order)
    return RefusedError(words.not_again(Again.ORDERED_ELSEWHERE))


def prepare(line: OrderLine) -> str:
    """The box In attivazione of a paid line (its order locked), once; returns why it cannot be, or "" (R30).

    What was true at the confirmation is looked at again: the address without a life, the holder of its tombstone.
    """
    if line.address_id is None or line.plan is None or line.mailbox_gb is None or line.archive_gb is None:
        return _("riga che non si può evadere")
    address = Address.objects.select_for_update(no_key=True, of=("self",)).get(pk=line.address_id)
    life = Mailbox.objects.filter(address=address).exclude(phase=Phase.DELETED).first()
    if life is not None:
        # Only the one open line of an address makes a box In attivazione: it is this line's, from an earlier turn.
        return "" if life.phase == Phase.ACTIVATING else _("l'indirizzo ha già una casella")
    key = line.holder.own_fiscal_key()
    holder = Holder.objects.filter(owner=line.order.owner_id, fiscal_key=key).first()
    if holder is None or not is_of(holder, address):
        return _("il titolare non è più quello dell'ordine")
    activation.prepare(
        address=address, owner=line.order.owner, holder=holder, plan=line.plan, mailbox_gb=line.mailbox_gb,
        archive_gb=line.archive_gb,
    )  # fmt: skip
    return ""
