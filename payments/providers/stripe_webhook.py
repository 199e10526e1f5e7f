"""What Stripe tells: events signed with one of our secrets, each worth a hint and no more (R18)."""

import json
import logging

import stripe
from django.conf import settings
from django.http import HttpRequest

from . import stripe_words as words
from .base import BadWebhookError, Hint

log = logging.getLogger(__name__)
TOLERANCE = 300  # seconds between a webhook's signature and its arrival


def read(request: HttpRequest) -> Hint:
    """What an event is worth that is signed with one of our secrets, and lately. Raises BadWebhookError."""
    body, header = request.body, request.headers.get("Stripe-Signature", "")
    if not any(_signed(body, header, secret) for secret in settings.STRIPE_WEBHOOK_SECRETS if secret):
        raise BadWebhookError("signature does not match, or is too old")
    try:
        return hint_of(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadWebhookError("not an event") from error


def hint_of(event: words.Words) -> Hint:
    """What an event is worth, however it came; one of another mode or account names nothing of ours."""
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
