"""PayPal: Orders v2, Payments v2, Vault v3. Every call carries a PayPal-Request-Id made from our row (R19).

The customer approves at PayPal, we capture afterwards: an order that nobody captures is never paid, which is why
closing an attempt before `sent_at` is certain, and needs no call.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from payments.models import MethodSetup, Payment, Refund, StoredMethod
from pecportal import clock

from .base import Hint, Outcome, ProviderTimeoutError, Result, SavedMethod, Seen, Started
from .paypal_api import PayPalRefusalError, call
from .paypal_webhook import read

# PayPal keeps a PayPal-Request-Id for six hours; after that the same charge sent again would take the money twice.
KEY_GOOD_FOR = timedelta(hours=5)
SOFT = {"INSTRUMENT_DECLINED", "TRANSACTION_REFUSED", "MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED", "DECLINED", "FAILED"}
AUTHENTICATION = {"PAYER_ACTION_REQUIRED"}
GONE = (404, 410)
HAVE_IT = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")


class PayPal:
    name = "paypal"

    def start(self, payment: Payment, *, return_url: str, cancel_url: str) -> Started:
        wallet: dict[str, Any] = {"experience_context": _experience(return_url, cancel_url, user_action="PAY_NOW")}
        if payment.auto_renewal_agreed:
            wallet["attributes"] = {"vault": {"store_in_vault": "ON_SUCCESS", "usage_type": "MERCHANT"}}
        try:
            order = call("POST", "v2/checkout/orders", body=_order(payment, wallet), request_id=str(payment.public_id))
        except PayPalRefusalError as error:
            # Not begun; the customer is told so when it is asked about next, as after a timeout.
            raise ProviderTimeoutError(f"PayPal: {error}") from error
        return Started(_id(order), _where_to(order))

    def fetch(self, payment: Payment) -> Outcome:
        if not payment.remote_id:
            return self._never_told(payment)
        try:
            order = call("GET", _path("v2/checkout/orders", payment.remote_id))
        except PayPalRefusalError as error:
            if error.status not in GONE:
                raise ProviderTimeoutError(f"PayPal: {error}") from error
            if payment.sent_at is None:
                return Outcome(Result.CANCELLED, reason=_("la richiesta di pagamento è scaduta"))
            return Outcome(Result.UNKNOWN, reason=_("PayPal non trova il pagamento"))
        return _outcome(payment, order)

    def _never_told(self, payment: Payment) -> Outcome:
        """Creating it had no answer. Without the address of PayPal's page nobody can approve it: it is over."""
        if payment.method is None:
            return Outcome(Result.FAILED, reason=_("il pagamento non è mai cominciato"))
        return self.charge(payment, payment.method)

    def complete(self, payment: Payment) -> Outcome:
        path = _path("v2/checkout/orders", payment.remote_id) + "/capture"
        try:
            order = call("POST", path, body={}, request_id=f"{payment.public_id}-capture")
        except PayPalRefusalError as error:
            if error.status in GONE or error.issue in ("ORDER_ALREADY_CAPTURED", "DUPLICATE_INVOICE_ID"):
                found = self.fetch(payment)
                return Outcome(Result.UNKNOWN, reason=error.issue) if found.ready else found
            if error.issue == "ORDER_NOT_APPROVED":
                return Outcome(Result.PENDING)
            return _refused(error.issue)
        return _outcome(payment, order)

    def close(self, payment: Payment) -> Outcome:
        if payment.sent_at is None:  # and `closing` is set: nothing captures it any more, whoever approves it
            return Outcome(Result.CANCELLED)
        found = self.fetch(payment)
        if found.ready:
            found = self.complete(payment)
        if found.result == Result.PENDING and not found.charge_id:
            # Sent, and PayPal has no capture and waits for the customer again: the capture was refused.
            return Outcome(Result.CANCELLED, remote_id=payment.remote_id)
        return found

    def read_webhook(self, request: HttpRequest) -> Hint:
        return read(request)

    def charge(self, payment: Payment, method: StoredMethod) -> Outcome:
        if payment.sent_at is None or clock.now() - payment.sent_at > KEY_GOOD_FOR:
            return Outcome(Result.UNKNOWN, reason=_("PayPal non ha mai risposto: verifica l'addebito nel suo sito"))
        body = _order(payment, {"vault_id": method.remote_id})
        try:
            order = call("POST", "v2/checkout/orders", body=body, request_id=str(payment.public_id))
        except PayPalRefusalError as error:
            if error.issue == "DUPLICATE_INVOICE_ID":
                return Outcome(Result.UNKNOWN, reason=error.issue)
            return _refused(error.issue)
        if order.get("status") == "PAYER_ACTION_REQUIRED":
            return _refused("PAYER_ACTION_REQUIRED", remote_id=_id(order))
        return _outcome(payment, order)

    def refund(self, refund: Refund) -> Outcome:
        payment = _payment_of(refund)
        path = _path("v2/payments/captures", payment.charge_id) + "/refund"
        body = {
            "amount": {"currency_code": payment.currency, "value": f"{refund.amount:.2f}"},
            "custom_id": str(refund.public_id),
        }
        try:
            return _refund_outcome(call("POST", path, body=body, request_id=str(refund.public_id)))
        except PayPalRefusalError as error:
            return Outcome(Result.FAILED, reason=error.issue or str(error))

    def fetch_refund(self, refund: Refund) -> Outcome:
        payment = _payment_of(refund)
        try:
            if refund.remote_id:
                return _refund_outcome(call("GET", _path("v2/payments/refunds", refund.remote_id)))
            order = call("GET", _path("v2/checkout/orders", payment.remote_id))
        except PayPalRefusalError as error:
            raise ProviderTimeoutError(f"PayPal: {error}") from error
        for known in _payments(order).get("refunds") or []:
            if known.get("custom_id") == str(refund.public_id):
                return _refund_outcome(known)
        return Outcome(Result.UNKNOWN, ready=True)  # never arrived there

    def start_setup(self, setup: MethodSetup, *, return_url: str, cancel_url: str) -> Started:
        wallet = {"usage_type": "MERCHANT", "experience_context": _experience(return_url, cancel_url)}
        try:
            token = call(
                "POST", "v3/vault/setup-tokens", body={"payment_source": {"paypal": wallet}},
                request_id=str(setup.public_id),
            )  # fmt: skip
        except PayPalRefusalError as error:
            raise ProviderTimeoutError(f"PayPal: {error}") from error
        return Started(_id(token), _where_to(token))

    def fetch_setup(self, setup: MethodSetup) -> Outcome:
        if not setup.remote_id:
            return Outcome(Result.FAILED, reason=_("il salvataggio non è mai cominciato"))
        try:
            token = call("GET", _path("v3/vault/setup-tokens", setup.remote_id))
            if token.get("status") not in ("APPROVED", "VAULTED"):
                return Outcome(Result.PENDING, remote_id=setup.remote_id)
            source = {"payment_source": {"token": {"id": setup.remote_id, "type": "SETUP_TOKEN"}}}
            kept = call("POST", "v3/vault/payment-tokens", body=source, request_id=f"{setup.public_id}-token")
        except PayPalRefusalError as error:
            return Outcome(Result.FAILED, remote_id=setup.remote_id, reason=error.issue or str(error))
        wallet = (kept.get("payment_source") or {}).get("paypal") or {}
        return Outcome(Result.REGISTERED, remote_id=setup.remote_id, saved=SavedMethod(_id(kept), _label(wallet)))

    def forget(self, method: StoredMethod) -> None:
        try:
            call("DELETE", _path("v3/vault/payment-tokens", method.remote_id))
        except PayPalRefusalError as error:
            if error.status not in GONE:
                raise ProviderTimeoutError(f"PayPal: {error}") from error

    def recent(self, since: datetime) -> Iterable[Seen]:
        return ()  # PayPal lists no orders

    def told(self, since: datetime) -> Iterable[Hint]:
        return ()


