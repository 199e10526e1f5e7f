"""Money that goes back: a row first, then the provider, then one short transaction that records (R19, R21).

The only writer of Refund.status. `order` on a refund says that money which had paid that order goes back; without it,
money that paid nothing. Lock order: order → receipt → payment → refund.
"""

import logging
import time
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Sum
from django.utils.translation import gettext as _

from accounts.models import User
from payments import cases
from payments.models import Allocation, Case, Payment, Receipt, Refund
from payments.moves import move
from payments.providers import get_provider
from payments.providers.base import Outcome, ProviderTimeoutError, Result
from payments.timing import wait
from pecportal import clock, mail
from pecportal.errors import RefusedError
from pecportal.formats import euro
from renewals.models import Order

log = logging.getLogger(__name__)
STATUSES = {
    Result.PENDING: Refund.Status.PENDING,
    Result.REFUNDED: Refund.Status.DONE,
    Result.FAILED: Refund.Status.FAILED,
    Result.CANCELLED: Refund.Status.FAILED,
    Result.UNKNOWN: Refund.Status.UNKNOWN,
}
CHECKS_BEFORE_CASE = 6


def _sum(rows: QuerySet) -> Decimal:
    return rows.aggregate(total=Sum("amount"))["total"] or Decimal(0)


def unapplied(source: Payment | Receipt) -> Decimal:
    """EUR of a payment or receipt that pay no order and have not gone back."""
    got = source.amount if isinstance(source, Receipt) else source.received or Decimal(0)
    return got - _sum(source.allocations.all()) - _sum(source.refunds.counted().filter(order=None))


def applied(source: Payment | Receipt, order: Order) -> Decimal:
    """EUR of a payment or receipt that paid `order` and have not gone back."""
    paid = _sum(Allocation.objects.filter(order=order, **_source(source)))
    return paid - _sum(Refund.objects.counted().filter(order=order, **_source(source)))


def _source(source: Payment | Receipt) -> dict[str, Payment | Receipt]:
    return {"receipt": source} if isinstance(source, Receipt) else {"payment": source}


def _check(source: Payment | Receipt, amount: Decimal, order: Order | None) -> None:
    most = unapplied(source) if order is None else applied(source, order)
    if amount <= 0 or amount != amount.quantize(Decimal("0.01")):
        raise RefusedError(_("Scrivi l'importo in euro, maggiore di zero e con al massimo due decimali."))
    if amount > most:
        raise RefusedError(_("Si possono restituire al massimo %(most)s.") % {"most": euro(most)})


def ask(*, payment: Payment, amount: Decimal, actor: User | None, why: str, order: Order | None = None) -> Refund:
    """Write down that money of a payment (locked, registered) is to go back; it is sent after the commit.

    Raises RefusedError when there is not so much to give back.
    """
    _check(payment, amount, order)
    refund = Refund.objects.create(
        payment=payment, order=order, amount=amount, why=why[:200], asked_by=actor, next_check_at=clock.now()
    )
    transaction.on_commit(nudge, robust=True)
    return refund


def nudge() -> None:
    from payments.tasks import send_refunds

    send_refunds.delay()


def by_bank(
    *, receipt_id: int, amount: Decimal, reference: str, actor: User, why: str, order: Order | None = None
) -> Refund:
    """Staff sent money of a receipt back by bank transfer: `reference` is its CRO or TRN. Done as soon as recorded."""
    if not reference.strip():
        raise RefusedError(_("Scrivi il CRO o TRN del bonifico con cui hai restituito il denaro."))
    with transaction.atomic():
        receipt = Receipt.objects.select_for_update(no_key=True, of=("self",)).get(pk=receipt_id)
        _check(receipt, amount, order)
        return Refund.objects.create(
            receipt=receipt, order=order, amount=amount, status=Refund.Status.DONE, done_at=clock.now(),
            remote_id=reference.strip()[:120], why=why[:200], asked_by=actor,
        )  # fmt: skip


