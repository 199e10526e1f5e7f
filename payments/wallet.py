"""The saved methods of a login: what each pays, which is the default, replaced, taken away (R24, R24b).

A method belongs to the login that gave it: every function asks for that login. Lock order: method → mailbox.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes.models import Mailbox
from payments import auto_renewal, scheduled
from payments.charge_days import coming_day
from payments.forms import usable
from payments.models import AutoRenewal, Payment, ScheduledCharge, StoredMethod
from payments.providers import get_provider, offered
from payments.providers.base import ProviderTimeoutError
from pecportal import clock, mail
from pecportal.errors import RefusedError

log = logging.getLogger(__name__)
MOST = 5000  # methods that one run asks the providers to forget
Status = ScheduledCharge.Status


@dataclass(frozen=True)
class Pays:
    """An automatic renewal that a method pays. `day`: of the next charge, None where none comes by itself."""

    box: Mailbox
    day: date | None
    amount: Decimal
    years: int
    waits_for_consent: bool
    retries: bool


@dataclass(frozen=True)
class Entry:
    """A saved method as its page shows it. `too_short`: the first charge for which it will have expired."""

    method: StoredMethod
    pays: Sequence[Pays]
    expired: bool
    too_short: Pays | None


def saving_providers() -> list[str]:
    """The providers offered here that can save a method."""
    return [code for code in offered() if code != "transfer"]


def mine(user: User) -> QuerySet[StoredMethod]:
    """The saved methods of a login, and nobody else's (R24b)."""
    return StoredMethod.objects.filter(login=user, removed_at=None)


def entries(user: User, *, today: date) -> list[Entry]:
    """The methods of a login, default first, each with the automatic renewals it pays. A fixed number of queries."""
    consents = AutoRenewal.objects.filter(ended_at=None).select_related("box__address").order_by("box__expires_on")
    found = mine(user).prefetch_related(Prefetch("auto_renewals", consents, to_attr="standing"))
    methods = list(found.order_by("-is_default", "-id"))
    boxes = [consent.box_id for method in methods for consent in method.standing]
    rows = {(row.box_id, row.expiry): row for row in ScheduledCharge.objects.filter(box__in=boxes)}
    return [_entry(method, rows, today) for method in methods]


def _entry(method: StoredMethod, rows: dict[tuple[int, date], ScheduledCharge], today: date) -> Entry:
    pays = []
    for consent in method.standing:  # type: ignore[attr-defined]
        box = consent.box
        row = rows.get((box.pk, box.expires_on))
        pays.append(_pays(consent, box, row, today))
    short = [p for p in pays if p.day is not None and not usable([method], on=p.day)]
    return Entry(method, pays, not usable([method], on=today), min(short, key=lambda p: p.day or today, default=None))


def _pays(consent: AutoRenewal, box: Mailbox, row: ScheduledCharge | None, today: date) -> Pays:
    day, waits = None, row is not None and row.status == Status.CONSENT
    if row is not None and row.status in (Status.ANNOUNCED, Status.TRYING) and row.due_on is not None:
        day = max(row.due_on, today)
    elif row is None and box.expires_on is not None and box.auto_over_for != box.expires_on:
        day = coming_day(box.expires_on, announced=None, today=today)
    amount = row.amount if row is not None and row.status in ScheduledCharge.OPEN else consent.amount
    return Pays(box, day, amount, consent.years, waits, row is not None and row.status == Status.TRYING)


def make_default(*, user: User, method_id: int) -> None:
    """Rendi predefinito: the one proposed first. Twice is once."""
    with transaction.atomic(durable=True):
        held = {method.pk: method for method in mine(user).select_for_update(no_key=True).order_by("pk")}
        if method_id in held:
            mine(user).exclude(pk=method_id).update(is_default=False)
            mine(user).filter(pk=method_id).update(is_default=True)


def refusal_to_remove(method: StoredMethod) -> str:
    """Why a method cannot be taken away now, in a sentence, or "": money may be moving with it (R19)."""
    if Payment.objects.live().filter(method=method).exists():
        return _(
            "Un addebito con questo metodo è in corso e non sappiamo ancora com'è finito. "
            "Riprova quando ti avremo scritto l'esito."
        )
    return ""


