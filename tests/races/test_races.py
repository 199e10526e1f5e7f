"""Two connections at once on PostgreSQL. Each race has its control: with the lock off, the same two do the damage.

Both stories are made to meet at the point between looking and writing. With the lock the second cannot get there before
the first has committed, so the meeting times out; without it both get there.
"""

import threading
from collections.abc import Callable
from contextlib import contextmanager
from unittest import mock

import pytest
from django.db import connection, connections

from mailboxes.models import Mailbox
from payments import auto_renewal, bank, flows
from payments.models import Allocation, Case, Receipt, StoredMethod
from payments.providers import sandbox
from pecportal.errors import RefusedError
from renewals import flows as orders
from renewals import undoing
from renewals.models import Order, OrderEvent, OrderLine
from tests.helpers import place, start_card

pytestmark = [
    pytest.mark.race,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="races need PostgreSQL's row locks"),
]


def at_once(*stories: Callable[[], object]) -> list[object]:
    """Run each story in a thread with a connection of its own; returns what each returned or raised."""
    results: list[object] = [None] * len(stories)

    def run(index: int, story: Callable[[], object]) -> None:
        try:
            results[index] = story()
        except Exception as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(stories)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(t.is_alive() for t in threads), "a race ended in a deadlock"
    return results


PATIENCE = 3  # seconds that one waits for the other, which a lock may hold back


@contextmanager
def meeting_after(target: str):
    """Make the first two calls of `target` wait for each other once they have their answer; nobody came: it fails."""
    barrier = threading.Barrier(2)
    calls = []
    module, _, name = target.rpartition(".")
    original = getattr(__import__(module, fromlist=[name]), name)

    def wrapper(*args, **kwargs):
        answer = original(*args, **kwargs)
        calls.append(target)
        if len(calls) <= 2:
            try:
                barrier.wait(timeout=PATIENCE)
            except threading.BrokenBarrierError:
                pass
        return answer

    with mock.patch(target, wrapper):
        yield
    assert calls, f"the race does not go through {target}: it proves nothing"


@contextmanager
def no_locks():
    """The control: every row lock of orders, boxes and payments off."""
    with (
        mock.patch(f"{__name__}.PATIENCE", 10),  # nothing holds the other back: it comes, if slowly
        mock.patch("renewals.models.OrderQuerySet.locked", lambda self: self),
        mock.patch("payments.models.PaymentQuerySet.locked", lambda self: self),
        mock.patch("mailboxes.models.boxes.MailboxQuerySet.locked", lambda self: self),
    ):
        yield


@contextmanager
def without_constraint(model, name: str):
    constraint = next(c for c in model._meta.constraints if c.name == name)
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, constraint)
    try:
        yield
    finally:
        OrderEvent.objects.all().delete()
        model.objects.filter(is_open=True).update(is_open=False, status="closed")
        with connection.schema_editor() as editor:
            editor.add_constraint(model, constraint)


# --- Two tabs confirm at once → one order (R9) ------------------------------------------------------------


def confirm_twice(box: Mailbox, user) -> list[object]:
    with meeting_after("renewals.flows.facts"):
        return at_once(lambda: place(box, user), lambda: place(box, user))


def test_two_confirmations_make_one_order(box, alice):
    results = confirm_twice(box, alice)
    assert Order.objects.count() == 1
    refused = [r for r in results if isinstance(r, Exception)]
    assert [type(r).__name__ for r in refused] == ["AlreadyOrderedError"]
    assert refused[0].order == Order.objects.get()


def test_two_confirmations_without_the_lock_are_stopped_by_the_constraint(box, alice):
    with no_locks():
        results = confirm_twice(box, alice)
    assert Order.objects.count() == 1
    assert [type(r).__name__ for r in results if isinstance(r, Exception)] == ["AlreadyOrderedError"]


