"""A paid period taken back, and the space that went with it (§4 PaidPeriod, R15, R26b).

With flows.py the only writer of dates, anchors, capacity and periods. Boxes and domains come locked, in a transaction;
whoever commits asks flows.start_change for what waits on today: the real usage is measured outside the lock (R7).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from mailboxes import rules
from mailboxes.models import BoxEvent, Domain, Mailbox, PaidPeriod, Plan
from mailboxes.models.boxes import Phase
from pecportal import clock
from pecportal.errors import RefusedError


@dataclass(frozen=True)
class Space:
    """What a fulfilled space order paid for: plan and total GB, through the expiry the box had then."""

    ends: date
    plan: Plan
    mailbox_gb: int
    archive_gb: int


def refusal_to_reverse(period: PaidPeriod, *, today: date) -> str:
    """Why a period cannot be reversed on a day, in a sentence, or "" (§4)."""
    try:
        _dates(period, today=today, anchor=(1, 1), grace_days=settings.GRACE_DAYS)
    except rules.NotLastPeriodError:
        return _("Dopo questo periodo ce n'è un altro già pagato: prima va tolto quello.")
    except rules.PeriodOverError:
        return _("Questo periodo è già finito: non c'è più niente da togliere.")
    except ValueError:
        return _("È l'unico periodo pagato: non si può togliere.")
    return _("Questo periodo è già stato tolto.") if period.reversed_on else ""


def _dates(period: PaidPeriod, *, today: date, anchor: tuple[int, int], grace_days: int) -> rules.Reversal:
    of = {"box": period.box_id} if period.box_id else {"domain": period.domain_id}
    terms = {p.pk: rules.Term(p.starts, p.ends, p.reversed_on) for p in PaidPeriod.objects.filter(reverses=None, **of)}
    least = today + timedelta(days=settings.GRACE_DAYS)
    return rules.reverse(
        terms.values(), terms[period.pk], on=today, anchor_month=anchor[0], anchor_day=anchor[1],
        grace_days=grace_days, not_before=max(least, period.moved_delete_from or least),
    )  # fmt: skip


def dates_after(period: PaidPeriod, *, today: date) -> rules.Reversal:
    """The dates of a box or domain if this period of it were reversed today; refusal_to_reverse said that it may."""
    target = period.box or period.domain
    assert target is not None  # period_box_xor_domain
    anchor = (target.anchor_month or 1, target.anchor_day or 1)
    grace_days = target.grace_days if isinstance(target, Domain) else settings.GRACE_DAYS
    return _dates(period, today=today, anchor=anchor, grace_days=grace_days)


def _take_back(period: PaidPeriod, target: Mailbox | Domain, *, today: date, grace_days: int) -> None:
    """Mark the period, insert the row that reverses it, write the dates together."""
    period.refresh_from_db()
    if refusal := refusal_to_reverse(period, today=today):
        raise RefusedError(refusal)
    anchor = (target.anchor_month or 1, target.anchor_day or 1)
    dates = _dates(period, today=today, anchor=anchor, grace_days=grace_days)
    period.reversed_on = today
    period.save(update_fields=["reversed_on"])
    PaidPeriod.objects.create(
        box_id=period.box_id, domain_id=period.domain_id, starts=period.starts, ends=period.ends, plan=period.plan,
        mailbox_gb=period.mailbox_gb, archive_gb=period.archive_gb, source=None, reverses=period,
    )  # fmt: skip
    if target.phase != Phase.LIVE:
        return  # past the point of no return: only the books are put right
    target.expires_on, target.delete_from = dates.expires_on, dates.delete_from
    target.anchor_month, target.anchor_day = dates.anchor_month, dates.anchor_day
    target.save(update_fields=["expires_on", "delete_from", "anchor_month", "anchor_day"])


def reverse_period(*, box: Mailbox, period: PaidPeriod, today: date, space: Iterable[Space]) -> None:
    """Take back the last period of a standalone box (locked): dates, space, diary, platform (§4, R15).

    `space`: the space orders that stand. The expiry that comes back is one the sweep has not recorded for it, so that
    it is recorded on its day. Raises RefusedError: reversed already, not the last, over, the only one.
    """
    _take_back(period, box, today=today, grace_days=settings.GRACE_DAYS)
    box.expiry_recorded_for = None
    box.platform_due_at = clock.now()
    box.save(update_fields=["expiry_recorded_for", "platform_due_at"])
    detail = _("tolto %(starts)s – %(ends)s, scade il %(expiry)s") % {
        "starts": period.starts, "ends": period.ends, "expiry": box.expires_on,
    }  # fmt: skip
    BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.REVERSED, detail=detail[:200])
    put_back_space(box=box, space=space, today=today)


def reverse_domain_period(*, domain: Domain, boxes: Iterable[Mailbox], period: PaidPeriod, today: date) -> None:
    """The same for a domain (locked, its live boxes too): they carry copies of its dates (R17)."""
    _take_back(period, domain, today=today, grace_days=domain.grace_days)
    for box in boxes:
        if box.phase != Phase.LIVE:
            continue
        box.expires_on, box.delete_from = domain.expires_on, domain.delete_from
        box.expiry_recorded_for, box.platform_due_at = None, clock.now()
        box.save(update_fields=["expires_on", "delete_from", "expiry_recorded_for", "platform_due_at"])
        BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.REVERSED, detail=f"{domain.expires_on}")


def put_back_space(*, box: Mailbox, space: Iterable[Space], today: date) -> None:
    """Space goes back to what is still paid for (box locked): see rules.capacity_after_reversal."""
    if box.phase != Phase.LIVE:
        return
    plans, left = {box.plan.rank: box.plan}, []
    periods = list(
        box.periods.filter(reverses=None, reversed_on=None, plan__isnull=False)
        .select_related("plan")
        .order_by("starts")
    )
    begun = [p for p in periods if p.starts <= today]
    for period in [*begun[-1:], *(p for p in periods if p.starts > today)]:
        assert period.plan is not None
        plans[period.plan.rank] = period.plan
        paid = rules.Capacity(period.plan.rank, period.mailbox_gb or 0, period.archive_gb or 0)
        for more in space:
            if more.ends == period.ends:
                plans[more.plan.rank] = more.plan
                paid = paid.larger(rules.Capacity(more.plan.rank, more.mailbox_gb, more.archive_gb))
        left.append(rules.Paid(period.ends, paid))
    result = rules.capacity_after_reversal(in_force=box.capacity, left=left, today=today)
    before = f"{box.plan} {box.mailbox_gb}+{box.archive_gb} GB"
    box.plan = plans[result.now.rank]
    box.mailbox_gb, box.archive_gb = result.now.mailbox_gb, result.now.archive_gb
    later = result.later
    box.next_plan = plans[later.rank] if later else None
    box.next_mailbox_gb = later.mailbox_gb if later else None
    box.next_archive_gb = later.archive_gb if later else None
    box.change_on, box.change_refused_on, box.platform_due_at = result.change_on, None, clock.now()
    box.save(
        update_fields=[
            "plan", "mailbox_gb", "archive_gb", "next_plan", "next_mailbox_gb", "next_archive_gb", "change_on",
            "change_refused_on", "platform_due_at",
        ]
    )  # fmt: skip
    after = f"{box.plan} {box.mailbox_gb}+{box.archive_gb} GB"
    if after != before:
        BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.CAPACITY, detail=f"{before} → {after}")


def restore_dates(*, box_id: int, today: date) -> None:
    """Write the dates of a live box anew from what they come from: its periods, or its domain (R15, R17).

    For the reconciliation, when something else has written them. A box never comes nearer to its deletion than
    GRACE_DAYS from today. Raises RefusedError when there is no period to go by.
    """
    with transaction.atomic(durable=True):
        found = Mailbox.objects.values_list("domain_id", flat=True).get(pk=box_id)
        domain = Domain.objects.select_for_update(no_key=True, of=("self",)).get(pk=found) if found else None
        box = Mailbox.objects.locked().get(pk=box_id)
        if box.phase != Phase.LIVE or box.expires_on is None or box.delete_from is None:
            return
        terms = [rules.Term(p.starts, p.ends, p.reversed_on) for p in box.periods.filter(reverses=None)]
        expiry = domain.expires_on if domain else rules.expiry_of(terms)
        if expiry is None:
            raise RefusedError(_("La casella non ha periodi pagati da cui riprendere la scadenza."))
        if domain is not None:
            delete_from = domain.delete_from
        else:
            least = today + timedelta(days=settings.GRACE_DAYS)
            # An expiry that does not come earlier brings no earlier deletion either, however GRACE_DAYS changed (R13).
            least = max(least, box.delete_from) if expiry >= box.expires_on else least
            delete_from = rules.deletion_day(expiry, grace_days=settings.GRACE_DAYS, not_before=least)
        if (box.expires_on, box.delete_from) == (expiry, delete_from):
            return
        before = box.expires_on
        box.expires_on, box.delete_from = expiry, delete_from
        box.expiry_recorded_for, box.platform_due_at = None, clock.now()
        box.save(update_fields=["expires_on", "delete_from", "expiry_recorded_for", "platform_due_at"])
        detail = _("scadenza riscritta dai periodi: %(before)s → %(after)s") % {"before": before, "after": expiry}
        BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.REVERSED, detail=detail[:200])
