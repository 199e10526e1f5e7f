"""What the worker does every day, by hand: for today and the missed days, or for one day."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count

from lifecycle import clockcheck, flows, manifest
from lifecycle.models import DeletionStop, ManifestLine
from pecportal import clock
from pecportal.errors import RefusedError

LISTED = 50  # boxes that are named; the rest is a number


def a_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day: write it as 2026-11-22.") from None


class Command(BaseCommand):
    help = (
        "Records expiries, starts changes of plan whose day has come, lapses unpaid orders, tells customers of "
        "expiries, and deletes the boxes whose time is over and which nothing holds. Safe to run twice, at once, or "
        "after a kill."
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
                self._tell_deletions(day)
        except (RefusedError, flows.StageError) as error:
            raise CommandError(str(error)) from error

    def _preview(self, day: date) -> None:
        self.stdout.write("Dry run: nothing is written.")
        for due in flows.preview(day):
            self.stdout.write(f"{due.day}  {due.stage.value:<10} {due.due} due")
        if day < clock.today():
            return  # deletion is today's alone
        found = manifest.preview(day, listed=LISTED)
        stopped = found.stop is not None and found.stop.released_at is None
        self._count("would be deleted", 0 if stopped else found.deleted, found.held)
        if not stopped:
            self._list(found.first, found.deleted)
        self._tell_stop(found.stop)

    def _tell(self, done: flows.Done) -> None:
        start = f"{done.day}  {done.stage.value:<10} "
        if done.run is None:
            self.stdout.write(f"{start}another process is at work on it")
            return
        run = done.run
        numbers = f"{run.expected} expected, {run.done} done, {run.failed} failed, {run.left} left"
        self.stdout.write(f"{start}{numbers}, {run.seconds:.1f} s")

    def _tell_deletions(self, day: date) -> None:
        """What the manifest of the day says, and whether the cap stopped it."""
        lines = ManifestLine.objects.filter(day=day)
        held = lines.filter(verdict=ManifestLine.Verdict.HELD).values_list("why").annotate(number=Count("pk"))
        begun = lines.exclude(begun_at=None)
        self._count("deleted or under way", begun.count(), dict(held))
        ids = begun.order_by("pk").values_list("box__public_id", flat=True)
        self._list([str(public_id) for public_id in ids[:LISTED]], begun.count())
        self._tell_stop(DeletionStop.objects.filter(day=day).first())

    def _tell_stop(self, stop: DeletionStop | None) -> None:
        if stop is not None and stop.released_at is None:
            self.stdout.write(
                f"{stop.day}  deletions  stopped by the cap: {stop.boxes} of {stop.of_boxes} boxes; "
                "two members of staff release it in admin, or nothing is deleted"
            )

    def _count(self, what: str, number: int, held: Mapping[Any, int]) -> None:
        if not number and not held:
            return
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(held.items()))
        self.stdout.write(f"Boxes past their deletion day: {number} {what}, held: {reasons or 'none'}")

    def _list(self, public_ids: list[str], of: int) -> None:
        """By id and never by address: this output ends in logs (R33)."""
        for public_id in public_ids:
            self.stdout.write(f"  {public_id}")
        if of > len(public_ids):
            self.stdout.write(f"  and {of - len(public_ids)} more")
