"""What the mail servers may read: the right state on every day, and nothing else of the database."""

from datetime import date, timedelta

import psycopg
import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import InternalError, NotSupportedError, connection
from django.db.migrations import RunSQL
from django.db.migrations.state import ProjectState

from mailboxes import ending
from mailboxes.migrations._mail_views import ROME_TODAY, without_views
from mailboxes.models import Mailbox
from mailboxes.rules import GB
from tests.conftest import MAIL_PASSWORD, MAIL_ROLE

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="the mail servers read PostgreSQL"),
]
VIEWS = {"boxes", "passwords", "domains"}


@pytest.fixture
def role(settings, transactional_db, worker_id):
    """A role of this worker of pytest-xdist: two that change the same one at once meet in the cluster's catalogue."""
    settings.MAIL_DB_ROLE, settings.MAIL_DB_PASSWORD = f"{MAIL_ROLE}_{worker_id}", MAIL_PASSWORD
    for _twice in range(2):
        call_command("mail_role", verbosity=0)


def as_role(query: str, parameters: object = None) -> list[tuple]:
    """The rows that the mail servers' role gets. Raises psycopg.Error where it may not."""
    facts = connection.get_connection_params()
    facts = {name: facts[name] for name in ("host", "port", "dbname")}
    with psycopg.connect(**facts, user=django_settings.MAIL_DB_ROLE, password=MAIL_PASSWORD, autocommit=True) as link:
        cursor = link.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []


# --- The role ---------------------------------------------------------------------------------------------------------


def test_the_role_reads_the_three_views(role, box):
    assert as_role("SELECT address, state, mailbox_bytes, archive_bytes FROM mail.boxes") == [
        ("alice@pec.example", "attiva", 2 * GB, 3 * GB)
    ]
    assert as_role("SELECT * FROM mail.domains") == [("pec.example",)]
    assert as_role("SELECT address FROM mail.passwords") == []  # of a cheap hash there is no row


def relations() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relkind IN ('r', 'v', 'm', 'p', 'f', 'S') AND nspname NOT IN ('pg_catalog', 'information_schema')"
            " AND nspname NOT LIKE 'pg\\_toast%' AND nspname NOT LIKE 'pg\\_temp%'"
        )
        return cursor.fetchall()


def test_the_role_reads_nothing_else(role, box):
    tried = [(schema, name) for schema, name in relations() if (schema, name) not in {("mail", v) for v in VIEWS}]
    assert len(tried) > 60
    for schema, name in tried:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            as_role(f'SELECT * FROM "{schema}"."{name}"')


def test_the_role_changes_nothing(role, box):
    for query in (
        "UPDATE mail.domains SET domain = 'x'",
        "INSERT INTO mail.domains VALUES ('x')",
        "DELETE FROM mail.domains",
        "UPDATE mail.boxes SET state = 'attiva'",
        "CREATE TABLE mail.x (n int)",
        "CREATE TABLE public.x (n int)",
        "SET ROLE pecportal",
    ):
        for before in ("", "SET default_transaction_read_only = off; "):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction,
                                psycopg.errors.ObjectNotInPrerequisiteState)):  # fmt: skip
                as_role(before + query)


def test_a_function_that_leaks_sees_no_row_that_the_view_leaves_out(role, box, make_box, alice, today):
    """security_barrier: a condition of the asker is not looked at before the view's own."""
    gone = make_box(alice, "sparita")
    ending.begin(gone, today=today, why="prova")
    error = "1 / (CASE WHEN address = 'sparita@pec.example' THEN 0 ELSE 1 END) = 1"
    assert as_role(f"SELECT address FROM mail.boxes WHERE {error}") == [("alice@pec.example",)]


def test_the_role_keeps_its_rights_when_a_migration_makes_the_views_anew(role, box):
    run(without_views(1, [RunSQL("ALTER TABLE mailboxes_mailbox ALTER COLUMN expires_on TYPE date")]))
    assert as_role("SELECT address FROM mail.boxes") == [("alice@pec.example",)]


def test_a_user_who_may_make_no_roles_is_told_so(settings, transactional_db, worker_id):
    settings.MAIL_DB_ROLE, settings.MAIL_DB_PASSWORD = f"altro_{worker_id}", MAIL_PASSWORD
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE piccolo_{worker_id}; SET ROLE piccolo_{worker_id}")
        try:
            with pytest.raises(CommandError, match="may make roles"):
                call_command("mail_role")
        finally:
            cursor.execute(f"RESET ROLE; DROP ROLE piccolo_{worker_id}")


def test_a_role_of_everything_is_refused_and_a_missing_password_too(settings, transactional_db):
    settings.MAIL_DB_ROLE, settings.MAIL_DB_PASSWORD = "pecportal", MAIL_PASSWORD
    with pytest.raises(CommandError, match="can do everything"):
        call_command("mail_role")
    settings.MAIL_DB_PASSWORD = ""
    with pytest.raises(CommandError, match="MAIL_DB_PASSWORD is not set"):
        call_command("mail_role")


