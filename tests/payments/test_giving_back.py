"""Money that goes back or pays another order: cases, goodwill, attention; once, never more than there is (R21)."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine

from mailboxes.models import Mailbox
from payments import bank, flows, giving_back, recording, refunds
from payments.models import Allocation, Case, Payment, Refund
from payments.providers import sandbox
from payments.providers.base import Outcome, Result
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place
from tests.payments.money import money_adds_up

pytestmark = pytest.mark.django_db


@pytest.fixture
def late(order, alice):
    """€ 12.08 of Alice's card for an order that was cancelled meanwhile: it pays nothing."""
    from tests.helpers import start_card

    payment = start_card(order, alice)
    flows.cancel_order(order_id=order.pk, actor=alice)
    recording.record_outcome(payment.pk, Outcome(Result.REGISTERED, amount=D("12.08"), currency="EUR"))
    sandbox.write(payment.remote_id, status=sandbox.PAID)
    return Case.objects.get()


def test_a_case_is_refunded_once_and_no_more_than_there_is(late, dario):
    facts = {"case_id": late.pk, "reference": "", "actor": dario, "why": "annullato"}
    with pytest.raises(RefusedError, match="al massimo €\u00a012,08"):
        giving_back.refund_case(amount=D("12.09"), **facts)
    giving_back.refund_case(amount=D("12.08"), **facts)
    with pytest.raises(RefusedError, match="già chiuso"):
        giving_back.refund_case(amount=D("12.08"), **facts)
    money_adds_up_but_sent()
    refunds.send_due()
    assert (Payment.objects.get().status, Refund.objects.get().status) == ("refunded", "done")
    money_adds_up()


def money_adds_up_but_sent():
    assert [(r.amount, r.status, r.order_id) for r in Refund.objects.all()] == [(D("12.08"), "created", None)]
    money_adds_up()


def test_part_of_a_case_leaves_the_rest_in_one(late, dario):
    giving_back.refund_case(case_id=late.pk, amount=D("2.00"), reference="", actor=dario, why="parte")
    rest = Case.objects.get(closed_at=None)
    assert (rest.kind, rest.amount) == ("over", D("10.08"))
    money_adds_up()
    giving_back.refund_case(case_id=rest.pk, amount=D("10.08"), reference="", actor=dario, why="tutto")
    refunds.send_due()
    assert Payment.objects.get().status == "refunded"
    money_adds_up()


def test_card_money_pays_another_order_of_the_same_account_only(late, alice, carla, make_box, dario, commits):
    stranger = place(make_box(carla, "carla"), carla)
    with pytest.raises(RefusedError, match="altro account"):
        giving_back.attribute_case(case_id=late.pk, order_id=stranger.pk, actor=dario)
    other = place(make_box(alice, "altra"), alice)
    with commits():
        done = giving_back.attribute_case(case_id=late.pk, order_id=other.pk, actor=dario)
    other.refresh_from_db()
    assert (done.paid, other.status, Case.objects.filter(closed_at=None).count()) == (True, "fulfilled", 0)
    assert [(a.order_id, a.amount, a.made_by) for a in Allocation.objects.all()] == [(other.pk, D("12.08"), dario)]
    money_adds_up()
    with pytest.raises(RefusedError, match="già chiuso"):
        giving_back.attribute_case(case_id=late.pk, order_id=other.pk, actor=dario)


def test_card_money_given_to_an_order_that_ends_comes_back(late, alice, make_box, dario):
    other = place(make_box(alice, "altra"), alice, years=2)
    giving_back.attribute_case(case_id=late.pk, order_id=other.pk, actor=dario)
    money_adds_up_waiting = Case.objects.get(closed_at=None)
    assert (money_adds_up_waiting.kind, money_adds_up_waiting.amount) == ("short", D("12.08"))
    flows.cancel_order(order_id=other.pk, actor=alice)
    back = Case.objects.get(closed_at=None)
    assert (back.kind, back.amount, back.payment_id) == ("too_late", D("12.08"), Payment.objects.get().pk)
    money_adds_up()


def test_a_refunded_receipt_cannot_pay_any_more(alice, make_box, dario):
    receipt = bank.record_receipt(
        actor=dario, bank_account="IT60", bank_reference="X", amount=D("12.08"), value_date=clock.today()
    )
    case = Case.objects.get()
    giving_back.refund_case(case_id=case.pk, amount=D("12.08"), reference="cro 9", actor=dario, why="sconosciuto")
    order = place(make_box(alice, "altra"), alice)
    with pytest.raises(RefusedError, match="restituito per intero"):
        bank.allocate(receipt_id=receipt.pk, order_id=order.pk, actor=dario)
    assert (Refund.objects.get().remote_id, Order.objects.get().status) == ("CRO 9", "awaiting_payment")
    money_adds_up()


