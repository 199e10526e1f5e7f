"""What beat repeats until it is done: orders to fulfil, attempts without an outcome, webhooks to work off (R19)."""

import logging
import time
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments import cases, flows, recording, refunds, setups
from payments.models import Case, MethodSetup, Payment, ProviderEvent
from payments.providers import get_provider
from payments.providers.base import Hint, Result, Seen
from payments.timing import wait
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import money
from renewals.models import Order

log = logging.getLogger(__name__)
CHECKS_BEFORE_CASE = 6
ABANDONED_AFTER = timedelta(days=1)  # a page of a provider is good for some hours


def fulfil_due(*, seconds: float = 200) -> int:
    """Fulfil every paid order that still waits; returns how many were tried (beat, every minute).

    All of them, as far as `seconds` reach: orders that cannot be fulfilled must not keep later ones out of the list.
    Not those whose box is In attivazione: renewals.activation has them.
    """
    stop_at = time.monotonic() + seconds
    activating = Mailbox.objects.filter(phase=Phase.ACTIVATING, address__order_lines__order=OuterRef("pk"))
    waiting = Order.objects.filter(~Exists(activating), status=Order.Status.PAID).order_by("paid_at", "id")
    ids = list(waiting.values_list("pk", flat=True))
    for order_id in ids:
        if time.monotonic() >= stop_at:
            break
        try:
            recording.after_paid(order_id)
        except Exception:  # one order that fails keeps no other waiting
            log.exception("order %s could not be fulfilled; it stays paid and is tried again", order_id)
    return len(ids)


def sync_due(*, seconds: float = 200) -> int:
    """Ask again about attempts whose time has come; after some days without an answer, a case (R19).

    At most `seconds`: each question may wait for a provider that is slow, and a task must end by itself.
    """
    now, stop_at = clock.now(), time.monotonic() + seconds
    due = list(
        Payment.objects.filter(next_check_at__lte=now).order_by("next_check_at").values_list("pk", "checks")[:200]
    )
    for payment_id, checks in due:
        if time.monotonic() >= stop_at:
            break
        # Claimed by moving its time: neither a second worker nor a provider that breaks keeps asking meanwhile.
        claimed = Payment.objects.filter(pk=payment_id, checks=checks, next_check_at__lte=now).update(
            checks=checks + 1, next_check_at=now + wait(checks + 1)
        )
        if not claimed:
            continue  # another worker has it
        try:
            payment = flows.fetch_and_record(payment_id)
        except Exception:  # one attempt that fails keeps no other waiting; a case is opened for it all the same
            log.exception("payment %s could not be asked about; it is asked again later", payment_id)
            payment = Payment.objects.get(pk=payment_id)
        if payment.is_live and payment.sent_at is None and payment.created_at < now - ABANDONED_AFTER:
            payment = _give_up(payment)
        if payment.is_live and payment.checks >= CHECKS_BEFORE_CASE:
            cases.open_case(
                Case.Kind.PAYMENT_STUCK, order=payment.order, payment=payment, amount=payment.amount,
                detail=_("il gestore non dice che fine ha fatto il pagamento"),
            )  # fmt: skip
    return len(due)


def _give_up(payment: Payment) -> Payment:
    """The customer never came back: close the attempt at the provider, which may still answer that it was paid."""
    try:
        flows.close_live_attempt(payment.order_id)
    except RefusedError:
        log.info("payment %s cannot be closed yet", payment.pk)
    payment.refresh_from_db()
    return payment


def sync_listing(provider: str, since: datetime) -> int:
    """Hold what a provider lists from `since` on against our rows: the repair for webhooks and answers that got lost.

    News about an attempt of ours takes the one road; registered money of which we have no row is a case, once (R21).
    Returns how many attempts had news. Raises ProviderTimeoutError when the list cannot be read.
    """
    news = 0
    for seen in get_provider(provider).recent(since):
        payment = _ours(provider, seen)
        if payment is None:
            _note_stranger(provider, seen)
        elif _has_news(payment, seen):
            try:
                flows.fetch_and_record(payment.pk)
                news += 1
            except Exception:  # one attempt that fails keeps no other from its news
                log.exception("payment %s has news that could not be recorded", payment.pk)
    return news


