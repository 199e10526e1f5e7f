"""Boxes as the area shows them: the list's query, and a card of plain facts for each box."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes import rules
from mailboxes.flows import limits
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.platform.base import Usage
from payments import auto_renewal, readiness
from payments.models import AutoRenewal, Payment
from pecportal.area import dates, reading
from pecportal.area.orders import OrderRow
from pecportal.area.wording import Said
from pecportal.formats import kept
from renewals import purchase, space
from renewals.flows import facts
from renewals.models import Order, OrderLine
from renewals.purchase import Standing
from renewals.rules import Reason, offer

log = logging.getLogger(__name__)
COMPACT_FROM = 11  # from how many boxes on the list a line each is better than a card each
FULL_FROM = 0.9  # from how much of its space a meter is red; from rules.FILLING_UP it warns


@dataclass(frozen=True)
class Meter:
    """One space: what is used of how much, in bytes and whole GB."""

    archive: bool
    used: int
    gb: int

    @property
    def used_gb(self) -> float:
        return round(self.used / rules.GB, 3)

    @property
    def warns_above(self) -> float:
        """A browser's meter is amber above it, not at it."""
        return self.gb * rules.FILLING_UP - 0.001

    @property
    def red_from(self) -> float:
        return self.gb * FULL_FROM

    @property
    def percent(self) -> int:
        return round(100 * self.used / (self.gb * rules.GB))

    @property
    def fills_up(self) -> bool:
        return self.used_gb > self.warns_above


@dataclass(frozen=True)
class OpenOrder:
    """The open renewal order of a box. A mailbox login may not see one that has other boxes in it (R1)."""

    order: Order
    visible: bool
    checking: bool  # an attempt is in an unknown state: neither pay nor cancel (R19)
    running: bool  # an attempt is under way at the provider: who has paid waits
    too_late: bool  # past its own last day (R12b)


