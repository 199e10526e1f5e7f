"""Receipts of SdI that somebody downloaded: every file of a folder, taken once."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payments.invoicing import answers, receipts


class Command(BaseCommand):
    help = (
        "Takes SdI's receipts out of a folder (*.xml, *.zip). The files stay where they are; taking one twice does "
        "nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        folder: Path = options["folder"]
        if not folder.is_dir():
            raise CommandError(f"{folder} is no folder.")
        applied = for_staff = 0
        for path in sorted([*folder.glob("*.xml"), *folder.glob("*.zip")]):
            with path.open("rb") as opened:
                receipt = answers.take(name=path.name, content=opened.read(receipts.MOST + 1))
            applied += receipt.understood
            for_staff += not receipt.understood
        self.stdout.write(f"Receipts: {applied} understood, {for_staff} for staff to look at.")
