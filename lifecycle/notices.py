"""Notices of an expiry: who is owed one on a day, and writing down that they are (R27).

Only the latest due point of the calendar is owed, in the words of the day on which it is told: after an outage one mail
with the truth, not five. A notice is written here before anything is sent; lifecycle.letters tells it.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, SmallIntegerField, Value, When

from lifecycle import rules
from lifecycle.models import Letter, Notice
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from pecportal import clock
from renewals.models import Kind, OrderLine

LATE_AFTER = timedelta(hours=1)  # a letter that the relay has not taken by then is late
LOST_WITHIN = timedelta(days=1)


def wanted(today: date, *, day: date) -> QuerySet[Mailbox]:
    """Live boxes that have a point to be told of on `today`, due by `day`, told or not; annotated with it: `due_kind`.

    Not those that will renew by themselves, by the rule of the screens that promise these notices (R4): a charge still
    comes for this expiry, and no renewal order is open. Nor those that may be deleted already.
    """
    windows = rules.windows(today, settings.NOTICE_DAYS, day=day)
    points = [When(expires_on__gte=w.first, expires_on__lte=w.last, then=Value(w.kind)) for w in windows]
    boxes = Mailbox.objects.annotate(due_kind=Case(*points, output_field=SmallIntegerField()))
    if not windows:
        return boxes.none()
    ordered = OrderLine.objects.filter(mailbox=OuterRef("pk"), kind=Kind.RENEWAL, is_open=True)
    return boxes.filter(
        Q(auto_renews=False) | Q(auto_over_for=F("expires_on")) | Q(expires_on__lt=today) | Exists(ordered),
        phase=Phase.LIVE,
        expires_on__gte=min(w.first for w in windows),
        expires_on__lte=max(w.last for w in windows),
        due_kind__isnull=False,
        delete_from__gt=today,
    )


def due(day: date, *, today: date) -> QuerySet[Mailbox]:
    """Those of `wanted` whose point is not written down yet, or was put aside and is owed after all.

    Put aside (moot) is what nobody was told: a box that renewed by itself when its letter was to be written, and that
    does so no more; an expiry that a reversal brought back.
    """
    written = Notice.objects.filter(box=OuterRef("pk"), expiry=OuterRef("expires_on"), kind=OuterRef("due_kind"))
    return wanted(today, day=day).filter(~Exists(written.exclude(state=Notice.State.MOOT)))


def owe(ids: list[int], *, day: date, today: date) -> int:
    """Write down what is owed to a batch of boxes, inside the caller's transaction; returns how many notices.

    One INSERT … SELECT. Who else writes the same ones meanwhile wins: `notice_told_once` lets the second do nothing.
    Earlier points of the same expiry that are not told to the end are put aside: the later one says all.
    """
    owed: QuerySet[Any] = due(day, today=today).filter(pk__in=ids)
    chosen = owed.values_list("pk", "owner_id", "expires_on", "due_kind")
    if chosen.query.is_empty():
        return 0
    select, parameters = chosen.query.sql_with_params()
    table = connection.ops.quote_name(Notice._meta.db_table)
    now = connection.ops.adapt_datetimefield_value(clock.now())
    # Nothing of a person's in it: the inner statement is the query above, its parameters stay parameters.
    insert = (
        f"INSERT INTO {table} (box_id, owner_id, expiry, kind, state, created_at) "  # noqa: S608
        f"SELECT owed.*, %s, %s FROM ({select}) AS owed WHERE true "
        "ON CONFLICT (box_id, expiry, kind) DO UPDATE SET state = excluded.state, created_at = excluded.created_at, "
        f"owner_id = excluded.owner_id WHERE {table}.state = %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(insert, [Notice.State.DUE.value, now, *parameters, Notice.State.MOOT.value])
        written = cursor.rowcount
    _put_aside(ids)
    return written


def _put_aside(ids: list[int]) -> None:
    """Of one that a letter was taken back of, another address may have had its own: it stays told (R29)."""
    late = outdated().filter(box__in=ids, state=Notice.State.DUE)
    heard = Notice.letters.through.objects.filter(notice=OuterRef("pk")).exclude(letter__state=Letter.State.REPLACED)
    late.filter(Exists(heard)).update(state=Notice.State.TOLD, told_at=clock.now())
    late.update(state=Notice.State.MOOT)


def outdated() -> QuerySet[Notice]:
    """Notices after which a later one of the same expiry was written: that one says all, in one letter (R27)."""
    later = Notice.objects.filter(box=OuterRef("box"), expiry=OuterRef("expiry"), kind__gt=OuterRef("kind"))
    return Notice.objects.filter(Exists(later.exclude(state=Notice.State.MOOT)))


def put_aside_by(owed: QuerySet[Any]) -> QuerySet[Notice]:
    """Notices nobody was told of that `owe` will put aside once it has written those of `owed`."""
    later = owed.filter(pk=OuterRef("box"), expires_on=OuterRef("expiry"), due_kind__gt=OuterRef("kind"))
    return Notice.objects.filter(Exists(later), state=Notice.State.DUE)


@dataclass(frozen=True)
class Unsent:
    """What was owed and has not arrived as far as this side can know."""

    due: int  # notices nobody was told of yet
    waiting: int  # letters that the relay has not taken for more than an hour
    refused: int  # letters refused or returned within a day


def unsent() -> Unsent:
    """Counted on small indexes, for metrics and alarms (R27)."""
    now = clock.now()
    return Unsent(
        due=Notice.objects.filter(state=Notice.State.DUE).count(),
        waiting=Letter.objects.filter(
            state__in=Letter.WAITING, queued_at__lt=now - LATE_AFTER, delayed_at=None
        ).count(),
        refused=Letter.objects.filter(state__in=Letter.LOST, settled_at__gte=now - LOST_WITHIN).count(),
    )