def test_goodwill_in_parts_never_over_what_was_paid(order, alice, dario, commits):
    with commits():
        payment = pay_card(order, alice)
    expiry = Mailbox.objects.get().expires_on
    facts = {"order_id": order.pk, "actor": dario, "why": "scuse"}
    giving_back.refund_order(amount=D("5.00"), **facts)
    with pytest.raises(RefusedError, match="al massimo €\u00a07,08"):
        giving_back.refund_order(amount=D("7.09"), **facts)
    refunds.send_due()
    payment.refresh_from_db()
    assert payment.status == "registered"
    giving_back.refund_order(amount=D("7.08"), **facts)
    refunds.send_due()
    payment.refresh_from_db()
    assert (payment.status, Mailbox.objects.get().expires_on, Order.objects.get().status) == (
        "refunded", expiry, "fulfilled",
    )  # fmt: skip
    money_adds_up()


def test_bank_money_is_not_promised_twice(order, dario, commits):
    with commits():
        pay_transfer(order, dario)
    facts = {"order_id": order.pk, "actor": dario, "why": "scuse"}
    assert giving_back.refund_order(amount=D("8.00"), **facts) == D("8.00")
    with pytest.raises(RefusedError, match="al massimo €\u00a04,08"):
        giving_back.refund_order(amount=D("5.00"), **facts)


def test_staff_take_back_the_last_period(order, box, alice, dario, commits):
    with commits():
        pay_card(order, alice)
    giving_back.reverse_order(order_id=order.pk, amount=D("10.00"), actor=dario, why="errore")
    assert (Mailbox.objects.get().expires_on, Order.objects.get().status) == (box.expires_on, "reversed")
    assert [r.amount for r in Refund.objects.all()] == [D("10.00")]
    with pytest.raises(RefusedError, match="solo un ordine completato"):
        giving_back.reverse_order(order_id=order.pk, amount=D(0), actor=dario, why="errore")
    money_adds_up()


@pytest.fixture
def attention(order, alice, commits):
    """Paid, but its box had moved to a state in which nothing can be given."""
    Mailbox.objects.update(phase="deleting", login=None)
    Order.objects.filter(pk=order.pk).update(status="paid", paid_at=clock.now(), collected_at=clock.now())
    payment = Payment.objects.create(
        order=order, provider="sandbox", amount=D("12.08"), received=D("12.08"), status="registered", remote_id="sbx_1"
    )
    Allocation.objects.create(order=order, amount=D("12.08"), payment=payment)
    recording.after_paid(order.pk)
    order.refresh_from_db()
    assert (order.status, Case.objects.get().kind) == ("attention", "line")
    return order


def test_a_line_in_attention_is_tried_again(attention, dario, commits):
    with commits():
        giving_back.try_again(order_id=attention.pk, actor=dario, why="riprova")
    attention.refresh_from_db()
    assert (attention.status, Case.objects.filter(closed_at=None).count()) == ("attention", 1)
    Mailbox.objects.update(phase="live")
    with commits():
        giving_back.try_again(order_id=attention.pk, actor=dario, why="sistemata")
    attention.refresh_from_db()
    assert (attention.status, Case.objects.filter(closed_at=None).count()) == ("fulfilled", 0)


def test_a_line_in_attention_is_refunded_once(attention, dario):
    line = attention.lines.get()
    giving_back.refund_line(line_id=line.pk, actor=dario, why="non c'è più")
    with pytest.raises(RefusedError, match="non è più da verificare"):
        giving_back.refund_line(line_id=line.pk, actor=dario, why="non c'è più")
    attention.refresh_from_db()
    assert (attention.status, attention.lines.get().status) == ("refunded", "refunded")
    assert [r.amount for r in Refund.objects.all()] == [D("12.08")]
    assert Case.objects.filter(closed_at=None).count() == 0
    money_adds_up()


# --- Sending ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(order, alice, dario, commits):
    with commits():
        pay_card(order, alice)
    giving_back.refund_order(order_id=order.pk, amount=D("5.00"), actor=dario, why="scuse")
    return Refund.objects.get()


def given_back(refund) -> list[str]:
    data = sandbox.read(refund.payment.remote_id)
    return [value for key, value in data.items() if key.startswith("refund_")]


