"""Write the timetable's missing entries into the database, where ops may edit them."""

from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from pecportal.celery import TIMETABLE
from pecportal.clock import ROME

CRONTAB_FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")


class Command(BaseCommand):
    help = "Adds the timetable's entries that are missing. What ops changed or switched off stays; nothing is removed."

    def handle(self, *args: Any, **options: Any) -> None:
        added = [name for name, (task, when) in TIMETABLE.items() if seed(name=name, task=task, when=when)]
        for name in added:
            self.stdout.write(f"Timetable: added “{name}”.")
        self.stdout.write(f"Timetable: {len(added)} added, {len(TIMETABLE) - len(added)} were there already.")


@transaction.atomic
def seed(*, name: str, task: str, when: dict[str, str] | int, zone: ZoneInfo = ROME) -> bool:
    """Make one entry unless one of that name exists; `when` is seconds or crontab fields. Whether it was made."""
    if PeriodicTask.objects.filter(name=name).exists():
        return False
    # Neither schedule table is unique, so get_or_create could meet two rows that ops made.
    schedule: dict[str, object]
    if isinstance(when, int):
        interval = {"every": when, "period": IntervalSchedule.SECONDS}
        found = IntervalSchedule.objects.filter(**interval).first()
        schedule = {"interval": found or IntervalSchedule.objects.create(**interval)}
    else:
        crontab = {**{field: when.get(field, "*") for field in CRONTAB_FIELDS}, "timezone": zone}
        known = CrontabSchedule.objects.filter(**crontab).first()
        schedule = {"crontab": known or CrontabSchedule.objects.create(**crontab)}
    # An interval's message that nobody took in time is dropped: the next one does the same work.
    expires = when if isinstance(when, int) else None
    _, created = PeriodicTask.objects.get_or_create(
        name=name, defaults={"task": task, "expire_seconds": expires, **schedule}
    )
    return created
