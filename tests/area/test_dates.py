from datetime import date, timedelta

import pytest
from django.utils import translation

from pecportal.area import dates

EXPIRY = date(2027, 1, 1)
DELETION = date(2027, 4, 2)


def strip(today, **changes):
    facts = {
        "today": today, "expires_on": EXPIRY, "delete_from": DELETION, "charge_on": None, "change_on": None,
        "change_label": "passa a Standard", "in_full": False,
    }  # fmt: skip
    with translation.override("it"):
        return [(p.label, p.date, p.when, p.kind) for p in dates.strip(**{**facts, **changes})]


def test_an_active_box():
    assert strip(date(2026, 11, 22)) == [
        ("oggi", date(2026, 11, 22), "today", ""),
        ("prossimo avviso", date(2026, 12, 2), "next", "notice"),
        ("scadenza", EXPIRY, "next", "expiry"),
        ("cancellazione", DELETION, "next", "deletion"),
    ]


def test_in_full_with_a_change_waiting():
    assert strip(date(2026, 11, 22), in_full=True, change_on=date(2027, 1, 2)) == [
        ("oggi", date(2026, 11, 22), "today", ""),
        ("prossimo avviso", date(2026, 12, 2), "next", "notice"),
        ("scadenza", EXPIRY, "next", "expiry"),
        ("passa a Standard", date(2027, 1, 2), "next", "start"),
        ("ultimo giorno per rinnovare", date(2027, 4, 1), "next", "expiry"),
        ("cancellazione", DELETION, "next", "deletion"),
    ]


def test_a_charge_takes_the_place_of_the_notices():
    assert strip(date(2026, 12, 20), charge_on=date(2026, 12, 25)) == [
        ("oggi", date(2026, 12, 20), "today", ""),
        ("addebito", date(2026, 12, 25), "next", "charge"),
        ("scadenza", EXPIRY, "next", "expiry"),
        ("cancellazione", DELETION, "next", "deletion"),
    ]


def test_an_expired_box_shows_the_last_renewable_day():
    assert strip(date(2027, 1, 13)) == [
        ("scadenza", EXPIRY, "past", "expiry"),
        ("oggi", date(2027, 1, 13), "today", ""),
        ("prossimo avviso", date(2027, 1, 31), "next", "notice"),
        ("ultimo giorno per rinnovare", date(2027, 4, 1), "next", "expiry"),
        ("cancellazione", DELETION, "next", "deletion"),
    ]


def test_on_the_day_itself_today_comes_first():
    assert [p[0] for p in strip(EXPIRY)][:2] == ["oggi", "scadenza"]


@pytest.mark.parametrize(
    ("day", "coming"),
    [
        (EXPIRY - timedelta(days=91), [-90, -60, -30, -15, -7, -1, 1, 30, 60, 83, 89]),
        (EXPIRY - timedelta(days=90), [-60, -30, -15, -7, -1, 1, 30, 60, 83, 89]),  # today's is not to come
        (EXPIRY, [1, 30, 60, 83, 89]),
        (EXPIRY + timedelta(days=88), [89]),
        (EXPIRY + timedelta(days=89), []),
    ],
)
def test_notices_still_to_come(day, coming):
    """R27's calendar."""
    found = dates.notices(EXPIRY, today=day, delete_from=DELETION)
    assert found == [EXPIRY + timedelta(days=d) for d in coming]


def test_the_last_notice_is_called_so():
    assert strip(EXPIRY + timedelta(days=88))[2] == ("ultimo avviso", date(2027, 3, 31), "next", "notice")


def test_no_notice_is_promised_after_deletion_may_start():
    found = dates.notices(EXPIRY, today=EXPIRY, delete_from=EXPIRY + timedelta(days=60))
    assert found == [EXPIRY + timedelta(days=d) for d in (1, 30)]


def words(today, **changes):
    facts = {
        "today": today, "expires_on": EXPIRY, "delete_from": DELETION, "charge_on": None, "change_on": None,
        "change_label": "passa a Standard",
    }  # fmt: skip
    with translation.override("it"):
        return [(told.date, told.sentence) for told in dates.in_words(**{**facts, **changes})]


SERVICE = (EXPIRY, "ultimo giorno di servizio: fino ad allora si invia e si riceve")
READ = (date(2027, 1, 2), "da questo giorno si leggono i messaggi, ma non se ne inviano né ricevono")
LAST = (date(2027, 4, 1), "ultimo giorno per rinnovare, anche dopo la scadenza")
GONE = (DELETION, "da questo giorno la casella può essere cancellata, con tutto il suo contenuto e per sempre")


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2026, 11, 22), [SERVICE, READ, LAST, GONE]),
        (EXPIRY, [SERVICE, READ, LAST, GONE]),
        (date(2027, 1, 2), [READ, LAST, GONE]),
        (date(2027, 1, 3), [LAST, GONE]),
        (date(2027, 4, 1), [LAST, GONE]),
    ],
)
def test_the_days_to_come_in_words(today, expected):
    assert words(today) == expected


def test_a_charge_and_a_change_in_words():
    charge = (date(2026, 12, 25), "addebito del rinnovo automatico: se riesce, le date qui sotto si spostano")
    assert words(date(2026, 12, 1), charge_on=charge[0], change_on=date(2027, 1, 2)) == [
        charge, SERVICE, READ, (date(2027, 1, 2), "passa a Standard"), LAST, GONE,
    ]  # fmt: skip
