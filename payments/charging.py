"""The daily job of automatic renewal: announce, ask, charge, try again (R24, R25).

Due is "on or before, and not yet done": safe to run twice, at once, or killed half-way. Notices are read in batches by
keyset, charges in any order; each box is done in transactions of its own, under its lock, where it is looked at again.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from mailboxes.catalogue import prices_on
from mailboxes.flows import measured
from mailboxes.hosting import is_hosted
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments import auto_renewal, flows, scheduled
from payments.models import AutoRenewal, ScheduledCharge
from pecportal import clock
from renewals import flows as orders
from renewals import rules
from renewals.models import Kind, Order
from renewals.terms import VERSION

log = logging.getLogger(__name__)
BATCH = 500
Status = ScheduledCharge.Status


def run(*, seconds: float = 200) -> bool:
    """Do what is due today, at most for `seconds`; whether more is left that another run at once would get done."""
    today, stop_at = clock.today(), time.monotonic() + seconds
    notices_left = _each(_ids(due_notices(today), "expires_on"), announce, stop_at)
    return _each(_in_any_order(due_charges(today)), step, stop_at) or notices_left


def due_notices(day: date) -> QuerySet[Mailbox]:
    """Boxes that renew by themselves, whose charge of this expiry is to be announced by `day` (R25)."""
    told = ScheduledCharge.objects.filter(box=OuterRef("pk"), expiry=OuterRef("expires_on"))
    return Mailbox.objects.filter(
        Q(auto_over_for=None) | ~Q(auto_over_for=F("expires_on")),
        ~Exists(told),
        auto_renews=True,
        phase=Phase.LIVE,
        kind=Mailbox.Kind.STANDALONE,
        expires_on__gte=day,
        expires_on__lte=day + timedelta(days=settings.AUTO_NOTICE_DAYS),
    )


def due_charges(day: date) -> QuerySet[ScheduledCharge]:
    """Charges with something to do by `day`."""
    return ScheduledCharge.objects.filter(due_on__lte=day)


def _each(ids: Iterable[int], work: Callable[[int], None], stop_at: float) -> bool:
    """Whether time ran out while most of the work went well: then it is worth going on at once."""
    well = failed = 0
    for pk in ids:
        if time.monotonic() >= stop_at:
            return failed <= well
        try:
            work(pk)
        except Exception:  # one charge that fails keeps no other waiting
            failed += 1
            log.exception("automatic renewal: %s %s failed; it is tried again by the next run", work.__name__, pk)
        else:
            well += 1
    return False


def _ids(due: QuerySet, by: str) -> Iterator[int]:
    """The ids of `due`, read in batches by keyset on the date `by` and the id."""
    after: tuple[date, int] | None = None
    while True:
        page = due
        if after is not None:
            page = due.filter(Q(**{f"{by}__gt": after[0]}) | Q(**{by: after[0], "pk__gt": after[1]}))
        rows = list(page.order_by(by, "pk").values_list(by, "pk")[:BATCH])
        if not rows:
            return
        after = rows[-1]
        for _date, pk in rows:
            yield pk


def _in_any_order(due: QuerySet) -> list[int]:
    """The ids of `due`, another order each time: a charge asks the mail system, and boxes on which that hangs, the same
    at each run, would use up the time of all the others."""
    ids = list(due.values_list("pk", flat=True))
    random.shuffle(ids)
    return ids


def announce(box_id: int) -> None:
    """Announce the charge of a box: row and mails in one transaction (R25). Looked at again under the lock."""
    today = clock.today()
    with transaction.atomic(durable=True):
        box = scheduled.locked_box(box_id)
        if not due_notices(today).filter(pk=box_id).exists():
            return
        consent = scheduled.consent_of(box)
        if consent is None:
            log.error("box %s renews by itself without a consent: nothing is charged", box_id)
            return
        amount = auto_renewal.amount_of(box, years=consent.years, day=today)
        scheduled.announce(box=box, consent=consent, amount=amount, today=today)


def step(charge_id: int) -> None:
    """The next step of a charge whose day has come."""
    row = ScheduledCharge.objects.get(pk=charge_id)
    order_id = _place(row) if row.status == Status.ANNOUNCED else None
    if row.status == Status.TRYING:
        order_id = _still_trying(row)
    elif row.status == Status.CONSENT:
        _ask(row)
    if order_id is not None:
        _charge(order_id)


def _again(box: Mailbox, charge_id: int, status: str, today: date) -> ScheduledCharge | None:
    """The charge read again under the box lock, if its step is still due; over where its time or its reason is."""
    row = ScheduledCharge.objects.select_related("order").get(pk=charge_id)
    if row.status != status or row.due_on is None or row.due_on > today:
        return None  # another worker was quicker
    if scheduled.is_stale(box, row):
        scheduled.drop(row, why=_("non serve più"))
        return None
    if today > row.expiry:
        scheduled.fail(row, box=box, why=_("non addebitato entro la scadenza"), tell=status != Status.CONSENT)
        return None
    return row


def _ask(row: ScheduledCharge) -> None:
    """Ask once more for the consent at E−15; on E it is too late for a charge (R24)."""
    today = clock.today()
    with transaction.atomic(durable=True):
        box = scheduled.locked_box(row.box_id)
        fresh = _again(box, row.pk, Status.CONSENT, today)
        consent = scheduled.consent_of(box)
        if fresh is None or consent is None:
            return
        if today >= fresh.expiry:
            # Rinnova has shown since it was asked, and the notices of the expiry go on: no mail more for this.
            scheduled.fail(fresh, box=box, why=_("il nuovo importo non è stato accettato"), tell=False)
        elif fresh.consent_asked_again_on is None:
            scheduled.ask_again(fresh, box=box, consent=consent, today=today)


def _still_trying(row: ScheduledCharge) -> int | None:
    """The order to charge again, unless its time is over or automatic renewal was switched off."""
    with transaction.atomic(durable=True):
        box = scheduled.locked_box(row.box_id)
        fresh = _again(box, row.pk, Status.TRYING, clock.today())
    return fresh.order_id if fresh else None


def _place(row: ScheduledCharge) -> int | None:
    """Place the order that the charge pays, in one transaction with the charge's move; the id of it (R7, R24)."""
    address = Mailbox.objects.values_list("address__name", flat=True).get(pk=row.box_id)
    used = measured([address])[address]  # asked before the lock: nothing slow under it
    today = clock.today()
    with transaction.atomic(durable=True):
        box = scheduled.locked_box(row.box_id)
        fresh = _again(box, row.pk, Status.ANNOUNCED, today)
        consent = scheduled.consent_of(box)
        if fresh is None or consent is None:
            return None
        lines = orders.open_lines(box)
        if rules.offer(orders.facts(box), today) is not rules.Reason.AUTO_RENEWAL:
            scheduled.postpone(fresh, to=today + timedelta(days=1))  # an order stands open: paid, or over on E
            return None
        prices = prices_on(today)
        choice = auto_renewal.next_choice(box)
        choice = replace(choice, plan=prices.row(choice.plan.code), archive_loss_accepted=True)
        space_open = any(line.kind == Kind.SPACE for line in lines)
        if orders.problems_of(box=box, choice=choice, used=used, space_order_open=space_open):
            scheduled.fail(fresh, box=box, why=_("lo spazio del prossimo periodo non basta"))
            return None
        priced = orders.quote(box=box, choice=choice, years=consent.years, prices=prices)
        if priced.totals.total > min(fresh.amount, consent.amount):
            amount = priced.totals.total
            scheduled.ask_consent(fresh, box=box, consent=consent, amount=amount, today=today)
            return None
        try:
            with transaction.atomic():
                order = orders.place_automatic(
                    box=box, choice=choice, priced=priced, email=_email(box, consent), method=consent.method.provider,
                    terms_version=_terms(box, consent), agreed_at=consent.agreed_at,
                )  # fmt: skip
        except IntegrityError:  # line_one_open_per_box, whatever the look above saw
            log.warning("box %s: an open order stands, nothing is charged today", box.pk)
            return None
        scheduled.placed(fresh, order=order, today=today)
    return order.pk


