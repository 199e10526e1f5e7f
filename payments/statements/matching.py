"""What becomes of a line of a statement: a verdict, what it gives to which orders. Pure, but for `due` of standings.

A line that names several orders pays them only when they are of one account and its sum is exactly what they lack.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Protocol

from django.conf import settings
from django.db.models import TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payments.allotment import Allocated, Standing, decide, refusal
from pecportal.formats import euro


class Verdict(TextChoices):
    PAYS = "paga", gettext_lazy("Paga l'ordine")
    NO_ORDER = "nessuno", gettext_lazy("Nessun ordine")
    KNOWN = "noto", gettext_lazy("Già registrato")
    LESS = "meno", gettext_lazy("Importo diverso: meno del dovuto")
    MORE = "piu", gettext_lazy("Importo diverso: più del dovuto")
    CURRENCY = "valuta", gettext_lazy("Valuta diversa")
    DONE = "fatto", gettext_lazy("Registrato da questo file")
    CLOSED = "chiuso", gettext_lazy("Ordine già pagato o chiuso")


class Money(Protocol):
    """A row of a statement, or anything that says as much of some money."""

    amount: Decimal
    currency: str
    value_date: date


@dataclass(frozen=True)
class Fate:
    """`parts`: each order that the money meets and what that does; `why`: what staff read where no order is paid."""

    verdict: Verdict
    parts: list[tuple[Standing, Allocated]] = field(default_factory=list)
    why: str = ""


def fate(money: Money, named: Sequence[Standing], *, today: date) -> Fate:
    """What a line does to the orders its causale names. The standings are then as if it had been done."""
    if not named:
        why = _("valuta diversa") if money.currency != settings.CURRENCY else _("la causale non nomina un ordine")
        return Fate(Verdict.CURRENCY if money.currency != settings.CURRENCY else Verdict.NO_ORDER, why=why)
    if len(named) > 1:
        return _several(money, named, today=today)
    standing = named[0]
    closed = standing.refusal(begun_on=min(money.value_date, today))
    result = decide(standing, left=money.amount, value_date=money.value_date, currency=money.currency, today=today)
    standing.take(result)
    if result.refusal:
        return Fate(Verdict.CLOSED if closed else Verdict.CURRENCY, [(standing, result)], result.refusal)
    verdict = Verdict.LESS if result.missing else Verdict.MORE if result.left else Verdict.PAYS
    return Fate(verdict, [(standing, result)])


def _several(money: Money, named: Sequence[Standing], *, today: date) -> Fate:
    if len({standing.order.owner_id for standing in named}) > 1:
        return Fate(Verdict.NO_ORDER, why=_("la causale nomina ordini di account diversi"))
    if money.currency != settings.CURRENCY:
        return Fate(Verdict.CURRENCY, why=_("valuta diversa"))
    for standing in named:
        why = refusal(standing, value_date=money.value_date, currency=money.currency, today=today)
        if why:
            return Fate(Verdict.CLOSED, why=f"{standing.order}: {why}")
    due = sum((standing.due for standing in named), Decimal(0))
    if due != money.amount:
        orders = ", ".join(sorted(str(standing.order) for standing in named))
        why = _("agli ordini %(orders)s mancano in tutto %(due)s") % {"orders": orders, "due": euro(due)}
        return Fate(Verdict.LESS if money.amount < due else Verdict.MORE, why=why)
    parts = [(standing, Allocated(given=standing.due)) for standing in named]
    for standing, result in parts:
        standing.take(result)
    return Fate(Verdict.PAYS, parts)
