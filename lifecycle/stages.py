"""The stages of the lifecycle: what is due on a day, and how it is done (R28).

Due is always "on or before, and not yet done", so that a missed day is caught up by any later one. Every stage reads in
batches by keyset, never trusts the list it read (lock and look again), and goes on after a box or order that fails.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from lifecycle import deletion, letters, notices, rules
from lifecycle.expiries import due_expiries, record_expiries
from lifecycle.models import LifecycleRun, Notice
from lifecycle.work import OutOfTimeError, Work, shared
from lifecycle.work import batches as _batches
from mailboxes.flows import Change, start_change
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments import cases, scheduled
from payments.models import Allocation, Case, Payment
from pecportal import clock
from pecportal.formats import day as in_words
from renewals import undoing
from renewals.models import Order

Stage = LifecycleRun.Stage


# --- Changes of plan and space (R7) -----------------------------------------------------------------------------------


def due_changes(day: date) -> QuerySet[Mailbox]:
    """Live boxes whose smaller plan or space starts on or before `day`."""
    return Mailbox.objects.filter(phase=Phase.LIVE, change_on__lte=day)


def start_changes(work: Work) -> None:
    """Those that were never refused come first; those that were are asked about again in what time is left.

    Both in any order, so that boxes of which the mail system says nothing keep no other waiting for ever. A run is out
    of time only while new ones go well: the others would be no further if the next run came at once.
    """
    due = due_changes(work.run.day)
    # Read before the others: what is refused now is not asked about twice.
    refused = list(due.filter(change_refused_on__isnull=False).values_list("pk", flat=True)) if not work.share else []
    well = failed = 0
    for ids in _batches(shared(due.filter(change_refused_on=None), work.share), "change_on", work.batch):
        random.shuffle(ids)
        for box_id in ids:
            if _start_change(box_id, work):
                well += 1
            else:
                failed += 1
            if failed > well and work.out_of_time:
                return
            work.check_time()
    random.shuffle(refused)
    for box_id in refused:
        if work.out_of_time:
            return
        _start_change(box_id, work)


def _start_change(box_id: int, work: Work) -> bool:
    """Whether the mail system and the database said what becomes of it."""
    try:
        found = start_change(box_id=box_id, today=work.today)
        if found is Change.REFUSED:
            _open_case_if_stuck(box_id, work.run.day)
    except Exception as error:  # one bad box stops no other
        work.fail("box", box_id, error)
        return False
    work.count(done=int(found is Change.STARTED))
    return True


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

    Kept open: a live attempt, a declared transfer (R12b), and money that came for it, allocated or to be decided about.
    """
    attempts = Payment.objects.live().filter(order=OuterRef("pk"))
    received = Allocation.objects.filter(order=OuterRef("pk"))
    held = cases.held().filter(order=OuterRef("pk"))
    return Order.objects.filter(
        ~Exists(attempts),
        ~Exists(received),
        ~Exists(held),
        status=Order.Status.AWAITING_PAYMENT,
        lapses_on__lt=day,
        transfer_declared_on=None,
    )


def lapse_orders(work: Work) -> None:
    for ids in _batches(shared(due_lapses(work.run.day), work.share), "lapses_on", work.batch):
        for order_id in ids:
            try:
                lapsed = _lapse(order_id, work.run.day)
            except Exception as error:  # one bad order stops no other
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
        undoing.lapse(order, why=_("non pagato entro il %(day)s") % {"day": in_words(order.lapses_on)})
        scheduled.order_moved(order)
    return True


# --- Notices of an expiry, and the letters that tell them (R27) -------------------------------------------------------


def due_notices(day: date) -> QuerySet[Mailbox]:
    """Boxes that are owed a notice today of a point that was due by `day`, not written down yet.

    Of a day to come, for a look ahead: those that will be owed one then.
    """
    return notices.due(day, today=max(day, clock.today()))


def owe_notices(work: Work) -> None:
    for ids in _batches(shared(due_notices(work.run.day), work.share), "expires_on", work.batch):
        _stop_at_midnight(work)
        try:
            _owe(ids, work)
        except Exception as error:  # as with the expiries: one bad box stops no other
            work.go_singly("boxes", error)
            for box_id in ids:
                try:
                    _owe([box_id], work)
                except Exception as error:  # the bad one
                    work.fail("box", box_id, error)
        work.check_time()


def _owe(ids: list[int], work: Work) -> None:
    with transaction.atomic(durable=True):
        work.count(done=notices.owe(ids, day=work.run.day, today=work.today))


def due_letters(day: date) -> QuerySet[Notice]:
    """Notices that nobody was told of yet, of whatever day: they are told in the words of today."""
    return letters.due()


def send_letters(work: Work) -> None:
    for ids in letters.batches(shared(due_letters(work.run.day), work.share, by="owner_id"), work.batch):
        _stop_at_midnight(work)
        try:
            _tell(ids, work)
        except Exception as error:  # an account with a bad box loses its list, no other does
            work.go_singly("notices", error)
            for account in letters.by_account(ids):
                _tell_account(account, work)
        work.check_time()


def _tell_account(ids: list[int], work: Work) -> None:
    try:
        _tell(ids, work)
    except Exception as error:  # the account with the bad box: each of its other boxes has a letter of its own
        work.go_singly("notices", error)
        for notice_id in ids:
            try:
                _tell([notice_id], work)
            except Exception as error:  # the bad one
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
    """What is due on a day, and what does it. `shareable`: its work keeps to `work.share`, so several workers help."""

    due: Callable[[date], QuerySet]
    work: Callable[[Work], None]
    shareable: bool = False


STAGES: dict[Stage, StageWork] = {
    Stage.EXPIRIES: StageWork(due_expiries, record_expiries, shareable=True),
    Stage.LAPSES: StageWork(due_lapses, lapse_orders, shareable=True),
    Stage.NOTICES: StageWork(due_notices, owe_notices, shareable=True),
    # After the lapses: no mail names an order that has lapsed.
    Stage.LETTERS: StageWork(due_letters, send_letters, shareable=True),
    # These two ask the mail system. While it hangs they use up the time of each run: what needs none comes first, and
    # the changes have half of what is left.
    Stage.CHANGES: StageWork(due_changes, start_changes, shareable=True),
    Stage.DELETIONS: StageWork(deletion.due_on, deletion.delete_boxes),  # one worker, one cap
}
