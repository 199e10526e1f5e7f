"""What production refuses: each wrong value gives its error once, and a right installation gives none."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from payments.invoicing import start as invoicing_start
from pecportal import checks

SECRET, OTHER_SECRET = "a" * 60, "b" * 60
POOLED = {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"pool": {"max_size": 9}}}
RIGHT = {
    "PRODUCTION": True,
    "DEBUG": False,
    "GRACE_DAYS": 90,
    "ORDER_LAPSE_DAYS": 90,
    "CHARGE_DAYS_BEFORE": 7,
    "IDLE_MINUTES": 30,
    "PAYMENT_PROVIDERS": ["transfer"],
    "SECRET_KEY": SECRET,
    "TOMBSTONE_KEY": OTHER_SECRET,
    "DATABASES": {"default": POOLED},
    "CELERY_BROKER_URL": "redis://queue.provider.it:6379/1",
    "REDIS_URL": "redis://queue.provider.it:6379/0",
    "PAYPAL_CLIENT_ID": "client",
    "PAYPAL_SECRET": "secret",
    "PAYPAL_WEBHOOK_ID": "webhook",
    "PAYPAL_API_BASE": "https://api-m.paypal.com",
    "PAYPAL_WEB_HOST": "https://www.paypal.com",
    "PAYPAL_CERT_ORIGINS": ["https://api.paypal.com"],
    "BANK_IBAN": "IT60X0542811101000000123456",
    "POSTAL_ACCOUNT": "000012345678",
    "POST_OFFICE": {"BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"}},
    "OPS_EMAIL": "ops@provider.it",
    "SITE_URL": "https://area.provider.it",
    "PEC_DOMAINS": ["pec.provider.it"],
    "ACCOUNT_DOMAIN": "provider.it",
    "STRIPE_SECRET_KEY": "sk_live_1",
    "STRIPE_PUBLISHABLE_KEY": "pk_live_1",
    "STRIPE_WEBHOOK_SECRETS": ["whsec_1"],
    "METRICS_TOKEN": "token",
    "PROVIDER_PRIVACY_URL": "https://provider.it/privacy",
    "DEFAULT_FROM_EMAIL": "Provider <noreply@provider.it>",
    "PROVIDER_SUPPORT_EMAIL": "assistenza@provider.it",
    "MAILBOX_PLATFORM": checks.DOVECOT,
    "DOVEADM_URL": "http://mail.provider.it:8080",
    "DOVEADM_KEY": "key",
}
INVOICES = {
    "INVOICES_FROM": "2027-01-01", "SELLER_NAME": "Provider S.p.A.", "SELLER_PARTITA_IVA": "01234560157",
    "SELLER_ADDRESS": "via Roma 1", "SELLER_POSTAL_CODE": "20121", "SELLER_CITY": "Milano", "SELLER_PROVINCE": "MI",
    "SELLER_REA": "MI-1234567", "SELLER_CAPITAL": "1000000.00", "SDI_ROAD": "folder",
}  # fmt: skip
STRIPE = {"PAYMENT_PROVIDERS": ["stripe", "transfer"]}
WRONG = [
    ("E001", {"GRACE_DAYS": 0}),
    ("E002", {"PAYMENT_PROVIDERS": ["transfer", "sandbox"]}),
    ("E003", {"DEBUG": True}),
    ("E004", {"SECRET_KEY": "development-only-secret_key-not-a-secret-0123456789abcdef"}),
    ("E004", {"SECRET_KEY": "django-insecure-" + "a" * 50}),
    ("E004", {"TOMBSTONE_KEY": "short"}),
    ("E005", {"TOMBSTONE_KEY": SECRET}),
    ("E006", {"DATABASES": {"default": {**POOLED, "ENGINE": "django.db.backends.sqlite3"}}}),
    ("E007", {"CELERY_BROKER_URL": "filesystem://"}),
    ("E008", {"REDIS_URL": ""}),
    ("E009", {"BANK_IBAN": ""}),
    ("E009", {"BANK_IBAN": "IT61X0542811101000000123456"}),
    ("E009", {"BANK_IBAN": "IT"}),
    ("E010", {"POST_OFFICE": {"BACKENDS": {"default": "django.core.mail.backends.filebased.EmailBackend"}}}),
    ("E010", {"POST_OFFICE": {"BACKENDS": {"default": "django.core.mail.backends.console.EmailBackend"}}}),
    ("E011", {"OPS_EMAIL": ""}),
    ("E011", {"OPS_EMAIL": "root"}),
    ("E012", {"SITE_URL": "http://area.provider.it"}),
    ("E012", {"SITE_URL": "https://"}),
    ("E013", {"PEC_DOMAINS": []}),
    ("E013", {"PEC_DOMAINS": [""]}),
    ("E014", {"ACCOUNT_DOMAIN": "pecportal.example"}),
    ("E014", {"PEC_DOMAINS": ["pec.provider.it", "pec.example"]}),
    ("E015", {"ORDER_LAPSE_DAYS": 0}),
    ("E015", {"CHARGE_DAYS_BEFORE": -1}),
    ("E015", {"IDLE_MINUTES": 0}),
    ("E016", {"PAYMENT_PROVIDERS": ["transfer", "carta"]}),
    ("E016", {"PAYMENT_PROVIDERS": []}),
    ("E017", {"POSTAL_ACCOUNT": "12345678"}),
    ("E017", {"POSTAL_ACCOUNT": "١٢٣٤٥٦٧٨٩٠١٢"}),
    ("E020", {**STRIPE, "STRIPE_SECRET_KEY": ""}),
    ("E020", {**STRIPE, "STRIPE_SECRET_KEY": "pk_live_1"}),
    ("E020", {**STRIPE, "STRIPE_SECRET_KEY": "sk_test_1"}),  # the other key is live
    ("E020", {**STRIPE, "STRIPE_PUBLISHABLE_KEY": ""}),
    ("E020", {**STRIPE, "STRIPE_WEBHOOK_SECRETS": [""]}),
    ("E030", {"PAYMENT_PROVIDERS": ["paypal"], "PAYPAL_SECRET": ""}),
    ("E031", {"PAYMENT_PROVIDERS": ["paypal"], "PAYPAL_API_BASE": "http://api-m.paypal.com"}),
    ("E031", {"PAYMENT_PROVIDERS": ["paypal"], "PAYPAL_CERT_ORIGINS": ["https://api.paypal.com.evil.example"]}),
    ("E031", {"PAYMENT_PROVIDERS": ["paypal"], "PAYPAL_CERT_ORIGINS": ["https://x@api.paypal.com"]}),
    ("E031", {"PAYMENT_PROVIDERS": ["paypal"], "PAYPAL_WEB_HOST": "https://evilpaypal.com"}),
    ("E040", {"DOVEADM_KEY": ""}),
    ("E040", {"DOVEADM_URL": "mail.provider.it"}),
    ("W001", {"METRICS_TOKEN": ""}),
    ("W002", {"PROVIDER_PRIVACY_URL": ""}),
    ("W003", {"DEFAULT_FROM_EMAIL": "Posta Esempio <noreply@posta.example>"}),
    ("W003", {"PROVIDER_SUPPORT_EMAIL": "assistenza@posta.example"}),
    ("W004", {"DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql"}}}),
    ("W005", {"MAILBOX_PLATFORM": checks.LOCAL}),
]
EVERYWHERE = ("E001", "E015", "E016", "E017", "W001")
CHECKS = [
    checks.rules_make_sense,
    checks.postal_account_is_one,
    checks.production_is_production,
    checks.production_is_complete,
]


@pytest.fixture
def configure(monkeypatch):
    """The checks read what they are given here; Django itself keeps its settings (a database cannot be swapped)."""

    def configure(**values):
        stand_in = type("Settings", (), {**RIGHT, **values})
        monkeypatch.setattr(checks, "settings", stand_in)

    return configure


def found():
    return [message for check in CHECKS for message in check(None)]


def test_a_right_production_passes(configure):
    configure()
    assert found() == []
    configure(**STRIPE)
    assert found() == []


@pytest.mark.parametrize(("number", "wrong"), WRONG)
def test_each_wrong_value_is_found_once(configure, number, wrong):
    configure(**wrong)
    assert [message.id for message in found()] == [f"pecportal.{number}"]
    assert all(message.msg.endswith(".") and message.hint for message in found())


def test_every_check_of_the_module_is_tried_here():
    source = Path(checks.__file__).read_text(encoding="utf-8")
    written = {f"E{n:03}" for n in range(1, 100) if f"pecportal.E{n:03}" in source}
    written |= {f"W{n:03}" for n in range(1, 100) if f'"W{n:03}"' in source}
    assert written == {number for number, _ in WRONG}


def test_an_empty_iban_is_no_error_without_transfers(configure):
    configure(PAYMENT_PROVIDERS=["sandbox"], BANK_IBAN="")
    assert [message.id for message in found()] == ["pecportal.E002"]


@pytest.mark.parametrize(("number", "wrong"), [case for case in WRONG if case[0] not in EVERYWHERE])
def test_development_may_have_what_production_may_not(configure, number, wrong):
    configure(**{**wrong, "PRODUCTION": False})
    assert [message.id for message in found() if message.id.startswith("pecportal.E")] == []


def production(**changes):
    """The environment of an installation that is right, with `changes`."""
    return {
        "PATH": os.environ["PATH"],
        "VAR_DIR": os.environ["VAR_DIR"],
        "ENV_FILE": os.devnull,
        "ENVIRONMENT": "production",
        "SECRET_KEY": SECRET,
        "TOMBSTONE_KEY": OTHER_SECRET,
        "ALLOWED_HOSTS": "area.provider.it",
        "SITE_URL": "https://area.provider.it",
        "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none",
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "EMAIL_URL": "smtp+tls://user:password@mail.provider.it:587",
        "OPS_EMAIL": "ops@provider.it",
        "BANK_IBAN": "IT60X0542811101000000123456",
        "ACCOUNT_DOMAIN": "provider.it",
        "PEC_DOMAINS": "pec.provider.it",
        "DEBUG": "false",
        "PAYMENT_PROVIDERS": "transfer",
        **INVOICES,
        **changes,
    }


def start(*arguments, **changes):
    return subprocess.run(
        [sys.executable, *arguments], env=production(**changes), capture_output=True, text=True, check=False
    )


def test_the_web_server_starts_when_all_is_right():
    started = start("-c", "import pecportal.wsgi")
    assert (started.returncode, "does not start" in started.stderr) == (0, False), started.stderr


def test_the_web_server_refuses_to_start_with_the_sentences():
    ended = start("-c", "import pecportal.wsgi", PAYMENT_PROVIDERS="sandbox", OPS_EMAIL="root")
    assert ended.returncode == checks.BOOT_ERROR
    assert "pecportal does not start" in ended.stderr
    assert "anybody could renew without paying" in ended.stderr
    assert "a stopped run would alarm nobody" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_gunicorn_ends_instead_of_trying_for_ever():
    gunicorn = ("-m", "gunicorn", "pecportal.wsgi", "--bind", "127.0.0.1:0")
    ended = subprocess.run(
        [sys.executable, *gunicorn],
        env=production(SITE_URL="http://area.provider.it"),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == checks.BOOT_ERROR
    assert "links in mails would not lead to a protected page" in ended.stderr


def test_commands_refuse_to_run():
    ended = start("manage.py", "migrate", PAYMENT_PROVIDERS="sandbox")
    assert ended.returncode == 1
    assert "anybody could renew without paying" in ended.stderr


WRONG_INVOICES = [
    ("E040", {"INVOICES_FROM": ""}),
    ("E041", {"SELLER_NAME": ""}),
    ("E041", {"SELLER_PARTITA_IVA": "01234560158"}),
    ("E041", {"SELLER_REA": "Milano 12"}),
    ("E041", {"SELLER_CAPITAL": "un milione"}),
    ("E041", {"SELLER_SOLE_SHAREHOLDER": "forse"}),
    ("E042", {"INVOICE_SERIES": "pec/1"}),
    ("E043", {"SDI_ROAD": ""}),
    ("E043", {"SDI_ROAD": "mail"}),
    ("E043", {"SDI_ROAD": "mail", "SDI_MAIL_FROM": "a@pec.provider.it"}),
    ("E043", {"SDI_ROAD": "mail", "SDI_MAIL_FROM": "a@pec.provider.it", "SDI_MAIL_URL": "pec.provider.it:465"}),
    ("E043", {"SDI_ROAD": "mail", "SDI_MAIL_URL": "smtp+ssl://u:p@pec.provider.it:465"}),
    ("E044", {"SIGNING_KEY": "/nowhere/key.p12"}),
]


@pytest.mark.parametrize(("number", "wrong"), WRONG_INVOICES)
def test_a_wrong_setting_of_invoices_stops_the_start(number, wrong):
    ended = start("-c", "import pecportal.wsgi", **wrong)
    assert ended.returncode == checks.BOOT_ERROR
    assert set(re.findall(r"pecportal\.(E\d+)", ended.stderr)) == {number}


def test_who_invoices_elsewhere_needs_none_of_them():
    nothing = dict.fromkeys(INVOICES, "")
    started = start("-c", "import pecportal.wsgi", **{**nothing, "INVOICES_FROM": "never"})
    assert (started.returncode, "does not start" in started.stderr) == (0, False), started.stderr


def test_every_check_of_invoices_is_tried_here():
    written = set(re.findall(r"pecportal\.(E\d+)", Path(invoicing_start.__file__).read_text(encoding="utf-8")))
    assert written == {number for number, _ in WRONG_INVOICES}


@pytest.mark.parametrize("name", ["SECRET_KEY", "TOMBSTONE_KEY"])
def test_a_missing_secret_stops_the_start_and_is_named(name):
    ended = start("-c", "import pecportal.wsgi", **{name: ""})
    assert ended.returncode == 1
    assert f"{name} is not set" in ended.stderr.splitlines()[-1]


def settings_as_read(name, **environment):
    code = f"from pecportal import settings as s; print(s.{name})"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_lists_may_have_spaces_and_domains_capitals():
    """Otherwise a box on the second domain is taken for an address outside, and is warned of its own end (R3, R29)."""
    found = settings_as_read("PEC_DOMAINS", PEC_DOMAINS="pec.provider.it, PEC.Altra.it,")
    assert found == "['pec.provider.it', 'pec.altra.it']"
    assert settings_as_read("PAYMENT_PROVIDERS", PAYMENT_PROVIDERS="transfer, sandbox") == "['transfer', 'sandbox']"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("GRACE_DAYS", "novanta"),
        ("NOTICE_DAYS", "-30,domani"),
        ("TRUSTED_PROXIES", "1.5"),
        ("DATABASE_URL", "pecportal"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(name, wrong):
    said = settings_as_read("DEBUG", **{name: wrong})
    assert said.startswith(f"django.core.exceptions.ImproperlyConfigured: {name} cannot be read: ")
