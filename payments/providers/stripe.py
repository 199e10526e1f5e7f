"""Cards through Stripe (DESIGN §7): SetupIntent in the browser, then a PaymentIntent made and confirmed by the server.

The same calls run on localstripe: nothing optional is sent that it refuses.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import stripe
from django.http import HttpRequest
from django.urls import reverse

from payments.models import MethodSetup, Payment, ProviderCustomer, Refund, StoredMethod
from pecportal import clock

from . import stripe_words as words
from .base import Hint, Outcome, ProviderTimeoutError, Result, Seen, Started
from .stripe_api import asking, client, plain, told_of
from .stripe_setups import Setups
from .stripe_webhook import hint_of, read

log = logging.getLogger(__name__)
SURELY_NOT_THERE = timedelta(hours=1)  # an attempt sent so long ago that Stripe still does not list
CLOCKS = timedelta(minutes=5)  # how far Stripe's clock may be from ours
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")
EXPAND = ["latest_charge", "payment_method"]


@dataclass(frozen=True)
class Taken:
    """What became of taking the money; `secret` is set while the bank wants the customer's confirmation."""

    outcome: Outcome
    secret: str = ""


class Stripe:
    name = "stripe"

    def __init__(self) -> None:
        self.api = client()
        self.setups = Setups(self.api)

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
            with asking():
                intent = plain(
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
            with asking():
                return plain(self.api.payment_intents.retrieve(remote_id, {"expand": EXPAND}))
        except stripe.StripeError as error:
            raise ProviderTimeoutError("stripe does not show the attempt") from error

    def _intents(self, since: datetime) -> Iterator[words.Words]:
        """PaymentIntents from `since` on. Stripe lists the newest first: a page of older ones is the last.

        No filter by date: localstripe knows none.
        """
        params: dict[str, Any] = {"limit": 100, "expand": [f"data.{name}" for name in EXPAND]}
        while True:
            with asking():
                page = plain(self.api.payment_intents.list(params))  # type: ignore[arg-type]
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
            with asking():
                return plain(self.api.payment_intents.cancel(intent["id"], {"expand": EXPAND}))
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
            with asking():
                page = self.api.refunds.list({"payment_intent": intent_id, "limit": 100})
                found = [plain(refund) for refund in page.auto_paging_iter()]
        except stripe.StripeError as error:
            raise ProviderTimeoutError("stripe does not show the refunds") from error
        gone = sum(refund["amount"] for refund in found if refund.get("status") not in ("failed", "canceled"))
        return words.euros(gone or None)

    def _detach_if_possible(self, method: str) -> None:
        """The money's outcome never waits for this; the next question about the attempt tries again."""
        with suppress(ProviderTimeoutError, stripe.StripeError), asking():
            self.api.payment_methods.detach(method)

    # --- A saved card -------------------------------------------------------------------------------------------------
    def charge(self, payment: Payment, method: StoredMethod) -> Outcome:
        customer = ProviderCustomer.objects.filter(login_id=method.login_id, provider=self.name).first()
        if customer is None:
            return Outcome(Result.FAILED, reason="la carta non è più salvata", decline="hard")
        return self.take(payment, customer=customer.remote_id, method=method.remote_id, off_session=True).outcome

    def forget(self, method: StoredMethod) -> None:
        with suppress(stripe.InvalidRequestError), asking():  # forgotten already
            self.api.payment_methods.detach(method.remote_id)

    def start_setup(self, setup: MethodSetup, *, return_url: str, cancel_url: str) -> Started:
        return Started("", reverse("payments:card_setup", args=[setup.public_id]))

    def fetch_setup(self, setup: MethodSetup) -> Outcome:
        return self.setups.outcome(setup.remote_id)

    # --- Money that goes back -----------------------------------------------------------------------------------------
    def refund(self, refund: Refund) -> Outcome:
        assert refund.payment is not None
        try:
            with asking():
                made = self.api.refunds.create(
                    {
                        "payment_intent": refund.payment.remote_id, "amount": words.cents(refund.amount),
                        "metadata": {"refund": str(refund.public_id)},
                    },
                    {"idempotency_key": f"refund-{refund.public_id}"},
                )  # fmt: skip
        except stripe.StripeError as error:
            return Outcome(Result.FAILED, reason=f"Stripe lo rifiuta ({error.code or error.http_status})")
        return words.refund_outcome(plain(made))

    def fetch_refund(self, refund: Refund) -> Outcome:
        assert refund.payment is not None
        try:
            with asking():
                if refund.remote_id:
                    return words.refund_outcome(plain(self.api.refunds.retrieve(refund.remote_id)))
                page = self.api.refunds.list({"payment_intent": refund.payment.remote_id, "limit": 100})
                for found in page.auto_paging_iter():
                    if (plain(found).get("metadata") or {}).get("refund") == str(refund.public_id):
                        return words.refund_outcome(plain(found))
        except stripe.StripeError as error:
            raise ProviderTimeoutError("stripe does not show the refund") from error
        return Outcome(Result.UNKNOWN, ready=True)  # never arrived there

    # --- What Stripe tells --------------------------------------------------------------------------------------------
    def read_webhook(self, request: HttpRequest) -> Hint:
        return read(request)

    def recent(self, since: datetime) -> Iterable[Seen]:
        for intent in self._intents(since):
            reference = str((intent.get("metadata") or {}).get("payment") or "")
            yield Seen(intent["id"], reference, words.outcome_of(intent))

    def told(self, since: datetime) -> Iterator[Hint]:
        with asking():
            page = self.api.events.list({"limit": 100, "created": {"gte": int(since.timestamp())}})
            for event in page.auto_paging_iter():
                yield hint_of(plain(event))


def _refused(error: stripe.StripeError) -> Outcome:
    """A refusal when taking money: of the card, or of a request that Stripe does not understand. No money moved."""
    told = told_of(error)
    remote_id = (told.get("payment_intent") or {}).get("id") or ""
    if not isinstance(error, stripe.CardError):
        log.error("stripe refused a request: %s", error.code or error.http_status)
        return Outcome(
            Result.FAILED, remote_id=remote_id, reason="il gestore ha rifiutato la richiesta", decline="hard"
        )
    return Outcome(Result.FAILED, remote_id=remote_id, reason=words.reason(told), decline=words.decline(told))
