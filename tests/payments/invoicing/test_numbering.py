"""Numbers without gaps: several workers at once with a control, workers that die, names of files used once."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from functools import partial
from unittest import mock

import pytest
from django.conf import settings
from django.db import connection, transaction

from payments.invoicing import issue, numbering, sweeps
from payments.models import Invoice, InvoiceCounter
from pecportal import clock
from renewals.models import Order
from tests.payments.invoicing.issued import given
from tests.payments.test_kills import Killed, _real
from tests.races.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)
on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite lets one writer in at a time")
WORKERS, EACH = 4, 4


@pytest.fixture
def orders(make_box, alice):
    return [given(make_box(alice, f"b{n}"), alice) for n in range(WORKERS * EACH)]


def number_all(orders) -> list[object]:
    def work(mine):
        for order in mine:
            issue.issue(order.pk)

    return at_once(*(partial(work, orders[n::WORKERS]) for n in range(WORKERS)))


def numbers() -> list[int]:
    return sorted(Invoice.objects.exclude(number=None).values_list("number", flat=True))


@on_postgresql
def test_four_workers_at_once_leave_no_gap_and_no_double(orders):
    assert number_all(orders) == [None] * WORKERS
    assert numbers() == list(range(1, len(orders) + 1))
    assert Invoice.objects.values("file_name").distinct().count() == len(orders)
    assert numbering.gaps("PEC", clock.today().year) == []


@pytest.mark.race
@on_postgresql
def test_control_the_highest_number_plus_one_is_taken_twice(orders):
    all_have_looked, looked = threading.Barrier(WORKERS), set()

    def careless(series: str, year: int) -> int:
        found = Invoice.objects.filter(series=series, year=year).order_by("-number").values_list("number", flat=True)
        highest = found.first() or 0
        if threading.get_ident() not in looked:
            looked.add(threading.get_ident())
            all_have_looked.wait(20)
        return highest + 1

    with mock.patch("payments.invoicing.numbering.take", careless):
        results = number_all(orders)
    # the constraint stands behind the counter
    assert sorted(type(result).__name__ for result in results) == ["IntegrityError"] * (WORKERS - 1) + ["NoneType"]


@pytest.mark.race
@on_postgresql
def test_control_a_sequence_has_a_gap_where_a_worker_dies(orders):
    """What a counter of its own transaction would do: the reason for which the number is taken with its row."""
    taken = iter(range(1, 1000))
    with mock.patch("payments.invoicing.numbering.take", lambda series, year: next(taken)):
        with mock.patch("payments.invoicing.states._write", side_effect=Killed), pytest.raises(Killed):
            issue.issue(orders[0].pk)
        issue.issue(orders[1].pk)
    assert numbers() == [2]


KILLS = [
    "payments.invoicing.states.create",
    "payments.invoicing.states._note",
    "payments.invoicing.numbering.take",
    "payments.invoicing.states._write",
    "payments.invoicing.issue.file_of",
    "payments.invoicing.issue.made",
    "payments.invoicing.issue.put_file",
]


@pytest.mark.parametrize("point", KILLS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at(make_box, alice, point, after):
    first, second = (given(make_box(alice, name), alice) for name in ("a", "b"))
    real = _real(point)

    def kill(*args, **kwargs):
        if after:
            real(*args, **kwargs)
        raise Killed

    with mock.patch(point, kill), pytest.raises(Killed):
        issue.issue(first.pk)
    issue.issue(second.pk)
    sweeps.sweep()
    found = Invoice.objects.order_by("number")
    assert [i.number for i in found] == [1, 2]
    assert {i.order_id for i in found} == {first.pk, second.pk}
    assert {i.state for i in found} == {"ready"}


WORKER = """
    import os, sys, time
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pecportal.settings")
    import django
    django.setup()
    from payments.invoicing import issue, numbering, states
    taken = numbering.take
    def slow(series, year):
        number = taken(series, year)
        print("taken", number, flush=True)
        time.sleep(60)
        return number
    numbering.take = slow
    issue.issue(int(sys.argv[1]))
"""


@pytest.mark.servers
@on_postgresql
def test_kill_9_between_the_number_and_the_commit(make_box, alice):
    """A real process, killed while it holds the number: the next one gets the same, at once."""
    order, other = (given(make_box(alice, name), alice) for name in ("a", "b"))
    database = settings.DATABASES["default"]
    address = f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{connection.settings_dict['NAME']}"
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WORKER), str(order.pk)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "DATABASE_URL": address}, cwd=settings.BASE_DIR,
    )  # fmt: skip
    try:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "taken 1\n"
        assert not Invoice.objects.exists()
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert issue.issue(other.pk).number == 1
    sweeps.sweep()
    assert numbers() == [1, 2]
    assert Order.objects.filter(status="fulfilled").count() == 2


# --- The counter itself -----------------------------------------------------------------------------------------------


def test_a_number_is_taken_in_a_transaction_alone():
    with pytest.raises(transaction.TransactionManagementError):
        numbering.take("PEC", 2026)


def test_series_and_years_count_for_themselves_and_a_rollback_takes_nothing():
    with transaction.atomic():
        assert [numbering.take("PEC", 2026), numbering.take("PEC", 2026), numbering.take("PEC", 2027)] == [1, 2, 1]
    with pytest.raises(Killed), transaction.atomic():
        assert numbering.take("PEC", 2026) == 3
        raise Killed
    with transaction.atomic():
        assert numbering.take("PEC", 2026) == 3
        assert numbering.take("ALTRA", 2026) == 1


def test_progressives_are_five_characters_for_ever():
    assert [numbering.take_progressive(), numbering.take_progressive()] == ["00001", "00002"]
    InvoiceCounter.objects.filter(series=InvoiceCounter.FILES).update(last=36**5 - 2)
    assert numbering.take_progressive() == "ZZZZZ"
    with pytest.raises(OverflowError):
        numbering.take_progressive()


def test_a_row_that_somebody_erased_is_a_gap(orders):
    for order in orders[:3]:
        issue.issue(order.pk)
    second = Invoice.objects.get(number=2)
    second.events.all().delete()
    second.delete()
    assert numbering.gaps("PEC", clock.today().year) == [2]
