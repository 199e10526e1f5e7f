"""How full the boxes are, as the mail system says: measured in turns, kept with its time, told when space runs out.

The only writer of SpaceUsed. R7's guards do not read it: they ask the mail system (flows.measured).
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction

from mailboxes import rules
from mailboxes.flows import contacts
from mailboxes.models import Mailbox, SpaceUsed
from mailboxes.models.boxes import Phase
from mailboxes.platform.base import Usage, get_platform
from pecportal import clock, mail

log = logging.getLogger(__name__)
AT_ONCE = 500  # boxes of one claim
ASK_AGAIN_AFTER = timedelta(minutes=10)  # what was claimed and not measured: longer than a task may live
MEASURE_AGAIN_AFTER = timedelta(hours=6)


@dataclass(frozen=True)
class Measured:
    done: int
    failed: int


def follow(boxes: Iterable[Mailbox]) -> None:
    """Measure these from now on, as far as they are alive; those that are followed already stay as they are."""
    now = clock.now()
    rows = [SpaceUsed(box_id=box.pk, next_check_at=now) for box in boxes if box.phase == Phase.LIVE]
    SpaceUsed.objects.bulk_create(rows, ignore_conflicts=True)


def known(boxes: Iterable[Mailbox]) -> dict[str, Usage]:
    """What was last measured, by address; boxes come with `space_used` and `address`. The others are not in it."""
    found = {}
    for box in boxes:
        row = getattr(box, "space_used", None)
        if row is not None and row.measured_at is not None:
            found[box.address.name] = Usage(row.mailbox_bytes, row.archive_bytes, row.measured_at)
    return found


def measure_due(*, seconds: float = 200) -> Measured:
    """Measure the boxes that are due, until none is left or time is over. Safe with several workers, killed anywhere.

    Claimed by moving their next check ahead; no row is locked while the mail system is asked.
    """
    stop_at = time.monotonic() + seconds
    done = failed = 0
    while time.monotonic() < stop_at:
        boxes = _claim_due()
        if boxes is None:
            break
        told = _measure(boxes)
        done, failed = done + told, failed + len(boxes) - told
        if boxes and not told:
            log.error("the mail system does not tell how full the boxes are: they are asked for again later")
            break
    return Measured(done, failed)


def _claim_due() -> list[Mailbox] | None:
    """Living boxes that are due, now ours for a while; None when no row is due. Rows of others are forgotten."""
    now = clock.now()
    with transaction.atomic(durable=True):
        due = SpaceUsed.objects.filter(next_check_at__lte=now).order_by("next_check_at", "box")
        ids = list(due.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:AT_ONCE])
        if not ids:
            return None
        SpaceUsed.objects.filter(pk__in=ids).update(next_check_at=now + ASK_AGAIN_AFTER)
        SpaceUsed.objects.filter(pk__in=ids).exclude(box__phase=Phase.LIVE).delete()
    return list(Mailbox.objects.filter(pk__in=ids, phase=Phase.LIVE).select_related("address", "space_used"))


def _measure(boxes: Sequence[Mailbox]) -> int:
    """Ask for all at once; if that fails, one at a time, so that one box keeps none from being measured."""
    try:
        return _store(boxes, get_platform().usage([box.address.name for box in boxes]))
    except OSError:
        pass
    done = 0
    for n, box in enumerate(boxes):
        try:
            done += _store([box], get_platform().usage([box.address.name]))
        except OSError:
            if not done and n >= 4:
                break  # not one box: the mail system
            log.warning("box %s could not be measured: it is asked for again later", box.pk)
    return done


def _store(boxes: Sequence[Mailbox], found: dict[str, Usage]) -> int:
    now = clock.now()
    rows = []
    for box in boxes:
        used = found.get(box.address.name, Usage(0, 0, None))  # what the mail system does not know is empty
        rows.append(
            SpaceUsed(
                box_id=box.pk, mailbox_bytes=used.mailbox_bytes, archive_bytes=used.archive_bytes,
                measured_at=used.measured_at or now, next_check_at=now + MEASURE_AGAIN_AFTER,
            )
        )  # fmt: skip
    SpaceUsed.objects.bulk_update(rows, ["mailbox_bytes", "archive_bytes", "measured_at", "next_check_at"])
    for box, row in zip(boxes, rows, strict=True):
        _tell_if_full(box, row)
    return len(rows)


def _tell_if_full(box: Mailbox, row: SpaceUsed) -> None:
    """Write to the people of an Attiva box when either space fills up; once, until there is room again."""
    fullest = max(_share(row.mailbox_bytes, box.mailbox_gb), _share(row.archive_bytes, box.archive_gb))
    told = box.space_used.warned_at is not None
    mine = SpaceUsed.objects.filter(pk=box.pk)
    if told and fullest < rules.ROOM_AGAIN:
        mine.update(warned_at=None)
    if told or fullest < rules.FILLING_UP or box.state(clock.today()) is not rules.State.ACTIVE:
        return
    with transaction.atomic(durable=True):
        if mine.filter(warned_at=None).update(warned_at=clock.now()):
            whole = Mailbox.objects.select_related("address", "plan", "holder", "owner", "domain").get(pk=box.pk)
            context = {"box": whole, "used": row, "percent": round(fullest * 100)}
            mail.send("space_filling_up", to=contacts(whole), context=context)


def _share(used: int, gb: int) -> float:
    return used / (gb * rules.GB) if gb else 0.0
