"""The stages of the lifecycle: what is due on a day, and how it is done (R28).

Due is always "on or before, and not yet done", so that a missed day is caught up by any later one. Every stage reads in
batches by keyset, never trusts the list it read (lock and look again), and goes on after a box or order that fails.
"""

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from lifecycle import deletion, letters, notices, rules
from lifecycle.models import LifecycleRun, Notice
from mailboxes.flows import Change, start_change
from mailboxes.models import BoxEvent, Mailbox
from mailboxes.models.boxes import EXPIRY_NOT_RECORDED, Phase
from mailboxes.tasks import sync_platform
from payments import cases, scheduled
from payments.models import Allocation, Case, Payment
from pecportal import clock
from pecportal.formats import day as in_words
from renewals import settle
from renewals.models import Order

log = logging.getLogger(__name__)
BATCH = 5000
Stage = LifecycleRun.Stage


class OutOfTimeError(Exception):
    """The time given to this run is over; what is left is done by the next one."""


def trail(error: Exception) -> str:
    """The kind of an error and where it came from, for a log: never its words, which may hold an address (R33)."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return f"{type(error).__name__} at " + " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))


@dataclass
class Work:
    """One claimed run at work: its day, its numbers, and when it has to stop (time.monotonic(), None: never)."""

    run: LifecycleRun
    today: date
    batch: int = BATCH
    stop_at: float | None = None

    def count(self, *, done: int = 0, failed: int = 0) -> None:
        """Add to the numbers in the database: inside the transaction of the work, so that a kill leaves them true."""
        LifecycleRun.objects.filter(pk=self.run.pk).update(done=F("done") + done, failed=F("failed") + failed)

    def fail(self, what: str, pk: int, error: Exception) -> None:
        """Count and log one box or order that failed."""
        log.error("lifecycle %s %s: %s %s: %s", self.run.stage, self.run.day, what, pk, trail(error))
        self.count(failed=1)

    def check_time(self) -> None:
        if self.stop_at is not None and time.monotonic() >= self.stop_at:
            raise OutOfTimeError


def _batches(due: QuerySet, by: str, size: int) -> Iterator[list[int]]:
    """The ids of `due` in batches, by keyset on the date `by` and the id: no offset, no long list, no row twice."""
    after: tuple[date, int] | None = None
    while True:
        page = due
        if after is not None:
            page = due.filter(
                Q(**{f"{by}__gt": after[0]}) | Q(**{by: after[0], "pk__gt": after[1]}), **{f"{by}__gte": after[0]}
            )
        rows = list(page.order_by(by, "pk").values_list(by, "pk")[:size])
        if not rows:
            return
        after = rows[-1]
        yield [pk for _date, pk in rows]


# --- Expiries (R13, R16) ----------------------------------------------------------------------------------------------


def due_expiries(day: date) -> QuerySet[Mailbox]:
    """Live boxes whose last day of service is before `day`, not yet recorded for this expiry (§4)."""
    return Mailbox.objects.filter(EXPIRY_NOT_RECORDED, expires_on__lt=day)


def record_expiries(work: Work) -> None:
    for ids in _batches(due_expiries(work.run.day), "expires_on", work.batch):
        try:
            _record(ids, work)
        except Exception:
            # Something in the batch does not go: one at a time, so that one bad box stops no other.
            for box_id in ids:
                try:
                    _record([box_id], work)
                except Exception as error:
                    work.fail("box", box_id, error)
        work.check_time()


def _record(ids: list[int], work: Work) -> None:
    """Record the expiries of a batch in one transaction: mark and platform's turn, events, numbers.

    Boxes that another transaction holds are skipped (PostgreSQL; SQLite has one writer): they are being renewed, or
    another sweep has them, and whatever is still due is found by the next run.
    """
    with transaction.atomic(durable=True):
        boxes = due_expiries(work.run.day).filter(pk__in=ids).select_for_update(no_key=True, skip_locked=True)
        rows = list(boxes.order_by("pk").values_list("pk", "expires_on"))
        Mailbox.objects.filter(pk__in=[pk for pk, _expiry in rows]).update(
            expiry_recorded_for=F("expires_on"), platform_due_at=clock.now()
        )
        BoxEvent.objects.bulk_create(
            [
                BoxEvent(box_id=pk, day=rules.scaduta_from(expiry), kind=BoxEvent.Kind.EXPIRED, detail=f"{expiry}")
                for pk, expiry in rows
                if expiry is not None
            ],
            ignore_conflicts=True,  # boxevent_expired_once: an expiry that a reversal brought back is told once
            batch_size=1000,
        )
        work.count(done=len(rows))
        if rows:
            transaction.on_commit(sync_platform.delay, robust=True)


# --- Changes of plan and space (R7) -----------------------------------------------------------------------------------


def due_changes(day: date) -> QuerySet[Mailbox]:
    """Live boxes whose smaller plan or space starts on or before `day`."""
    return Mailbox.objects.filter(phase=Phase.LIVE, change_on__lte=day)


def start_changes(work: Work) -> None:
    for ids in _batches(due_changes(work.run.day), "change_on", work.batch):
        for box_id in ids:
            try:
                found = start_change(box_id=box_id, today=work.today)
                if found is Change.REFUSED:
                    _open_case_if_stuck(box_id, work.run.day)
            except Exception as error:
                work.fail("box", box_id, error)
            else:
                work.count(done=int(found is Change.STARTED))
            work.check_time()


def _open_case_if_stuck(box_id: int, day: date) -> None:
    """A change refused for 30 days is a case, once a refusal: closing it does not bring it back tomorrow (R7)."""
    with transaction.atomic(durable=True):
        box = Mailbox.objects.locked().get(pk=box_id)
        if box.change_refused_on is None or not rules.is_stuck(refused_on=box.change_refused_on, day=day):
            return
        last = Case.objects.filter(kind=Case.Kind.DOWNGRADE_STUCK, box=box).order_by("-opened_at").first()
        if last is not None and clock.rome_date(last.opened_at) >= box.change_refused_on:
            return
        cases.open_case(
            Case.Kind.DOWNGRADE_STUCK,
            box=box,
            detail=_("lo spazio usato non entra nella nuova tipologia dal %(day)s: il cliente è stato avvisato")
            % {"day": in_words(box.change_refused_on)},
        )


# --- Orders whose time is over (R12b) ---------------------------------------------------------------------------------


def due_lapses(day: date) -> QuerySet[Order]:
    """Orders that were payable until before `day` and for which no money is on its way.

    Kept open: a live attempt, a declared transfer (R12b), and money already allocated, of which a case is open.
    """
    attempts = Payment.objects.live().filter(order=OuterRef("pk"))
    received = Allocation.objects.filter(order=OuterRef("pk"))
    return Order.objects.filter(
        ~Exists(attempts),
        ~Exists(received),
        status=Order.Status.AWAITING_PAYMENT,
        lapses_on__lt=day,
        transfer_declared_on=None,
    )


def lapse_orders(work: Work) -> None:
    for ids in _batches(due_lapses(work.run.day), "lapses_on", work.batch):
        for order_id in ids:
            try:
                lapsed = _lapse(order_id, work.run.day)
            except Exception as error:
                work.fail("order", order_id, error)
            else:
                work.count(done=int(lapsed))
            work.check_time()


def _lapse(order_id: int, day: date) -> bool:
    """Lock the order and look again: whoever started to pay, or said that they did, meanwhile keeps it."""
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        if not due_lapses(day).filter(pk=order_id).exists():
            return False
        settle.lapse(order, why=_("non pagato entro il %(day)s") % {"day": in_words(order.lapses_on)})
        scheduled.order_moved(order)
    return True


# --- Notices of an expiry, and the letters that tell them (R27) -------------------------------------------------------


def due_notices(day: date) -> QuerySet[Mailbox]:
    """Boxes that are owed a notice today of a point that was due by `day`, not written down yet."""
    return notices.due(day, today=clock.today())


def owe_notices(work: Work) -> None:
    for ids in _batches(due_notices(work.run.day), "expires_on", work.batch):
        _stop_at_midnight(work)
        try:
            _owe(ids, work)
        except Exception:
            for box_id in ids:  # as with the expiries: one bad box stops no other
                try:
                    _owe([box_id], work)
                except Exception as error:
                    work.fail("box", box_id, error)
        work.check_time()


def _owe(ids: list[int], work: Work) -> None:
    with transaction.atomic(durable=True):
        work.count(done=notices.owe(ids, day=work.run.day, today=work.today))


def due_letters(day: date) -> QuerySet[Notice]:
    """Notices that nobody was told of yet, of whatever day: they are told in the words of today."""
    return letters.due()


def send_letters(work: Work) -> None:
    for ids in letters.batches(due_letters(work.run.day), work.batch):
        _stop_at_midnight(work)
        try:
            _tell(ids, work)
        except Exception:
            for account in letters.by_account(ids):  # an account with a bad box loses its list, no other does
                _tell_account(account, work)
        work.check_time()


def _tell_account(ids: list[int], work: Work) -> None:
    try:
        _tell(ids, work)
    except Exception:
        for notice_id in ids:
            try:
                _tell([notice_id], work)
            except Exception as error:
                work.fail("notice", notice_id, error)


def _tell(ids: list[int], work: Work) -> None:
    """Tell a batch in one transaction: letters, mails and numbers are there together, or none of them."""
    with transaction.atomic(durable=True):
        work.count(done=letters.tell(ids, today=work.today))


def _stop_at_midnight(work: Work) -> None:
    """What is written today must be true today: after midnight the next run says it anew."""
    if clock.today() != work.today:
        raise OutOfTimeError


# --- All of them ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageWork:
    """What is due on a day, and what does it."""

    due: Callable[[date], QuerySet]
    work: Callable[[Work], None]


STAGES: dict[Stage, StageWork] = {
    Stage.EXPIRIES: StageWork(due_expiries, record_expiries),
    Stage.CHANGES: StageWork(due_changes, start_changes),
    Stage.LAPSES: StageWork(due_lapses, lapse_orders),
    Stage.NOTICES: StageWork(due_notices, owe_notices),
    Stage.LETTERS: StageWork(due_letters, send_letters),  # after the lapses: no mail names an order that has lapsed
    Stage.DELETIONS: StageWork(deletion.due_on, deletion.delete_boxes),
}
