"""What is wrong now, for ops: raised once, told once by mail and in the log, cleared when it is over (R28).

The only writer of Alarm. Looks at what the runs left in the database, every five minutes; what one alarm says already,
no other says again. When no worker lives this does not run either: `/metrics` has the age of the last runs for that.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext, gettext_lazy

from lifecycle import clockcheck, rules
from lifecycle.models import Alarm, DeletionStop, Letter, LifecycleRun, Notice
from lifecycle.stages import STAGES
from mailboxes.models import BoxEvent, Mailbox
from mailboxes.models.boxes import Phase
from payments import charging
from payments.invoicing import watching
from payments.models import AutoRenewal
from pecportal import clock, mail

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

log = logging.getLogger(__name__)
CLOCK, LATE, INTERRUPTED, FAILED = "clock", "late", "interrupted", "failed"
DELETION_STOP, PURGE, LETTERS, NOTICES = "deletion_stop", "purge", "letters", "notices"
CHARGES, INVOICES, UNDECIDED, SDI, BLIND = "charges", "invoices", "undecided", "sdi", "blind"
DONE_BY = time(1, 15)  # of Rome: the run of the day begins at 00:05 and should be over by one
NOT_TAKEN_UP = rules.STALE_AFTER + timedelta(minutes=10)  # a worker looks every five minutes for what was interrupted
WAITS_TOO_LONG = timedelta(hours=1)
CHARGES_LATE = timedelta(days=2)

# What each says, and what to do: docs/operations.md has more words for the same.
WORDS: "dict[str, tuple[StrOrPromise, StrOrPromise]]" = {
    CLOCK: (
        gettext_lazy("L'orologio è sbagliato: i giri giornalieri sono fermi"),
        gettext_lazy("Regola l'orologio che sbaglia. I giri riprendono da soli e recuperano i giorni mancati."),
    ),
    LATE: (
        gettext_lazy("Il giro giornaliero è in ritardo"),
        gettext_lazy("Controlla che worker e beat siano attivi e che il lavoro non sia spento nell'orario."),
    ),
    INTERRUPTED: (
        gettext_lazy("Un giro interrotto non è stato ripreso"),
        gettext_lazy("Controlla il worker e il suo registro, poi avvia «manage.py lifecycle»: riprende da dove era."),
    ),
    FAILED: (
        gettext_lazy("Un giro giornaliero ha errori"),
        gettext_lazy("Il registro del worker dice quali caselle o ordini. Il giro successivo li riprova."),
    ),
    DELETION_STOP: (
        gettext_lazy("Le cancellazioni sono ferme: superano il limite"),
        gettext_lazy("Guarda il registro delle cancellazioni. Una persona chiede lo sblocco, un'altra lo concede."),
    ),
    PURGE: (
        gettext_lazy("Caselle in cancellazione da più di un'ora"),
        gettext_lazy("La piattaforma di posta non conferma. Il lavoro riprova da solo: controlla la piattaforma."),
    ),
    LETTERS: (
        gettext_lazy("Avvisi in coda da più di un'ora"),
        gettext_lazy("Controlla il relay e la posta in uscita: senza avvisi accettati nessuna casella si cancella."),
    ),
    NOTICES: (
        gettext_lazy("Avvisi dovuti e non inviati da più di un'ora"),
        gettext_lazy("Controlla il worker e il giro degli avvisi nei giri giornalieri."),
    ),
    CHARGES: (
        gettext_lazy("Rinnovi automatici da annunciare o addebitare da due giorni"),
        gettext_lazy("Controlla che worker e beat siano attivi e che il lavoro non sia spento nell'orario."),
    ),
    INVOICES: (
        gettext_lazy("Fatture da inviare a SdI entro due giorni, o già in ritardo"),
        gettext_lazy("Apri le fatture da completare, da firmare, da inviare o scartate: la più urgente è la prima."),
    ),
    UNDECIDED: (
        gettext_lazy("Ordini pagati da dieci giorni e ancora da decidere"),
        gettext_lazy("Decidi gli ordini da verificare: la fattura è dovuta entro dodici giorni dal pagamento."),
    ),
    SDI: (
        gettext_lazy("Invii a SdI da verificare"),
        gettext_lazy(
            "Guarda gli invii senza esito certo o senza risposta, quelli che non partono e le ricevute "
            "non riconosciute."
        ),
    ),
    BLIND: (
        gettext_lazy("Un controllo degli allarmi non riesce"),
        gettext_lazy("Il registro del worker dice perché. Fino ad allora nessun allarme si dichiara finito."),
    ),
}


def words(alarm: Alarm) -> tuple[str, str]:
    """What an alarm says, and what to do about it."""
    kind, _colon, stage = alarm.key.partition(":")
    what, to_do = WORDS.get(kind, (alarm.key, ""))
    return f"{what} ({LifecycleRun.Stage(stage).label})" if stage else str(what), str(to_do)


def watch() -> None:
    """Raise what is wrong and was not, clear what was and is no more."""
    now = clock.now()
    wrong: dict[str, str] = {}
    for look in (_runs, _waiting, _invoices):
        try:
            wrong |= dict(look(now))
        except Exception:  # what the others see must be told all the same
            log.exception("alarms: %s failed", look.__name__)
            wrong[BLIND] = look.__name__.strip("_")
    for key, detail in wrong.items():
        raise_one(key, detail)
    if BLIND in wrong or CLOCK in wrong:
        return  # what was not looked at, or at a wrong hour, is not known to be over
    for key in Alarm.objects.filter(cleared_at=None).exclude(key__in=wrong).values_list("key", flat=True):
        clear(key)


def raise_one(key: str, detail: str) -> None:
    """Raise an alarm and tell it; when it is on already, only its detail follows. `detail` holds no personal data."""
    now = clock.now()
    with transaction.atomic():
        alarm, new = Alarm.objects.get_or_create(
            key=key,
            cleared_at=None,
            defaults={"detail": detail[:300], "raised_at": now, "told_at": now if settings.OPS_EMAIL else None},
        )
        if not new:
            Alarm.objects.filter(pk=alarm.pk).exclude(detail=detail[:300]).update(detail=detail[:300])
            return
        _tell("alarm", alarm)
    log.error("alarm %s: %s", key, detail)


def clear(key: str) -> None:
    """The alarm is over, and said to be; nothing when it was not on."""
    with transaction.atomic():
        alarm = Alarm.objects.select_for_update(no_key=True).filter(key=key, cleared_at=None).first()
        if alarm is None:
            return
        alarm.cleared_at = clock.now()
        alarm.save(update_fields=["cleared_at"])
        _tell("alarm_over", alarm)
    log.warning("alarm %s is over", key)


def _tell(template: str, alarm: Alarm) -> None:
    with translation.override(settings.LANGUAGE_CODE):
        what, to_do = words(alarm)
        context = {
            "alarm": alarm,
            "what": what,
            "to_do": to_do,
            "action_url": settings.SITE_URL + reverse("admin:lifecycle_alarm_changelist"),
            "action_label": gettext("Apri gli allarmi"),
        }
    mail.send(template, to=[settings.OPS_EMAIL], context=context)


# --- What is wrong, as (key, detail) ----------------------------------------------------------------------------------


def _runs(now: datetime) -> Iterator[tuple[str, str]]:
    today = clock.rome_date(now)
    if found := clockcheck.problem(today):
        yield CLOCK, found.facts
        return  # nothing else that the runs show can be trusted
    runs = LifecycleRun.objects.begun().filter(day__gte=today - timedelta(days=rules.CATCH_UP_DAYS))
    newest = {run.stage: run for run in runs.order_by("day")}
    failed = {f"{FAILED}:{stage}": f"{run.day}: {run.failed}" for stage, run in newest.items() if run.failed}
    # While one that failed is tried again, its numbers begin anew: it is over when a run has come to its end without.
    again = [f"{FAILED}:{stage}" for stage, run in newest.items() if not run.at_rest and not run.failed]
    failed |= dict(Alarm.objects.filter(key__in=again, cleared_at=None).values_list("key", "detail"))
    yield from failed.items()
    left = [r for r in runs if not r.at_rest and r.claimed_at is not None and r.claimed_at < now - NOT_TAKEN_UP]
    if left:
        yield INTERRUPTED, ", ".join(f"{run.stage} {run.day}" for run in left)
    # Before the hour by which it should be done it is yesterday's run that may be missing.
    day = today if now.astimezone(clock.ROME).time() >= DONE_BY else today - timedelta(days=1)
    finished = set(runs.filter(day__gte=day).exclude(finished_at=None).values_list("stage", flat=True))
    said = {*(key.partition(":")[2] for key in failed), *(run.stage for run in left)}
    ever = LifecycleRun.objects.begun().filter(day__lte=day)  # however long ago: it stays late until it runs
    late = [stage.value for stage in STAGES if stage not in finished | said and ever.filter(stage=stage).exists()]
    if late:
        yield LATE, f"{day}: {', '.join(late)}"


def _waiting(now: datetime) -> Iterator[tuple[str, str]]:
    since = now - WAITS_TOO_LONG
    newest = LifecycleRun.objects.begun().filter(stage=LifecycleRun.Stage.DELETIONS).order_by("-day").first()
    stop = DeletionStop.objects.filter(released_at=None).order_by("-day").first()
    if stop is not None and (newest is None or stop.day >= newest.day):
        yield DELETION_STOP, f"{stop.day}: {stop.boxes} / {stop.of_boxes}"
    begun = BoxEvent.objects.filter(box=OuterRef("pk"), kind=BoxEvent.Kind.DELETING, at__lt=since)
    if boxes := Mailbox.objects.filter(Exists(begun), phase=Phase.DELETING).count():
        yield PURGE, str(boxes)
    # Not those that the relay took and whose next stop is late: days of that, of one address, would hide an outage.
    late = Letter.objects.filter(state__in=["queued", "deferred"], queued_at__lt=since, delayed_at=None)
    if letters := late.count():
        yield LETTERS, str(letters)
    if notices := Notice.objects.filter(state=Notice.State.DUE, created_at__lt=since).count():
        yield NOTICES, str(notices)
    # Of these boxes nobody else hears: who renews automatically is not warned before the expiry.
    day = clock.rome_date(now)
    late_for = day + timedelta(days=settings.AUTO_NOTICE_DAYS) - CHARGES_LATE
    # A consent given with a payment stands a moment before the years do: the expiry of before is not one to announce.
    agreed = AutoRenewal.objects.filter(box=OuterRef("pk"), ended_at=None, agreed_at__lt=now - CHARGES_LATE)
    untold = charging.due_notices(day).filter(Exists(agreed), expires_on__lte=late_for)
    if charges := untold.count() + charging.due_charges(day - CHARGES_LATE).count():
        yield CHARGES, str(charges)


def _invoices(now: datetime) -> Iterator[tuple[str, str]]:
    near = watching.near_the_end(clock.rome_date(now))
    if first := near.first():
        yield INVOICES, f"{near.count()}, {first.due_on}"
    if orders := watching.undecided(now).count():
        yield UNDECIDED, str(orders)
    stuck, receipts = watching.stuck_on_the_way(now).count(), watching.not_understood(now).count()
    if stuck or receipts:
        yield SDI, f"{stuck} / {receipts}"
