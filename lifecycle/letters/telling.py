"""Telling what is owed: claim an account's notices, look again at the boxes, write the letters (R27).

Everything in one transaction: mails in the queue, letters, and notices told are there together or not at all.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby
from operator import itemgetter

from django.db.models import Q, QuerySet
from post_office.models import PRIORITY

from lifecycle import notices, rules
from lifecycle.models import Letter, Notice
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments import cases
from payments.models import Payment
from pecportal import clock, mail
from renewals.models import Kind, Order, OrderLine

from .composing import Item, compose
from .reading import readable

MOST_IN_A_LETTER = 500  # boxes: more would be a mail that readers cut off; also what one transaction tells
State = Notice.State


class TakenError(Exception):
    """Another worker told one of these notices meanwhile: undo all of this, mails included."""


def due() -> QuerySet[Notice]:
    """What nobody was told of yet."""
    return Notice.objects.filter(state=State.DUE)


def batches(found: QuerySet[Notice], size: int) -> Iterator[list[int]]:
    """Ids of notices, whole accounts at a time, so that what an account is told of on a day is one letter.

    At most `size` and at most 500 in each; only an account that has more of them is cut.
    """
    size = min(size, MOST_IN_A_LETTER)
    owner, pk = 0, 0
    while True:
        page = found.filter(Q(owner__gt=owner) | Q(owner=owner, pk__gt=pk), owner__gte=owner)
        rows = list(page.order_by("owner_id", "pk").values_list("owner_id", "pk")[: size + 1])
        if len(rows) > size:
            cut = rows[-1][0]
            rows = [row for row in rows if row[0] != cut] or rows[:size]
        if not rows:
            return
        owner, pk = rows[-1]
        yield [pk for _owner, pk in rows]


def by_account(ids: list[int]) -> list[list[int]]:
    """The same notices, a list an account."""
    rows = Notice.objects.filter(pk__in=ids).order_by("owner_id", "pk").values_list("owner_id", "pk")
    return [[pk for _owner, pk in group] for _owner, group in groupby(rows, key=itemgetter(0))]


def tell(ids: list[int], *, today: date) -> int:
    """Tell a batch, inside the caller's transaction; returns how many notices are settled for good.

    Notices that another worker holds are left to it. Should both have one all the same, the second finds that it was
    told and undoes its own letters: raises TakenError.
    """
    held = due().filter(pk__in=ids).select_for_update(no_key=True, skip_locked=True, of=("self",))
    claimed = list(held.order_by("owner_id", "pk"))
    items = _look_again(claimed, today)
    addresses = readable(item.box for item in items)
    told_before = _told_before(claimed)
    sheaves: dict[tuple[int, str], list[Item]] = defaultdict(list)
    states: dict[int, Notice.State] = {n.pk: State.TOLD if told_before[n.pk] else State.MOOT for n in claimed}
    for item in items:
        to = addresses[item.box.pk]
        states[item.notice.pk] = State.TOLD if to or told_before[item.notice.pk] else State.NO_ADDRESS
        for address in to:
            if address not in told_before[item.notice.pk]:
                sheaves[item.notice.owner_id, address].append(item)
    _write(sheaves)
    _settle(states)
    return sum(state is not State.NO_ADDRESS for state in states.values())


def _look_again(claimed: list[Notice], today: date) -> list[Item]:
    """The notices that are still true: the box expires when it did, and nothing later is owed or needless."""
    ids = [notice.box_id for notice in claimed]
    related = ("address", "holder", "owner", "domain", "plan")
    live = notices.wanted(today, day=today).filter(pk__in=ids).select_related(*related)
    found = {(box.pk, box.expires_on, box.due_kind): box for box in live}  # type: ignore[attr-defined]
    # Past the calendar's end the deletion's own further warnings are owed until the box is deleted (R29).
    waiting = Mailbox.objects.filter(pk__in=ids, phase=Phase.LIVE, delete_from__lte=today).select_related(*related)
    late = {box.pk: box for box in waiting}
    # Of those too only the newest is told, or one letter would name a box twice.
    outdated = set(notices.outdated().filter(pk__in=[n.pk for n in claimed]).values_list("pk", flat=True))
    orders = _open_renewals(ids)
    checking = _being_verified(orders.values())
    items = []
    for notice in claimed:
        box = found.get((notice.box_id, notice.expiry, notice.kind)) or late.get(notice.box_id)
        if (
            box is not None
            and notice.pk not in outdated
            and box.expires_on == notice.expiry
            and (box.pk not in late or _is_further_warning(notice, box))
        ):
            order = orders.get(box.pk)
            items.append(Item(notice, box, order, today, checking=order is not None and order.pk in checking))
    return items


def _is_further_warning(notice: Notice, box: Mailbox) -> bool:
    assert box.delete_from is not None  # of a live box
    return rules.notice_day(notice.expiry, notice.kind) >= box.delete_from


def _open_renewals(box_ids: list[int]) -> dict[int, Order]:
    """The open renewal order of each box that has one. One query."""
    kinds = (Kind.RENEWAL, Kind.DOMAIN_RENEWAL)
    lines = OrderLine.objects.filter(mailbox__in=box_ids, kind__in=kinds, is_open=True).select_related("order")
    return {line.mailbox_id: line.order for line in lines if line.mailbox_id is not None}


def _being_verified(orders: Iterable[Order]) -> set[int]:
    """Those that wait for a payment which is in doubt, or for staff to decide about money that came (R19, R21)."""
    unpaid = {order.pk for order in orders if order.is_awaiting_payment}
    unknown = Payment.objects.filter(order__in=unpaid, status=Payment.Status.UNKNOWN)
    held = cases.held().filter(order__in=unpaid)
    return {pk for found in (unknown, held) for pk in found.values_list("order", flat=True)}


def _told_before(claimed: list[Notice]) -> dict[int, set[str]]:
    """Of each notice: the addresses that have a letter about it, where another one's was taken back (R27)."""
    found: dict[int, set[str]] = defaultdict(set)
    links = Notice.letters.through.objects.filter(notice__in=[n.pk for n in claimed])
    for notice, to in links.exclude(letter__state=Letter.State.REPLACED).values_list("notice_id", "letter__to"):
        found[notice].add(to)
    return found


