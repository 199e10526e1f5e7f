"""Statements applied: receipts, what they pay, cases; once, whoever asks and however often (R21, R21b, R28)."""

import threading
from datetime import timedelta
from decimal import Decimal as D
from io import BytesIO
from unittest import mock

import pytest
from django.db import connection

from mailboxes.models import Mailbox
from payments import bank, flows, sync
from payments.models import Allocation, Case, Receipt, Statement
from payments.statements import flow
from payments.statements.matching import Verdict
from pecportal.errors import RefusedError
from renewals.models import Order, OrderEvent
from tests.helpers import pay_card, place
from tests.statement_files import OURS, camt, csv, entry, line

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _account(settings):
    settings.BANK_IBAN = OURS


@pytest.fixture
def take(dario):
    def call(*entries, content=None):
        content = content or camt(entries)
        return flow.take(BytesIO(content), name="estratto", size=len(content), actor=dario)

    return call


@pytest.fixture
def orders(make_box, alice, carla):
    """Three orders of Alice's and one of Carla's, € 12,08 each, awaiting their transfers."""
    return [place(make_box(alice, f"n{n}"), alice) for n in range(3)] + [place(make_box(carla, "c"), carla)]


def verdicts(statement):
    return [judged.verdict for judged in flow.preview(statement)]


def status(*orders):
    return [Order.objects.get(pk=order.pk).status for order in orders]


def open_cases():
    return sorted(
        (c.kind, c.order.number if c.order else "", c.amount) for c in Case.objects.filter(closed_at=None)
    )  # fmt: skip


def everything():
    """All that money has done, to see that nothing changes any more."""
    return (
        list(Receipt.objects.order_by("pk").values_list("pk", "amount")),
        list(Allocation.objects.order_by("pk").values_list("order", "receipt", "amount")),
        list(Case.objects.order_by("pk").values_list("kind", "order", "receipt", "amount", "closed_at")),
        list(Order.objects.order_by("pk").values_list("status", "paid_at", "fulfilled_at")),
        list(Mailbox.objects.order_by("pk").values_list("expires_on", flat=True)),
    )  # fmt: skip


def test_every_verdict_and_what_becomes_of_it(take, orders, make_box, alice, carla, dario, today):
    exact, less, more, _carlas = orders
    euro, closed = place(make_box(alice, "valuta"), alice), place(make_box(alice, "chiuso"), alice)
    flows.cancel_order(order_id=closed.pk, actor=alice)
    bank.record_receipt(actor=dario, bank_account=OURS, bank_reference="NOTO", amount=D("1.00"), value_date=today)
    statement = take(
        entry("R1", "12.08", bank.creditor_reference(exact)),
        entry("R2", "10.00", less.number),
        entry("R3", "20.00", f"ordine {more.number}"),
        entry("R4", "12.08", "rinnovo pec"),
        entry("noto", "1.00", exact.number),
        entry("R6", "12.08", euro.number, currency="USD"),
        entry("R7", "12.08", closed.number),
        entry("R8", "12.08", exact.number),
    )
    expected = [
        Verdict.PAYS, Verdict.LESS, Verdict.MORE, Verdict.NO_ORDER, Verdict.KNOWN, Verdict.CURRENCY, Verdict.CLOSED,
        Verdict.CLOSED,
    ]  # fmt: skip
    assert verdicts(statement) == expected
    assert (Receipt.objects.count(), Allocation.objects.count()) == (1, 0)  # looking changes nothing
    assert flow.apply(statement_id=statement.pk, actor=dario) == 7
    assert status(exact, less, more, euro, closed) == [
        "paid",
        "awaiting_payment",
        "paid",
        "awaiting_payment",
        "cancelled",
    ]
    assert open_cases() == sorted([
        ("short", less.number, D("2.08")), ("over", more.number, D("7.92")), ("unmatched", "", D("12.08")),
        ("unmatched", "", D("1.00")), ("too_late", euro.number, D("12.08")), ("too_late", closed.number, D("12.08")),
        ("too_late", exact.number, D("12.08")),
    ])  # fmt: skip
    assert Case.objects.get(order=euro).currency == "USD"
    assert set(Case.objects.exclude(order=euro).values_list("currency", flat=True)) == {"EUR"}
    statement.refresh_from_db()
    assert (statement.applied_by, statement.applied_at is not None) == (dario, True)
    linked = dict(statement.rows.values_list("line", "receipt__bank_reference"))
    assert linked == {1: "R1", 2: "R2", 3: "R3", 4: "R4", 5: None, 6: "R6", 7: "R7", 8: "R8"}
    sync.fulfil_due()
    assert status(exact, more) == ["fulfilled", "fulfilled"]
    event = OrderEvent.objects.get(order=exact, after="paid")
    assert (event.before, event.actor, event.why) == ("awaiting_payment", dario, "bonifico registrato")


