"""What is left of a receipt, and what an order still lacks: to read; bank.allocate counts again under its lock."""

from decimal import Decimal

from django.db.models import Sum

from payments.models import Receipt
from payments.refunds import unapplied
from renewals.models import Order


def missing_of(order: Order) -> Decimal:
    """EUR the order still lacks."""
    return order.amount_due - (order.allocations.aggregate(sum=Sum("amount"))["sum"] or Decimal(0))


def left_of(receipt: Receipt) -> Decimal:
    """What of the receipt pays no order and has not gone back."""
    return unapplied(receipt)
