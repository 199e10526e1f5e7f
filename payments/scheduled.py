"""The row of an automatic charge: announced, asked about, tried, over (R24, R25). The only writer of ScheduledCharge.

Written under the lock of its box and nothing else, so that whoever switches automatic renewal off and whoever charges
wait for each other. With payments.auto_renewal the writer of `auto_over_for`. Lock order: order → payment → mailbox.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes.flows import contacts
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments.charge_days import ask_again_day, charge_day_from, in_time, next_try, notice_day
from payments.models import AutoRenewal, Payment, ScheduledCharge, StoredMethod
from pecportal import clock, mail
from renewals.models import Order

Status = ScheduledCharge.Status
Decline = Payment.Decline


class IllegalMoveError(Exception):
    """A move that is not in ScheduledCharge.MOVES: a programming error."""


def of(box: Mailbox) -> ScheduledCharge | None:
    """The charge of the box's present expiry, if it was announced."""
    if box.expires_on is None:
        return None
    return ScheduledCharge.objects.filter(box=box, expiry=box.expires_on).first()


def consent_of(box: Mailbox) -> AutoRenewal | None:
    """The consent that stands, with its method and the order it was given with."""
    return AutoRenewal.objects.filter(box=box, ended_at=None).select_related("method", "order").first()


def is_stale(box: Mailbox, charge: ScheduledCharge) -> bool:
    """The box moved on, or its automatic renewal is off: nothing is charged for this expiry."""
    return box.phase != Phase.LIVE or not box.auto_renews or box.expires_on != charge.expiry


def is_consumer(box: Mailbox) -> bool:
    """Whether the law's notice and its free way out are for whoever pays for this box (R25)."""
    return bool(getattr(getattr(box.owner, "billing", None), "is_consumer", False))


def email_of(login: User) -> str:
    """Where the owner of a saved method is told about it: of a mailbox login its holder's contact (R24b)."""
    if not login.is_mailbox:
        return login.email
    box = Mailbox.objects.filter(login=login).select_related("holder").first()
    return box.holder.contact_email if box else ""


# --- Announced --------------------------------------------------------------------------------------------------------


def agreed(*, box: Mailbox, consent: AutoRenewal, today: date) -> ScheduledCharge | None:
    """A consent just given by hand: where the notice is due already, the consent's own mail is it (R25).

    Begins the charge of this expiry, anew if it was over. None before E−30: the daily task announces it then. The
    caller sends the mail, box locked.
    """
    assert box.expires_on is not None
    if today < notice_day(box.expires_on):
        return None
    row = of(box) or ScheduledCharge(box=box, expiry=box.expires_on)
    told_before = row.status in ScheduledCharge.OPEN and row.notice_in_time
    if row.status == Status.TRYING:  # its order closed by a road that did not tell: a new consent needs none open
        _end(row, box, Status.CANCELLED, why=_("ordine chiuso"))
        box.auto_over_for = None
        box.save(update_fields=["auto_over_for"])
    if row.pk and row.status != Status.ANNOUNCED:
        _check(row, Status.ANNOUNCED)
        row.order, row.tries = None, 0
    row.status, row.amount, row.years, row.why = Status.ANNOUNCED, consent.amount, consent.years, ""
    row.due_on = charge_day_from(box.expires_on, today=today)
    row.notice_sent_at = clock.now()
    row.notice_in_time = bool(told_before) or in_time(box.expires_on, told_on=today)
    row.save()
    return row


def announce(*, box: Mailbox, consent: AutoRenewal, amount: Decimal, today: date) -> ScheduledCharge:
    """The row of an expiry and the notice, in the caller's transaction; consent is asked where it costs more (R24).

    `box` locked, with owner's billing and holder; without a row for this expiry; `amount` EUR at today's price.
    """
    assert box.expires_on is not None
    day = charge_day_from(box.expires_on, today=today)
    row = ScheduledCharge(box=box, expiry=box.expires_on, amount=amount, years=consent.years, due_on=day)
    if day is None:  # nothing ran until the last day: no charge without a day to say no
        row.status, row.why = Status.FAILED, _("non siamo riusciti ad annunciarlo in tempo")
        row.save()
        _over(box)
        _tell(row, "charge_failed", box=box)
        return row
    told = contacts(box)
    row.notice_sent_at = clock.now() if told else None
    row.notice_in_time = bool(told) and in_time(box.expires_on, told_on=today)
    if amount > consent.amount:
        row.status = Status.ANNOUNCED  # asked in the same transaction
        row.save()
        ask_consent(row, box=box, consent=consent, amount=amount, today=today)
    else:
        row.save()
        _tell(row, "auto_notice", box=box, charge_on=day, cancel_by=_day_before(day))
    if not _lasts(consent.method, day):
        mail.send("card_expiring", to=[email_of(consent.method.login)], context={
            "box": box, "method": consent.method, "charge_on": day,
        })  # fmt: skip
    return row