def test_applying_again_and_the_same_money_in_another_file_change_nothing(take, orders, dario):
    entries = [entry(f"R{n}", "12.08", order.number) for n, order in enumerate(orders)]
    statement = take(*entries)
    assert flow.apply(statement_id=statement.pk, actor=dario) == 4
    sync.fulfil_due()
    before = everything()
    with pytest.raises(RefusedError, match="già registrato"):
        flow.apply(statement_id=statement.pk, actor=dario)
    other = take(content=csv(*(line(f"r{n}", "12,08", order.number) for n, order in enumerate(orders))))
    assert verdicts(other) == [Verdict.KNOWN] * 4
    assert flow.apply(statement_id=other.pk, actor=dario) == 0
    sync.fulfil_due()
    assert everything() == before


def test_one_transfer_over_several_orders_of_one_account(take, orders, dario):
    words = " ".join(bank.creditor_reference(order) for order in orders[:3])
    statement = take(entry("R1", "36.24", words))
    assert verdicts(statement) == [Verdict.PAYS]
    flow.apply(statement_id=statement.pk, actor=dario)
    assert (status(*orders), open_cases()) == (["paid"] * 3 + ["awaiting_payment"], [])
    assert list(Allocation.objects.values_list("receipt__bank_reference", "amount")) == [("R1", D("12.08"))] * 3


@pytest.mark.parametrize(
    ("amount", "last", "verdict", "why"),
    [
        ("24.15", 1, Verdict.LESS, "mancano in tutto € 24,16"),
        ("24.17", 1, Verdict.MORE, "mancano in tutto € 24,16"),
        ("24.16", 3, Verdict.NO_ORDER, "la causale nomina ordini di account diversi"),
    ],
)
def test_several_orders_that_do_not_fit_are_a_case(take, orders, dario, amount, last, verdict, why):
    statement = take(entry("R1", amount, f"{orders[0].number} {orders[last].number}"))
    assert verdicts(statement) == [verdict]
    flow.apply(statement_id=statement.pk, actor=dario)
    assert (Allocation.objects.count(), open_cases()) == (0, [("unmatched", "", D(amount))])
    assert why in Case.objects.get().detail.replace("\u00a0", " ")
    assert status(*orders) == ["awaiting_payment"] * 4


def test_several_orders_one_of_which_is_closed_are_a_case(take, orders, dario, alice):
    flows.cancel_order(order_id=orders[1].pk, actor=alice)
    statement = take(entry("R1", "24.16", f"{orders[0].number} {orders[1].number}"))
    assert verdicts(statement) == [Verdict.CLOSED]
    flow.apply(statement_id=statement.pk, actor=dario)
    assert open_cases() == [("unmatched", "", D("24.16"))]
    assert status(orders[0]) == ["awaiting_payment"]


def test_several_transfers_over_one_order(take, orders, dario):
    order = orders[0]
    statement = take(
        entry("R1", "5.00", order.number), entry("R2", "7.08", order.number), entry("R3", "1.00", order.number)
    )
    assert verdicts(statement) == [Verdict.LESS, Verdict.PAYS, Verdict.CLOSED]
    flow.apply(statement_id=statement.pk, actor=dario)
    assert (status(order), open_cases()) == (["paid"], [("too_late", order.number, D("1.00"))])


def test_a_case_of_what_was_missing_is_closed_by_the_rest(take, orders, dario):
    order = orders[0]
    flow.apply(statement_id=take(entry("R1", "5.00", order.number)).pk, actor=dario)
    assert open_cases() == [("short", order.number, D("7.08"))]
    flow.apply(statement_id=take(entry("R2", "5.00", order.number)).pk, actor=dario)
    assert open_cases() == [("short", order.number, D("2.08"))]
    flow.apply(statement_id=take(entry("R3", "2.08", order.number)).pk, actor=dario)
    assert (status(order), open_cases()) == (["paid"], [])


