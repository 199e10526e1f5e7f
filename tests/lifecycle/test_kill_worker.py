"""kill -9 of a real worker in a sweep and in a deletion, on PostgreSQL and Redis, and another one after it (R28, R29).

The worker is held by the database itself: a trigger waits for a lock of ours when a chosen event of a chosen box is
written, so the kill falls inside that transaction: of a sweep's second batch, of either commit of a deletion. Nothing
of the worker's code is changed.
"""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from django.db import connection
from kombu import Connection
from post_office.models import Email

from lifecycle import tasks
from lifecycle.models import LifecycleRun
from lifecycle.work import BATCH
from mailboxes.models import Address, BoxEvent, Mailbox
from mailboxes.platform.base import get_platform
from pecportal.celery import app
from tests.lifecycle.deletions import warn_twice

pytestmark = [
    pytest.mark.servers,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="a worker that is killed needs PostgreSQL"),
]
ROOT = Path(__file__).resolve().parents[2]
BOXES = 2 * BATCH + 1000
SECONDS = 120
LOCK = 4711


@pytest.fixture
def boxes(make_box, alice, today) -> list[int]:
    """Three batches of expired boxes; their ids in the order of the sweep."""
    first = make_box(alice, "prima", expires_in=-1)
    copied = {f.attname: getattr(first, f.attname) for f in Mailbox._meta.concrete_fields}
    for name in ("id", "public_id", "address_id", "login_id"):
        copied.pop(name)
    addresses = Address.objects.bulk_create(
        Address(name=f"n{n}@pec.example", host="pec.example") for n in range(BOXES - 1)
    )
    Mailbox.objects.bulk_create((Mailbox(**copied, address=address) for address in addresses), batch_size=1000)
    return list(Mailbox.objects.order_by("expires_on", "pk").values_list("pk", flat=True))


