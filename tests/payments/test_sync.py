"""When an attempt without an outcome is asked about again: 1 minute, 5, an hour, daily, then a case (R19)."""

from datetime import timedelta

import pytest
import time_machine
from post_office.models import Email

from payments import flows, recording, sync
from payments.models import Case, Payment
from payments.providers import sandbox
from pecportal import clock
from renewals.models import Order
from tests.helpers import place, start_card

pytestmark = pytest.mark.django_db
WAITS = [timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1), *[timedelta(days=1)] * 4]


@pytest.fixture
def asked(monkeypatch):
    """The attempts that the provider was asked about, in order."""
    calls = []
    fetch = sandbox.Sandbox.fetch

    def spy(self, payment):
        calls.append(payment.pk)
        return fetch(self, payment)

    monkeypatch.setattr(sandbox.Sandbox, "fetch", spy)
    return calls


@pytest.mark.parametrize("said", [sandbox.PENDING, sandbox.TIMEOUT])
def test_the_times_at_which_it_is_asked(order, alice, asked, said):
    with time_machine.travel(clock.now(), tick=False) as watch:
        attempt = start_card(order, alice)
        assert flows.claim(attempt.pk)
        sandbox.write(attempt.remote_id, status=said)
        for number, wait in enumerate(WAITS, start=1):
            watch.shift(wait - timedelta(seconds=1))
            assert sync.sync_due() == 0
            watch.shift(timedelta(seconds=1))
            assert sync.sync_due() == 1
            assert (len(asked), Case.objects.count()) == (number, 1 if number >= 6 else 0)
    case = Case.objects.get()
    assert (case.kind, case.order_id, case.payment_id, case.amount) == ("stuck", order.pk, attempt.pk, attempt.amount)
    assert Payment.objects.get().status == ("unknown" if said == sandbox.TIMEOUT else "pending")


def test_who_never_came_back_from_the_provider_leaves_nothing_open(order, alice, asked):
    with time_machine.travel(clock.now(), tick=False) as watch:
        start_card(order, alice)
        for wait in WAITS:
            watch.shift(wait)
            sync.sync_due()
    assert (Payment.objects.get().status, Case.objects.count()) == ("cancelled", 0)
    assert not Email.objects.filter(subject__contains="non è riuscito").exists()  # they know that they did not pay


def test_an_answer_stops_the_asking(order, attempt, asked, commits):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False), commits():
        assert (sync.sync_due(), sync.sync_due()) == (1, 0)
    assert (len(asked), Payment.objects.get().next_check_at, Order.objects.get().status) == (1, None, "fulfilled")


def test_a_case_does_not_stop_the_asking_and_late_money_still_renews(order, attempt, asked, commits):
    sandbox.write(attempt.remote_id, status=sandbox.TIMEOUT)
    with time_machine.travel(clock.now(), tick=False) as watch:
        for wait in WAITS:
            watch.shift(wait)
            sync.sync_due()
        sandbox.write(attempt.remote_id, status=sandbox.PAID)
        watch.shift(timedelta(days=1))
        with commits():
            sync.sync_due()
    assert Order.objects.get().status == "fulfilled"


def test_one_that_cannot_be_asked_keeps_none_waiting(order, attempt, make_box, alice, asked):
    Payment.objects.filter(pk=attempt.pk).update(provider="gone")
    other = start_card(place(make_box(alice, "altra"), alice), alice)
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        assert sync.sync_due() == 2
        attempt.refresh_from_db()
        assert (asked, attempt.checks, attempt.status) == ([other.pk], 1, "pending")
        assert attempt.next_check_at == clock.now() + timedelta(minutes=5)


def test_a_second_worker_does_not_ask_what_the_first_is_asking(order, attempt, asked, monkeypatch):
    fetch, second = sandbox.Sandbox.fetch, []

    def slow(self, payment):
        if not second:
            second.append(sync.sync_due())
        return fetch(self, payment)

    monkeypatch.setattr(sandbox.Sandbox, "fetch", slow)
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        assert sync.sync_due() == 1
    assert (second, asked, Payment.objects.get().checks) == ([0], [attempt.pk], 1)


def test_paid_orders_are_fulfilled_by_the_sweep_when_the_nudge_was_lost(order, alice, commits):
    sandbox.write(start_card(order, alice).remote_id, status=sandbox.PAID)
    flows.fetch_and_record(Payment.objects.get().pk)  # its commit hooks never run
    assert Order.objects.get().status == "paid"
    assert (sync.fulfil_due(), sync.fulfil_due()) == (1, 0)
    assert Order.objects.get().status == "fulfilled"


def test_an_order_that_cannot_be_fulfilled_stays_paid_and_keeps_none_waiting(order, alice, make_box, monkeypatch):
    other = place(make_box(alice, "altra"), alice)
    for each in (order, other):
        sandbox.write(start_card(each, alice).remote_id, status=sandbox.PAID)
        flows.fetch_and_record(Payment.objects.latest("id").pk)
    after = recording.after_paid

    def broken(order_id):
        if order_id == order.pk:
            raise OSError("disk")
        after(order_id)

    monkeypatch.setattr(recording, "after_paid", broken)
    assert sync.fulfil_due() == 2
    assert list(Order.objects.order_by("pk").values_list("status", flat=True)) == ["paid", "fulfilled"]


def test_who_was_told_to_wait_is_told_when_it_did_not_go_through(box, alice):
    order = place(box, alice)
    payment = start_card(order, alice)
    sandbox.write(payment.remote_id, status=sandbox.TIMEOUT)
    flows.fetch_and_record(payment.pk)
    sandbox.write(payment.remote_id, status=sandbox.REFUSED)
    before = Email.objects.count()
    flows.fetch_and_record(payment.pk)
    told = Email.objects.order_by("id")[before:]
    assert sorted(m.to[0] for m in told) == ["alice@posta.example", "ordine@posta.example"]
    assert {m.subject for m in told} == {f"alice@pec.example: il pagamento dell'ordine {order.number} non è riuscito"}


def test_who_saw_the_refusal_on_the_page_gets_no_mail_of_it(box, alice):
    order = place(box, alice)
    payment = start_card(order, alice)
    sandbox.write(payment.remote_id, status=sandbox.REFUSED)
    before = Email.objects.count()
    flows.fetch_and_record(payment.pk)
    assert Email.objects.count() == before


def test_it_ends_by_itself_when_providers_are_slow(order, attempt, make_box, alice, asked, monkeypatch):
    start_card(place(make_box(alice, "altra"), alice), alice)
    ticks = iter([0, 199, 200, 200])
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        with monkeypatch.context() as patch:
            patch.setattr(sync.time, "monotonic", lambda: next(ticks))
            sync.sync_due()
        assert asked == [attempt.pk]
        sync.sync_due()
    assert len(asked) == 2