def _path(collection: str, remote_id: str) -> str:
    if not remote_id:
        raise ProviderTimeoutError(f"PayPal: no id for {collection}")
    return f"{collection}/{quote(remote_id, safe='')}"


def _order(payment: Payment, wallet: dict[str, Any]) -> dict[str, Any]:
    unit = {
        "reference_id": "default",
        "custom_id": str(payment.public_id),
        "invoice_id": str(payment.public_id),
        "amount": {"currency_code": payment.currency, "value": f"{payment.amount:.2f}"},
    }
    return {"intent": "CAPTURE", "purchase_units": [unit], "payment_source": {"paypal": wallet}}


def _experience(return_url: str, cancel_url: str, **more: str) -> dict[str, str]:
    return {
        "brand_name": settings.PROVIDER_NAME[:127], "locale": "it-IT", "shipping_preference": "NO_SHIPPING",
        "return_url": return_url, "cancel_url": cancel_url, **more,
    }  # fmt: skip


def _id(answer: dict[str, Any]) -> str:
    if not isinstance(answer.get("id"), str) or not 0 < len(answer["id"]) <= 120:
        raise ProviderTimeoutError("PayPal: an answer without its id")
    return str(answer["id"])


def _where_to(answer: dict[str, Any]) -> str:
    """The page on which the customer approves; only ever one of PayPal's own hosts."""
    links = {link.get("rel"): str(link.get("href", "")) for link in answer.get("links") or []}
    address = links.get("payer-action") or links.get("approve") or ""
    parts = urlsplit(address)
    hosts = (settings.PAYPAL_WEB_HOST, settings.PAYPAL_API_BASE)
    if f"{parts.scheme}://{parts.netloc}" not in {host.rstrip("/") for host in hosts}:
        raise ProviderTimeoutError("PayPal: no page of its own to send the customer to")
    return address


