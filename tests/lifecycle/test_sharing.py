"""A sweep shared out among workers: help, on which nothing depends (R28)."""

import threading

import pytest
from django.db import connection
from kombu.exceptions import OperationalError

from lifecycle import expiries, flows, rules, tasks
from lifecycle.models import LifecycleRun
from lifecycle.work import Share, shared
from mailboxes.models import BoxEvent, Mailbox
from pecportal.celery import app

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.race,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer: nobody is asked to help"),
]


@pytest.fixture
def forty(make_box, alice, monkeypatch):
    monkeypatch.setattr(rules, "SHARED_ABOVE", 39)
    monkeypatch.setattr(rules, "ROWS_A_SHARE", 10)
    return [make_box(alice, f"casella{n:02}", expires_in=-1 - n % 3) for n in range(40)]


def asked() -> list[tuple[object, ...]]:
    """What workers were asked to do, taken from the broker in memory."""
    found = []
    with app.connection_for_write() as link, link.channel() as channel:
        while message := channel.basic_get("celery", no_ack=True):
            if message.headers["task"] == tasks.run_share.name:
                found.append(tuple(message.decode()[0]))
    return sorted(found, key=lambda args: args[2])


def result() -> tuple[int, int, int, int]:
    run = LifecycleRun.objects.get(stage="expiries")
    return run.expected, run.done, run.failed, BoxEvent.objects.filter(kind="expired").count()


def at_once(*jobs) -> list[Exception]:
    start, errors = threading.Barrier(len(jobs)), []

    def run(job) -> None:
        try:
            start.wait(10)
            job()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


@pytest.mark.parametrize(("due", "among"), [(0, 1), (20_000, 1), (20_001, 2), (75_000, 7), (9_000_000, 8)])
def test_how_many_help(due, among):
    assert rules.shares(due) == among


def test_shares_are_all_boxes_and_no_box_twice(forty):
    parts = [set(shared(Mailbox.objects.all(), Share(part, 4)).values_list("pk", flat=True)) for part in range(4)]
    assert sorted(pk for part in parts for pk in part) == sorted(box.pk for box in forty)
    assert all(parts)


def test_others_are_asked_and_whoever_asks_does_it_all_the_same(forty, today):
    asked()
    flows.run_for(today)
    assert result() == (40, 40, 0, 40)
    messages = asked()
    stages = ("expiries", "notices", "letters")
    assert sorted(messages) == sorted((stage, str(today), part, 4) for stage in stages for part in (1, 2, 3))
    for arguments in messages:  # late: there is nothing left
        tasks.run_share(*arguments)
    assert result() == (40, 40, 0, 40)


def test_nobody_can_be_asked_and_all_is_done_here(forty, today, monkeypatch):
    def refuse(*args: object) -> None:
        raise OperationalError("no broker")

    monkeypatch.setattr(tasks.run_share, "delay", refuse)
    flows.run_for(today)
    assert result() == (40, 40, 0, 40)


def test_little_is_not_shared(forty, today, monkeypatch):
    monkeypatch.setattr(rules, "SHARED_ABOVE", 40)
    asked()
    flows.run_for(today)
    assert asked() == [] and result() == (40, 40, 0, 40)


def test_a_share_does_its_rows_and_counts_them_in_the_run(forty, today):
    LifecycleRun.objects.create(stage="expiries", day=today, expected=40)
    tasks.run_share("expiries", str(today), 1, 4)
    mine = [box.pk for box in forty if box.pk % 4 == 1]
    assert sorted(BoxEvent.objects.filter(kind="expired").values_list("box_id", flat=True)) == sorted(mine)
    assert result() == (40, len(mine), 0, len(mine))


def test_all_at_once_no_box_twice_and_none_left(forty, today):
    jobs = [lambda part=part: tasks.run_share("expiries", str(today), part, 4) for part in (1, 2, 3)]
    LifecycleRun.objects.create(stage="expiries", day=today)
    assert at_once(lambda: flows.run_for(today, batch=3), *jobs, *jobs) == []
    flows.run_for(today)
    assert result() == (40, 40, 0, 40)
    assert Mailbox.objects.filter(expiry_recorded_for=None).count() == 0


def test_a_box_that_fails_in_a_share_is_counted_once(forty, today, monkeypatch):
    real = expiries._record

    def refuse(rows, work):
        if any(pk == forty[0].pk for _expiry, pk in rows):
            raise ValueError
        real(rows, work)

    monkeypatch.setattr(expiries, "_record", refuse)
    LifecycleRun.objects.create(stage="expiries", day=today)
    for part in range(4):
        tasks.run_share("expiries", str(today), part, 4)
    flows.run_for(today)
    assert result() == (40, 39, 1, 39)
