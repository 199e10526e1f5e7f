"""What the worker does every day, by hand: for today and the missed days, or for one day."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lifecycle import clockcheck, flows, stages
from pecportal import clock
from pecportal.errors import RefusedError

LISTED = 50  # boxes due for deletion that are named; the rest is a number


def a_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day: write it as 2026-11-22.") from None


class Command(BaseCommand):
    help = (
        "Records expiries, starts changes of plan whose day has come, lapses unpaid orders, tells customers of "
        "expiries, and lists the boxes due for deletion (deleting is off). Safe to run twice, at once, or after a kill."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--date", type=a_day, help="only this day (YYYY-MM-DD); otherwise today and the days that were missed"
        )
        parser.add_argument(
            "--accept-clock",
            action="store_true",
            help="first say that this machine's clock is right, after a run was refused because of it",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what is due and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        day: date = options["date"] or clock.today()
        try:
            if options["dry_run"]:
                self._preview(day)
            else:
                if options["accept_clock"]:
                    clockcheck.accept(clock.today())
                for done in flows.run_for(day) if options["date"] else flows.run_day():
                    self._tell(done)
        except (RefusedError, flows.StageError) as error:
            raise CommandError(str(error)) from error
        self._list_deletions(day)

    def _preview(self, day: date) -> None:
        self.stdout.write("Dry run: nothing is written.")
        for due in flows.preview(day):
            self.stdout.write(f"{due.day}  {due.stage.value:<10} {due.due} due")

    def _tell(self, done: flows.Done) -> None:
        start = f"{done.day}  {done.stage.value:<10} "
        if done.run is None:
            self.stdout.write(f"{start}another process is at work on it")
            return
        run = done.run
        numbers = f"{run.expected} expected, {run.done} done, {run.failed} failed, {run.left} left"
        self.stdout.write(f"{start}{numbers}, {run.seconds:.1f} s")

    def _list_deletions(self, day: date) -> None:
        """By id and never by address: this output ends in logs (R33)."""
        due = stages.due_deletions(day).order_by("delete_from", "pk")
        count = due.count()
        if not count:
            return
        self.stdout.write(f"Boxes due for deletion (none is deleted, deleting is off): {count}")
        for public_id, delete_from in due.values_list("public_id", "delete_from")[:LISTED]:
            self.stdout.write(f"  {public_id} from {delete_from}")
        if count > LISTED:
            self.stdout.write(f"  and {count - LISTED} more")
