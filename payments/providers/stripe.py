"""Cards through Stripe (DESIGN §7): SetupIntent in the browser, then a PaymentIntent made and confirmed by the server.

The same calls run on localstripe: nothing optional is sent that it refuses. A client a provider object, no globals.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import stripe
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from payments.models import MethodSetup, Payment, ProviderCustomer, Refund, StoredMethod
from pecportal import clock

from . import stripe_words as words
from .base import BadWebhookError, Hint, Outcome, ProviderTimeoutError, Result, Seen, Started

log = logging.getLogger(__name__)
SETUP_ID = re.compile(r"seti_\w{1,100}", re.ASCII)
TIMEOUT = (5.0, 20.0)  # seconds to connect, and to wait for an answer
TOLERANCE = 300  # seconds between a webhook's signature and its arrival
SURELY_NOT_THERE = timedelta(hours=1)  # an attempt sent so long ago that Stripe still does not list
CLOCKS = timedelta(minutes=5)  # how far Stripe's clock may be from ours
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")
EXPAND = ["latest_charge", "payment_method"]


class CardRefusedError(Exception):
    """The card was refused before any money moved; the message is the reason in Italian."""


@dataclass(frozen=True)
class Setup:
    """A SetupIntent: the browser saves a card with its secret. `reference`: the public id of our row it is for."""

    remote_id: str
    secret: str
    succeeded: bool
    reference: str
    customer: str
    method: str


@dataclass(frozen=True)
class Taken:
    """What became of taking the money; `secret` is set while the bank wants the customer's confirmation."""

    outcome: Outcome
    secret: str = ""


@contextmanager
def _asking() -> Iterator[None]:
    """Refusals of a card and of a request pass; of all else nobody knows what happened (R19)."""
    try:
        yield
    except (stripe.CardError, stripe.InvalidRequestError):
        raise
    except stripe.StripeError as error:
        raise ProviderTimeoutError(f"stripe: {type(error).__name__} {error.code or ''}".strip()) from error


def _plain(thing: stripe.StripeObject) -> words.Words:
    return dict(thing.to_dict())


