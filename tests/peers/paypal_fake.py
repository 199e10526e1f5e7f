"""A strict stand-in for PayPal: a real HTTP server on loopback with a page to approve on, certificates and faults.

`fake.faults` maps a step ("order", "capture", "refund", "setup", "token", "order_get", "oauth") to what goes wrong the
next time: "drop" (does the work, then closes the connection), "lose" (closes it before any work), "500", "401", "slow"
(waits `fake.delay` seconds after the work), or an issue in capitals, answered as 422. `fake.lie` changes the amount of
every capture. Bodies that differ from PayPal's descriptions are gathered in `fake.complaints`.
"""

import base64
import json
import secrets
import threading
import time
import zlib
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from . import paypal_schemas

CLIENT, SECRET, WEBHOOK = "client-id", "client-secret", "8PT597110X687430LKGECATA"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EMAIL = "mario.rossi@posta.example"


def new_id() -> str:
    return secrets.token_hex(9)[:17].upper()


def certificate(*, key=KEY, days: int = 30, begin: int = -1) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.paypal.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begin)).not_valid_after(now + timedelta(days=days))
    )  # fmt: skip
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Refused(Exception):
    def __init__(self, status: int, issue: str) -> None:
        self.status, self.issue = status, issue


class PayPalFake:
    def __init__(self) -> None:
        self.orders: dict[str, dict] = {}
        self.setups: dict[str, dict] = {}
        self.vault: dict[str, dict] = {}
        self.customers: dict[str, str] = {}  # whose a kept account is
        self.refunds: dict[str, dict] = {}
        self.answers: dict[tuple[str, str], tuple[int, dict]] = {}
        self.tokens: dict[str, float] = {}
        self.token_seconds = 32400
        self.calls: list[tuple[str, str]] = []
        self.headers: list[dict] = []
        self.complaints: list[str] = []
        self.faults: dict[str, str] = {}
        self.lie: dict[str, str] = {}
        self.delay = 0.5
        self.captures_made = 0
        self.refuse_vault = ""
        self.vault_later = False  # the account is kept only when `keep` says so
        self.certificates = {"CERT-1": certificate()}
        self.lock = threading.RLock()
        fake = self

        class Handler(_Handler):
            paypal = fake

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    # what the customer does on PayPal's page
    def approve(self, order_id: str) -> str:
        with self.lock:
            thing = self.orders.get(order_id) or self.setups[order_id]
            if thing["status"] in ("PAYER_ACTION_REQUIRED", "CREATED"):
                thing["status"] = "APPROVED"
            return thing["_context"]["return_url"]

    # webhooks
    def event(self, kind: str, resource: dict, *, event_id: str = "", webhook_id: str = WEBHOOK, **over) -> tuple:
        """Body and headers of an event as PayPal would send it; `over` replaces headers by their name with _ for -."""
        body = json.dumps(
            {
                "id": event_id or f"WH-{new_id()}", "create_time": "2026-11-25T00:00:00Z", "event_type": kind,
                "event_version": "1.0", "resource": resource,
            }
        ).encode()  # fmt: skip
        return body, self.sign(body, webhook_id=webhook_id, **over)

    def sign(self, body: bytes, *, webhook_id: str = WEBHOOK, at: datetime | None = None, key=KEY, **over) -> dict:
        when = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
        transmission = secrets.token_hex(8)
        signed = f"{transmission}|{when}|{webhook_id}|{zlib.crc32(body)}".encode()
        signature = base64.b64encode(key.sign(signed, padding.PKCS1v15(), hashes.SHA256())).decode()
        given = {
            "Paypal-Transmission-Id": transmission, "Paypal-Transmission-Time": when,
            "Paypal-Transmission-Sig": signature, "Paypal-Auth-Algo": "SHA256withRSA",
            "Paypal-Cert-Url": f"{self.url}/v1/notifications/certs/CERT-1",
        }  # fmt: skip
        return {**given, **{name.replace("_", "-"): value for name, value in over.items()}}

    # the API, under the lock
    def order(self, body: dict, request_id: str) -> tuple[int, dict]:
        unit, wallet = body["purchase_units"][0], body["payment_source"]["paypal"]
        if "vault_id" in wallet and not request_id:
            raise Refused(400, "PAYPAL_REQUEST_ID_REQUIRED")
        order_id = new_id()
        order = {"id": order_id, "intent": body["intent"], "status": "PAYER_ACTION_REQUIRED", "_unit": unit}
        if "vault_id" in wallet:
            if wallet["vault_id"] not in self.vault:
                raise Refused(422, "TOKEN_ID_NOT_FOUND")
            if self.refuse_vault:
                raise Refused(422, self.refuse_vault)
            self.orders[order_id] = {**order, "status": "APPROVED", "_vault": False, "_context": {}}
            return self.capture(order_id)
        order["_context"] = wallet["experience_context"]
        order["_vault"] = "vault" in wallet.get("attributes", {})
        self.orders[order_id] = order
        return 200, self.show(order)

    def capture(self, order_id: str) -> tuple[int, dict]:
        order = self.get(self.orders, order_id)
        if order.get("captures"):
            raise Refused(422, "ORDER_ALREADY_CAPTURED")
        if order["status"] != "APPROVED":
            raise Refused(422, "ORDER_NOT_APPROVED")
        unit = order["_unit"]
        if any(o.get("captures") and o["_unit"].get("invoice_id") == unit.get("invoice_id", "") for o in
               self.orders.values()):  # fmt: skip
            raise Refused(422, "DUPLICATE_INVOICE_ID")
        self.captures_made += 1
        capture_id = new_id()
        order["captures"] = [
            {
                "id": capture_id, "status": "COMPLETED", "amount": {**unit["amount"], **self.lie},
                "final_capture": True, "custom_id": unit.get("custom_id", "none"),
                "links": [{"href": f"{self.url}/v2/checkout/orders/{order_id}", "rel": "up", "method": "GET"}],
            }
        ]  # fmt: skip
        order["status"] = "COMPLETED"
        if order["_vault"]:
            order["_customer"] = new_id()
            if not self.vault_later:
                self.keep(order_id)
        return 201, self.show(order)

    def keep(self, order_id: str) -> dict:
        """Keep the account that paid an order; the resource of the event that tells."""
        order = self.orders[order_id]
        order["_vaulted"] = new_id()
        self.vault[order["_vaulted"]] = {"email_address": EMAIL}
        self.customers[order["_vaulted"]] = order["_customer"]
        return {**self.show_token(order["_vaulted"]), "metadata": {"order_id": order_id}}

    def show_token(self, token: str) -> dict:
        customer = {"id": self.customers.get(token, "customer_1")}
        return {"id": token, "customer": customer, "payment_source": {"paypal": self.vault[token]}}

    def tokens_of(self, customer: str) -> tuple[int, dict]:
        found = [self.show_token(token) for token in self.vault if self.customers.get(token) == customer]
        return 200, {"customer": {"id": customer}, "payment_tokens": found}

    def refund(self, capture_id: str, body: dict) -> tuple[int, dict]:
        for order in self.orders.values():
            for capture in order.get("captures", []):
                if capture["id"] == capture_id:
                    refund = {
                        "id": new_id(), "status": "COMPLETED", "amount": body.get("amount") or capture["amount"],
                        "links": [{"href": f"{self.url}/v2/payments/captures/{capture_id}", "rel": "up"}],
                    }  # fmt: skip
                    if "custom_id" in body:
                        refund["custom_id"] = body["custom_id"]
                    done = sum(float(r["amount"]["value"]) for r in order.get("refunds", []))
                    left = float(capture["amount"]["value"]) - done - float(refund["amount"]["value"])
                    if left < -0.001:
                        raise Refused(422, "REFUND_AMOUNT_EXCEEDED")
                    capture["status"] = "PARTIALLY_REFUNDED" if left > 0.001 else "REFUNDED"
                    order.setdefault("refunds", []).append(refund)
                    self.refunds[refund["id"]] = refund
                    return 201, refund
        raise Refused(404, "INVALID_RESOURCE_ID")

    def show(self, order: dict) -> dict:
        wallet: dict = {"email_address": EMAIL, "account_id": "QYR5Z8XDVJNXQ"}
        if order.get("_customer"):
            known = {"status": "APPROVED"} if self.vault_later else {"id": order["_vaulted"], "status": "VAULTED"}
            wallet["attributes"] = {"vault": {**known, "customer": {"id": order["_customer"]}}}
        shown = {
            "id": order["id"], "intent": order["intent"], "status": order["status"],
            "purchase_units": [dict(order["_unit"])],
            "payment_source": {"paypal": wallet if order["status"] in ("APPROVED", "COMPLETED") else {}},
            "links": [{"href": f"{self.url}/v2/checkout/orders/{order['id']}", "rel": "self", "method": "GET"}],
        }  # fmt: skip
        if order["status"] == "PAYER_ACTION_REQUIRED":
            page = f"{self.url}/checkoutnow?token={order['id']}"
            shown["links"].append({"href": page, "rel": "payer-action", "method": "GET"})
        if order.get("captures"):
            payments = {"captures": order["captures"]}
            if order.get("refunds"):
                payments["refunds"] = order["refunds"]
            shown["purchase_units"][0]["payments"] = payments
        return shown

    @staticmethod
    def get(where: dict, key: str) -> dict:
        if key not in where:
            raise Refused(404, "INVALID_RESOURCE_ID")
        return where[key]

    def setup(self, body: dict) -> tuple[int, dict]:
        setup = {"id": new_id(), "status": "PAYER_ACTION_REQUIRED"}
        setup["_context"] = body["payment_source"]["paypal"]["experience_context"]
        self.setups[setup["id"]] = setup
        return 201, self.show_setup(setup)

    def show_setup(self, setup: dict) -> dict:
        page = f"{self.url}/checkoutnow?token={setup['id']}"
        return {
            "id": setup["id"], "status": setup["status"], "customer": {"id": "customer_1"},
            "links": [{"href": page, "rel": "approve", "method": "GET"}],
        }  # fmt: skip

    def token(self, body: dict) -> tuple[int, dict]:
        setup = self.get(self.setups, body["payment_source"]["token"]["id"])
        if setup["status"] != "APPROVED":
            raise Refused(422, "SETUP_TOKEN_NOT_APPROVED")
        setup["status"] = "VAULTED"
        token = new_id()
        self.vault[token] = {"email_address": EMAIL}
        return 201, {"id": token, "customer": {"id": "customer_1"}, "payment_source": {"paypal": self.vault[token]}}