def remove(*, user: User, method_id: int) -> list[Mailbox]:
    """Rimuovi: the automatic renewals it pays end, with a mail that says which (R24); their boxes. Twice is once.

    An order that waits for another try stays open. The provider forgets it after the commit, again by the sweep.
    Raises RefusedError while an attempt with it is live.
    """
    with transaction.atomic(durable=True):
        method = mine(user).select_for_update(no_key=True).filter(pk=method_id).first()
        if method is None:
            return []
        ended = auto_renewal.end_with_method(method)
        if refusal := refusal_to_remove(method):  # looked at behind the locks of the boxes: none begins now
            raise RefusedError(refusal)
        _take_away(method)
        told = scheduled.email_of(user)
        mail.send("method_removed", to=[told], context={"method": method, "boxes": ended})
        for box in ended:
            others = [a for a in (box.holder.contact_email, box.owner.email) if a and a != told]
            mail.send("auto_renewal_off", to=others, context={"box": box})
    return ended


def replace(*, old_id: int, new: StoredMethod) -> None:
    """Sostituisci: the automatic renewals of the old method move to the new one, which a mail says (R24).

    In the transaction that saves the new one. An attempt under way keeps the method it began with.
    """
    old = mine(new.login).select_for_update(no_key=True).filter(pk=old_id).first()
    if old is None:
        return
    ids = AutoRenewal.objects.filter(method=old, ended_at=None).values("box_id")
    boxes = list(Mailbox.objects.locked().select_related("address").filter(pk__in=ids).order_by("pk"))
    AutoRenewal.objects.filter(method=old, ended_at=None, box__in=boxes).update(method=new)
    if old.is_default:
        StoredMethod.objects.filter(pk=old.pk).update(is_default=False)
        StoredMethod.objects.filter(pk=new.pk).update(is_default=True)
        old.is_default = False
    _take_away(old)
    context = {"old": old, "method": new, "boxes": boxes}
    mail.send("method_replaced", to=[scheduled.email_of(new.login)], context=context)


def remove_all_of(login_id: int) -> None:
    """A mailbox login ends with its box: the methods it gave are forgotten (rows locked), without a mail (R24b, R29).

    They paid only that box, whose automatic renewal is over.
    """
    for method in StoredMethod.objects.filter(login=login_id, removed_at=None).order_by("is_default", "pk"):
        _take_away(method)


def _take_away(method: StoredMethod) -> None:
    """Removed (row locked); the newest of the others becomes the default if it was the default."""
    was_default = method.is_default
    method.removed_at, method.is_default = clock.now(), False
    method.save(update_fields=["removed_at", "is_default"])
    if was_default:
        newest = mine(method.login).order_by("-id").values_list("pk", flat=True).first()
        if newest is not None:
            StoredMethod.objects.filter(pk=newest).update(is_default=True)
    transaction.on_commit(_nudge, robust=True)


def _nudge() -> None:
    from payments.tasks import forget_removed

    forget_removed.delay()


def forget_removed(*, seconds: float = 200) -> int:
    """Ask the providers to forget the removed methods, each until its provider has confirmed it; returns how many did.

    Every day, however long a provider is away: a card that its owner took away must not stay with it. Asking again
    changes nothing there. Not while an attempt with one is live: its money may still be asked about. The latest first,
    so that some that can never be forgotten do not keep the others waiting.
    """
    stop_at, done = time.monotonic() + seconds, 0
    due = StoredMethod.objects.filter(removed_at__isnull=False, forgotten_at=None).order_by("-removed_at")
    for method in list(due[:MOST]):
        if time.monotonic() >= stop_at:
            break
        if Payment.objects.live().filter(method=method).exists():
            continue
        try:
            get_provider(method.provider).forget(method)
        except ProviderTimeoutError:
            log.warning("method %s is not forgotten yet; it is asked again", method.pk)
        except Exception:  # one method that fails keeps no other remembered
            log.exception("method %s could not be forgotten; it is asked again", method.pk)
        else:
            # Given once more meanwhile, it is another removal that will have to be told.
            same = StoredMethod.objects.filter(pk=method.pk, removed_at=method.removed_at)
            done += same.update(forgotten_at=clock.now())
    return done
