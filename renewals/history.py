"""Why an expiry is what it is: each paid period and each reversal, with the expiry it led to (R15). Read only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from mailboxes import rules
from mailboxes.models import Domain, Mailbox, PaidPeriod
from pecportal.formats import al, il
from renewals.models import Kind, Order


@dataclass(frozen=True)
class Paid:
    """A paid period as the history reads it. `came`, `undone`: the order in which rows came; dates are calendar dates.

    `kind` is the kind of the order that paid it, "" of an opening; `number` is empty where the reader may not see it.
    """

    came: int
    starts: date
    ends: date
    kind: str = ""
    number: str = ""
    years: int = 0
    undone: int | None = None
    reversed_on: date | None = None


@dataclass(frozen=True)
class Step:
    """Something that moved the expiry: what it was from then on (None: nothing was paid any more), and why."""

    expiry: date | None
    why: str


def steps(paid: Iterable[Paid]) -> list[Step]:
    """The history of an expiry, oldest first; the last step's expiry is the one that holds. Pure."""
    paid = list(paid)
    moments = [(p.came, p, False) for p in paid] + [(p.undone, p, True) for p in paid if p.undone is not None]
    terms: dict[int, rules.Term] = {}
    told: list[Step] = []
    for _when, period, undone in sorted(moments, key=lambda moment: moment[0] or 0):
        before = rules.expiry_of(terms.values())
        terms[period.came] = rules.Term(period.starts, period.ends, period.reversed_on if undone else None)
        why = _why_undone(period) if undone else _why(period, before)
        told.append(Step(rules.expiry_of(terms.values()), why))
    return told


def _why(period: Paid, before: date | None) -> str:
    if not period.kind:
        return _("era già questa all'apertura")
    many = ngettext("un anno", "%(n)s anni", period.years) % {"n": period.years}
    if before is None or period.kind == Kind.PURCHASE:
        return _("%(order)s ha attivato la casella %(day)s, per %(years)s") % {
            "order": _order(period), "day": il(period.starts), "years": many,
        }  # fmt: skip
    return _("%(order)s ha aggiunto %(years)s %(day)s") % {
        "order": _order(period), "years": many, "day": al(before),
    }  # fmt: skip


def _why_undone(period: Paid) -> str:
    return _("%(order)s è stato stornato %(day)s") % {"order": _order(period), "day": il(period.reversed_on)}


def _order(period: Paid) -> str:
    if period.number:
        return _("l'ordine %(number)s") % {"number": period.number}
    return {
        Kind.PURCHASE.value: _("l'ordine di acquisto"),
        Kind.DOMAIN_RENEWAL.value: _("il rinnovo del dominio"),
    }.get(period.kind, _("un ordine di rinnovo"))


def history(target: Mailbox | Domain, *, reader: User | None) -> Sequence[Step]:
    """The steps of a standalone box or of a domain, newest first; one query. `reader` None: staff, who see all.

    Others see the numbers of the orders that they may open, and of the rest that there was one (R1).
    """
    of = {"box": target} if isinstance(target, Mailbox) else {"domain": target}
    periods = PaidPeriod.objects.filter(reverses=None, **of).select_related("order_line__order", "reversal")
    if reader is not None:
        seen = Order.objects.visible_to(reader).filter(pk=OuterRef("order_line__order"))
        periods = periods.annotate(order_seen=Exists(seen))
    return steps(_paid(period) for period in periods)[::-1]


def _paid(period: PaidPeriod) -> Paid:
    line, reversal = getattr(period, "order_line", None), getattr(period, "reversal", None)
    if line is None:
        kind, number, many = "", "", 0
    else:
        kind, many = line.order.kind, line.order.years or 0
        number = line.order.number if getattr(period, "order_seen", True) else ""
    return Paid(
        came=period.pk, starts=period.starts, ends=period.ends, kind=kind, number=number, years=many,
        undone=reversal.pk if reversal else None, reversed_on=period.reversed_on,
    )  # fmt: skip