def _day_before(day: date) -> date:
    return date.fromordinal(day.toordinal() - 1)


def _lasts(method: StoredMethod, day: date) -> bool:
    return method.expires_year is None or (method.expires_year, method.expires_month or 12) >= (day.year, day.month)


def ask_consent(row: ScheduledCharge, *, box: Mailbox, consent: AutoRenewal, amount: Decimal, today: date) -> None:
    """It costs more than was agreed to or announced: nothing is charged before the customer says yes (R24)."""
    again = ask_again_day(row.expiry)
    row.amount, row.consent_asked_on = amount, today
    if charge_day_from(row.expiry, today=today) is None:  # on E nobody can say yes in time
        fail(row, box=box, why=_("il prezzo è aumentato oltre l'importo accettato"))
        return
    _move(row, Status.CONSENT, due_on=again if today < again else row.expiry)
    _over(box)
    _tell_consent(row, box=box, consent=consent)


def ask_again(row: ScheduledCharge, *, box: Mailbox, consent: AutoRenewal, today: date) -> None:
    """E−15: the second and last time consent is asked (R24)."""
    row.consent_asked_again_on, row.due_on = today, row.expiry
    row.save(update_fields=["consent_asked_again_on", "due_on"])
    _tell_consent(row, box=box, consent=consent)


def _tell_consent(row: ScheduledCharge, *, box: Mailbox, consent: AutoRenewal) -> None:
    charge_on = charge_day_from(row.expiry, today=clock.today())  # for who agrees today
    _tell(row, "auto_consent", box=box, agreed=consent.amount, charge_on=charge_on, until=_day_before(row.expiry))


# --- Tried ------------------------------------------------------------------------------------------------------------


def placed(row: ScheduledCharge, *, order: Order, today: date) -> None:
    """Its order stands: what follows is the charge. Box locked, in the transaction that places the order."""
    row.order, row.amount = order, order.total
    _move(row, Status.TRYING, due_on=today)


def begin(order: Order, *, today: date) -> bool:
    """Take the right to charge this order today, in the transaction that inserts the attempt (order locked).

    False when its automatic renewal was switched off, when an attempt of today was made, or when the expiry has passed.
    """
    held = _held(order)
    if held is None:
        return True
    box, row = held
    if row.status != Status.TRYING or row.due_on is None or not row.due_on <= today <= row.expiry:
        return False
    if is_stale(box, row):
        return False
    row.tries += 1
    row.due_on = None  # until the outcome is known nobody tries again (R19)
    row.save(update_fields=["tries", "due_on"])
    return True


def attempt_over(order: Order, payment: Payment, *, today: date) -> None:
    """An automatic attempt has its outcome (order and payment locked): retried, or over and told (R24)."""
    held = _held(order)
    if held is None or held[1].status != Status.TRYING:
        return
    box, row = held
    if payment.status == Payment.Status.REGISTERED:  # the money is here, though the order does not take it: a case
        _end(row, box, Status.CANCELLED, why=_("il denaro ricevuto è da verificare"))
        return
    if payment.decline == Decline.AUTHENTICATION:
        _end(row, box, Status.FAILED, why=_("la banca chiede la tua conferma"))
        _tell(row, "charge_confirm", box=box, reason=payment.reason)
        return
    again = None if payment.decline == Decline.HARD else next_try(row.expiry, after=today)
    if again is None:
        _end(row, box, Status.FAILED, why=payment.reason or _("la banca non ha accettato l'addebito"))
        _tell(row, "charge_failed", box=box, reason=payment.reason)
        return
    row.due_on, row.why = again, payment.reason[:200]
    row.save(update_fields=["due_on", "why"])
    if row.tries == 1 and payment.status == Payment.Status.FAILED:
        _tell(row, "charge_retry", box=box, reason=payment.reason, again=again)


