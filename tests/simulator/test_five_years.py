"""Years of days over random boxes: on every one of them every box is as the written rules say, or this fails.

SIMULATED_BOXES, SIMULATED_YEARS and SIMULATED_SEED change what is drawn; `make soak` has some thousands of boxes.
"""

import os
import random
from collections import Counter
from datetime import date, datetime, time, timedelta

import pytest
import time_machine
from django.db.models import Sum

from lifecycle import flows
from lifecycle.models import LifecycleRun
from lifecycle.stages import STAGES
from mailboxes import rules
from pecportal import clock
from pecportal.errors import RefusedError
from tests.simulator.oracle import Act, Day, Life
from tests.simulator.product import Product
from tests.simulator.world import Calendar, Drawn, draw_boxes, draw_calendar

pytestmark = pytest.mark.django_db(transaction=True)

BOXES = int(os.environ.get("SIMULATED_BOXES", "150"))
YEARS = int(os.environ.get("SIMULATED_YEARS", "3"))
SEED = int(os.environ.get("SIMULATED_SEED", "20270401"))
FIRST = date(2027, 4, 1)  # two 29 Februaries in five years
MORNING, NIGHT = time(0, 0, 30), time(23, 59, 30)
# When the job begins; in the nights in which the hour changes, 02:30 is there twice or not at all.
JOBS = [time(hour, minute) for hour, minute in ((0, 5), (0, 5), (2, 30), (3, 15), (12, 0), (23, 55))]
# So that the draw is no easy one: all of this happens in it, also in the small one of the suite.
HAPPENS = (
    "renewed", "place refused", "renew refused", "enlarge refused", "expired", "capacity", "change_refused", "case",
    "begin_money", "hold", "switch", "notices", "deleted",
)  # fmt: skip
REFUSED_BY_SCREENS = ("place", "begin_money")
IN_THE_MAIL_SYSTEM = {"active": "attiva", "expired": "scaduta", "awaiting_deletion": "attesa_cancellazione"}


class DifferentError(AssertionError):
    """The product and the oracle disagree: day, box and both sides."""