def _write(sheaves: dict[tuple[int, str], list[Item]]) -> None:
    """Queue one mail a sheaf and put a letter beside it. Sheaves that say the same are rendered once."""
    same: dict[tuple[int, ...], list[str]] = defaultdict(list)
    by_ids: dict[tuple[int, ...], list[Item]] = {}
    for (_owner, address), items in sheaves.items():
        ids = tuple(item.notice.pk for item in items)
        same[ids].append(address)
        by_ids[ids] = items
    written, about = [], []
    for ids, to in same.items():
        mails = compose(by_ids[ids], to=to)
        written += mails
        about += [ids] * len(mails)
    queued = mail.queue(written, priority=PRIORITY.low)
    now = clock.now()
    letters = Letter.objects.bulk_create(
        [Letter(to=row.to[0], mail=row, message_id=row.message_id, queued_at=now) for row in queued], batch_size=500
    )
    link = Notice.letters.through
    link.objects.bulk_create(
        [link(notice_id=pk, letter=letter) for letter, ids in zip(letters, about, strict=True) for pk in ids],
        batch_size=1000,
    )


def _settle(states: dict[int, Notice.State]) -> None:
    now = clock.now()
    for state in (State.TOLD, State.NO_ADDRESS, State.MOOT):
        ids = [pk for pk, settled in states.items() if settled is state]
        if not ids:
            continue
        told_at = now if state is State.TOLD else None
        if due().filter(pk__in=ids).update(state=state, told_at=told_at) != len(ids):
            raise TakenError
