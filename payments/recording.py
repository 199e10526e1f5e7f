"""What a provider said of an attempt, recorded once, and what follows from it (DESIGN §6).

With refunds.py, through moves.py, the only writer of Payment.status. One short transaction, no network in it. Lock
order: order → receipt → payment → mailbox.
"""

import logging
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from payments import auto_renewal, cases, free_exit, refunds, scheduled
from payments.models import Allocation, Case, Payment
from payments.moves import move
from payments.providers.base import Outcome, Result
from payments.refunds import MOST
from payments.timing import wait
from pecportal import clock, mail
from pecportal.formats import euro, money
from renewals import giving, settle
from renewals.models import Order

log = logging.getLogger(__name__)


def missing(order: Order) -> Decimal:
    """What an order still lacks, EUR: the amount due less what bank money has given it already (§4 Receipt)."""
    return order.amount_due - refunds.total_of(Allocation.objects.filter(order=order))


def record_outcome(payment_id: int, outcome: Outcome) -> Payment:
    """Record what a provider said of an attempt, once: the same news twice changes nothing. Returns it as it stands.

    Registered money pays its order, or becomes a case when amount or currency differ or the order does not wait for it
    (R21). After the commit the order is fulfilled; what fails there is picked up by the sweep.
    """
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner__billing", "billing").get(payments=payment_id)
        payment = Payment.objects.locked().select_related("started_by").get(pk=payment_id)
        given_up = payment.status in (Payment.Status.FAILED, Payment.Status.CANCELLED)
        # Told to wait: the outcome was unknown, or money was asked for and its answer took long.
        was_unsure = payment.status == Payment.Status.UNKNOWN or bool(payment.sent_at and payment.checks)
        changed = _write(payment, outcome)
        if outcome.refunded and payment.status in (Payment.Status.REGISTERED, Payment.Status.REFUNDED):
            refunds.note_outside(payment, outcome.refunded)
        if not changed:
            _switch_on_late(order, payment, outcome)
            return payment
        over = payment.status in (Payment.Status.FAILED, Payment.Status.CANCELLED)
        if over and payment.is_automatic:
            scheduled.attempt_over(order, payment, today=clock.today())
        elif over and was_unsure:
            _tell_failed(order)
        if payment.status != Payment.Status.REGISTERED:
            return payment
        due = missing(order)
        if _pays(order, payment, outcome, given_up=given_up, due=due):
            Allocation.objects.create(order=order, amount=due, payment=payment)
            settle.mark_paid(order, why=_("pagamento registrato"))
            cases.close_short(order=order, actor=None, resolution=_("saldato"))
            _switch_on(order, payment, outcome)
            scheduled.order_moved(order)
            transaction.on_commit(lambda: after_paid(order.pk), robust=True)
        elif payment.is_automatic:
            scheduled.attempt_over(order, payment, today=clock.today())
    return payment


def _switch_on(order: Order, payment: Payment, outcome: Outcome) -> None:
    """Automatic renewal, if agreed to (R23). What goes wrong with it never undoes the registered money."""
    if outcome.saved is None or payment.started_by is None or not payment.auto_renewal_agreed:
        return
    try:
        with transaction.atomic():
            auto_renewal.after_payment(order=order, payment=payment, saved=outcome.saved)
    except Exception:  # the money is registered, and that must be committed whatever becomes of the consent
        log.exception("automatic renewal could not be switched on by payment %s", payment.pk)


def _switch_on_late(order: Order, payment: Payment, outcome: Outcome) -> None:
    """The provider kept the method only after the money was registered (PayPal): what was agreed to holds still (R23).

    Once: `payment.method` is written with it. Not where the money pays nothing, or the order was taken back.
    """
    if payment.status != Payment.Status.REGISTERED or payment.method_id is not None or outcome.saved is None:
        return
    paid = order.status in (Order.Status.PAID, Order.Status.ATTENTION, Order.Status.FULFILLED)
    if paid and payment.allocations.filter(order=order).exists():
        _switch_on(order, payment, outcome)


def _tell_failed(order: Order) -> None:
    """Who was told "stiamo verificando, ti scriviamo" and saw no outcome since: it did not go through (R19)."""
    mail.send(
        "payment_failed", to=[order.email, order.owner.email], context={"order": order, **settle.subject_of(order)}
    )