def test_a_timeout_is_unknown_then_found_done_never_sent_twice(asked):
    sandbox.write(asked.payment.remote_id, status=sandbox.TIMEOUT)
    refunds.send_due()
    asked.refresh_from_db()
    assert (asked.status, given_back(asked)) == ("unknown", ["5.00"])  # it did arrive there
    sandbox.write(asked.payment.remote_id, status=sandbox.PAID)
    sent = sandbox.Sandbox.refund
    try:
        sandbox.Sandbox.refund = None  # whoever sends it again breaks
        with time_machine.travel(clock.now() + timedelta(minutes=10)):
            refunds.send_due()
    finally:
        sandbox.Sandbox.refund = sent
    asked.refresh_from_db()
    assert (asked.status, given_back(asked), asked.next_check_at) == ("done", ["5.00"], None)
    money_adds_up()


def test_a_worker_that_dies_between_claim_and_send_loses_nothing(asked, monkeypatch):
    class Killed(BaseException):
        pass

    def die(refund_id):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(refunds, "_send", die)
        with pytest.raises(Killed):
            refunds.send_due()
    asked.refresh_from_db()
    assert (asked.status, given_back(asked)) == ("created", [])
    with time_machine.travel(clock.now() + timedelta(minutes=10)):
        refunds.send_due()
    asked.refresh_from_db()
    assert (asked.status, given_back(asked)) == ("done", ["5.00"])


def test_a_worker_that_dies_between_send_and_record_sends_it_once(asked, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(refunds, "record", lambda *args, **kwargs: 1 / 0)
        refunds.send_due()
    asked.refresh_from_db()
    assert (asked.status, given_back(asked)) == ("created", ["5.00"])
    with time_machine.travel(clock.now() + timedelta(minutes=10)):
        refunds.send_due()
    asked.refresh_from_db()
    assert (asked.status, given_back(asked)) == ("done", ["5.00"])


def test_the_same_news_twice_writes_to_the_customer_once(asked):
    from post_office.models import Email

    done = Outcome(Result.REFUNDED, remote_id="r1", amount=D("5.00"), currency="EUR")
    refunds.record(asked.pk, done)
    before = Email.objects.count()
    refunds.record(asked.pk, done)
    refunds.record(asked.pk, Outcome(Result.FAILED))
    asked.refresh_from_db()
    assert (Email.objects.count(), asked.status, Case.objects.count()) == (before, "done", 0)


def test_a_failed_refund_is_a_case_and_can_be_asked_again(asked, dario):
    refunds.record(asked.pk, Outcome(Result.FAILED, reason="carta chiusa"))
    case = Case.objects.get(closed_at=None)
    assert (case.kind, case.amount, giving_back.left_of_case(case)) == ("refund", D("5.00"), D("5.00"))
    money_adds_up()
    giving_back.refund_case(case_id=case.pk, amount=D("5.00"), reference="", actor=dario, why="di nuovo")
    refunds.send_due()
    assert [r.status for r in Refund.objects.order_by("id")] == ["failed", "done"]
    money_adds_up()


def test_outside_refunds_are_noted_once_partial_then_full(order, alice, commits):
    with commits():
        payment = pay_card(order, alice)
    for total in ("2.00", "2.00", "12.08", "12.08"):
        sandbox.write(payment.remote_id, refund_outside=total)
        flows.fetch_and_record(payment.pk)
        money_adds_up()
    payment.refresh_from_db()
    assert [r.amount for r in Refund.objects.order_by("id")] == [D("2.00"), D("10.08")]
    assert (payment.status, Case.objects.get(closed_at=None).kind) == ("refunded", "outside")
    assert Mailbox.objects.get().expires_on > clock.today() + timedelta(days=300)  # decided by a person


def test_a_refund_that_is_refused_because_all_went_back_there_has_an_outcome(asked, monkeypatch):
    """What went back there is noted beside ours, and once more in its place: two rows of one and the same total."""
    sandbox.write(asked.payment.remote_id, refund_outside="12.08")
    flows.fetch_and_record(asked.payment.pk)
    monkeypatch.setattr(sandbox.Sandbox, "refund", lambda *args: Outcome(Result.FAILED, reason="già rimborsato"))
    refunds.send_due()
    found = [(r.amount, r.status) for r in Refund.objects.order_by("id")]
    assert found == [(D("5.00"), "failed"), (D("7.08"), "done"), (D("5.00"), "done")]
    assert Payment.objects.get().status == "refunded"
    money_adds_up()
