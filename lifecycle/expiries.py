"""Recording expiries: the largest sweep of the product, in one form for both engines (R13, R16, R28).

A batch is one transaction: ids by keyset, locked; the mark and the platform's turn; the events; the numbers. What is
recorded never decides what a page shows, so a late sweep shows nothing false.
"""

from datetime import date

from django.db import connection, transaction
from django.db.models import F, QuerySet

from lifecycle import rules
from lifecycle.work import After, Work, after, shared
from mailboxes.models import BoxEvent, Mailbox
from mailboxes.models.boxes import EXPIRY_NOT_RECORDED, Phase
from mailboxes.tasks import sync_platform
from pecportal import clock

# Written out, because the ids of a batch are 5,000: as parameters, binding them would cost as much as some of the work.
MARK = """
UPDATE mailboxes_mailbox SET expiry_recorded_for = expires_on, platform_due_at = %s WHERE id IN ({ids})
"""
# The day of an event and its words come as rows of ours: engines differ in how they add a day to a date, and write one.
TELL = """
WITH told (expiry, day, detail) AS (VALUES {told})
INSERT INTO mailboxes_boxevent (box_id, day, kind, detail, at)
SELECT box.id, told.day, 'expired', told.detail, %s
FROM mailboxes_mailbox box JOIN told ON told.expiry = box.expires_on
WHERE box.id IN ({ids})
ON CONFLICT (box_id, day) WHERE kind = 'expired' DO NOTHING
"""


def due_expiries(day: date) -> QuerySet[Mailbox]:
    """Live boxes whose last day of service is before `day`, not yet recorded for this expiry (§4)."""
    return Mailbox.objects.filter(EXPIRY_NOT_RECORDED, expires_on__lt=day)


def record_expiries(work: Work) -> None:
    """Record what is due, batch after batch. Raises OutOfTimeError between two batches.

    Boxes that another transaction holds are skipped (PostgreSQL; SQLite has one writer): they are being renewed, or
    another sweep has them, and whatever is still due is found by the next run.
    """
    due = shared(due_expiries(work.run.day), work.share)
    last: After | None = None
    try:
        while rows := _record_next(due, last, work):
            last = rows[-1]
            if len(rows) < work.batch:
                break  # a page that is not full is the last one
            work.check_time()
    finally:
        if last is not None:
            transaction.on_commit(sync_platform.delay, robust=True)  # outside a transaction: now


def forget_after(today: date) -> None:
    """What a wrong clock recorded of days that have not come: those boxes are Attiva, and the mail system hears it."""
    early = Mailbox.objects.filter(phase=Phase.LIVE, expires_on__gte=today, expiry_recorded_for=F("expires_on"))
    with transaction.atomic():
        BoxEvent.objects.filter(box__in=early, kind=BoxEvent.Kind.EXPIRED, day__gt=today).delete()
        early.update(expiry_recorded_for=None, platform_due_at=clock.now())
        transaction.on_commit(sync_platform.delay, robust=True)


def _record_next(due: QuerySet[Mailbox], last: After | None, work: Work) -> list[After]:
    """Record the batch that comes after `last`; returns its rows, none when there is nothing left."""
    rows: list[After] = []
    try:
        with transaction.atomic(durable=True):
            rows = _held(after(due, "expires_on", last)[: work.batch])
            _record(rows, work)
    except Exception as error:  # something in the batch does not go: one at a time, so that one bad box stops no other
        if not rows:
            raise
        work.go_singly("boxes", error)
        for _expiry, box_id in rows:
            try:
                with transaction.atomic(durable=True):
                    _record(_held(due.filter(pk=box_id)), work)
            except Exception as error:  # the bad one: it is met again by the next run
                work.fail("box", box_id, error)
    return rows


def _held(due: QuerySet[Mailbox]) -> list[After]:
    free = due.select_for_update(no_key=True, skip_locked=True)
    return [(expiry, pk) for expiry, pk in free.values_list("expires_on", "pk") if expiry is not None]


def _record(rows: list[After], work: Work) -> None:
    """Mark and tell boxes that are held, inside the caller's transaction."""
    if not rows:
        return
    ids = ", ".join(str(pk) for _expiry, pk in rows)
    told: list[str | None] = []
    for expiry in sorted({expiry for expiry, _pk in rows}):
        day = rules.scaduta_from(expiry)
        told += [*map(connection.ops.adapt_datefield_value, (expiry, day)), expiry.isoformat()]
    values = ", ".join(["(%s, %s, %s)"] * (len(told) // 3))
    now = connection.ops.adapt_datetimefield_value(clock.now())
    with connection.cursor() as cursor:
        cursor.execute(MARK.format(ids=ids), [now])
        # An expiry that a reversal brought back has its event already: it is told once.
        cursor.execute(TELL.format(ids=ids, told=values), [*told, now])
    work.count(done=len(rows))
