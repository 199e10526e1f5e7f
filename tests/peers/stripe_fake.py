"""A small strict Stripe of ours, for what localstripe lacks: idempotency keys, decline codes, pending and failed
refunds, disputes, signed events and their list, and faults on command. A real HTTP server on loopback.

Strict: an unknown path or parameter, a POST that must carry a key and does not, or a key with other parameters is 400.
"""

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest

SECRET, WEBHOOK = "sk_test_fake1234", "whsec_fake"
ALLOWED = {
    "customers": {"metadata"},
    "setup_intents": {"customer", "payment_method_types", "metadata", "usage"},
    "payment_intents": {
        "amount", "currency", "customer", "payment_method", "payment_method_types", "confirm", "metadata", "expand",
        "off_session",
    },
    "refunds": {"payment_intent", "amount", "metadata"},
    "attach": {"customer"}, "detach": set(), "cancel": {"expand"},
}  # fmt: skip
KEYED = ("payment_intents", "refunds", "customers")


class Fault(Exception):
    def __init__(self, status: int, **error: object) -> None:
        self.status, self.body = status, {"error": {"type": "invalid_request_error", **error}}


def tree(text: str) -> dict:
    """a[b]=1&c[0]=2 → {"a": {"b": "1"}, "c": {"0": "2"}}"""
    found: dict = {}
    for name, value in parse_qsl(text):
        *path, last = re.findall(r"[^\[\]]+", name)
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return found


class Fake:
    """What it knows, by id, and what tests tell it. `faults`: [method and path as a pattern, what, how often]."""

    def __init__(self) -> None:
        self.things: dict[str, dict] = {}
        self.keys: dict[str, tuple[str, int, dict]] = {}
        self.declines: dict[str, dict] = {}
        self.refund_status = "succeeded"
        self.faults: list[list] = []
        self.asked: list[str] = []
        self.lock = threading.RLock()

    # --- What tests tell it -------------------------------------------------------------------------------------------
    def fault(self, pattern: str, what: str, times: int = 1) -> None:
        """what: "500", "refuse" (before the work), "drop" (connection closed after the work) or "delay" (5 seconds)."""
        self.faults.append([pattern, what, times])

    def card(self, **decline: str) -> str:
        """A card; with decline_code=… and the like it is refused when charged."""
        made = self._new("pm", "payment_method", customer=None, type="card",
                         card={"brand": "visa", "last4": "4242", "exp_month": 3, "exp_year": 2032})  # fmt: skip
        if decline:
            self.declines[made["id"]] = {"code": "card_declined", **decline}
        return made["id"]

    def give_card(self, setup_id: str, card: str) -> None:
        setup = self.things[setup_id]
        setup.update(status="succeeded", payment_method=card)
        self.things[card]["customer"] = setup["customer"]

    def intents(self) -> list[dict]:
        return [thing for thing in self.things.values() if thing["object"] == "payment_intent"]

    def event(self, kind: str, about: dict, *, secret: str = WEBHOOK, age: int = 0, **changes: object):
        """A signed event as Stripe would post it: body and Stripe-Signature."""
        event = self._new("evt", "event", type=kind, data={"object": about})
        event.update(changes)
        body = json.dumps(event).encode()
        return body, sign(body, secret=secret, age=age)

    # --- What it does -------------------------------------------------------------------------------------------------
    def _new(self, prefix: str, kind: str, **facts: object) -> dict:
        made = {"id": f"{prefix}_{secrets.token_hex(8)}", "object": kind, "created": int(time.time()),
                "livemode": False, "metadata": {}, **facts}  # fmt: skip
        self.things[made["id"]] = made
        return made

    def _shown(self, thing: dict) -> dict:
        shown = dict(thing)
        if thing["object"] == "payment_intent":
            shown["payment_method"] = self.things.get(thing["payment_method"])
            shown["latest_charge"] = self.things.get(thing["latest_charge"])
        return shown

    def _thing(self, thing_id: str) -> dict:
        if thing_id not in self.things:
            raise Fault(404, code="resource_missing", message="No such object")
        return self.things[thing_id]

    def post(self, path: str, params: dict, key: str) -> dict:
        parts = path.strip("/").split("/")[1:]
        verb = parts[-1] if len(parts) != 2 else "update"
        if set(params) - ALLOWED.get(verb, set()):
            raise Fault(400, message=f"unknown parameters {sorted(set(params) - ALLOWED.get(verb, set()))}")
        if verb in KEYED and not key:
            raise Fault(400, message="no idempotency key")
        if verb == "customers":
            return self._new("cus", "customer", metadata=params.get("metadata", {}))
        if verb == "setup_intents":
            made = self._new("seti", "setup_intent", customer=params["customer"], status="requires_payment_method",
                             payment_method=None, metadata=params["metadata"])  # fmt: skip
            made["client_secret"] = f"{made['id']}_secret_x"
            return made
        if verb == "payment_intents":
            return self._pay(params)
        if verb == "refunds":
            return self._refund(params)
        thing = self._thing(parts[1])
        if verb == "attach":
            thing["customer"] = params["customer"]
        elif verb == "detach":
            thing["customer"] = None
        elif verb == "cancel":
            if thing["status"] in ("succeeded", "canceled", "processing"):
                raise Fault(400, code="payment_intent_unexpected_state")
            thing["status"] = "canceled"
        return self._shown(thing)

    def _pay(self, params: dict) -> dict:
        card = self._thing(params["payment_method"])
        if card["customer"] != params["customer"]:
            raise Fault(400, message="the card is not of this customer")
        amount = int(params["amount"])
        intent = self._new("pi", "payment_intent", amount=amount, amount_received=0, currency=params["currency"],
                           customer=params["customer"], payment_method=card["id"], metadata=params["metadata"],
                           latest_charge=None, last_payment_error=None, status="succeeded")  # fmt: skip
        intent["client_secret"] = f"{intent['id']}_secret_x"
        if refusal := self.declines.get(card["id"]):
            intent.update(status="requires_payment_method", last_payment_error=refusal, payment_method=None)
            raise Fault(402, **{**refusal, "type": "card_error", "payment_intent": self._shown(intent)})
        charge = self._new("ch", "charge", amount=amount, amount_captured=amount, amount_refunded=0,
                           payment_intent=intent["id"])  # fmt: skip
        intent.update(amount_received=amount, latest_charge=charge["id"])
        return self._shown(intent)

    def _refund(self, params: dict) -> dict:
        intent = self._thing(params["payment_intent"])
        charge, amount = self.things[intent["latest_charge"]], int(params["amount"])
        if charge["amount_refunded"] + amount > charge["amount"]:
            raise Fault(400, code="charge_already_refunded")
        if self.refund_status != "failed":
            charge["amount_refunded"] += amount
        why = "lost_or_stolen_card" if self.refund_status == "failed" else None
        return self._new("re", "refund", amount=amount, currency=intent["currency"], status=self.refund_status,
                         payment_intent=intent["id"], metadata=params["metadata"], failure_reason=why)  # fmt: skip

    def get(self, path: str, params: dict) -> dict:
        parts = path.strip("/").split("/")[1:]
        if len(parts) == 2:
            return self._shown(self._thing(parts[1]))
        kind = {"payment_intents": "payment_intent", "refunds": "refund", "events": "event"}.get(parts[0])
        if kind is None:
            raise Fault(404, message="no such list")
        found = [self._shown(t) for t in reversed(self.things.values()) if t["object"] == kind]
        if "payment_intent" in params:
            found = [t for t in found if t["payment_intent"] == params["payment_intent"]]
        if "created" in params:
            found = [t for t in found if t["created"] >= int(params["created"]["gte"])]
        ids = [t["id"] for t in found]
        first = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
        page = found[first : first + int(params.get("limit", 10))]
        return {"object": "list", "url": path, "data": page, "has_more": first + len(page) < len(found)}

    def answer(self, method: str, address: str, body: str, key: str) -> tuple[int, dict]:
        path = urlsplit(address).path
        params = tree(body if method == "POST" else urlsplit(address).query)
        same = json.dumps([path, params], sort_keys=True)
        if key and key in self.keys:
            before, status, told = self.keys[key]
            if before != same:
                return 400, {"error": {"type": "idempotency_error", "message": "same key, other parameters"}}
            return status, told
        try:
            status, told = 200, self.post(path, params, key) if method == "POST" else self.get(path, params)
        except Fault as fault:
            status, told = fault.status, fault.body
        if key:
            self.keys[key] = (same, status, json.loads(json.dumps(told)))
        return status, told