@pytest.mark.parametrize(
    "more",
    ["GRANT pg_read_all_data TO {role}", "ALTER ROLE {role} BYPASSRLS", "ALTER ROLE {role} REPLICATION",
     "ALTER TABLE accounts_user OWNER TO {role}"],
)  # fmt: skip
def test_a_role_that_can_do_more_is_refused(settings, role, more):
    """Named by mistake, another program's role would give the mail servers all that it may read."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (owner,) = cursor.fetchone()
        cursor.execute(more.format(role=settings.MAIL_DB_ROLE))
        try:
            with pytest.raises(CommandError, match="can do more"):
                call_command("mail_role")
        finally:
            cursor.execute(
                f"ALTER TABLE accounts_user OWNER TO {owner}; REVOKE pg_read_all_data FROM {settings.MAIL_DB_ROLE};"
                f" ALTER ROLE {settings.MAIL_DB_ROLE} NOBYPASSRLS NOREPLICATION"
            )
    call_command("mail_role", verbosity=0)


# --- The views --------------------------------------------------------------------------------------------------------


def seen(name: str = "alice@pec.example") -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT state FROM mail.boxes WHERE address = %s", [name])
        return [state for (state,) in cursor.fetchall()]


@pytest.mark.parametrize("days", [-400, -1, 0, 1, 2, 89, 90, 91, 92, 500])
def test_the_state_is_the_portals_own_on_every_day(rome_is, box, days):
    day = box.expires_on + timedelta(days=days)
    rome_is(day)
    assert seen() == [str(Mailbox.objects.get(pk=box.pk).state(day))]


def test_only_living_boxes_are_there(box, today):
    assert seen() == ["attiva"]
    ending.begin(box, today=today, why="prova")
    assert seen() == []
    ending.finish(box, today=today)
    assert seen() == []


@pytest.mark.real_hasher
def test_the_hash_is_the_portals_without_the_name_of_its_hasher(box, make_box, alice):
    unset = make_box(alice, "senza")
    unset.login.set_unusable_password()
    unset.login.save()
    off = make_box(alice, "spenta")
    off.login.is_active = False
    off.login.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT address, password FROM mail.passwords")
        assert cursor.fetchall() == [("alice@pec.example", box.login.password.removeprefix("argon2"))]
    assert box.login.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-11-22 22:59:59Z", date(2026, 11, 22)),
        ("2026-11-22 23:00:00Z", date(2026, 11, 23)),
        ("2026-07-01 21:59:59Z", date(2026, 7, 1)),
        ("2026-07-01 22:00:00Z", date(2026, 7, 2)),
        ("2027-03-28 00:59:59Z", date(2027, 3, 28)),  # the night in which the hour changes
        ("2027-10-31 22:59:59Z", date(2027, 10, 31)),
        ("2027-10-31 23:00:00Z", date(2027, 11, 1)),
    ],
)
def test_midnight_is_that_of_rome_whatever_the_session_says(transactional_db, moment, day):
    body = ROME_TODAY.partition("$$")[2].partition("$$")[0]
    assert "pg_catalog.now()" in body
    with connection.cursor() as cursor:
        for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
            cursor.execute("SELECT set_config('TimeZone', %s, false)", [zone])
            cursor.execute(body.replace("pg_catalog.now()", f"timestamptz '{moment}'"))
            assert cursor.fetchone() == (day,)
        cursor.execute("SET TimeZone = 'UTC'")


def test_today_is_the_portals_today(transactional_db, today):
    with connection.cursor() as cursor:
        cursor.execute("SELECT mail.rome_today()")
        assert cursor.fetchone() == (today,)


# --- Migrations -------------------------------------------------------------------------------------------------------


def run(operations: list) -> None:
    with connection.schema_editor() as editor:
        for operation in operations:
            operation.database_forwards("mailboxes", editor, ProjectState(), ProjectState())


def columns() -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT table_name, column_name FROM information_schema.view_column_usage"
            " WHERE view_schema = 'mail' AND table_schema = 'public'"
        )
        return cursor.fetchall()


def test_a_migration_that_forgets_the_views_does_not_go(transactional_db):
    """PostgreSQL itself is the guard: what a view reads can neither be dropped nor become of another type."""
    read = columns()
    assert {"phase", "expires_on", "delete_from", "mailbox_gb", "archive_gb"} < {column for _table, column in read}
    assert ("accounts_user", "password") in read
    for table, column in read:
        retype = f"ALTER COLUMN {column} TYPE {'integer' if column == 'id' else 'text'}"
        for change in (f"DROP COLUMN {column}", retype):
            with pytest.raises((NotSupportedError, InternalError), match=r"view|depend"):
                run([RunSQL(f"ALTER TABLE {table} {change}")])


def test_one_that_takes_them_out_of_the_way_goes_and_they_are_back(box):
    wider = "ALTER TABLE mailboxes_mailbox ALTER COLUMN mailbox_gb TYPE {}"
    run(without_views(1, [RunSQL(wider.format("integer"))]))
    assert seen() == ["attiva"]
    run(without_views(1, [RunSQL(wider.format("smallint"))]))
    assert seen() == ["attiva"]
