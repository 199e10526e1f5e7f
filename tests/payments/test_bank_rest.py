"""What is left of a receipt, step by step: at every moment one open case says how much, and of what (R21, R21b)."""

from datetime import date, timedelta
from decimal import Decimal as D
from unittest import mock

import pytest
import time_machine

from mailboxes.models import Mailbox
from payments import bank, flows, recording, refunds
from payments.models import Allocation, Case, Receipt
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place
from tests.payments.charging_helpers import at

pytestmark = pytest.mark.django_db


@pytest.fixture
def three(make_box, alice):
    """Three orders of Alice's, € 12.08 each."""
    return [place(make_box(alice, name), alice) for name in ("uno", "due", "tre")]


def open_cases():
    return [(c.kind, str(c.order or ""), c.amount) for c in Case.objects.filter(closed_at=None).order_by("pk")]


def closed_cases():
    return [(c.kind, c.resolution, c.closed_by) for c in Case.objects.exclude(closed_at=None).order_by("pk")]


def match(dario, amount, order=None, reference="REF-1", **facts):
    facts = {"bank_account": "IT60", "value_date": clock.today(), **facts}
    return bank.record_and_match(actor=dario, order=order, bank_reference=reference, amount=D(amount), **facts)


# --- The rest goes to another order -----------------------------------------------------------------------------------


def test_the_rest_of_a_receipt_has_one_case_with_what_is_left(three, dario, commits):
    first, second, third = three
    with commits():
        money, _ = match(dario, "30.00", first)
    assert open_cases() == [("over", first.number, D("17.92"))]
    with commits():
        bank.allocate(receipt_id=money.pk, order_id=second.pk, actor=dario)
    assert open_cases() == [("over", second.number, D("5.84"))]
    with commits():
        result = bank.allocate(receipt_id=money.pk, order_id=third.pk, actor=dario)
    assert (result.given, result.missing, result.left) == (D("5.84"), D("6.24"), D("0.00"))
    assert open_cases() == [("short", third.number, D("6.24"))]
    assert closed_cases() == [
        ("over", f"attribuiti €\u00a012,08 all'ordine {second}", dario),
        ("over", f"attribuiti €\u00a05,84 all'ordine {third}", dario),
    ]


def test_money_too_late_for_one_order_pays_another_and_its_case_is_closed(three, alice, dario, commits):
    first, second, _third = three
    flows.cancel_order(order_id=first.pk, actor=alice)
    money, _ = match(dario, "12.08", first)
    assert open_cases() == [("too_late", first.number, D("12.08"))]
    with commits():
        bank.allocate(receipt_id=money.pk, order_id=second.pk, actor=dario)
    assert open_cases() == []
    assert closed_cases() == [("too_late", f"attribuiti €\u00a012,08 all'ordine {second}", dario)]


def test_an_unmatched_receipt_that_cannot_pay_the_order_has_one_case(three, alice, dario):
    first, second, _third = three
    for order in (first, second):
        flows.cancel_order(order_id=order.pk, actor=alice)
    money, _ = match(dario, "12.08")
    assert open_cases() == [("unmatched", "", D("12.08"))]
    for order in (first, second):
        assert bank.allocate(receipt_id=money.pk, order_id=order.pk, actor=dario).refusal == "l'ordine è annullato"
        assert open_cases() == [("too_late", order.number, D("12.08"))]


def test_a_second_short_receipt_says_what_is_missing_now(order, dario, commits):
    match(dario, "10.00", order)
    assert open_cases() == [("short", order.number, D("2.08"))]
    match(dario, "1.00", order, "REF-2")
    assert open_cases() == [("short", order.number, D("1.08"))]
    with commits():
        match(dario, "1.08", order, "REF-3")
    assert open_cases() == []


def test_what_was_short_and_then_paid_by_card_is_no_case_any_more(order, alice, dario, commits):
    match(dario, "10.00", order)
    with commits():
        pay_card(order, alice)
    assert open_cases() == []
    assert closed_cases() == [("short", "saldato", None)]  # by nobody of the staff


def test_the_rest_stays_in_the_account_that_it_came_for(order, make_box, carla, dario, commits):
    """R21: refund, or allocate to another order of the same account."""
    theirs = place(make_box(carla, "carla"), carla)
    with commits():
        money, _ = match(dario, "24.16", order)
    with pytest.raises(RefusedError, match="un altro account"):
        bank.allocate(receipt_id=money.pk, order_id=theirs.pk, actor=dario)
    assert open_cases() == [("over", order.number, D("12.08"))]
    assert Allocation.objects.count() == 1


def test_a_wrong_number_typed_first_does_not_keep_money_from_its_order(order, make_box, alice, carla, dario, commits):
    theirs = place(make_box(carla, "carla"), carla)
    flows.cancel_order(order_id=theirs.pk, actor=carla)
    money, _ = match(dario, "12.08", theirs)
    with commits():
        assert bank.allocate(receipt_id=money.pk, order_id=order.pk, actor=dario).paid


# --- Annulla after part of the money came -----------------------------------------------------------------------------


def test_annulla_gives_back_what_had_come(order, make_box, alice, dario, commits):
    money, _ = match(dario, "10.00", order)
    flows.cancel_order(order_id=order.pk, actor=alice)
    assert open_cases() == [("too_late", order.number, D("10.00"))]
    assert closed_cases() == [("short", "l'ordine non aspetta più denaro", None)]
    assert Allocation.objects.count() == 0
    assert order.events.filter(line=None, why__contains="liberati €\u00a010,00 dell'accredito REF-1").count() == 1
    other = place(make_box(alice, "altra"), alice)
    with commits():
        result = bank.allocate(receipt_id=money.pk, order_id=other.pk, actor=dario)
    assert (result.given, result.missing) == (D("10.00"), D("2.08"))
    assert open_cases() == [("short", other.number, D("2.08"))]


