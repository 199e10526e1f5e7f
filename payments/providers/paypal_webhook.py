"""PayPal's webhooks, believed only when their signature holds: verified here, PayPal is not asked (DESIGN §7).

Signed is `transmission id|time|webhook id|crc32 of the body`, with a certificate whose address stands in a header: that
address must be one of PayPal's own (PAYPAL_CERT_ORIGINS) before anything is fetched from it.
"""

import base64
import binascii
import json
import zlib
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.translation import gettext as _

from pecportal import clock

from .base import BadWebhookError, Hint

TOLERANCE = 300  # seconds between the sending and now; PayPal signs each new try anew
CERT_SECONDS = 24 * 3600
CERT_BYTES = 64 * 1024
CERT_TIMEOUT = 3  # seconds


def read(request: HttpRequest) -> Hint:
    """The hint of a signed event. Raises BadWebhookError."""
    body, headers = request.body, request.headers
    if headers.get("Paypal-Auth-Algo") != "SHA256withRSA":
        raise BadWebhookError("not signed with the algorithm that is agreed")
    sent = headers.get("Paypal-Transmission-Time", "")
    _check_age(sent)
    signed = f"{headers.get('Paypal-Transmission-Id', '')}|{sent}|{settings.PAYPAL_WEBHOOK_ID}|{zlib.crc32(body)}"
    try:
        signature = base64.b64decode(headers.get("Paypal-Transmission-Sig", ""), validate=True)
        _key(headers.get("Paypal-Cert-Url", "")).verify(signature, signed.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise BadWebhookError("signature does not match") from error
    try:
        event = json.loads(body)
        return _hint(event)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadWebhookError("not an event") from error


def _check_age(sent: str) -> None:
    try:
        moment = datetime.fromisoformat(sent)
    except ValueError as error:
        raise BadWebhookError("without the time of its sending") from error
    if moment.tzinfo is None or abs((clock.now() - moment).total_seconds()) > TOLERANCE:
        raise BadWebhookError("too old")


def _key(url: str) -> RSAPublicKey:
    certificate = x509.load_pem_x509_certificate(_certificate(url))
    if not certificate.not_valid_before_utc <= clock.now() <= certificate.not_valid_after_utc:
        raise BadWebhookError("its certificate is not valid now")
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise BadWebhookError("its certificate has no RSA key")
    return key


def is_paypals(url: str) -> bool:
    """Whether a certificate may be fetched from there: exactly one of the origins, no credentials, no port games."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" in settings.PAYPAL_CERT_ORIGINS


def _certificate(url: str) -> bytes:
    if not is_paypals(url):
        raise BadWebhookError("its certificate is not on a host of PayPal's")
    key = f"paypal-cert:{zlib.crc32(url.encode())}:{len(url)}"
    known = cache.get(key)
    if known and known[0] == url:
        return bytes(known[1])
    try:
        answer = requests.get(url, timeout=CERT_TIMEOUT, allow_redirects=False, stream=True)
        content = answer.raw.read(CERT_BYTES + 1, decode_content=True)
    except (requests.RequestException, OSError) as error:
        raise BadWebhookError("its certificate could not be fetched") from error
    if answer.status_code != 200 or len(content) > CERT_BYTES:
        raise BadWebhookError("its certificate could not be fetched")
    cache.set(key, (url, content), CERT_SECONDS)
    return bytes(content)


def _hint(event: dict[str, Any]) -> Hint:
    kind, thing = str(event["event_type"]), event["resource"]
    event_id = str(event["id"])[:120]
    if kind.startswith("CUSTOMER.DISPUTE."):
        captures = [t.get("seller_transaction_id", "") for t in thing.get("disputed_transactions", [])]
        amount = (thing.get("dispute_amount") or {}).get("value", "")
        told = _("contestazione %(id)s di € %(amount)s, motivo %(reason)s, stato %(status)s") % {
            "id": thing.get("dispute_id"), "amount": amount, "reason": thing.get("reason"),
            "status": thing.get("status"),
        }  # fmt: skip
        return Hint(event_id, str(next(iter(captures), ""))[:120], "dispute", told[:200])
    if kind.startswith("CHECKOUT.ORDER."):
        return Hint(event_id, str(thing["id"])[:120])
    if kind.startswith(("PAYMENT.CAPTURE.", "PAYMENT.REFUND.")):
        order = ((thing.get("supplementary_data") or {}).get("related_ids") or {}).get("order_id", "")
        return Hint(event_id, str(order or thing["id"])[:120])
    return Hint(event_id, "", "other")
