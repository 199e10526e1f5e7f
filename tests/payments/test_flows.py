"""The one road for on-line money: start, record, cancel (DESIGN §6; R12b, R18–R22)."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine

from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments import bank, flows, recording, sync
from payments.models import Allocation, Case, Payment, PaymentEvent
from payments.providers import sandbox
from payments.providers.base import Outcome, ProviderTimeoutError, Result
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import giving, undoing
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place, start_card
from tests.payments.charging_helpers import at

pytestmark = pytest.mark.django_db


def record(attempt, result=Result.REGISTERED, **facts):
    recording.record_outcome(attempt.pk, Outcome(result, remote_id=attempt.remote_id, **facts))
    attempt.refresh_from_db()
    return attempt.status


def moves(attempt):
    return [(event.before, event.after) for event in PaymentEvent.objects.filter(payment=attempt)]


def test_a_card_paid_moves_the_expiry_once(order, box, alice, commits):
    with commits():
        payment = pay_card(order, alice)
    first = Mailbox.objects.get().expires_on
    with commits():
        flows.fetch_and_record(payment.pk)
    assert first == Mailbox.objects.get().expires_on > box.expires_on
    assert moves(payment) == [("", "created"), ("created", "pending"), ("pending", "registered")]
    assert [(a.amount, a.payment_id) for a in Allocation.objects.all()] == [(D("12.08"), payment.pk)]
    order.refresh_from_db()
    assert (order.status, order.method, payment.next_check_at, Case.objects.count()) == (
        "fulfilled",
        "sandbox",
        None,
        0,
    )


@pytest.mark.parametrize(
    ("told", "detail"),
    [
        ({"amount": D("12.07"), "currency": "EUR"}, "arrivati €\u00a012,07, dovuti €\u00a012,08"),
        ({"amount": D("12.09"), "currency": "EUR"}, "arrivati €\u00a012,09, dovuti €\u00a012,08"),
        ({"amount": D("12.08"), "currency": "USD"}, "arrivati 12,08\u00a0USD, dovuti €\u00a012,08"),
    ],
)
def test_another_amount_or_currency_is_a_case_and_the_order_waits(order, attempt, told, detail):
    assert record(attempt, **told) == "registered"
    case = Case.objects.get()
    assert (case.kind, case.detail, case.payment_id) == ("mismatch", detail, attempt.pk)
    assert (case.amount, case.currency) == (told["amount"], told["currency"])
    order.refresh_from_db()
    assert (order.status, Allocation.objects.count()) == ("awaiting_payment", 0)


MOVES = {
    # from: what the provider may say then, and what becomes of the attempt
    "pending": {"pending": "pending", "unknown": "unknown", "failed": "failed", "cancelled": "cancelled"},
    "unknown": {"pending": "pending", "unknown": "unknown", "failed": "failed", "cancelled": "cancelled"},
    "failed": {"pending": "failed", "unknown": "failed", "failed": "failed", "cancelled": "failed"},
    "cancelled": {"pending": "cancelled", "unknown": "cancelled", "failed": "cancelled", "cancelled": "cancelled"},
    "registered": {"pending": "registered", "unknown": "registered", "failed": "registered", "cancelled": "registered"},
}


@pytest.mark.parametrize(("before", "said", "after"), [(b, s, a) for b, row in MOVES.items() for s, a in row.items()])
def test_moves_go_forward_only(order, attempt, before, said, after):
    if before != "pending":
        record(attempt, Result(before))
    seen = len(moves(attempt))
    assert record(attempt, Result(said)) == after
    assert len(moves(attempt)) == seen + (before != after)


def test_money_for_an_order_paid_meanwhile_is_a_case(order, alice, dario, box, commits):
    attempt = start_card(order, alice)
    with commits():
        pay_transfer(order, dario)
    expiry = Mailbox.objects.get().expires_on
    with commits():
        record(attempt)
    case = Case.objects.get()
    assert (case.kind, case.amount, case.detail) == ("too_late", D("12.08"), "l'ordine è evaso")
    assert Mailbox.objects.get().expires_on == expiry
    assert Allocation.objects.count() == 1


@pytest.mark.parametrize("close", [undoing.lapse, lambda order, why: undoing.cancel(order, why=why, actor=None)])
def test_money_for_a_closed_order_is_a_case(order, attempt, close):
    close(Order.objects.get(), why="prova")
    status = Order.objects.get().status
    record(attempt)
    assert (Case.objects.get().kind, Order.objects.get().status) == ("too_late", status)


def test_money_for_a_box_that_is_being_deleted_is_a_case(order, attempt, box):
    Mailbox.objects.filter(pk=box.pk).update(phase=Phase.DELETING, login=None)
    record(attempt)
    assert (Case.objects.get().detail, Order.objects.get().status) == ("la casella non c'è più", "awaiting_payment")


def test_card_begun_by_the_last_day_still_renews_after_it(make_box, alice, commits, today):
    box = make_box(alice, "tardi", expires_in=-90)
    order = place(box, alice)
    attempt = start_card(order, alice)
    with time_machine.travel(clock.now() + timedelta(days=2), tick=False), commits():
        record(attempt)
    assert Order.objects.get().status == "fulfilled"


def test_nothing_begins_after_the_last_day(order, alice):
    with time_machine.travel(at(clock.today() + timedelta(days=91)), tick=False), pytest.raises(flows.NotPayableError):
        start_card(order, alice)
    assert Payment.objects.count() == 0


def test_a_new_attempt_closes_the_old_one_first(order, attempt, alice):
    second = start_card(order, alice)
    attempt.refresh_from_db()
    assert (attempt.status, second.status) == ("cancelled", "pending")
    assert sandbox.read(attempt.remote_id)["status"] == sandbox.CANCELLED


def test_a_new_attempt_finds_the_old_one_paid(order, attempt, alice, commits):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits(), pytest.raises(flows.NotPayableError):
        start_card(order, alice)
    assert (Payment.objects.count(), Order.objects.get().status) == (1, "fulfilled")


def test_a_silent_provider_is_unknown_never_failed_and_nothing_new_begins(order, attempt, alice):
    sandbox.write(attempt.remote_id, status=sandbox.TIMEOUT)
    assert flows.fetch_and_record(attempt.pk).status == "unknown"
    for story in (
        lambda: start_card(order, alice),
        lambda: flows.choose_transfer(order.pk),
        lambda: flows.cancel_order(order_id=order.pk, actor=alice),
    ):
        with pytest.raises(flows.UnknownPaymentError):
            story()
    assert (Payment.objects.get().status, Order.objects.get().status) == ("unknown", "awaiting_payment")


def test_a_timeout_while_starting_is_unknown(order, alice, monkeypatch):
    def silent(self, payment, **urls):
        raise ProviderTimeoutError("no answer")

    monkeypatch.setattr(sandbox.Sandbox, "start", silent)
    with pytest.raises(flows.UnknownPaymentError):
        start_card(order, alice)
    assert Payment.objects.get().status == "unknown"


def stopped_before_the_call(order, alice, monkeypatch):
    """The process dies between the commit of the row and the call to the provider."""

    def killed(self, payment, **urls):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(sandbox.Sandbox, "start", killed)
        with pytest.raises(SystemExit):
            start_card(order, alice)
    payment = Payment.objects.get()
    assert (payment.status, payment.remote_id) == ("created", "")
    return payment


def test_a_stop_before_the_call_is_recovered_by_the_sync(order, alice, monkeypatch):
    payment = stopped_before_the_call(order, alice, monkeypatch)
    assert sync.sync_due() == 0  # not yet its minute
    with time_machine.travel(clock.now() + timedelta(seconds=61), tick=False):
        assert sync.sync_due() == 1
    payment.refresh_from_db()
    assert (payment.status, payment.reason) == ("failed", "il pagamento non è mai cominciato")
    assert start_card(order, alice).status == "pending"


def test_a_stop_after_the_call_is_found_though_its_id_was_never_stored(order, alice, monkeypatch, commits):
    payment = stopped_before_the_call(order, alice, monkeypatch)
    sandbox.Sandbox().start(payment, return_url="/", cancel_url="/")
    sandbox.write(f"sbx_{payment.public_id.hex}", status=sandbox.PAID)
    with time_machine.travel(clock.now() + timedelta(seconds=61), tick=False), commits():
        sync.sync_due()
    payment.refresh_from_db()
    assert (payment.status, payment.remote_id) == ("registered", f"sbx_{payment.public_id.hex}")
    assert Order.objects.get().status == "fulfilled"


def test_an_attempt_closed_by_another_tab_while_it_starts_is_ended_at_the_provider(order, alice, monkeypatch):
    """Else the customer would stand on a page that takes money for an order that is cancelled (R12b, R20)."""
    begin = sandbox.Sandbox.start

    def slow(self, payment, **urls):
        flows.cancel_order(order_id=order.pk, actor=alice)
        return begin(self, payment, **urls)

    monkeypatch.setattr(sandbox.Sandbox, "start", slow)
    with pytest.raises(flows.UnknownPaymentError):
        start_card(order, alice)
    payment = Payment.objects.get()
    assert (payment.status, Order.objects.get().status) == ("cancelled", "cancelled")
    assert sandbox.read(payment.remote_id)["status"] == sandbox.CANCELLED


# --- Annulla ----------------------------------------------------------------------------------------------------------


def test_annulla_closes_the_attempt_at_the_provider(order, attempt, alice):
    flows.cancel_order(order_id=order.pk, actor=alice)
    attempt.refresh_from_db()
    assert (Order.objects.get().status, attempt.status) == ("cancelled", "cancelled")
    assert sandbox.read(attempt.remote_id)["status"] == sandbox.CANCELLED
    assert order.events.latest("id").actor == alice


def test_annulla_finds_the_money_captured(order, attempt, alice, commits):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits(), pytest.raises(flows.NotPayableError, match="risulta pagato e non si può più annullare"):
        flows.cancel_order(order_id=order.pk, actor=alice)
    assert Order.objects.get().status == "fulfilled"


def test_annulla_of_an_order_in_attention_says_that_it_is_paid(order, attempt, alice, commits, monkeypatch):
    monkeypatch.setattr(giving, "_fulfil_line", lambda *a: "non si può")
    with commits():
        record(attempt)
    assert Order.objects.get().status == "attention"
    with pytest.raises(flows.NotPayableError, match="risulta pagato"):
        flows.cancel_order(order_id=order.pk, actor=alice)


def test_annulla_twice(order, alice):
    flows.cancel_order(order_id=order.pk, actor=alice)
    with pytest.raises(flows.NotPayableError, match="già chiuso"):
        flows.cancel_order(order_id=order.pk, actor=alice)


def test_annulla_after_a_declared_transfer_asks_once_more(order, alice):
    flows.declare_transfer(order_id=order.pk, actor=alice)
    with pytest.raises(RefusedError, match="conferma che vuoi annullare lo stesso"):
        flows.cancel_order(order_id=order.pk, actor=alice)
    assert Order.objects.get().status == "awaiting_payment"
    flows.cancel_order(order_id=order.pk, actor=alice, despite_transfer=True)
    assert Order.objects.get().status == "cancelled"


def test_a_transfer_is_declared_once_and_only_while_it_is_awaited(order, alice, today):
    flows.declare_transfer(order_id=order.pk, actor=alice)
    with time_machine.travel(clock.now() + timedelta(days=1), tick=False):
        flows.declare_transfer(order_id=order.pk, actor=alice)
    assert Order.objects.get().transfer_declared_on == today
    assert order.events.filter(why="bonifico dichiarato").count() == 1
    flows.cancel_order(order_id=order.pk, actor=alice, despite_transfer=True)
    with pytest.raises(flows.NotPayableError):
        flows.declare_transfer(order_id=order.pk, actor=alice)


# --- Bank money and a card for one order ------------------------------------------------------------------------------


def test_a_card_pays_only_what_the_bank_money_left_missing(order, alice, dario, commits):
    pay_transfer(order, dario, amount=D("10.00"))
    with commits():
        payment = pay_card(order, alice)
    assert payment.amount == D("2.08")
    assert sorted(Allocation.objects.values_list("amount", flat=True)) == [D("2.08"), D("10.00")]
    assert Order.objects.get().status == "fulfilled"


def test_bank_money_that_comes_while_the_card_is_paying_leaves_a_rest_in_a_case(order, attempt, dario, commits):
    pay_transfer(order, dario, amount=D("10.00"))
    with commits():
        record(attempt)
    assert sorted(Allocation.objects.values_list("amount", flat=True)) == [D("2.08"), D("10.00")]
    case = Case.objects.get(kind="over")
    assert (case.amount, case.payment_id, Order.objects.get().status) == (D("10.00"), attempt.pk, "fulfilled")


def test_what_is_missing(order, dario):
    assert recording.missing(order) == D("12.08")
    bank.record_and_match(
        actor=dario, order=order, bank_account="IT60", bank_reference="1", amount=D("0.01"), value_date=clock.today()
    )
    assert recording.missing(order) == D("12.07")


def test_no_transfer_is_declared_after_the_last_day(order, alice):
    with time_machine.travel(clock.now() + timedelta(days=140), tick=False), pytest.raises(flows.NotPayableError):
        flows.declare_transfer(order_id=order.pk, actor=alice)
    assert Order.objects.get().transfer_declared_on is None