class Simulation:
    def __init__(self, *, seed: int, boxes: int, years: int, staff) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        self.calendar: Calendar = draw_calendar(self.rng, first=FIRST, years=years)
        self.drawn: list[Drawn] = draw_boxes(self.rng, count=boxes, first=FIRST, last=self.calendar.days[-1])
        self.dead = {(one.account, one.history.dead_contact) for one in self.drawn}
        self.lives: dict[int, Life] = {}
        self.staff = staff
        self.count: Counter[str] = Counter()

    def run(self) -> None:
        with time_machine.travel(_moment(FIRST, MORNING), tick=False) as traveller:
            self.product = Product(self.staff)
            for day in self.calendar.days:
                ran = day not in self.calendar.down
                traveller.move_to(_moment(day, MORNING))
                for drawn in self.drawn:
                    if drawn.history.opened == day:
                        self.product.open(drawn)
                        self.lives[drawn.number] = Life(drawn.history)
                expected = {number: life.through(day, ran=ran) for number, life in self.lives.items()}
                self._people(day, late=False)
                if ran:
                    traveller.move_to(_moment(day, self.rng.choice(JOBS)))
                    self._job(day)
                traveller.move_to(_moment(day, NIGHT))
                self._people(day, late=True)
                self._compare(day, expected)
            self._compare_runs()

    def _people(self, day: date, *, late: bool) -> None:
        for number, life in self.lives.items():
            for act in life.acts:
                if act.late != late:
                    continue
                self.count[act.what if act.taken else f"{act.what} refused"] += 1
                if not act.taken and act.what not in REFUSED_BY_SCREENS:
                    continue  # there is no road by which people could do it
                if self._does(number, act) != act.taken:
                    raise DifferentError(f"seed {self.seed}, {day}; {act} is taken by one side only\n{life.history}")

    def _does(self, number: int, act: Act) -> bool:
        try:
            getattr(self.product, act.what)(number, act.fact)
        except RefusedError:
            return False
        return True

    def _job(self, day: date) -> None:
        if day in self.calendar.cut_short:
            flows.run_day(seconds=0)
        flows.run_day()
        if day in self.calendar.again or self.product.owes_notices():  # the run is repeated every three hours
            flows.run_day()
        assert not self.product.owes_notices()
        self.product.relay({account for account, spans in self.dead if any(span.holds(day) for span in spans)})

    def _compare(self, day: date, expected: dict[int, Day]) -> None:
        assert clock.today() == day
        found = self.product.days(day, since=_moment(day, MORNING))
        wrong = [number for number in expected.keys() | found.keys() if expected.get(number) != found.get(number)]
        self._stop_if(wrong, day, expected, found)
        self.count["days of boxes"] += len(found)
        for one in expected.values():
            self.count["notices"] += one.told is not None
            self.count.update(kind for _day, kind in one.events)
        for number, kept in self.product.tell_platform():
            there = kept["state"], kept["mailbox_gb"], kept["archive_gb"]
            one = expected[number]
            if there != (IN_THE_MAIL_SYSTEM[one.state], one.space.mailbox, one.space.archive):
                self._stop_if([number], day, expected, {number: kept})

    def _stop_if(self, wrong: list[int], day: date, expected: dict[int, Day], found: dict) -> None:
        if wrong:
            one = min(wrong)
            raise DifferentError(
                f"seed {self.seed}, {day}, {len(wrong)} of {len(expected)} boxes differ; box {one}:\n"
                f"expected {expected.get(one)}\nfound    {found.get(one)}\n{self.drawn[one]}"
            )

    def _compare_runs(self) -> None:
        """Each day's run is there, finished, nothing failed in it; what all of them did is what had to be done."""
        ran = {day for day in self.calendar.days if day not in self.calendar.down}
        runs = LifecycleRun.objects.filter(day__in=ran, finished_at__isnull=False)
        assert Counter(runs.values_list("stage", flat=True)) == dict.fromkeys(STAGES, len(ran))
        sums = LifecycleRun.objects.values("stage").annotate(done=Sum("done"), failed=Sum("failed")).order_by()
        totals = {row["stage"]: (row["done"], row["failed"]) for row in sums}
        assert totals["expiries"] == (self.count["expired"], 0)


def _moment(day: date, at: time) -> datetime:
    return datetime.combine(day, at, tzinfo=clock.ROME)


def _from_the_day_itself(expires_on: date, years: int, *, anchor_month: int, anchor_day: int) -> date:
    """R14 forgotten: once the 28th, always the 28th."""
    return rules.clamp(expires_on.year + years, expires_on.month, expires_on.day)


def _a_day_early(expires_on: date, *, grace_days: int, not_before: date | None = None) -> date:
    return expires_on + timedelta(days=grace_days)


def test_every_box_is_as_the_rules_say_on_every_day(plans, dario, settings):
    settings.DELETION_CAP_COUNT = BOXES  # the cap asks for two people: it has tests of its own
    simulation = Simulation(seed=SEED, boxes=BOXES, years=YEARS, staff=dario)
    simulation.run()
    print(dict(simulation.count))
    assert [what for what in HAPPENS if not simulation.count[what]] == []


@pytest.mark.parametrize("fault", ["29 February from the 28th", "notices a day late", "deletion at E+90"])
def test_a_fault_is_found(plans, dario, monkeypatch, settings, fault):
    if fault == "29 February from the 28th":
        monkeypatch.setattr(rules, "add_years", _from_the_day_itself)
    elif fault == "notices a day late":
        settings.NOTICE_DAYS = [kind + 1 for kind in settings.NOTICE_DAYS]
    else:
        monkeypatch.setattr(rules, "deletion_day", _a_day_early)
    with pytest.raises(DifferentError) as found:
        Simulation(seed=SEED, boxes=60, years=3, staff=dario).run()
    print(str(found.value).partition(";")[0])
