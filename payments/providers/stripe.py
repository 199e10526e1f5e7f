"""Cards through Stripe: SetupIntent in the browser, PaymentIntent here (DESIGN §7). It moves money only in `pay` and
`charge`, both after the attempt was claimed; every other call may be repeated at will.

The same code runs on localstripe, which forgets idempotency keys: so an attempt whose answer was lost is looked for
before anything is sent again, by the public id of our row in Stripe's metadata.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import stripe
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from payments.models import MethodSetup, Payment, ProviderCustomer, Refund, StoredMethod
from pecportal import clock

from .base import BadWebhookError, Hint, Outcome, ProviderTimeoutError, Result, SavedMethod, Seen, Started

TIMEOUT = 20  # seconds
TOLERANCE = 300  # seconds that a webhook may be old
ARRIVES_WITHIN = timedelta(hours=1)  # a call sent longer ago than this and not found never arrived
# Refusals that no later try changes; all others may pass (https://docs.stripe.com/declines/codes).
HARD = frozenset({
    "card_not_supported", "currency_not_supported", "expired_card", "fraudulent", "incorrect_cvc", "incorrect_number",
    "incorrect_zip", "invalid_account", "invalid_cvc", "invalid_expiry_month", "invalid_expiry_year", "invalid_number",
    "lost_card", "merchant_blacklist", "not_permitted", "pickup_card", "restricted_card",
    "revocation_of_all_authorizations", "revocation_of_authorization", "security_violation", "stolen_card",
    "stop_payment_order", "transaction_not_allowed",
})  # fmt: skip
AUTHENTICATION = frozenset({"authentication_required", "payment_intent_authentication_failure"})


class CardRefusedError(Exception):
    """The card was refused before any money moved: another one can be typed on the same page. Says why."""


@dataclass(frozen=True)
class Card:
    """A card that Stripe keeps for the attempt that is about to be paid: its own ids."""

    payment_method: str
    customer: str


def _cents(amount: Decimal) -> int:
    return int(amount * 100)


def _euros(cents: int | None) -> Decimal:
    return Decimal(cents or 0) / 100


def refusal_words(code: str) -> str:
    """What a customer is told of a decline code, as the end of a sentence."""
    words = {
        "insufficient_funds": _("fondi insufficienti"),
        "expired_card": _("carta scaduta"),
        "incorrect_cvc": _("codice di sicurezza sbagliato"),
        "lost_card": _("carta bloccata"),
        "stolen_card": _("carta bloccata"),
        "authentication_required": _("serve la tua conferma"),
        "payment_intent_authentication_failure": _("conferma non riuscita"),
        "processing_error": _("la banca non risponde, riprova fra poco"),
    }
    return words.get(code, _("carta rifiutata"))


def decline_of(code: str) -> str:
    if code in AUTHENTICATION:
        return Payment.Decline.AUTHENTICATION
    return Payment.Decline.HARD if code in HARD else Payment.Decline.SOFT


def _refused(code: str, remote_id: str = "") -> Outcome:
    return Outcome(Result.FAILED, remote_id=remote_id, reason=refusal_words(code), decline=decline_of(code))


class Stripe:
    name = "stripe"

    def __init__(self) -> None:
        self.client: Any = stripe.StripeClient(  # its parameters are typed for every version of the API at once
            settings.STRIPE_SECRET_KEY,
            base_addresses={"api": settings.STRIPE_API_BASE},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=TIMEOUT),
        ).v1

    # --- An attempt ---------------------------------------------------------------------------------------------------

    def start(self, payment: Payment, *, return_url: str, cancel_url: str) -> Started:
        """Nothing is told to Stripe yet: the attempt exists there once a card was typed and its money asked for."""
        return Started("", reverse("payments:card", args=[payment.public_id]))

    def fetch(self, payment: Payment) -> Outcome:
        with _answers():
            intent = self._intent_of(payment)
            return self._outcome(intent, payment) if intent is not None else self._not_there(payment)

    def _not_there(self, payment: Payment) -> Outcome:
        if payment.sent_at is None:
            return Outcome(Result.CANCELLED if payment.closing else Result.PENDING)
        if clock.now() - payment.sent_at > ARRIVES_WITHIN:
            return Outcome(Result.FAILED, reason=_("la richiesta non è mai arrivata"), decline=Payment.Decline.SOFT)
        return Outcome(Result.UNKNOWN, reason=_("non si sa se la richiesta è arrivata"))

    def complete(self, payment: Payment) -> Outcome:
        return self.fetch(payment)  # the customer's browser confirms by itself: nothing is left to take

    def close(self, payment: Payment) -> Outcome:
        with _answers():
            intent = self._intent_of(payment)
            if intent is None:
                return self._not_there(payment)
            if intent.status not in ("succeeded", "processing", "canceled"):
                try:
                    intent = self.client.payment_intents.cancel(intent.id)
                except stripe.InvalidRequestError:  # it went on meanwhile
                    intent = self.client.payment_intents.retrieve(intent.id, params={"expand": ["latest_charge"]})
            return self._outcome(intent, payment)

    def _intent_of(self, payment: Payment) -> Any:
        if payment.remote_id:
            return self.client.payment_intents.retrieve(payment.remote_id, params={"expand": ["latest_charge"]})
        if payment.sent_at is None:
            return None
        since = payment.sent_at - timedelta(hours=1)
        found = (i for i in self._intents(since) if _metadata(i).get("payment") == str(payment.public_id))
        return next(found, None)

    def _intents(self, since: datetime) -> Iterator[Any]:
        """Newest first on Stripe; localstripe lists oldest first and knows no filter by date."""
        page = self.client.payment_intents.list(params={"limit": 100})
        for intent in page.auto_paging_iter():
            if intent.created >= since.timestamp():
                yield intent

    def _outcome(self, intent: Any, payment: Payment) -> Outcome:
        if intent.status == "succeeded":
            return self._succeeded(intent, payment)
        if intent.status == "canceled":
            return Outcome(Result.CANCELLED, remote_id=intent.id)
        if intent.status == "requires_payment_method":
            error = getattr(intent, "last_payment_error", None)
            code = _code(error) if error else ""
            return _refused(code, intent.id)
        return Outcome(Result.PENDING, remote_id=intent.id)

    def _succeeded(self, intent: Any, payment: Payment) -> Outcome:
        charge = intent.latest_charge
        if isinstance(charge, str):
            charge = self.client.charges.retrieve(charge)
        received = getattr(intent, "amount_received", None)
        refunded = getattr(charge, "amount_refunded", 0)
        return Outcome(
            Result.REGISTERED,
            remote_id=intent.id,
            charge_id=charge.id,
            amount=_euros(intent.amount if received is None else received),
            currency=intent.currency.upper(),
            refunded=_euros(refunded) if refunded else None,
            saved=self._kept(intent, payment),
        )

    def _kept(self, intent: Any, payment: Payment) -> SavedMethod | None:
        """The card, where the customer agreed that it is kept; one that was typed without agreeing is let go (R23)."""
        method_id = intent.payment_method
        if not method_id or payment.is_automatic:
            return None
        method = self.client.payment_methods.retrieve(method_id)
        if payment.auto_renewal_agreed:
            return _saved(method)
        if method.customer:
            self.client.payment_methods.detach(method_id)
        return None

    # --- The card page ------------------------------------------------------------------------------------------------

    def card_form(self, payment: Payment) -> str:
        """A client secret for the card element of the page where this attempt is paid."""
        with _answers():
            customer = self._customer(payment.started_by)
            return str(self._setup(customer, {"payment": str(payment.public_id)}).client_secret)

    def card_of(self, payment: Payment, setup_intent_id: str) -> Card:
        """The card that was typed for this attempt. Raises CardRefusedError; nothing has been paid."""
        with _answers():
            return self._card(setup_intent_id, "payment", str(payment.public_id))

    def pay(self, payment: Payment, card: Card) -> tuple[Outcome, str]:
        """Ask for the money of a claimed attempt. The second is a client secret where the bank asks the customer."""
        return self._charge(payment, payment_method=card.payment_method, customer=card.customer)

    def charge(self, payment: Payment, method: StoredMethod) -> Outcome:
        customer = ProviderCustomer.objects.filter(login=method.login_id, provider=self.name).first()
        if customer is None:
            return Outcome(Result.FAILED, reason=_("carta non più salvata"), decline=Payment.Decline.HARD)
        outcome, secret = self._charge(
            payment, payment_method=method.remote_id, customer=customer.remote_id, off_session=True
        )
        if secret:  # nobody is there to answer the bank: the attempt ends, the customer is asked to come
            with _answers():
                self.client.payment_intents.cancel(outcome.remote_id)
            return _refused("authentication_required", outcome.remote_id)
        return outcome

    def _charge(self, payment: Payment, **params: Any) -> tuple[Outcome, str]:
        with _answers():
            try:
                intent = self.client.payment_intents.create(
                    params={
                        "amount": _cents(payment.amount),
                        "currency": payment.currency.lower(),
                        "confirm": True,
                        "payment_method_types": ["card"],
                        "metadata": {"payment": str(payment.public_id)},
                        **params,
                    },
                    options={"idempotency_key": str(payment.public_id)},
                )
            except stripe.CardError as error:
                made = getattr(error.error, "payment_intent", None) if error.error else None
                return _refused(_code(error.error or error), made.id if made else ""), ""
            if intent.status == "requires_action":
                return Outcome(Result.PENDING, remote_id=intent.id), intent.client_secret
            return self._outcome(intent, payment), ""

    def _customer(self, login: User | None) -> str:
        """Stripe's name for a login; for whoever pays without signing in, one for this time only."""
        known = ProviderCustomer.objects.filter(login=login, provider=self.name).first() if login else None
        if known is not None:
            return known.remote_id
        made = self.client.customers.create(params={"metadata": {"login": str(login.pk) if login else ""}})
        if login is None:
            return str(made.id)
        row, _created = ProviderCustomer.objects.get_or_create(
            login=login, provider=self.name, defaults={"remote_id": made.id}
        )
        return row.remote_id

    def _setup(self, customer: str, metadata: dict[str, str]) -> Any:
        return self.client.setup_intents.create(
            params={
                "customer": customer, "usage": "off_session", "payment_method_types": ["card"], "metadata": metadata,
            }
        )  # fmt: skip

    def _card(self, setup_intent_id: str, key: str, value: str) -> Card:
        try:
            setup = self.client.setup_intents.retrieve(setup_intent_id)
        except stripe.InvalidRequestError as error:
            raise CardRefusedError(_("carta non riconosciuta")) from error
        if _metadata(setup).get(key) != value or setup.status != "succeeded" or not setup.payment_method:
            raise CardRefusedError(_("carta non confermata"))
        try:
            self.client.payment_methods.attach(setup.payment_method, params={"customer": setup.customer})
        except stripe.CardError as error:
            raise CardRefusedError(refusal_words(_code(error.error or error))) from error
        return Card(setup.payment_method, setup.customer)

    # --- Saved cards --------------------------------------------------------------------------------------------------

    def start_setup(self, setup: MethodSetup, *, return_url: str, cancel_url: str) -> Started:
        with _answers():
            made = self._setup(self._customer(setup.login), {"setup": str(setup.public_id)})
        return Started(made.id, reverse("payments:card_setup", args=[setup.public_id]))

    def setup_form(self, setup: MethodSetup) -> str:
        """The client secret of a card that is being saved without paying."""
        with _answers():
            return str(self.client.setup_intents.retrieve(setup.remote_id).client_secret)

    def fetch_setup(self, setup: MethodSetup) -> Outcome:
        with _answers():
            found = self.client.setup_intents.retrieve(setup.remote_id)
            if found.status == "canceled":
                return Outcome(Result.CANCELLED, remote_id=found.id)
            if found.status != "succeeded":
                return Outcome(Result.PENDING, remote_id=found.id)
            try:
                card = self._card(found.id, "setup", str(setup.public_id))
            except CardRefusedError as error:
                return Outcome(Result.FAILED, remote_id=found.id, reason=str(error))
            saved = _saved(self.client.payment_methods.retrieve(card.payment_method))
            return Outcome(Result.REGISTERED, remote_id=found.id, saved=saved)

    def forget(self, method: StoredMethod) -> None:
        with _answers():
            try:
                self.client.payment_methods.detach(method.remote_id)
            except stripe.InvalidRequestError:
                return  # Stripe does not keep it any more

    # --- Refunds ------------------------------------------------------------------------------------------------------

    def refund(self, refund: Refund) -> Outcome:
        assert refund.payment is not None
        with _answers():
            try:
                made = self.client.refunds.create(
                    params={
                        "payment_intent": refund.payment.remote_id,
                        "amount": _cents(refund.amount),
                        "metadata": {"refund": str(refund.public_id)},
                    },
                    options={"idempotency_key": str(refund.public_id)},
                )
            except stripe.InvalidRequestError as error:
                return Outcome(Result.FAILED, reason=(error.user_message or "")[:120])
            return _refund_outcome(made)

    def fetch_refund(self, refund: Refund) -> Outcome:
        assert refund.payment is not None
        with _answers():
            page = self.client.refunds.list(params={"payment_intent": refund.payment.remote_id, "limit": 100})
            for made in page.auto_paging_iter():
                if _metadata(made).get("refund") == str(refund.public_id):
                    return _refund_outcome(made)
        return Outcome(Result.UNKNOWN, ready=True)

    # --- What Stripe tells --------------------------------------------------------------------------------------------

    def read_webhook(self, request: HttpRequest) -> Hint:
        signature, body = request.headers.get("Stripe-Signature", ""), request.body
        if not any(_signed(body, signature, secret) for secret in settings.STRIPE_WEBHOOK_SECRETS):
            raise BadWebhookError("signature does not match, or is too old")
        try:
            event = json.loads(body)
            thing, kind = event["data"]["object"], str(event["type"])
            return Hint(str(event["id"])[:120], _named(thing)[:120], _kind(kind), _told(kind, thing)[:200])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadWebhookError("not an event") from error

    def recent(self, since: datetime) -> Iterable[Seen]:
        with _answers():
            for intent in self._intents(since):
                outcome = Outcome(Result.PENDING, remote_id=intent.id)
                if intent.status == "succeeded":
                    outcome = Outcome(
                        Result.REGISTERED, remote_id=intent.id, amount=_euros(intent.amount),
                        currency=intent.currency.upper(),
                    )  # fmt: skip
                yield Seen(intent.id, _metadata(intent).get("payment", ""), outcome)


