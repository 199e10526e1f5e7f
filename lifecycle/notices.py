"""Notices of an expiry: who is to be told on a day, and telling them (R27). The only writer of Notice.

Only the latest due point of the calendar is told, in the words of today: after an outage one mail with the truth, not
five. Digests, relay outcomes and the art. 65-bis notice are not here.
"""

from datetime import date, datetime

from django.conf import settings
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, SmallIntegerField, Value, When

from lifecycle import rules
from lifecycle.models import Notice
from mailboxes.flows import contacts
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.rules import State
from pecportal import clock, mail
from renewals.models import Kind, Order, OrderLine

BATCH = 200  # a batch writes its mails while it holds its boxes: about a second


def due(day: date, *, today: date) -> QuerySet[Mailbox]:
    """Live boxes whose latest point, due by `day`, has not been told for their expiry.

    Not those that will renew by themselves, by the rule of the screens that promise these notices (R4): a charge still
    comes for this expiry, and no renewal order is open. Nor those that may be deleted already.
    """
    windows = rules.windows(today, settings.NOTICE_DAYS, day=day)
    if not windows:
        return Mailbox.objects.none()
    points = [When(expires_on__gte=w.first, expires_on__lte=w.last, then=Value(w.kind)) for w in windows]
    told = Notice.objects.filter(box=OuterRef("pk"), expiry=OuterRef("expires_on"), kind=OuterRef("due_kind"))
    ordered = OrderLine.objects.filter(mailbox=OuterRef("pk"), kind=Kind.RENEWAL, is_open=True)
    return Mailbox.objects.alias(due_kind=Case(*points, output_field=SmallIntegerField())).filter(
        Q(auto_renews=False) | Q(auto_over_for=F("expires_on")) | Q(expires_on__lt=today) | Exists(ordered),
        ~Exists(told),
        phase=Phase.LIVE,
        expires_on__gte=min(w.first for w in windows),
        expires_on__lte=max(w.last for w in windows),
        due_kind__isnull=False,
        delete_from__gt=today,
    )


def tell(ids: list[int], *, day: date, today: date) -> int:
    """Tell a batch, inside the caller's transaction; returns how many boxes somebody was told about.

    Boxes that another transaction holds are left to a later run (PostgreSQL; SQLite has one writer). Looked at again
    after the lock: a statement sees what was committed before it began, so only a second one sees what another worker
    told while the first waited. Should both tell a box all the same, `notice_told_once` undoes the second, mails and
    all: that is why conflicts are not ignored here.
    """
    free = Mailbox.objects.filter(pk__in=ids).select_for_update(no_key=True, skip_locked=True)
    held = list(free.order_by("pk").values_list("pk", flat=True))
    boxes = list(
        due(day, today=today).filter(pk__in=held).select_related("address", "holder", "owner", "domain").order_by("pk")
    )
    orders = _open_renewals(boxes)
    now = clock.now()
    rows, letters = [], []
    for box in boxes:
        written = _letters(box, orders.get(box.pk), today=today)
        letters += written
        rows.append(_row(box, today=today, now=now, told=bool(written)))
    Notice.objects.bulk_create(rows)
    mail.queue(letters)
    return sum(row.told_at is not None for row in rows)


def _row(box: Mailbox, *, today: date, now: datetime, told: bool) -> Notice:
    assert box.expires_on is not None  # of a live box
    kind = rules.due_kind(box.expires_on, today, settings.NOTICE_DAYS)
    assert kind is not None  # or the box would not be due
    state = Notice.State.TOLD if told else Notice.State.NO_ADDRESS
    return Notice(
        box=box, owner_id=box.owner_id, expiry=box.expires_on, kind=kind, state=state, created_at=now,
        told_at=now if told else None,
    )  # fmt: skip


def _open_renewals(boxes: list[Mailbox]) -> dict[int, Order]:
    """The open renewal order of each box that has one. One query."""
    kinds = (Kind.RENEWAL, Kind.DOMAIN_RENEWAL)
    lines = OrderLine.objects.filter(mailbox__in=boxes, kind__in=kinds, is_open=True).select_related("order")
    return {line.mailbox_id: line.order for line in lines if line.mailbox_id is not None}


def _letters(box: Mailbox, order: Order | None, *, today: date) -> list[dict[str, object]]:
    """The mails of one box, in the words of its state today: none when there is no address to write to."""
    assert box.expires_on is not None  # of a live box
    context: dict[str, object] = {
        "box": box,
        "order": order,
        "days": (box.expires_on - today).days,
        "auto_missed": box.auto_renews and order is None,  # on, and no charge comes: whoever relies on it is told
    }
    template = "expiry_before" if box.state(today) is State.ACTIVE else "expiry_after"
    return mail.letters(template, to=_readable(box), context=context)


def _readable(box: Mailbox) -> list[str]:
    """Contacts that are read when the box is not: none on the provider's certified domains or beside the box (R29)."""
    hosts = {*settings.PEC_DOMAINS, box.address.host}
    return [address for address in contacts(box) if address.strip().lower().rpartition("@")[2] not in hosts]
