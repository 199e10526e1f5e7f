"""The PostgreSQL role of the mail servers: it reads the views of the schema `mail`, and nothing else."""

from django.db import connection, transaction
from psycopg import sql

SECONDS_A_QUERY = 5  # what asks longer is lost, and must not keep a connection


def ensure(role: str, password: str) -> None:
    """Make the role, or bring it to what it should be: its password, its rights, no more. Twice is once.

    Its rights hold also for views that a migration makes anew. Roles belong to the whole cluster, so no migration may
    do this. Raises ValueError before the migrations, and for a role that can do more than this one should;
    ProgrammingError where the database's user may not make roles.
    """
    name = sql.Identifier(role)
    database = sql.Identifier(str(connection.settings_dict["NAME"]))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'mail'")
        schema = cursor.fetchone()
        if schema is None:
            raise ValueError("there are no views yet: run the migrations first")
        cursor.execute(FOUND, [role])
        found = cursor.fetchone()
        if found is not None and (found[0] or role == connection.settings_dict["USER"]):
            raise ValueError(f"the role {role} can do everything: name another one")
        if found is not None and found[1]:
            raise ValueError(
                f"the role {role} can do more than read the views (it owns something, is a member of another role, or "
                "may copy the database): name another one"
            )
        if found is None:
            cursor.execute(sql.SQL("CREATE ROLE {}").format(name))
        # The server gets the hash only: a password written out would stand in its log.
        word = connection.connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        for statement in STATEMENTS:
            text = sql.SQL(statement).format(
                role=name, database=database, owner=sql.Identifier(schema[0]), password=sql.Literal(word.decode()),
                timeout=sql.Literal(f"{SECONDS_A_QUERY}s"),
            )  # fmt: skip
            cursor.execute(text)


# What no statement below takes away: whose rights it may take on, what it owns in any database, row security, copies.
FOUND = """
SELECT rolsuper, rolreplication OR rolbypassrls
    OR EXISTS (SELECT FROM pg_auth_members WHERE member = role.oid)
    OR EXISTS (SELECT FROM pg_shdepend
               WHERE refclassid = 'pg_authid'::regclass AND refobjid = role.oid AND deptype = 'o')
FROM pg_roles role WHERE rolname = %s
"""
STATEMENTS = (
    "ALTER ROLE {role} WITH LOGIN NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD {password}",
    "ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on",
    "ALTER ROLE {role} IN DATABASE {database} SET statement_timeout = {timeout}",
    "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
    "REVOKE ALL ON ALL TABLES IN SCHEMA mail FROM {role}",
    "REVOKE ALL ON FUNCTION mail.rome_today() FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {database} TO {role}",
    "GRANT USAGE ON SCHEMA mail TO {role}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA mail TO {role}",
    "GRANT EXECUTE ON FUNCTION mail.rome_today() TO {role}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA mail GRANT SELECT ON TABLES TO {role}",
)
