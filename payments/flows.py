"""The one road for on-line money, as far as the network (DESIGN §6): row first, provider second, nothing locked (R19).

What a provider said is written by recording.py, in one short transaction. Lock order: order → receipt → payment →
mailbox.

Money moves only after `sent_at` is written, and `sent_at` is written only while nobody closes the attempt (`closing`):
so closing an attempt that was never sent is certain, and closing one that was sent asks what became of it.
"""

from collections.abc import Callable

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from payments import cases, methods, recording, scheduled
from payments.models import Payment, PaymentEvent, StoredMethod
from payments.providers import get_provider
from payments.providers.base import Outcome, ProviderTimeoutError, Result
from payments.timing import CHECK_AFTER
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import settle, undoing
from renewals.models import Order


class UnknownPaymentError(RefusedError):
    """An attempt is in an unknown state: nothing new may start, nothing may be cancelled (R12b, R19)."""

    def __init__(self) -> None:
        super().__init__(
            _("Stiamo verificando il pagamento con la banca. Non pagare di nuovo: ti scriviamo appena è certo.")
        )


class NotPayableError(RefusedError):
    """The order does not wait for money any more."""


def _require_payable(order: Order) -> None:
    """Nothing new begins (order locked) once it cannot be paid, nor while money that came for it waits for staff (R21).

    Raises NotPayableError.
    """
    if not settle.is_payable(order, clock.today()):
        raise NotPayableError(_("Questo ordine non si può più pagare."))
    if cases.held().filter(order=order).exists():
        raise NotPayableError(_("Stiamo verificando il denaro arrivato per questo ordine: non pagare di nuovo."))


def start(
    *,
    order_id: int,
    provider: str,
    user: User | None,
    auto_renewal_agreed: bool,
    consent_text_version: str = "",
    return_url: Callable[[Payment], str],
    cancel_url: str,
) -> str:
    """Begin an attempt and return where to send the customer.

    Closes an older live attempt at its provider first (R20). `user` is None when only the order number was given; then
    no automatic renewal can come of it (R23). Raises NotPayableError, UnknownPaymentError.
    """
    chosen = get_provider(provider)  # an unknown name leaves no row behind
    close_live_attempt(order_id)
    try:
        with transaction.atomic(durable=True):
            order = Order.objects.locked().get(pk=order_id)
            _require_payable(order)
            settle.set_method(order, provider)
            payment = Payment.objects.create(
                order=order,
                provider=provider,
                amount=recording.missing(order),
                started_by=user,
                auto_renewal_agreed=auto_renewal_agreed and user is not None,
                consent_text_version=consent_text_version if auto_renewal_agreed else "",
                next_check_at=clock.now() + CHECK_AFTER[0],
            )
            PaymentEvent.objects.create(payment=payment, after=payment.status, why=_("avviato"))
    except IntegrityError as error:  # payment_one_live_per_order: another tab was quicker
        raise UnknownPaymentError from error
    try:
        started = chosen.start(payment, return_url=return_url(payment), cancel_url=cancel_url)
    except ProviderTimeoutError as error:
        recording.record_outcome(payment.pk, Outcome(Result.UNKNOWN, reason=str(error)[:120]))
        raise UnknownPaymentError from error
    payment = recording.record_outcome(payment.pk, Outcome(Result.PENDING, remote_id=started.remote_id))
    if not payment.is_live:
        # Closed by another tab before the provider knew of it: nobody is sent to pay there.
        _close_at_provider(payment)
        raise UnknownPaymentError
    return started.redirect_url


def close_live_attempt(order_id: int) -> None:
    """Close the live attempt of an order at its provider, if there is one, and record what it answers.

    Raises UnknownPaymentError when the provider cannot say. Afterwards the order may turn out to be paid.
    """
    live = Payment.objects.live().filter(order_id=order_id).first()
    if live is not None:
        _close_at_provider(live)


def _close_at_provider(payment: Payment) -> None:
    Payment.objects.live().filter(pk=payment.pk).update(closing=True)
    payment.refresh_from_db()
    try:
        outcome = get_provider(payment.provider).close(payment)
    except ProviderTimeoutError as error:
        recording.record_outcome(payment.pk, Outcome(Result.UNKNOWN, reason=str(error)[:120]))
        raise UnknownPaymentError from error
    recording.record_outcome(payment.pk, outcome)
    if outcome.result in (Result.UNKNOWN, Result.PENDING):
        raise UnknownPaymentError


