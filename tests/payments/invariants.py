"""What stays true of money, orders and boxes, whatever happened: one read of the rows, plain functions over them.

Each raises AssertionError that names the rows. `read` takes which accounts and receipts are meant.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet

from mailboxes.models import Mailbox, PaidPeriod
from payments.models import (
    Allocation,
    AutoRenewal,
    Case,
    Payment,
    PaymentEvent,
    Receipt,
    Refund,
    ScheduledCharge,
    Withdrawal,
)  # fmt: skip
from renewals.models import Order, OrderEvent, OrderLine

ZERO = Decimal(0)
# Of these the amount is money of a payment or receipt that pays no order and waits for a decision.
OF_A_PAYMENT = (Case.Kind.MONEY_MISMATCH, Case.Kind.MONEY_TOO_LATE, Case.Kind.RECEIPT_OVER)
OF_A_RECEIPT = (Case.Kind.RECEIPT_UNMATCHED, Case.Kind.RECEIPT_OVER, Case.Kind.MONEY_TOO_LATE)
PAID = (
    Order.Status.PAID, Order.Status.FULFILLED, Order.Status.ATTENTION, Order.Status.REFUNDED, Order.Status.REVERSED,
)  # fmt: skip
TAKEN = (Payment.Status.REGISTERED, Payment.Status.REFUNDED)


@dataclass(frozen=True)
class Books:
    """The rows of some accounts, read once."""

    boxes: list[Mailbox]
    orders: list[Order]
    lines: list[OrderLine]
    payments: list[Payment]
    receipts: list[Receipt]
    allocations: list[Allocation]
    refunds: list[Refund]
    cases: list[Case]
    periods: list[PaidPeriod]
    order_events: list[OrderEvent]
    payment_events: list[PaymentEvent]
    withdrawals: list[Withdrawal]
    consents: list[AutoRenewal]
    charges: list[ScheduledCharge]

    def of(self, rows: str, **wanted: object) -> list:
        """Rows whose attributes are all as wanted."""
        return [r for r in getattr(self, rows) if all(getattr(r, name) == value for name, value in wanted.items())]


def read(*, owners: Iterable[int], receipts: QuerySet[Receipt]) -> Books:
    """The books of the accounts `owners` (ids) and of the bank money `receipts`."""
    mine = list(Order.objects.filter(owner__in=owners).order_by("pk"))
    payments = list(Payment.objects.filter(order__in=mine).order_by("pk"))
    got = list(receipts.order_by("pk"))
    boxes = list(Mailbox.objects.filter(owner__in=owners).order_by("pk"))
    cases = {c.pk: c for c in Case.objects.filter(order__in=mine)} | {
        c.pk: c for c in Case.objects.filter(receipt__in=got)
    }
    refunds = [*Refund.objects.filter(payment__in=payments), *Refund.objects.filter(receipt__in=got)]
    allocations = {a.pk: a for a in Allocation.objects.filter(order__in=mine)}
    allocations |= {a.pk: a for a in Allocation.objects.filter(receipt__in=got)}
    return Books(
        boxes=boxes,
        orders=mine,
        lines=list(OrderLine.objects.filter(order__in=mine).order_by("pk")),
        payments=payments,
        receipts=got,
        allocations=list(allocations.values()),
        refunds=refunds,
        cases=list(cases.values()),
        periods=list(PaidPeriod.objects.filter(box__in=boxes).order_by("starts", "pk")),
        order_events=list(OrderEvent.objects.filter(order__in=mine).order_by("pk")),
        payment_events=list(PaymentEvent.objects.filter(payment__in=payments).order_by("pk")),
        withdrawals=list(Withdrawal.objects.filter(order__in=mine).order_by("pk")),
        consents=list(AutoRenewal.objects.filter(box__in=boxes).order_by("pk")),
        charges=list(ScheduledCharge.objects.filter(box__in=boxes).order_by("pk")),
    )


def total(rows: Iterable) -> Decimal:
    return sum((row.amount for row in rows if row.amount is not None), ZERO)


def counted(refunds: Iterable[Refund]) -> list[Refund]:
    return [r for r in refunds if r.status != Refund.Status.FAILED]


# --- Money ------------------------------------------------------------------------------------------------------------


def money_adds_up(books: Books) -> None:
    """Of each source and in total: money taken = applied to orders + in open cases + refunded (R21)."""
    taken = applied = in_cases = back = ZERO
    sources = [*books.receipts, *books.payments]
    for source in sources:
        name = "receipt_id" if isinstance(source, Receipt) else "payment_id"
        kinds = OF_A_RECEIPT if isinstance(source, Receipt) else OF_A_PAYMENT
        got = _got(source)
        given = total(books.of("allocations", **{name: source.pk}))
        gone = counted(books.of("refunds", **{name: source.pk}))
        open_cases = [c for c in books.of("cases", closed_at=None, **{name: source.pk}) if c.kind in kinds]
        if isinstance(source, Payment) and source.status in TAKEN and source.received is None:
            said = books.of("cases", payment_id=source.pk, kind=Case.Kind.MONEY_MISMATCH)
            assert said, f"{source!r}: money in another currency, and no case says so"
            assert not given and not gone, f"{source!r}: money in another currency was used"
            continue
        from_orders = total(r for r in gone if r.order_id is not None)
        free = got - given - total(r for r in gone if r.order_id is None)
        what = f"{source!r}: got {got}, allocated {given}, refunded {total(gone)}, free {free}, cases {open_cases}"
        assert free >= 0, f"more was given than there is: {what}"
        assert from_orders <= given, f"more went back out of orders than had been given to them: {what}"
        failed = books.of("cases", closed_at=None, kind=Case.Kind.REFUND_FAILED, **{name: source.pk})
        if gone or failed:  # a refund made at the provider, or refused there: the staff see both
            assert not free or open_cases or failed, f"money that pays nothing and nobody decides about: {what}"
        else:
            assert total(open_cases) == free, f"cases that do not say what is left: {what}"
            assert not isinstance(source, Receipt) or len(open_cases) <= 1, f"more than one case: {what}"
        taken, applied, in_cases, back = taken + got, applied + given - from_orders, in_cases + free, back + total(gone)
    assert taken == applied + in_cases + back, f"{taken=} {applied=} {in_cases=} {back=}"


def _got(source: Receipt | Payment) -> Decimal:
    if isinstance(source, Receipt):
        return source.amount
    return (source.received or ZERO) if source.status in TAKEN else ZERO


def orders_are_paid_exactly_or_not(books: Books) -> None:
    """An order is paid by what it was due, waits while it lacks something, holds nothing once closed (R21b)."""
    for order in books.orders:
        given = total(books.of("allocations", order_id=order.pk))
        what = f"{order} {order.status}: due {order.amount_due}, given {given}"
        if order.status in PAID:
            assert given == order.amount_due, what
        elif order.status == Order.Status.AWAITING_PAYMENT:
            assert given < order.amount_due, what
        elif order.status in (Order.Status.CANCELLED, Order.Status.LAPSED):
            assert given == 0, what
        short = [c.amount for c in books.of("cases", order_id=order.pk, kind=Case.Kind.RECEIPT_SHORT, closed_at=None)]
        assert short == ([order.amount_due - given] if 0 < given < order.amount_due else []), f"{what}, {short=}"


def what_goes_back_is_not_lost(books: Books) -> None:
    """What an order gives back is at most what it got; what a withdrawal promised is on its way or a case (R26b)."""
    for order in books.orders:
        given = total(books.of("allocations", order_id=order.pk))
        back = total(counted(books.of("refunds", order_id=order.pk)))
        waiting = books.of("cases", order_id=order.pk, closed_at=None)
        by_bank = total(c for c in waiting if c.kind == Case.Kind.REFUND_BY_BANK)
        failed = total(c for c in waiting if c.kind == Case.Kind.REFUND_FAILED)
        what = f"{order} {order.status}: given {given}, back {back}, by bank {by_bank}, failed {failed}"
        assert back + by_bank <= given, what
        for left in books.of("withdrawals", order_id=order.pk):
            assert left.amount + left.kept <= given, f"{what}; {left.amount} + {left.kept}"
            assert left.amount <= back + by_bank + failed, f"{what}; {left.amount} were promised"
            assert order.status in (Order.Status.REVERSED, Order.Status.REFUNDED), what


def one_live_attempt(books: Books) -> None:
    live = defaultdict(list)
    for payment in books.payments:
        if payment.is_live:
            live[payment.order_id].append(payment.pk)
    assert all(len(found) == 1 for found in live.values()), f"orders with two live attempts: {dict(live)}"
    # Annulla and lapse come after the attempt is over (R12b): money begun before must not land on a closed order.
    closed = {o.pk for o in books.orders if o.status in (Order.Status.CANCELLED, Order.Status.LAPSED)}
    left = [p for p in books.payments if p.is_live and p.order_id in closed]
    assert not left, f"attempts that live on orders that are closed: {left}"


# --- States -----------------------------------------------------------------------------------------------------------


def moves_are_legal(books: Books) -> None:
    """Every state was reached by rows of its table of moves, one after the other (R10, R22)."""
    _follow("order", Order.MOVES, [e for e in books.order_events if e.line_id is None], "order_id", books.orders)
    waiting = OrderLine.Status.WAITING
    of_lines = [e for e in books.order_events if e.line_id is not None]
    _follow("line", OrderLine.MOVES, of_lines, "line_id", books.lines, start=waiting)
    created = {"": frozenset({Payment.Status.CREATED}), **Payment.MOVES}
    _follow("payment", created, books.payment_events, "payment_id", books.payments)


def _follow(what: str, moves: dict, events: list, key: str, rows: list, *, start: str = "") -> None:
    now = dict.fromkeys((row.pk for row in rows), start)
    for event in events:
        pk = getattr(event, key)
        assert event.before == now[pk], f"{what} {pk}: {event} does not begin at {now[pk]!r}"
        legal = event.after == event.before or event.after in moves[event.before]  # a note moves nothing
        assert legal, f"{what} {pk}: {event.before} → {event.after} is in no table"
        now[pk] = event.after
    for row in rows:
        assert row.status == now[row.pk], f"{what} {row.pk} is {row.status}, its events end at {now[row.pk]!r}"


def nothing_moved_back(before: Books, after: Books) -> None:
    """What has no event rows: a refund moves along its table, a closed case stays as it was closed."""
    refunds = {r.pk: r for r in after.refunds}
    for old in before.refunds:
        new = refunds[old.pk]
        assert new.status in _reachable(Refund.MOVES, old.status), f"refund {old.pk}: {old.status} → {new.status}"
        assert new.amount == old.amount, f"refund {old.pk}: {old.amount} became {new.amount}"
    cases = {c.pk: c for c in after.cases}
    for old in before.cases:
        new = cases.get(old.pk)
        assert new is not None, f"case {old.pk} is gone"
        fixed = (new.kind, new.amount, new.order_id, new.payment_id, new.receipt_id)
        assert fixed == (old.kind, old.amount, old.order_id, old.payment_id, old.receipt_id), f"case {old.pk} changed"
        assert old.closed_at is None or new.closed_at == old.closed_at, f"case {old.pk} was opened again"
    known = {p.pk: p for p in after.periods}
    for old in before.periods:
        new = known[old.pk]
        terms = (new.starts, new.ends, new.source)
        assert terms == (old.starts, old.ends, old.source), f"period {old.pk}: its terms changed"
        assert old.reversed_on in (None, new.reversed_on), f"period {old.pk}: reversed once more"


def _reachable(moves: dict[str, frozenset[str]], start: str) -> set[str]:
    found, todo = {start}, [start]
    while todo:
        new = moves[todo.pop()] - found
        found |= new
        todo += new
    return found


def money_is_true(books: Books) -> None:
    """All that is above, of money and of states: true at any moment."""
    money_adds_up(books)
    orders_are_paid_exactly_or_not(books)
    what_goes_back_is_not_lost(books)
    one_live_attempt(books)
    moves_are_legal(books)


def all_is_final(books: Books) -> None:
    """After the sweeps have run and every provider answers: nothing paid is unfulfilled, nothing is in doubt."""
    assert not books.of("orders", status=Order.Status.PAID), "paid and not fulfilled"
    assert not [p for p in books.payments if p.is_live], "attempts without an outcome"
    assert not [r for r in books.refunds if r.status in Refund.LIVE], "refunds without an outcome"
    for line in books.lines:
        if line.status == OrderLine.Status.ATTENTION:
            kinds = [Case.Kind.LINE_ATTENTION, Case.Kind.SPACE_OVERTAKEN]
            found = [c for c in books.of("cases", order_id=line.order_id, box_id=line.mailbox_id) if c.kind in kinds]
            assert found, f"line {line.pk} is in attention and no case says so"
    for charge in books.charges:
        stuck = charge.status == ScheduledCharge.Status.TRYING and charge.due_on is None
        assert not stuck, f"charge {charge.pk}: its attempt is over, and nobody goes on"
