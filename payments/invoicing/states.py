"""The only writer of Invoice.state: every move is in the table of the model, and leaves a row (R10, R32)."""

from datetime import date
from typing import Any

from django.conf import settings

from accounts.models import User
from payments.invoicing import numbering
from payments.models import Invoice, InvoiceEvent

State = Invoice.State


class IllegalMoveError(Exception):
    """A move that is not in the table of the model: a programming error, or somebody else was quicker."""


def create(*, why: str, actor: User | None = None, **facts: Any) -> Invoice:
    """A row that waits, without a number."""
    invoice = Invoice.objects.create(state=State.WAITING, **facts)
    _note(invoice, "", State.WAITING, why=why, actor=actor)
    return invoice


def move(invoice: Invoice, to: str, *, why: str, actor: User | None = None, **facts: Any) -> None:
    """Move an invoice (locked), and write `facts`, fields of it, with the move. Raises IllegalMoveError."""
    if to not in Invoice.MOVES[invoice.state]:
        raise IllegalMoveError(f"invoice {invoice.pk}: {invoice.state} → {to}")
    _note(invoice, invoice.state, to, why=why, actor=actor)
    _write(invoice, state=to, **facts)


def number(invoice: Invoice, *, on: date, why: str, actor: User | None = None, **facts: Any) -> None:
    """Give an invoice that waits (locked, without a number) its number in the year of `on`, the document's date.

    Last in its transaction: from here to the commit nobody else gets a number of that year.
    """
    if invoice.number is not None or State.NUMBERED not in Invoice.MOVES[invoice.state]:
        raise IllegalMoveError(f"invoice {invoice.pk}: {invoice.state} → {State.NUMBERED}")
    _note(invoice, invoice.state, State.NUMBERED, why=why, actor=actor)
    series = settings.INVOICE_SERIES
    taken = numbering.take(series, on.year)
    _write(
        invoice, state=State.NUMBERED, series=series, year=on.year, number=taken, document_date=on, reason="",
        detail="", **facts,
    )  # fmt: skip


def _note(invoice: Invoice, before: str, after: str, *, why: str, actor: User | None) -> None:
    InvoiceEvent.objects.create(invoice=invoice, before=before, after=after, why=why[:200], actor=actor)


def _write(invoice: Invoice, **values: Any) -> None:
    for name, value in values.items():
        setattr(invoice, name, value)
    invoice.save(update_fields=list(values))
