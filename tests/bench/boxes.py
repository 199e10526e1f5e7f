"""A database with as many boxes as the largest provider has: made in SQL, as a portal would have made them one by one.

A thousand boxes belong to 249 accounts: one of 200 boxes (the accountant), eight of 50, forty of 5, two hundred of one.
Expiries are spread evenly from 89 days ago to a year ahead; what is past is recorded. Every constraint holds.
"""

import os
from datetime import date

from django.contrib.auth.hashers import make_password
from django.db import connection

ROWS = int(os.environ.get("ROWS", "1000000"))
PASSWORD = "Prova-pec-2026"
LIVE_FROM, LIVE_DAYS = -89, 454  # expiries: the first, from today, and over how many days

ACCOUNTS = """
    CASE WHEN i < 200 THEN 0 WHEN i < 600 THEN 1 + (i - 200) / 50
         WHEN i < 800 THEN 9 + (i - 600) / 5 ELSE 49 + (i - 800) END
"""
A_THOUSAND = 249  # accounts
BASE = 1_000_000_000  # before all ids here: other benches have made rows of their own


def fill(*, rows: int, today: date) -> None:
    """`rows` boxes, rounded up to a thousand, beside what other benches made, in PostgreSQL with its catalogue."""
    from mailboxes.models import Plan

    plan = Plan.objects.get(code="standard").pk
    facts = {
        "blocks": -(-rows // 1000), "password": make_password(PASSWORD), "plan": plan, "today": today,
        "first": LIVE_FROM, "days": LIVE_DAYS, "base": BASE,
    }  # fmt: skip
    with connection.cursor() as cursor:
        for statement in STATEMENTS:
            cursor.execute(statement, facts)
        for table in ("accounts_user", "accounts_billingprofile", "mailboxes_holder", "mailboxes_address",
                      "mailboxes_mailbox", "mailboxes_paidperiod"):  # fmt: skip
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
        cursor.execute("VACUUM ANALYZE")


def account(n: int) -> str:
    """The username of the n-th account of 200 boxes, from 0."""
    return f"{3_000_000 + n * A_THOUSAND:07}@pecportal.example"


# After BASE accounts have the ids 1 …, logins of boxes 100,000,001 …; box n has id n + 1.
BOXES = f"""
    SELECT b * 1000 + i AS n, b * {A_THOUSAND} + {ACCOUNTS} AS a
    FROM generate_series(0, %(blocks)s - 1) b, generate_series(0, 999) i
"""
IDENTITY = """
    'person', 'Mario', 'Rossi', '', 'RSSMRA80E12H501I', '', NULL, '', 'via Garibaldi 10', '50123', 'Firenze', 'FI',
    'IT', '055 1234567'
"""
IDENTITY_COLUMNS = """
    subject, first_name, last_name, company_name, codice_fiscale, partita_iva, birth_date,
    representative_codice_fiscale, address, postal_code, city, province, country, phone
"""
EXPIRY = "(%(today)s::date + (%(first)s + (n::bigint * 7919 %% %(days)s)::int))"
STATEMENTS = [
    "SET synchronous_commit = off",
    f"""
    INSERT INTO accounts_user (id, password, is_superuser, kind, username, email, is_active, is_staff, date_joined)
    SELECT %(base)s + a + 1, %(password)s, false, 'account', lpad((3000000 + a)::text, 7, '0') || '@pecportal.example',
           'account' || a || '@righe.example', true, false, now()
    FROM generate_series(0, %(blocks)s * {A_THOUSAND} - 1) a
    """,
    """
    INSERT INTO account_emailaddress (user_id, email, verified, "primary")
    SELECT id, email, true, true FROM accounts_user
    WHERE kind = 'account' AND email LIKE 'account%%@righe.example' AND id > %(base)s
    """,
    f"""
    INSERT INTO accounts_user (id, password, is_superuser, kind, username, email, is_active, is_staff, date_joined)
    SELECT %(base)s + 100000001 + n, %(password)s, false, 'mailbox', 'riga' || n || '@pec.example', '', true, false,
           now()
    FROM ({BOXES}) s
    """,
    f"""
    INSERT INTO accounts_billingprofile
        (id, {IDENTITY_COLUMNS}, sdi_code, sdi_pec, is_consumer, user_id, fiscal_key, updated_at)
    SELECT %(base)s + a + 1, {IDENTITY}, '', '', true, %(base)s + a + 1, 'A' || lpad(a::text, 15, '0'), now()
    FROM generate_series(0, %(blocks)s * {A_THOUSAND} - 1) a
    """,
    f"""
    INSERT INTO mailboxes_holder (id, {IDENTITY_COLUMNS}, owner_id, contact_email, fiscal_key)
    SELECT %(base)s + n + 1, {IDENTITY}, %(base)s + a + 1, 'titolare' || n || '@posta.example',
           CASE WHEN row_number() OVER (PARTITION BY a ORDER BY n) = 1 THEN 'A' || lpad(a::text, 15, '0')
                ELSE 'B' || lpad(n::text, 15, '0') END
    FROM ({BOXES}) s
    """,
    f"""
    INSERT INTO mailboxes_address (id, name, host, tombstone)
    SELECT %(base)s + n + 1, 'riga' || n || '@pec.example', 'pec.example', '' FROM ({BOXES}) s
    """,
    f"""
    INSERT INTO mailboxes_mailbox
        (id, phase, expires_on, delete_from, anchor_month, anchor_day, public_id, address_id, kind, owner_id, holder_id,
         login_id, plan_id, mailbox_gb, archive_gb, auto_renews, expiry_recorded_for, created_at)
    SELECT %(base)s + n + 1, 'live', {EXPIRY}, {EXPIRY} + 91, extract(month FROM {EXPIRY}), extract(day FROM {EXPIRY}),
           gen_random_uuid(), %(base)s + n + 1, 'standalone', %(base)s + a + 1, %(base)s + n + 1,
           %(base)s + 100000001 + n, %(plan)s, 1, 0, false,
           CASE WHEN {EXPIRY} < %(today)s THEN {EXPIRY} END, now()
    FROM ({BOXES}) s
    """,
    """
    INSERT INTO mailboxes_paidperiod (box_id, starts, ends, plan_id, mailbox_gb, archive_gb, source, created_at)
    SELECT id, (expires_on - interval '1 year')::date + 1, expires_on, plan_id, 1, 0, gen_random_uuid(), now()
    FROM mailboxes_mailbox WHERE id > %(base)s
    """,
]
