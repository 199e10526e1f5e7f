"""What stays true of what money has given: periods, dates, offers, automatic charges (R4, R9, R14, R15, R23, R24).

Like tests.payments.invariants: plain functions over its Books, each raises AssertionError that names the rows.
"""

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise

from mailboxes.models import PaidPeriod
from payments.models import Payment, ScheduledCharge
from renewals import flows as orders
from renewals import rules
from renewals.models import Kind, Order, OrderLine
from tests.payments.invariants import TAKEN, Books


def check(books: Books, *, today: date, grace_days: int) -> None:
    periods_come_from_paid_orders(books)
    periods_are_reversed_with_their_line(books)
    expiries_are_what_periods_say(books, grace_days=grace_days)
    offers_are_true(books, today=today)
    charges_are_agreed_to(books)
    charges_end_as_their_order(books)


def _in_force(books: Books) -> list[PaidPeriod]:
    return [p for p in books.periods if p.reverses_id is None and p.reversed_on is None]


def periods_come_from_paid_orders(books: Books) -> None:
    """A period in force for each fulfilled renewal line, and none without an order that was paid (R15)."""
    order_of = {order.pk: order for order in books.orders}
    lines = [line for line in books.lines if line.kind == Kind.RENEWAL]
    by_source = {line.public_id: line for line in lines}
    first = {box.pk: next(p for p in books.periods if p.box_id == box.pk).pk for box in books.boxes}  # the opening
    for period in _in_force(books):
        if period.pk == first[period.box_id]:
            continue
        line = by_source.get(period.source)
        assert line is not None, f"period {period.pk} was bought by no line"
        order = order_of[line.order_id]
        assert line.status == OrderLine.Status.FULFILLED, f"period {period.pk} in force, its line is {line.status}"
        assert order.status == Order.Status.FULFILLED, f"period {period.pk} in force, {order} is {order.status}"
    periods = {p.pk: p for p in _in_force(books)}
    for line in lines:
        if line.status == OrderLine.Status.FULFILLED:
            period = periods.get(line.period_id)
            assert period is not None, f"line {line.pk} is fulfilled without a period"
            assert period.source == line.public_id, f"line {line.pk} points at another's period"


def periods_are_reversed_with_their_line(books: Books) -> None:
    """A period taken back, one row that says so, a line reversed: all three or none (§4, R26b)."""
    of_line = {line.period_id: line for line in books.lines if line.period_id is not None}
    undone = Counter(p.reverses_id for p in books.periods if p.reverses_id is not None)
    for period in books.periods:
        if period.reverses_id is not None:
            assert period.source is None, f"period {period.pk} reverses another and has a source"
            continue
        times = undone[period.pk]
        assert times == (period.reversed_on is not None), f"period {period.pk}, {period.reversed_on}: {times} rows"
        line = of_line.get(period.pk)
        if line is not None:
            is_reversed = line.status == OrderLine.Status.REVERSED
            assert is_reversed == bool(times), f"period {period.pk} reversed {times} times, its line is {line.status}"


def expiries_are_what_periods_say(books: Books, *, grace_days: int) -> None:
    """The expiry of a box is the last day its periods pay for, and they follow each other day by day (R15).

    One reversed after its start pays through that day (§4); and from a reversal nothing is deleted for 90 days.
    """
    for box in books.boxes:
        mine = [p for p in books.periods if p.box_id == box.pk and p.reverses_id is None]
        paid = [(p.starts, min(p.ends, p.reversed_on or p.ends)) for p in mine]
        paid = sorted((starts, last) for starts, last in paid if last >= starts)
        gaps = [(a[1], b[0]) for a, b in pairwise(paid) if b[0] != a[1] + timedelta(days=1)]
        assert not gaps, f"box {box.pk}: periods that do not follow each other: {gaps}"
        assert box.expires_on == paid[-1][1], f"box {box.pk} says {box.expires_on}, its periods {paid[-1][1]}"
        earliest = box.expires_on + timedelta(days=grace_days + 1)
        for period in mine:
            if period.reversed_on:
                earliest = max(earliest, period.reversed_on + timedelta(days=grace_days))
        assert box.delete_from >= earliest, f"box {box.pk} may be deleted from {box.delete_from}, before {earliest}"


