"""PayPal: Orders v2, Payments v2, Vault v3. Money moves when an approved order is captured, and only then; the same
PayPal-Request-Id, made from our row, makes a second call the same as the first.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from payments.models import MethodSetup, Payment, Refund, StoredMethod

from . import paypal_webhook
from .base import Hint, Outcome, ProviderTimeoutError, Result, SavedMethod, Seen, Started
from .paypal_api import Api, PayPalRefusedError

ORDERS = "/v2/checkout/orders"
GONE = frozenset({"RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"})
HARD = frozenset({
    "PAYER_CANNOT_PAY", "PAYER_ACCOUNT_LOCKED_OR_CLOSED", "PAYER_ACCOUNT_RESTRICTED", "TRANSACTION_REFUSED",
    "INVALID_VAULT_ID", "TOKEN_ID_NOT_FOUND", "PAYEE_BLOCKED_TRANSACTION", "COMPLIANCE_VIOLATION",
})  # fmt: skip
ASKS_PAYER = frozenset({"PAYER_ACTION_REQUIRED", "ORDER_NOT_APPROVED"})


def _money(amount: Decimal, currency: str) -> dict[str, str]:
    return {"currency_code": currency, "value": f"{amount:.2f}"}


def _sum(rows: list[dict[str, Any]], statuses: tuple[str, ...]) -> Decimal:
    return sum((Decimal(r["amount"]["value"]) for r in rows if r.get("status") in statuses), Decimal(0))


class PayPal:
    name = "paypal"

    def __init__(self) -> None:
        self.api = Api()

    # --- An attempt ---------------------------------------------------------------------------------------------------

    def start(self, payment: Payment, *, return_url: str, cancel_url: str) -> Started:
        order = self._create(payment, return_url=return_url, cancel_url=cancel_url)
        return Started(order["id"], _payer_link(order))

    def _create(self, payment: Payment, *, return_url: str, cancel_url: str) -> dict[str, Any]:
        wallet: dict[str, Any] = {"experience_context": _experience(return_url, cancel_url, action="PAY_NOW")}
        if payment.auto_renewal_agreed:  # R23: kept only with the customer's consent
            wallet["attributes"] = {"vault": {"store_in_vault": "ON_SUCCESS", "usage_type": "MERCHANT"}}
        return self.api.call("POST", ORDERS, self._body(payment, {"paypal": wallet}), request_id=str(payment.public_id))

    @staticmethod
    def _body(payment: Payment, source: dict[str, Any]) -> dict[str, Any]:
        unit = {
            "reference_id": str(payment.public_id), "custom_id": str(payment.public_id),
            "amount": _money(payment.amount, payment.currency),
        }  # fmt: skip
        return {"intent": "CAPTURE", "purchase_units": [unit], "payment_source": source}

    def fetch(self, payment: Payment) -> Outcome:
        if payment.is_automatic and not payment.remote_id:
            return self._charge_again(payment)
        if not payment.remote_id:
            return self._never_begun(payment)
        try:
            return self._outcome(self.api.call("GET", f"{ORDERS}/{payment.remote_id}"), payment)
        except PayPalRefusedError as error:
            if error.status == 404:  # never approved, PayPal forgets an order after some hours
                return Outcome(Result.CANCELLED, reason=_("scaduto presso PayPal"))
            raise

    def _never_begun(self, payment: Payment) -> Outcome:
        """The customer was never sent to PayPal: there is no order to approve, whatever PayPal made of our call."""
        return Outcome(Result.CANCELLED, reason=_("PayPal non ha risposto: il pagamento non è cominciato"))

    def complete(self, payment: Payment) -> Outcome:
        try:
            order = self.api.call(
                "POST", f"{ORDERS}/{payment.remote_id}/capture", {}, request_id=f"{payment.public_id}-capture"
            )
        except PayPalRefusedError as error:
            if "ORDER_ALREADY_CAPTURED" in error.issues:
                return self.fetch(payment)
            if error.issues & ASKS_PAYER:  # asks once more: the customer is still there, or comes back by Paga
                return Outcome(Result.FAILED, remote_id=payment.remote_id, reason=_("serve la tua conferma"))
            if error.status == 422:
                return _refused(error, payment.remote_id)
            raise
        return self._outcome(order, payment)

    def close(self, payment: Payment) -> Outcome:
        """An order cannot be cancelled at PayPal; one that we never capture moves no money. `closing` forbids it."""
        if not payment.remote_id and payment.sent_at is None:
            return Outcome(Result.CANCELLED)
        outcome = self.fetch(payment)
        if outcome.result != Result.PENDING:
            return outcome
        if payment.sent_at is None:
            return Outcome(Result.CANCELLED, remote_id=payment.remote_id)
        return self.complete(payment) if outcome.ready else outcome  # a capture may be on its way: the same one again

    def _outcome(self, order: dict[str, Any], payment: Payment) -> Outcome:
        status, remote_id = order["status"], order["id"]
        if status in ("CREATED", "SAVED", "PAYER_ACTION_REQUIRED"):
            return Outcome(Result.PENDING, remote_id=remote_id)
        if status == "APPROVED":
            return Outcome(Result.PENDING, remote_id=remote_id, ready=True)
        if status == "VOIDED":
            return Outcome(Result.CANCELLED, remote_id=remote_id)
        payments = order["purchase_units"][0].get("payments", {})
        captures = payments.get("captures") or [{}]
        capture = captures[-1]
        taken = capture.get("status")
        if taken in ("DECLINED", "FAILED"):
            return Outcome(
                Result.FAILED, remote_id=remote_id, reason=_("PayPal ha rifiutato il pagamento"),
                decline=Payment.Decline.SOFT,
            )  # fmt: skip
        if taken not in ("COMPLETED", "REFUNDED", "PARTIALLY_REFUNDED"):
            return Outcome(Result.PENDING, remote_id=remote_id, charge_id=capture.get("id", ""))
        return Outcome(
            Result.REGISTERED,
            remote_id=remote_id,
            charge_id=capture["id"],
            amount=Decimal(capture["amount"]["value"]),
            currency=capture["amount"]["currency_code"],
            refunded=_sum(payments.get("refunds") or [], ("COMPLETED", "PENDING")) or None,
            saved=_saved_while_paying(order) if payment.auto_renewal_agreed else None,
        )

    # --- With a saved account -----------------------------------------------------------------------------------------

    def charge(self, payment: Payment, method: StoredMethod) -> Outcome:
        source = {"paypal": {"vault_id": method.remote_id}}
        try:
            order = self.api.call("POST", ORDERS, self._body(payment, source), request_id=str(payment.public_id))
        except PayPalRefusedError as error:
            if error.status in (404, 422):
                return _refused(error, "")
            raise
        outcome = self._outcome(order, payment)
        if order["status"] == "PAYER_ACTION_REQUIRED":
            return Outcome(
                Result.FAILED, remote_id=order["id"], reason=_("serve la tua conferma"),
                decline=Payment.Decline.AUTHENTICATION,
            )  # fmt: skip
        return outcome

    def _charge_again(self, payment: Payment) -> Outcome:
        """No answer came: the same request under the same id is the same charge."""
        assert payment.method is not None
        return self.charge(payment, payment.method)

    def start_setup(self, setup: MethodSetup, *, return_url: str, cancel_url: str) -> Started:
        wallet = {"usage_type": "MERCHANT", "experience_context": _experience(return_url, cancel_url)}
        made = self.api.call(
            "POST", "/v3/vault/setup-tokens", {"payment_source": {"paypal": wallet}}, request_id=str(setup.public_id)
        )
        return Started(made["id"], _payer_link(made))

    def fetch_setup(self, setup: MethodSetup) -> Outcome:
        source = {"token": {"id": setup.remote_id, "type": "SETUP_TOKEN"}}
        try:
            made = self.api.call(
                "POST", "/v3/vault/payment-tokens", {"payment_source": source}, request_id=f"{setup.public_id}-token"
            )
        except PayPalRefusedError as error:
            if error.status in (404, 422):  # not approved: the customer said no, or never came back
                return Outcome(Result.FAILED, remote_id=setup.remote_id)
            raise
        email = made.get("payment_source", {}).get("paypal", {}).get("email_address", "")
        return Outcome(Result.REGISTERED, remote_id=setup.remote_id, saved=SavedMethod(made["id"], _label(email)))

    def forget(self, method: StoredMethod) -> None:
        try:
            self.api.call("DELETE", f"/v3/vault/payment-tokens/{method.remote_id}")
        except PayPalRefusedError as error:
            if error.status != 404:
                raise

    # --- Refunds ------------------------------------------------------------------------------------------------------

    def refund(self, refund: Refund) -> Outcome:
        assert refund.payment is not None
        body = {"amount": _money(refund.amount, refund.payment.currency), "custom_id": str(refund.public_id)}
        path = f"/v2/payments/captures/{refund.payment.charge_id}/refund"
        try:
            made = self.api.call("POST", path, body, request_id=str(refund.public_id))
        except PayPalRefusedError as error:
            if error.status in (400, 404, 422):
                return Outcome(Result.FAILED, reason=", ".join(sorted(error.issues))[:120])
            raise
        return _refund_outcome(made)

    def fetch_refund(self, refund: Refund) -> Outcome:
        assert refund.payment is not None
        order = self.api.call("GET", f"{ORDERS}/{refund.payment.remote_id}")
        for made in order["purchase_units"][0].get("payments", {}).get("refunds") or []:
            if made.get("custom_id") == str(refund.public_id) or made["id"] == refund.remote_id:
                return _refund_outcome(made)
        return Outcome(Result.UNKNOWN, ready=True)

    def read_webhook(self, request: HttpRequest) -> Hint:
        return paypal_webhook.read(request)

    def recent(self, since: datetime) -> Iterable[Seen]:
        return ()  # Orders v2 lists nothing


def _experience(return_url: str, cancel_url: str, *, action: str = "") -> dict[str, str]:
    context = {
        "brand_name": settings.PROVIDER_NAME[:127], "locale": "it-IT", "shipping_preference": "NO_SHIPPING",
        "return_url": return_url, "cancel_url": cancel_url,
    }  # fmt: skip
    return {**context, "user_action": action} if action else context


def _payer_link(answer: dict[str, Any]) -> str:
    """Where the customer says yes: only a page of PayPal's own, whatever the answer says."""
    for link in answer.get("links", []):
        if link["rel"] in ("payer-action", "approve"):
            here, allowed = urlsplit(link["href"]), urlsplit(settings.PAYPAL_WEB_HOST)
            if (here.scheme, here.netloc) == (allowed.scheme, allowed.netloc):
                return str(link["href"])
    raise ProviderTimeoutError("PayPal gave no page of its own to go to")


