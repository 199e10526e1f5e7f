"""Money that goes back: a row first, then the provider, then one short transaction that records (R19, R21).

The only writer of Refund.status. `order` on a refund says that money which had paid that order goes back; without it,
money that paid nothing. Lock order: order → receipt → payment → refund.
"""

import logging
import time
from decimal import Decimal

from django.conf import settings
from django.db import transaction
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
from renewals.pricing import cents

log = logging.getLogger(__name__)
STATUSES = {
    Result.PENDING: Refund.Status.PENDING,
    Result.REFUNDED: Refund.Status.DONE,
    Result.FAILED: Refund.Status.FAILED,
    Result.CANCELLED: Refund.Status.FAILED,
    Result.UNKNOWN: Refund.Status.UNKNOWN,
}
CHECKS_BEFORE_CASE = 6
OUTSIDE = "outside-"  # begins the id of a refund that nobody asked for here: the provider's own is not known
MOST = Decimal("9999999.99")  # what a column of money holds


def total_of(rows: QuerySet) -> Decimal:
    """The sum of their amounts, EUR, in cents: SQLite sums as floats and would write more digits."""
    return cents(rows.aggregate(total=Sum("amount"))["total"] or Decimal(0))


def unapplied(source: Payment | Receipt) -> Decimal:
    """EUR of a payment or receipt that pay no order and have not gone back."""
    got = source.amount if isinstance(source, Receipt) else source.received or Decimal(0)
    return got - total_of(source.allocations.all()) - total_of(source.refunds.counted().filter(order=None))


def applied(source: Payment | Receipt, order: Order) -> Decimal:
    """EUR of a payment or receipt that paid `order` and have not gone back."""
    paid = total_of(Allocation.objects.filter(order=order, **_source(source)))
    return paid - total_of(Refund.objects.counted().filter(order=order, **_source(source)))


def _source(source: Payment | Receipt) -> dict[str, Payment | Receipt]:
    return {"receipt": source} if isinstance(source, Receipt) else {"payment": source}


def lock_receipt(receipt_id: int) -> Receipt:
    return Receipt.objects.select_for_update(no_key=True, of=("self",)).get(pk=receipt_id)


def _check(source: Payment | Receipt, amount: Decimal, order: Order | None) -> None:
    most = unapplied(source) if order is None else applied(source, order)
    if not amount.is_finite() or amount <= 0 or amount > MOST or amount != amount.quantize(Decimal("0.01")):
        raise RefusedError(_("Scrivi l'importo in euro, maggiore di zero e con al massimo due decimali."))
    if isinstance(source, Receipt) and source.currency != settings.CURRENCY:
        raise RefusedError(_("È in un'altra valuta: restituiscilo dalla banca e chiudi il caso scrivendo come."))
    if isinstance(source, Payment) and source.received is None:
        raise RefusedError(_("Non è in euro o non è registrato: restituiscilo presso il gestore, poi chiudi il caso."))
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
    reference = " ".join(reference.upper().split())[:120]
    if not reference:
        raise RefusedError(_("Scrivi il CRO o TRN del bonifico con cui hai restituito il denaro."))
    with transaction.atomic():
        receipt = lock_receipt(receipt_id)
        if receipt.refunds.filter(remote_id=reference, order=order).exists():
            raise RefusedError(_("Questo bonifico è già registrato come rimborso."))
        _check(receipt, amount, order)
        refund = Refund.objects.create(
            receipt=receipt, order=order, amount=amount, status=Refund.Status.DONE, done_at=clock.now(),
            remote_id=reference, why=why[:200], asked_by=actor,
        )  # fmt: skip
        if order is not None:
            _tell(order, amount, by_bank=True)
        return refund


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
            except Exception:  # one refund that fails keeps no other waiting
                log.exception("refund %s could not be sent; it is tried again", refund_id)
    return len(due)


def _send(refund_id: int) -> None:
    refund = Refund.objects.select_related("payment").get(pk=refund_id)
    if refund.payment is None or refund.status not in Refund.LIVE:
        return
    provider = get_provider(refund.payment.provider)
    gone = None
    try:
        # One that was claimed before may have been sent, whoever claimed it: it is looked for first, because a provider
        # that forgets keys would give the money twice.
        known = provider.fetch_refund(refund) if refund.checks > 1 else Outcome(Result.UNKNOWN, ready=True)
        outcome = provider.refund(refund) if known.ready else known
        if STATUSES.get(outcome.result) == Refund.Status.FAILED:
            gone = provider.fetch(refund.payment).refunded  # refused, perhaps, because somebody gave it back there
    except ProviderTimeoutError as error:
        outcome = Outcome(Result.UNKNOWN, reason=str(error)[:120])
    record(refund_id, outcome, gone=gone)


def look_again(payment_id: int) -> None:
    """Ask about the refunds of a payment that were done: the customer's bank may send one back for weeks afterwards.

    Told by a webhook. The refund has failed then, its money is the order's again, and staff decide: a case, once.
    Raises ProviderTimeoutError.
    """
    done = Refund.objects.filter(payment=payment_id, status=Refund.Status.DONE).exclude(remote_id="")
    for refund in done.exclude(remote_id__startswith=OUTSIDE).select_related("payment"):
        assert refund.payment is not None
        outcome = get_provider(refund.payment.provider).fetch_refund(refund)
        if STATUSES.get(outcome.result) == Refund.Status.FAILED:
            record(refund.pk, outcome, asked_again=True)