def offers_are_true(books: Books, *, today: date) -> None:
    """At most one open line of a kind, and Rinnova hidden meanwhile (R4, R9); the automatic renewal as its consents.

    Where it hides Rinnova, a charge is still to come: a box is never left with neither (R4).
    """
    on = {consent.box_id for consent in books.consents if consent.ended_at is None}
    order_of = {order.pk: order for order in books.orders}
    for box in books.boxes:
        open_lines = [line for line in books.lines if line.mailbox_id == box.pk and line.is_open]
        for line in open_lines:
            line.order = order_of[line.order_id]
        kinds = [line.kind for line in open_lines]
        box.open_renewals = [line for line in open_lines if line.kind == Kind.RENEWAL]
        assert len(kinds) == len(set(kinds)), f"box {box.pk}: open lines {kinds}"
        reason = rules.offer(orders.facts(box), today)
        if Kind.RENEWAL in kinds:
            assert reason is not rules.Reason.RENEW, f"box {box.pk} offers a second order"
        assert box.auto_renews == (box.pk in on), f"box {box.pk} renews by itself: {box.auto_renews}, consents: {on}"
        if reason is rules.Reason.AUTO_RENEWAL:
            over = [c for c in books.of("charges", box_id=box.pk, expiry=box.expires_on) if not _is_open(c)]
            assert not over, f"box {box.pk}: neither a charge nor Rinnova, {over[0].status}: {over[0].why}"


def _is_open(charge: ScheduledCharge) -> bool:
    return charge.status in ScheduledCharge.OPEN


def charges_are_agreed_to(books: Books) -> None:
    """Nothing is charged for an expiry without a consent that stands, nor for more than was agreed to (R24)."""
    for charge in books.charges:
        for attempt in _automatic(books, charge):
            agreed = [
                c.amount for c in books.of("consents", box_id=charge.box_id)
                if c.agreed_at <= attempt.created_at and (c.ended_at is None or c.ended_at >= attempt.created_at)
            ]  # fmt: skip
            assert agreed, f"{attempt} of charge {charge.pk} was begun without a consent"
            assert attempt.amount <= max(agreed), f"{attempt}: {attempt.amount} charged, agreed to {agreed}"


def charges_end_as_their_order(books: Books) -> None:
    """As many attempts as tries; charged is an order paid by one of them, once (R20, R24).

    Money of a try that its provider had called failed comes late and pays nothing: it is a case (R21).
    """
    status_of = {order.pk: order for order in books.orders}
    concluded = {(a.order_id, a.payment_id) for a in books.allocations}
    for charge in books.charges:
        if charge.order_id is None:
            assert charge.tries == 0, f"charge {charge.pk}: {charge.tries} tries of no order"
            continue
        attempts, order = _automatic(books, charge), status_of[charge.order_id]
        assert len(attempts) == charge.tries, f"charge {charge.pk}: {charge.tries} tries, {len(attempts)} attempts"
        paying = [a for a in attempts if a.status in TAKEN and (order.pk, a.pk) in concluded]
        assert len(paying) <= 1, f"charge {charge.pk} was paid {len(paying)} times"
        if charge.status == ScheduledCharge.Status.CHARGED:
            assert paying and order.paid_at, f"charge {charge.pk} is charged, {order} is {order.status}"
        if charge.status == ScheduledCharge.Status.TRYING:
            assert order.is_awaiting_payment, f"charge {charge.pk} goes on, {order} is {order.status}"


def _automatic(books: Books, charge: ScheduledCharge) -> list[Payment]:
    return [p for p in books.payments if p.order_id == charge.order_id and p.is_automatic]