def _refused(error: PayPalRefusedError, remote_id: str) -> Outcome:
    if error.issues & ASKS_PAYER:
        decline, reason = Payment.Decline.AUTHENTICATION, _("serve la tua conferma")
    elif error.issues & (HARD | GONE):
        decline, reason = Payment.Decline.HARD, _("PayPal non accetta questo conto")
    else:
        decline, reason = Payment.Decline.SOFT, _("PayPal ha rifiutato il pagamento")
    return Outcome(Result.FAILED, remote_id=remote_id, reason=reason, decline=decline)


def _refund_outcome(made: dict[str, Any]) -> Outcome:
    results = {"COMPLETED": Result.REFUNDED, "PENDING": Result.PENDING}
    amount = made.get("amount") or {}
    return Outcome(
        results.get(made["status"], Result.FAILED), remote_id=made["id"],
        amount=Decimal(amount["value"]) if amount else None, currency=amount.get("currency_code", ""),
    )  # fmt: skip


def _saved_while_paying(order: dict[str, Any]) -> SavedMethod | None:
    wallet = (order.get("payment_source") or {}).get("paypal") or {}
    vault = (wallet.get("attributes") or {}).get("vault") or {}
    if vault.get("status") != "VAULTED" or not vault.get("id"):
        return None
    return SavedMethod(vault["id"], _label(wallet.get("email_address", "")))


def _label(email: str) -> str:
    """PayPal m•••@posta.example: enough to be told apart, not enough to be written to."""
    local, at, host = email.partition("@")
    return f"PayPal {local[:1]}•••@{host}"[:60] if at else "PayPal"