# --- Killed half-way --------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("killed_in", ["renewals.settle.refusal_for", "payments.cases.open_case"])
def test_a_kill_while_recording_leaves_no_receipt_without_a_decision(order, dario, killed_in):
    with mock.patch(killed_in, side_effect=SystemExit), pytest.raises(SystemExit):
        match(dario, "10.00", order)
    assert Receipt.objects.count() == Allocation.objects.count() == Case.objects.count() == 0
    match(dario, "10.00", order)  # the person does it again
    assert (Receipt.objects.count(), open_cases()) == (1, [("short", order.number, D("2.08"))])


@pytest.mark.django_db(transaction=True)
def test_a_kill_while_recording_money_without_an_order(order, dario):
    with mock.patch("payments.cases.open_case", side_effect=SystemExit), pytest.raises(SystemExit):
        match(dario, "10.00")
    assert Receipt.objects.count() == 0


def test_money_recorded_alone_waits_in_a_case(dario, today):
    bank.record_receipt(bank_account="IT60", bank_reference="1", amount=D("5.00"), value_date=today, actor=dario)
    assert open_cases() == [("unmatched", "", D("5.00"))]


# --- The value date decides one thing (R21b) --------------------------------------------------------------------------


@pytest.mark.parametrize(("recorded_in", "value_in", "paid"), [(90, 92, True), (91, 92, False), (91, 90, True)])
def test_money_recorded_by_the_last_day_renews_whatever_its_value_date(
    make_box, alice, dario, commits, today, recorded_in, value_in, paid
):
    order = place(make_box(alice, "tardi", expires_in=0), alice)
    with time_machine.travel(at(clock.today() + timedelta(days=recorded_in)), tick=False), commits():
        result = pay_transfer(order, dario, value_date=today + timedelta(days=value_in))
    assert result.paid is paid


# --- Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"amount": D("12.085")}, "due decimali"),
        ({"amount": D("0.001")}, "due decimali"),
        ({"amount": D("NaN")}, "due decimali"),
        ({"amount": D("Infinity")}, "due decimali"),
        ({"amount": D("10000000.00")}, "troppo grande"),
        ({"amount": D("1E+30")}, "troppo grande"),
        ({"currency": "euro"}, "tre lettere"),
        ({"currency": ""}, "tre lettere"),
        ({"value_date": date(1, 1, 1)}, "più di un anno fa"),
        ({"value_date": date(9999, 12, 31)}, "troppo avanti"),
        ({"bank_reference": "  "}, "riferimento della banca"),
        ({"bank_reference": "X" * 61}, "riferimento della banca"),
        ({"bank_account": ""}, "conto"),
        ({"bank_account": "I" * 35}, "conto"),
    ],
)
def test_what_cannot_be_a_receipt_is_refused_with_a_sentence(dario, today, facts, sentence):
    good = {"bank_account": "IT60", "bank_reference": "1", "amount": D("12.08"), "value_date": today, "actor": dario}
    with pytest.raises(RefusedError, match=sentence):
        bank.record_receipt(**{**good, **facts})
    assert Receipt.objects.count() == 0


def test_what_banks_write_fits_somehow(dario, today):
    receipt = bank.record_receipt(
        bank_account="it60 x054", bank_reference=" cro 1\t2 ", amount=D("12.0800"), value_date=today, actor=dario,
        payer="R\x00OSSI " * 40, remittance="causale\x00 " * 100, currency="chf",
    )  # fmt: skip
    receipt.refresh_from_db()
    assert (receipt.bank_account, receipt.bank_reference, receipt.currency) == ("IT60X054", "CRO 1 2", "CHF")
    assert (receipt.amount, len(receipt.payer), len(receipt.remittance)) == (D("12.08"), 140, 200)
    with pytest.raises(RefusedError, match="già registrato"):  # the same movement, typed in another way
        bank.record_receipt(
            bank_account="IT60X054", bank_reference="Cro 1 2", amount=D("1.00"), value_date=today, actor=dario
        )


def test_a_provider_that_names_an_absurd_amount_is_a_case_and_the_money_registered(order, alice):
    from payments.providers.base import Outcome, Result
    from tests.helpers import start_card

    attempt = start_card(order, alice)
    recording.record_outcome(attempt.pk, Outcome(Result.REGISTERED, amount=D("1E+20"), currency="EUR"))
    attempt.refresh_from_db()
    assert (attempt.status, Order.objects.get().status) == ("registered", "awaiting_payment")
    assert Case.objects.get().amount is None
    assert Mailbox.objects.get().periods.count() == 1


# --- What went back is no longer there --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_refunded_money_pays_no_order(box, alice, dario):
    """A receipt that staff sent back by bank transfer would have paid an order all the same."""
    receipt = bank.record_receipt(
        actor=dario, bank_account="IT60", bank_reference="Z1", amount=D("30"), value_date=clock.today()
    )
    refunds.by_bank(receipt_id=receipt.pk, amount=D("20"), reference="CRO 1", actor=dario, why="errore")
    order = place(box, alice)
    allocated = bank.allocate(receipt_id=receipt.pk, order_id=order.pk, actor=dario)
    assert (allocated.given, allocated.paid, allocated.left) == (D("10"), False, 0)
    with pytest.raises(RefusedError, match="per intero"):
        bank.allocate(receipt_id=receipt.pk, order_id=order.pk, actor=dario)
