"""Staff's pages of orders and money. Everything is read only; what changes a state is a page that calls one flow."""

from . import cases, giving_back, invoices, methods, orders, payments, receipts, reconciliation, sdi, statements

__all__ = [
    "cases", "giving_back", "invoices", "methods", "orders", "payments", "receipts", "reconciliation", "sdi",
    "statements",
]  # fmt: skip