@dataclass(frozen=True)
class BoxCard:
    """A box on a day, ready to be written."""

    box: Mailbox
    today: date
    state: rules.State
    reason: Reason
    meters: Sequence[Meter]
    measured: bool
    measured_at: datetime | None
    order: OpenOrder | None
    again: Standing | None = None  # of a deleted box: whether its address can be bought again (R30)
    called_off: bool = False  # In attivazione, but its order is no more: it is being taken away
    consent: AutoRenewal | None = None

    @property
    def local_part(self) -> str:
        """What stands before the @, where a long address may best break."""
        return self.box.address.name.removesuffix(f"@{self.box.address.host}")

    @property
    def is_live(self) -> bool:
        return self.box.phase == Phase.LIVE

    @cached_property
    def expiry(self) -> Said | None:
        return Said(self.box.expires_on, self.today) if self.box.expires_on else None

    @cached_property
    def last_day(self) -> Said | None:
        return Said(self.box.last_renewable_day, self.today) if self.box.last_renewable_day else None

    @property
    def deletion(self) -> Said | None:
        return Said(self.box.delete_from, self.today) if self.box.delete_from else None

    @property
    def change(self) -> Said | None:
        return Said(self.box.change_on, self.today) if self.box.change_on else None

    @cached_property
    def is_soon(self) -> bool:
        """Red: within 90 days of the expiry, or after it."""
        return self.is_live and self.expiry is not None and self.expiry.days <= rules.SOON_DAYS

    @cached_property
    def look(self) -> str:
        """The name of the state's colours and icon (partials/state.html)."""
        if self.state is rules.State.ACTIVE:
            return "in_scadenza" if self.is_soon else "attiva"
        return "scaduta" if self.state is rules.State.AWAITING_DELETION else self.state.value

    @property
    def state_label(self) -> str:
        """The state in words."""
        if self.state is rules.State.AWAITING_DELETION:
            return _("Scaduta, in attesa di cancellazione")
        if self.state is rules.State.ACTIVE and self.is_soon:
            return _("Attiva, in scadenza")
        return self.short_label

    @cached_property
    def short_label(self) -> str:
        """The same in the width of a column."""
        return _short_label(self.state, self.is_soon)

    @property
    def awaits_deletion(self) -> bool:
        """Past its last renewable day (R16)."""
        return self.state is rules.State.AWAITING_DELETION

    @property
    def receives(self) -> bool:
        """Attiva: what is full would refuse messages."""
        return self.state is rules.State.ACTIVE

    @property
    def can_read_only(self) -> bool:
        """Scaduta, within the days in which a renewal saves it."""
        return self.state is rules.State.EXPIRED

    @cached_property
    def charge(self) -> Said | None:
        """The day of the next automatic charge, where one comes for this expiry (R4, R24): on E none unannounced."""
        if self.reason is not Reason.AUTO_RENEWAL or self.box.expires_on is None:
            return None
        announced = getattr(self.box, "charge_due_on", None)
        day = auto_renewal.coming_day(self.box.expires_on, announced=announced, today=self.today)
        return Said(day, self.today) if day else None

    @property
    def auto_findings(self) -> list[readiness.Finding]:
        """What stands against the next automatic charge, or is under way, with what to do (R24)."""
        box = self.box
        if not box.auto_renews or not self.shows_auto or box.expires_on is None or box.expires_on < self.today:
            return []
        status = getattr(box, "charge_status", None) or ""
        retry_on = getattr(box, "charge_due_on", None)
        facts = readiness.Facts(
            has_method=getattr(box, "auto_agreed", None) is not None,
            charge_on=self.charge.day if self.charge else None,
            expires_on=box.expires_on,
            card_month=getattr(box, "auto_card_month", None),
            card_year=getattr(box, "auto_card_year", None),
            status=status,
            retry_on=max(retry_on, self.today) if retry_on else None,
            amount=getattr(box, "charge_amount", None),
            agreed=getattr(box, "auto_agreed", None),
            why=getattr(box, "charge_why", None) or "",
            order_open=self.order is not None,
            lacks_space=self._lacks_space,
        )
        return readiness.findings(facts)

    @property
    def _lacks_space(self) -> bool:
        """What is used does not fit plan and GB of the next period (R7), as far as the mail system told."""
        box, used = self.box, {meter.archive: meter.used for meter in self.meters}
        if not used:
            return False
        choice = auto_renewal.next_choice(box)
        fit = rules.fits(
            limits=limits(choice.plan), mailbox_gb=choice.mailbox_gb, archive_gb=choice.archive_gb,
            mailbox_used=used.get(False, 0), archive_used=used.get(True, 0), drop_archive=not choice.plan.has_archive,
        )  # fmt: skip
        return fit.fit is not rules.Fit.FITS

    @property
    def missed_because(self) -> list[readiness.Finding]:
        """Why no charge comes for this expiry, where that is known."""
        known = (readiness.Code.CONSENT, readiness.Code.FAILED)
        return [found for found in self.auto_findings if found.code in known]

    @property
    def free_exit(self) -> bool:
        """The law's notice did not go in time: a consumer may leave free until the next expiry (R25)."""
        told_late = getattr(self.box, "charge_in_time", None) is False
        return bool(self.charge) and told_late and bool(getattr(self.box, "to_consumer", False))

    @property
    def shows_auto(self) -> bool:
        """Whether automatic renewal has a meaning here: a live box that is renewed by itself, not with its domain."""
        return self.is_live and self.box.domain_id is None and self.state is not rules.State.AWAITING_DELETION

    @cached_property
    def auto_missed(self) -> bool:
        """Switched on, but the charge for this expiry was cancelled, failed or waits for consent (R4)."""
        return self.box.auto_renews and self.box.auto_over_for == self.box.expires_on

    @property
    def can_turn_auto_on(self) -> bool:
        """What R24 asks before it is switched on by hand: no open order, and a day left for the charge."""
        if not self.shows_auto or self.box.auto_renews or self.order is not None or self.box.expires_on is None:
            return False
        return auto_renewal.charge_day_from(self.box.expires_on, today=self.today) is not None

    @property
    def can_add_space(self) -> bool:
        """More GB now, for the months left; the page says why when it turns out that it cannot be (renewals.space)."""
        return self.order is None and not space.refusal(self.box, today=self.today, order_open=False)

    @property
    def points(self) -> Sequence[dates.Point]:
        return self._strip(in_full=False)

    @property
    def all_points(self) -> Sequence[dates.Point]:
        return self._strip(in_full=True)

    @property
    def notices(self) -> list[Said]:
        """The days of the notices still to come (R27); none while the box renews by itself."""
        if not self.is_live or self.charge or self.box.expires_on is None or self.box.delete_from is None:
            return []
        days = dates.notices(self.box.expires_on, today=self.today, delete_from=self.box.delete_from)
        return [Said(day, self.today) for day in days]

    @property
    def days_told(self) -> Sequence[dates.Told]:
        """The strip's days in words, from today on."""
        facts = self._days
        return dates.in_words(**facts) if facts else []

    def _strip(self, *, in_full: bool) -> Sequence[dates.Point]:
        facts = self._days
        return dates.strip(**facts, in_full=in_full) if facts else []

    @property
    def _days(self) -> "dates.Days | None":
        """What the strip and its words are made of; None of a box whose days are over or not there yet."""
        box = self.box
        if not self.is_live or self.state is rules.State.AWAITING_DELETION or not (box.expires_on and box.delete_from):
            return None
        other_plan = box.next_plan if box.next_plan_id != box.plan_id else None
        return {
            "today": self.today,
            "expires_on": box.expires_on,
            "delete_from": box.delete_from,
            "charge_on": self.charge.day if self.charge else None,
            "change_on": box.change_on if box.change_on and box.change_on > self.today else None,
            "change_label": _("passa a %(plan)s") % {"plan": other_plan} if other_plan else _("cambio di spazio"),
        }


