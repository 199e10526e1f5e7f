"""The strip of dates of a box: what comes next, oldest first. Pure; dates are calendar dates in Rome."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypedDict

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


class Days(TypedDict):
    """The days of a live box that can still be renewed. `charge_on`: when an automatic charge will come."""

    today: date
    expires_on: date
    delete_from: date
    charge_on: date | None
    change_on: date | None
    change_label: str


@dataclass(frozen=True)
class Told:
    """A day to come and what happens on it, in a sentence."""

    date: date
    sentence: str


def in_words(
    *,
    today: date,
    expires_on: date,
    delete_from: date,
    charge_on: date | None,
    change_on: date | None,
    change_label: str,
) -> list[Told]:
    """The days of a live box from today on, oldest first, and what each means (R7, R13, R24)."""
    found = [
        Told(expires_on, _("ultimo giorno di servizio: fino ad allora si invia e si riceve")),
        Told(
            expires_on + timedelta(days=1),
            _("da questo giorno si leggono i messaggi, ma non se ne inviano né ricevono"),
        ),
        Told(delete_from - timedelta(days=1), _("ultimo giorno per rinnovare, anche dopo la scadenza")),
        Told(
            delete_from, _("da questo giorno la casella può essere cancellata, con tutto il suo contenuto e per sempre")
        ),
    ]
    if charge_on is not None:
        found.append(Told(charge_on, _("addebito del rinnovo automatico: se riesce, le date qui sotto si spostano")))
    if change_on is not None:
        found.append(Told(change_on, change_label))
    return sorted((told for told in found if told.date >= today), key=lambda told: told.date)


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
