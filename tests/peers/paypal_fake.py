"""A strict PayPal on loopback: what our provider uses of Orders v2, Payments v2 and Vault v3, with the page where a
customer approves, certificates for webhooks, idempotency by PayPal-Request-Id, and faults on command.

`faults` maps (method, path pattern) to what goes wrong the next times: "drop" (works, then closes the line), "500",
"slow" (answers after `slow_for` seconds), "refuse" (closes the line before anything is done).
"""

import base64
import json
import re
import threading
import time
import uuid
import zlib
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509.oid import NameOID

CLIENT, SECRET, WEBHOOK = "client-of-tests", "secret-of-tests", "WH-TESTS-1"
PAGE = """<!doctype html><title>PayPal</title><h1>PayPal</h1><p>{amount}</p>
<form method="post"><button name="say" value="yes">Accetta</button>
<button name="say" value="no">Rifiuta</button></form>"""


def certificate(*, days: int = 30) -> tuple[rsa.RSAPrivateKey, bytes]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.paypal.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60)).not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return key, made.public_bytes(serialization.Encoding.PEM)


class PayPalFake:
    def __init__(self) -> None:
        self.key, self.pem = certificate()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"fake": self}))
        self.server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.lock = threading.RLock()
        self.clear()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def clear(self) -> None:
        self.orders: dict[str, dict] = {}
        self.returns: dict[str, tuple[str, str]] = {}
        self.vault: dict[str, dict] = {}
        self.setups: dict[str, dict] = {}
        self.answered: dict[tuple[str, str], tuple[str, int, dict]] = {}
        self.faults: dict[tuple[str, str], list[str]] = {}
        self.log: list[tuple[str, str, dict | None, int, dict]] = []
        self.declines: set[str] = set()  # vault ids whose charges are refused, with the issue after a colon
        self.lies: dict[str, str] = {}  # what captures say instead: value, currency_code, status
        self.slow_for = 0.5
        self.tokens: set[str] = set()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    # --- What a customer does -----------------------------------------------------------------------------------------

    def approve(self, order_id: str) -> str:
        """The customer says yes on PayPal's page; returns where the browser is sent."""
        with self.lock:
            if order_id in self.setups:
                self.setups[order_id]["status"] = "APPROVED"
            else:
                self.orders[order_id]["status"] = "APPROVED"
            return self.returns[order_id][0]

    def captured(self) -> int:
        """Cents taken in all."""
        return sum(
            round(float(c["amount"]["value"]) * 100)
            for o in self.orders.values() for c in captures_of(o) if c["status"] != "DECLINED"
        )  # fmt: skip

    def refunds(self) -> list[dict]:
        return [r for o in self.orders.values() for r in o["purchase_units"][0].get("payments", {}).get("refunds", [])]

    # --- Webhooks -----------------------------------------------------------------------------------------------------

    def event(self, kind: str, resource: dict, event_id: str = "") -> bytes:
        return json.dumps(
            {"id": event_id or f"WH-{uuid.uuid4().hex[:16]}", "event_type": kind, "resource": resource}
        ).encode()  # fmt: skip

    def sign(self, body: bytes, *, webhook: str = WEBHOOK, at: datetime | None = None, **changes: str) -> dict:
        sent = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
        transmission = str(uuid.uuid4())
        signed = f"{transmission}|{sent}|{webhook}|{zlib.crc32(body)}".encode()
        made = self.key.sign(signed, PKCS1v15(), hashes.SHA256())
        return {
            "Paypal-Auth-Algo": "SHA256withRSA", "Paypal-Transmission-Id": transmission,
            "Paypal-Transmission-Time": sent, "Paypal-Transmission-Sig": base64.b64encode(made).decode(),
            "Paypal-Cert-Url": f"{self.base}/v1/notifications/certs/CERT-1", **changes,
        }  # fmt: skip


