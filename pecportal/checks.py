"""System checks for what must never be wrong in production.

An Error stops every manage.py command and, through pecportal/wsgi.py, the web server. A Warning is what an installation
ought to look at: `manage.py check --deploy` shows it.
"""

import re
import sys
from collections.abc import Iterator
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register, run_checks
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

KEYS = ("SECRET_KEY", "TOMBSTONE_KEY")
SHORTEST_KEY = 50  # what `django-admin startproject` makes
SMTP = "django.core.mail.backends.smtp.EmailBackend"
LOCAL, DOVECOT = "mailboxes.platform.local.LocalPlatform", "mailboxes.platform.dovecot.DovecotPlatform"
BOOT_ERROR = 3  # gunicorn stops at this code; at any other it starts the worker again, for ever


@register(Tags.compatibility)
def rules_make_sense(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Values that would break the calendar, or leave no way to pay, in any installation."""
    return list(_broken_rules())


def _broken_rules() -> Iterator[Error]:
    from payments.providers import PROVIDERS

    if settings.GRACE_DAYS < 1:
        yield Error(
            f"GRACE_DAYS is {settings.GRACE_DAYS}: a box would be deleted on the day after its expiry, or before.",
            hint="Set GRACE_DAYS to the days in which an expired box can still be renewed; 90 is the default.",
            id="pecportal.E001",
        )
    for name, least in (("ORDER_LAPSE_DAYS", 1), ("CHARGE_DAYS_BEFORE", 0), ("IDLE_MINUTES", 1)):
        if getattr(settings, name) < least:
            yield Error(
                f"{name} is {getattr(settings, name)}: orders, charges or sign-ins would end before they begin.",
                hint=f"Set {name} to {least} or more.",
                id="pecportal.E015",
            )
    unknown = sorted(set(settings.PAYMENT_PROVIDERS) - set(PROVIDERS) - {"transfer"})
    if unknown or not settings.PAYMENT_PROVIDERS:
        yield Error(
            f"PAYMENT_PROVIDERS names {', '.join(unknown) or 'nothing'}: customers would miss a way to pay.",
            hint=f"Set PAYMENT_PROVIDERS to some of: {', '.join(sorted({*PROVIDERS, 'transfer'}))}.",
            id="pecportal.E016",
        )


@register(Tags.compatibility)
def postal_account_is_one(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """A wrong postal account is printed on slips: money sent nowhere, or to somebody else."""
    account = settings.POSTAL_ACCOUNT
    if not account or (account.isascii() and account.isdigit() and len(account) == 12):
        return []
    return [
        Error(
            f"POSTAL_ACCOUNT is {account}: customers would pay their slips to nobody, or to somebody else.",
            hint="Set POSTAL_ACCOUNT to the twelve digits of the postal account, zeros included, or leave it empty.",
            id="pecportal.E017",
        )
    ]


@register(Tags.security)
def production_is_production(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Nothing that belongs to a developer's machine may run in production."""
    return list(production_errors()) if settings.PRODUCTION else []


def production_errors() -> Iterator[Error]:
    if "sandbox" in settings.PAYMENT_PROVIDERS:
        yield Error(
            "PAYMENT_PROVIDERS contains 'sandbox': anybody could renew without paying.",
            hint="Remove 'sandbox' from PAYMENT_PROVIDERS.",
            id="pecportal.E002",
        )
    if settings.DEBUG:
        yield Error(
            "DEBUG is on: error pages would show settings and customers' data to strangers.",
            hint="Remove DEBUG from the environment.",
            id="pecportal.E003",
        )
    for name in KEYS:
        value = getattr(settings, name)
        if value.startswith(("development-only-", "django-insecure-")) or len(value) < SHORTEST_KEY:
            yield Error(
                f"{name} is a development value or shorter than {SHORTEST_KEY} characters: it could be guessed.",
                hint='Make one with: python -c "import secrets; print(secrets.token_urlsafe(50))"',
                id="pecportal.E004",
            )
    if settings.SECRET_KEY == settings.TOMBSTONE_KEY:
        yield Error(
            "SECRET_KEY and TOMBSTONE_KEY are the same: rotating the first would orphan every deleted address.",
            hint="Give TOMBSTONE_KEY a value of its own, and never change it.",
            id="pecportal.E005",
        )
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        yield Error(
            "DATABASE_URL is SQLite: it locks no rows, and several processes would wait for one another.",
            hint="Set DATABASE_URL to a PostgreSQL 15 or later: postgres://user:password@host:5432/pecportal",
            id="pecportal.E006",
        )
    if not settings.CELERY_BROKER_URL.startswith(("redis://", "rediss://", "sentinel://")):
        yield Error(
            "BROKER_URL is not a Redis: with files as a broker a job is lost when its worker dies.",
            hint="Set REDIS_URL, or BROKER_URL, to redis://host:6379/1",
            id="pecportal.E007",
        )
    if not settings.REDIS_URL:
        yield Error(
            "REDIS_URL is not set: every process would count failed sign-ins for itself, and limits would not hold.",
            hint="Set REDIS_URL to redis://host:6379/0",
            id="pecportal.E008",
        )
    if "transfer" in settings.PAYMENT_PROVIDERS and (problem := iban_problem(settings.BANK_IBAN)):
        yield Error(
            f"BANK_IBAN {problem}: customers who pay by transfer would send their money nowhere, or elsewhere.",
            hint="Set BANK_IBAN to the provider's account, or remove 'transfer' from PAYMENT_PROVIDERS.",
            id="pecportal.E009",
        )
    if "stripe" in settings.PAYMENT_PROVIDERS:
        yield from stripe_errors()
    if settings.POST_OFFICE["BACKENDS"]["default"] != SMTP:
        yield Error(
            "EMAIL_URL is not a mail server: no customer would be warned before a deletion.",
            hint="Set EMAIL_URL to smtp+tls://user:password@host:587 or smtp+ssl://user:password@host:465",
            id="pecportal.E010",
        )
    if not is_address(settings.OPS_EMAIL):
        yield Error(
            "OPS_EMAIL is not an e-mail address: a stopped run would alarm nobody.",
            hint="Set OPS_EMAIL to an address that somebody reads.",
            id="pecportal.E011",
        )
    if urlsplit(settings.SITE_URL).scheme != "https" or not urlsplit(settings.SITE_URL).hostname:
        yield Error(
            f"SITE_URL is {settings.SITE_URL}: links in mails would not lead to a protected page.",
            hint="Set SITE_URL to the public address of the area clienti, beginning with https://",
            id="pecportal.E012",
        )
    if not any(settings.PEC_DOMAINS):
        yield Error(
            "PEC_DOMAINS is empty: a hosted address could not be told from a foreign one (recovery, warnings).",
            hint="Set PEC_DOMAINS to the provider's certified domains, with commas between them.",
            id="pecportal.E013",
        )
    for name, domains in (("ACCOUNT_DOMAIN", [settings.ACCOUNT_DOMAIN]), ("PEC_DOMAINS", settings.PEC_DOMAINS)):
        if any(f".{domain}".lower().endswith(".example") for domain in domains):
            yield Error(
                f"{name} ends in .example, the demo's domain: the names it makes stay with the customers for ever.",
                hint=f"Set {name} to the provider's own.",
                id="pecportal.E014",
            )
    if "paypal" in settings.PAYMENT_PROVIDERS:
        yield from paypal_errors()
    if settings.MAILBOX_PLATFORM == DOVECOT and not (
        settings.DOVEADM_KEY and urlsplit(settings.DOVEADM_URL).scheme in ("http", "https")
    ):
        yield Error(
            "MAILBOX_PLATFORM is Dovecot's without DOVEADM_URL and DOVEADM_KEY: no deleted mailbox would be emptied.",
            hint="Set them to where Dovecot's doveadm listens, and to the key that it was started with.",
            id="pecportal.E040",
        )


def paypal_errors() -> Iterator[Error]:
    secrets = ("PAYPAL_CLIENT_ID", "PAYPAL_SECRET", "PAYPAL_WEBHOOK_ID")
    if missing := [name for name in secrets if not getattr(settings, name)]:
        yield Error(
            f"PAYMENT_PROVIDERS contains 'paypal' without {', '.join(missing)}: no payment could be taken or noticed.",
            hint="Set them to what PayPal's developer site shows for the app, or remove 'paypal'.",
            id="pecportal.E030",
        )
    for name in ("PAYPAL_API_BASE", "PAYPAL_WEB_HOST", "PAYPAL_CERT_ORIGINS"):
        value = getattr(settings, name)
        if not all(is_paypal(address) for address in ([value] if isinstance(value, str) else value or [""])):
            yield Error(
                f"{name} is not an https address of paypal.com: money or its proofs would be somebody else's.",
                hint=f"Remove {name} from the environment, or set it to PayPal's own.",
                id="pecportal.E031",
            )


def is_paypal(address: str) -> bool:
    """Whether it is the origin of a host of paypal.com, https, nothing beside."""
    host = address.removeprefix("https://")
    return address.startswith("https://") and bool(re.fullmatch(r"([a-z0-9-]+\.)+paypal\.com", host))


def stripe_errors() -> Iterator[Error]:
    """What cards cannot do without: each missing or implausible setting is an error of its own."""
    hint = "Take it from Stripe's dashboard, or remove 'stripe' from PAYMENT_PROVIDERS."
    for name, starts in (
        ("STRIPE_SECRET_KEY", ("sk_live_", "rk_live_", "sk_test_", "rk_test_")),
        ("STRIPE_PUBLISHABLE_KEY", ("pk_live_", "pk_test_")),
    ):
        if not getattr(settings, name).startswith(starts):
            yield Error(
                f"{name} is missing or not such a key: no card could be charged.", hint=hint, id="pecportal.E020"
            )
    keys = (settings.STRIPE_SECRET_KEY, settings.STRIPE_PUBLISHABLE_KEY)
    if {key[2:8] for key in keys} == {"_live_", "_test_"}:
        yield Error(
            "STRIPE_SECRET_KEY and STRIPE_PUBLISHABLE_KEY are of different modes: one is live, the other a test.",
            hint=hint, id="pecportal.E020",
        )  # fmt: skip
    if not any(settings.STRIPE_WEBHOOK_SECRETS):
        yield Error(
            "STRIPE_WEBHOOK_SECRETS is empty: nothing that Stripe tells could be believed.",
            hint=hint, id="pecportal.E020",
        )  # fmt: skip


@register(Tags.security, deploy=True)
def production_is_complete(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """What an installation can run without, and should not."""
    missing = []
    if not settings.METRICS_TOKEN:
        missing.append(("W001", "METRICS_TOKEN is not set: /metrics answers nobody.", "Set METRICS_TOKEN."))
    if not settings.PROVIDER_PRIVACY_URL:
        missing.append(("W002", "PROVIDER_PRIVACY_URL is not set: pages link to no privacy notice.", "Set it."))
    for name in ("DEFAULT_FROM_EMAIL", "PROVIDER_SUPPORT_EMAIL"):
        if parseaddr(getattr(settings, name))[1].lower().endswith(".example"):
            missing.append(("W003", f"{name} is the demo's address: nobody receives the answers.", f"Set {name}."))
    if "pool" not in settings.DATABASES["default"].get("OPTIONS", {}):
        missing.append(("W004", "DATABASE_POOL is not set: every request connects anew.", "Set it to threads + 1."))
    if settings.MAILBOX_PLATFORM == LOCAL:
        missing.append(("W005", "MAILBOX_PLATFORM is the demo's: no mail server obeys.", "Set it (docs/mail.md)."))
    return [Warning(sentence, hint=hint, id=f"pecportal.{number}") for number, sentence, hint in missing]


def iban_problem(iban: str) -> str:
    """What is wrong with an IBAN, as the end of a sentence; empty when it is right."""
    if not iban:
        return "is empty"
    try:
        IBAN(iban, validate_bban=True)
    except (SchwiftyException, ValueError) as error:
        return f"is not an IBAN ({error})"
    return ""


def is_address(text: str) -> bool:
    local, _, domain = parseaddr(text)[1].rpartition("@")
    return bool(local) and "." in domain


def refuse_to_start_if_wrong() -> None:
    """Run the system checks as manage.py does, and end this process with their sentences on an error.

    For servers that load the application without manage.py; only in production, where a restart is rare.
    """
    if not settings.PRODUCTION:
        return
    errors = [message for message in run_checks() if message.is_serious()]
    if not errors:
        return
    print("pecportal does not start:", file=sys.stderr)
    for error in errors:
        print(f"  {error}", file=sys.stderr)
    sys.exit(BOOT_ERROR)