@pytest.mark.parametrize("amount", ["12.08", "5.00", "20.00"])
@pytest.mark.parametrize("fate", ["awaiting", "cancelled", "paid"])
def test_a_statement_does_what_a_receipt_by_hand_does(take, orders, alice, dario, today, amount, fate):
    by_hand, by_file = orders[:2]
    for order in (by_hand, by_file):
        if fate == "cancelled":
            flows.cancel_order(order_id=order.pk, actor=alice)
        elif fate == "paid":
            pay_card(order, alice)
    bank.record_and_match(
        actor=dario, bank_account=OURS, bank_reference="MANO", amount=D(amount), value_date=today,
        remittance=by_hand.number,
    )  # fmt: skip
    flow.apply(statement_id=take(entry("FILE", amount, by_file.number)).pk, actor=dario)
    sync.fulfil_due()

    def told(order):
        order = Order.objects.get(pk=order.pk)
        return (
            order.status, [a.amount for a in order.allocations.order_by("pk")],
            sorted((c.kind, c.amount, c.detail.replace(order.number, "")) for c in order.cases.all()),
            list(order.events.order_by("pk").values_list("before", "after", "actor", "why")),
            order.billing.fixed_at is None, (order.paid_at is None, order.collected_at is None),
            [line.period.ends if line.period else None for line in order.lines.all()],
        )  # fmt: skip

    assert told(by_hand) == told(by_file)


@pytest.mark.parametrize(("value_day", "after"), [(-91, "awaiting_payment"), (-90, "paid")])
def test_the_value_date_decides_after_the_last_day(take, orders, dario, today, value_day, after):
    """R21b: money registered after E+90 renews if its value date is by E+90."""
    order = orders[0]
    expires = today - timedelta(95)
    Mailbox.objects.filter(order_lines__order=order).update(expires_on=expires, delete_from=expires + timedelta(91))
    day = expires - timedelta(value_day)
    statement = take(entry("R1", "12.08", order.number, day=day))
    flow.apply(statement_id=statement.pk, actor=dario)
    assert status(order) == [after]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("killed_in", ["_paid", "_load", "nudge"])
def test_killed_half_way_and_applied_again_comes_to_the_same_end(take, orders, dario, settings, killed_in):
    entries = [entry(f"R{n}", "12.08", order.number) for n, order in enumerate(orders)]
    statement = take(*entries)
    real, calls = getattr(flow, killed_in), []

    def dies(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return real(*args, **kwargs)

    with mock.patch.object(flow, "BATCH", 1):
        with mock.patch.object(flow, killed_in, dies), pytest.raises(Killed):
            flow.apply(statement_id=statement.pk, actor=dario)
        statement.refresh_from_db()
        assert (statement.applied_at, 0 < Receipt.objects.count() < 4) == (None, True)
        flow.apply(statement_id=statement.pk, actor=dario)
    statement.refresh_from_db()
    assert statement.applied_at is not None
    assert (Receipt.objects.count(), Allocation.objects.count(), status(*orders)) == (4, 4, ["paid"] * 4)
    assert open_cases() == []


@pytest.mark.race  # a second writer while the first is in its transaction: SQLite has no such thing
def test_a_movement_registered_by_hand_meanwhile_is_passed_over(take, orders, dario, today):
    """The unique constraint answers, the batch is looked at again."""
    statement = take(entry("R1", "12.08", orders[0].number), entry("R2", "12.08", orders[1].number))
    real = flow._known

    done = []

    def known(*args):
        found = real(*args)
        if not done:
            done.append(1)

            def by_hand():
                bank.record_receipt(
                    actor=dario, bank_account=OURS, bank_reference="R1", amount=D("12.08"), value_date=today
                )
                connection.close()

            thread = threading.Thread(target=by_hand)
            thread.start()
            thread.join()
        return found

    with mock.patch.object(flow, "_known", known):
        assert flow.apply(statement_id=statement.pk, actor=dario) == 1
    assert sorted(Receipt.objects.values_list("bank_reference", flat=True)) == ["R1", "R2"]
    assert status(*orders[:2]) == ["awaiting_payment", "paid"]
    assert Statement.objects.get().applied_at is not None


@pytest.mark.race
def test_two_staff_applying_at_once_apply_once(take, orders, dario):
    """Both take batches of one row in turn, under the statement's lock."""
    statement = take(*(entry(f"R{n}", "12.08", order.number) for n, order in enumerate(orders)))
    start, made, trouble = threading.Barrier(2), [], []

    def staff():
        try:
            start.wait()
            made.append(flow.apply(statement_id=statement.pk, actor=dario))
        except RefusedError:  # the other was done before this one looked
            made.append(0)
        except Exception as error:
            trouble.append(error)
        finally:
            connection.close()

    with mock.patch.object(flow, "BATCH", 1):
        threads = [threading.Thread(target=staff) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (trouble, sum(made)) == ([], 4)
    assert (Receipt.objects.count(), Allocation.objects.count(), status(*orders)) == (4, 4, ["paid"] * 4)
    assert OrderEvent.objects.filter(after="paid").count() == 4
