"""How we talk to Stripe: a client a provider object, no globals, and errors told apart by what we know after them."""

from collections.abc import Iterator
from contextlib import contextmanager

import stripe
from django.conf import settings

from .base import ProviderTimeoutError
from .stripe_words import Words

TIMEOUT = (5.0, 20.0)  # seconds to connect, and to wait for an answer


def client() -> stripe.V1Services:
    """A client with the settings of now."""
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        base_addresses={"api": settings.STRIPE_API_BASE},
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
    ).v1


@contextmanager
def asking() -> Iterator[None]:
    """Refusals of a card and of a request pass; of all else nobody knows what happened (R19)."""
    try:
        yield
    except (stripe.CardError, stripe.InvalidRequestError):
        raise
    except stripe.StripeError as error:
        raise ProviderTimeoutError(f"stripe: {type(error).__name__} {error.code or ''}".strip()) from error


def plain(thing: stripe.StripeObject) -> Words:
    """What Stripe answered as a dict, with all that is in it."""
    return dict(thing.to_dict())


def told_of(error: stripe.StripeError) -> Words:
    """What Stripe's answer said of a refusal; empty when it was no answer of its own."""
    body = error.json_body if isinstance(error.json_body, dict) else {}
    return dict(body.get("error") or {})
