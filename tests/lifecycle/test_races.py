"""Two sweeps at once, and a sweep beside a customer, with real connections (R28)."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet

from lifecycle import expiries, flows
from lifecycle.models import LifecycleRun
from lifecycle.work import Work
from mailboxes.models import BoxEvent, Mailbox
from renewals.models import Order
from tests.helpers import pay_transfer, place

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.race]


def at_once(*jobs: Callable[[], object]) -> list[object]:
    """Run the jobs in threads that start together; returns what each gave, or raised."""
    start, results = threading.Barrier(len(jobs)), [None] * len(jobs)

    def run(n: int, job: Callable[[], object]) -> None:
        try:
            start.wait(10)
            results[n] = job()
        except Exception as error:
            results[n] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(n, job)) for n, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@pytest.fixture
def forty(make_box, alice):
    return [make_box(alice, f"casella{n:02}", expires_in=-1 - n % 3) for n in range(40)]


def events() -> int:
    return BoxEvent.objects.filter(kind="expired").count()


def test_two_runs_of_one_day_are_one(forty, today):
    results = at_once(*[lambda: flows.run_for(today, batch=3)] * 2)
    assert [r for r in results if isinstance(r, Exception)] == []
    flows.run_for(today)  # what one of them found in the other's hands
    run = LifecycleRun.objects.get(stage="expiries")
    assert (events(), run.expected, run.done, run.failed) == (40, 40, 40, 0)


def test_two_sweeps_that_both_believe_the_run_is_theirs_record_each_box_once(forty, today):
    """As when a run was taken for dead and was not: the locks alone must be enough."""
    run = LifecycleRun.objects.create(stage="expiries", day=today)
    seen: list[int] = []
    real = expiries._record

    def record(rows, work):
        seen.append(threading.get_ident())
        real(rows, work)

    expiries._record = record
    try:
        results = at_once(*[lambda: expiries.record_expiries(Work(run, today=today, batch=3))] * 2)
    finally:
        expiries._record = real
    assert results == [None, None]
    assert len(set(seen)) == 2, "both were at work"
    left = expiries.due_expiries(today).count()
    run.refresh_from_db()
    assert (events() + left, run.done + left, run.failed) == (40, 40, 0)
    assert events() == len(set(BoxEvent.objects.filter(kind="expired").values_list("box_id", "day")))


def test_control_without_the_lock_the_numbers_are_wrong(forty, today, monkeypatch):
    """The same race with `select_for_update` taken away counts boxes twice: the lock is what keeps them true."""
    run = LifecycleRun.objects.create(stage="expiries", day=today)
    between, real = threading.Barrier(2), expiries._record

    def record(rows, work):
        if rows:
            between.wait(10)  # both have read, neither has written
        real(rows, work)

    monkeypatch.setattr(QuerySet, "select_for_update", lambda self, **options: self)
    monkeypatch.setattr(expiries, "_record", record)
    results = at_once(*[lambda: expiries.record_expiries(Work(run, today=today, batch=100))] * 2)
    assert results == [None, None]
    run.refresh_from_db()
    assert run.done == 80


def test_a_box_in_a_customers_hands_is_skipped_and_not_waited_for(forty, today):
    held, may_go, sweeping = forty[0], threading.Event(), threading.Event()

    def customer() -> None:
        with transaction.atomic():
            Mailbox.objects.locked().get(pk=held.pk)
            sweeping.set()
            assert may_go.wait(30), "the sweep waited for the box"

    def sweep() -> int:
        assert sweeping.wait(10)
        flows.run_for(today, batch=7)
        found = events()
        may_go.set()
        return found

    assert at_once(customer, sweep) == [None, 39]
    run = LifecycleRun.objects.get(stage="expiries")
    assert (run.expected, run.done, run.failed, run.left) == (40, 39, 0, 1)
    flows.run_for(today)
    run.refresh_from_db()
    assert (events(), run.expected, run.done, run.left) == (40, 40, 40, 0)


def test_a_payment_and_a_lapse_never_both_win(make_box, alice, dario, today):
    """Whichever has the order's lock first; the other finds it settled."""
    outcomes = set()
    for n in range(6):
        order = place(make_box(alice, f"gara{n}"), alice)
        Order.objects.filter(pk=order.pk).update(lapses_on=today - timedelta(days=1))
        results = at_once(
            lambda order=order, n=n: pay_transfer(order, dario, reference=f"R{n}"), lambda: flows.run_for(today)
        )
        assert [r for r in results if isinstance(r, Exception)] == []
        order.refresh_from_db()
        outcomes.add(order.status)
        paid = order.allocations.exists()
        assert (order.status, paid) in {("fulfilled", True), ("lapsed", False)}
        if order.status == "lapsed":
            assert order.cases.filter(kind="too_late").exists(), "the money is a case, never swallowed"
    assert outcomes
