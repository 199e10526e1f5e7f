"""What a box must look like on every day of its life, worked out from the written rules alone.

Nothing here imports the product: a mistake made there cannot be made here by copying. One day is: what happens before
the nightly job, the job (unless that day it did not run), what happens after it.
"""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from tests.simulator.facts import HAS_ARCHIVE, MAX_MAILBOX, Extra, History, Money, Renewal, Space, Usage

POINTS = (-90, -60, -30, -15, -7, -1, 1, 30, 60, 83, 89)  # R27, days from the expiry
WARNINGS = 2  # accepted after the expiry, before a deletion (R29)
WARNING_AGE = 7  # days since the relay accepted the later of them
FURTHER = 7  # days between the warnings told past the deletion day while those two are missing
MONEY_HOLD = 15  # days that money on its way keeps a box past its deletion day (R29)
CASE_AFTER = 30  # days from telling the customer that a smaller capacity does not fit to telling staff (R7)


def days(number: int) -> timedelta:
    return timedelta(days=number)


@dataclass(frozen=True)
class Day:
    """The end of one day. `told`: a notice: expiry, point, whether a letter left. `events`: the diary."""

    state: str
    phase: str
    expires_on: date
    delete_from: date
    space: Space
    waiting: Space | None
    change_on: date | None
    told: tuple[date, int, bool] | None
    events: tuple[tuple[date, str], ...]


@dataclass(frozen=True)
class Act:
    """Something people did, in the order of the day, or (not `taken`) tried and the rules do not take."""

    what: str
    fact: object
    taken: bool = True
    late: bool = False


def expiry_after(*, expires_on: date, years: int, month: int, day: int) -> date:
    """R14: years count from the old expiry, the day is the anchor's, or the last of its month."""
    year = expires_on.year + years
    return date(year, month, min(day, monthrange(year, month)[1]))


