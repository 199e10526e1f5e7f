"""Time's sweeps on millions of boxes, against the same SQL through bare psycopg, in the same run (R28).

Boxes expire on 365 days, as many each day, and nothing is ever put back: each measurement records days that no other
has seen, ours and the comparator's turn about, so that both meet the same table. ROWS is how many boxes (1,000,000).
Days are those of the boxes, and not today's: due is a question of the day that the run is for.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from tests.bench.figures import Figure, at_most

ROWS = int(os.environ.get("ROWS", "1000000"))
TIMES = 5
BACKLOG = 30  # days
LEAST_RATIO, MEGABYTES = 0.9, 200
NOTHING_DUE, NOTICES = 1, 30  # seconds
FIRST = date(2027, 1, 1)  # the first expiry; a day later the first box is due


def run() -> list[Figure]:
    began = time.perf_counter()
    make()
    print(f"  {ROWS:,} boxes made in {time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    command = [sys.executable, str(Path(__file__).with_name("run")), "--measure", "sweeps"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    figures = []
    for name, title in (("day", "a day's expiries"), ("backlog", f"{BACKLOG} days' expiries")):
        ours, theirs = found[name]["ours"], found[name]["psycopg"]
        print(f"  {title}: {found[name]['rows']:,} boxes, {ours:,.0f} a second, bare psycopg {theirs:,.0f}")
        ratio = found[name]["ratio"]
        name = f"{title} of {ROWS:,} boxes, of what bare psycopg does"
        figures.append(Figure(name, f"{ratio:.2f}", f"≥ {LEAST_RATIO:g}", ratio >= LEAST_RATIO))
    return [
        *figures,
        at_most("sweeps: memory", found["megabytes"], MEGABYTES, "MB"),
        at_most("a day on which nothing is due, every stage", found["nothing"], NOTHING_DUE, "s"),
        at_most(f"selecting a day's notices ({found['notices_due']:,})", found["notices"], NOTICES, "s"),
        Figure(
            f"two workers on {found['pair_rows']:,}: recorded twice, errors, left",
            f"{found['pair_twice']}, {found['pair_errors']}, {found['pair_left']}",
            "0, 0, 0",
            not (found["pair_twice"] or found["pair_errors"] or found["pair_left"]),
        ),
    ]


# --- The data ---------------------------------------------------------------------------------------------------------

MAKE = """
INSERT INTO accounts_user (username, password, kind, email, is_active, is_staff, is_superuser, date_joined)
SELECT lpad(n::text, 8, '0') || '@bench.example', '!', 'account', '', true, false, false, %(now)s
FROM generate_series(0, (%(rows)s - 1) / 10) n;

INSERT INTO mailboxes_holder (owner_id, contact_email, fiscal_key, {identity})
SELECT u.id, 'c' || u.id || '@posta.example', lpad(u.id::text, 16, '0'), {identity_values}
FROM accounts_user u WHERE u.username LIKE '%%@bench.example';

INSERT INTO mailboxes_address (name, host, tombstone)
SELECT 'n' || n || '@bench.example', 'bench.example', '' FROM generate_series(0, %(rows)s - 1) n;

INSERT INTO mailboxes_mailbox (
    public_id, address_id, kind, owner_id, holder_id, plan_id, mailbox_gb, archive_gb, auto_renews, created_at, phase,
    expires_on, delete_from, anchor_month, anchor_day
)
SELECT gen_random_uuid(), a.id, 'standalone', h.owner_id, h.id, %(plan)s, 1, 0, a.n %% 4 = 0, %(now)s, 'live',
    a.day, a.day + 91, extract(month FROM a.day), extract(day FROM a.day)
