"""Figures as of the last run, and what /metrics makes of them."""

from datetime import timedelta
from unittest import mock

import pytest
from django.db import connection
from django.db.utils import OperationalError
from django.test.utils import CaptureQueriesContext

from lifecycle import figures, flows, metrics
from lifecycle.models import Alarm, DeletionStop, Figure, Letter, LifecycleRun, ManifestLine, Notice
from mailboxes.models import Mailbox
from mailboxes.rules import State
from pecportal import clock

pytestmark = pytest.mark.django_db


def scraped(client) -> dict[str, float]:
    page = client.get("/metrics")
    assert page.status_code == 200
    lines = [line for line in page.content.decode().splitlines() if line.startswith("pecportal_")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


@pytest.fixture
def nine(make_box, alice):
    """Boxes on both sides of every line: 90 days to the expiry, the expiry, the deletion day."""
    boxes = [make_box(alice, f"n{days + 200}", expires_in=days) for days in (91, 400, 90, 0, -1, -90, -91, -200, 30)]
    phases = {"activating": 30}
    for phase, days in phases.items():
        Mailbox.objects.filter(address__name__startswith=f"n{days + 200}@").update(
            phase=phase, expires_on=None, delete_from=None
        )
    Mailbox.objects.filter(address__name__startswith="n0@").update(phase="deleted", login=None)
    return boxes


def test_boxes_are_counted_as_the_screens_show_them(nine, today):
    found = figures.boxes_by_state(today)
    assert found == {
        "attiva": 2, "in_scadenza": 2, "scaduta": 2, "attesa_cancellazione": 1, "in_attivazione": 1,
        "in_cancellazione": 0, "cancellata": 1,
    }  # fmt: skip
    shown = [box.state(today) for box in Mailbox.objects.all()]
    active = found["attiva"] + found["in_scadenza"]
    assert {s.value: shown.count(s) for s in State} == {**{s.value: found[s] for s in State}, "attiva": active}


def test_one_reading_of_the_table(nine, today):
    with CaptureQueriesContext(connection) as queries:
        figures.boxes_by_state(today)
    assert len(queries) == 1


def test_a_run_leaves_its_figures(nine, make_box, alice, today):
    flows.run_day()
    values = dict(Figure.objects.values_list("name", "value"))
    assert set(values) == set(figures.NAMES)
    assert values["overdue"] == 0
    assert values["due"] == sum(LifecycleRun.objects.values_list("expected", flat=True)) > 0
    Mailbox.objects.filter(address__name__startswith="n199@").update(expiry_recorded_for=None)
    now = clock.now()
    Notice.objects.create(box=nine[0], owner=alice, expiry=today, kind=-7, created_at=now)
    Letter.objects.create(to="alice@posta.example", queued_at=now)
    ManifestLine.objects.update_or_create(day=today, box=nine[6], defaults={"verdict": "held", "why": "staff"})
    DeletionStop.objects.create(day=today, boxes=7, of_boxes=9, stopped_at=now)
    figures.write(today=today)
    values = dict(Figure.objects.values_list("name", "value"))
    told = {name: values[name] for name in figures.NAMES if not name.startswith("boxes_") and name != "due"}
    assert told == {
        "overdue": 1, "notices_unsent": Notice.objects.filter(state="due").count(), "letters_waiting": 3,
        "deletions_held": ManifestLine.objects.filter(verdict="held").count(), "deletions_stopped": 7,
    }  # fmt: skip
    assert told["notices_unsent"] == 1 or told["notices_unsent"] > 1
    assert Figure.objects.count() == len(figures.NAMES)


def test_figures_that_cannot_be_counted_undo_nothing(make_box, alice, today, monkeypatch, caplog):
    make_box(alice, "ieri", expires_in=-1)
    monkeypatch.setattr(figures, "count", mock.Mock(side_effect=OperationalError("ieri@pec.example")))
    flows.run_day()
    assert LifecycleRun.objects.filter(finished_at=None).count() == 0
    assert "the figures could not be counted: OperationalError" in caplog.text and "@" not in caplog.text


def test_metrics_say_what_the_last_run_left(nine, today, client, settings):
    settings.METRICS_TOKEN = ""
    flows.run_day()
    finished = clock.now() - timedelta(hours=5)
    LifecycleRun.objects.filter(stage="expiries").update(finished_at=finished)
    Alarm.objects.create(key="late", detail="x", raised_at=clock.now())
    Alarm.objects.create(key="purge", detail="x", raised_at=clock.now(), cleared_at=clock.now())
    Mailbox.objects.filter(address__name__startswith="n600@").update(phase="deleting", login=None)  # after the run
    found = scraped(client)
    assert found['pecportal_boxes{state="attiva"}'] == 2
    assert found['pecportal_boxes{state="in_cancellazione"}'] == 0
    assert found["pecportal_overdue"] == 0
    assert found['pecportal_lifecycle_age_seconds{stage="expiries"}'] == pytest.approx(5 * 3600, abs=60)
    assert found['pecportal_lifecycle_age_seconds{stage="lapses"}'] < 60
    assert {name for name in found if name.startswith("pecportal_alarms_open")} == {
        'pecportal_alarms_open{alarm="late"}'
    }
    assert found["pecportal_lifecycle_readable"] == 1
    assert {f"pecportal_{name}" for name in metrics.SINGLE} <= set(found)


def test_a_scrape_is_three_small_queries_whatever_there_is(nine, client, settings):
    settings.METRICS_TOKEN = ""
    flows.run_day()
    with CaptureQueriesContext(connection) as queries:
        scraped(client)
    assert len(queries) == 3
    assert [q["sql"] for q in queries if "mailboxes_" in q["sql"]] == []


def test_a_database_that_is_away_leaves_the_page(client, settings):
    settings.METRICS_TOKEN = ""
    with mock.patch.object(connection, "cursor", side_effect=OperationalError("host 192.0.2.1")):
        page = client.get("/metrics")
    assert page.status_code == 200
    assert b"pecportal_lifecycle_readable 0.0" in page.content and b"django_http_requests" in page.content
    assert b"192.0.2.1" not in page.content


def test_a_new_installation_has_a_page_too(client, settings):
    settings.METRICS_TOKEN = ""
    assert scraped(client) == {"pecportal_lifecycle_readable": 1}
