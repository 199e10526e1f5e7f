"""`manage.py demo`: (re)create the demonstration data. Takes away what was there, so never in production."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from pecportal import demo


class Command(BaseCommand):
    help = "Takes all business data away and makes the demonstration data anew (development only)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the logins and boxes as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("The demonstration data replace everything: not in production.")
        demo.clear()
        demo.build()
        facts = demo.summary()
        if options["json"]:
            self.stdout.write(json.dumps(facts, indent=2, ensure_ascii=False))
            return
        self.stdout.write(f"Demonstration data made. Password of every login: {demo.PASSWORD}")
        for account in facts["accounts"]:  # type: ignore[attr-defined]
            self.stdout.write(f"  account  {account['username']}  ({account['email']})")
        self.stdout.write("  staff    admin  (at /admin/)")
        for box in facts["boxes"]:  # type: ignore[attr-defined]
            self.stdout.write(f"  casella  {box['address']}  {box['state']}, scade il {box['expires_on']}")
