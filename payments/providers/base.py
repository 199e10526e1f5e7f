"""The seam to whoever moves the money: plain data in, an Outcome in our words out. It touches nothing of ours."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from django.http import HttpRequest

from payments.models import Payment, StoredMethod


class ProviderTimeoutError(Exception):
    """No answer, or none that can be trusted: what happened is unknown, never failed (R19)."""


class BadWebhookError(Exception):
    """Not signed by the provider, or too old: answered 400 (R18)."""


class Result(StrEnum):
    """The states an attempt can be in, in our words."""

    PENDING = "pending"
    REGISTERED = "registered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class SavedMethod:
    """A method the provider keeps for later charges. Expiry as month and four-digit year, None when it has none."""

    remote_id: str
    label: str
    expires_month: int | None = None
    expires_year: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What the provider says of an attempt. `soft`: a refusal that may pass when tried again."""

    result: Result
    remote_id: str = ""
    amount: Decimal | None = None
    currency: str = ""
    reason: str = ""
    soft: bool = False
    saved: SavedMethod | None = None


@dataclass(frozen=True)
class Started:
    """An attempt the provider knows: its id there, and where to send the customer."""

    remote_id: str
    redirect_url: str


@dataclass(frozen=True)
class Hint:
    """What a webhook is worth: which attempt to ask about."""

    event_id: str
    remote_id: str


class Provider(Protocol):
    """Every call may be repeated: the idempotency key is the payment's public id (R19)."""

    name: str

    def start(self, payment: Payment, *, return_url: str, cancel_url: str) -> Started: ...

    def fetch(self, payment: Payment) -> Outcome: ...

    def close(self, payment: Payment) -> Outcome:
        """End an open attempt so that it can no longer be paid; REGISTERED when it was paid already (R12b, R20)."""

    def read_webhook(self, request: HttpRequest) -> Hint: ...

    def charge(self, payment: Payment, method: StoredMethod) -> Outcome: ...

    def refund(self, payment: Payment, amount: Decimal) -> Outcome: ...

    def forget(self, method: StoredMethod) -> None: ...