def _write(payment: Payment, outcome: Outcome) -> bool:
    """Write the new status and its event; False when nothing changed or the move is not allowed (R22)."""
    payment.remote_id = payment.remote_id or outcome.remote_id
    to = {
        Result.PENDING: Payment.Status.PENDING,
        Result.REGISTERED: Payment.Status.REGISTERED,
        Result.FAILED: Payment.Status.FAILED,
        Result.CANCELLED: Payment.Status.CANCELLED,
        Result.UNKNOWN: Payment.Status.UNKNOWN,
        Result.REFUNDED: Payment.Status.REFUNDED,
    }[outcome.result]
    before = payment.status
    payment.charge_id = payment.charge_id or outcome.charge_id
    # Leaving `refunded` is for payments.refunds alone: a provider goes on calling refunded money registered.
    if to == before or to not in Payment.MOVES[before] or before == Payment.Status.REFUNDED:
        if to != before:
            log.info("payment %s: late news %s ignored in state %s", payment.pk, to, before)
        _plan_next_check(payment, live=payment.is_live)
        payment.save(update_fields=["remote_id", "charge_id", "next_check_at", "checks"])
        return False
    payment.reason, payment.decline = outcome.reason[:120], outcome.decline
    if to == Payment.Status.REGISTERED:
        payment.registered_at = clock.now()
        amount = payment.amount if outcome.amount is None else outcome.amount
        if (outcome.currency or payment.currency) == settings.CURRENCY and 0 < amount <= MOST:
            payment.received = amount
    _plan_next_check(payment, live=to in Payment.LIVE)
    told = ("reason", "decline", "remote_id", "charge_id", "registered_at", "received", "next_check_at", "checks")
    move(payment, to, why=outcome.reason, also=told)
    return True


def _plan_next_check(payment: Payment, *, live: bool) -> None:
    if not live:
        payment.next_check_at = None
    elif payment.next_check_at is None or payment.next_check_at <= clock.now():
        payment.next_check_at = clock.now() + wait(payment.checks)


def _pays(order: Order, payment: Payment, outcome: Outcome, *, given_up: bool, due: Decimal) -> bool:
    """Whether registered money pays the order, of which `due` is missing; if not, the case is opened here.

    Money for an attempt that had been given up never settles the order by itself (§4): another may be under way.
    More than is missing (bank money came while the customer was paying) pays it, and the rest is a case.
    """
    amount = payment.amount if outcome.amount is None else outcome.amount
    currency = outcome.currency or payment.currency
    # What an order that is settled already still lacks says nothing: its money is refused below, not here.
    short = order.is_awaiting_payment and amount < due
    if amount != payment.amount or currency != payment.currency or short:
        arrived = money(amount, currency)
        cases.open_case(
            Case.Kind.MONEY_MISMATCH, order=order, payment=payment, amount=amount if amount <= MOST else None,
            currency=currency,
            detail=_("arrivati %(arrived)s, dovuti %(due)s") % {"arrived": arrived, "due": euro(due)},
        )  # fmt: skip
        return False
    refusal = settle.refusal_to_pay(order, begun_on=clock.rome_date(payment.created_at))
    if given_up:
        refusal = _("il pagamento risultava già chiuso")
    if refusal:
        cases.open_case(Case.Kind.MONEY_TOO_LATE, order=order, payment=payment, amount=amount, detail=refusal)
    elif amount > due:
        cases.open_case(
            Case.Kind.RECEIPT_OVER, order=order, payment=payment, amount=amount - due,
            detail=_("avanzano %(left)s dopo l'ordine %(order)s") % {"left": euro(amount - due), "order": order},
        )  # fmt: skip
    return not refusal


def after_paid(order_id: int) -> None:
    """What follows a registered payment: fulfilment, and a case for what cannot be given. Repeatable."""
    giving.fulfil(
        order_id, on_attention=cases.open_for_attention, on_activating=nudge_activation,
        also_told=free_exit.facts_for_mail,
    )  # fmt: skip


def nudge_activation() -> None:
    """Ask the worker to activate what was bought; if nobody hears it, beat does it within a minute."""
    from payments.tasks import activate_due

    activate_due.delay()
