"""What R29 looks at, read for many boxes in a fixed number of queries: for the manifest, and again under the lock."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from lifecycle.deletion_rules import Facts
from lifecycle.models import HandRelease, Letter, Notice, StaffHold
from mailboxes import rules as dates
from mailboxes.flows import contacts
from mailboxes.hosting import hosted_among
from mailboxes.models import Domain, Mailbox, PaidPeriod
from mailboxes.models.boxes import Phase
from payments import in_flight
from pecportal import clock

FAILED = (Letter.State.REFUSED, Letter.State.BOUNCED)


def due(day: date) -> QuerySet[Mailbox]:
    """Live boxes that may be deleted from `day` or before, by the date that is shown (R13, R17)."""
    # A box on a domain carries a copy of its domain's date: where the two should disagree, the later one counts.
    own_or_domain = Q(domain=None) | Q(domain__delete_from__lte=day)
    return Mailbox.objects.filter(own_or_domain, phase=Phase.LIVE, delete_from__lte=day)


def with_details(boxes: QuerySet[Mailbox]) -> QuerySet[Mailbox]:
    """What `of` looks at beside the box's own row."""
    return boxes.select_related("address", "domain", "holder", "owner")


def of(boxes: Sequence[Mailbox]) -> dict[int, Facts]:
    """The facts of boxes read `with_details`, by id."""
    ids = [box.pk for box in boxes]
    money = in_flight.of_boxes(boxes)
    paid, reversed_on = _periods(boxes)
    staff = dict(StaffHold.objects.filter(box__in=ids, released_at=None).values_list("box", "why"))
    by_hand = set(HandRelease.objects.filter(box__in=ids).values_list("box", "expiry"))
    warnings = _warnings(ids)
    reachable = {box.pk: {address.strip().lower() for address in contacts(box)} for box in boxes}
    written = {row.to for warning in warnings.values() for row in warning.rows}
    hosted = hosted_among({*written, *(a for found in reachable.values() for a in found)})
    found = {}
    for box in boxes:
        assert box.expires_on is not None and box.delete_from is not None  # of a live box
        mine, target = warnings[box.pk], ("domain", box.domain_id) if box.domain_id else ("box", box.pk)
        # What was said before a renewal that was taken back was said of another deletion.
        since = max(box.expires_on, reversed_on.get(target, box.expires_on))
        failed = mine.failed()
        found[box.pk] = Facts(
            expires_on=box.expires_on,
            delete_from=box.delete_from,
            at_work=tuple(money[box.pk].at_work),
            paid_through=dates.expiry_of(paid[target]),
            money_begun=tuple(money[box.pk].begun),
            held_by_staff=staff.get(box.pk, ""),
            warned_on=mine.accepted(hosted, since=since),
            last_warning_on=mine.last,
            has_address=bool(reachable[box.pk] - hosted - failed),
            released_by_hand=(box.pk, box.expires_on) in by_hand,
        )
    return found


def _periods(
    boxes: Sequence[Mailbox],
) -> tuple[dict[tuple[str, int], list[dates.Term]], dict[tuple[str, int], date]]:
    """What was paid for of each box or its domain, and the last day on which some of it was taken back."""
    domains = {box.domain_id for box in boxes if box.domain_id}
    rows = PaidPeriod.objects.filter(Q(box__in=[box.pk for box in boxes]) | Q(domain__in=domains), reverses=None)
    paid: dict[tuple[str, int], list[dates.Term]] = defaultdict(list)
    taken_back: dict[tuple[str, int], date] = {}
    for box_id, domain_id, starts, ends, gone in rows.values_list("box", "domain", "starts", "ends", "reversed_on"):
        target = ("box", box_id) if box_id else ("domain", domain_id)
        paid[target].append(dates.Term(starts, ends, gone))
        if gone is not None:
            taken_back[target] = max(gone, taken_back.get(target, gone))
    return paid, taken_back


@dataclass(frozen=True)
class _Letter:
    notice: int
    letter: int
    to: str
    state: str
    on: date | None


@dataclass
class _Warnings:
    """The warnings of one box after its present expiry, and the letters that told them."""

    last: date | None = None
    rows: list[_Letter] = field(default_factory=list)

    def accepted(self, hosted: set[str], *, since: date) -> tuple[date, ...]:
        """For each warning the first day on which a letter of it was accepted, after `since`, for a foreign address.

        A day once: what arrives on one day, be it one letter that tells two warnings, is one warning to who reads it.
        """
        days: dict[int, date] = {}
        for row in self.rows:
            if row.state == Letter.State.ACCEPTED and row.on is not None and row.on > since and row.to not in hosted:
                days[row.notice] = min(row.on, days.get(row.notice, row.on))
        return tuple(sorted(set(days.values())))

    def failed(self) -> set[str]:
        """Addresses whose last letter was refused or came back."""
        last: dict[str, _Letter] = {}
        for row in self.rows:
            if row.to not in last or row.letter > last[row.to].letter:
                last[row.to] = row
        return {to for to, row in last.items() if row.state in FAILED}


def _warnings(ids: Sequence[int]) -> dict[int, _Warnings]:
    found: dict[int, _Warnings] = defaultdict(_Warnings)
    notices = Notice.objects.filter(box__in=ids, kind__gt=0, expiry=F("box__expires_on"))
    for box_id, notice, kind, state, expiry, letter, to, letter_state, at in notices.values_list(
        "box", "pk", "kind", "state", "expiry", "letters", "letters__to", "letters__state", "letters__settled_at"
    ):
        mine, day = found[box_id], date.fromordinal(expiry.toordinal() + kind)
        mine.last = day if mine.last is None else max(day, mine.last)
        if letter is not None and state == Notice.State.TOLD:
            mine.rows.append(
                _Letter(notice, letter, to.strip().lower(), letter_state, clock.rome_date(at) if at else None)
            )
    return found


def due_domains(day: date) -> QuerySet[Domain]:
    """Live domains past their own deletion day whose boxes are all gone (R17).

    One that never had a box is left alone: its customer was never warned of anything.
    """
    boxes = Mailbox.objects.filter(domain=OuterRef("pk"))
    return Domain.objects.filter(
        Exists(boxes), ~Exists(boxes.exclude(phase=Phase.DELETED)), phase=Phase.LIVE, delete_from__lte=day
    )
