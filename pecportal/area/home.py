"""What the first page counts: a query a subject, each bounded by the owner."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Count, Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from mailboxes.models import Domain, Mailbox
from mailboxes.models.boxes import held_by
from pecportal.area import filters, orders


@dataclass(frozen=True)
class TabCounts:
    """The boxes of one tab of R2."""

    total: int = 0
    expiring: int = 0  # within 30 days
    expired: int = 0  # Scaduta
    renewable_expired: int = 0  # Scaduta, and still renewable


@dataclass(frozen=True)
class BoxCounts:
    mine: TabCounts
    others: TabCounts

    @property
    def total(self) -> int:
        return self.mine.total + self.others.total

    @property
    def expiring(self) -> int:
        return self.mine.expiring + self.others.expiring

    @property
    def expired(self) -> int:
        return self.mine.expired + self.others.expired

    def of(self, tab: str) -> TabCounts:
        return self.others if tab == filters.OTHERS else self.mine

    @property
    def first_tab(self) -> str:
        """The tab to open: one's own boxes, unless there are none and others' there are (the accountant)."""
        return filters.OTHERS if not self.mine.total and self.others.total else filters.MINE


def count_boxes(user: User, *, today: date, in_full: bool = True) -> BoxCounts:
    """Both tabs of R2, in one query over the owner's boxes: a row a tab. Not `in_full`: none of the expired ones."""
    kinds = {"total": Q(), "expiring": filters.expiring(today, filters.WITHIN_DAYS)}
    if in_full:
        kinds |= {"expired": filters.expired(today), "renewable_expired": filters.renewable_expired(today)}
    counts = {kind: Count("pk", filter=q) for kind, q in kinds.items()}
    tabs = (
        Mailbox.objects.visible_to(user)
        .order_by()
        .values(mine=held_by(user))
        .annotate(**counts)
        .values_list("mine", *kinds)
    )
    found = {mine: TabCounts(*numbers) for mine, *numbers in tabs}
    return BoxCounts(mine=found.get(True, TabCounts()), others=found.get(False, TabCounts()))


def count_to_pay(user: User) -> int:
    return orders.to_pay(user).count()


def count_domains(user: User) -> int:
    return Domain.objects.filter(owner=user).count()


@dataclass(frozen=True)
class ToDo:
    """Something to do, with the place where it is done."""

    sentence: str
    url: str
    action: str
    tone: str


def to_do(counts: BoxCounts, *, to_pay: int) -> Sequence[ToDo]:
    """What cannot wait, worst first; a line a tab, so that each link shows what its sentence counts."""
    found: list[ToDo] = []
    tabs = [tab for tab in (filters.MINE, filters.OTHERS) if counts.of(tab).total]
    for tab in tabs:
        if count := counts.of(tab).renewable_expired:
            found.append(
                ToDo(
                    _expired_sentence(count, whose=_whose(tab, tabs)),
                    _list_url(tab, "scaduta"),
                    _("Vedi e rinnova"),
                    "danger",
                )
            )
    for tab in tabs:
        if count := counts.of(tab).expiring:
            found.append(
                ToDo(
                    _expiring_sentence(count, whose=_whose(tab, tabs)),
                    _list_url(tab, "entro_30"),
                    _("Vedi e rinnova"),
                    "warn",
                )
            )
    if to_pay:
        sentence = ngettext("%(n)s ordine da pagare", "%(n)s ordini da pagare", to_pay) % {"n": to_pay}
        found.append(ToDo(sentence, reverse("area:ordini") + "?stato=da_pagare", _("Vedi e paga"), "info"))
    return found


def _list_url(tab: str, state: str) -> str:
    return f"{reverse('area:gestisci')}?{filters.Asked(tab=tab, state=state).querystring}"


def _whose(tab: str, tabs: Sequence[str]) -> str:
    """Said only to who has boxes on both tabs."""
    return " " + _("di altri titolari") if tab == filters.OTHERS and len(tabs) > 1 else ""


def _expiring_sentence(count: int, *, whose: str) -> str:
    text = ngettext(
        "%(n)s casella%(whose)s scade entro 30 giorni", "%(n)s caselle%(whose)s scadono entro 30 giorni", count
    )
    return text % {"n": count, "whose": whose}


def _expired_sentence(count: int, *, whose: str) -> str:
    text = ngettext(
        "%(n)s casella%(whose)s è scaduta e si può ancora rinnovare",
        "%(n)s caselle%(whose)s sono scadute e si possono ancora rinnovare",
        count,
    )
    return text % {"n": count, "whose": whose}
