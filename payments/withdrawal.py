"""Recesso: a consumer leaves a contract on the screen, in two steps. Within 14 days (R26b; arts. 52, 54-bis, 57 cod.
consumo); after them, an automatic renewal that was not announced in time, until the next expiry (R25, see free_exit).
Money that was kept and money that goes back add up to what was paid, to the cent."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes.models import Domain, Mailbox
from mailboxes.reversals import dates_after, refusal_to_reverse
from mailboxes.rules import Reversal
from payments import auto_renewal, cases, free_exit, refunds
from payments.giving_back import CENT, give_back, lock_money, money_of, promised, split, take_back
from payments.models import AutoRenewal, Payment, Receipt, Refund, Withdrawal
from pecportal import clock, mail
from pecportal.errors import RefusedError
from pecportal.formats import euro, fino, il
from renewals import settle, undoing
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
    if not _is_theirs(order, user):
        return _("Da questo ordine può recedere solo chi lo ha fatto o l'account a cui è intestato.")
    if Withdrawal.objects.filter(order=order).exists():
        return _("Sei già receduto da questo ordine: la ricevuta è nell'e-mail che ti abbiamo mandato.")
    if order.is_awaiting_payment:
        return _("L'ordine non è ancora pagato: per lasciarlo basta annullarlo.")
    if order.status not in OPEN_TO_IT:
        return _("Non c'è niente da cui recedere: l'ordine risulta «%(state)s».") % {"state": order.state_in_words}
    if today > last_day(order) and (why := _refusal_after_14_days(order, user=user, today=today)):
        return why
    for line in order.lines.all():
        if line.period is not None and (why := refusal_to_reverse(line.period, today=today)):
            later = _later_order(order, line.box or line.domain)
            return why if later is None else _leave_later_first(later, line, user=user, today=today)
    return ""


def _leave_later_first(later: Order, line: OrderLine, *, user: User, today: date) -> str:
    if until(later, user=user, today=today) is None:
        if line.domain_id:
            told = _(
                "Dopo questo ordine il dominio è stato rinnovato con l'ordine %(order)s, da cui qui non puoi più "
                "recedere: scrivi all'assistenza."
            )
        else:
            told = _(
                "Dopo questo ordine la casella è stata rinnovata con l'ordine %(order)s, da cui qui non puoi più "
                "recedere: scrivi all'assistenza."
            )
    elif line.domain_id:
        told = _("Dopo questo ordine il dominio è stato rinnovato ancora: recedi prima dall'ordine %(order)s.")
    else:
        told = _("Dopo questo ordine la casella è stata rinnovata ancora: recedi prima dall'ordine %(order)s.")
    return told % {"order": later}


def _refusal_after_14_days(order: Order, *, user: User, today: date) -> str:
    free = free_exit.ends_on(order)
    if free is None:
        return _("I 14 giorni per recedere sono finiti %(day)s. Se c'è un problema, scrivi all'assistenza.") % {
            "day": il(last_day(order))
        }
    if today > free:
        return _("Potevi recedere senza costi %(fino)s: quel periodo è finito.") % {"fino": fino(free)}
    for space in free_exit.space_on_top(order):
        if _is_theirs(space, user):  # who cannot leave it is not kept from leaving this one
            return _(
                "Con questo rinnovo finisce anche lo spazio aggiunto con l'ordine %(order)s: recedi prima da quello, "
                "così ti restituiamo anche la sua parte."
            ) % {"order": space}
    return ""


def _is_theirs(order: Order, user: User) -> bool:
    """Whether `user` made the contract: the account it is in the name of, or the login that ordered it.

    Nobody orders an automatic renewal: of a mailbox login is what its own method paid (R24b).
    """
    if user.pk in (order.owner_id, order.placed_by_id):
        return True
    if order.placed_by_id is not None or not user.is_mailbox:
        return False
    paid = (Payment.Status.REGISTERED, Payment.Status.REFUNDED)
    return Payment.objects.filter(order=order, started_by=None, method__login=user, status__in=paid).exists()


def _later_order(order: Order, target: Mailbox | Domain | None) -> Order | None:
    """The order that paid the last period of a box or domain, if it is another."""
    if target is None:
        return None
    last = target.periods.filter(reverses=None, reversed_on=None).order_by("-starts").first()
    line = getattr(last, "order_line", None)
    return line.order if line is not None and line.order_id != order.pk else None


def until(order: Order, *, user: User, today: date) -> date | None:
    """The last day, where the page of an order shows «Recedere dal contratto qui»; else None.

    An order that was withdrawn from is none of OPEN_TO_IT any more. Of orders read with free_exit.with_until nothing
    is asked, but whose an automatic renewal is where a mailbox login looks at it.
    """
    if not order.is_consumer or order.status not in OPEN_TO_IT:
        return None
    last = max(last_day(order), free_exit.ends_on(order) or last_day(order))
    return last if today <= last and _is_theirs(order, user) else None


def free_until(order: Order, *, user: User, today: date) -> date | None:
    """The last day on which `user` may leave an order free of costs for want of a notice in time (R25); else None."""
    free = free_exit.ends_on(order)
    return free if free is not None and until(order, user=user, today=today) is not None and today <= free else None


def dates_if_left(order: Order, *, today: date) -> Reversal | None:
    """Expiry and deletion day of the box of an order that may be left today; None where no date moves."""
    periods = [line.period for line in order.lines.all() if line.period is not None]
    try:
        return dates_after(periods[0], today=today) if len(periods) == 1 else None
    except ValueError:  # taken back, or renewed once more, while the page was being made
        return None


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
    """What leaving an order today gives back, and why so much (R26b); after the 14 days, by R25 (free_exit)."""
    parts, free = money_of(order), today > last_day(order)
    held = sum((part.amount for part in parts), Decimal(0)) - promised(order)
    kept, reason = Decimal(0), _("Tutto: l'ordine non è ancora cominciato.")
    if order.status == Order.Status.FULFILLED:
        spans = _spans(order)
        begun = [span for span in spans if span[0] <= today]
        if not order.immediate_start and not free:
            reason = _("Tutto: non avevi chiesto che il servizio cominciasse subito.")
        elif not spans:
            reason = _("Tutto.")
        elif not begun:
            reason = _("Tutto: il nuovo periodo comincia %(day)s.") % {"day": il(spans[0][0])}
        else:
            (starts, ends), used_from = begun[0], clock.rome_date(order.fulfilled_at) if order.fulfilled_at else today
            kept = min(held, pro_rata(order.amount_due, starts=starts, ends=ends, used_from=used_from, today=today))
            used = (min(today, ends) - max(starts, used_from)).days + 1
            enjoyed = _("%(kept)s per i giorni goduti (%(used)s di %(all)s)") % {
                "kept": euro(kept), "used": used, "all": (ends - starts).days + 1,
            }  # fmt: skip
            reason = (_free_words() if free else _("Avevi chiesto di cominciare subito: tratteniamo %s.")) % enjoyed
    taken = split(parts, held - kept)
    by_bank = sum((part.amount for part in taken if isinstance(part.source, Receipt)), Decimal(0))
    ends_auto = _consents_that_end(order).exists()
    return Offer(amount=held - kept, kept=kept, by_bank=by_bank, reason=reason, ends_auto=ends_auto)


def _free_words() -> str:
    return _(
        "Recedi senza costi, perché l'avviso del rinnovo automatico non ti era arrivato in tempo: tratteniamo solo %s, "
        "oggi compreso."
    )


def _consents_that_end(order: Order) -> QuerySet[AutoRenewal]:
    """What the order's payment switched on; of a renewal that R25 lets go, whatever would renew its box again."""
    which = Q(order=order)
    if order.kind == Kind.RENEWAL and free_exit.ends_on(order) is not None:
        which |= Q(box__in=order.lines.values("mailbox"))
    return AutoRenewal.objects.filter(which, ended_at=None)


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
        late = today > last_day(order)
        why = _("recesso senza costi: avviso del rinnovo non in tempo") if late else _("recesso del consumatore")
        consents = list(_consents_that_end(order).values_list("pk", flat=True))
        by_bank = give_back(order, amount=found.amount, actor=user, why=why)
        undoing.give_up(order, why=why, actor=user)  # what it has not given yet
        cases.close_lines(order=order, actor=user, resolution=why)
        if order.status == Order.Status.FULFILLED:  # what it has
            take_back(order, why=why, actor=user)
        ids = [line.box_id for line in order.lines.select_related("period") if line.box_id]
        boxes = list(Mailbox.objects.locked().filter(pk__in=ids).select_related("address").order_by("pk"))
        ended = auto_renewal.end_with_order(consents=consents, boxes=boxes)
        # Of a purchase the box that came to life, if it did: an address alone has no dates to tell.
        bought = {"box": boxes[0] if boxes else None, "domain": None}
        context: dict[str, object] = {
            "order": order, "withdrawal": done,
            **(bought if order.kind == Kind.PURCHASE else settle.subject_of(order)),
            "moment": now.astimezone(clock.ROME),
            "reason": found.reason, "by_bank": by_bank, "elsewhere": done.amount - by_bank,
            "iban_end": done.iban[-4:], "auto_ended": bool(ended),
            "by_itself": order.placed_by_id is None,
        }  # fmt: skip
        mail.send("withdrawal", to=[email], context=context)
        if order.owner.email.lower() != email.lower():
            mail.send("withdrawal", to=[order.owner.email], context=context)
    return done
