"""A provider of ours for development and demonstrations: a page that pays, refuses, asks for strong authentication,
stays pending or times out, on command. Refused in production (pecportal.checks).

Its memory is a folder of its own under VAR_DIR, as a real provider's is its own: it never reads our tables.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from payments.models import MethodSetup, Payment, Refund, StoredMethod
from pecportal import clock

from .base import BadWebhookError, Hint, Outcome, ProviderTimeoutError, Result, SavedMethod, Seen, Started

OPEN, PAID, REFUSED, CANCELLED, PENDING, TIMEOUT, REFUNDED = (
    "open", "paid", "refused", "cancelled", "pending", "timeout", "refunded",
)  # fmt: skip
RESULTS = {
    OPEN: Result.PENDING,
    PENDING: Result.PENDING,
    PAID: Result.REGISTERED,
    REFUSED: Result.FAILED,
    CANCELLED: Result.CANCELLED,
    REFUNDED: Result.REFUNDED,
}
CARDS = ("Carta di prova •••• 4242", "Carta di prova •••• 5556")
REMOTE_ID = re.compile(r"sbx_[0-9a-f]{32}")


def _path(remote_id: str) -> Path:
    if not REMOTE_ID.fullmatch(remote_id):
        raise FileNotFoundError(remote_id)
    folder = settings.VAR_DIR / "sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(folder / f"{remote_id}.json")


def read(remote_id: str) -> dict[str, str]:
    """What the sandbox knows of an attempt. Raises FileNotFoundError on an unknown id."""
    return dict(json.loads(_path(remote_id).read_text()))


def write(remote_id: str, **changes: str) -> None:
    """Change what the sandbox knows of an attempt, whole or not at all."""
    path = _path(remote_id)
    data = {**(json.loads(path.read_text()) if path.exists() else {}), **changes}
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w") as file:
        json.dump(data, file)
    os.replace(name, path)


def sign(body: bytes) -> str:
    """The signature of a sandbox webhook."""
    return hmac.new(settings.SECRET_KEY.encode(), b"sandbox-webhook" + body, hashlib.sha256).hexdigest()


class Sandbox:
    name = "sandbox"

    def start(self, payment: Payment, *, return_url: str, cancel_url: str) -> Started:
        remote_id = self._remote_id(payment)  # the same payment started twice is one attempt
        if not _path(remote_id).exists():
            write(
                remote_id,
                status=OPEN,
                amount=str(payment.amount),
                currency=payment.currency,
                return_url=return_url,
                cancel_url=cancel_url,
            )
        return Started(remote_id, reverse("payments:sandbox", args=[remote_id]))

    def fetch(self, payment: Payment) -> Outcome:
        remote_id = self._remote_id(payment)
        try:
            data = read(remote_id)
        except FileNotFoundError:
            return Outcome(Result.FAILED, reason="il pagamento non è mai cominciato")  # we stopped before the call
        return self._outcome(remote_id, data)

    def close(self, payment: Payment) -> Outcome:
        remote_id = self._remote_id(payment)
        try:
            open_there = read(remote_id)["status"] in (OPEN, PENDING)
        except FileNotFoundError:
            return Outcome(Result.CANCELLED, reason="il pagamento non è mai cominciato")
        if open_there:
            write(remote_id, status=CANCELLED)
        return self.fetch(payment)

    @staticmethod
    def _remote_id(payment: Payment) -> str:
        """Made from our row, so that an attempt is found also when its id could not be stored any more (R19)."""
        return f"sbx_{payment.public_id.hex}"

    def read_webhook(self, request: HttpRequest) -> Hint:
        given = request.headers.get("X-Sandbox-Signature", "")
        if not hmac.compare_digest(given.encode(), sign(request.body).encode()):
            raise BadWebhookError("signature does not match")
        try:
            data = json.loads(request.body)
            return Hint(event_id=str(data["event_id"])[:120], remote_id=str(data["remote_id"])[:120])
        except (ValueError, KeyError, TypeError) as error:
            raise BadWebhookError("not an event") from error

    def charge(self, payment: Payment, method: StoredMethod) -> Outcome:
        remote_id = self._remote_id(payment)
        if not _path(remote_id).exists():
            money = {"amount": str(payment.amount), "currency": payment.currency}
            write(remote_id, **{"status": PAID, **money, **_told(method)})
        return self._outcome(remote_id, read(remote_id))

    def complete(self, payment: Payment) -> Outcome:
        return self.fetch(payment)  # the sandbox takes the money as soon as its button is pressed

    def refund(self, refund: Refund) -> Outcome:
        """Refunds are kept beside the attempt, by their id: the same one sent twice is one."""
        assert refund.payment is not None
        remote_id = self._remote_id(refund.payment)
        write(remote_id, **{f"refund_{refund.public_id.hex}": str(refund.amount)})
        return self.fetch_refund(refund)

    def fetch_refund(self, refund: Refund) -> Outcome:
        assert refund.payment is not None
        data = read(self._remote_id(refund.payment))
        if data["status"] == TIMEOUT:
            raise ProviderTimeoutError("the sandbox was told to time out")
        key = f"refund_{refund.public_id.hex}"
        if key not in data:
            return Outcome(Result.UNKNOWN, ready=True)  # never arrived here
        return Outcome(Result.REFUNDED, remote_id=key, amount=Decimal(data[key]), currency=data["currency"])

    def start_setup(self, setup: MethodSetup, *, return_url: str, cancel_url: str) -> Started:
        return Started(f"sbxs_{setup.public_id.hex}", return_url)  # a test card is saved at once

    def fetch_setup(self, setup: MethodSetup) -> Outcome:
        saved = SavedMethod(f"card_{setup.public_id.hex[:16]}", CARDS[1], 12, clock.today().year + 4)
        return Outcome(Result.REGISTERED, remote_id=setup.remote_id, saved=saved)

    def forget(self, method: StoredMethod) -> None:
        """The sandbox keeps no method that would have to be forgotten."""

    def recent(self, since: datetime) -> Iterable[Seen]:
        return ()

    def told(self, since: datetime) -> Iterable[Hint]:
        return ()

    def _outcome(self, remote_id: str, data: dict[str, str]) -> Outcome:
        if data["status"] == TIMEOUT:
            raise ProviderTimeoutError("the sandbox was told to time out")
        saved = None
        given_back = sum((Decimal(value) for key, value in data.items() if key.startswith("refund_")), Decimal(0))
        if data["status"] == PAID:
            label = data.get("card_label") or CARDS[0]
            saved = SavedMethod(data.get("card") or f"card_{remote_id}", label, 12, clock.today().year + 4)
        return Outcome(
            RESULTS[data["status"]],
            remote_id=remote_id,
            amount=Decimal(data["amount"]),
            currency=data["currency"],
            reason=data.get("reason", ""),
            decline=data.get("decline", ""),
            refunded=given_back or None,
            saved=saved,
        )


def tell(method: StoredMethod, **answer: str) -> None:
    """What the next charges of a saved card answer: `status`, and for a refusal `reason` and `decline`."""
    folder = settings.VAR_DIR / "sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"told_{method.remote_id}.json").write_text(json.dumps(answer))


def _told(method: StoredMethod) -> dict[str, str]:
    path = settings.VAR_DIR / "sandbox" / f"told_{method.remote_id}.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def new_card() -> str:
    """An id for a test card typed on the sandbox page."""
    return "card_" + secrets.token_hex(8)


def sandbox_event(remote_id: str) -> tuple[bytes, str]:
    """A webhook as the sandbox would send it: a new event about an attempt, and its X-Sandbox-Signature."""
    body = json.dumps({"event_id": "evt_" + secrets.token_hex(8), "remote_id": remote_id}).encode()
    return body, sign(body)