def test_control_two_confirmations_without_lock_and_constraint_double_the_order(box, alice):
    with without_constraint(OrderLine, "line_one_open_per_box"), no_locks():
        confirm_twice(box, alice)
        assert Order.objects.count() == 2


# --- Registration against Annulla (R12b, R21) ------------------------------------------------------------


def register_against_cancel(order: Order, alice, dario) -> list[object]:
    receipt = bank.record_receipt(
        bank_account="IT60", bank_reference="X1", amount=order.amount_due,
        value_date=order.confirmed_at.date(), actor=dario,
    )  # fmt: skip
    with (
        meeting_after("tests.races.test_races.looked"),
        mock.patch("renewals.settle.fix_fiscal_data", lambda *a: looked()),
        mock.patch("renewals.undoing._close", closing),
    ):
        return at_once(
            lambda: bank.allocate(receipt_id=receipt.pk, order_id=order.pk, actor=dario),
            lambda: flows.cancel_order(order_id=order.pk, actor=alice),
        )


def looked() -> None:
    """Between looking and writing: where the two stories are made to meet."""


real_close = undoing._close


def closing(*args, **kwargs):
    looked()
    return real_close(*args, **kwargs)


def ends_of(order: Order) -> set[str]:
    return set(
        OrderEvent.objects.filter(order=order, line=None, before="awaiting_payment").values_list("after", flat=True)
    )


def test_registration_against_annulla_has_one_winner(box, alice, dario):
    order = place(box, alice)
    register_against_cancel(order, alice, dario)
    order.refresh_from_db()
    ended = ends_of(order)
    if ended == {"paid"}:
        assert order.status == "fulfilled"
        assert Allocation.objects.filter(order=order).count() == 1
        assert Case.objects.filter(closed_at=None).count() == 0
    else:
        assert ended == {"cancelled"}
        assert order.status == "cancelled"
        assert Allocation.objects.count() == 0
        assert [c.kind for c in Case.objects.filter(closed_at=None)] == ["too_late"]  # the money is not lost


def test_control_registration_against_annulla_without_the_lock_does_both(box, alice, dario):
    order = place(box, alice)
    with no_locks():
        register_against_cancel(order, alice, dario)
    assert ends_of(order) == {"paid", "cancelled"}


# --- Two receipts for one order (R21, R21b) ------------------------------------------------------------


def allocate_two(order: Order, dario) -> list[object]:
    receipts = [
        bank.record_receipt(
            bank_account="IT60", bank_reference=ref, amount=order.amount_due,
            value_date=order.confirmed_at.date(), actor=dario,
        )
        for ref in ("Y1", "Y2")
    ]  # fmt: skip
    with meeting_after("renewals.settle.refusal_for"):
        return at_once(*[lambda r=r: bank.allocate(receipt_id=r.pk, order_id=order.pk, actor=dario) for r in receipts])


def test_two_receipts_pay_an_order_once(box, alice, dario):
    expiry = box.expires_on
    order = place(box, alice)
    results = allocate_two(order, dario)
    assert sorted(r.paid for r in results) == [False, True]
    assert [a.amount for a in Allocation.objects.filter(order=order)] == [order.amount_due]
    assert [(c.kind, c.amount) for c in Case.objects.filter(closed_at=None)] == [("too_late", order.amount_due)]
    box.refresh_from_db()
    assert box.expires_on.year == expiry.year + 1


def test_control_two_receipts_without_the_lock_are_both_allocated(box, alice, dario):
    order = place(box, alice)
    with no_locks():
        allocate_two(order, dario)
    assert Allocation.objects.filter(order=order).count() == 2


# --- The same news twice, and two tabs paying ------------------------------------------------------------


def test_the_same_news_at_once_is_recorded_once(box, alice):
    order = place(box, alice)
    payment = start_card(order, alice)
    sandbox.write(payment.remote_id, status=sandbox.PAID)
    at_once(*[lambda: flows.fetch_and_record(payment.pk)] * 4)
    assert Allocation.objects.filter(order=order).count() == 1
    assert payment.events.filter(after="registered").count() == 1
    box.refresh_from_db()
    assert box.periods.count() == 2  # the opening and one year


