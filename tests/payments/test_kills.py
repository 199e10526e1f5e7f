"""The process is killed between any two steps from the confirmation to the new expiry, and beat finishes the work.

Nothing paid is lost, nothing is doubled (R15, R19, R28). A kill is a SystemExit that the test raises at that point.
"""

from datetime import timedelta
from unittest import mock

import pytest
import time_machine

from lifecycle.flows import run_day
from mailboxes import telling
from mailboxes.models import Mailbox
from mailboxes.rules import GB
from payments import flows, sync
from payments.models import Allocation, AutoRenewal, Case, Payment, StoredMethod
from payments.providers import sandbox
from pecportal import clock
from renewals import giving
from renewals.models import Order
from tests.helpers import place, start_card, years_later

pytestmark = pytest.mark.django_db(transaction=True)

KILLS = [
    "payments.providers.sandbox.Sandbox.start",
    "payments.recording._write",
    "payments.recording._pays",
    "renewals.settle.mark_paid",
    "payments.auto_renewal.after_payment",
    "payments.recording.after_paid",
    "renewals.giving._fulfil_line",
    "mailboxes.flows.order_capacity",
    "renewals.giving._tell_fulfilled",
    "mailboxes.flows.start_change",
]


class Killed(BaseException):
    """Not an Exception: nobody catches it, as nobody catches a kill."""


def beat(watch, minutes: int = 2) -> None:
    watch.shift(timedelta(minutes=minutes))
    sync.sync_due()
    sync.fulfil_due()
    run_day()
    telling.tell_platform()


@pytest.mark.parametrize("point", KILLS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at(make_box, alice, plans, platform, point, after):
    box = make_box(alice, "pro", plan="pro", expires_in=-5)  # Scaduta: the smaller plan starts at once
    order = place(box, alice, plan=plans.standard)
    real = _real(point)

    def kill(*args, **kwargs):
        if after:
            real(*args, **kwargs)
        raise Killed

    with time_machine.travel(clock.now(), tick=False) as watch:
        with mock.patch(point, kill), pytest.raises(Killed):
            start_card(order, alice)
            sandbox.write(Payment.objects.get().remote_id, status=sandbox.PAID)
            flows.fetch_and_record(Payment.objects.get().pk)
        remote_id = f"sbx_{Payment.objects.get().public_id.hex}"
        if after or point != KILLS[0]:
            sandbox.write(remote_id, status=sandbox.PAID)
        for _turn in range(3):
            beat(watch, minutes=70)
        payment, order = Payment.objects.get(), Order.objects.get()
        if point == KILLS[0] and not after:
            assert (payment.status, order.status) == ("failed", "awaiting_payment")  # nobody was asked for money
            return
    found = Mailbox.objects.select_related("plan").get()
    assert (payment.status, order.status) == ("registered", "fulfilled")
    assert [a.amount for a in Allocation.objects.all()] == [order.amount_due]
    assert found.periods.count() == 2
    assert found.expires_on == years_later(box.expires_on)
    assert (found.plan.code, found.change_on, found.platform_due_at) == ("standard", None, None)
    assert AutoRenewal.objects.filter(ended_at=None).count() == 1
    assert Case.objects.count() == 0
    kept = platform.state_of("pro@pec.example")
    assert (kept["state"], kept["mailbox_gb"], kept["archive_gb"]) == ("attiva", 1, 0)


def _real(point: str):
    module, _, name = point.rpartition(".")
    if module.endswith("Sandbox"):
        return getattr(sandbox.Sandbox, name)
    return getattr(__import__(module, fromlist=[name]), name)


def test_killed_between_attention_and_its_case(box, alice):
    """The order and what staff must decide about it are one transaction."""
    order = place(box, alice)
    sandbox.write(start_card(order, alice).remote_id, status=sandbox.PAID)
    with (
        mock.patch("renewals.giving._fulfil_line", lambda *a: "non si può"),
        mock.patch("payments.cases.open_for_attention", side_effect=Killed),
        pytest.raises(Killed),
    ):
        flows.fetch_and_record(Payment.objects.get().pk)
    assert (Order.objects.get().status, Case.objects.count()) == ("paid", 0)
    with mock.patch("renewals.giving._fulfil_line", lambda *a: "non si può"):
        sync.fulfil_due()
    assert (Order.objects.get().status, [c.kind for c in Case.objects.all()]) == ("attention", ["line"])


def test_more_orders_that_cannot_be_fulfilled_than_one_turn_took_keep_none_waiting(make_box, alice, monkeypatch):
    orders = [place(make_box(alice, f"b{n}"), alice) for n in range(3)]
    Order.objects.update(status="paid", paid_at=clock.now())
    real = giving.fulfil

    def broken(order_id, **kwargs):
        if order_id != orders[-1].pk:
            raise OSError
        real(order_id, **kwargs)

    monkeypatch.setattr(giving, "fulfil", broken)
    assert sync.fulfil_due() == 3
    assert sorted(Order.objects.values_list("status", flat=True)) == ["fulfilled", "paid", "paid"]
    assert sync.fulfil_due(seconds=0) == 2


# --- Consequences never undo money ------------------------------------------------------------------------------------


def test_an_error_in_the_automatic_renewal_never_undoes_the_money(box, alice):
    order = place(box, alice)
    sandbox.write(start_card(order, alice).remote_id, status=sandbox.PAID)
    with mock.patch("payments.auto_renewal._tell", side_effect=ValueError("a template")):
        flows.fetch_and_record(Payment.objects.get().pk)
    box.refresh_from_db()
    assert (Payment.objects.get().status, Order.objects.get().status) == ("registered", "fulfilled")
    assert (box.auto_renews, AutoRenewal.objects.count()) == (False, 0)


def test_a_card_that_was_removed_and_is_given_again_is_a_saved_card(make_box, alice):
    first = place(make_box(alice, "prima"), alice)
    sandbox.write(start_card(first, alice).remote_id, status=sandbox.PAID, card="card_1")
    flows.fetch_and_record(Payment.objects.get().pk)
    StoredMethod.objects.update(removed_at=clock.now())
    second = place(make_box(alice, "seconda"), alice)
    attempt = start_card(second, alice)
    sandbox.write(attempt.remote_id, status=sandbox.PAID, card="card_1")
    flows.fetch_and_record(attempt.pk)
    method = StoredMethod.objects.get()
    assert method.removed_at is None
    assert AutoRenewal.objects.filter(method=method, box__address__name="seconda@pec.example").count() == 1


def test_an_unknown_provider_leaves_no_attempt_behind(box, alice):
    order = place(box, alice)
    with pytest.raises(KeyError):
        flows.start(
            order_id=order.pk, provider="gone", user=alice, auto_renewal_agreed=False,
            return_url=lambda p: "/", cancel_url="/",
        )  # fmt: skip
    assert Payment.objects.count() == 0


def test_a_platform_that_is_away_undoes_nothing_and_the_change_starts_later(make_box, alice, plans, platform):
    box = make_box(alice, "pro", plan="pro", expires_in=-5)
    platform.set_usage("pro@pec.example", GB)
    order = place(box, alice, plan=plans.standard)
    sandbox.write(start_card(order, alice).remote_id, status=sandbox.PAID)
    with mock.patch("mailboxes.flows.measured", side_effect=OSError):
        flows.fetch_and_record(Payment.objects.get().pk)
    assert (Order.objects.get().status, Mailbox.objects.get().change_on) == ("fulfilled", clock.today())
    run_day()
    assert Mailbox.objects.get().change_on is None
