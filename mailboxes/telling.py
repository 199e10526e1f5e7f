"""Telling the mail system what changed: boxes carry a mark (`platform_due_at`) until it knows."""

import logging
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from mailboxes import measuring
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.platform.base import get_platform
from pecportal import clock

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Told:
    done: int
    failed: int


TOLD_AT_ONCE = 500  # boxes of one claim
TELL_AGAIN_AFTER = timedelta(minutes=5)  # longer than a task may live (CELERY_TASK_TIME_LIMIT)


def tell_platform(*, limit: int | None = None, seconds: float = 200) -> Told:
    """Tell the mail system the state and space of the boxes that are due, until none is left or time is over.

    Safe with several workers and killed anywhere: boxes are claimed by moving their mark ahead, so what fails or is
    left by a kill is due again in five minutes, and no row is locked while the mail system is asked.
    """
    stop_at = time.monotonic() + seconds
    done = failed = 0
    while limit is None or done + failed < limit:
        boxes, claim = _claim_due(TOLD_AT_ONCE if limit is None else min(TOLD_AT_ONCE, limit - done - failed))
        measuring.follow(boxes)
        for n, box in enumerate(boxes):
            if time.monotonic() >= stop_at:
                rest = Mailbox.objects.filter(pk__in=[b.pk for b in boxes[n:]], platform_due_at=claim)
                rest.update(platform_due_at=clock.now())
                return Told(done, failed)
            try:
                _tell(box, claim)
            except Exception:  # one box that cannot be told keeps none waiting
                failed += 1
                log.exception("the mail system could not be told about box %s; it is told again later", box.pk)
            else:
                done += 1
        if not boxes:
            break
    return Told(done, failed)


def _claim_due(size: int) -> tuple[list[Mailbox], datetime]:
    """Boxes whose state and space are due. One In attivazione has neither yet: renewals.activation asks for it."""
    return claim_due(Mailbox.objects.exclude(phase=Phase.ACTIVATING), size)


def claim_due(among: QuerySet[Mailbox], size: int) -> tuple[list[Mailbox], datetime]:
    """Up to `size` boxes of `among` that are due, as they stand now, and the mark that says that they are ours."""
    now = clock.now()
    claim = now + TELL_AGAIN_AFTER + timedelta(microseconds=secrets.randbelow(1_000_000))  # no two claims are equal
    with transaction.atomic(durable=True):
        due = among.filter(platform_due_at__lte=now).order_by("platform_due_at", "pk")
        locked = due.select_for_update(no_key=True, skip_locked=True, of=("self",)).select_related("address")
        boxes = list(locked[:size])
        Mailbox.objects.filter(pk__in=[box.pk for box in boxes]).update(platform_due_at=claim)
    return boxes, claim


def claim_for_purge(box_id: int) -> bool:
    """Take the right to speak to the mail system about a box whose deletion has begun, for as long as a task lives.

    False while somebody else has it: nobody tells of a box while it is purged, nor purges it twice at once, so that no
    late purge meets a new life of the address.
    """
    now = clock.now()
    free = Mailbox.objects.filter(Q(platform_due_at=None) | Q(platform_due_at__lte=now), phase=Phase.DELETING)
    return bool(free.filter(pk=box_id).update(platform_due_at=now + TELL_AGAIN_AFTER))


def give_up_claim(box_id: int) -> None:
    """The purge did not succeed: whoever comes may try again at once."""
    Mailbox.objects.filter(pk=box_id, phase=Phase.DELETING).update(platform_due_at=None)


def _tell(box: Mailbox, claim: datetime) -> None:
    platform = get_platform()
    # Of a box whose deletion has begun only the state is told, and of one that is gone nothing: its space would make
    # the mail system know it again, and its address may have a new life.
    if box.phase not in (Phase.DELETING, Phase.DELETED):
        platform.set_capacity(box.address.name, mailbox_gb=box.mailbox_gb, archive_gb=box.archive_gb)
    if box.phase != Phase.DELETED:
        platform.apply_state(box.address.name, box.state(clock.today()))
    if not Mailbox.objects.filter(pk=box.pk, platform_due_at=claim).update(platform_due_at=None):
        # It changed meanwhile, and another worker may have told that before us: what we said is not the last word.
        Mailbox.objects.filter(pk=box.pk).exclude(phase=Phase.DELETED).update(platform_due_at=clock.now())
        lives = Mailbox.objects.filter(address=box.address_id).exclude(phase=Phase.DELETED)
        if not lives.exists():
            platform.purge(box.address.name)  # it was purged while we spoke: what we told made it known again, empty