class _Handler(BaseHTTPRequestHandler):
    paypal: PayPalFake
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass

    def do_GET(self) -> None:
        self.work("GET")

    def do_POST(self) -> None:
        self.work("POST")

    def do_DELETE(self) -> None:
        self.work("DELETE")

    def work(self, method: str) -> None:
        fake, path = self.paypal, urlsplit(self.path).path
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path == "/checkoutnow":
            return self.page(method, raw)
        if path.startswith("/v1/notifications/certs/"):
            fake.calls.append((method, path))
            pem = fake.certificates.get(path.rpartition("/")[2])
            return self.answer(200 if pem else 404, pem or b"", "application/x-pem-file")
        step, run = self.route(method, path, raw)
        fake.calls.append((method, path))
        fake.headers.append({"path": path, **dict(self.headers)})
        fault = fake.faults.pop(step, "")
        if fault == "lose":
            return self.hang_up()
        if fault in ("500", "401"):
            return self.json(int(fault), {"name": "FAULT", "message": "on command"})
        try:
            if step != "oauth" and not self.allowed():
                return self.json(401, {"name": "AUTHENTICATION_FAILURE", "message": "no token"})
            if fault.isupper():
                raise Refused(422, fault)
            with fake.lock:
                key = (step + path, self.headers.get("PayPal-Request-Id") or "")
                if method == "POST" and key[1] and key in fake.answers:
                    status, body = fake.answers[key]
                    if step in ("order", "capture") and body["id"] in fake.orders:
                        body = fake.show(fake.orders[body["id"]])  # PayPal answers with the state of now
                else:
                    if raw and step in paypal_schemas.REQUESTS and raw != b"null":
                        fake.complaints += paypal_schemas.problems(step, json.loads(raw), answer=False)
                    status, body = run()
                    if key[1]:
                        fake.answers[key] = (status, body)
            if step in paypal_schemas.REQUESTS:
                fake.complaints += paypal_schemas.problems(step, body, answer=True)
        except Refused as refused:
            told = {
                "name": "UNPROCESSABLE_ENTITY" if refused.status == 422 else "RESOURCE_NOT_FOUND", "message": "no",
                "debug_id": "90957fca61718", "details": [{"issue": refused.issue}],
            }  # fmt: skip
            return self.json(refused.status, told)
        if fault == "drop":
            return self.hang_up()
        if fault == "slow":
            time.sleep(fake.delay)
        return self.json(status, body) if status != 204 else self.answer(204, b"", "application/json")

    def route(self, method: str, path: str, raw: bytes):
        fake, parts = self.paypal, path.strip("/").split("/")
        body = json.loads(raw) if raw.startswith(b"{") else {}
        if path == "/v1/oauth2/token":
            return "oauth", self.oauth
        match method, parts:
            case "POST", ["v2", "checkout", "orders"]:
                return "order", lambda: fake.order(body, self.headers.get("PayPal-Request-Id") or "")
            case "GET", ["v2", "checkout", "orders", key]:
                return "order_get", lambda: (200, fake.show(fake.get(fake.orders, key)))
            case "POST", ["v2", "checkout", "orders", key, "capture"]:
                return "capture", lambda: fake.capture(key)
            case "POST", ["v2", "payments", "captures", key, "refund"]:
                return "refund", lambda: fake.refund(key, body)
            case "GET", ["v2", "payments", "refunds", key]:
                return "refund_get", lambda: (200, fake.get(fake.refunds, key))
            case "POST", ["v3", "vault", "setup-tokens"]:
                return "setup", lambda: fake.setup(body)
            case "GET", ["v3", "vault", "setup-tokens", key]:
                return "setup_get", lambda: (200, fake.show_setup(fake.get(fake.setups, key)))
            case "POST", ["v3", "vault", "payment-tokens"]:
                return "token", lambda: fake.token(body)
            case "GET", ["v3", "vault", "payment-tokens"]:
                customer = parse_qs(urlsplit(self.path).query).get("customer_id", [""])[0]
                return "tokens", lambda: fake.tokens_of(customer)
            case "DELETE", ["v3", "vault", "payment-tokens", key]:
                return "forget", lambda: (204, fake.vault.pop(key, {}))

        def nothing():
            raise Refused(404, "NO_SUCH_PATH")

        return "nothing", nothing

    def oauth(self) -> tuple[int, dict]:
        right = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != right or self.headers.get("PayPal-Request-Id"):
            raise Refused(401, "invalid_client")
        token, fake = secrets.token_hex(16), self.paypal
        fake.tokens[token] = time.monotonic() + fake.token_seconds
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": fake.token_seconds, "scope": "x"}

    def allowed(self) -> bool:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return self.paypal.tokens.get(token, 0) > time.monotonic()

    def page(self, method: str, raw: bytes) -> None:
        key = parse_qs(urlsplit(self.path).query)["token"][0]
        fake = self.paypal
        thing = fake.orders.get(key) or fake.setups[key]
        if method == "POST":
            chosen = parse_qs(raw.decode()).get("do", [""])[0]
            if chosen == "close":
                fake.approve(key)
                return self.answer(200, b"<!doctype html><title>PayPal</title><p>Approvato", "text/html")
            to = fake.approve(key) if chosen == "approve" else thing["_context"]["cancel_url"]
            self.send_response(303)
            self.send_header("Location", to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        html = "<!doctype html><html lang=it><title>PayPal</title><link rel=icon href='data:,'><form method=post>"
        html += "".join(f"<button name=do value={v}>{t}</button>" for v, t in
                        [("approve", "Approva"), ("cancel", "Annulla"), ("close", "Approva e resta")])  # fmt: skip
        return self.answer(200, (html + "</form>").encode(), "text/html; charset=utf-8")

    def json(self, status: int, body: dict) -> None:
        self.answer(status, json.dumps(body).encode(), "application/json")

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True
