"""Deleting boxes: the archive goes for ever, so everything is looked at once more under the lock (R29, R30).

Two commits around the purge. `begin` records the point of no return; then the mail system purges, outside any lock;
`finish` records the end. Killed anywhere, the next run goes on from what the database says.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from lifecycle import deletion_facts, deletion_rules, manifest
from lifecycle.deletion_rules import Why
from lifecycle.models import DeletionStop, ManifestLine
from lifecycle.work import ask_for_a_run, half_until
from mailboxes import ending
from mailboxes.flows import contacts
from mailboxes.models import Domain, Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.platform.base import UnknownBoxError, get_platform
from mailboxes.rules import State
from mailboxes.telling import claim_for_purge, give_up_claim
from payments import box_gone, cases, in_flight
from payments.models import Case
from pecportal import clock, mail
from pecportal.formats import day as in_words

if TYPE_CHECKING:
    from lifecycle.stages import Work

log = logging.getLogger(__name__)
MOST_IN_A_ROW = 5  # purges that fail one after the other: the mail system is away, and no more boxes are begun


def due_on(day: date) -> QuerySet[Mailbox]:
    """What the stage has to do on a day. A day that has passed has nothing: it is all in today's, under today's cap."""
    return Mailbox.objects.none() if day < clock.today() else deletion_facts.due(day)


def delete_boxes(work: "Work") -> None:
    """The stage: what was begun is finished, the manifest written, and, unless the cap stops it, worked off."""
    if work.run.day != work.today:
        return
    finish_pending(stop_at=half_until(work.stop_at))  # what hangs leaves time for the day's own
    work.check_time()
    if _is_over(work):
        return
    if manifest.make_manifest(work.today):
        ask_for_a_run()  # the letters of this one are written: the further warnings are told now, not in three hours
    if manifest.is_stopped(work.today):
        return
    in_a_row = 0
    for box_id in _lines(work.today):
        if _is_over(work):
            return
        try:
            if begin(box_id=box_id, today=work.today, on_begun=lambda: work.count(done=1)):
                in_a_row = 0 if purge(box_id) else in_a_row + 1
        except Exception as error:  # one box that does not go stops no other
            work.fail("box", box_id, error)
        if in_a_row >= MOST_IN_A_ROW:
            log.error("deletion: the mail system does not confirm; the rest of %s waits for a later run", work.today)
            return
        work.check_time()
    delete_domains(work)


def _is_over(work: "Work") -> bool:
    """Whether midnight has passed: the new day has a manifest and a cap of its own."""
    return clock.today() != work.today


def _lines(day: date) -> Iterator[int]:
    """The boxes to begin, by keyset; none that came into the manifest after the cap was looked at."""
    after, last = 0, manifest.to_begin(day).order_by("-pk").values_list("pk", flat=True).first()
    while last is not None:
        page = manifest.to_begin(day).filter(pk__gt=after, pk__lte=last).order_by("pk")
        rows = list(page.values_list("pk", "box")[:500])
        if not rows:
            return
        after = rows[-1][0]
        yield from (box_id for _pk, box_id in rows)


# --- First commit -----------------------------------------------------------------------------------------------------


def begin(*, box_id: int, today: date, on_begun: Callable[[], None] | None = None) -> bool:
    """Look at a box of today's manifest under its lock; record DELETING where nothing holds it (R29).

    From here there is no way back: what waits for money lapses, money that comes later is a case (R21). Where something
    has come between, the line says so and the box stays. `on_begun` is called in the transaction. Returns whether the
    deletion has begun now.
    """
    seen = Mailbox.objects.values("domain_id", "login_id").get(pk=box_id)
    whose = {"box_id": box_id, "domain_id": seen["domain_id"]}
    lapsed: list[int] = []
    with transaction.atomic(durable=True):
        held = box_gone.hold(**whose, login_id=seen["login_id"])
        if seen["domain_id"] is not None:
            Domain.objects.select_for_update(no_key=True, of=("self",)).get(pk=seen["domain_id"])
        box = deletion_facts.with_details(Mailbox.objects.locked()).select_related("login").get(pk=box_id)
        line = _line(box_id, today)
        if line is None or DeletionStop.objects.filter(day=today, released_at=None).exists():
            return False
        if (box.domain_id, box.login_id) != (seen["domain_id"], seen["login_id"]) or box_gone.came_meanwhile(
            held, **whose
        ):
            return False  # not what was locked: the next run looks anew
        if _is_held(box, line, today):
            return False
        ending.begin(box, today=today, why=line.get_why_display())
        cases.close_of_box(Case.Kind.DELETION_UNWARNED, box=box, actor=None, resolution=_("cancellata"))
        lapsed = box_gone.end(box=box, held=held, login_id=seen["login_id"])
        line.begun_at = clock.now()
        line.save(update_fields=["begun_at"])
        if on_begun is not None:
            on_begun()
    log.info("deletion of box %s has begun", box_id)
    box_gone.close_attempts(lapsed)
    return True


def _line(box_id: int, today: date) -> ManifestLine | None:
    """The line that lets this box go today: without one nothing is deleted."""
    lines = ManifestLine.objects.select_for_update(no_key=True, of=("self",))
    return lines.filter(day=today, box=box_id, verdict=ManifestLine.Verdict.DELETE, begun_at=None).first()


def _is_held(box: Mailbox, line: ManifestLine, today: date) -> bool:
    """Look again, everything locked: what holds the box now is written on its line."""
    if not deletion_facts.due(today).filter(pk=box.pk).exists():
        line.verdict, line.why, line.detail = ManifestLine.Verdict.HELD, Why.NOT_DUE, ""
    else:
        facts = deletion_facts.of([box])[box.pk]
        now = manifest.line_of(box, facts, deletion_rules.holds(facts, today), day=today)
        line.verdict, line.why, line.detail = now.verdict, now.why, now.detail
    line.save(update_fields=["verdict", "why", "detail"])
    return line.verdict == ManifestLine.Verdict.HELD


# --- Purge, outside any lock, and second commit -----------------------------------------------------------------------


def purge(box_id: int) -> bool:
    """Purge a box whose deletion has begun, and finish once it is confirmed gone. Twice is once.

    False: the mail system is away or has not confirmed, or somebody speaks to it about this box right now; it is asked
    again every quarter of an hour.
    """
    box = Mailbox.objects.filter(pk=box_id, phase=Phase.DELETING).select_related("address").first()
    if box is None:
        return True
    if not claim_for_purge(box_id):
        return False
    gone = False
    try:
        gone = _purge(box.address.name)
    except Exception as error:  # whatever the mail system says, the deletion has begun and only waits for it (R29)
        log.warning("box %s could not be purged (%s); it is tried again", box_id, type(error).__name__)
    finally:
        if not gone:
            give_up_claim(box_id)
    if gone:
        finish(box_id)
    return gone


def _purge(address: str) -> bool:
    """Whether the mail system confirms that all content is gone; what it does not know is gone."""
    platform = get_platform()
    try:
        platform.apply_state(address, State.DELETING)
        return platform.purge(address) is True
    except UnknownBoxError:
        return True


def finish(box_id: int) -> None:
    """Record that a box is gone, and tell its people once (R30)."""
    today = clock.today()
    with transaction.atomic(durable=True):
        box = Mailbox.objects.locked().select_related("address", "holder", "owner", "domain").get(pk=box_id)
        if box.phase != Phase.DELETING:
            return
        ending.finish(box, today=today)
        mail.send("box_deleted", to=contacts(box), context={"box": box, "today": today})
    log.info("box %s is deleted", box_id)


def finish_pending(*, stop_at: float | None = None) -> int:
    """Purge what was begun and is not confirmed, until `stop_at` (time.monotonic()); returns how many are left.

    In any order, so that a box which the mail system chokes on keeps no other waiting for ever.
    """
    ids = list(Mailbox.objects.filter(phase=Phase.DELETING).values_list("pk", flat=True))
    random.shuffle(ids)
    in_a_row, left = 0, len(ids)
    for box_id in ids:
        if in_a_row >= MOST_IN_A_ROW or (stop_at is not None and time.monotonic() >= stop_at):
            break
        try:
            gone = purge(box_id)
        except Exception as error:  # one that the mail system or the database chokes on keeps no other
            log.error("the deletion of box %s could not be finished (%s)", box_id, type(error).__name__)
            gone = False
        left -= gone
        in_a_row = 0 if gone else in_a_row + 1
    return left


# --- Domains ----------------------------------------------------------------------------------------------------------


def delete_domains(work: "Work") -> None:
    """Record as DELETED the domains whose boxes are all gone and whose own day has come (R17)."""
    for domain_id in list(deletion_facts.due_domains(work.today).order_by("pk").values_list("pk", flat=True)):
        try:
            _delete_domain(domain_id, work.today)
        except Exception as error:  # one that does not go keeps no other
            work.fail("domain", domain_id, error)


def _delete_domain(domain_id: int, today: date) -> None:
    """The guards of its boxes, as far as they are the domain's own: its orders, and money on its way to them."""
    whose = {"box_id": None, "domain_id": domain_id}
    with transaction.atomic(durable=True):
        held = box_gone.hold(**whose)
        domain = Domain.objects.select_for_update(no_key=True, of=("self",)).get(pk=domain_id)
        if not deletion_facts.due_domains(today).filter(pk=domain_id).exists():
            return
        if box_gone.came_meanwhile(held, **whose):
            return
        assert domain.delete_from is not None  # of a live domain
        money = in_flight.of_domain(domain)
        in_time = deletion_rules.begun_in_time(tuple(money.begun), domain.delete_from)
        if money.at_work or (in_time and today < deletion_rules.money_hold_until(domain.delete_from)):
            return
        ending.finish_domain(domain)
        why = _("il dominio è stato cancellato il %(day)s") % {"day": in_words(today)}
        lapsed = box_gone.lapse(held, why=why)
    log.info("domain %s is deleted", domain_id)
    box_gone.close_attempts(lapsed)
