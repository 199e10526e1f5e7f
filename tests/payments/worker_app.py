"""pecportal's own Celery app as tests start it: `celery -A worker_app worker`.

It adds a provider that lives on loopback HTTP (PEER_URL), and stops at the points of the road at which the peer says
so: a worker that waits there is killed by the test. Nothing of this is in production code.
"""

import json
import os
import urllib.request
from decimal import Decimal
from unittest import mock

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pecportal.settings")

from pecportal.celery import app

# How long what a killed worker had taken seems to be at work is BROKER_VISIBILITY_TIMEOUT; it is looked at each second.
settings.CELERY_BROKER_TRANSPORT_OPTIONS.update(unacked_restore_interval=1, unacked_restore_throttle=1)
django.setup()

from mailboxes import flows as box_flows  # noqa: E402
from payments import flows, recording, refunds  # noqa: E402
from payments.models import Payment, Refund, StoredMethod  # noqa: E402
from payments.providers import PROVIDERS  # noqa: E402
from payments.providers.base import Outcome, Result, Started  # noqa: E402
from payments.providers.sandbox import Sandbox  # noqa: E402
from renewals import giving  # noqa: E402


def peer(path: str, **body: str) -> dict:
    request = urllib.request.Request(os.environ["PEER_URL"] + path, data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


def at(point: str, order_id: int) -> None:
    """Tell the peer where we are; it answers at once, or never."""
    peer("/at", point=point, order=str(order_id))


class Loopback(Sandbox):
    """Idempotent by the key of our row, as the seam demands; the customer agrees there and we take the money."""

    name = "loopback"

    def start(self, payment: Payment, **urls: str) -> Started:
        return Started(self._remote_id(payment), "/")

    def fetch(self, payment: Payment) -> Outcome:
        return self._read(payment, peer("/look", key=payment.public_id.hex, order=str(payment.order_id)))

    def complete(self, payment: Payment) -> Outcome:
        return self._take(payment)

    def charge(self, payment: Payment, method: StoredMethod) -> Outcome:
        return self._take(payment)

    def close(self, payment: Payment) -> Outcome:
        found = self.fetch(payment)
        return Outcome(Result.CANCELLED) if found.result is Result.PENDING and payment.sent_at is None else found

    def _take(self, payment: Payment) -> Outcome:
        at("before the call", payment.order_id)
        money = {"key": payment.public_id.hex, "order": str(payment.order_id), "amount": str(payment.amount)}
        found = self._read(payment, peer("/take", **money))
        at("after the call", payment.order_id)
        return found

    def _read(self, payment: Payment, found: dict) -> Outcome:
        if "amount" in found:
            amount = Decimal(found["amount"])
            return Outcome(Result.REGISTERED, remote_id=self._remote_id(payment), amount=amount, currency="EUR")
        if found.get("agreed"):
            return Outcome(Result.PENDING, remote_id=self._remote_id(payment), ready=True)
        return Outcome(Result.FAILED, reason="mai cominciato")

    def refund(self, refund: Refund) -> Outcome:
        at("before the call", refund.payment.order_id)
        order = str(refund.payment.order_id)
        peer("/refund", key=refund.public_id.hex, order=order, amount=str(refund.amount))
        at("after the call", refund.payment.order_id)
        return Outcome(Result.REFUNDED, remote_id=refund.public_id.hex, amount=refund.amount, currency="EUR")

    def fetch_refund(self, refund: Refund) -> Outcome:
        found = peer("/refunded", key=refund.public_id.hex)
        if "amount" not in found:
            return Outcome(Result.UNKNOWN, ready=True)
        return Outcome(Result.REFUNDED, remote_id=refund.public_id.hex, amount=refund.amount, currency="EUR")


@app.task(name="tests.charge")
def charge(order_id: int, method_id: int) -> None:
    """What the daily job of automatic renewal does for one order."""
    flows.charge(order_id=order_id, method=StoredMethod.objects.get(pk=method_id))


def stop_on_the_way() -> None:
    """Tell the peer of the points that lie in our own code: they are patched in this process alone."""
    pays, fulfilled, extend, after_done = (
        recording._pays, giving._tell_fulfilled, box_flows.extend, refunds.close_if_all_went_back
    )  # fmt: skip
    after_paid = recording.after_paid

    def _pays(order, payment, outcome, **facts):
        answer = pays(order, payment, outcome, **facts)
        at("before the commit", order.pk)
        return answer

    def _after_paid(order_id):
        at("after the commit", order_id)
        after_paid(order_id)

    def _extend(*, box, source, **facts):
        period = extend(box=box, source=source, **facts)
        at("in fulfilment", giving.OrderLine.objects.values_list("order_id", flat=True).get(public_id=source))
        return period

    def _fulfilled(order, given, **facts):
        fulfilled(order, given, **facts)
        at("before fulfilment is committed", order.pk)

    def _after_done(payment):
        after_done(payment)
        at("before the commit", payment.order_id)

    for target, stops in {
        "payments.recording._pays": _pays,
        "payments.recording.after_paid": _after_paid,
        "mailboxes.flows.extend": _extend,
        "renewals.giving._tell_fulfilled": _fulfilled,
        "payments.refunds.close_if_all_went_back": _after_done,
    }.items():
        mock.patch(target, stops).start()


if os.environ.get("PEER_URL"):
    PROVIDERS["loopback"] = Loopback
    stop_on_the_way()
