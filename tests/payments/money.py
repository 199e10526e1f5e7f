"""What must hold after every story: money taken = applied + waiting in open cases + gone back (R21)."""

from decimal import Decimal

from django.db.models import Q

from payments import refunds
from payments.models import Allocation, Case, Payment, Receipt, Refund
from renewals.models import Order

WAITING = ("mismatch", "too_late", "over", "unmatched", "refund")  # cases that hold money which pays no order


def money_adds_up() -> None:
    """Every cent that came pays an order, waits in an open case, or went back; none does two of these."""
    for source in [*Receipt.objects.all(), *Payment.objects.filter(status__in=["registered", "refunded"])]:
        of = {"receipt": source} if isinstance(source, Receipt) else {"payment": source}
        got = source.amount if isinstance(source, Receipt) else source.received or Decimal(0)
        back = refunds.total_of(Refund.objects.counted().filter(**of))
        free = refunds.unapplied(source)
        applied = {
            o: refunds.applied(source, o) for o in Order.objects.filter(allocations__in=source.allocations.all())
        }
        assert got == free + sum(applied.values(), Decimal(0)) + back
        assert free >= 0 and all(amount >= 0 for amount in applied.values()), (free, applied)
        waiting = Case.objects.filter(closed_at=None, kind__in=WAITING, **of)
        if free:
            assert waiting.exists(), f"{free} of {source} wait for nobody"
        else:
            assert not waiting.exclude(kind="refund").exists(), f"{source}: a case for money that is not there"
        if isinstance(source, Payment) and back == got and not source.refunds.filter(status__in=Refund.LIVE).exists():
            assert source.status == "refunded"
    for order in Order.objects.all():
        _order_adds_up(order)


def _order_adds_up(order: Order) -> None:
    given = refunds.total_of(Allocation.objects.filter(order=order))
    back = refunds.total_of(Refund.objects.counted().filter(order=order))
    promised = refunds.total_of(Case.objects.filter(closed_at=None, kind="by_bank", order=order))
    assert given <= order.amount_due
    assert promised <= given - back
    if order.collected_at is not None:
        assert given == order.amount_due
    if hasattr(order, "withdrawal"):
        failed = refunds.total_of(Case.objects.filter(closed_at=None, kind="refund").filter(Q(order=order)))
        assert order.withdrawal.amount + order.withdrawal.kept == given
        assert order.withdrawal.amount == back + promised + failed
        assert order.status in ("reversed", "refunded")
