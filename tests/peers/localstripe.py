"""localstripe's app on loopback, in a process of its own; and what tests do there as a browser or Stripe would.

Its stock command listens on every address, so only its app is taken. It knows no idempotency keys, no disputes and few
decline codes: tests/peers/stripe_fake.py has those.
"""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

GOOD, THREE_DS, DECLINED_AT_CHARGE, DECLINED_AT_ONCE = (
    "4242424242424242", "4000002500003155", "4000000000000341", "4000000000000002",
)  # fmt: skip
THREE_DS_THEN_DECLINED = "4000008400001629"
SERVE = "from aiohttp import web; from localstripe.server import app; import sys; web.run_app(app, host='127.0.0.1', port=int(sys.argv[1]), print=None)"  # noqa: E501


class LocalStripe:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = (folder / "localstripe.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.port)], cwd=folder, stdout=self.log, stderr=self.log
        )
        for _try in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("localstripe did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def call(self, method: str, path: str, data: object = None) -> dict:
        body = json.dumps(data).encode() if data is not None else None
        request = urllib.request.Request(self.base + path, data=body, method=method)
        request.add_header("Authorization", "Bearer sk_test_12345")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")

    def type_card(self, client_secret: str, number: str, *, confirm: bool = True) -> str:
        """What stripe.js does with the card element: returns the SetupIntent's id. Raises HTTPError on a refusal."""
        setup = client_secret.partition("_secret_")[0]
        data = {
            "client_secret": client_secret,
            "payment_method_data": {
                "type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2032, "cvc": "123"},
            },
        }  # fmt: skip
        found = self.call("POST", f"/v1/setup_intents/{setup}/confirm", data)
        if found["status"] == "requires_action" and confirm:
            self.call("POST", f"/v1/setup_intents/{setup}/confirm", {"client_secret": client_secret})
        return setup

    def answer_bank(self, client_secret: str, *, yes: bool) -> None:
        """The customer answers the bank's question about a payment (3-D Secure)."""
        intent = client_secret.partition("_secret_")[0]
        self.call(
            "POST", f"/v1/payment_intents/{intent}/_authenticate?success={str(yes).lower()}",
            {"client_secret": client_secret},
        )  # fmt: skip

    def intents(self) -> list[dict]:
        return self.call("GET", "/v1/payment_intents?limit=100")["data"]

    def refunds(self) -> list[dict]:
        return self.call("GET", "/v1/refunds?limit=100")["data"]

    def charged(self) -> int:
        """Cents that Stripe has taken in all."""
        return sum(i["amount"] for i in self.intents() if i["status"] == "succeeded")

    def hook(self, url: str, secret: str) -> None:
        data = {"url": url, "secret": secret}
        self.call("POST", "/_config/webhooks/ours", data)