def sign(body: bytes, *, secret: str = WEBHOOK, age: int = 0) -> str:
    at = int(time.time()) - age
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def handler(fake: Fake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None: ...

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            line = f"{self.command} {self.path}"
            fault = next((f for f in fake.faults if f[2] > 0 and re.search(f[0], line)), None)
            what = fault[1] if fault else ""
            if fault:
                fault[2] -= 1
            if self.headers.get("Authorization") != f"Bearer {SECRET}":
                return self._tell(401, {"error": {"type": "invalid_request_error", "message": "Invalid API key"}})
            if what == "refuse":
                return self._drop()
            with fake.lock:
                fake.asked.append(line)
                status, told = fake.answer(self.command, self.path, body, self.headers.get("Idempotency-Key") or "")
            if what == "drop":
                return self._drop()
            if what == "delay":
                time.sleep(5)
            if what == "500":
                status, told = 500, {"error": {"type": "api_error"}}
            return self._tell(status, told)

        do_GET = do_POST = _serve

        def _drop(self) -> None:
            self.close_connection = True
            self.connection.close()

        def _tell(self, status: int, told: dict) -> None:
            text = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    return Handler


@pytest.fixture
def stripe_fake(settings) -> Iterator[Fake]:
    fake = Fake()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(fake))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.STRIPE_API_BASE = f"http://127.0.0.1:{server.server_port}"
    settings.STRIPE_SECRET_KEY, settings.STRIPE_PUBLISHABLE_KEY = SECRET, "pk_test_fake1234"
    settings.STRIPE_WEBHOOK_SECRETS = [WEBHOOK]
    settings.PAYMENT_PROVIDERS = ["stripe", "transfer"]
    yield fake
    server.shutdown()
    server.server_close()