def _terms(box: Mailbox, consent: AutoRenewal) -> str:
    """Those accepted with the consent's order; given by hand, those last accepted for the box, if any ever were."""
    if consent.order is not None:
        return consent.order.terms_version
    last = Order.objects.filter(lines__mailbox=box).order_by("-confirmed_at").first()
    return last.terms_version if last else VERSION


def _email(box: Mailbox, consent: AutoRenewal) -> str:
    """The account's e-mail; the holder's contact where there is none or the method is the mailbox login's (R24b)."""
    known = [box.owner.email, box.holder.contact_email]
    if consent.method.login.is_mailbox:
        known.reverse()
    usable = [address for address in known if address and not is_hosted(address)]
    return next(iter(usable), box.owner.email or box.holder.contact_email)


def _charge(order_id: int) -> None:
    """Charge an order to the method of the consent that stands: never under a lock, never twice (R19, R20)."""
    row = ScheduledCharge.objects.select_related("box").get(order_id=order_id)
    consent = scheduled.consent_of(row.box)
    if consent is None:
        return
    try:
        flows.charge(order_id=order_id, method=consent.method)
    except flows.NotPayableError:
        with transaction.atomic(durable=True):  # paid or closed meanwhile
            scheduled.order_moved(Order.objects.locked().get(pk=order_id))
    except flows.UnknownPaymentError:
        log.info("order %s has an attempt under way: nobody else charges it", order_id)
