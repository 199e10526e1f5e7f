"""Staff's pages of orders and money. Everything is read only; what changes a state is a page that calls one flow."""

from . import cases, methods, orders, payments, receipts, statements

__all__ = ["cases", "methods", "orders", "payments", "receipts", "statements"]
