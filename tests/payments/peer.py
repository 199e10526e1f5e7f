"""The sandbox as a peer that may be away and may lie; workers that die, and workers that take turns.

`Watched` is the sandbox, whose money moves when the customer presses the button; with `Capturing` the customer only
agrees, and the money moves when we take it (as with PayPal). Both hold us to R19: no call inside a transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from decimal import Decimal
from itertools import cycle, islice, zip_longest
from math import inf
from unittest import mock

from django.db import connection, transaction
from greenlet import getcurrent, greenlet

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


def gap() -> None:
    """Nothing is locked here: the other worker may come in, if it is its turn."""
    here = getcurrent()
    if here in TURN and not connection.in_atomic_block:
        if TURN[here] <= 0:
            here.parent.switch()
        TURN[here] -= 1


def in_turns(stories: Sequence[Callable[[], None]], turns: Sequence[int]) -> list[bool]:
    """Two workers at once, on one connection: each goes on past as many gaps as its turn says, then it is the other's.

    They change places only where neither is in a transaction, so a lock makes nobody wait and every run can be had
    again. When the turns are over each is run to its end, beginning with the one that comes next. Returns of each turn
    whether its worker had more to do: where none had, the two did not meet.
    """
    workers = [greenlet(story) for story in stories]
    for worker in workers:
        worker.gr_context = copy_context()
    begin = transaction.Atomic.__enter__

    def enter(atomic: transaction.Atomic) -> None:
        gap()
        begin(atomic)

    def statement(execute, *args):
        gap()
        return execute(*args)

    after = len(turns) % len(workers)
    more: list[bool] = []
    order = [*islice(cycle(workers), len(turns)), *workers[after:], *workers[:after]]
    try:
        with connection.execute_wrapper(statement), mock.patch.object(transaction.Atomic, "__enter__", enter):
            for worker, gaps in zip_longest(order, turns, fillvalue=inf):
                if not worker.dead:
                    TURN[worker] = gaps
                    worker.switch()
                more.append(not worker.dead)
    finally:
        TURN.clear()
        for worker in workers:
            if not worker.dead:
                worker.throw()  # left standing, because the other failed
    return more[: len(turns)]


TURN: dict[greenlet, float] = {}  # who takes turns → gaps that it may still pass
CAPTURED: set[str] = set()  # what we took with `complete`, by remote id


class Watched(sandbox.Sandbox):
    def _call(self, real: Callable, *args, **kwargs):
        assert not connection.in_atomic_block, "a provider is called inside a transaction"
        gap()
        answer = real(*args, **kwargs)
        gap()
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
        return self._call(self._give_back, refund)

    def _give_back(self, refund: Refund) -> Outcome:
        """As a real provider: no more than it has. It forgets keys: the same refund sent again goes back again."""
        remote_id, mine = self._remote_id(refund.payment), f"refund_{refund.public_id.hex}"
        found = sandbox.read(remote_id)
        gone = sum(Decimal(value) for key, value in found.items() if key.startswith("refund_"))
        if gone + refund.amount > Decimal(found["amount"]):
            super().fetch_refund(refund)  # an answer that gets lost is lost when it is a no, too
            return Outcome(Result.FAILED, reason="già rimborsato")
        if mine in found:
            sandbox.write(remote_id, **{f"{mine}_again": str(refund.amount)})
        return super().refund(refund)


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