@dataclass
class Life:
    """One box, moved on by a day at a time."""

    history: History
    expires_on: date = field(init=False)
    delete_from: date = field(init=False)
    space: Space = field(init=False)
    phase: str = "live"
    waiting: Space | None = None
    change_on: date | None = None
    change_told: date | None = None
    case_open: bool = False
    expiry_recorded: date | None = None
    told: dict[int, date | None] = field(default_factory=dict)  # for this expiry: kind, the day of acceptance
    used: Usage | None = None
    automatic: bool = False
    automatic_over: date | None = None
    placed: Renewal | Money | None = None  # the order that stands
    acts: list["Act"] = field(default_factory=list)  # of the day at hand
    diary: list[tuple[date, str]] = field(default_factory=list)  # of the day at hand

    def __post_init__(self) -> None:
        self.space = self.history.space
        self.anchor = (self.history.expires_on.month, self.history.expires_on.day)
        self._expire_on(self.history.expires_on)
        past = self.history
        spans = (*past.holds, *past.money)
        self.busy = {fact.day for fact in (*past.renewals, *past.extras, *past.usage, *past.automatic)}
        self.busy |= {renewal.begun for renewal in past.renewals}
        self.busy |= {span.first for span in spans} | {span.last for span in spans}

    def _expire_on(self, day: date) -> None:
        self.expires_on = day
        self.delete_from = day + days(self.history.deletion_days + 1)
        self.told = {}

    def through(self, day: date, *, ran: bool) -> Day:
        """What `day` leaves behind. Days come in order, none is left out; `ran`: the job ran on it."""
        self.diary, self.acts = [], []
        self._happens(day, late=False)
        told = self._job(day) if ran and self.phase == "live" else None
        self._happens(day, late=True)
        return Day(
            self._state(day), self.phase, self.expires_on, self.delete_from, self.space, self.waiting, self.change_on,
            told, tuple(sorted(self.diary)),
        )  # fmt: skip

    def _state(self, day: date) -> str:
        if self.phase != "live":
            return self.phase
        if day <= self.expires_on:
            return "active"
        return "expired" if day < self.delete_from else "awaiting_deletion"

    # What people do

    def _happens(self, day: date, *, late: bool) -> None:
        if day not in self.busy:
            return
        past = self.history
        if not late and self.phase == "live":
            for hold in past.holds:
                if hold.first == day:
                    self.acts.append(Act("hold", hold))
            for usage in _of(past.usage, day):
                self.used = Usage(
                    day, min(usage.mailbox, self.space.mailbox * 1000), min(usage.archive, self.space.archive * 1000)
                )
                self.acts.append(Act("use", self.used))
            for switch in _of(past.automatic, day):
                self.automatic = switch.on
                if switch.over:
                    self.automatic_over = self.expires_on
                self.acts.append(Act("switch", switch))
        for renewal in past.renewals:
            if late and renewal.ordered and renewal.begun == day:
                self._place(renewal)
            if renewal.day == day and renewal.late == late:
                self._renew(renewal)
        for extra in _of(past.extras, day):
            if extra.late == late:
                self._enlarge(extra)
        if late:
            for hold in past.holds:
                if hold.last == day and self.phase == "live":
                    self.acts.append(Act("lift", hold, late=True))
            for money in past.money:
                if money.first == day:
                    self._begin(money)
                if money.last == day:
                    self._end(money)

    def _offered(self, day: date) -> bool:
        """Whether Rinnova shows (R4)."""
        open_to_orders = self.phase == "live" and day < self.delete_from
        return open_to_orders and self.placed is None and not self._renews_itself(day)

    def _begin(self, money: Money) -> None:
        taken = self._offered(money.first)
        self.acts.append(Act("begin_money", money, taken=taken, late=True))
        if taken:
            self.placed = money

    def _end(self, money: Money) -> None:
        if self.placed == money:
            self.placed = None
            self.acts.append(Act("end_money", money, late=True))

    def _place(self, renewal: Renewal) -> None:
        """Only what is in the box fits what is chosen (R7)."""
        assert renewal.space is not None
        taken = self._offered(renewal.begun) and self._fits(renewal.space)
        self.acts.append(Act("place", renewal, taken=taken, late=True))
        if taken:
            self.placed = renewal

    def _takes(self, renewal: Renewal) -> bool:
        """Only while the box lives, and only money begun by the day before the deletion day (R12b, R16)."""
        return self.phase == "live" and renewal.begun < self.delete_from

    def _renew(self, renewal: Renewal) -> None:
        taken = self._takes(renewal) and (not renewal.ordered or self.placed == renewal)
        self.acts.append(Act("pay" if renewal.ordered else "renew", renewal, taken=taken, late=renewal.late))
        if not taken:
            if self.placed == renewal:
                self.acts.append(Act("pay_in_vain", renewal, late=True))
                self.placed = None
            return
        if renewal.ordered:
            self.placed = None
        old = self.expires_on
        month, day = self.anchor
        self._expire_on(expiry_after(expires_on=old, years=renewal.years, month=month, day=day))
        self.diary.append((renewal.day, "renewed"))
        if renewal.space is not None:
            self._order_space(renewal.space, today=renewal.day, old_expiry=old)

    def _order_space(self, new: Space, *, today: date, old_expiry: date) -> None:
        """§4: the larger until what was paid for has ended, the new from then on; at once when it has."""
        before = self.waiting, self.change_on
        self._grow(new, today)
        if self.waiting is not None:
            new = self.waiting.joined(new)  # what waits is replaced only as far as the later order raises it
        on = self.change_on or max(old_expiry + days(1), today)
        self.waiting, self.change_on = (None, None) if new == self.space else (new, on)
        if (self.waiting, self.change_on) != before:
            self.change_told = None
        self._change(today)

    def _grow(self, new: Space, day: date) -> None:
        larger = self.space.joined(new)
        if larger != self.space:
            self.space = larger
            self.diary.append((day, "capacity"))

    def _enlarge(self, extra: Extra) -> None:
        """More GB until the expiry; not in a box that is Scaduta, nor while a smaller space waits for its day."""
        plan, mailbox = self.space.plan, self.space.mailbox + extra.mailbox
        impossible = mailbox > MAX_MAILBOX.get(plan, mailbox) or (extra.archive > 0 and plan not in HAS_ARCHIVE)
        if self.phase != "live" or extra.day > self.expires_on or self.waiting is not None or impossible:
            self.acts.append(Act("enlarge", extra, taken=False, late=extra.late))
            return
        self.acts.append(Act("enlarge", extra, late=extra.late))
        self._grow(replace(self.space, mailbox=mailbox, archive=self.space.archive + extra.archive), extra.day)

    # What the job does

    def _job(self, day: date) -> tuple[date, int, bool] | None:
        if day > self.expires_on and self.expiry_recorded != self.expires_on:
            self.expiry_recorded = self.expires_on
            self.diary.append((self.expires_on + days(1), "expired"))
        self._change(day)
        if self.change_told is not None and not self.case_open and day >= self.change_told + days(CASE_AFTER):
            self.case_open = True  # nobody closes it here
            self.diary.append((day, "case"))
        told = self._notice(day)
        if self._may_be_deleted(day):
            self.phase = "deleted"
            self.diary += [(day, "deleting"), (day, "deleted")]
        return None if told is None else (self.expires_on, told, self.history.readable)

    def _change(self, day: date) -> None:
        """R7: on the day it starts the smaller capacity must hold what is in the box; an archive that ends goes."""
        if self.waiting is None or self.change_on is None or day < self.change_on:
            return
        if self._fits(self.waiting):
            self.space, self.waiting, self.change_on = self.waiting, None, None
            self.change_told = None
            self.diary.append((day, "capacity"))
            if self.space.archive == 0 and self.used is not None:
                self.used = replace(self.used, archive=0)
        elif self.change_told is None:
            self.change_told = day
            self.diary.append((day, "change_refused"))

    def _fits(self, space: Space) -> bool:
        if self.used is None:
            return True
        return self.used.mailbox <= space.mailbox * 1000 and (
            space.archive == 0 or self.used.archive <= space.archive * 1000
        )

    def _renews_itself(self, day: date) -> bool:
        """A charge still comes for this expiry (R4)."""
        return self.automatic and self.automatic_over != self.expires_on and day <= self.expires_on

    def _notice(self, day: date) -> int | None:
        """R27: of the points on or before `day` the latest, unless it was told; none where the box renews itself."""
        if self._renews_itself(day):
            return None
        if day < self.delete_from:
            due = max((point for point in POINTS if self.expires_on + days(point) <= day), default=None)
        else:
            due = self._further_warning(day)
        if due is None or any(kind >= due for kind in self.told):
            return None
        dead = not self.history.readable or any(span.holds(day) for span in self.history.dead_contact)
        self.told[due] = None if dead else day
        return due

    def _further_warning(self, day: date) -> int | None:
        """R29: from the deletion day on, every seven days while two accepted warnings are all that is missing.

        None once the letters after the expiry find no address that works: then a person decides.
        """
        if len(self._accepted(day)) >= WARNINGS or self._is_held(day):
            return None
        last = max((kind for kind in self.told if kind > 0), default=None)
        if last is None:
            return (day - self.expires_on).days if self.history.readable else None
        if self.told[last] is None or day < self.expires_on + days(last + FURTHER):
            return None
        return (day - self.expires_on).days

    def _accepted(self, until: date) -> list[int]:
        """Kinds after the expiry whose letter was accepted on or before `until`."""
        return [kind for kind, day in self.told.items() if kind > 0 and day is not None and day <= until]

    def _may_be_deleted(self, day: date) -> bool:
        """R29, every guard."""
        warned = len(self._accepted(day - days(WARNING_AGE))) >= WARNINGS
        return day >= self.delete_from and warned and not self._is_held(day)

    def _is_held(self, day: date) -> bool:
        """By staff; by an order that they must decide about; for fifteen days by money begun by E+90."""
        if any(span.holds(day) for span in self.history.holds):
            return True
        if isinstance(self.placed, Money) and self.placed.by_staff:
            return True
        return self.placed is not None and day < self.delete_from + days(MONEY_HOLD)


def _of(facts: Iterable, day: date) -> list:
    return [fact for fact in facts if fact.day == day]
