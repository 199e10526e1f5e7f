"""What money from the bank does to an order: the one rule, for one receipt and for a whole statement (R21, R21b, §4).

Pure: rows are handed in, nothing is written. payments.bank writes for one receipt, payments.statements for thousands.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from mailboxes.models import Domain, Mailbox
from payments.models import Case
from pecportal.formats import euro
from renewals import settle
from renewals.models import Order


@dataclass(frozen=True)
class Allocated:
    """What an allocation did: how much it gave, what the order still misses, what is left, or why it was refused."""

    given: Decimal = Decimal(0)
    missing: Decimal = Decimal(0)
    left: Decimal = Decimal(0)
    refusal: str = ""

    @property
    def paid(self) -> bool:
        return not self.refusal and self.missing == 0


@dataclass
class Standing:
    """An order as money reaches it: `due` is what it still lacks, EUR; `paid` once money has filled it meanwhile."""

    order: Order
    targets: Sequence[Mailbox | Domain]
    due: Decimal
    paid: bool = False

    def refusal(self, *, begun_on: date) -> str:
        """Why money begun then cannot pay this order, or ""."""
        if self.paid:
            return _("l'ordine è %(status)s") % {"status": str(Order.Status.PAID.label).lower()}
        # Promised by a public body and given already: whatever has become of the box, its money is awaited (R26c).
        if self.order.awaits_collection:
            return ""
        return settle.refusal_for(self.order, self.targets, begun_on=begun_on)

    def take(self, result: Allocated) -> None:
        self.due -= result.given
        self.paid = self.paid or result.paid


def refusal(standing: Standing, *, value_date: date, currency: str, today: date) -> str:
    """Why this money cannot pay the order, or "". The value date decides only for money after the last day (R21b)."""
    return standing.refusal(begun_on=min(value_date, today)) or (
        _("valuta diversa") if currency != settings.CURRENCY else ""
    )


def decide(standing: Standing, *, left: Decimal, value_date: date, currency: str, today: date) -> Allocated:
    """What `left` of a receipt gives an order: all it lacks, or as much as there is, or nothing and why."""
    why = refusal(standing, value_date=value_date, currency=currency, today=today)
    if why:
        return Allocated(left=left, refusal=why)
    given = min(left, standing.due)
    return Allocated(given=given, missing=standing.due - given, left=left - given)


def cases_of(result: Allocated, order: Order) -> Iterator[dict[str, Any]]:
    """The cases that an allocation leaves behind: kind, amount, detail."""
    if result.refusal:
        yield {"kind": Case.Kind.MONEY_TOO_LATE, "amount": result.left, "detail": result.refusal}
        return
    if not result.paid:
        words = _("mancano %(missing)s all'ordine %(order)s")
        detail = words % {"missing": euro(result.missing), "order": order}
        yield {"kind": Case.Kind.RECEIPT_SHORT, "amount": result.missing, "detail": detail}
    if result.left > 0:
        detail = _("avanzano %(left)s dopo l'ordine %(order)s") % {"left": euro(result.left), "order": order}
        yield {"kind": Case.Kind.RECEIPT_OVER, "amount": result.left, "detail": detail}