def order_moved(order: Order) -> None:
    """The order was paid or closed (locked, in that transaction): its charge is over. Any order; twice is once."""
    if order.is_awaiting_payment:
        return
    held = _held(order)
    if held is None:
        return
    box, row = held
    if row.status != Status.TRYING:
        if order.paid_at and box.expires_on == row.expiry:
            _over(box)  # should the period be reversed, this expiry has had its charge
        return
    automatic = Payment.objects.filter(
        order=order, started_by=None, method__isnull=False, status__in=(Payment.Status.REGISTERED, "refunded")
    )
    if order.paid_at is None:
        _end(row, box, Status.CANCELLED, why=_("ordine chiuso"))
    elif automatic.exists():
        _end(row, box, Status.CHARGED, why="")
    else:
        _end(row, box, Status.CANCELLED, why=_("pagato dal cliente"))


def orders_moved(orders: Iterable[Order]) -> None:
    """The same for a batch (locked): one query where none of them was placed automatically, boxes locked by id."""
    automatic = {order.pk: order for order in orders if order.placed_by_id is None}
    if not automatic:
        return
    for order_id in ScheduledCharge.objects.filter(order__in=automatic).order_by("box").values_list("order", flat=True):
        order_moved(automatic[order_id])


def expiry_came_back(box: Mailbox) -> None:
    """The period after this expiry was taken back (box locked): what was to be charged for it has had its chance.

    Without this a box that renews by itself would be charged no more and offered no Rinnova (R4). A new consent begins
    it anew.
    """
    row = of(box)
    if row is None:
        return
    if row.status in ScheduledCharge.OPEN:
        drop(row, why=_("il periodo è stato stornato"))
    _over(box)


def _held(order: Order) -> tuple[Mailbox, ScheduledCharge] | None:
    """The charge of an order with its box locked; None for an order that nobody placed automatically."""
    if order.placed_by_id is not None:
        return None
    box_id = ScheduledCharge.objects.filter(order=order).values_list("box_id", flat=True).first()
    if box_id is None:
        return None
    box = locked_box(box_id)
    row = ScheduledCharge.objects.filter(order=order).first()
    if row is None:
        return None
    row.order = order
    return box, row


def locked_box(box_id: int) -> Mailbox:
    """A box under its lock, with all that its mails and its price need."""
    related = ("address", "plan", "next_plan", "holder", "owner", "owner__billing")
    return Mailbox.objects.locked().select_related(*related).get(pk=box_id)


# --- Over -------------------------------------------------------------------------------------------------------------


def postpone(row: ScheduledCharge, *, to: date) -> None:
    row.due_on = to
    row.save(update_fields=["due_on"])


def cancel(box: Mailbox, *, why: str) -> None:
    """Automatic renewal ended: whatever charge of it is open is over (box locked). An open order stays as it is."""
    for row in ScheduledCharge.objects.filter(box=box, status__in=ScheduledCharge.OPEN):
        drop(row, why=why)


def drop(row: ScheduledCharge, *, why: str) -> None:
    """Not needed any more (box locked); nobody is told."""
    row.why = why
    _move(row, Status.CANCELLED, due_on=None)


def fail(row: ScheduledCharge, *, box: Mailbox, why: str, tell: bool = True) -> None:
    """Over without an attempt that could go on (box locked); Rinnova shows again (R4)."""
    _end(row, box, Status.FAILED, why=why)
    if tell:
        _tell(row, "charge_failed", box=box, reason=why)


def _end(row: ScheduledCharge, box: Mailbox, status: str, *, why: str) -> None:
    row.why = why[:200]
    _move(row, status, due_on=None)
    if box.expires_on == row.expiry:
        _over(box)


def _over(box: Mailbox) -> None:
    """No charge comes for this expiry, as things are: the customer may renew by hand (R4)."""
    box.auto_over_for = box.expires_on
    box.save(update_fields=["auto_over_for"])


def _check(row: ScheduledCharge, to: str) -> None:
    if to not in ScheduledCharge.MOVES[row.status]:
        raise IllegalMoveError(f"scheduled charge {row.pk}: {row.status} → {to}")


def _move(row: ScheduledCharge, to: str, *, due_on: date | None) -> None:
    _check(row, to)
    row.status, row.due_on = to, due_on
    row.save()


def _tell(row: ScheduledCharge, template: str, *, box: Mailbox, **facts: object) -> None:
    """To the holder's contact and the account (R12): no word of whose method it is (R24b)."""
    assert transaction.get_connection().in_atomic_block
    context: dict[str, object] = {
        "box": box, "charge": row, "order": row.order, "today": clock.today(),
        "expired": row.expiry < clock.today(), "consumer": is_consumer(box),
        "free_exit": is_consumer(box) and row.notice_in_time is False, **facts,
    }  # fmt: skip
    facts["reason"] = str(facts.get("reason", "")).rstrip(".")
    mail.send(template, to=contacts(box), context={**context, **facts})