def record(
    refund_id: int, outcome: Outcome, *, gone: Decimal | None = None, asked_again: bool = False
) -> None:  # fmt: skip
    """Record what a provider said of a refund, once: the same news twice changes nothing.

    `gone`: EUR of the payment that went back so far by whoever, if the provider was asked. No answer for days is a
    case; the answer, when it comes, closes it. `asked_again`: the provider was asked after the refund was done.
    """
    payment_id = Refund.objects.values_list("payment_id", flat=True).get(pk=refund_id)
    with transaction.atomic(durable=True):
        payment = Payment.objects.locked().select_related("order__owner").get(pk=payment_id)
        refund = Refund.objects.select_for_update(no_key=True, of=("self",)).get(pk=refund_id)
        to = STATUSES.get(outcome.result, Refund.Status.UNKNOWN)
        before, changed = refund.status, to in Refund.MOVES[refund.status]
        if before == Refund.Status.DONE and not asked_again:
            changed = False  # a late answer to an earlier question
        if changed:
            refund.status, refund.reason = to, outcome.reason[:120]
            refund.remote_id = refund.remote_id or outcome.remote_id
            if to == Refund.Status.DONE:
                refund.done_at = clock.now()
        if refund.status not in Refund.LIVE:
            refund.next_check_at = None
        refund.save(update_fields=["status", "reason", "remote_id", "done_at", "next_check_at"])
        if changed and before == Refund.Status.DONE:
            _come_back(payment, refund)
        elif changed and refund.status == Refund.Status.DONE:
            close_if_all_went_back(payment)
            _close_doubt(payment, _("il rimborso è andato a buon fine"))
            _tell(refund.order or payment.order, refund.amount, by_bank=False)
        elif changed and refund.status == Refund.Status.FAILED:
            _close_doubt(payment, _("il gestore ha detto di no: vedi il caso nuovo"))
            cases.open_case(
                Case.Kind.REFUND_FAILED, order=refund.order or payment.order, payment=payment, amount=refund.amount,
                detail=_("rimborso non riuscito: %(why)s") % {"why": refund.reason or outcome.result},
            )  # fmt: skip
        elif refund.status in Refund.LIVE and refund.checks >= CHECKS_BEFORE_CASE:
            cases.open_case(
                Case.Kind.REFUND_FAILED, order=refund.order or payment.order, payment=payment, amount=refund.amount,
                detail=_("il gestore non dice che fine ha fatto il rimborso"),
            )  # fmt: skip
        if gone:
            note_outside(payment, gone)


def _come_back(payment: Payment, refund: Refund) -> None:
    """Money that had gone back is at the provider again (payment locked): the order it paid has it, a case says so."""
    if payment.status == Payment.Status.REFUNDED:
        move(payment, Payment.Status.REGISTERED, why=_("un rimborso è tornato indietro"))
    cases.open_case(
        Case.Kind.REFUND_FAILED, order=refund.order or payment.order, payment=payment, amount=refund.amount,
        detail=_("il rimborso risultava fatto ed è tornato indietro (%(why)s): il cliente non ha il denaro")
        % {"why": refund.reason or _("nessun motivo")},
    )  # fmt: skip
    order = refund.order or payment.order
    context = {"order": order, "amount": refund.amount, "box": None}
    mail.send("refund_returned", to=[order.email, order.owner.email], context=context)


def _close_doubt(payment: Payment, resolution: str) -> None:
    """What was open because a refund had no answer; not while another one still has none."""
    if not payment.refunds.filter(status__in=Refund.LIVE, checks__gte=CHECKS_BEFORE_CASE).exists():
        cases.close_by_itself(Case.Kind.REFUND_FAILED, payment=payment, resolution=resolution)


def _tell(order: Order, amount: Decimal, *, by_bank: bool) -> None:
    context = {"order": order, "amount": amount, "by_bank": by_bank, "box": None}
    mail.send("refund_done", to=[order.email, order.owner.email], context=context)


def close_if_all_went_back(payment: Payment) -> None:
    """registered → refunded when the refunds sum to it (§4); the payment is locked."""
    gone = total_of(payment.refunds.filter(status=Refund.Status.DONE))
    if payment.status == Payment.Status.REGISTERED and payment.received is not None and gone >= payment.received:
        move(payment, Payment.Status.REFUNDED, why=_("rimborsato per intero"))


def note_outside(payment: Payment, total: Decimal) -> None:
    """The provider says that `total` EUR of a payment (locked) went back: what we did not ask for is a case (R21).

    It is taken first from what pays nothing, then from the orders it paid, the newest first.
    """
    if payment.received is None:
        return
    extra = min(total, payment.received) - total_of(payment.refunds.counted())
    if extra <= 0:
        return
    orders = [a.order for a in payment.allocations.select_related("order").order_by("-id")]
    left, rows = extra, payment.refunds.count()  # the same total may be noted twice: a refund of ours failed meanwhile
    for order in (None, *orders):
        part = min(left, unapplied(payment) if order is None else applied(payment, order))
        if part <= 0:
            continue
        left -= part
        Refund.objects.create(
            payment=payment, order=order, amount=part, status=Refund.Status.DONE, done_at=clock.now(),
            remote_id=f"{OUTSIDE}{total}-{order.pk if order else 0}-{rows}",
            why=_("fatto presso il gestore, non da qui"),
        )  # fmt: skip
    close_if_all_went_back(payment)
    if unapplied(payment) == 0:
        cases.settle_source(source=payment, actor=None, resolution=_("restituito presso il gestore"))
    cases.open_case(
        Case.Kind.REFUND_OUTSIDE, order=payment.order, payment=payment, amount=extra,
        detail=_("%(amount)s rimborsati presso il gestore: decidi dell'ordine") % {"amount": euro(extra)},
    )  # fmt: skip