def _payments(order: dict[str, Any]) -> dict[str, Any]:
    units = order.get("purchase_units") or [{}]
    return units[0].get("payments") or {}


def _outcome(payment: Payment, order: dict[str, Any]) -> Outcome:
    """An order of PayPal's in our words."""
    remote_id = _id(order)
    units = order.get("purchase_units") or [{}]
    custom = units[0].get("custom_id") or str(payment.public_id)
    if custom != str(payment.public_id) or (payment.remote_id and remote_id != payment.remote_id):
        return Outcome(Result.UNKNOWN, reason=_("PayPal risponde di un altro pagamento"))
    status, captures = order.get("status"), _payments(order).get("captures") or []
    if captures:
        return _captured(order, remote_id, captures[-1])
    if status == "APPROVED":
        return Outcome(Result.PENDING, remote_id=remote_id, ready=True)
    if status == "VOIDED":
        return Outcome(Result.CANCELLED, remote_id=remote_id)
    if status == "COMPLETED":
        return Outcome(Result.UNKNOWN, remote_id=remote_id, reason=_("PayPal non dice dell'addebito"))
    return Outcome(Result.PENDING, remote_id=remote_id)


def _captured(order: dict[str, Any], remote_id: str, capture: dict[str, Any]) -> Outcome:
    status, charge_id = str(capture.get("status")), _id(capture)
    if status in ("DECLINED", "FAILED"):
        return _refused(status, remote_id=remote_id)
    if status not in HAVE_IT:
        return Outcome(Result.PENDING, remote_id=remote_id, charge_id=charge_id)
    amount, currency = _money(capture)
    back = [_money(known)[0] for known in _payments(order).get("refunds") or [] if known.get("status") == "COMPLETED"]
    refunded = sum(back, Decimal(0)) or (amount if status == "REFUNDED" else None)
    return Outcome(
        Result.REGISTERED, remote_id=remote_id, charge_id=charge_id, amount=amount, currency=currency,
        refunded=refunded, saved=_saved((order.get("payment_source") or {}).get("paypal") or {}),
    )  # fmt: skip


def _saved(wallet: dict[str, Any]) -> SavedMethod | None:
    """The account that PayPal keeps for us, None while it does not. The money's outcome never waits for this."""
    vault = (wallet.get("attributes") or {}).get("vault") or {}
    if vault.get("status") == "VAULTED":
        return SavedMethod(_id(vault), _label(wallet))
    customer = str((vault.get("customer") or {}).get("id") or "")
    if vault.get("status") != "APPROVED" or not customer:
        return None
    # Kept later: then VAULT.PAYMENT-TOKEN.CREATED names the order, whose own answer may go on saying APPROVED. The
    # customer is PayPal's for whoever approved (we name none): the newest account under it is theirs, and kept for us.
    try:
        listed = call("GET", f"v3/vault/payment-tokens?customer_id={quote(customer, safe='')}")
        tokens = [t for t in listed.get("payment_tokens") or [] if (t.get("payment_source") or {}).get("paypal")]
        return SavedMethod(_id(tokens[-1]), _label(tokens[-1]["payment_source"]["paypal"])) if tokens else None
    except (PayPalRefusalError, ProviderTimeoutError):
        return None


def _money(thing: dict[str, Any]) -> tuple[Decimal, str]:
    try:
        return Decimal(thing["amount"]["value"]), str(thing["amount"]["currency_code"])
    except (KeyError, TypeError, InvalidOperation) as error:
        raise ProviderTimeoutError("PayPal: an answer without its amount") from error


def _refused(issue: str, *, remote_id: str = "") -> Outcome:
    decline = Payment.Decline.HARD
    if issue in SOFT:
        decline = Payment.Decline.SOFT
    elif issue in AUTHENTICATION:
        decline = Payment.Decline.AUTHENTICATION
    return Outcome(Result.FAILED, remote_id=remote_id, reason=issue[:120], decline=decline)


def _payment_of(refund: Refund) -> Payment:
    assert refund.payment is not None  # money of a bank account goes back by bank
    return refund.payment


def _refund_outcome(known: dict[str, Any]) -> Outcome:
    amount, currency = _money(known)
    result = {"COMPLETED": Result.REFUNDED, "PENDING": Result.PENDING}.get(str(known.get("status")), Result.FAILED)
    reason = str(known.get("status")) if result == Result.FAILED else ""
    return Outcome(result, remote_id=_id(known), amount=amount, currency=currency, reason=reason)


def _label(wallet: dict[str, Any]) -> str:
    """«PayPal m•••@posta.example»: enough to tell two accounts apart, never the whole address."""
    local, at, domain = str(wallet.get("email_address") or "").rpartition("@")
    return f"PayPal {local[:1]}•••@{domain}"[:60] if at and local else "PayPal"
