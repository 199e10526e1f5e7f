"""The worker is killed between any two steps of an automatic renewal; the next runs finish it, once (R15, R19, R28)."""

from datetime import timedelta
from unittest import mock

import pytest
from post_office.models import Email

from payments import charging
from payments.models import Allocation, Payment, ScheduledCharge
from payments.providers import sandbox
from renewals.models import Order
from tests.payments.charging_helpers import automatic, beat, card, fresh, on
from tests.payments.test_kills import Killed, _real

pytestmark = pytest.mark.django_db(transaction=True)
POINTS = [
    "payments.scheduled.announce",
    "payments.charging._place",
    "renewals.flows.place_automatic",
    "payments.scheduled.placed",
    "payments.charging._charge",
    "payments.scheduled.begin",
    "payments.providers.sandbox.Sandbox.charge",
    "payments.recording.record_outcome",
    "payments.scheduled.order_moved",
    "payments.recording.after_paid",
]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at(make_box, alice, point, after):
    box = automatic(make_box(alice, "alice", expires_in=60), alice, card(alice), days_before=60)
    e, real = box.expires_on, _real(point)

    def kill(*args, **kwargs):
        if after:
            real(*args, **kwargs)
        raise Killed

    killed = 0
    for day in (e - timedelta(days=30), e - timedelta(days=7)):
        with on(day), mock.patch(point, kill):
            try:
                charging.run()
            except Killed:
                killed += 1
        beat(day, hour=15)
    assert killed
    for before in (6, 5, 4, 3):
        beat(e - timedelta(days=before))
    assert [o.status for o in Order.objects.all()] == ["fulfilled"]
    assert Payment.objects.filter(status="registered").count() == Allocation.objects.count() == 1
    assert ScheduledCharge.objects.get().status == "charged"
    found = fresh(box)
    assert (found.periods.count(), found.expires_on > e) == (2, True)
    notices = Email.objects.filter(subject__contains="addebitiamo", to=["alice@posta.example"])
    assert notices.count() == 1


@pytest.mark.parametrize("decline", ["soft", "hard"])
def test_killed_between_the_refusal_and_its_record(make_box, alice, decline):
    method = card(alice)
    box = automatic(make_box(alice, "alice", expires_in=60), alice, method, days_before=60)
    e = box.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline=decline, reason="fondi insufficienti")
    beat(e - timedelta(days=30))
    killed = mock.patch("payments.recording.record_outcome", side_effect=Killed)
    with on(e - timedelta(days=7)), killed, pytest.raises(Killed):
        charging.run()
    beat(e - timedelta(days=6))
    expected = {"soft": ("trying", e - timedelta(days=5)), "hard": ("failed", None)}
    row = ScheduledCharge.objects.get()
    assert (row.status, row.due_on) == expected[decline]
    assert Payment.objects.count() == 1
