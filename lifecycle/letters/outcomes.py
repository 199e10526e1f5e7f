"""What the relay made of each letter, and letters of yesterday that it never took (R27, R29)."""

import logging
from datetime import datetime, timedelta
from datetime import time as clock_time
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from post_office.mail import get_queued
from post_office.models import STATUS, Email

from lifecycle import notices
from lifecycle.models import Letter, Notice
from mailboxes.models.boxes import Phase
from pecportal import clock, relay

log = logging.getLogger(__name__)
BATCH = 1000
# How long mail servers go on trying what they have put off, and then send it back: RFC 5321, 4.5.4.1. Who has heard
# nothing for as long may take a delayed letter for delivered.
SERVERS_TRY = timedelta(days=5)
State = Letter.State


def read_outcomes(*, down: str = "") -> int:
    """Write down what became of the letters in the queue; returns how many were settled. Safe at any time, and twice.

    `down`: the relay takes nothing at all (the kind of error): letters that were not tried yet are put off with that.
    """
    settled = 0
    while found := _read_batch():
        settled += found
    if down:
        Letter.objects.filter(state=State.QUEUED, mail__status=STATUS.queued).update(
            state=State.DEFERRED, detail=f"il relay non risponde ({down})"[:200]
        )
    return settled


def _news() -> QuerySet[Letter]:
    """Waiting letters of which the queue knows more than they say."""
    over = clock.now() - SERVERS_TRY
    return Letter.objects.filter(
        Q(mail__status__in=[STATUS.sent, STATUS.failed], delayed_at=None)
        | Q(mail__status=STATUS.requeued, state=State.QUEUED)
        | Q(delayed_at__lt=over)
        | Q(mail=None, delayed_at=None),
        state__in=Letter.WAITING,
    )


def _read_batch() -> int:
    """A batch in one transaction. Letters that another worker holds, or that came back meanwhile, are left alone."""
    with transaction.atomic(durable=True):
        held = _news().select_for_update(no_key=True, skip_locked=True, of=("self",)).select_related("mail")
        letters = list(held.order_by("pk")[:BATCH])
        failed = relay.failures(r.mail.pk for r in letters if r.mail is not None and r.mail.status != STATUS.sent)
        for letter in letters:
            _read(letter, failed.get(letter.mail_id or 0))
        Letter.objects.bulk_update(letters, ["state", "settled_at", "detail"], batch_size=500)
    return len(letters)


def _read(letter: Letter, why: relay.Failure | None) -> None:
    mail = letter.mail
    if letter.delayed_at is not None or (mail is not None and mail.status == STATUS.sent):
        letter.state = State.ACCEPTED
        letter.settled_at = clock.now() if letter.delayed_at or mail is None else mail.last_updated
        letter.detail = ""
    elif mail is not None and mail.status == STATUS.requeued:
        letter.state, letter.detail = State.DEFERRED, _short(why)
    else:
        letter.state, letter.settled_at = State.REFUSED, clock.now()
        letter.detail = _short(why) if mail else "tolta dalla coda prima di partire"


def _short(why: relay.Failure | None) -> str:
    return str(why or "")[:200]


def take_back_stale() -> int:
    """Take letters of an earlier day that no relay took out of the queue; returns how many. Only while nobody sends.

    Their words are of that day ("domani"), and the box may have been renewed: their notices are owed again, and told in
    today's words, those of many days in one letter, to the addresses that have none yet (R27). The same of letters that
    leave now and name a box which was renewed, or is being deleted, or is owed a later notice, since they were written.
    """
    midnight = datetime.combine(clock.today(), clock_time.min, clock.ROME)
    taken = 0
    for stale in (Q(queued_at__lt=midnight), Q(Exists(_untrue()), mail__in=_leaving())):
        while found := _take_back(stale):
            taken += found
    if taken:
        log.warning("letters: %s that the relay had not taken were no longer true: written anew", taken)
    return taken


def _leaving() -> list[int]:
    """The mails of the next batch: whoever sends looks for them the same way, right after this."""
    return list(get_queued().prefetch_related(None).values_list("pk", flat=True))


def _untrue() -> QuerySet[Any]:
    """The notices of a letter whose box no longer lives until the expiry that they name, or is owed a later one."""
    links = Notice.letters.through.objects.filter(letter=OuterRef("pk"))
    true = Q(notice__box__phase=Phase.LIVE, notice__box__expires_on=F("notice__expiry"))
    return links.filter(~true | Exists(notices.outdated().filter(pk=OuterRef("notice"))))


def _take_back(which: Q) -> int:
    with transaction.atomic(durable=True):
        stale = Letter.objects.filter(
            which, state__in=Letter.WAITING, mail__status__in=[STATUS.queued, STATUS.requeued]
        )
        held = stale.select_for_update(no_key=True, skip_locked=True, of=("self",)).order_by("queued_at")
        rows = list(held.values_list("pk", "mail_id")[:BATCH])
        ids = [pk for pk, _mail in rows]
        told = Notice.letters.through.objects.filter(letter__in=ids).values("notice")
        Notice.objects.filter(pk__in=told, state=Notice.State.TOLD).update(state=Notice.State.DUE, told_at=None)
        Letter.objects.filter(pk__in=ids).update(state=State.REPLACED, settled_at=clock.now(), delayed_at=None)
        Email.objects.filter(pk__in=[mail for _pk, mail in rows]).delete()
    return len(rows)


def forget_after(moment: datetime) -> None:
    """What was owed and told by a clock that was ahead of `moment`, in words of days that have not come.

    Its notices are owed on their own day once more, and its letters, also those that left, count for nothing.
    """
    written = Letter.objects.filter(queued_at__gt=moment)
    while _take_back(Q(queued_at__gt=moment)):
        pass  # those that have not left yet
    written.exclude(state=State.REPLACED).update(
        state=State.REPLACED, settled_at=clock.now(), delayed_at=None, detail="scritta con un orologio avanti"
    )
    Notice.objects.filter(told_at__gt=moment).update(state=Notice.State.DUE, told_at=None)
    owed = Notice.objects.filter(created_at__gt=moment).order_by("-pk").values_list("pk", flat=True)
    while ids := list(owed[:BATCH]):
        Notice.objects.filter(pk__in=ids).delete()
