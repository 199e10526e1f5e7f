"""What every answer carries: the two content policies, and the rest of the armour."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.test import Client

pytestmark = pytest.mark.django_db
SITE_POLICY = {
    "default-src": "'self'", "img-src": "'self' data:", "object-src": "'none'", "base-uri": "'none'",
    "frame-ancestors": "'none'", "form-action": "'self'",
}  # fmt: skip


def policy(response) -> dict[str, str]:
    parts = [p.strip().partition(" ") for p in response.headers["Content-Security-Policy"].split(";") if p.strip()]
    return {name: value for name, _space, value in parts}


def test_pages_of_payments_alone_may_send_a_form_on_to_paypal(client, settings):
    """A redirect after a POST is blocked by form-action; nothing else of the policy changes."""
    settings.PAYMENT_PROVIDERS, settings.PAYPAL_WEB_HOST = ["transfer"], "https://www.paypal.com"
    assert policy(client.get("/paga/")) == SITE_POLICY
    settings.PAYMENT_PROVIDERS = ["paypal", "transfer"]
    assert policy(client.get("/paga/")) == {**SITE_POLICY, "form-action": "'self' https://www.paypal.com"}
    assert policy(client.get("/accesso/")) == SITE_POLICY


@pytest.mark.parametrize("path", ["/accesso/", "/condizioni/", "/questa-pagina-non-esiste/"])
def test_the_site_allows_nothing_unsafe(client, path):
    assert policy(client.get(path)) == SITE_POLICY


def test_the_admin_alone_has_what_its_theme_needs(client, dario):
    client.force_login(dario, backend="accounts.backends.AccountBackend")
    admin = policy(client.get("/admin/"))
    assert admin["script-src"] == "'self' 'unsafe-eval' 'unsafe-inline'"
    assert policy(client.get("/area-clienti/")) == SITE_POLICY


def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(alice):
    client = Client()
    client.post("/accesso/", {"login": alice.username, "password": "Prova-pec-2026"})
    session = client.cookies[settings.SESSION_COOKIE_NAME]
    assert (session["httponly"], session["samesite"]) == (True, "Lax")


def test_frames_and_sniffing_are_refused(client):
    headers = client.get("/accesso/").headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_production_speaks_https_only():
    """Read as production reads them: in a process of its own, with a production's environment."""
    code = (
        "from pecportal import settings as s; print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, "
        "s.SECURE_SSL_REDIRECT, s.SECURE_HSTS_SECONDS, s.DEBUG, s.PAYMENT_PROVIDERS)"
    )
    environment = {
        **os.environ, "ENVIRONMENT": "production", "SECRET_KEY": "k" * 60, "TOMBSTONE_KEY": "t" * 60,
        "ALLOWED_HOSTS": "pec.provider.example",
    }  # fmt: skip
    for name in ("DEBUG", "PAYMENT_PROVIDERS", "HTTPS"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "True True True 31536000 False ['transfer']"


@pytest.mark.parametrize("missing", ["SECRET_KEY", "TOMBSTONE_KEY", "ALLOWED_HOSTS"])
def test_production_does_not_start_without_its_secrets(missing):
    environment = {
        **os.environ, "ENVIRONMENT": "production", "SECRET_KEY": "k" * 60, "TOMBSTONE_KEY": "t" * 60,
        "ALLOWED_HOSTS": "pec.provider.example",
    }  # fmt: skip
    del environment[missing]
    done = subprocess.run(
        [sys.executable, "-c", "import pecportal.settings"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert missing in done.stderr.strip().splitlines()[-1]