def fetch_and_record(payment_id: int) -> Payment:
    """Ask the provider about an attempt and record the answer: what return page, webhook and sync all do (R18)."""
    payment = Payment.objects.get(pk=payment_id)
    try:
        outcome = get_provider(payment.provider).fetch(payment)
        if outcome.ready and payment.is_live:
            outcome = _complete(payment)
    except ProviderTimeoutError as error:
        outcome = Outcome(Result.UNKNOWN, reason=str(error)[:120])
    return recording.record_outcome(payment_id, outcome)


def claim(payment_id: int) -> bool:
    """Take the right to move the money of a live attempt: once, while its order waits and nobody closes it."""
    free = Payment.objects.live().filter(
        pk=payment_id, closing=False, sent_at=None, order__status=Order.Status.AWAITING_PAYMENT
    )
    return bool(free.update(sent_at=clock.now()))


def _complete(payment: Payment) -> Outcome:
    """The customer agreed at the provider: take the money, unless the attempt is being closed. Repeatable."""
    claim(payment.pk)
    payment.refresh_from_db()
    if payment.sent_at is None:
        return Outcome(Result.CANCELLED, reason=_("chiuso prima che il denaro si muovesse"))
    return get_provider(payment.provider).complete(payment)


def charge(*, order_id: int, method: StoredMethod) -> Payment:
    """Charge an order to a saved method, nobody being there (R24); returns the attempt with its outcome.

    Raises NotPayableError, UnknownPaymentError when another attempt is under way.
    """
    chosen = get_provider(method.provider)
    try:
        with transaction.atomic(durable=True):
            order = Order.objects.locked().get(pk=order_id)
            _require_payable(order)
            if not scheduled.begin(order, today=clock.today()):
                raise NotPayableError(_("Questo addebito non va più fatto."))
            settle.set_method(order, method.provider)
            now = clock.now()
            payment = Payment.objects.create(
                order=order, provider=method.provider, amount=recording.missing(order), method=method, sent_at=now,
                next_check_at=now + CHECK_AFTER[0],
            )  # fmt: skip
            PaymentEvent.objects.create(payment=payment, after=payment.status, why=_("rinnovo automatico"))
    except IntegrityError as error:  # payment_one_live_per_order
        raise UnknownPaymentError from error
    try:
        outcome = chosen.charge(payment, method)
    except ProviderTimeoutError as error:
        outcome = Outcome(Result.UNKNOWN, reason=str(error)[:120])
    return recording.record_outcome(payment.pk, outcome)


def cancel_order(*, order_id: int, actor: User, despite_transfer: bool = False, why: str = "") -> None:
    """Annulla (R12b): close a live attempt at the provider first; money that was captured makes the order paid instead.

    `why` is what staff decided; empty when the customer does it. Raises UnknownPaymentError, NotPayableError (paid
    meanwhile, or closed already), RefusedError when a transfer was declared and it was not confirmed once more.
    """
    close_live_attempt(order_id)
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        if not order.is_awaiting_payment:
            paid = order.paid_at is not None
            raise NotPayableError(
                _("L'ordine risulta pagato e non si può più annullare.") if paid else _("L'ordine è già chiuso.")
            )
        if Payment.objects.live().filter(order=order).exists():
            raise UnknownPaymentError
        if order.transfer_declared_on and not despite_transfer:
            raise RefusedError(_("Hai dichiarato di aver pagato: conferma che vuoi annullare lo stesso."))
        released = cases.release_money(order=order)
        reasons = [why or _("annullato dal cliente"), *released]
        undoing.cancel(order, why="; ".join(reasons)[:200], actor=actor)
        scheduled.order_moved(order)


def choose_transfer(order_id: int, *, method: str = "transfer") -> None:
    """The customer will pay by bank transfer, or by postal slip: close what is live, remember the method.

    Raises as `start` does.
    """
    close_live_attempt(order_id)
    with transaction.atomic(durable=True):
        order = Order.objects.locked().get(pk=order_id)
        _require_payable(order)
        if refusal := methods.refusal_of(order, method, today=clock.today()):
            raise RefusedError(refusal)  # R29: it could arrive after the deletion
        settle.set_method(order, method)


def declare_transfer(*, order_id: int, actor: User) -> None:
    """Ho fatto il bonifico: the order will not lapse, and Annulla asks twice (R12b)."""
    with transaction.atomic(durable=True):
        order = Order.objects.locked().get(pk=order_id)
        if not settle.is_payable(order, clock.today()):
            raise NotPayableError(_("Questo ordine non aspetta un pagamento."))
        settle.declare_transfer(order, today=clock.today(), actor=actor)