@contextmanager
def _answers() -> Iterator[None]:
    """Stripe's own troubles and a silent network are one thing to us: nobody knows what happened (R19)."""
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise ProviderTimeoutError("Stripe does not answer") from error
    except stripe.IdempotencyError as error:
        raise ProviderTimeoutError("the same request is still being worked on") from error
    except stripe.APIError as error:
        raise ProviderTimeoutError("Stripe has a trouble of its own") from error


def _metadata(thing: Any) -> dict[str, str]:
    found: Any = getattr(thing, "metadata", None)
    return dict(found.to_dict() if hasattr(found, "to_dict") else found or {})


def _code(error: Any) -> str:
    """The decline code, else the code of an error of Stripe's."""
    return str(getattr(error, "decline_code", None) or getattr(error, "code", None) or "")


def _saved(method: Any) -> SavedMethod:
    card = method.card
    return SavedMethod(method.id, f"{card.brand.title()} •••• {card.last4}", card.exp_month, card.exp_year)


def _refund_outcome(made: Any) -> Outcome:
    results = {"succeeded": Result.REFUNDED, "failed": Result.FAILED, "canceled": Result.FAILED}
    return Outcome(
        results.get(made.status, Result.PENDING), remote_id=made.id, amount=_euros(made.amount),
        currency=made.currency.upper(), reason=str(getattr(made, "failure_reason", "") or ""),
    )  # fmt: skip


def _signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        return bool(secret and stripe.WebhookSignature.verify_header(body.decode(), signature, secret, TOLERANCE))
    except (stripe.SignatureVerificationError, ValueError):
        return False


def _named(thing: dict[str, Any]) -> str:
    """The attempt or the charge that an event is about, by Stripe's id; "" where it is about none."""
    if thing.get("object") == "payment_intent":
        return str(thing["id"])
    return str(thing.get("payment_intent") or thing.get("charge") or "")


def _kind(kind: str) -> str:
    if kind.startswith("charge.dispute."):
        return "dispute"
    if kind.startswith(("payment_intent.", "charge.")):
        return "payment"
    return "refund" if kind.startswith("refund.") else "other"


def _told(kind: str, thing: dict[str, Any]) -> str:
    if not kind.startswith("charge.dispute."):
        return ""
    amount = _euros(int(thing.get("amount") or 0))
    return _("contestazione %(id)s di € %(amount)s, motivo %(reason)s, stato %(status)s") % {
        "id": thing.get("id"), "amount": amount, "reason": thing.get("reason"), "status": thing.get("status"),
    }  # fmt: skip
