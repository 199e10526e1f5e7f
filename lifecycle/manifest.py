"""The manifest of a day: how many boxes are to be deleted, which, and why; and the cap that stops a run (R29).

With deletion.py the only writer of ManifestLine; the only writer of DeletionStop.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from lifecycle import deletion_facts, deletion_rules
from lifecycle.deletion_rules import Facts, Why
from lifecycle.models import DeletionStop, ManifestLine, Notice
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments import cases
from payments.models import Case
from pecportal import clock
from pecportal.formats import day as in_words

log = logging.getLogger(__name__)
BATCH = 1000
Verdict = ManifestLine.Verdict


def batches(due: QuerySet[Mailbox], size: int = BATCH) -> Iterator[list[int]]:
    """Ids of boxes past their deletion day in batches, by keyset: boxes that are held stay due, and come once."""
    after: tuple[date | None, int] | None = None
    while True:
        page = due
        if after is not None:
            later = Q(delete_from__gt=after[0]) | Q(delete_from=after[0], pk__gt=after[1])
            page = due.filter(later, delete_from__gte=after[0])
        rows = list(page.order_by("delete_from", "pk").values_list("delete_from", "pk")[:size])
        if not rows:
            return
        after = rows[-1]
        yield [pk for _day, pk in rows]


# --- What is in it ----------------------------------------------------------------------------------------------------


def make_manifest(day: date) -> int:
    """Write a line for every box that is due on `day`, today, and see to those that were not warned (R29).

    Returns how many further warnings are now owed.

    Again on the same day: lines not begun are written anew. Once the cap has stopped the day its lines stay as they
    are: what somebody releases is what somebody read. Boxes in other hands get their line at the next run.
    """
    if DeletionStop.objects.filter(day=day).exists():
        return 0
    owed = 0
    for ids in batches(deletion_facts.due(day)):
        with transaction.atomic(durable=True):
            boxes = list(
                deletion_facts.with_details(deletion_facts.due(day).filter(pk__in=ids))
                .select_for_update(no_key=True, skip_locked=True, of=("self",))
                .order_by("pk")
            )
            owed += _write(boxes, deletion_facts.of(boxes), day)
    return owed


def _write(boxes: Sequence[Mailbox], facts: Mapping[int, Facts], day: date) -> int:
    lines, warnings, undecided = [], [], {}
    for box in boxes:
        mine = facts[box.pk]
        found = deletion_rules.holds(mine, day)
        lines.append(line_of(box, mine, found, day=day))
        if deletion_rules.wants_warning(mine, found, day):
            kind = (day - mine.expires_on).days
            warnings.append(
                Notice(box=box, owner_id=box.owner_id, expiry=mine.expires_on, kind=kind, created_at=clock.now())
            )
        if deletion_rules.wants_person(mine, found, day):
            undecided[box] = mine
    ManifestLine.objects.bulk_create(
        lines, update_conflicts=True, unique_fields=["day", "box"], update_fields=["verdict", "why", "detail"]
    )
    Notice.objects.bulk_create(warnings, ignore_conflicts=True)
    _open_cases(undecided)
    return len(warnings)


def line_of(box: Mailbox, facts: Facts, found: Sequence[Why], *, day: date) -> ManifestLine:
    """The line of a box as things stand, not yet saved."""
    return ManifestLine(
        day=day,
        box=box,
        verdict=Verdict.HELD if found else Verdict.DELETE,
        why=found[0] if found else deletion_rules.reason_to_delete(facts),
        detail=_detail(facts, found)[:200],
    )


def _detail(facts: Facts, found: Sequence[Why]) -> str:
    """What staff want to know beside each reason, in the order of the reasons."""
    if not found:
        days = ", ".join(in_words(day) for day in facts.warned_on)
        return _("avvisi accettati: %(days)s") % {"days": days} if days else ""
    paid = ", ".join(facts.at_work) or _("pagata fino al %(day)s") % {"day": in_words(facts.paid_through)}
    lacking = _("avvisi accettati: %(number)s") % {"number": len(facts.warned_on)}
    begun = min(facts.money_begun, default=None)
    until = deletion_rules.money_hold_until(facts.delete_from)
    words = {
        Why.MONEY_PAID: paid,
        Why.MONEY_ON_ITS_WAY: _("partito il %(begun)s, trattiene fino al %(until)s")
        % {"begun": in_words(begun), "until": in_words(until)},
        Why.STAFF_HOLD: facts.held_by_staff,
        Why.NOT_WARNED: lacking,
        Why.NO_ADDRESS: lacking,
    }
    return "; ".join(words[why] for why in found)


def _open_cases(undecided: Mapping[Mailbox, Facts]) -> None:
    """A case a box that could not be warned: once an expiry, so that closing it does not bring it back tomorrow."""
    if not undecided:
        return
    kind = Case.Kind.DELETION_UNWARNED
    known = set()
    for box_id, at in Case.objects.filter(kind=kind, box__in=undecided).values_list("box", "opened_at"):
        known.add((box_id, clock.rome_date(at)))
    fresh = {
        box: facts
        for box, facts in undecided.items()
        if not any(box_id == box.pk and day >= facts.delete_from for box_id, day in known)
    }
    cases.open_for_boxes(
        kind,
        details={
            box: _("si cancella dal %(day)s, ma ha %(number)s avvisi accettati su %(needed)s%(address)s: decidi")
            % {
                "day": in_words(facts.delete_from), "number": len(facts.warned_on),
                "needed": deletion_rules.WARNINGS_NEEDED,
                "address": "" if facts.has_address else _(" e nessun indirizzo che funzioni"),
            }
            for box, facts in fresh.items()
        },
    )  # fmt: skip


# --- The cap ----------------------------------------------------------------------------------------------------------


def is_stopped(day: date) -> bool:
    """Whether the cap keeps this day's run from deleting (R29); stops it when it comes to that.

    What was begun on this day already counts: a second run has no allowance of its own. A stop that was released lets
    exactly the lines of its day go.
    """
    stop = DeletionStop.objects.filter(day=day).first()
    if stop is not None:
        return stop.released_at is None
    over = _over_cap(day, to_begin(day).count())
    if over is None:
        return False
    total, living = over
    DeletionStop.objects.get_or_create(
        day=day, defaults={"boxes": total, "of_boxes": living, "stopped_at": clock.now()}
    )
    log.error("deletion of %s stopped by the cap: %s of %s boxes; nothing more is deleted", day, total, living)
    return True


def _over_cap(day: date, more: int) -> tuple[int, int] | None:
    """How many boxes of how many the day deletes with `more` of them, where that is above the cap; else None."""
    begun = ManifestLine.objects.filter(day=day, verdict=Verdict.DELETE).exclude(begun_at=None).count()
    total = begun + more
    if not more or total <= settings.DELETION_CAP_COUNT:
        return None
    living = Mailbox.objects.filter(phase=Phase.LIVE).count() + begun
    limits = {"most": settings.DELETION_CAP_COUNT, "percent": settings.DELETION_CAP_PERCENT}
    return (total, living) if deletion_rules.is_over_cap(total, of=living, **limits) else None


def to_begin(day: date) -> QuerySet[ManifestLine]:
    """The lines of a day that are to be deleted and are not begun."""
    return ManifestLine.objects.filter(day=day, verdict=Verdict.DELETE, begun_at=None)


def forget_after(day: date) -> None:
    """What a wrong clock wrote of days that have not come. Lines of boxes that were begun stay: they say why."""
    DeletionStop.objects.filter(day__gt=day, released_at=None).delete()
    ManifestLine.objects.filter(day__gt=day, begun_at=None).delete()


# --- Looked at, nothing written ---------------------------------------------------------------------------------------


@dataclass
class Preview:
    """What deletion would do on a day: how many boxes go, how many are held for which reason first, some public ids.

    `stop`: the cap would stop it, or has stopped it, and none goes.
    """

    deleted: int = 0
    held: Counter[Why] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)
    stop: DeletionStop | None = None


def preview(day: date, *, listed: int) -> Preview:
    """The manifest of a day as the boxes are now, written nowhere; `listed`: how many public ids are given."""
    found = Preview()
    for ids in batches(deletion_facts.due(day)):
        boxes = list(deletion_facts.with_details(Mailbox.objects.filter(pk__in=ids)).order_by("delete_from", "pk"))
        facts = deletion_facts.of(boxes)
        for box in boxes:
            reasons = deletion_rules.holds(facts[box.pk], day)
            if reasons:
                found.held[reasons[0]] += 1
                continue
            found.deleted += 1
            if len(found.first) < listed:
                found.first.append(str(box.public_id))
    found.stop = DeletionStop.objects.filter(day=day).first()
    if found.stop is None and (over := _over_cap(day, found.deleted)):
        found.stop = DeletionStop(day=day, boxes=over[0], of_boxes=over[1])
    return found
