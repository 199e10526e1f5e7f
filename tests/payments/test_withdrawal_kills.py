"""The process is killed between any two steps of a withdrawal: before its commit nothing happened, then beat ends it.

A kill is no Exception: nobody catches it, as nobody catches a kill (R19, R26b, R28).
"""

from datetime import timedelta
from unittest import mock

import pytest
import time_machine
from post_office.models import Email

from lifecycle.flows import run_day
from mailboxes import telling
from mailboxes.models import BoxEvent, Mailbox
from payments import refunds, withdrawal
from payments.models import AutoRenewal, Case, Payment, Refund, Withdrawal
from pecportal import clock
from renewals.models import Order
from tests.helpers import pay_card, place
from tests.payments.money import money_adds_up
from tests.payments.test_kills import Killed, _real

pytestmark = pytest.mark.django_db(transaction=True)
IN_IT = [
    "payments.withdrawal.give_back",
    "payments.refunds.ask",
    "renewals.undoing.reverse",
    "mailboxes.reversals._take_back",
    "mailboxes.reversals.put_back_space",
    "payments.scheduled.expiry_came_back",
    "payments.auto_renewal.end_with_order",
    "pecportal.mail.send",
]
AFTER_IT = [
    "payments.refunds.nudge",
    "renewals.giving.nudge_platform",
    "mailboxes.flows.start_change",
    "payments.providers.sandbox.Sandbox.refund",
    "payments.refunds.record",
]


def leave(order, alice):
    shown = withdrawal.offer(Order.objects.get(pk=order.pk), today=clock.today()).amount
    withdrawal.withdraw(
        order_id=order.pk, user=alice, name="Alice", email="mario@posta.example", iban="", shown=shown
    )  # fmt: skip


def beat(watch) -> None:
    for _turn in range(4):
        watch.shift(timedelta(minutes=70))
        refunds.send_due()
        run_day()
        telling.tell_platform()


@pytest.mark.parametrize("point", IN_IT + AFTER_IT)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at(make_box, alice, plans, platform, point, after):
    box = make_box(alice, "cresce")
    order = place(box, alice, plan=plans.pro)  # so that space goes back too
    pay_card(order, alice)
    telling.tell_platform()
    renewed = Mailbox.objects.get()
    assert (renewed.plan.code, renewed.auto_renews) == ("pro", True)
    Email.objects.all().delete()
    real, killed = _real(point), []

    def kill(*args, **kwargs):
        if after:
            real(*args, **kwargs)
        killed.append(point)
        raise Killed

    with time_machine.travel(clock.now(), tick=False) as watch:
        with mock.patch(point, kill), pytest.raises(Killed):
            leave(order, alice)
            refunds.send_due()
        assert killed == [point]
        if point in IN_IT:
            found = Mailbox.objects.select_related("plan").get()
            assert (Withdrawal.objects.count(), Refund.objects.count(), Email.objects.count()) == (0, 0, 0)
            assert (found.expires_on, found.plan.code, found.auto_renews) == (renewed.expires_on, "pro", True)
            assert Order.objects.get().status == "fulfilled"
            beat(watch)
            assert (Withdrawal.objects.count(), Order.objects.get().status) == (0, "fulfilled")
            leave(order, alice)  # the customer, who saw an error, does it again
        beat(watch)
    found = Mailbox.objects.select_related("plan").get()
    assert (Order.objects.get().status, Withdrawal.objects.get().amount) == ("reversed", order.amount_due)
    assert [(r.amount, r.status) for r in Refund.objects.all()] == [(order.amount_due, "done")]
    assert Payment.objects.get().status == "refunded"
    assert (found.expires_on, found.delete_from, found.auto_renews) == (box.expires_on, box.delete_from, False)
    assert (found.plan.code, found.archive_gb, found.change_on, found.platform_due_at) == ("standard", 0, None, None)
    assert BoxEvent.objects.filter(kind="reversed").count() == 1
    assert AutoRenewal.objects.filter(ended_at=None).count() == 0
    assert Case.objects.count() == 0
    told = [mail.to for mail in Email.objects.filter(subject__icontains="recesso")]
    assert sorted(told) == [["alice@posta.example"], ["mario@posta.example"]]
    kept = platform.state_of("cresce@pec.example")
    assert (kept["mailbox_gb"], kept["archive_gb"]) == (1, 0)
    money_adds_up()
