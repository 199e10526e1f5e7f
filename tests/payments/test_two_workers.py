"""Annulla closes an attempt while another worker takes its money: however they change places, one wins (R12b, R19).

Not by chance as in the state machine: every pair of steps at which the two can change places is tried, on real commits.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count
from unittest import mock

import pytest

from payments import flows
from payments.models import Payment
from payments.providers import PROVIDERS, sandbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.helpers import place
from tests.payments.peer import Capturing, in_turns

pytestmark = pytest.mark.django_db(transaction=True)


def start(order: Order) -> Payment:
    flows.start(
        order_id=order.pk, provider="capture", user=order.owner, auto_renewal_agreed=False, return_url=lambda p: "/",
        cancel_url="/",
    )  # fmt: skip
    return order.payments.latest("pk")


def refused_or_done(story) -> None:
    try:
        story()
    except RefusedError:
        pass


@pytest.fixture
def every_way(make_box, alice):
    """every_way() → an outcome for each way to change places: (money taken, attempt, order)."""

    def outcomes() -> Iterator[tuple[bool, str, str]]:
        for before in count():
            for between in count():
                order = place(make_box(alice, f"b{before}-{between}"), alice)
                attempt = start(order)
                sandbox.write(attempt.remote_id, agreed="yes")
                first = partial(refused_or_done, partial(flows.cancel_order, order_id=order.pk, actor=alice))
                second = partial(refused_or_done, partial(flows.fetch_and_record, attempt.pk))
                met = in_turns([first, second], [before, between])
                attempt.refresh_from_db()
                order.refresh_from_db()
                taken = sandbox.read(attempt.remote_id)["status"] == sandbox.PAID
                yield taken, attempt.status, order.status
                if not all(met):
                    break
            if not met[0]:
                return

    with mock.patch.dict(PROVIDERS, {"capture": Capturing}):
        yield outcomes


def test_an_order_is_cancelled_or_its_money_taken(every_way):
    assert set(every_way()) == {(True, "registered", "fulfilled"), (False, "cancelled", "cancelled")}


def test_control_a_claim_that_does_not_look_whether_it_is_being_closed_takes_money_for_nothing(every_way, monkeypatch):
    def careless(payment_id: int) -> bool:
        return bool(Payment.objects.live().filter(pk=payment_id, sent_at=None).update(sent_at=clock.now()))

    monkeypatch.setattr(flows, "claim", careless)
    assert any(taken and order == "cancelled" for taken, _attempt, order in every_way())
