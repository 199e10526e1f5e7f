"""localstripe, a Stripe of another hand: its app on loopback, at a free port, in a process of its own.

Its stock command binds every address, so the app is served from here. Its fixture is imported:
`from tests.peers.localstripe import localstripe  # noqa: F401`.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

SECRET, PUBLISHABLE, WEBHOOK = "sk_test_12345678", "pk_test_12345678", "whsec_localstripe"
SERVE = """
import socket, sys
from aiohttp import web
from localstripe import resources, server
resources.store.dump_to_disk = lambda: None
listening = socket.socket(fileno=int(sys.argv[1]))
web.run_app(server.app, sock=listening, print=None, access_log=None)
"""


@dataclass
class Local:
    """Where it answers, and what a browser with the publishable key would do to it."""

    url: str

    def call(self, method: str, path: str, body: dict | None = None, *, key: str = SECRET) -> dict:
        request = urllib.request.Request(
            self.url + path, method=method, data=json.dumps(body or {}).encode() if method != "GET" else None,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return dict(json.loads(text)) if text else {}

    def give_card(self, setup_id: str, number: str) -> None:
        """What confirmCardSetup sends; a card that asks for a confirmation gets it."""
        card = {"number": number, "exp_month": 12, "exp_year": 2031, "cvc": "123"}
        path = f"/v1/setup_intents/{setup_id}/confirm"
        seen = self.call("POST", path, {"payment_method_data": {"type": "card", "card": card}})
        if seen["status"] == "requires_action":
            self.call("POST", path, {"client_secret": seen["client_secret"]})

    def confirm(self, intent_id: str, *, success: bool) -> None:
        """What confirmCardPayment sends once the customer has answered the bank."""
        secret = self.call("GET", f"/v1/payment_intents/{intent_id}")["client_secret"]
        path = f"/v1/payment_intents/{intent_id}/_authenticate?success={str(success).lower()}"
        self.call("POST", path, {"client_secret": secret})

    def intents(self) -> list[dict]:
        return list(self.call("GET", "/v1/payment_intents?limit=100")["data"])


@pytest.fixture
def localstripe(settings) -> Iterator[Local]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        port = listening.getsockname()[1]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(listening.fileno())], pass_fds=[listening.fileno()], env=environment
        )
    local = Local(f"http://127.0.0.1:{port}")
    settings.STRIPE_API_BASE, settings.STRIPE_JS_URL = local.url, f"{local.url}/js.stripe.com/v3/"
    settings.STRIPE_SECRET_KEY, settings.STRIPE_PUBLISHABLE_KEY = SECRET, PUBLISHABLE
    settings.STRIPE_WEBHOOK_SECRETS = [WEBHOOK]
    settings.PAYMENT_PROVIDERS = ["stripe", "transfer"]
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(settings.STRIPE_JS_URL, timeout=10).close()
                break
            except OSError:
                assert process.poll() is None, "localstripe did not start"
                time.sleep(0.1)
        yield local
    finally:
        process.kill()  # it keeps nothing; told to end, it would wait for a browser's open connections
        process.wait()
