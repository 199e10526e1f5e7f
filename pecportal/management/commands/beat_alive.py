"""For a container's health check: has the timetable sent anything lately?"""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Max
from django_celery_beat.models import PeriodicTask

from pecportal.clock import now

LIMIT = timedelta(minutes=10)  # beat writes the times down every three minutes


class Command(BaseCommand):
    help = "Fails when beat has sent no task for ten minutes."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        last = PeriodicTask.objects.filter(enabled=True).aggregate(last=Max("last_run_at"))["last"]
        if last is None or now() - last > LIMIT:
            raise CommandError(f"beat has sent nothing for {LIMIT.seconds // 60} minutes (last: {last}).")
        self.stdout.write(f"beat last sent a task at {last:%H:%M:%S} UTC.")