def test_two_tabs_paying_have_one_live_attempt(box, alice):
    order = place(box, alice)
    results = at_once(lambda: start_card(order, alice), lambda: start_card(order, alice))
    assert all(not isinstance(r, Exception) or isinstance(r, RefusedError) for r in results), results
    assert order.payments.live().count() == 1


# --- One receipt, two orders (R21b) ------------------------------------------------------------------------


def allocate_to_two(box: Mailbox, other: Mailbox, alice, dario) -> list[object]:
    two = [place(box, alice), place(other, alice)]
    receipt = bank.record_receipt(
        bank_account="IT60", bank_reference="Z1", amount=two[0].amount_due,
        value_date=two[0].confirmed_at.date(), actor=dario,
    )  # fmt: skip
    with meeting_after("renewals.settle.refusal_for"):
        return at_once(*[lambda o=o: bank.allocate(receipt_id=receipt.pk, order_id=o.pk, actor=dario) for o in two])


def test_one_receipt_never_pays_two_orders(box, make_box, alice, dario):
    results = allocate_to_two(box, make_box(alice, "altra"), alice, dario)
    assert sorted(type(r).__name__ for r in results) == ["Allocated", "RefusedError"]
    assert Allocation.objects.count() == 1
    assert sorted(Order.objects.values_list("status", flat=True)) == ["awaiting_payment", "fulfilled"]
    assert Case.objects.filter(closed_at=None).count() == 0


def test_control_one_receipt_without_the_lock_pays_two_orders(box, make_box, alice, dario):
    with no_locks(), mock.patch("django.db.models.QuerySet.select_for_update", lambda self, **options: self):
        allocate_to_two(box, make_box(alice, "altra"), alice, dario)
    assert Allocation.objects.count() == 2


def test_the_same_movement_recorded_twice_at_once_is_one(box, alice, dario):
    order = place(box, alice)
    facts = {"bank_account": "IT60", "bank_reference": "W1", "amount": order.amount_due, "actor": dario}
    day = order.confirmed_at.date()
    results = at_once(*[lambda: bank.record_and_match(order=order, value_date=day, **facts)] * 3)
    assert sorted(isinstance(r, RefusedError) for r in results) == [False, True, True], results
    assert (Receipt.objects.count(), Allocation.objects.count()) == (1, 1)


# --- Automatic renewal by hand against a confirmation (R4, R24) --------------------------------------------


def turn_on_against_confirmation(box: Mailbox, alice) -> list[object]:
    method = StoredMethod.objects.create(login=alice, provider="sandbox", remote_id="card_1", label="Carta")
    with (
        meeting_after("tests.races.test_races.looked"),
        mock.patch("renewals.flows._free_number", lambda kind, real=orders._free_number: (looked(), real(kind))[1]),
        mock.patch("payments.auto_renewal.amount_of", lambda *a, **k: (looked(), 12)[1]),
    ):
        return at_once(
            lambda: auto_renewal.turn_on(box_id=box.pk, user=alice, method_id=method.pk, years=1),
            lambda: place(box, alice),
        )


def test_a_box_is_never_both_on_automatic_renewal_and_ordered(box, alice):
    results = turn_on_against_confirmation(box, alice)
    assert sum(isinstance(r, RefusedError) for r in results) == 1, results
    box.refresh_from_db()
    assert (box.auto_renews, Order.objects.count()) in {(True, 0), (False, 1)}


def test_control_without_the_lock_it_is_both(box, alice):
    with no_locks():
        turn_on_against_confirmation(box, alice)
    box.refresh_from_db()
    assert (box.auto_renews, Order.objects.count()) == (True, 1)
