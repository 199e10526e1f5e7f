"""Deletion against the money that would have saved the box, a hold, and itself; each with its control (R29)."""

from datetime import timedelta
from unittest import mock

import pytest
from django.db import connection

from lifecycle import deletion, flows, holds, manifest
from lifecycle.models import ManifestLine, StaffHold
from mailboxes.models import Mailbox
from payments import flows as money
from payments.models import Case, Payment
from payments.providers import sandbox
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.helpers import place, start_card
from tests.lifecycle.deletions import warn_twice
from tests.races.test_races import at_once, ends_of, meeting_after, no_locks

pytestmark = [
    pytest.mark.race,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL's row locks"),
]


@pytest.fixture
def due(make_box, alice, today) -> Mailbox:
    """On its deletion day, warned, in the manifest of today as one that goes."""
    box = make_box(alice, "persa", expires_in=-91)
    warn_twice(box)
    manifest.make_manifest(today)
    assert ManifestLine.objects.get().verdict == "delete"
    return box


@pytest.fixture
def paying(due, alice, today) -> Payment:
    """An attempt of the last renewable day whose money the provider has; nobody has told us yet."""
    Mailbox.objects.filter(pk=due.pk).update(delete_from=today + timedelta(days=1))
    order = place(due, alice)
    payment = start_card(order, alice, agreed=False)
    sandbox.write(payment.remote_id, status=sandbox.PAID)
    Payment.objects.filter(pk=payment.pk).update(created_at=payment.created_at - timedelta(days=1))
    Mailbox.objects.filter(pk=due.pk).update(delete_from=today)
    return payment


def looked() -> None:
    """Between looking and writing: where the two stories are made to meet."""


def meeting(target: str):
    """`target`, meeting the other story once it has its answer."""
    module, _dot, name = target.rpartition(".")
    real = getattr(__import__(module, fromlist=[name]), name)

    def wrapper(*args, **kwargs):
        answer = real(*args, **kwargs)
        looked()
        return answer

    return mock.patch(target, wrapper)


def register_against_deletion(payment: Payment, due: Mailbox, today, *, blind: bool = False) -> list[object]:
    """Registration stands before its writes, deletion after its last look (`blind`: it does not look again)."""
    look = mock.patch("lifecycle.deletion._is_held", lambda *a: (looked(), False)[1]) if blind else meeting(
        "lifecycle.deletion._is_held"
    )  # fmt: skip
    with meeting_after("tests.races.test_deletion.looked"), look, meeting("payments.recording._pays"):
        return at_once(lambda: money.fetch_and_record(payment.pk), lambda: deletion.begin(box_id=due.pk, today=today))


def test_a_payment_and_the_deletion_never_both_win(due, paying, today):
    results = register_against_deletion(paying, due, today)
    assert not [r for r in results if isinstance(r, Exception)], results
    box, order = Mailbox.objects.get(), Order.objects.get()
    assert (box.phase, order.status, box.expires_on.year) == ("live", "fulfilled", due.expires_on.year + 1)
    assert Case.objects.count() == 0
    flows.run_for(today)
    assert Mailbox.objects.get().phase == "live"


@pytest.mark.parametrize("first", ["registration", "deletion"])
def test_whichever_comes_first_the_end_is_whole(due, paying, today, first):
    """The hold of fifteen days is over: then the deletion may win, and the money is a case."""
    Mailbox.objects.update(delete_from=today - timedelta(days=15))
    Payment.objects.update(created_at=paying.created_at - timedelta(days=20))
    stories = [lambda: money.fetch_and_record(paying.pk), lambda: deletion.begin(box_id=due.pk, today=today)]
    with mock.patch("payments.box_gone.close_attempts", lambda orders: None):
        at_once(*(stories if first == "registration" else reversed(stories)))
    money.fetch_and_record(paying.pk)
    box, order = Mailbox.objects.get(), Order.objects.get()
    found = (box.phase, order.status, [c.kind for c in Case.objects.all()])
    assert found in [("live", "fulfilled", []), ("deleting", "lapsed", ["too_late"])]


def test_control_without_locks_and_without_the_second_look_a_paid_box_is_deleted(due, paying, today):
    with (
        no_locks(),
        mock.patch("django.db.models.QuerySet.select_for_update", lambda self, **options: self),
        mock.patch("payments.box_gone.close_attempts", lambda orders: None),  # what it finds paid it registers
    ):
        register_against_deletion(paying, due, today, blind=True)
    assert Mailbox.objects.get().phase == "deleting"
    assert ends_of(Order.objects.get()) == {"paid", "lapsed"}  # both won


def test_control_with_the_locks_but_without_the_second_look_a_paid_box_is_deleted(due, paying, today):
    """The manifest said that it goes; the money was registered between; who does not look again deletes it."""
    money.fetch_and_record(paying.pk)
    assert Mailbox.objects.get().expires_on.year == due.expires_on.year + 1
    with mock.patch("lifecycle.deletion._is_held", lambda *a: False):
        assert deletion.begin(box_id=due.pk, today=today)
    assert Mailbox.objects.get().phase == "deleting"


def hold_against_deletion(due, dario, today) -> list[object]:
    with (
        meeting_after("tests.races.test_deletion.looked"),
        meeting("lifecycle.deletion._is_held"),
        mock.patch("lifecycle.holds.clock.now", lambda real=holds.clock.now: (looked(), real())[1]),
    ):
        return at_once(
            lambda: deletion.begin(box_id=due.pk, today=today),
            lambda: holds.place_hold(box_id=due.pk, actor=dario, why="in causa"),
        )


def test_a_hold_comes_before_the_point_of_no_return_or_is_refused(due, dario, today):
    results = hold_against_deletion(due, dario, today)
    held, phase = StaffHold.objects.count(), Mailbox.objects.get().phase
    assert (held, phase) in [(1, "live"), (0, "deleting")]
    assert isinstance(results[1], RefusedError) is (held == 0)


def test_control_without_the_lock_a_held_box_is_deleted(due, dario, today):
    with no_locks():
        hold_against_deletion(due, dario, today)
    assert (StaffHold.objects.count(), Mailbox.objects.get().phase) == (1, "deleting")


def test_two_runs_at_once_delete_each_box_once(make_box, alice, today):
    boxes = [make_box(alice, f"persa{n}", expires_in=-100) for n in range(6)]
    warn_twice(*boxes)
    manifest.make_manifest(today)

    def work_off() -> int:
        done = 0
        for box in boxes:
            done += deletion.begin(box_id=box.pk, today=today)
            deletion.purge(box.pk)
        return done

    results = at_once(work_off, work_off)
    assert sum(results) == 6, results
    deletion.finish_pending()
    assert set(Mailbox.objects.values_list("phase", flat=True)) == {"deleted"}
    for box in boxes:
        kinds = list(box.events.filter(kind__startswith="delet").values_list("kind", flat=True))
        assert kinds == ["deleting", "deleted"]
