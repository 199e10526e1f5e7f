"""PayPal's webhooks, verified here and not by asking PayPal: RSA PKCS#1 v1.5 with SHA-256 over
`transmission_id|time|webhook_id|crc32(body)`, by the certificate that the event names.

The certificate comes only from settings.PAYPAL_CERT_ORIGINS; it is kept in this process and in the cache, so that
taking an event in normally calls nobody.
"""

import base64
import binascii
import json
import re
import zlib
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

from pecportal import clock

from .base import BadWebhookError, Hint

OLDEST = timedelta(days=4)  # PayPal repeats an event for three days; one that was stored already changes nothing
AHEAD = timedelta(minutes=10)
CERTIFICATE = re.compile(r"/v1/notifications/certs/[A-Za-z0-9_-]{1,100}")
CERTIFICATE_BYTES = 64 * 1024
CERTIFICATE_SECONDS = 3
KEPT_FOR = 24 * 3600  # seconds
FETCHES_A_MINUTE = 10  # forged events must not make us call PayPal for each
_known: dict[str, x509.Certificate] = {}


def read(request: HttpRequest) -> Hint:
    """What an event of ours is worth. Raises BadWebhookError on every other."""
    body, given = request.body, request.headers
    sent_at = _time(given.get("Paypal-Transmission-Time", ""))
    if not -AHEAD <= clock.now() - sent_at <= OLDEST:
        raise BadWebhookError("too old, or of a time to come")
    if given.get("Paypal-Auth-Algo", "") != "SHA256withRSA" or not settings.PAYPAL_WEBHOOK_ID:
        raise BadWebhookError("not signed as it should be")
    try:
        signature = base64.b64decode(given.get("Paypal-Transmission-Sig", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadWebhookError("not a signature") from error
    signed = "|".join(
        [
            given.get("Paypal-Transmission-Id", ""), given.get("Paypal-Transmission-Time", ""),
            settings.PAYPAL_WEBHOOK_ID, str(zlib.crc32(body)),
        ]
    )  # fmt: skip
    key = _certificate(given.get("Paypal-Cert-Url", "")).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadWebhookError("not an RSA certificate")
    try:
        key.verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise BadWebhookError("signature does not match") from error
    try:
        return _hint(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise BadWebhookError("not an event") from error


def _time(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadWebhookError("no time of transmission") from error
    if when.tzinfo is None:
        raise BadWebhookError("no time of transmission")
    return when


def _certificate(address: str) -> x509.Certificate:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise BadWebhookError("a certificate from elsewhere") from error
    origin = f"{parts.scheme}://{parts.netloc}"  # whole and as written: no user, port or look-alike passes
    whole = origin + parts.path == address and CERTIFICATE.fullmatch(parts.path)
    if not whole or origin not in settings.PAYPAL_CERT_ORIGINS:
        raise BadWebhookError("a certificate from elsewhere")
    certificate = _known.get(address)
    if certificate is None:
        key = f"paypal-certificate:{address}"
        stored = cache.get(key)
        raw = stored or _download(address)
        try:
            certificate = x509.load_pem_x509_certificate(raw)
        except ValueError as error:
            raise BadWebhookError("not a certificate") from error
        if stored is None:
            cache.set(key, raw, KEPT_FOR)
        if len(_known) > 20:
            _known.clear()
        _known[address] = certificate
    if not certificate.not_valid_before_utc <= clock.now() <= certificate.not_valid_after_utc:
        raise BadWebhookError("a certificate that is not valid now")
    return certificate


def _download(address: str) -> bytes:
    """Raises BadWebhookError: PayPal sends what was not answered with 2xx again."""
    counter = "paypal-certificate-fetches"
    cache.add(counter, 0, 60)
    try:
        if cache.incr(counter) > FETCHES_A_MINUTE:
            raise BadWebhookError("too many unknown certificates")
    except ValueError:  # it ended between the two lines
        pass
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(address, timeout=CERTIFICATE_SECONDS, allow_redirects=False, stream=True)
            raw = bytes(answer.raw.read(CERTIFICATE_BYTES + 1, decode_content=True))
    except Exception as error:  # requests, urllib3 under it, the socket: without the certificate nothing is believed
        raise BadWebhookError("the certificate cannot be had now") from error
    if answer.status_code != 200 or len(raw) > CERTIFICATE_BYTES:
        raise BadWebhookError("the certificate cannot be had now")
    return raw


def _hint(event: dict[str, Any]) -> Hint:
    event_id, kind = str(event["id"]), str(event["event_type"])
    if not event_id or len(event_id) > 120:
        raise ValueError("id")
    thing: dict[str, Any] = event["resource"]
    if kind.startswith("CUSTOMER.DISPUTE."):
        about = thing["disputed_transactions"][0]["seller_transaction_id"]
        told = " · ".join(str(thing.get(name) or "") for name in ("dispute_id", "reason", "status"))
        return Hint(event_id, str(about)[:120], kind="dispute", detail=told[:200])
    if kind.startswith("CHECKOUT.ORDER."):
        return Hint(event_id, str(thing["id"])[:120])
    if kind in ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED") or kind.startswith("PAYMENT.REFUND."):
        # The resource is a refund, which names its capture only by a link: Payment.charge_id.
        return Hint(event_id, (_order_of(thing) or _capture_of(thing))[:120], kind="refund")
    if kind.startswith("PAYMENT.CAPTURE."):
        return Hint(event_id, (_order_of(thing) or str(thing["id"]))[:120])
    if kind == "VAULT.PAYMENT-TOKEN.CREATED":  # an account kept after its order was paid: the order is asked about
        return Hint(event_id, str((thing.get("metadata") or {}).get("order_id") or "")[:120])
    return Hint(event_id, "", kind="other")


def _order_of(thing: dict[str, Any]) -> str:
    return str(((thing.get("supplementary_data") or {}).get("related_ids") or {}).get("order_id") or "")


def _capture_of(thing: dict[str, Any]) -> str:
    for link in thing.get("links") or []:
        if link.get("rel") == "up":
            return urlsplit(str(link["href"])).path.rpartition("/")[2]
    return ""