FROM (
    SELECT id, substring(name FROM 2 FOR position('@' IN name) - 2)::int AS n,
        %(first)s + (hashint8(id) & 2147483647) %% 365 AS day
    FROM mailboxes_address WHERE host = 'bench.example'
) a
JOIN (
    SELECT h.*, row_number() OVER (ORDER BY h.id) - 1 AS n FROM mailboxes_holder h
    JOIN accounts_user u ON u.id = h.owner_id WHERE u.username LIKE '%%@bench.example'
) h ON h.n = a.n / 10;
"""
TABLES = ("accounts_user", "mailboxes_holder", "mailboxes_address", "mailboxes_mailbox")


def make() -> None:
    """Accounts of ten boxes each. Indexes are made after the rows, and foreign keys are not looked up row by row: what
    the rows must satisfy is checked all the same, or true by how they are made."""
    from django.db import connection

    from mailboxes.models import Holder, Plan
    from pecportal import clock

    own = {"owner", "contact_email", "fiscal_key", "id"}
    fields = [f for f in Holder._meta.concrete_fields if f.name not in own]
    blank = {f.column: None if f.null else f.default if f.has_default() else "" for f in fields}
    blank |= {"first_name": "Anna", "last_name": "Verdi", "codice_fiscale": ""}
    values = {
        "now": clock.now(), "rows": ROWS, "first": FIRST, "plan": Plan.objects.get(code="standard").pk,
        **{f"h_{column}": value for column, value in blank.items()},
    }  # fmt: skip
    sql = MAKE.format(identity=", ".join(blank), identity_values=", ".join(f"%(h_{column})s" for column in blank))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexdef, indexrelid::regclass::text FROM pg_index JOIN pg_indexes ON indexname ="
            " (SELECT relname FROM pg_class WHERE oid = indexrelid) WHERE NOT indisunique AND tablename = ANY(%s)",
            [list(TABLES)],
        )
        indexes = cursor.fetchall()
        for _definition, name in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute("SET session_replication_role = replica")
        for statement in sql.split(";\n"):
            if statement.strip():
                cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for definition, _name in indexes:
            cursor.execute(definition)
        for table in TABLES:
            cursor.execute(f"VACUUM (ANALYZE) {table}")


# --- The measurements, in a process of its own ------------------------------------------------------------------------


def measure() -> None:
    from django.db import connection

    from pecportal.celery import app

    app.conf.broker_url = "memory://"
    days = Days()
    found: dict[str, object] = {
        "day": turn_about(days, step=1),
        "backlog": turn_about(days, step=BACKLOG),
    }
    found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found |= two_at_once(days)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) mailboxes_mailbox")  # as autovacuum has by the next day
    found |= nothing_due(days)
    found |= notices_of_a_day(days)
    print(json.dumps(found))


class Days:
    """The days of the boxes, used up one after the other."""

    def __init__(self) -> None:
        self.day = FIRST

    def after(self, days: int) -> date:
        self.day += timedelta(days=days)
        return self.day


def turn_about(days: Days, *, step: int) -> dict[str, float]:
    """Boxes a second of ours and of the comparator's, and what ours is of the other's: each the median of TIMES.

    The ratio is that of two neighbours, because the load of a machine changes from one minute to the next.
    """
    speeds: dict[str, list[float]] = {"ours": [], "psycopg": []}
    ways: dict[str, Callable[[date], int]] = {"ours": ours, "psycopg": bare_psycopg}
    rows = 0
    for way in ways.values():
        way(days.after(1))  # what is loaded at the first call only
    for turn in range(TIMES):
        for name in sorted(ways, reverse=bool(turn % 2)):
            day = days.after(step)
            began = time.perf_counter()
            rows = ways[name](day)
            speeds[name].append(rows / (time.perf_counter() - began))
            assert rows > ROWS * step / 365 * 0.8, "a measurement without its boxes"
    ratios = [mine / theirs for mine, theirs in zip(speeds["ours"], speeds["psycopg"], strict=True)]
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    return {"rows": rows, "ratio": statistics.median(ratios), **medians}


def ours(day: date) -> int:
    from lifecycle.expiries import record_expiries
    from lifecycle.models import LifecycleRun
    from lifecycle.work import Work

    run, _new = LifecycleRun.objects.get_or_create(stage="expiries", day=day)
    record_expiries(Work(run, today=day))
    run.refresh_from_db()
    return run.done


def bare_psycopg(day: date) -> int:
    """The same batches, written straight for PostgreSQL."""
    import psycopg
    from django.db import connection

    parameters = connection.get_connection_params()
    parameters = {k: v for k, v in parameters.items() if k in ("dbname", "user", "password", "host", "port")}
    done, last = 0, (date(1, 1, 1), 0)
    with psycopg.connect(**parameters) as link:
        while True:
            cursor = link.execute(
                "SELECT expires_on, id FROM mailboxes_mailbox WHERE phase = 'live' AND (expiry_recorded_for IS NULL"
                " OR expiry_recorded_for < expires_on OR expiry_recorded_for > expires_on) AND expires_on < %s"
                " AND (expires_on, id) > (%s, %s) ORDER BY expires_on, id LIMIT 5000 FOR NO KEY UPDATE SKIP LOCKED",
                [day, *last],
            )
            rows = cursor.fetchall()
            ids = [pk for _expiry, pk in rows]
            link.execute(
                "UPDATE mailboxes_mailbox SET expiry_recorded_for = expires_on, platform_due_at = now()"
                " WHERE id = ANY(%s)",
                [ids],
            )
            link.execute(
                "INSERT INTO mailboxes_boxevent (box_id, day, kind, detail, at) SELECT id, expires_on + 1, 'expired',"
                " expires_on::text, now() FROM mailboxes_mailbox WHERE id = ANY(%s)"
                " ON CONFLICT (box_id, day) WHERE kind = 'expired' DO NOTHING",
                [ids],
            )
            link.commit()
            done, last = done + len(rows), rows[-1]
            if len(rows) < 5000:
                return done


def two_at_once(days: Days) -> dict[str, int]:
    """Two workers sweep one backlog, each believing that it is its own."""
    from django.db import connection

    from lifecycle.expiries import due_expiries, record_expiries
    from lifecycle.models import LifecycleRun
    from lifecycle.work import Work
    from mailboxes.models import BoxEvent

    day = days.after(BACKLOG // 2)
    rows = due_expiries(day).count()
    events = BoxEvent.objects.count()
    run = LifecycleRun.objects.create(stage="expiries", day=day)
    errors: list[Exception] = []

    def sweep() -> None:
        try:
            record_expiries(Work(run, today=day))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=sweep) for _n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    run.refresh_from_db()
    left = due_expiries(day).count()
    assert BoxEvent.objects.count() - events == rows - left
    return {
        "pair_rows": rows, "pair_left": left, "pair_errors": len(errors), "pair_twice": run.done - (rows - left),
    }  # fmt: skip


def nothing_due(days: Days) -> dict[str, float]:
    """Every stage of the day just done again, but for the notices: what is due, and the sweep of it."""
    from lifecycle.models import LifecycleRun
    from lifecycle.stages import STAGES
    from lifecycle.work import Work

    began = time.perf_counter()
    for stage, parts in STAGES.items():
        if stage in (LifecycleRun.Stage.NOTICES, LifecycleRun.Stage.LETTERS, LifecycleRun.Stage.DELETIONS):
            continue
        run, _new = LifecycleRun.objects.get_or_create(stage=stage, day=days.day)
        assert parts.due(days.day).count() == 0
        parts.work(Work(run, today=days.day))
    return {"nothing": time.perf_counter() - began}


def notices_of_a_day(days: Days) -> dict[str, float]:
    """The boxes that are owed a notice on the day reached, as the stage reads them: all ids, in its batches.

    Of the other days' points everybody was told: as on any day but the first.
    """
    from django.db import connection
    from django.db.models import F

    from lifecycle import notices
    from lifecycle.work import BATCH, batches
    from pecportal import clock

    before = days.day - timedelta(days=1)
    owed = notices.due(before, today=before).annotate(point=F("due_kind"))
    select, parameters = owed.values_list("pk", "owner_id", "expires_on", "point").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lifecycle_notice (box_id, owner_id, expiry, kind, state, created_at, told_at)"
            f" SELECT owed.*, 'told', %s, %s FROM ({select}) owed",
            [clock.now(), clock.now(), *parameters],
        )
        cursor.execute("VACUUM (ANALYZE) lifecycle_notice")
    began = time.perf_counter()
    due = sum(len(ids) for ids in batches(notices.due(days.day, today=days.day), "expires_on", BATCH))
    assert ROWS / 365 < due < ROWS / 20
    return {"notices": time.perf_counter() - began, "notices_due": due}