def send_due(*, seconds: float = 200) -> int:
    """Send what is asked, ask again about what has no outcome; returns how many were looked at (beat, every minute)."""
    now, stop_at = clock.now(), time.monotonic() + seconds
    due = list(
        Refund.objects.filter(next_check_at__lte=now).order_by("next_check_at").values_list("pk", "checks")[:200]
    )
    for refund_id, checks in due:
        if time.monotonic() >= stop_at:
            break
        # Claimed by moving its time, as payments.sync does.
        free = Refund.objects.filter(pk=refund_id, checks=checks, next_check_at__lte=now)
        if free.update(checks=checks + 1, next_check_at=now + wait(checks + 1)):
            try:
                _send(refund_id)
            except Exception:
                log.exception("refund %s could not be sent; it is tried again", refund_id)
    return len(due)


def _send(refund_id: int) -> None:
    refund = Refund.objects.select_related("payment").get(pk=refund_id)
    if refund.payment is None or refund.status not in Refund.LIVE:
        return
    provider = get_provider(refund.payment.provider)
    try:
        # One that was sent before is looked for first: a provider that forgets keys would give the money twice.
        known = provider.fetch_refund(refund) if refund.checks > 1 else Outcome(Result.UNKNOWN, ready=True)
        outcome = provider.refund(refund) if known.ready else known
    except ProviderTimeoutError as error:
        outcome = Outcome(Result.UNKNOWN, reason=str(error)[:120])
    record(refund_id, outcome)


def record(refund_id: int, outcome: Outcome) -> None:
    """Record what a provider said of a refund, once: the same news twice changes nothing."""
    payment_id = Refund.objects.values_list("payment_id", flat=True).get(pk=refund_id)
    with transaction.atomic(durable=True):
        payment = Payment.objects.locked().select_related("order__owner").get(pk=payment_id)
        refund = Refund.objects.select_for_update(no_key=True, of=("self",)).get(pk=refund_id)
        refund.remote_id = refund.remote_id or outcome.remote_id
        to = STATUSES.get(outcome.result, Refund.Status.UNKNOWN)
        if to in Refund.MOVES[refund.status]:
            refund.status, refund.reason = to, outcome.reason[:120]
            if to == Refund.Status.DONE:
                refund.done_at = clock.now()
        if refund.status not in Refund.LIVE:
            refund.next_check_at = None
        refund.save()
        if refund.status == Refund.Status.DONE and to == refund.status:
            _after_done(payment, refund)
        elif refund.status == Refund.Status.FAILED:
            cases.open_case(
                Case.Kind.REFUND_FAILED, order=payment.order, payment=payment, amount=refund.amount,
                detail=_("rimborso non riuscito: %(why)s") % {"why": refund.reason or outcome.result},
            )  # fmt: skip
        elif refund.checks >= CHECKS_BEFORE_CASE:
            cases.open_case(
                Case.Kind.REFUND_FAILED, order=payment.order, payment=payment, amount=refund.amount,
                detail=_("il gestore non dice che fine ha fatto il rimborso"),
            )  # fmt: skip


def _after_done(payment: Payment, refund: Refund) -> None:
    close_if_all_went_back(payment)
    order = refund.order or payment.order
    context = {"order": order, "amount": refund.amount, "box": None}
    mail.send("refund_done", to=[order.email, order.owner.email], context=context)


def close_if_all_went_back(payment: Payment) -> None:
    """registered → refunded when the refunds sum to it (§4); the payment is locked."""
    gone = _sum(payment.refunds.filter(status=Refund.Status.DONE))
    if payment.status == Payment.Status.REGISTERED and payment.received is not None and gone >= payment.received:
        move(payment, Payment.Status.REFUNDED, why=_("rimborsato per intero"))


def note_outside(payment: Payment, total: Decimal) -> None:
    """The provider says that `total` EUR of a payment (locked) went back: what we did not ask for is a case (R21)."""
    extra = total - _sum(payment.refunds.counted())
    if extra <= 0 or payment.received is None:
        return
    order = None if extra <= unapplied(payment) else payment.order
    try:
        with transaction.atomic():
            Refund.objects.create(
                payment=payment, order=order, amount=extra, status=Refund.Status.DONE, done_at=clock.now(),
                remote_id=f"outside-{total}", why=_("fatto presso il gestore, non da qui"),
            )  # fmt: skip
    except IntegrityError:
        return  # noted by another worker
    close_if_all_went_back(payment)
    cases.open_case(
        Case.Kind.REFUND_OUTSIDE, order=payment.order, payment=payment, amount=extra,
        detail=_("%(amount)s rimborsati presso il gestore: decidi dell'ordine") % {"amount": euro(extra)},
    )  # fmt: skip
