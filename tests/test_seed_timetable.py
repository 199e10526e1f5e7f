"""The timetable in the database: what is missing is added, what ops changed stays."""

from importlib import import_module
from zoneinfo import ZoneInfo

import pytest
from celery import current_app
from django.apps import apps
from django.core.management import call_command
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from pecportal.celery import TIMETABLE

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_timetable():
    PeriodicTask.objects.all().delete()
    CrontabSchedule.objects.all().delete()
    IntervalSchedule.objects.all().delete()


def as_written():
    return {task.name: (task.task, task.crontab or task.interval) for task in PeriodicTask.objects.all()}


def test_every_entry_is_written():
    call_command("seed_timetable", verbosity=0)
    assert as_written().keys() == TIMETABLE.keys()
    for name, (task, when) in TIMETABLE.items():
        written_task, schedule = as_written()[name]
        assert written_task == task
        if isinstance(when, int):
            assert (schedule.every, schedule.period) == (when, "seconds")
        else:
            assert schedule.timezone == ZoneInfo("Europe/Rome")
            assert {field: getattr(schedule, field) for field in when} == when


def test_what_ops_changed_stays_and_what_they_deleted_returns():
    call_command("seed_timetable", verbosity=0)
    edited, off, deleted = list(TIMETABLE)[:3]
    slower = CrontabSchedule.objects.create(minute="17", hour="4", timezone=ZoneInfo("Europe/Rome"))
    PeriodicTask.objects.filter(name=edited).update(crontab=slower, interval=None)
    PeriodicTask.objects.filter(name=off).update(enabled=False)
    PeriodicTask.objects.get(name=deleted).delete()
    PeriodicTask.objects.create(
        name="of ops", task="ops.own", interval=IntervalSchedule.objects.create(every=1, period="days")
    )

    call_command("seed_timetable", verbosity=0)

    assert PeriodicTask.objects.get(name=edited).crontab == slower
    assert not PeriodicTask.objects.get(name=off).enabled
    assert PeriodicTask.objects.get(name=deleted).enabled
    assert PeriodicTask.objects.count() == len(TIMETABLE) + 1


def test_running_twice_adds_nothing(capsys):
    call_command("seed_timetable")
    before = list(PeriodicTask.objects.values()), CrontabSchedule.objects.count(), IntervalSchedule.objects.count()
    capsys.readouterr()
    call_command("seed_timetable")
    after = list(PeriodicTask.objects.values()), CrontabSchedule.objects.count(), IntervalSchedule.objects.count()
    assert after == before
    assert capsys.readouterr().out == f"Timetable: 0 added, {len(TIMETABLE)} were there already.\n"


def test_two_equal_schedules_made_by_ops_do_not_stop_it():
    for _ in range(2):
        IntervalSchedule.objects.create(every=60, period="seconds")
        CrontabSchedule.objects.create(minute="5", hour="0", timezone=ZoneInfo("Europe/Rome"))
    call_command("seed_timetable", verbosity=0)
    assert as_written().keys() == TIMETABLE.keys()


def test_every_entry_names_a_task_that_exists():
    current_app.loader.import_default_modules()
    assert {task for task, _ in TIMETABLE.values()} <= set(current_app.tasks)


def test_nothing_is_planned_in_the_hour_that_some_nights_have_twice():
    for _, when in TIMETABLE.values():
        if not isinstance(when, int):
            hours = CrontabSchedule(hour=when["hour"], timezone=ZoneInfo("Europe/Rome")).schedule.hour
            assert 2 not in hours


def test_entries_that_ops_edited_follow_a_task_that_moved():
    call_command("seed_timetable", verbosity=0)
    name = "payments: automatic renewals"
    PeriodicTask.objects.filter(name=name).update(task="payments.tasks.charge_due", enabled=False)
    import_module("lifecycle.migrations.0007_charges_look_at_the_clock").follow(apps, None)
    moved = PeriodicTask.objects.get(name=name)
    assert (moved.task, moved.enabled) == ("lifecycle.tasks.charge_due", False)
    assert moved.task in current_app.tasks
