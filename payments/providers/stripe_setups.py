"""Cards that the browser saves: SetupIntents, and the customers of Stripe's under which cards are kept."""

import re
from dataclasses import dataclass

import stripe

from . import stripe_words as words
from .base import Outcome, ProviderTimeoutError, Result
from .stripe_api import asking, plain, told_of

SETUP_ID = re.compile(r"seti_\w{1,100}", re.ASCII)


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


class Setups:
    def __init__(self, api: stripe.V1Services) -> None:
        self.api = api

    def new_customer(self, key: str) -> str:
        """A customer of Stripe's with nothing in it: methods are kept under it. `key`: the same gives the same one."""
        with asking():
            return str(self.api.customers.create({"metadata": {"key": key}}, {"idempotency_key": f"customer-{key}"}).id)

    def new(self, *, customer: str, reference: str, off_session: bool) -> Setup:
        """A SetupIntent for the card page; raises ProviderTimeoutError also when Stripe refuses to make one."""
        try:
            with asking():
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
        return _setup(plain(made))

    def read(self, remote_id: str) -> Setup:
        """Raises KeyError on an id Stripe does not know."""
        if not SETUP_ID.fullmatch(remote_id):  # it comes from a form and becomes part of an address
            raise KeyError(remote_id)
        try:
            with asking():
                return _setup(plain(self.api.setup_intents.retrieve(remote_id)))
        except stripe.StripeError as error:
            raise KeyError(remote_id) from error

    def attach(self, setup: Setup) -> None:
        """Keep the card under its customer. Stripe did so already; localstripe waits to be told. Repeatable."""
        try:
            with asking():
                self.api.payment_methods.attach(setup.method, {"customer": setup.customer})
        except stripe.CardError as error:
            raise CardRefusedError(words.reason(told_of(error))) from error
        except stripe.InvalidRequestError as error:
            raise CardRefusedError("la carta non si può usare") from error

    def outcome(self, remote_id: str) -> Outcome:
        """How a setup stands; REGISTERED once its card is kept."""
        if not remote_id:
            return Outcome(Result.PENDING)
        try:
            found = self.read(remote_id)
        except KeyError as error:
            raise ProviderTimeoutError("stripe does not show the setup") from error
        if not found.succeeded:
            return Outcome(Result.PENDING, remote_id=found.remote_id)
        try:
            self.attach(found)
        except CardRefusedError as error:
            return Outcome(Result.FAILED, remote_id=found.remote_id, reason=str(error), decline="hard")
        try:
            with asking():
                card = plain(self.api.payment_methods.retrieve(found.method))
        except stripe.StripeError as error:
            raise ProviderTimeoutError("stripe does not show the card") from error
        return Outcome(Result.REGISTERED, remote_id=found.remote_id, saved=words.saved_of(card))


def _setup(made: words.Words) -> Setup:
    return Setup(
        remote_id=made["id"], secret=made["client_secret"], succeeded=made["status"] == "succeeded",
        reference=str((made.get("metadata") or {}).get("reference") or ""), customer=made.get("customer") or "",
        method=made.get("payment_method") or "",
    )  # fmt: skip