def take_told(provider: str, since: datetime) -> None:
    """Store what a provider told from `since` on and did not reach us, as if it had come; beat works it off (R18).

    A dispute is in no list of attempts: with its webhook lost, this alone brings it. What came already stays as it is.
    Raises ProviderTimeoutError when the list cannot be read.
    """
    told = iter(get_provider(provider).told(since))
    while hints := list(islice(told, 100)):
        ProviderEvent.objects.bulk_create([event_of(provider, hint) for hint in hints], ignore_conflicts=True)


def event_of(provider: str, hint: Hint) -> ProviderEvent:
    """The row of a hint, not stored yet."""
    return ProviderEvent(
        provider=provider, event_id=hint.event_id, remote_id=hint.remote_id, kind=hint.kind, detail=hint.detail
    )


def _ours(provider: str, seen: Seen) -> Payment | None:
    attempts = Payment.objects.filter(provider=provider)
    if found := attempts.filter(remote_id=seen.remote_id).first():
        return found
    try:
        return attempts.filter(public_id=UUID(seen.reference), remote_id="").first()
    except ValueError:
        return None


def _has_news(payment: Payment, seen: Seen) -> bool:
    if seen.outcome.result == Result.PENDING:
        return payment.is_live and not payment.remote_id
    has_money = payment.status in (Payment.Status.REGISTERED, Payment.Status.REFUNDED)
    if seen.outcome.result == Result.REGISTERED:
        return not has_money or seen.outcome.refunded is not None
    return payment.is_live


def _note_stranger(provider: str, seen: Seen) -> None:
    """`detail` ends with the provider's id: by it the same money is known again, also when its case is closed."""
    if seen.outcome.result != Result.REGISTERED or seen.outcome.amount is None:
        return
    mark = f"({seen.remote_id})"
    if Case.objects.filter(kind=Case.Kind.MONEY_UNKNOWN, detail__endswith=mark).exists():
        return
    currency = seen.outcome.currency
    detail = _("%(amount)s presso %(provider)s, di cui non c'è un pagamento") % {
        "amount": money(seen.outcome.amount, currency), "provider": provider,
    }  # fmt: skip
    fits = seen.outcome.amount <= refunds.MOST
    cases.open_case(
        Case.Kind.MONEY_UNKNOWN, amount=seen.outcome.amount if fits else None, currency=currency,
        detail=f"{detail[:170]} {mark}",
    )  # fmt: skip


def work_off_event(event_id: int) -> None:
    """Work off a stored webhook: ask the provider about the attempt it names, if it is one of ours (R18).

    A dispute is a case at once: its signed event is all a provider tells, and it moves nothing of ours (R26b).
    """
    event = ProviderEvent.objects.get(pk=event_id)
    payment = None
    if event.remote_id:
        named = Q(remote_id=event.remote_id) | Q(charge_id=event.remote_id)
        payment = Payment.objects.filter(named, provider=event.provider).select_related("order").first()
    if payment is not None and event.kind == ProviderEvent.Kind.DISPUTE:
        cases.open_case(
            Case.Kind.DISPUTE, order=payment.order, payment=payment, amount=payment.received,
            detail=event.detail or _("il cliente ha contestato l'addebito"),
        )  # fmt: skip
    elif payment is not None:
        flows.fetch_and_record(payment.pk)
        if event.kind == ProviderEvent.Kind.REFUND:
            refunds.look_again(payment.pk)  # without an answer the event stays, and beat works it off again
    elif event.remote_id:
        setup = MethodSetup.objects.filter(provider=event.provider, remote_id=event.remote_id).first()
        if setup is not None:
            setups.finish(setup.pk)
    ProviderEvent.objects.filter(pk=event_id, processed_at=None).update(processed_at=clock.now())
