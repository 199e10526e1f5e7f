"""The sandbox as a peer that may be away, may lie, and during whose calls other workers go on working.

`Watched` is the sandbox, whose money moves when the customer presses the button; with `Capturing` the customer only
agrees, and the money moves when we take it (as with PayPal). Both hold us to R19: no call inside a transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

from payments.models import Payment, Refund, StoredMethod
from payments.providers import sandbox
from payments.providers.base import Outcome, Result, Started


class Killed(BaseException):
    """A worker's death. Not an Exception: nobody catches it, as nobody catches a kill."""


@contextmanager
def dies_at(query: int | None) -> Iterator[None]:
    """The process dies before its `query`-th statement, once; never when that is None."""
    left = [query or 0]

    def count(execute, *args):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return execute(*args)

    with connection.execute_wrapper(count):
        yield


class Meanwhile:
    """What another worker does during the next call to a provider: before the provider hears of it, or after."""

    def __init__(self) -> None:
        self.before: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None

    def clear(self) -> None:
        self.before = self.after = None

    def take(self, when: str) -> None:
        story = getattr(self, when)
        setattr(self, when, None)
        if story is not None:
            story()


MEANWHILE = Meanwhile()
CAPTURED: set[str] = set()  # what we took with `complete`, by remote id


class Watched(sandbox.Sandbox):
    def _call(self, real: Callable, *args, **kwargs):
        assert not connection.in_atomic_block, "a provider is called inside a transaction"
        MEANWHILE.take("before")
        answer = real(*args, **kwargs)
        MEANWHILE.take("after")
        return answer

    def start(self, payment: Payment, **urls: str) -> Started:
        return self._call(super().start, payment, **urls)

    def fetch(self, payment: Payment) -> Outcome:
        return self._call(super().fetch, payment)

    def close(self, payment: Payment) -> Outcome:
        return self._call(super().close, payment)

    def charge(self, payment: Payment, method: StoredMethod) -> Outcome:
        return self._call(super().charge, payment, method)

    def refund(self, refund: Refund) -> Outcome:
        return self._call(super().refund, refund)


class Capturing(Watched):
    """The customer's agreement is a flag in the sandbox's file; an attempt that nobody took money of just ends."""

    name = "capture"

    def fetch(self, payment: Payment) -> Outcome:
        found = super().fetch(payment)
        if found.result is not Result.PENDING or not sandbox.read(self._remote_id(payment)).get("agreed"):
            return found
        return Outcome(Result.PENDING, remote_id=found.remote_id, ready=True)

    def complete(self, payment: Payment) -> Outcome:
        return self._call(self._take, payment)

    def _take(self, payment: Payment) -> Outcome:
        remote_id = self._remote_id(payment)
        if sandbox.read(remote_id)["status"] in (sandbox.OPEN, sandbox.PENDING):
            sandbox.write(remote_id, status=sandbox.PAID)
            CAPTURED.add(remote_id)
        return sandbox.Sandbox.fetch(self, payment)

    def close(self, payment: Payment) -> Outcome:
        return self._call(self._end, payment)

    def _end(self, payment: Payment) -> Outcome:
        """There is nothing to close there: an attempt whose money nobody took is over because nobody will take it."""
        try:
            found = sandbox.Sandbox.fetch(self, payment)
        except FileNotFoundError:
            return Outcome(Result.CANCELLED)
        if found.result is Result.PENDING and payment.sent_at is None:
            return Outcome(Result.CANCELLED)
        return found if found.result is not Result.PENDING else Outcome(Result.UNKNOWN)