@pytest.fixture
def hold():
    """hold(box id, kind): whoever writes that event waits, in its transaction, for a lock that is ours."""

    def go(box_id: int, kind: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            cursor.execute(
                "CREATE FUNCTION hold_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF NEW.box_id = {box_id} AND NEW.kind = '{kind}' THEN PERFORM pg_advisory_xact_lock({LOCK}); END IF;"
                " RETURN NEW; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER hold_event BEFORE INSERT ON mailboxes_boxevent FOR EACH ROW"
                " EXECUTE FUNCTION hold_event()"
            )

    yield go
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER hold_event ON mailboxes_boxevent; DROP FUNCTION hold_event()")
        cursor.execute("SELECT pg_advisory_unlock_all()")


def let_go() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


@pytest.fixture
def broker():
    url = urlsplit(os.environ["BROKER_URL"])._replace(path="/14").geturl()
    redis.Redis.from_url(url).flushdb()
    yield url
    redis.Redis.from_url(url).flushdb()


@pytest.fixture
def worker(broker, tmp_path):
    """start() → a worker of this product in a process group of its own."""
    started: list[subprocess.Popen] = []
    url = urlsplit(os.environ["DATABASE_URL"])
    environment = {
        **os.environ,
        "DATABASE_URL": url._replace(path="/" + connection.settings_dict["NAME"]).geturl(),
        "BROKER_URL": broker,
        "BROKER_VISIBILITY_TIMEOUT": "5",
        "VAR_DIR": str(tmp_path),
    }
    log = (tmp_path / "worker.log").open("ab")

    def start() -> subprocess.Popen:
        command = [sys.executable, "-m", "celery", "-A", "pecportal", "worker", "-l", "WARNING", "-c", "2"]
        options = ["--prefetch-multiplier", "1", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        started.append(
            subprocess.Popen(
                [*command, *options], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        kill(process)
    log.close()


def kill(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)


def until(true, what: str, log: Path) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() <= end, f"{what}: not within {SECONDS} s\n{log.read_text()[-3000:]}"
        time.sleep(0.2)


def publish(broker: str, name: str) -> None:
    with Connection(broker) as link:
        app.send_task(name, connection=link)


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return cursor.fetchone()[0] == 1


def connected() -> set[int]:
    """Who is connected to the database: when the worker's are gone, what it had not committed is rolled back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        return {pid for (pid,) in cursor.fetchall()}


def numbers() -> tuple[int, int, int, int]:
    run = LifecycleRun.objects.get(stage="expiries")
    return run.expected, run.done, run.failed, BoxEvent.objects.filter(kind="expired").count()


def after_the_kill(before: set[int], log: Path) -> None:
    let_go()
    until(lambda: connected() <= before, "the end of the killed transaction", log)


def taken_up(stage: str, broker: str, log: Path) -> None:
    """Half an hour later beat's task finds the run of the killed worker, and another worker ends it."""
    run = LifecycleRun.objects.get(stage=stage)
    LifecycleRun.objects.filter(pk=run.pk).update(claimed_at=run.claimed_at - timedelta(minutes=31))
    publish(broker, tasks.take_up.name)
    until(lambda: LifecycleRun.objects.get(pk=run.pk).finished_at is not None, "the run taken up", log)


def test_killed_in_the_middle_of_a_batch_the_end_is_the_same(boxes, hold, broker, worker, tmp_path, today):
    log, before = tmp_path / "worker.log", connected()
    hold(boxes[BATCH + BATCH // 2], "expired")
    first = worker()
    publish(broker, tasks.run_day.name)
    until(somebody_waits, "the second batch", log)
    assert numbers() == (BOXES, BATCH, 0, BATCH)  # the first batch, whole; nothing of the second
    kill(first)
    after_the_kill(before, log)
    assert numbers() == (BOXES, BATCH, 0, BATCH)

    worker()
    taken_up("expiries", broker, log)
    assert numbers() == (BOXES, BOXES, 0, BOXES)
    events = BoxEvent.objects.filter(kind="expired").values_list("box_id", "day", "detail")
    expiry = today - timedelta(days=1)
    assert sorted(events) == sorted((pk, today, str(expiry)) for pk in boxes)
    assert set(Mailbox.objects.values_list("expiry_recorded_for", flat=True)) == {expiry}


# At the kill: phase of the box, whether its content is still there. Of the first commit nothing stays; after it there
# is no way back, and the second commit is made again.
@pytest.mark.parametrize(("event", "phase", "content"), [("deleting", "live", True), ("deleted", "deleting", False)])
def test_killed_at_either_commit_of_a_deletion(
    make_box, alice, today, hold, broker, worker, tmp_path, settings, event, phase, content
):
    settings.VAR_DIR = tmp_path
    log, before = tmp_path / "worker.log", connected()
    both = chosen, _other = [make_box(alice, name, expires_in=-91) for name in ("prima", "poi")]
    warn_twice(*both)
    platform = get_platform()
    platform.open(str(chosen), mailbox_gb=1, archive_gb=0)
    hold(chosen.pk, event)
    first = worker()
    publish(broker, tasks.run_day.name)
    until(somebody_waits, f"the commit of {event}", log)
    kill(first)
    after_the_kill(before, log)
    chosen.refresh_from_db()
    assert (chosen.phase, str(chosen) in platform.usage([str(chosen)])) == (phase, content)
    assert not BoxEvent.objects.filter(box=chosen, kind=event).exists()

    # Nobody else speaks to the mail system about a box for as long as a task lives: that time is over.
    Mailbox.objects.filter(phase="deleting").update(platform_due_at=None)
    worker()
    taken_up("deletions", broker, log)
    publish(broker, tasks.finish_deletions.name)
    until(lambda: {m.phase for m in Mailbox.objects.all()} == {"deleted"}, "both boxes deleted", log)
    events = BoxEvent.objects.filter(kind__in=["deleting", "deleted"]).order_by("box", "pk")
    assert list(events.values_list("box", "kind")) == [(b.pk, k) for b in both for k in ("deleting", "deleted")]
    assert Email.objects.filter(subject__contains="cancellata").count() == 4  # to holder and account, once
    assert not platform.usage([str(chosen)])
