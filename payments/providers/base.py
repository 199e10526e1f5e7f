"""The seam to whoever moves the money: plain data in, an Outcome in our words out. It touches nothing of ours."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from django.http import HttpRequest

from payments.models import MethodSetup, Payment, Refund, StoredMethod


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
    """What the provider says of an attempt, of a refund (REFUNDED: it went back) or of a method being saved.

    `decline`: how a refusal is to be taken (Payment.Decline). `ready`: the customer agreed there, and the money moves
    when `complete` is called. `charge_id`: the money's own id where it is another than the attempt's. `refunded`: EUR
    that went back so far, by whoever.
    """

    result: Result
    remote_id: str = ""
    amount: Decimal | None = None
    currency: str = ""
    reason: str = ""
    decline: str = ""
    ready: bool = False
    charge_id: str = ""
    refunded: Decimal | None = None
    saved: SavedMethod | None = None


@dataclass(frozen=True)
class Started:
    """An attempt the provider knows: its id there ("": it gets one later), and where to send the customer."""

    remote_id: str
    redirect_url: str


@dataclass(frozen=True)
class Hint:
    """What a webhook is worth: which attempt to ask about, by its own id or by that of its money.

    `kind` is one of ProviderEvent.Kind; of a dispute `detail` says what the provider told.
    """

    event_id: str
    remote_id: str
    kind: str = "payment"
    detail: str = ""


@dataclass(frozen=True)
class Seen:
    """An attempt as a provider lists it. `reference`: the public id of our row, "" when it names none."""

    remote_id: str
    reference: str
    outcome: Outcome


class Provider(Protocol):
    """Every call may be repeated: the idempotency key is made from the public id of the row it is about (R19).

    Each raises ProviderTimeoutError where it cannot be known what happened.
    """

    name: str

    def start(self, payment: Payment, *, return_url: str, cancel_url: str) -> Started: ...

    def fetch(self, payment: Payment) -> Outcome:
        """How the attempt stands. It moves no money: where the customer has agreed, the outcome is `ready`."""

    def complete(self, payment: Payment) -> Outcome:
        """Take the money that `fetch` found ready. payments.flows claims the attempt before."""

    def close(self, payment: Payment) -> Outcome:
        """End an open attempt so that it can no longer be paid; REGISTERED when it was paid already (R12b, R20).

        `payment.closing` is set: nothing is sent any more. What was sent before (`payment.sent_at`) and cannot be
        found is UNKNOWN.
        """

    def read_webhook(self, request: HttpRequest) -> Hint: ...

    def charge(self, payment: Payment, method: StoredMethod) -> Outcome:
        """Take money with a saved method, nobody being there. A refusal says its `decline`."""

    def refund(self, refund: Refund) -> Outcome:
        """Give money of a registered payment back, part or all."""

    def fetch_refund(self, refund: Refund) -> Outcome:
        """How a refund stands; one that never arrived is `ready` to be sent again."""

    def start_setup(self, setup: MethodSetup, *, return_url: str, cancel_url: str) -> Started: ...

    def fetch_setup(self, setup: MethodSetup) -> Outcome:
        """REGISTERED with `saved` once the method is kept."""

    def forget(self, method: StoredMethod) -> None: ...

    def recent(self, since: datetime) -> Iterable[Seen]:
        """Every attempt the provider knows from `since` on, for those that can list them; else nothing."""

    def told(self, since: datetime) -> Iterable[Hint]:
        """What the provider told, or tried to, from `since` on, for those that keep a list; else nothing."""
