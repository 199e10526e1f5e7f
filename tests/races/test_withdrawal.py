"""Withdrawal and refunds with two at once; each race with its control (R26b, R21)."""

from datetime import date, timedelta
from itertools import pairwise
from unittest import mock

import pytest
from django.db import connection
from post_office.models import Email

from mailboxes.models import Mailbox
from payments import flows, giving_back, withdrawal
from payments.models import Payment, Refund, Withdrawal
from payments.providers import sandbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place, start_card
from tests.payments.money import money_adds_up
from tests.races import test_races
from tests.races.test_races import at_once, meeting_after, no_locks

pytestmark = [
    pytest.mark.race,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL's row locks"),
]
IBAN = "IT60X0542811101000000123456"


@pytest.fixture
def paid(box, alice):
    order = place(box, alice)
    pay_card(order, alice, agreed=False)
    order.refresh_from_db()
    assert order.status == "fulfilled"
    return order


def leave(order, alice):
    shown = withdrawal.offer(Order.objects.get(pk=order.pk), today=clock.today()).amount
    return lambda: withdrawal.withdraw(
        order_id=order.pk, user=alice, name="Alice", email="mario@posta.example", iban=IBAN, shown=shown
    )


# --- Two tabs, both on the second step ------------------------------------------------------------------------------


def leave_twice(order, alice) -> list[object]:
    stories = [leave(order, alice), leave(order, alice)]
    with meeting_after("payments.withdrawal.refusal"):
        return at_once(*stories)


def test_two_withdrawals_at_once_are_one(paid, box, alice):
    results = leave_twice(paid, alice)
    assert sorted(type(r).__name__ for r in results) == ["RefusedError", "Withdrawal"], results
    assert "Sei già receduto" in str(next(r for r in results if isinstance(r, RefusedError)))
    assert (Withdrawal.objects.count(), [r.amount for r in Refund.objects.all()]) == (1, [paid.amount_due])
    assert Email.objects.filter(subject__icontains="recesso", to=["mario@posta.example"]).count() == 1
    assert Mailbox.objects.get().expires_on == box.expires_on
    money_adds_up()


def test_control_without_the_lock_both_come_to_the_end_and_only_the_constraint_stops_the_second(paid, alice):
    with no_locks():
        results = leave_twice(paid, alice)
    assert sorted(type(r).__name__ for r in results) == ["IntegrityError", "Withdrawal"], results


# --- Against the fulfilment of a later renewal -----------------------------------------------------------------------


def later_order(alice) -> Order:
    """A second renewal of the same box whose money is at the bank; it is recorded in the race."""
    order = place(Mailbox.objects.get(), alice)
    sandbox.write(start_card(order, alice, agreed=False).remote_id, status=sandbox.PAID)
    return order


# Where the withdrawal waits for fulfilment: before it holds the box, and once it has looked at the periods of it.
MEETINGS = ["payments.withdrawal.lock_money", "mailboxes.reversals.refusal_to_reverse"]


def leave_against_fulfilment(first, alice, *, point: str) -> list[object]:
    """Fulfilment has read the box and writes nothing yet; the withdrawal is at `point`."""
    payment = Payment.objects.get(order=later_order(alice))
    story = leave(first, alice)
    with (
        meeting_after("tests.races.test_races.looked"),
        mock.patch(point, met(point)),
        mock.patch("renewals.giving._fulfil_line", met("renewals.giving._fulfil_line", first=True)),
    ):
        return at_once(story, lambda: flows.fetch_and_record(payment.pk))


def met(target: str, *, first: bool = False):
    """`target`, meeting the other story after it has its answer, or first."""
    module, _, name = target.rpartition(".")
    real = getattr(__import__(module, fromlist=[name]), name)

    def wrapped(*args, **kwargs):
        if first:
            test_races.looked()
            return real(*args, **kwargs)
        answer = real(*args, **kwargs)
        test_races.looked()
        return answer

    return wrapped


def in_force() -> list[tuple[date, date]]:
    found = Mailbox.objects.get().periods.filter(reverses=None, reversed_on=None)
    return sorted((period.starts, period.ends) for period in found)


def is_one_line_of_days() -> bool:
    """Each period starts the day after the one before, and the box expires with the last."""
    periods = in_force()
    joined = all(later[0] - earlier[1] == timedelta(days=1) for earlier, later in pairwise(periods))
    return joined and Mailbox.objects.get().expires_on == periods[-1][1]


@pytest.mark.parametrize("point", MEETINGS)
def test_withdrawal_against_the_fulfilment_of_a_later_renewal(paid, alice, point):
    """Whoever is first, the later order is given whole; the withdrawal is done, or refused with the way out."""
    results = leave_against_fulfilment(paid, alice, point=point)
    left, later = Withdrawal.objects.exists(), Order.objects.latest("id")
    assert left != isinstance(results[0], RefusedError), results
    assert isinstance(results[1], Payment), results
    assert (later.status, len(in_force())) == ("fulfilled", 2 if left else 3)  # with the opening
    assert is_one_line_of_days()
    money_adds_up()


def test_control_without_the_lock_the_later_renewal_stands_on_days_that_were_taken_away(paid, alice):
    with no_locks():
        leave_against_fulfilment(paid, alice, point=MEETINGS[1])
    assert Withdrawal.objects.exists()
    assert not is_one_line_of_days()


# --- Two refunds over the same money ----------------------------------------------------------------------------------


def refund_twice(order, dario) -> list[object]:
    """Each for all of it."""
    with meeting_after("payments.giving_back.promised"):
        return at_once(
            *[
                lambda: giving_back.refund_order(
                    order_id=order.pk, amount=order.amount_due, actor=dario, why="correttezza"
                )
            ]
            * 2
        )


def test_two_refunds_of_the_same_card_money_are_one(paid, dario):
    results = refund_twice(paid, dario)
    assert sorted(isinstance(r, RefusedError) for r in results) == [False, True], results
    assert [r.amount for r in Refund.objects.all()] == [paid.amount_due]
    money_adds_up()


def test_control_without_the_lock_the_card_money_goes_back_twice(paid, dario):
    with no_locks(), mock.patch("django.db.models.QuerySet.select_for_update", lambda self, **options: self):
        refund_twice(paid, dario)
    assert [r.amount for r in Refund.objects.all()] == [paid.amount_due] * 2


def test_withdrawal_against_a_refund_by_staff_never_gives_back_more_than_was_paid(paid, alice, dario):
    story = leave(paid, alice)
    with meeting_after("payments.giving_back.promised"):
        at_once(
            story,
            lambda: giving_back.refund_order(order_id=paid.pk, amount=paid.amount_due, actor=dario, why="correttezza"),
        )
    assert sum(r.amount for r in Refund.objects.all()) == paid.amount_due
    money_adds_up()


def test_a_transfer_is_sent_back_once_by_two_of_staff(box, alice, dario):
    order = place(box, alice)
    pay_transfer(order, dario)
    giving_back.refund_order(order_id=order.pk, amount=order.amount_due, actor=dario, why="correttezza")
    case = order.cases.get(closed_at=None)
    with meeting_after("payments.refunds.applied"):
        results = at_once(
            *[
                lambda n=n: giving_back.refund_case(
                    case_id=case.pk, amount=order.amount_due, reference=f"CRO {n}", actor=dario, why="correttezza"
                )
                for n in (1, 2)
            ]
        )
    assert sorted(isinstance(r, RefusedError) for r in results) == [False, True], results
    assert [r.amount for r in Refund.objects.all()] == [order.amount_due]
    money_adds_up()
