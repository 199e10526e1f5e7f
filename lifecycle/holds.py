"""What people decide about deletions: a box is held, a box that could not be warned goes, a stopped day goes on (R29).

The only writer of StaffHold, HandRelease and, with manifest.py, of DeletionStop.
"""

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from lifecycle import deletion_facts, deletion_rules
from lifecycle.models import DeletionStop, HandRelease, StaffHold
from lifecycle.work import ask_for_a_run
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments import cases
from payments.models import Case
from pecportal import clock
from pecportal.errors import RefusedError


def _reason(why: str) -> str:
    why = " ".join(why.split())
    if not why:
        raise RefusedError(_("Scrivi il motivo."))
    return why[:200]


def place_hold(*, box_id: int, actor: User, why: str) -> StaffHold:
    """Keep a box from deletion until somebody lifts the hold. Also ahead of its day.

    Under the box's lock, so that it either comes before the point of no return or is refused. Raises RefusedError: no
    reason, held already, deletion begun; not active yet: one that never will be is taken away, and no row may name it.
    """
    why = _reason(why)
    with transaction.atomic(durable=True):
        box = Mailbox.objects.locked().get(pk=box_id)
        if box.phase in (Phase.DELETING, Phase.DELETED):
            raise RefusedError(_("La cancellazione è già cominciata: non si può più fermare."))
        if box.phase != Phase.LIVE:
            raise RefusedError(_("La casella non è ancora attiva: non c'è niente da fermare."))
        try:
            with transaction.atomic():
                return StaffHold.objects.create(box=box, why=why, placed_by=actor, placed_at=clock.now())
        except IntegrityError as error:  # hold_one_open_per_box
            raise RefusedError(_("La casella ha già un blocco della cancellazione.")) from error


def lift_hold(*, box_id: int, actor: User) -> None:
    """Lift the hold of a box: from now on only the other rules keep it. Raises RefusedError when there is none."""
    lifted = StaffHold.objects.filter(box=box_id, released_at=None).update(released_at=clock.now(), released_by=actor)
    if not lifted:
        raise RefusedError(_("La casella non ha un blocco della cancellazione."))


def refusal_to_release(box: Mailbox) -> str:
    """Why a box cannot be let go by hand today, in a sentence, or "" (R29). `box` read with its details."""
    today = clock.today()
    if not deletion_facts.due(today).filter(pk=box.pk).exists():
        return _("La casella non è tra quelle da cancellare.")
    facts = deletion_facts.of([box])[box.pk]
    if facts.released_by_hand:
        return _("La cancellazione di questa casella è già stata decisa.")
    if not deletion_rules.wants_person(facts, deletion_rules.holds(facts, today), today):
        return _("La casella non è ferma per mancanza di avvisi: non c'è niente da decidere a mano.")
    return ""


def release_by_hand(*, box_id: int, actor: User, why: str) -> HandRelease:
    """Let a box go that could not be warned: the next manifest deletes it, unless something else holds it (R29).

    Its case is closed with the reason. Raises RefusedError: no reason, or the box is not one that waits for a person.
    """
    why = _reason(why)
    with transaction.atomic(durable=True):
        boxes = deletion_facts.with_details(Mailbox.objects.locked())
        box = boxes.get(pk=box_id)
        if refusal := refusal_to_release(box):
            raise RefusedError(refusal)
        assert box.expires_on is not None  # of a live box
        cases.close_of_box(Case.Kind.DELETION_UNWARNED, box=box, actor=actor, resolution=why)
        return HandRelease.objects.create(
            box=box, expiry=box.expires_on, why=why, released_by=actor, released_at=clock.now()
        )


def _stop(stop_id: int) -> DeletionStop:
    """The stop, locked, if it is the one of today: an older manifest says nothing of the boxes as they are now."""
    stop = DeletionStop.objects.select_for_update(no_key=True, of=("self",)).get(pk=stop_id)
    if stop.day != clock.today() or DeletionStop.objects.filter(day__gt=stop.day).exists():
        raise RefusedError(_("È di un giorno passato: si sblocca solo il registro di oggi."))
    if stop.released_at is not None:
        raise RefusedError(_("È già sbloccata."))
    return stop


def ask_release(*, stop_id: int, actor: User, why: str) -> None:
    """Ask that a stopped day goes on: the first of the two people (R29). Raises RefusedError."""
    why = _reason(why)
    with transaction.atomic(durable=True):
        stop = _stop(stop_id)
        if stop.asked_by_id is not None:
            raise RefusedError(_("Lo sblocco è già stato chiesto: ora lo dà un'altra persona."))
        stop.asked_by, stop.asked_at, stop.asked_why = actor, clock.now(), why
        stop.save(update_fields=["asked_by", "asked_at", "asked_why"])


def release_stop(*, stop_id: int, actor: User) -> None:
    """Let the lines of a stopped day go: the second person, never the one who asked (R29). Raises RefusedError."""
    with transaction.atomic(durable=True):
        stop = _stop(stop_id)
        if stop.asked_by_id is None:
            raise RefusedError(_("Prima qualcuno deve chiedere lo sblocco e dire perché."))
        if stop.asked_by_id == actor.pk:
            raise RefusedError(_("Lo sblocco l'hai chiesto tu: lo deve dare un'altra persona."))
        stop.released_by, stop.released_at = actor, clock.now()
        stop.save(update_fields=["released_by", "released_at"])
        ask_for_a_run()
