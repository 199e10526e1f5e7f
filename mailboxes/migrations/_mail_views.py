"""What mail servers read of the boxes, in a schema of its own: views that follow the calendar by themselves.

PostgreSQL only. A migration that changes a column the views read wraps its operations in `without_views`: PostgreSQL
refuses to change such a column while a view reads it. A change of the views themselves is a new text here (the old one
stays for the migrations that name it): `without_views(1, operations, 2)`. What `manage.py mail_role` granted on the schema
holds for views that are made anew.
"""

from collections.abc import Sequence
from typing import Any

from django.db.migrations import RunPython
from django.db.migrations.operations.base import Operation

# The day in Rome, of the database's own clock: midnight there needs no job and no portal (R13).
ROME_TODAY = """
CREATE OR REPLACE FUNCTION mail.rome_today() RETURNS date LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT (pg_catalog.now() AT TIME ZONE 'Europe/Rome')::date $$
"""

# State in the words of mailboxes.rules.State. A box In attivazione, In cancellazione or Cancellata is in no view: to the
# mail servers it does not exist. `box` names the folder of this life, and of no other life of the address.
FIRST = (
    """
CREATE VIEW mail.boxes WITH (security_barrier) AS
SELECT address.name AS address,
       replace(box.public_id::text, '-', '') AS box,
       CASE WHEN mail.rome_today() <= box.expires_on THEN 'attiva'
            WHEN mail.rome_today() < box.delete_from THEN 'scaduta'
            ELSE 'attesa_cancellazione' END AS state,
       box.mailbox_gb * 1073741824::bigint AS mailbox_bytes,
       box.archive_gb * 1073741824::bigint AS archive_bytes
FROM mailboxes_mailbox box JOIN mailboxes_address address ON address.id = box.address_id
WHERE box.phase = 'live'
""",
    # The hash as mail servers know it: Django's own begins with the name of its hasher. Of any other kind of hash, and of
    # a password that opens nothing, there is no row.
    """
CREATE VIEW mail.passwords WITH (security_barrier) AS
SELECT address.name AS address, substr(login.password, 7) AS password
FROM mailboxes_mailbox box
JOIN mailboxes_address address ON address.id = box.address_id
JOIN accounts_user login ON login.id = box.login_id
WHERE box.phase = 'live' AND login.is_active AND login.password LIKE 'argon2$argon2id$%'
""",
    # A row an address: whoever asks for a domain takes the first (LIMIT 1).
    """
CREATE VIEW mail.domains WITH (security_barrier) AS
SELECT address.host AS domain FROM mailboxes_address address
""",
)
VIEWS = {1: FIRST}


def create(version: int) -> Any:
    def run(apps: Any, schema_editor: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            for statement in ("CREATE SCHEMA IF NOT EXISTS mail", ROME_TODAY, *VIEWS[version]):
                schema_editor.execute(statement, params=None)  # the texts have a % of their own

    return run


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP VIEW IF EXISTS mail.boxes, mail.passwords, mail.domains")


def without_views(version: int, operations: Sequence[Operation], after: int | None = None) -> list[Operation]:
    """`operations` with the views of `version` out of the way, made anew after them (as `after`, where they change)."""
    return [
        RunPython(drop, create(version)),
        *operations,
        RunPython(create(after or version), drop),
    ]
