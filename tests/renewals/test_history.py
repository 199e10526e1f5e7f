"""Why an expiry is what it is: the history ends at the expiry that holds, and tells no number that may not be seen."""

from datetime import date, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailboxes import rules
from renewals import undoing
from renewals.history import Paid, Step, history, steps
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place

OPENED = Paid(1, date(2025, 6, 1), date(2026, 5, 31))
RENEWED = Paid(2, date(2026, 6, 1), date(2027, 5, 31), "renewal", "R-7KQ4M2", 1)


def said(*paid):
    return [(step.expiry, step.why) for step in steps(paid)]


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        ([], []),
        ([OPENED], [(date(2026, 5, 31), "era già questa all'apertura")]),
        (
            [OPENED, RENEWED],
            [
                (date(2026, 5, 31), "era già questa all'apertura"),
                (date(2027, 5, 31), "l'ordine R-7KQ4M2 ha aggiunto un anno al 31 maggio 2026"),
            ],
        ),
        (
            [OPENED, Paid(2, date(2026, 6, 1), date(2029, 5, 31), "renewal", "", 3)],
            [
                (date(2026, 5, 31), "era già questa all'apertura"),
                (date(2029, 5, 31), "un ordine di rinnovo ha aggiunto 3 anni al 31 maggio 2026"),
            ],
        ),
        (
            [
                Paid(1, date(2025, 6, 9), date(2026, 6, 8)),
                Paid(2, date(2026, 6, 9), date(2027, 6, 8), "renewal", "", 1),
            ],
            [
                (date(2026, 6, 8), "era già questa all'apertura"),
                (date(2027, 6, 8), "un ordine di rinnovo ha aggiunto un anno all'8 giugno 2026"),
            ],
        ),
        (
            [Paid(1, date(2026, 11, 26), date(2028, 11, 26), "purchase", "A-7KQ4M2", 2)],
            [(date(2028, 11, 26), "l'ordine A-7KQ4M2 ha attivato la casella il 26 novembre 2026, per 2 anni")],
        ),
        (
            [OPENED, Paid(2, date(2026, 6, 1), date(2027, 5, 31), "domain_renewal", "", 1)],
            [
                (date(2026, 5, 31), "era già questa all'apertura"),
                (date(2027, 5, 31), "il rinnovo del dominio ha aggiunto un anno al 31 maggio 2026"),
            ],
        ),
        (  # taken back before it began, and then again after it had begun
            [
                OPENED,
                Paid(2, date(2026, 6, 1), date(2027, 5, 31), "renewal", "R-AAAAAA", 1, 3, date(2026, 5, 1)),
                Paid(4, date(2026, 6, 1), date(2027, 5, 31), "renewal", "R-BBBBBB", 1, 5, date(2026, 7, 8)),
            ],
            [
                (date(2026, 5, 31), "era già questa all'apertura"),
                (date(2027, 5, 31), "l'ordine R-AAAAAA ha aggiunto un anno al 31 maggio 2026"),
                (date(2026, 5, 31), "l'ordine R-AAAAAA è stato stornato il 1 maggio 2026"),
                (date(2027, 5, 31), "l'ordine R-BBBBBB ha aggiunto un anno al 31 maggio 2026"),
                (date(2026, 7, 8), "l'ordine R-BBBBBB è stato stornato l'8 luglio 2026"),
            ],
        ),
        (  # what was bought is given back before anything else was paid
            [Paid(1, date(2026, 1, 1), date(2027, 1, 1), "purchase", "A-AAAAAA", 1, 2, date(2025, 12, 31))],
            [
                (date(2027, 1, 1), "l'ordine A-AAAAAA ha attivato la casella il 1 gennaio 2026, per un anno"),
                (None, "l'ordine A-AAAAAA è stato stornato il 31 dicembre 2025"),
            ],
        ),
    ],
)
def test_each_step_and_its_reason(paid, expected):
    assert said(*paid) == expected


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.none() | st.integers(-40, 500)), max_size=6))
def test_it_ends_at_the_expiry_that_the_periods_give(moves):
    """However terms are added and the last of them taken back, the last step is what rules.expiry_of says."""
    paid, came = [OPENED], 1
    for years, undone_after in moves:
        terms = [rules.Term(p.starts, p.ends, p.reversed_on) for p in paid]
        before = rules.expiry_of(terms)
        starts = before + timedelta(days=1)
        ends = rules.add_years(before, years, anchor_month=before.month, anchor_day=before.day)
        came += 1
        number = came
        undone = day = None
        if undone_after is not None:
            day = min(starts + timedelta(days=undone_after), ends)
            came += 1
            undone = came
        paid.append(Paid(number, starts, ends, "renewal", "R-7KQ4M2", years, undone, day))
    told = steps(paid)
    assert told[-1].expiry == rules.expiry_of([rules.Term(p.starts, p.ends, p.reversed_on) for p in paid])
    assert len(told) == 1 + len(moves) + sum(undone is not None for _years, undone in moves)


@pytest.mark.django_db(transaction=True)
def test_the_history_of_a_box_that_was_renewed_and_taken_back(box, alice, dario, django_assert_num_queries):
    opened = box.expires_on
    first = place(box, alice)
    pay_transfer(first, dario)
    box.refresh_from_db()
    renewed = box.expires_on
    with transaction.atomic():
        undoing.reverse(Order.objects.locked().get(pk=first.pk), why="recesso", actor=None)
    box.refresh_from_db()
    with django_assert_num_queries(1):
        told = history(box, reader=None)
    today = told[0].why.rpartition(" stornato ")[2]
    assert told == [
        Step(opened, f"l'ordine {first.number} è stato stornato {today}"),
        Step(renewed, told[1].why),
        Step(opened, "era già questa all'apertura"),
    ]
    assert told[0].expiry == box.expires_on and told[1].why.startswith(f"l'ordine {first.number} ha aggiunto un anno a")


@pytest.mark.django_db(transaction=True)
def test_only_who_may_open_an_order_reads_its_number(box, alice, carla, make_box):
    """An order with another box in it is not for the login of this one (R1)."""
    order = place(box, alice)
    pay_card(order, alice, agreed=False)
    for reader, sees in ((alice, True), (box.login, True), (carla, False), (None, True)):
        assert (order.number in history(box, reader=reader)[0].why) is sees, reader
    other = make_box(alice, "altra")
    line = order.lines.get()
    line.pk, line.public_id, line.mailbox, line.period = None, None, other, None
    line.public_id = "00000000-0000-4000-8000-000000000001"
    line.save()
    assert history(box, reader=box.login)[0].why.startswith("un ordine di rinnovo ha aggiunto un anno a")
    assert order.number in history(box, reader=alice)[0].why
