"""/healthz, /readyz and /metrics."""

from datetime import timedelta
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.utils import OperationalError
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from pecportal.clock import now


def test_healthz_asks_nothing_behind_it(client):
    with mock.patch.object(connections["default"], "cursor", side_effect=OperationalError):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert "no-store" in answer["Cache-Control"]


def test_healthz_is_not_sent_to_https(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_readyz_answers_when_all_is_there(client):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"database": "ok", "cache": "ok", "migrations": "ok"})


@pytest.mark.django_db(transaction=True)
def test_readyz_says_which_is_missing_and_not_why(client, settings):
    settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:9/0"}}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"database": "ok", "cache": "failed", "migrations": "ok"})
    assert b"127.0.0.1" not in answer.content


@pytest.mark.django_db(transaction=True)
def test_readyz_notices_a_waiting_migration(client):
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT id, app, name, applied FROM django_migrations ORDER BY id DESC LIMIT 1")
        row = cursor.fetchone()
        cursor.execute("DELETE FROM django_migrations WHERE id = %s", [row[0]])
    try:
        answer = client.get("/readyz")
    finally:
        with connections["default"].cursor() as cursor:
            cursor.execute("INSERT INTO django_migrations (id, app, name, applied) VALUES (%s, %s, %s, %s)", row)
    assert (answer.status_code, answer.json()["migrations"]) == (503, "failed")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("token", "production", "headers", "status"),
    [
        ("token", True, {"Authorization": "Bearer token"}, 200),
        ("token", False, {"Authorization": "Bearer token"}, 200),
        ("token", True, {"Authorization": "Bearer other"}, 404),
        ("token", True, {"Authorization": "Bearer "}, 404),
        ("token", True, {"Authorization": "Bearer tokén"}, 404),
        ("token", True, {}, 404),
        ("token", False, {}, 404),
        ("", True, {}, 404),
        ("", True, {"Authorization": "Bearer "}, 404),
        ("", False, {}, 200),
    ],
)
def test_metrics_are_for_who_knows_the_token(client, settings, token, production, headers, status):
    settings.METRICS_TOKEN, settings.PRODUCTION = token, production
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == status
    assert (b"django_http_requests" in answer.content) == (status == 200)


@pytest.mark.django_db
@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("192.0.2.7", 404), ("", 404)])
def test_without_a_token_development_answers_its_own_machine(client, settings, address, status):
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == status


@pytest.mark.parametrize("page", ["/healthz", "/metrics", "/readyz"])
def test_they_only_read(client, settings, page):
    settings.METRICS_TOKEN = ""
    assert client.post(page).status_code == 405


@pytest.mark.django_db
def test_beat_alive_fails_when_nothing_was_sent_for_ten_minutes():
    with pytest.raises(CommandError, match="sent nothing"):
        call_command("beat_alive")
    every = IntervalSchedule.objects.create(every=60, period="seconds")
    PeriodicTask.objects.create(name="a task", task="a.task", interval=every, last_run_at=now())
    call_command("beat_alive")
    PeriodicTask.objects.update(last_run_at=now() - timedelta(minutes=10, seconds=1))
    with pytest.raises(CommandError, match="sent nothing"):
        call_command("beat_alive")
