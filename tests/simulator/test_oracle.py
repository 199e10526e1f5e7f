"""The oracle held against days worked out by hand: what it says is worth no more than this."""

from datetime import date, timedelta

import pytest

from tests.simulator.facts import Automatic, Extra, History, Money, Renewal, Space, Span, Usage
from tests.simulator.oracle import POINTS, Life

E = date(2027, 6, 30)
STANDARD, PRO, PREMIUM = Space("standard", 1, 0), Space("pro", 2, 3), Space("premium", 2, 8)


def at(days: int, expiry: date = E) -> date:
    return expiry + timedelta(days=days)


def lived(history: History, *, until: int, down: tuple[int, int] | None = None) -> dict[int, object]:
    """Every day from the opening, by its distance from E; the job was down on the days of `down`, both inside."""
    life = Life(history)
    first = (history.opened - E).days
    return {n: life.through(at(n), ran=down is None or not down[0] <= n <= down[1]) for n in range(first, until + 1)}


def told(found) -> list[int]:
    return [day.told[1] for day in found.values() if day.told]


def gone(found) -> int | None:
    return next((n for n, day in found.items() if day.phase != "live"), None)


def test_a_box_left_alone():
    found = lived(History(at(-200), E, STANDARD), until=100)
    states = [(n, day.state) for n, day in found.items()]
    changes = [pair for before, pair in zip([(None, None), *states], states, strict=False) if before[1] != pair[1]]
    assert changes == [(-200, "active"), (1, "expired"), (91, "deleted")]
    assert told(found) == list(POINTS)
    assert found[91].events == ((at(91), "deleted"), (at(91), "deleting"))


@pytest.mark.parametrize(
    ("changes", "day"),
    [
        ({}, 91),
        ({"holds": (Span(at(80), at(120)),)}, 121),
        ({"money": (Money(at(90), at(200)),)}, 106),  # fifteen days, then it holds no more
        ({"money": (Money(at(90), at(94)),)}, 95),
        ({"money": (Money(at(91), at(200)),)}, 91),  # begun too late to hold
        ({"money": (Money(at(90), at(200), by_staff=True),)}, 201),
        ({"dead_contact": (Span(at(-300), at(80)),)}, 96),  # +83 and +89 are accepted, the later seven days ago
        ({"dead_contact": (Span(at(-300), at(88)),)}, 103),  # +89, then a further one at +96
        ({"dead_contact": (Span(at(2), at(88)),)}, 96),  # +1 and +89
        ({"dead_contact": (Span(at(2), at(89)),)}, None),  # no address that works: nobody is written to any more
        ({"readable": False}, None),
        ({"renewals": (Renewal(at(95), at(90), 1, STANDARD, late=True, ordered=True),)}, None),
        (
            {"renewals": (Renewal(at(110), at(90), 1, STANDARD, late=True, ordered=True),)},
            106,
        ),  # the money came after the box had gone
        ({"deletion_days": 30}, 37),  # +1 and +30: no sooner than seven days after the second
        ({"deletion_days": 120}, 121),
    ],
)
def test_when_a_box_is_deleted(changes, day):
    assert gone(lived(History(at(-200), E, STANDARD, **changes), until=230)) == day


def test_an_outage_over_the_warnings_puts_the_deletion_off():
    """No warning after the expiry was told: one on the first day, one a week later, seven days for the second."""
    found = lived(History(at(-200), E, STANDARD), until=130, down=(0, 94))
    assert [(n, day.told[1]) for n, day in found.items() if day.told and n > 0] == [(95, 95), (102, 102)]
    assert gone(found) == 109


def test_an_outage_ends_with_one_notice():
    found = lived(History(at(-200), E, STANDARD), until=70, down=(-40, 31))
    assert told(found) == [-90, -60, 30, 60]
    assert [n for n, day in found.items() if day.events] == [32]  # the expiry is recorded then, for E+1
    assert found[32].events == ((at(1), "expired"),)


def test_no_notice_while_a_charge_is_to_come():
    history = History(at(-200), E, STANDARD, automatic=(Automatic(at(-150), True), Automatic(at(-20), True, over=True)))
    assert told(lived(history, until=35)) == [-30, -15, -7, -1, 1, 30]
    history = History(at(-200), E, STANDARD, automatic=(Automatic(at(-150), True),))
    assert told(lived(history, until=35)) == [1, 30]


def test_the_29th_of_february_comes_back():
    born = date(2028, 2, 29)
    years = tuple(Renewal(at(-n, born), at(-n, born), 1, STANDARD) for n in (9, 8, 7, 6))
    life = Life(History(at(-10, born), born, STANDARD, years))
    expiries = [life.through(at(-n, born), ran=True).expires_on for n in (10, 9, 8, 7, 6)]
    assert expiries == [born, date(2029, 2, 28), date(2030, 2, 28), date(2031, 2, 28), date(2032, 2, 29)]


def test_less_space_starts_when_what_was_paid_for_has_ended():
    renewal = Renewal(at(-10), at(-10), 1, STANDARD)
    found = lived(History(at(-20), E, PREMIUM, (renewal,)), until=3, down=(1, 1))
    assert [found[n].space for n in (-10, 0, 1, 2)] == [PREMIUM, PREMIUM, PREMIUM, STANDARD]
    assert (found[-10].waiting, found[-10].change_on, found[2].waiting) == (STANDARD, at(1), None)


def test_less_space_waits_for_room_and_staff_hear_of_it_once():
    history = History(
        at(-20), E, PREMIUM, (Renewal(at(-10), at(-10), 1, STANDARD),), usage=(Usage(at(-5), 1500, 9000),
        Usage(at(40), 1000, 8000)),
    )  # fmt: skip
    found = lived(history, until=45)
    diary = [(n, kind) for n, day in found.items() for _on, kind in day.events]
    assert diary == [(-10, "renewed"), (1, "change_refused"), (31, "case"), (40, "capacity")]
    assert (found[39].space, found[40].space) == (PREMIUM, STANDARD)


def test_more_space_starts_at_once_and_a_later_order_only_raises_what_waits():
    history = History(
        at(-30), E, PREMIUM, (Renewal(at(-20), at(-20), 1, STANDARD), Renewal(at(-10), at(-10), 1, Space("pro", 4, 3))),
        extras=(Extra(at(-25), 1, 0), Extra(at(-15), 5, 0)),
    )  # fmt: skip
    found = lived(history, until=2)
    assert found[-25].space == Space("premium", 3, 8)
    assert found[-15].space == Space("premium", 3, 8)  # refused: a smaller one waits
    assert (found[-10].space, found[-10].waiting) == (Space("premium", 4, 8), Space("pro", 4, 3))
    assert (found[-10].change_on, found[1].space) == (at(1), Space("pro", 4, 3))


def test_an_order_is_refused_that_the_content_does_not_fit():
    order = Renewal(at(-5), at(-10), 1, STANDARD, late=True, ordered=True)
    found = lived(History(at(-30), E, PRO, (order,), usage=(Usage(at(-12), 1200, 0),)), until=0)
    assert found[0].expires_on == E
    found = lived(History(at(-30), E, PRO, (order,), usage=(Usage(at(-12), 1000, 3000),)), until=0)
    assert (found[-6].expires_on, found[-5].expires_on) == (E, date(2028, 6, 30))
