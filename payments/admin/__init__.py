"""Staff's pages of orders and money. Everything is read only; what changes a state is a page that calls one flow."""

from . import (
    cases,
    erasure,
    giving_back,
    invoices,
    methods,
    orders,
    payments,
    receipts,
    reconciliation,
    sdi,
    statements,
)

__all__ = [
    "cases", "erasure", "giving_back", "invoices", "methods", "orders", "payments", "receipts", "reconciliation", "sdi",
    "statements",
]  # fmt: skip
