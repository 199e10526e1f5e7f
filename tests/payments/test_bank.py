"""Bank money: receipts, the causale, and what they pay (R21, R21b; §4 Receipt, Allocation)."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine
from stdnum import iso11649

from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments import bank, cases, flows
from payments.models import Allocation, Case, Receipt
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.helpers import pay_transfer, place

pytestmark = pytest.mark.django_db


@pytest.fixture
def receipt(dario, today):
    """receipt(amount, …) → a recorded receipt, paying nothing yet."""

    def make(amount="12.08", reference="REF-1", **changes):
        facts = {"bank_account": "IT60", "value_date": today, "actor": dario}
        return bank.record_receipt(amount=D(amount), bank_reference=reference, **{**facts, **changes})

    return make


def kinds():
    return sorted(Case.objects.filter(closed_at=None).values_list("kind", flat=True))


def status():
    return Order.objects.get().status


# --- The causale ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "reference"),
    # Check digits by hand: letters as 10–35, "RF00" at the end, 98 − (n mod 97).
    [("R-7KQ4M2", "RF{} R7KQ 4M2"), ("A-222222", "RF{} A222 222"), ("D-ZZZZZZ", "RF{} DZZZ ZZZ")],
)
def test_the_causale_is_an_iso_11649_reference_of_the_number(number, reference):
    body = number.replace("-", "")
    digits = int("".join(str(int(letter, 36)) for letter in body + "RF00"))
    causale = bank.creditor_reference(Order(number=number))
    assert causale == reference.format(f"{98 - digits % 97:02}")
    assert iso11649.is_valid(causale)


def test_a_causale_with_wrong_check_digits_names_no_order(order):
    good = bank.creditor_reference(order).replace(" ", "")
    wrong = f"RF{(int(good[2:4]) + 1) % 100:02}{good[4:]}"
    assert (bank.find_order(good), bank.find_order(wrong)) == (order, None)


def test_what_customers_and_banks_make_of_a_causale(order):
    reference, number = bank.creditor_reference(order), order.number
    found = [
        reference, reference.lower(), reference.replace(" ", ""), reference.replace(" ", "-"),
        f"rinnovo PEC {reference} grazie", f"/RFB/{reference.replace(' ', '')}/", number, f"ordine {number.lower()}.",
    ]  # fmt: skip
    assert [bank.find_order(text) for text in found] == [order] * len(found)
    lost = [
        "",
        "rinnovo",
        number.replace("-", ""),
        number[:-1],
        number + "X",
        "R-222222" if number != "R-222222" else "",
    ]
    assert [bank.find_order(text) for text in lost] == [None] * len(lost)


def test_a_causale_that_names_two_orders_names_none(order, make_box, alice):
    other = place(make_box(alice, "altra"), alice)
    assert bank.find_order(f"{order.number} e {other.number}") is None
    assert bank.find_order(f"{order.number} e ancora {order.number}") == order


# --- Recording --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["0", "0.00", "-1", "-12.08"])
def test_a_receipt_of_nothing_is_refused(receipt, amount):
    with pytest.raises(RefusedError, match=r"^L'importo deve essere maggiore di zero\.$"):
        receipt(amount)
    assert Receipt.objects.count() == 0


def test_the_same_bank_movement_twice_is_refused(receipt):
    receipt()
    with pytest.raises(RefusedError, match="già registrato"):
        receipt(amount="99.00")
    receipt(bank_account="IT61")  # another account of ours may use the same reference
    assert sorted(Receipt.objects.values_list("amount", flat=True)) == [D("12.08"), D("12.08")]


def test_a_value_date_far_ahead_is_refused(receipt, today):
    receipt(value_date=today + timedelta(days=5))
    with pytest.raises(RefusedError, match="data valuta"):
        receipt(reference="REF-2", value_date=today + timedelta(days=6))


# --- Allocating -------------------------------------------------------------------------------------------------------


def test_the_exact_amount_pays_and_renews(order, box, dario, commits):
    with commits():
        result = pay_transfer(order, dario)
    assert (result.paid, result.given, result.missing, result.left) == (True, D("12.08"), D(0), D(0))
    assert (status(), kinds()) == ("fulfilled", [])
    assert Mailbox.objects.get().expires_on > box.expires_on


def test_too_little_waits_and_is_a_case_until_the_rest_comes(order, dario, commits):
    assert pay_transfer(order, dario, amount=D("10.00")).missing == D("2.08")
    assert (status(), kinds()) == ("awaiting_payment", ["short"])
    with commits():
        assert pay_transfer(order, dario, amount=D("2.08"), reference="REF-2").paid
    assert (status(), kinds()) == ("fulfilled", [])
    assert sorted(Allocation.objects.values_list("amount", flat=True)) == [D("2.08"), D("10.00")]


def test_too_much_pays_and_the_rest_is_a_case(order, dario, commits):
    with commits():
        result = pay_transfer(order, dario, amount=D("20.00"))
    assert (result.paid, result.given, result.left) == (True, D("12.08"), D("7.92"))
    case = Case.objects.get()
    assert (case.kind, case.amount, case.receipt.amount, status()) == ("over", D("7.92"), D("20.00"), "fulfilled")


def test_one_receipt_pays_two_orders_and_no_third(receipt, make_box, alice, dario, commits):
    orders = [place(make_box(alice, f"n{n}"), alice) for n in range(3)]
    money = receipt("24.16")
    with commits():
        for order in orders[:2]:
            assert bank.allocate(receipt_id=money.pk, order_id=order.pk, actor=dario).given == D("12.08")
    with pytest.raises(RefusedError, match="già attribuito per intero"):
        bank.allocate(receipt_id=money.pk, order_id=orders[2].pk, actor=dario)
    assert [o.status for o in Order.objects.order_by("pk")] == ["fulfilled", "fulfilled", "awaiting_payment"]


def test_two_receipts_for_one_order_the_second_is_a_case_and_renews_nothing(order, dario, commits):
    with commits():
        pay_transfer(order, dario)
    expiry = Mailbox.objects.get().expires_on
    with commits():
        second = pay_transfer(order, dario, reference="REF-2")
    assert (second.paid, second.refusal) == (False, "l'ordine è evaso")
    case = Case.objects.get()
    assert (case.kind, case.amount, case.receipt.bank_reference) == ("too_late", D("12.08"), "REF-2")
    assert (Mailbox.objects.get().expires_on, Allocation.objects.count()) == (expiry, 1)


def test_money_for_a_cancelled_order_is_a_case(order, alice, dario):
    flows.cancel_order(order_id=order.pk, actor=alice)
    assert pay_transfer(order, dario).refusal == "l'ordine è annullato"
    assert (status(), kinds(), Allocation.objects.count()) == ("cancelled", ["too_late"], 0)


@pytest.mark.parametrize(("value_in", "paid"), [(89, True), (90, True), (91, False)])
def test_the_value_date_decides_after_the_last_day(make_box, alice, dario, commits, today, value_in, paid):
    """Registered on E+93 and before DELETING: it renews if its value date is ≤ E+90 (R21b)."""
    box = make_box(alice, "tardi", expires_in=0)
    order = place(box, alice)
    with time_machine.travel(clock.now() + timedelta(days=93), tick=False), commits():
        result = pay_transfer(order, dario, value_date=today + timedelta(days=value_in))
    assert result.paid is paid
    assert (status(), kinds()) == (("fulfilled", []) if paid else ("awaiting_payment", ["too_late"]))


def test_money_for_a_box_that_is_being_deleted_is_a_case(order, box, dario):
    Mailbox.objects.filter(pk=box.pk).update(phase=Phase.DELETING, login=None)
    assert pay_transfer(order, dario).refusal == "la casella non c'è più"
    assert (status(), kinds()) == ("awaiting_payment", ["too_late"])


def test_another_currency_is_a_case(receipt, order, dario):
    money = receipt(currency="CHF")
    assert bank.allocate(receipt_id=money.pk, order_id=order.pk, actor=dario).refusal == "valuta diversa"
    assert (status(), kinds()) == ("awaiting_payment", ["too_late"])


# --- By its causale ---------------------------------------------------------------------------------------------------


def arrived(dario, today, remittance, reference="REF-1"):
    return bank.record_and_match(
        actor=dario, bank_account="IT60", bank_reference=reference, amount=D("12.08"), value_date=today,
        remittance=remittance, payer="ROSSI ALICE",
    )  # fmt: skip


def test_money_finds_its_order_by_the_causale(order, dario, today, commits):
    with commits():
        _receipt, result = arrived(dario, today, bank.creditor_reference(order))
    assert (result.paid, status()) == (True, "fulfilled")


def test_money_without_an_order_waits_in_a_case_that_allocating_closes(order, dario, today, commits):
    money, result = arrived(dario, today, "rinnovo pec")
    assert (result, kinds(), status()) == (None, ["unmatched"], "awaiting_payment")
    with commits():
        bank.allocate(receipt_id=money.pk, order_id=order.pk, actor=dario)
    case = Case.objects.get()
    assert (case.closed_by, case.resolution, status()) == (
        dario,
        f"attribuiti €\u00a012,08 all'ordine {order}",
        "fulfilled",
    )


def test_a_case_is_closed_once_and_with_a_reason(order, dario, today):
    arrived(dario, today, "")
    case = Case.objects.get()
    for resolution, sentence in (("  ", "Scrivi che cosa è stato deciso."), ("reso", None), ("reso", "già chiuso")):
        if sentence is None:
            cases.close_case(case_id=case.pk, actor=dario, resolution=resolution)
        else:
            with pytest.raises(RefusedError, match=sentence):
                cases.close_case(case_id=case.pk, actor=dario, resolution=resolution)
    case.refresh_from_db()
    assert (case.resolution, case.closed_by) == ("reso", dario)


@pytest.mark.parametrize("shown", ["12.08 EUR", "EUR 12.08"])
def test_nothing_typed_in_a_causale_breaks_the_match(order, shown):
    assert bank.find_order(f"RF RF00 RF99R {shown} 'DROP TABLE -- \x00 🙂") is None
