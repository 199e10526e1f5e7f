"""What the mail servers ask of the database at ROWS boxes (1,000,000), and measuring the space of 10,000 real ones.

The lookups are the texts of deploy/mail, sent as the mail servers' role, a connection kept open, one after the other: a
sign-in over IMAP asks two, a message that arrives asks four; a figure is all that one of them waits for, the median of
the quietest of ten rounds, because what else runs on the machine is not asked about. The 10,000 boxes have mail on a
real Dovecot. The first measuring makes its indexes, which delivery would have made, so the second one counts.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TEMPLATES = ROOT / "deploy" / "mail"
ROLE, PASSWORD = "pecportal_mail", "una-password-del-ruolo"
TIMES, ROUNDS, MILLISECONDS = 3000, 10, 2
MEASURED, SECONDS, MESSAGES = 10_000, 60, 5


def run() -> list:
    from django.db import connection

    from mailboxes.models import Mailbox
    from mailboxes.platform import role
    from pecportal import clock
    from tests.bench import boxes
    from tests.bench.figures import Figure, at_most

    if not Mailbox.objects.filter(owner__username=boxes.account(0)).exists():
        print(f"  making {boxes.ROWS:,} boxes …", flush=True)
        boxes.fill(rows=boxes.ROWS, today=clock.today())
    role.ensure(ROLE, PASSWORD)
    figures, scans = [], []
    with as_role(connection.get_connection_params()) as link:
        for name, queries in LOOKUPS.items():
            middle, most = look_up(link, queries)
            load = os.getloadavg()[0]
            print(f"  {name}: {middle:.2f} ms; of all, 95 of 100 within {most:.2f} ms; load {load:.1f}", flush=True)
            figures.append(at_most(f"{name} of {boxes.ROWS:,} boxes, median", middle, MILLISECONDS, "ms"))
            scans += [name for query in queries if not uses_index(link, query)]
    figures.append(Figure("lookups that read a table from end to end", str(len(scans)), "0", not scans))
    return figures + measure_space()


# --- Lookups ----------------------------------------------------------------------------------------------------------


def _setting(file: str, name: str) -> str:
    text = (TEMPLATES / file).read_text().replace("\\\n", " ")
    found = re.search(rf"^{name} = (.*)$", text, re.MULTILINE)
    assert found, f"{file} has no {name}"
    return found[1].replace("@STORAGE@", "/boxes").replace("@FOLDER@", "/mail")


def _dovecot(name: str, service: str) -> str:
    return _setting("dovecot-sql.conf.ext.in", name).replace("%Lu", "{address}").replace("%s", service)


def _postfix(file: str, key: str = "{address}") -> str:
    return _setting(f"{file}.cf.in", "query").replace("%s", key)


LOOKUPS = {
    "login lookup": [_dovecot("password_query", "imap"), _dovecot("user_query", "imap")],
    "delivery lookup": [
        _postfix("domains", "{domain}"), _postfix("boxes"), _postfix("receiving"), _dovecot("user_query", "lmtp"),
    ],
}  # fmt: skip


def as_role(facts: dict):
    import psycopg

    facts = {name: facts[name] for name in ("host", "port", "dbname")}
    return psycopg.connect(**facts, user=ROLE, password=PASSWORD, autocommit=True, prepare_threshold=None)


def _address() -> str:
    from tests.bench import boxes

    return f"riga{random.randrange(boxes.ROWS)}@pec.example"


def look_up(link, queries: list[str]) -> tuple[float, float]:
    """Milliseconds until all answers are there: the quietest round's median, and within which 95 of 100 have them."""
    waited, found = [], 0
    for _n in range(TIMES):
        address = _address()
        texts = [query.format(address=address, domain="pec.example") for query in queries]
        began = time.perf_counter()
        rows = [link.execute(text).fetchall() for text in texts]
        waited.append(1000 * (time.perf_counter() - began))
        found += bool(rows[0])
    assert found > TIMES / 2, "a measurement without its boxes"
    rounds = [waited[start : start + TIMES // ROUNDS] for start in range(0, TIMES, TIMES // ROUNDS)]
    return min(map(statistics.median, rounds)), statistics.quantiles(waited, n=20)[-1]


def uses_index(link, query: str) -> bool:
    """Whether its plan reads no table from end to end. To know one of our domains the first row of them will do."""
    for domain in ("pec.example", "altrove.example"):
        text = query.format(address=_address(), domain=domain)
        [[plan]] = link.execute(f"EXPLAIN (FORMAT JSON) {text}").fetchall()
        told = json.dumps(plan)
        if "Seq Scan" in told and '"Node Type": "Limit"' not in told:
            return False
        assert "Index" in told or "LIMIT 1" in text, told
    return True


# --- Space ------------------------------------------------------------------------------------------------------------


def measure_space() -> list:
    from django.conf import settings
    from django.db import connection

    from mailboxes import measuring
    from mailboxes.models import Mailbox, SpaceUsed
    from tests.bench.figures import Figure, at_most
    from tests.peers.mail_servers import KEY, MailServers, missing

    title = f"measuring the space of {MEASURED:,} boxes"
    if reason := missing():
        return [Figure(title, f"skipped: {reason}", f"< {SECONDS} s", True)]
    SpaceUsed.objects.all().delete()
    chosen = list(Mailbox.objects.filter(address__name__startswith="riga").order_by("pk")[:MEASURED])
    servers = MailServers(connection.settings_dict, role=ROLE, password=PASSWORD)
    try:
        settings.MAILBOX_PLATFORM = "mailboxes.platform.dovecot.DovecotPlatform"
        settings.DOVEADM_URL, settings.DOVEADM_KEY = f"http://127.0.0.1:{servers.ports['doveadm']}", KEY
        settings.MAIL_STORAGE = str(servers.boxes)
        for box in chosen:
            furnish(servers.boxes / box.public_id.hex[:2] / box.public_id.hex)
        measuring.follow(chosen)
        for when in ("the first time", "again"):
            SpaceUsed.objects.update(next_check_at=measuring.clock.now())
            began = time.perf_counter()
            told = measuring.measure_due(seconds=600)
            seconds = time.perf_counter() - began
            assert (told.done, told.failed) == (len(chosen), 0), told
            print(f"  measured {when}: {seconds:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
        empty = SpaceUsed.objects.filter(mailbox_bytes__lt=MESSAGES * 2048).count()
        assert empty == 0, f"{empty} boxes were measured as empty"
    finally:
        servers.stop()
    return [at_most(title, seconds, SECONDS, "s")]


def furnish(home: Path) -> None:
    """A Maildir with some messages, as Dovecot would have left it, but for its indexes."""
    folders = [home.parent, home, home / "mail", *(home / "mail" / name for name in ("cur", "new", "tmp"))]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        os.chown(folder, OWNER, OWNER)
    for n in range(MESSAGES):
        path = home / "mail" / "cur" / f"170000000{n}.M{n}P1.bench,S=2048,W=2048:2,S"
        path.write_bytes(b"x" * 2048)
        os.chown(path, OWNER, OWNER)


OWNER = 8  # mail, on Debian