def captures_of(order: dict) -> list[dict]:
    return order["purchase_units"][0].get("payments", {}).get("captures", [])


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id() -> str:
    return uuid.uuid4().hex[:17].upper()


MESSAGES = {  # as PayPal words them
    404: "The specified resource does not exist.",
    422: "The requested action could not be performed, semantically incorrect, or failed business validation.",
}


ISSUES = {
    "INSTRUMENT_DECLINED": "The instrument presented  was either declined by the processor or bank, or it can't be "
    "used for this payment.",
    "INVALID_RESOURCE_ID": "Specified resource ID does not exist. Please check the resource ID and try again.",
    "ORDER_ALREADY_CAPTURED": "Order already captured. If 'intent=CAPTURE' only one capture per order is allowed.",
}


class Refused(Exception):
    def __init__(self, status: int, name: str, issue: str = "") -> None:
        super().__init__(name)
        self.status = status
        message = MESSAGES.get(status, name)
        details = [{"issue": issue, "description": ISSUES.get(issue, issue)}] if issue else []
        self.answer = {"name": name, "message": message, "debug_id": "d1", "details": details}


class Handler(BaseHTTPRequestHandler):
    fake: PayPalFake
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        return

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        path = urlsplit(self.path).path
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.startswith("/checkoutnow/"):
            return self._page(method, path.rpartition("/")[2], raw)
        if path.startswith("/v1/notifications/certs/"):
            return self._send(200, self.fake.pem, "application/x-pem-file")
        fault = self._fault(method, path)
        if fault == "refuse":
            return self._hang_up()
        if fault == "500":
            return self._send(500, b"{}")
        status, answer = self._answer(method, path, raw)
        if fault == "slow":
            time.sleep(self.fake.slow_for)
        if fault == "drop":
            return self._hang_up()
        self._send(status, json.dumps(answer).encode() if answer is not None else b"")

    def _fault(self, method: str, path: str) -> str:
        for (verb, pattern), left in self.fake.faults.items():
            if verb == method and re.fullmatch(pattern, path) and left:
                return left.pop(0)
        return ""

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(2)

    def _send(self, status: int, content: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _page(self, method: str, order_id: str, raw: bytes) -> None:
        back, cancel = self.fake.returns[order_id]
        if method == "POST":
            yes = parse_qs(raw.decode()).get("say") == ["yes"]
            if yes:
                self.fake.approve(order_id)
            return self._send(303, b"", "text/html", Location=back if yes else cancel)
        order = self.fake.orders.get(order_id)
        amount = order["purchase_units"][0]["amount"]["value"] if order else "0"
        self._send(200, PAGE.format(amount=amount).encode(), "text/html; charset=utf-8")

    def _answer(self, method: str, path: str, raw: bytes) -> tuple[int, dict | None]:
        fake = self.fake
        if path == "/v1/oauth2/token":
            basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {basic}" or self.headers.get("PayPal-Request-Id"):
                return 401, {"name": "UNAUTHORIZED"}
            token = uuid.uuid4().hex
            fake.tokens.add(token)
            return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 32400}
        if self.headers.get("Authorization", "").removeprefix("Bearer ") not in fake.tokens:
            return 401, {"name": "AUTHENTICATION_FAILURE", "message": "x", "debug_id": "d1"}
        body = json.loads(raw) if raw else None
        request_id = self.headers.get("PayPal-Request-Id", "")
        with fake.lock:
            key = (path, request_id)
            if request_id and key in fake.answered:
                sent, status, answer = fake.answered[key]
                if sent != raw.decode():
                    return 422, Refused(422, "UNPROCESSABLE_ENTITY", "DUPLICATE_REQUEST_ID").answer
                return status, answer
            try:
                status, answer = self._work(method, path, body)
            except Refused as refused:
                status, answer = refused.status, refused.answer
            if request_id and status < 400:
                fake.answered[key] = (raw.decode(), status, json.loads(json.dumps(answer)))
            fake.log.append((method, path, body, status, json.loads(json.dumps(answer or {}))))
            return status, answer

    def _work(self, method: str, path: str, body: dict | None) -> tuple[int, dict | None]:
        for verb, pattern, work in (
            ("POST", r"/v2/checkout/orders", self._create),
            ("GET", r"/v2/checkout/orders/([^/]+)", self._get),
            ("POST", r"/v2/checkout/orders/([^/]+)/capture", self._capture),
            ("POST", r"/v2/payments/captures/([^/]+)/refund", self._refund),
            ("GET", r"/v2/payments/captures/([^/]+)", self._get_capture),
            ("GET", r"/v2/payments/refunds/([^/]+)", self._get_refund),
            ("POST", r"/v3/vault/setup-tokens", self._setup),
            ("POST", r"/v3/vault/payment-tokens", self._token),
            ("DELETE", r"/v3/vault/payment-tokens/([^/]+)", self._forget),
        ):
            found = re.fullmatch(pattern, path)
            if found and verb == method:
                return work(body, *found.groups())
        raise Refused(404, "RESOURCE_NOT_FOUND")

    def _create(self, body: dict | None) -> tuple[int, dict]:
        if not body or body.get("intent") != "CAPTURE" or len(body.get("purchase_units", [])) != 1:
            raise Refused(400, "INVALID_REQUEST", "MISSING_REQUIRED_PARAMETER")
        wallet = body.get("payment_source", {}).get("paypal", {})
        order_id = new_id()
        order = {
            "id": order_id, "intent": "CAPTURE", "status": "PAYER_ACTION_REQUIRED",
            "purchase_units": [dict(body["purchase_units"][0])], "create_time": now(),
            "payment_source": {"paypal": {}},
            "links": [{"href": f"{self.fake.base}/checkoutnow/{order_id}", "rel": "payer-action", "method": "GET"}],
        }  # fmt: skip
        if vault_id := wallet.get("vault_id"):
            issue = next((d.partition(":")[2] for d in self.fake.declines if d.startswith(f"{vault_id}:")), "")
            if issue and issue != "PAYER_ACTION_REQUIRED":
                raise Refused(422, "UNPROCESSABLE_ENTITY", issue)
            if vault_id not in self.fake.vault:
                raise Refused(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
            if not issue:
                self._take(order)
        else:
            context = wallet["experience_context"]
            self.fake.returns[order_id] = (context["return_url"], context["cancel_url"])
            order["_keep"] = "vault" in wallet.get("attributes", {})
        self.fake.orders[order_id] = order
        return 201, shown(order)

    def _get(self, body: dict | None, order_id: str) -> tuple[int, dict]:
        return 200, shown(self._order(order_id))

    def _order(self, order_id: str) -> dict:
        if order_id not in self.fake.orders:
            raise Refused(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
        return self.fake.orders[order_id]

    def _capture(self, body: dict | None, order_id: str) -> tuple[int, dict]:
        order = self._order(order_id)
        if captures_of(order):
            raise Refused(422, "UNPROCESSABLE_ENTITY", "ORDER_ALREADY_CAPTURED")
        if order["status"] != "APPROVED":
            raise Refused(422, "UNPROCESSABLE_ENTITY", "ORDER_NOT_APPROVED")
        if "capture:INSTRUMENT_DECLINED" in self.fake.declines:
            raise Refused(422, "UNPROCESSABLE_ENTITY", "INSTRUMENT_DECLINED")
        self._take(order)
        if order.get("_keep"):
            token = self._keep()
            order["payment_source"]["paypal"]["attributes"] = {"vault": {"id": token, "status": "VAULTED"}}
        return 201, shown(order)

    def _take(self, order: dict) -> None:
        amount = {**order["purchase_units"][0]["amount"]}
        amount.update({k: v for k, v in self.fake.lies.items() if k in amount})
        order["status"] = "COMPLETED"
        order["payment_source"]["paypal"].update(
            {"email_address": "mario@posta.example", "account_id": "QYR5Z8XDVJNXQ"}
        )
        order["purchase_units"][0]["payments"] = {
            "captures": [
                {
                    "id": new_id(), "status": self.fake.lies.get("status", "COMPLETED"), "amount": amount,
                    "final_capture": True, "create_time": now(),
                    "custom_id": order["purchase_units"][0]["custom_id"],
                }
            ]
        }  # fmt: skip

    def _keep(self) -> str:
        token = uuid.uuid4().hex[:12]
        self.fake.vault[token] = {"email_address": "mario@posta.example"}
        return token

    def _capture_of(self, capture_id: str) -> tuple[dict, dict]:
        for order in self.fake.orders.values():
            for capture in captures_of(order):
                if capture["id"] == capture_id:
                    return order, capture
        raise Refused(404, "RESOURCE_NOT_FOUND")

    def _get_capture(self, body: dict | None, capture_id: str) -> tuple[int, dict]:
        return 200, self._capture_of(capture_id)[1]

    def _refund(self, body: dict | None, capture_id: str) -> tuple[int, dict]:
        order, capture = self._capture_of(capture_id)
        payments = order["purchase_units"][0]["payments"]
        gone = sum(float(r["amount"]["value"]) for r in payments.setdefault("refunds", []))
        amount = (body or {}).get("amount") or capture["amount"]
        if gone + float(amount["value"]) > float(capture["amount"]["value"]) + 0.001:
            raise Refused(422, "UNPROCESSABLE_ENTITY", "REFUND_AMOUNT_EXCEEDED")
        made = {
            "id": new_id(), "status": "COMPLETED", "amount": amount, "custom_id": (body or {}).get("custom_id", "none"),
            "create_time": now(),
        }  # fmt: skip
        payments["refunds"].append(made)
        return 201, made

    def _get_refund(self, body: dict | None, refund_id: str) -> tuple[int, dict]:
        found = next((r for r in self.fake.refunds() if r["id"] == refund_id), None)
        if found is None:
            raise Refused(404, "RESOURCE_NOT_FOUND")
        return 200, found

    def _setup(self, body: dict | None) -> tuple[int, dict]:
        context = (body or {})["payment_source"]["paypal"]["experience_context"]
        token = new_id()
        self.fake.returns[token] = (context["return_url"], context["cancel_url"])
        made = {
            "id": token, "status": "PAYER_ACTION_REQUIRED", "payment_source": {"paypal": {}},
            "links": [{"href": f"{self.fake.base}/checkoutnow/{token}", "rel": "approve", "method": "GET"}],
        }  # fmt: skip
        self.fake.setups[token] = made
        return 201, made

    def _token(self, body: dict | None) -> tuple[int, dict]:
        source = (body or {})["payment_source"]["token"]
        setup = self.fake.setups.get(source["id"])
        if setup is None or source["type"] != "SETUP_TOKEN":
            raise Refused(404, "RESOURCE_NOT_FOUND", "TOKEN_NOT_FOUND")
        if setup["status"] != "APPROVED":
            raise Refused(422, "UNPROCESSABLE_ENTITY", "TOKEN_NOT_APPROVED")
        token = self._keep()
        return 201, {
            "id": token,
            "payment_source": {"paypal": dict(self.fake.vault[token])},
            "links": [{"href": f"{self.fake.base}/v3/vault/payment-tokens/{token}", "rel": "self", "method": "GET"}],
        }

    def _forget(self, body: dict | None, token: str) -> tuple[int, None]:
        if self.fake.vault.pop(token, None) is None:
            raise Refused(404, "RESOURCE_NOT_FOUND")
        return 204, None


def shown(order: dict) -> dict:
    return {name: value for name, value in order.items() if not name.startswith("_")}
