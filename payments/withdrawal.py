"""Recesso: a consumer leaves a contract within 14 days, on the screen, in two steps (R26b; arts. 52, 54-bis, 57 cod.
consumo). Money that was kept and money that goes back add up to what was paid, to the cent."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes.models import Mailbox
from mailboxes.reversals import refusal_to_reverse
from payments import auto_renewal, cases, refunds
from payments.giving_back import CENT, give_back, lock_money, money_of, promised, split, take_back
from payments.models import AutoRenewal, Receipt, Refund, Withdrawal
from pecportal import clock, mail
from pecportal.errors import RefusedError
from pecportal.formats import day, euro, il
from renewals import settle
from renewals.models import Kind, Order, OrderLine

DAYS = 14  # to leave, from the day of the contract, which does not count itself (art. 52); to refund (art. 56)
OPEN_TO_IT = (Order.Status.PAID, Order.Status.ATTENTION, Order.Status.FULFILLED)


class ChangedError(RefusedError):
    """What the page promised is not what today gives: it is shown anew before it is confirmed."""

    def __init__(self) -> None:
        super().__init__(_("L'importo del rimborso è cambiato: ricontrollalo e conferma di nuovo."))


@dataclass(frozen=True)
class Offer:
    """What leaving today comes to, EUR. `by_bank`: the part of `amount` that needs an IBAN."""

    amount: Decimal
    kept: Decimal
    by_bank: Decimal
    reason: str
    ends_auto: bool


def pro_rata(paid: Decimal, *, starts: date, ends: date, used_from: date, today: date) -> Decimal:
    """What of `paid` is kept for the days enjoyed, today included, half-up: never more than all of it (art. 57).

    Days before `used_from` (the box was Scaduta, the order not yet fulfilled) were not enjoyed and are not charged.
    """
    whole = (ends - starts).days + 1
    used = min(max((today - max(starts, used_from)).days + 1, 0), whole)
    return (paid * used / whole).quantize(CENT, ROUND_HALF_UP)


def last_day(order: Order) -> date:
    """The last day of the 14."""
    return clock.rome_date(order.confirmed_at) + timedelta(days=DAYS)


def refusal(order: Order, *, user: User, today: date) -> str:
    """Why `user` cannot withdraw from an order today, in a sentence, or "" when it can (R26b)."""
    if not order.is_consumer:
        return _(
            "Il recesso entro 14 giorni è per i consumatori: questo ordine è di un'impresa o di un professionista."
        )
    if order.owner_id != user.pk and order.placed_by_id != user.pk:
        return _("Da questo ordine può recedere solo chi lo ha fatto o l'account a cui è intestato.")
    if Withdrawal.objects.filter(order=order).exists():
        return _("Sei già receduto da questo ordine: la ricevuta è nell'e-mail che ti abbiamo mandato.")
    if order.is_awaiting_payment:
        return _("L'ordine non è ancora pagato: per lasciarlo basta annullarlo.")
    if order.status not in OPEN_TO_IT:
        return _("L'ordine è %(status)s: non c'è niente da cui recedere.") % {
            "status": order.get_status_display().lower()
        }
    if today > last_day(order):
        return _("I 14 giorni per recedere sono finiti il %(day)s. Se c'è un problema, scrivi all'assistenza.") % {
            "day": day(last_day(order))
        }
    for line in order.lines.all():
        if line.period is not None and (why := refusal_to_reverse(line.period, today=today)):
            later = _later_order(order, line.box)
            if later is not None:
                return _(
                    "Dopo questo ordine la casella è stata rinnovata ancora: recedi prima dall'ordine %(order)s."
                ) % {"order": later}
            return why
    return ""


def _later_order(order: Order, box: Mailbox | None) -> Order | None:
    """The order that paid the last period of a box, if it is another."""
    if box is None:
        return None
    last = box.periods.filter(reverses=None, reversed_on=None).order_by("-starts").first()
    line = getattr(last, "order_line", None)
    return line.order if line is not None and line.order_id != order.pk else None


def until(order: Order, *, user: User, today: date) -> date | None:
    """The last day, where the page of an order shows «Recedere dal contratto qui»; else None. Asks for nothing.

    An order that was withdrawn from is none of OPEN_TO_IT any more.
    """
    shown = order.is_consumer and order.status in OPEN_TO_IT and today <= last_day(order)
    own = order.owner_id == user.pk or order.placed_by_id == user.pk
    return last_day(order) if shown and own else None


def told(order: Order) -> tuple[str, str] | None:
    """Title and sentence for the page of an order that was withdrawn from: when, what comes back by when; else None."""
    done = Withdrawal.objects.filter(order=order).first()
    if done is None:
        return None
    declared = done.declared_at.astimezone(clock.ROME)
    back = refunds.total_of(
        Refund.objects.filter(order=order, status=Refund.Status.DONE, created_at__gte=done.declared_at)
    )
    if not done.amount:
        money = _("Non c'è denaro da restituire.")
    elif back >= done.amount:
        money = _("Ti abbiamo restituito %(amount)s.")
    else:
        money = _("Ti rimborsiamo %(amount)s entro %(by)s.")
    sentence = _("Il recesso è arrivato %(when)s alle %(time)s (ora italiana).") + " " + money
    if done.kept:
        sentence += " " + _("Abbiamo trattenuto %(kept)s per i giorni goduti.")
    facts = {
        "when": il(declared), "time": f"{declared:%H:%M}", "amount": euro(done.amount), "kept": euro(done.kept),
        "by": il(declared.date() + timedelta(days=DAYS)),
    }  # fmt: skip
    return _("Recesso registrato"), sentence % facts


def _spans(order: Order) -> list[tuple[date, date]]:
    """First and last day of what a fulfilled order gave: its periods; of space, from when it came to the expiry."""
    given = order.fulfilled_at or order.confirmed_at
    spans = []
    for line in order.lines.all():
        if line.period is not None:
            spans.append((line.period.starts, line.period.ends))
        elif line.kind == Kind.SPACE and line.old_expiry is not None:
            spans.append((clock.rome_date(given), line.old_expiry))
    return spans


def offer(order: Order, *, today: date) -> Offer:
    """What leaving an order today gives back, and why so much (R26b)."""
    parts = money_of(order)
    held = sum((part.amount for part in parts), Decimal(0)) - promised(order)
    kept, reason = Decimal(0), _("Tutto: l'ordine non è ancora cominciato.")
    if order.status == Order.Status.FULFILLED:
        spans = _spans(order)
        begun = [span for span in spans if span[0] <= today]
        if not order.immediate_start:
            reason = _("Tutto: non avevi chiesto che il servizio cominciasse subito.")
        elif not spans:
            reason = _("Tutto.")
        elif not begun:
            reason = _("Tutto: il nuovo periodo comincia il %(day)s.") % {"day": day(spans[0][0])}
        else:
            (starts, ends), used_from = begun[0], clock.rome_date(order.fulfilled_at) if order.fulfilled_at else today
            kept = min(held, pro_rata(order.amount_due, starts=starts, ends=ends, used_from=used_from, today=today))
            used = (min(today, ends) - max(starts, used_from)).days + 1
            reason = _(
                "Avevi chiesto di cominciare subito: tratteniamo %(kept)s per i giorni goduti (%(used)s di %(all)s)."
            ) % {"kept": euro(kept), "used": used, "all": (ends - starts).days + 1}
    taken = split(parts, held - kept)
    by_bank = sum((part.amount for part in taken if isinstance(part.source, Receipt)), Decimal(0))
    auto = AutoRenewal.objects.filter(order=order, ended_at=None).exists()
    return Offer(amount=held - kept, kept=kept, by_bank=by_bank, reason=reason, ends_auto=auto)


def loses_archive(order: Order) -> bool:
    """Whether the space that comes back has no archive while the box has one now (R7: said before it happens)."""
    for line in order.lines.all():
        box = line.mailbox
        if line.status != OrderLine.Status.FULFILLED or box is None or not box.plan.has_archive:
            continue
        others = box.periods.filter(reverses=None, reversed_on=None, plan__isnull=False).order_by("-starts")
        before = next((p for p in others.select_related("plan") if p.pk != line.period_id), None)
        if line.period_id and before is not None and before.plan is not None and not before.plan.has_archive:
            return True
    return False


def withdraw(*, order_id: int, user: User, name: str, email: str, iban: str, shown: Decimal) -> Withdrawal:
    """Record a withdrawal, take back what the order gave, ask its money back, send the receipt; once.

    `shown`: the refund that the second page promised, EUR. `iban` where bank money goes back, else "". Raises
    RefusedError with the sentence, ChangedError.
    """
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        today, now = clock.today(), clock.now()
        if why := refusal(order, user=user, today=today):
            raise RefusedError(why)
        lock_money(order)
        found = offer(order, today=today)
        if found.amount != shown:
            raise ChangedError
        if found.by_bank and not iban:
            raise RefusedError(_("Scrivi l'IBAN su cui rimborsarti: avevi pagato con un bonifico."))
        done = Withdrawal.objects.create(
            order=order, declared_by=user, declared_at=now, name=name, email=email,
            iban=iban if found.by_bank else "", amount=found.amount, kept=found.kept,
        )  # fmt: skip
        why = _("recesso del consumatore")
        by_bank = give_back(order, amount=found.amount, actor=user, why=why)
        settle.give_up(order, why=why, actor=user)  # what it has not given yet
        cases.close_lines(order=order, actor=user, resolution=why)
        if order.status == Order.Status.FULFILLED:  # what it has
            take_back(order, why=why, actor=user)
        ids = [line.box_id for line in order.lines.select_related("period") if line.box_id]
        boxes = list(Mailbox.objects.locked().filter(pk__in=ids).select_related("address").order_by("pk"))
        ended = auto_renewal.end_with_order(order=order, boxes=boxes)
        context: dict[str, object] = {
            "order": order, "withdrawal": done, "box": boxes[0] if boxes else None,
            "moment": now.astimezone(clock.ROME),
            "reason": found.reason, "by_bank": by_bank, "elsewhere": done.amount - by_bank,
            "iban_end": done.iban[-4:], "auto_ended": bool(ended),
        }  # fmt: skip
        mail.send("withdrawal", to=[email], context=context)
        if order.owner.email.lower() != email.lower():
            mail.send("withdrawal", to=[order.owner.email], context=context)
    return done