class Stripe:
    name = "stripe"

    def __init__(self) -> None:
        client = stripe.StripeClient(
            settings.STRIPE_SECRET_KEY,
            base_addresses={"api": settings.STRIPE_API_BASE},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=TIMEOUT),
        )
        self.api = client.v1

    # --- An attempt ---------------------------------------------------------------------------------------------------
    def start(self, payment: Payment, *, return_url: str, cancel_url: str) -> Started:
        """Stripe hears of it only when the card is given: our own page comes first."""
        return Started("", reverse("payments:card", args=[payment.public_id]))

    def take(self, payment: Payment, *, customer: str, method: str, off_session: bool = False) -> Taken:
        """Make the PaymentIntent and confirm it: the money moves here. payments.flows claimed the attempt before."""
        params: dict[str, Any] = {
            "amount": words.cents(payment.amount), "currency": payment.currency.lower(), "customer": customer,
            "payment_method": method, "payment_method_types": ["card"], "confirm": True,
            "metadata": {"payment": str(payment.public_id)}, "expand": EXPAND,
        }  # fmt: skip
        if off_session:
            params["off_session"] = True
        try:
            with _asking():
                intent = _plain(
                    self.api.payment_intents.create(
                        params,  # type: ignore[arg-type]
                        {"idempotency_key": f"payment-{payment.public_id}"},
                    )
                )
        except stripe.StripeError as error:
            return Taken(_refused(error))
        if intent["status"] == "requires_action" and not off_session:
            return Taken(self._told(payment, intent), intent["client_secret"])
        return Taken(self._told(payment, intent))

    def secret_to_confirm(self, payment: Payment) -> str:
        """The secret with which the browser lets the customer confirm, "" when the bank asks for nothing."""
        intent = self._find(payment)
        return intent["client_secret"] if intent and intent["status"] == "requires_action" else ""

    def fetch(self, payment: Payment) -> Outcome:
        intent = self._find(payment)
        return self._absent(payment) if intent is None else self._told(payment, intent)

    def complete(self, payment: Payment) -> Outcome:
        return self.fetch(payment)  # nothing is ever ready: the money moves in `take`

    def close(self, payment: Payment) -> Outcome:
        intent = self._find(payment)
        return self._absent(payment) if intent is None else self._told(payment, self._end(intent))

    def _find(self, payment: Payment) -> words.Words | None:
        if payment.remote_id:
            return self._intent(payment.remote_id)
        if payment.sent_at is None:
            return None
        reference = str(payment.public_id)
        for intent in self._intents(payment.sent_at - CLOCKS):
            if (intent.get("metadata") or {}).get("payment") == reference:
                return intent
        return None

    def _absent(self, payment: Payment) -> Outcome:
        if payment.sent_at is None:
            return Outcome(Result.CANCELLED if payment.closing else Result.PENDING)
        if clock.now() < payment.sent_at + SURELY_NOT_THERE:
            return Outcome(Result.UNKNOWN, reason="il gestore non lo mostra ancora")
        return Outcome(Result.FAILED, reason="il pagamento non è mai arrivato al gestore")

    def _intent(self, remote_id: str) -> words.Words:
        try:
            with _asking():
                return _plain(self.api.payment_intents.retrieve(remote_id, {"expand": EXPAND}))
        except stripe.StripeError as error:
            raise ProviderTimeoutError("stripe does not show the attempt") from error

    def _intents(self, since: datetime) -> Iterator[words.Words]:
        """PaymentIntents from `since` on. Stripe lists the newest first: a page of older ones is the last.

        No filter by date: localstripe knows none.
        """
        params: dict[str, Any] = {"limit": 100, "expand": [f"data.{name}" for name in EXPAND]}
        while True:
            with _asking():
                page = _plain(self.api.payment_intents.list(params))  # type: ignore[arg-type]
            recent = [intent for intent in page["data"] if intent["created"] >= int(since.timestamp())]
            yield from recent
            if not recent or not page["has_more"]:
                return
            params["starting_after"] = page["data"][-1]["id"]

    def _end(self, intent: words.Words) -> words.Words:
        """Close a PaymentIntent, so that no browser with its secret can pay it any more."""
        if intent["status"] not in OPEN:
            return intent
        try:
            with _asking():
                return _plain(self.api.payment_intents.cancel(intent["id"], {"expand": EXPAND}))
        except stripe.StripeError:  # it moved on meanwhile
            return self._intent(intent["id"])

    def _told(self, payment: Payment, intent: words.Words) -> Outcome:
        """The outcome; what is over leaves nothing behind: no open intent, no card nobody agreed to keep."""
        automatic = payment.method_id is not None and payment.started_by_id is None
        if intent["status"] == "requires_action" and automatic:  # nobody is there to confirm
            self._end(intent)
            return Outcome(Result.FAILED, remote_id=intent["id"], reason=words.REASONS["authentication_required"],
                           decline="auth")  # fmt: skip
        if intent["status"] == "requires_payment_method":
            intent = self._end(intent)
        keep = payment.auto_renewal_agreed
        outcome = words.outcome_of(intent, keep=keep)
        if outcome.refunded:
            outcome = replace(outcome, refunded=self._gone(intent["id"]))
        over = outcome.result in (Result.REGISTERED, Result.FAILED, Result.CANCELLED)
        if over and not automatic and not (keep and outcome.result == Result.REGISTERED):
            card = intent.get("payment_method") or (intent.get("last_payment_error") or {}).get("payment_method")
            if isinstance(card, dict) and card.get("customer"):
                self._detach_if_possible(card["id"])
        return outcome

    def _gone(self, intent_id: str) -> Decimal | None:
        """EUR on their way back or there: a refund that failed came back, whatever the charge still says of it."""
        try:
            with _asking():
                page = self.api.refunds.list({"payment_intent": intent_id, "limit": 100})
                found = [_plain(refund) for refund in page.auto_paging_iter()]
        except stripe.StripeError as error:
            raise ProviderTimeoutError("stripe does not show the refunds") from error
        gone = sum(refund["amount"] for refund in found if refund.get("status") not in ("failed", "canceled"))
        return words.euros(gone or None)

    def _detach_if_possible(self, method: str) -> None:
        """The money's outcome never waits for this; the next question about the attempt tries again."""
        with suppress(ProviderTimeoutError, stripe.StripeError), _asking():
            self.api.payment_methods.detach(method)

    # --- A saved card -------------------------------------------------------------------------------------------------
    def charge(self, payment: Payment, method: StoredMethod) -> Outcome:
        customer = ProviderCustomer.objects.filter(login_id=method.login_id, provider=self.name).first()
        if customer is None:
            return Outcome(Result.FAILED, reason="la carta non è più salvata", decline="hard")
        return self.take(payment, customer=customer.remote_id, method=method.remote_id, off_session=True).outcome

    def forget(self, method: StoredMethod) -> None:
        with suppress(stripe.InvalidRequestError), _asking():  # forgotten already
            self.api.payment_methods.detach(method.remote_id)

    def start_setup(self, setup: MethodSetup, *, return_url: str, cancel_url: str) -> Started:
        return Started("", reverse("payments:card_setup", args=[setup.public_id]))

    def fetch_setup(self, setup: MethodSetup) -> Outcome:
        if not setup.remote_id:
            return Outcome(Result.PENDING)
        try:
            found = self.read_setup(setup.remote_id)
        except KeyError as error:
            raise ProviderTimeoutError("stripe does not show the setup") from error
        if not found.succeeded:
            return Outcome(Result.PENDING, remote_id=found.remote_id)
        try:
            self.attach(found)
        except CardRefusedError as error:
            return Outcome(Result.FAILED, remote_id=found.remote_id, reason=str(error), decline="hard")
        try:
            with _asking():
                card = _plain(self.api.payment_methods.retrieve(found.method))
        except stripe.StripeError as error:
            raise ProviderTimeoutError("stripe does not show the card") from error
        return Outcome(Result.REGISTERED, remote_id=found.remote_id, saved=words.saved_of(card))

    def new_customer(self, key: str) -> str:
        """A customer of Stripe's with nothing in it: methods are kept under it. `key`: the same gives the same one."""
        with _asking():
            return str(self.api.customers.create({"metadata": {"key": key}}, {"idempotency_key": f"customer-{key}"}).id)

    def new_setup(self, *, customer: str, reference: str, off_session: bool) -> Setup:
        """A SetupIntent for the card page; raises ProviderTimeoutError also when Stripe refuses to make one."""
        try:
            with _asking():
                made = self.api.setup_intents.create(
                    {
                        "customer": customer,
                        "payment_method_types": ["card"],
                        "metadata": {"reference": reference},
                        "usage": "off_session" if off_session else "on_session",
                    }  # type: ignore[arg-type]  # a plain dict
                )
        except stripe.StripeError as error:
            raise ProviderTimeoutError("stripe makes no setup") from error
        return _setup(_plain(made))

    def read_setup(self, remote_id: str) -> Setup:
        """Raises KeyError on an id Stripe does not know."""
        if not SETUP_ID.fullmatch(remote_id):  # it comes from a form and becomes part of an address
            raise KeyError(remote_id)
        try:
            with _asking():
                return _setup(_plain(self.api.setup_intents.retrieve(remote_id)))
        except stripe.StripeError as error:
            raise KeyError(remote_id) from error

    def attach(self, setup: Setup) -> None:
        """Keep the card under its customer. Stripe did so already; localstripe waits to be told. Repeatable."""
        try:
            with _asking():
                self.api.payment_methods.attach(setup.method, {"customer": setup.customer})
        except stripe.CardError as error:
            raise CardRefusedError(words.reason(_error(error))) from error
        except stripe.InvalidRequestError as error:
            raise CardRefusedError("la carta non si può usare") from error

    # --- Money that goes back -----------------------------------------------------------------------------------------
    def refund(self, refund: Refund) -> Outcome:
        assert refund.payment is not None
        try:
            with _asking():
                made = self.api.refunds.create(
                    {
                        "payment_intent": refund.payment.remote_id, "amount": words.cents(refund.amount),
                        "metadata": {"refund": str(refund.public_id)},
                    },
                    {"idempotency_key": f"refund-{refund.public_id}"},
                )  # fmt: skip
        except stripe.StripeError as error:
            return Outcome(Result.FAILED, reason=f"Stripe lo rifiuta ({error.code or error.http_status})")
        return words.refund_outcome(_plain(made))

    def fetch_refund(self, refund: Refund) -> Outcome:
        assert refund.payment is not None
        try:
            with _asking():
                if refund.remote_id:
                    return words.refund_outcome(_plain(self.api.refunds.retrieve(refund.remote_id)))
                page = self.api.refunds.list({"payment_intent": refund.payment.remote_id, "limit": 100})
                for found in page.auto_paging_iter():
                    if (_plain(found).get("metadata") or {}).get("refund") == str(refund.public_id):
                        return words.refund_outcome(_plain(found))
        except stripe.StripeError as error:
            raise ProviderTimeoutError("stripe does not show the refund") from error
        return Outcome(Result.UNKNOWN, ready=True)  # never arrived there

    # --- What Stripe tells --------------------------------------------------------------------------------------------
    def read_webhook(self, request: HttpRequest) -> Hint:
        """Signed with one of our secrets, and lately. Of another mode or account: stored, and names nothing of ours."""
        body, header = request.body, request.headers.get("Stripe-Signature", "")
        if not any(_signed(body, header, secret) for secret in settings.STRIPE_WEBHOOK_SECRETS if secret):
            raise BadWebhookError("signature does not match, or is too old")
        try:
            return _hint(json.loads(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadWebhookError("not an event") from error

    def recent(self, since: datetime) -> Iterable[Seen]:
        for intent in self._intents(since):
            reference = str((intent.get("metadata") or {}).get("payment") or "")
            yield Seen(intent["id"], reference, words.outcome_of(intent))

    def told(self, since: datetime) -> Iterator[Hint]:
        with _asking():
            page = self.api.events.list({"limit": 100, "created": {"gte": int(since.timestamp())}})
            for event in page.auto_paging_iter():
                yield _hint(_plain(event))


def _hint(event: words.Words) -> Hint:
    hint = words.hint_of(event)
    if bool(event.get("livemode")) != ("_live_" in settings.STRIPE_SECRET_KEY) or event.get("account"):
        log.warning("stripe event %s is of another mode or account: ignored", hint.event_id)
        return Hint(hint.event_id, "", "other")
    return hint


def _signed(body: bytes, header: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(body.decode(), header, secret, TOLERANCE))
    except (stripe.SignatureVerificationError, ValueError):  # ValueError: not UTF-8
        return False


def _setup(made: words.Words) -> Setup:
    return Setup(
        remote_id=made["id"], secret=made["client_secret"], succeeded=made["status"] == "succeeded",
        reference=str((made.get("metadata") or {}).get("reference") or ""), customer=made.get("customer") or "",
        method=made.get("payment_method") or "",
    )  # fmt: skip


def _error(error: stripe.StripeError) -> words.Words:
    body = error.json_body if isinstance(error.json_body, dict) else {}
    return dict(body.get("error") or {})


def _refused(error: stripe.StripeError) -> Outcome:
    """A refusal when taking money: of the card, or of a request that Stripe does not understand. No money moved."""
    told = _error(error)
    remote_id = (told.get("payment_intent") or {}).get("id") or ""
    if not isinstance(error, stripe.CardError):
        log.error("stripe refused a request: %s", error.code or error.http_status)
        return Outcome(
            Result.FAILED, remote_id=remote_id, reason="il gestore ha rifiutato la richiesta", decline="hard"
        )
    return Outcome(Result.FAILED, remote_id=remote_id, reason=words.reason(told), decline=words.decline(told))
