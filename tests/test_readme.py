"""The README's table of settings, and the example of a production environment, name what settings.py reads."""

import ast
import re
from pathlib import Path

from django.conf import settings

SETTINGS = settings.BASE_DIR / "pecportal" / "settings.py"
README = settings.BASE_DIR / "README.md"
EXAMPLE = settings.BASE_DIR / ".env.example"
READERS = {"secret", "folder", "day"}  # settings.py's own, beside env.str, env.bool …


def read_by_settings(source: str) -> set[str]:
    """The variables that a settings file reads from the environment."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func
            from_env = isinstance(called, ast.Attribute) and getattr(called.value, "id", "") == "env"
            if from_env or getattr(called, "id", "") in READERS:
                names.add(node.args[0].value)
    return names


def rows() -> list[list[str]]:
    section = README.read_text(encoding="utf-8").split("\n## Settings\n")[1].split("\n## ")[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in table]


def test_the_reader_sees_every_way_in():
    ways = [
        'env.str("ONE")',
        'secret("TWO")',
        'if env.int("THREE"): pass',
        'str(folder("FOUR", X))',
        'print("no")',
    ]
    source = "\n".join(ways)
    assert read_by_settings(source) == {"ONE", "TWO", "THREE", "FOUR"}


def test_the_table_names_exactly_what_settings_reads():
    named = [row[0].strip("`") for row in rows()]
    assert len(named) == len(set(named))
    assert set(named) == read_by_settings(SETTINGS.read_text(encoding="utf-8"))


def test_every_row_is_complete():
    assert rows()
    assert [row for row in rows() if len(row) != 4 or not all(row)] == []


def test_no_other_file_of_ours_reads_the_environment():
    allowed = {"pecportal/settings.py", "pecportal/celery.py", "pecportal/wsgi.py", "manage.py"}
    ours = ("pecportal", "accounts", "mailboxes", "renewals", "payments", "lifecycle")
    readers = {
        path.relative_to(settings.BASE_DIR).as_posix()
        for package in ours
        for path in Path(settings.BASE_DIR / package).rglob("*.py")
        if re.search(r"\bos\.environ\b|\bgetenv\b", path.read_text(encoding="utf-8"))
    }
    assert readers <= allowed


def test_the_example_environment_has_what_production_needs_and_nothing_unknown():
    named = set(re.findall(r"^#? ?([A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
    needed = {row[0].strip("`") for row in rows() if row[3] == "yes"}
    of_compose = {
        "POSTGRES_PASSWORD", "WEB_PORT", "WEB_THREADS",
        "MAIL_HOSTNAME", "MAIL_RELAY", "MAIL_CERTIFICATES", "MAIL_TLS_CERT", "MAIL_TLS_KEY",
    }  # fmt: skip
    composed = {"DATABASE_URL", "REDIS_URL"}  # docker-compose.yml writes these itself
    assert needed - composed <= named
    assert named - of_compose <= read_by_settings(SETTINGS.read_text(encoding="utf-8"))
