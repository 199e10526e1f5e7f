"""The English of the screens is whole, the Italian of the packages' admin is there, and money and dates follow.

locale/en is made by makemessages from our Italian msgids; locale/it is written by hand, for packages without Italian.
Both django.mo are committed, because a machine that runs `make run` has no gettext. After a change of a text:
`django-admin makemessages -l en --no-wrap --add-location file -i .venv -i var -i staticfiles -i tests`, translate,
`django-admin compilemessages -i .venv`.
"""

import ast
import gettext
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import translation
from post_office.models import Email

from pecportal import formats
from pecportal.area.wording import Said

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["accounts", "mailboxes", "renewals", "payments", "lifecycle", "pecportal", "templates"]
LANGUAGES = ["en", "it"]
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%%|%s|\{[\w:]*\}")
TAG = re.compile(r"</?\w[^>]*>")
Key = tuple[str, str]  # context, msgid
Entry = dict[str, str]


def folder(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES"


def read(path: Path) -> dict[Key, Entry]:
    """The entries of a .po file, without its header: fields by name, and "flags"."""
    found: dict[Key, Entry] = {}
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        entry: Entry = {}
        field = ""
        for line in block.splitlines():
            if line.startswith("#,"):
                entry["flags"] = line
            elif line and not line.startswith("#"):
                name, _, text = line.partition(" ") if not line.startswith('"') else (field, "", line)
                field = name
                entry[field] = entry.get(field, "") + ast.literal_eval(text)
        if entry.get("msgid"):
            found[entry.get("msgctxt", ""), entry["msgid"]] = entry
    return found


def originals(entry: Entry) -> list[str]:
    return [entry[name] for name in ("msgid", "msgid_plural") if name in entry]


def translations(entry: Entry) -> list[str]:
    return [text for name, text in entry.items() if name.startswith("msgstr")]


@pytest.fixture(scope="module")
def english() -> dict[Key, Entry]:
    return read(folder("en") / "django.po")


# --- The files --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("xgettext"), reason="xgettext is missing (Debian: gettext): msgids not compared")
def test_every_text_of_the_code_is_in_the_english_file_and_nothing_else(english, tmp_path):
    for name in SOURCES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "locale").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    command = [sys.executable, "-m", "django", "makemessages", "-l", "en", "--no-wrap", "-v", "0"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=120)
    fresh = read(tmp_path / "locale/en/LC_MESSAGES/django.po")
    assert len(fresh) > 1000
    assert sorted(fresh.keys() - english.keys()) == [], "run makemessages and translate these (see the top of the file)"
    assert sorted(english.keys() - fresh.keys()) == [], "no longer used: run makemessages"
    assert {key: originals(entry) for key, entry in fresh.items()} == {k: originals(e) for k, e in english.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_entry_is_empty_or_fuzzy(language):
    entries = read(folder(language) / "django.po")
    assert len(entries) > 100
    assert [key for key, entry in entries.items() if "fuzzy" in entry.get("flags", "")] == []
    assert [key for key, entry in entries.items() if not all(text.strip() for text in translations(entry))] == []
    assert [k for k, entry in entries.items() if len(translations(entry)) != len(originals(entry))] == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("pattern", [PLACEHOLDER, TAG])
def test_placeholders_and_markup_are_those_of_the_original(language, pattern):
    entries = read(folder(language) / "django.po").values()
    pairs = [pair for entry in entries for pair in zip(originals(entry), translations(entry), strict=True) if pair[1]]
    assert len([original for original, _ in pairs if pattern.search(original)]) > 0
    assert [pair for pair in pairs if set(pattern.findall(pair[0])) != set(pattern.findall(pair[1]))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_file_is_that_of_the_text(language):
    entries = read(folder(language) / "django.po")
    with (folder(language) / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog
    compiled.pop("")
    wanted = {}
    for (context, msgid), entry in entries.items():
        key = f"{context}\x04{msgid}" if context else msgid
        texts = translations(entry)
        if "msgid_plural" in entry:
            wanted.update({(key, number): text for number, text in enumerate(texts)})
        else:
            wanted[key] = texts[0]
    assert compiled == {key: text for key, text in wanted.items() if text}


@pytest.mark.skipif(not shutil.which("msgfmt"), reason="msgfmt is missing (Debian: gettext): files not checked by it")
@pytest.mark.parametrize("language", LANGUAGES)
def test_gettext_itself_finds_nothing_wrong(language, tmp_path):
    command = ["msgfmt", "--check", "-o", str(tmp_path / "out.mo"), str(folder(language) / "django.po")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_package_translates_our_italian(english):
    """Django's Italian says "nome utente" where our screens say username: its words must not replace ours."""
    with translation.override("it"):
        changed = [m for c, m in english if (translation.pgettext(c, m) if c else translation.gettext(m)) != m]
    assert changed == ["This field is required."]  # Django's own msgid, used for its translation


EAGER = {"gettext", "ngettext", "pgettext", "npgettext"}


def eager_calls(tree: ast.Module) -> list[int]:
    """Lines where a text is translated at import, once for everybody."""
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
        if alias.name in EAGER
    }
    found: list[int] = []

    def look(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names:
            found.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            look(child)

    look(tree)
    return found


def test_nothing_is_translated_at_import():
    control = "from django.utils.translation import gettext as _\nX = _('a')\ndef f():\n    return _('b')\n"
    assert eager_calls(ast.parse(control)) == [2]
    files = [path for name in SOURCES[:-1] for path in (ROOT / name).rglob("*.py")]
    assert len(files) > 100
    assert [str(path) for path in files if eager_calls(ast.parse(path.read_text()))] == []


# --- The pages --------------------------------------------------------------------------------------------------------


class Texts(HTMLParser):
    """What a page says: its texts and the attributes that are read out."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.open = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.open = tag
        said = ("aria-label", "title", "placeholder", "alt", "data-label")
        self.found |= {value for name, value in attrs if name in said and value}

    def handle_data(self, data):
        if self.open not in ("script", "style"):
            self.found.add(" ".join(data.split()))


def said(response) -> set[str]:
    assert response.status_code == 200
    return Texts(response.content.decode()).found


@pytest.fixture
def italian(english) -> set[str]:
    """The msgids that English says otherwise."""
    return {msgid for (_, msgid), entry in english.items() if translations(entry)[0] != msgid}


@pytest.mark.django_db
def test_the_sign_in_page_in_english_says_no_italian(client, italian):
    client.cookies["lingua"] = "en"
    response = client.get("/accesso/")
    assert response.headers["Content-Language"] == "en"
    assert '<html lang="en"' in response.content.decode()
    texts = said(response)
    assert {"Sign in", "With the PEC mailbox", "I forgot the password"} <= texts
    assert texts & italian == set()


@pytest.mark.django_db
@pytest.mark.parametrize("cookie", [None, "it", "fr", "en-gb", "<en>"])
def test_the_browsers_own_language_is_not_asked(client, italian, cookie):
    if cookie:
        client.cookies["lingua"] = cookie
    response = client.get("/accesso/", headers={"Accept-Language": "en-GB,en;q=0.9"})
    assert response.headers["Content-Language"] == "it"
    texts = said(response)
    assert {"Accedi", "Con la casella PEC", "Non ricordo la password"} <= texts & italian
    assert {"Sign in", "With the PEC mailbox", "I forgot the password"} & texts == set()


AREA = ["", "pec/", "pec/?scheda=altri", "domini/", "ordini/", "fatture/", "dati/", "box", "rinnova"]


@pytest.mark.parametrize("path", AREA)
def test_the_area_in_english_says_no_italian(client, alice, make_box, italian, path):
    mine = make_box(alice, "alice")
    make_box(alice, "scaduta", expires_in=-12)
    make_box(alice, "altrui", holder="bruno")
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    address = {"box": f"pec/{mine.public_id}/", "rinnova": f"pec/{mine.public_id}/rinnova/"}.get(path, path)
    assert len(said(client.get(f"/area-clienti/{address}")) & italian) > 5  # the control
    client.cookies["lingua"] = "en"
    assert said(client.get(f"/area-clienti/{address}")) & italian == set()


def test_active_is_a_state_and_turn_on_a_button(client, alice, box):
    """Italian writes both "Attiva"."""
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    client.cookies["lingua"] = "en"
    texts = said(client.get(f"/area-clienti/pec/{box.public_id}/"))
    assert {"Turn on", "Active, expiring soon"} <= texts
    assert "Active" not in texts


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "shown"), [("en", True), ("it", False)])
def test_the_terms_stay_in_italian_and_say_so(client, language, shown):
    client.cookies["lingua"] = language
    page = client.get(reverse("renewals:terms")).content.decode()
    assert ("The terms are in Italian, the language of the contract." in page) is shown
    assert "Le condizioni sono in italiano" not in page
    assert page.count('<article lang="it">') == 1
    assert "1. Chi siamo e che cosa regolano queste condizioni" in page


def test_mails_stay_in_italian(client, alice):
    client.cookies["lingua"] = "en"
    page = client.post(reverse("accounts:username"), {"email": alice.email}, follow=True)
    assert "Check your email" in said(page)
    mail = Email.objects.get()
    assert mail.subject == "Il tuo username"
    assert "Hai chiesto lo username" in mail.message
    assert "username" in mail.html_message and "You asked" not in mail.message + mail.html_message


ADMIN_PAGES = [
    "/admin/", "/admin/renewals/order/", "/admin/mailboxes/mailbox/", "/admin/accounts/user/",
    "/admin/mailboxes/price/", "/admin/mailboxes/price/add/", "/admin/django_celery_beat/periodictask/add/",
]  # fmt: skip


def test_the_admin_says_in_italian_what_its_packages_say_in_english(client, dario, box):
    client.force_login(dario, backend="accounts.backends.AccountBackend")
    entries = read(folder("it") / "django.po").values()
    theirs = {entry["msgid"] for entry in entries if entry["msgid"] not in translations(entry)}
    in_italian = {text for path in ADMIN_PAGES for text in said(client.get(path))}
    client.cookies["lingua"] = "en"
    in_english = {text for path in ADMIN_PAGES for text in said(client.get(path))}
    assert {"Filters", "Type to search", "Schedule"} <= in_english & theirs  # the control
    assert in_italian & theirs == set()


# --- Money, dates, spaces ---------------------------------------------------------------------------------------------

TODAY = date(2026, 11, 22)
WRITTEN = [
    (formats.euro, Decimal("12.08"), "€\u00a012,08", "€12.08"),
    (formats.euro, Decimal("1234567.5"), "€\u00a01.234.567,50", "€1,234,567.50"),
    (formats.euro, Decimal("0"), "€\u00a00,00", "€0.00"),
    (formats.euro, None, "", ""),
    (formats.day, date(2027, 5, 31), "31 maggio 2027", "31 May 2027"),
    (formats.day, datetime(2026, 12, 31, 23, 30, tzinfo=UTC), "1 gennaio 2027", "1 January 2027"),
    (formats.day, None, "", ""),
    (formats.short_day, date(2026, 9, 1), "1 set 2026", "1 Sep 2026"),
    (formats.gigabytes, 665719931, "0,62", "0.62"),
    (formats.gigabytes, None, "0,00", "0.00"),
    (formats.distance, 40, "tra 40 giorni", "in 40 days"),
    (formats.distance, 2, "tra 2 giorni", "in 2 days"),
    (formats.distance, 1, "domani", "tomorrow"),
    (formats.distance, 0, "oggi", "today"),
    (formats.distance, -1, "ieri", "yesterday"),
    (formats.distance, -12, "12 giorni fa", "12 days ago"),
    (formats.distance, None, "", ""),
    (formats.years, 1, "1 anno", "1 year"),
    (formats.years, 3, "3 anni", "3 years"),
    (lambda d: Said(d, TODAY).il, date(2027, 2, 8), "l'8 febbraio 2027", "8 February 2027"),
    (lambda d: Said(d, TODAY).il, date(2026, 12, 2), "il 2 dicembre", "2 December"),
    (lambda d: Said(d, TODAY).dal, date(2026, 12, 11), "dall'11 dicembre", "from 11 December"),
    (lambda d: Said(d, TODAY).fino, date(2027, 1, 1), "fino al 1 gennaio 2027", "until 1 January 2027"),
    (lambda d: Said(d, TODAY).article, date(2027, 1, 1), "il ", "on "),
    (lambda d: Said(d, TODAY).article, date(2027, 1, 8), "l'", "on "),
]


@pytest.mark.parametrize(("write", "value", "in_italian", "in_english"), WRITTEN)
def test_money_dates_and_spaces_in_both_languages(write, value, in_italian, in_english):
    with translation.override("it"):
        assert write(value) == in_italian
    with translation.override("en"):
        assert write(value) == in_english