def cards(
    boxes: Sequence[Mailbox], *, user: User, today: date, foot: Sequence[OrderRow] | None = None
) -> list[BoxCard]:
    """Cards of boxes read `with_relations`, for `user`; the mail system is asked once for all of them.

    `foot`: every order of these boxes that is still open, where the page has them at its foot: not read again.
    """
    reading.read_few(boxes)
    reading.read_automatic(boxes)
    reading.read_open_renewals(boxes, user=user, foot=foot)
    used = reading.usage_of(boxes)
    again = purchase.standing_of(boxes, lines=reading.purchase_lines)
    off = purchase.called_off(boxes)
    return [_card(box, today=today, used=used, again=again.get(box.pk), called_off=box.pk in off) for box in boxes]


def _card(box: Mailbox, *, today: date, used: dict[str, Usage], again: Standing | None, called_off: bool) -> BoxCard:
    mine = used.get(box.address.name)
    meters = []
    if mine is not None and box.phase == Phase.LIVE:
        meters.append(Meter(False, mine.mailbox_bytes, box.mailbox_gb))
        if box.archive_gb:
            meters.append(Meter(True, mine.archive_bytes, box.archive_gb))
    lines = getattr(box, "open_renewals", [])
    if again is not None and again.line is not None:
        again.line.order_visible = True  # type: ignore[attr-defined]  # a deleted box is seen by its account only
        lines = [again.line]
    return BoxCard(
        box=box,
        today=today,
        state=box.state(today),
        reason=offer(facts(box), today),
        meters=meters,
        measured_at=mine.measured_at if mine else None,
        measured=mine is not None,
        order=_open_order(lines, today),
        again=again,
        called_off=called_off,
    )


@kept
def _short_label(state: rules.State, soon: bool) -> str:
    match state:
        case rules.State.ACTIVE:
            return _("In scadenza") if soon else _("Attiva")
        case rules.State.EXPIRED | rules.State.AWAITING_DELETION:
            return _("Scaduta")
        case rules.State.ACTIVATING:
            return _("In attivazione")
        case rules.State.DELETING:
            return _("In cancellazione")
        case rules.State.DELETED:
            return _("Cancellata")


def _open_order(lines: Sequence[OrderLine], today: date) -> OpenOrder | None:
    return open_order(lines[0], today=today) if lines else None


def open_order(line: OrderLine, *, today: date) -> OpenOrder:
    """The order of an open line that was read with `order_visible` and `live_attempt`."""
    return OpenOrder(
        order=line.order,
        visible=getattr(line, "order_visible", False),
        checking=getattr(line, "live_attempt", None) == Payment.Status.UNKNOWN,
        running=getattr(line, "live_attempt", None) == Payment.Status.PENDING,
        too_late=line.order.is_awaiting_payment and line.order.lapses_on < today,
    )
