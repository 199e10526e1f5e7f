"""One address, two buyers at once: one order, one life; each race with its control (R9, R30)."""

from contextlib import contextmanager
from unittest import mock

import pytest
from django.db import connection

from mailboxes.models import Mailbox
from payments import withdrawal
from payments.models import Withdrawal
from pecportal import clock
from renewals import activation
from renewals.models import Order, OrderEvent, OrderLine
from tests.buying import activate, buy, deleted
from tests.conftest import CODES
from tests.helpers import pay_card
from tests.races.test_races import at_once, meeting_after, no_locks, without_constraint

pytestmark = [
    pytest.mark.race,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL's row locks"),
]


@pytest.fixture
def gone(make_box, alice):
    return deleted(make_box(alice, "persa", expires_in=-150))


@pytest.fixture
def hers(gone, make_box, carla):
    """Carla's account has the same holder, and an older deleted life of the address."""
    box = make_box(carla, "altra")
    holder = box.holder
    holder.codice_fiscale = CODES["alice"]
    holder.save()
    Mailbox.objects.filter(pk=box.pk).update(address=gone.address, phase="deleted", login=None, platform_due_at=None)
    return Mailbox.objects.select_related("address", "holder", "owner", "plan").get(pk=box.pk)


@contextmanager
def nothing_locked():
    """The control: no row lock at all, that of the address neither."""
    with no_locks(), mock.patch("django.db.models.QuerySet.select_for_update", lambda self, **options: self):
        yield


def buy_at_once(*pairs) -> list[object]:
    with meeting_after("renewals.purchase.standing_of"):
        return at_once(*[lambda box=box, user=user: buy(box, user) for box, user in pairs])


def test_two_tabs_make_one_order(gone, alice):
    results = buy_at_once((gone, alice), (gone, alice))
    assert Order.objects.count() == 1
    assert [type(r).__name__ for r in results if isinstance(r, Exception)] == ["AlreadyOrderedError"], results


def test_two_accounts_of_the_same_holder_make_one_order_and_one_life(gone, hers, alice, carla):
    results = buy_at_once((gone, alice), (hers, carla))
    order = Order.objects.get()
    refused = [str(r) for r in results if isinstance(r, Exception)]
    assert refused == ["Lo stesso titolare ha già un ordine di acquisto per questo indirizzo."]
    pay_card(order, order.owner, agreed=False)
    assert activate() == 1
    life = Mailbox.objects.exclude(phase="deleted").get()
    assert (life.address, life.owner, life.phase) == (gone.address, order.owner, "live")


def test_without_the_lock_the_constraint_stops_the_second(gone, hers, alice, carla):
    with nothing_locked():
        results = buy_at_once((gone, alice), (hers, carla))
    assert Order.objects.count() == 1
    assert [type(r).__name__ for r in results if isinstance(r, Exception)] == ["RefusedError"], results


def test_control_without_lock_and_constraint_there_are_two_orders_and_still_one_life(gone, hers, alice, carla):
    with without_constraint(OrderLine, "line_one_open_per_address"):
        with nothing_locked():
            buy_at_once((gone, alice), (hers, carla))
        assert Order.objects.count() == 2
        for order in Order.objects.all():
            pay_card(order, order.owner, agreed=False)
        assert Mailbox.objects.exclude(phase="deleted").count() == 1


def test_two_workers_begin_one_life(gone, alice):
    order = buy(gone, alice)
    pay_card(order, alice, agreed=False)
    with meeting_after("renewals.activation.get_platform"):
        results = at_once(activate, activate)
    assert sorted(results) == [0, 1]  # type: ignore[type-var]
    assert [e.after for e in OrderEvent.objects.filter(order=order, line=None)] == [
        "awaiting_payment", "paid", "fulfilled",
    ]  # fmt: skip


def begin_at_once(order) -> list[object]:
    box = Mailbox.objects.exclude(phase="deleted").get()
    facts = {"order_id": order.pk, "line_id": order.lines.get().pk, "box_id": box.pk}
    with meeting_after("mailboxes.activation.mailbox_login"):
        return at_once(*[lambda: activation.begin_life(**facts, on_active=lambda order, box: None)] * 2)


def test_two_confirmations_of_the_mail_system_give_once(gone, alice):
    order = buy(gone, alice)
    pay_card(order, alice, agreed=False)
    assert sorted(begin_at_once(order)) == [False, True]  # type: ignore[type-var]


def test_control_without_the_lock_only_the_constraint_of_the_period_stops_the_second(gone, alice):
    order = buy(gone, alice)
    pay_card(order, alice, agreed=False)
    with nothing_locked():
        results = begin_at_once(order)
    assert sorted(type(r).__name__ for r in results) == ["IntegrityError", "bool"], results
    assert Mailbox.objects.get(phase="live").periods.count() == 1


def withdraw_against_life(gone, alice) -> tuple[Order, list[object]]:
    order = buy(gone, alice)
    pay_card(order, alice, agreed=False)
    box = Mailbox.objects.exclude(phase="deleted").get()
    facts = {"order_id": order.pk, "line_id": order.lines.get().pk, "box_id": box.pk}
    order.refresh_from_db()
    shown = withdrawal.offer(order, today=clock.today()).amount

    def leave():
        return withdrawal.withdraw(
            order_id=order.pk, user=alice, name="Alice", email="mario@posta.example", iban="", shown=shown
        )

    with (
        meeting_after("tests.races.test_purchase.looked"),
        mock.patch("payments.withdrawal.offer", lambda *a, real=withdrawal.offer, **k: (looked(), real(*a, **k))[1]),
        mock.patch(
            "renewals.giving.complete",
            lambda *a, real=activation.giving.complete, **k: (looked(), real(*a, **k))[1],
        ),
    ):
        results = at_once(leave, lambda: activation.begin_life(**facts, on_active=lambda order, box: None))
    order.refresh_from_db()
    return order, results


def looked() -> None:
    """Between looking and writing: where the two stories are made to meet."""


def test_withdrawal_against_the_first_day_has_one_outcome(gone, alice):
    order, _results = withdraw_against_life(gone, alice)
    life = Mailbox.objects.exclude(phase="deleted").get()
    if order.status == "refunded":  # before: it never lives
        assert (life.phase, order.lines.get().status) == ("activating", "refunded")
        assert activate() == 1 or life.platform_due_at > clock.now()
    else:  # after: what was given is taken back
        assert (order.status, life.phase, life.expires_on) == ("reversed", "live", clock.today())


def test_control_withdrawal_without_the_lock_refunds_a_box_that_lives(gone, alice):
    with nothing_locked():
        order, _results = withdraw_against_life(gone, alice)
    life = Mailbox.objects.exclude(phase="deleted").get()
    assert Withdrawal.objects.get().amount == order.total  # all the money back, and the whole year given
    assert (life.phase, life.expires_on > clock.today()) == ("live", True)
