"""The strip of dates of a box: what comes next, oldest first. Pure; dates are calendar dates in Rome."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from lifecycle import rules


@dataclass(frozen=True)
class Point:
    """One dot of templates/partials/strip.html."""

    label: str
    date: date
    when: str  # past | today | next
    kind: str = ""  # notice | expiry | deletion | charge | start


def notices(expires_on: date, *, today: date, delete_from: date) -> list[date]:
    """The notice days still to come before deletion starts (R27)."""
    days = (rules.notice_day(expires_on, kind) for kind in settings.NOTICE_DAYS)
    return [day for day in days if today < day < delete_from]


def strip(
    *,
    today: date,
    expires_on: date,
    delete_from: date,
    charge_on: date | None,
    change_on: date | None,
    change_label: str,
    in_full: bool,
) -> Sequence[Point]:
    """The dates of a live box that can still be renewed, by day; today first among equals (R13, R24, R27).

    `charge_on`: the day of the automatic charge when one will come; notices are then left out. `in_full` adds the last
    renewable day and the change of plan, which a card of the list has no room for.
    """
    last_day = delete_from - timedelta(days=1)
    found: list[tuple[date, str, str]] = [
        (expires_on, _("scadenza"), "expiry"),
        (delete_from, _("cancellazione"), "deletion"),
    ]
    if charge_on is not None:
        found.append((charge_on, _("addebito"), "charge"))
    elif coming := notices(expires_on, today=today, delete_from=delete_from):
        label = _("ultimo avviso") if len(coming) == 1 else _("prossimo avviso")
        found.append((coming[0], label, "notice"))
    if in_full or today > expires_on:
        found.append((last_day, _("ultimo giorno per rinnovare"), "expiry"))
    if in_full and change_on is not None:
        found.append((change_on, change_label, "start"))
    points = [Point(label, day, "past" if day < today else "next", kind) for day, label, kind in found]
    points.append(Point(_("oggi"), today, "today"))
    return sorted(points, key=lambda p: (p.date, p.when != "today"))
