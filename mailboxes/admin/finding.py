"""How staff find boxes: by what a caller can say, by state, by expiry."""

from datetime import date, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import fiscal
from accounts.models import User
from mailboxes import rules
from mailboxes.models import Address, Domain, Holder, Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.rules import SOON_DAYS, State
from pecportal import clock

from .base import MOST_FOUND

SOON = "in_scadenza"
WORDS = {
    State.ACTIVE: gettext_lazy("Attiva"),
    SOON: gettext_lazy("In scadenza"),
    State.EXPIRED: gettext_lazy("Scaduta"),
    State.AWAITING_DELETION: gettext_lazy("In attesa di cancellazione"),
    State.ACTIVATING: gettext_lazy("In attivazione"),
    State.DELETING: gettext_lazy("In cancellazione"),
    State.DELETED: gettext_lazy("Cancellata"),
}
COLOURS = {
    State.ACTIVE: "success", SOON: "warning", State.EXPIRED: "danger", State.AWAITING_DELETION: "danger",
    State.ACTIVATING: "info", State.DELETING: "danger", State.DELETED: None,
}  # fmt: skip


def state_of(box: Mailbox | Domain, today: date) -> str:
    """The state of R13 and R16; Attiva with 90 days or fewer to go is In scadenza."""
    state: str = rules.state(phase=box.phase, expires_on=box.expires_on, delete_from=box.delete_from, today=today)
    if state == State.ACTIVE and box.expires_on is not None and box.expires_on <= today + timedelta(days=SOON_DAYS):
        return SOON
    return state


def holders_found(term: str) -> QuerySet[Holder]:
    """Holders by fiscal code or the beginning of a name."""
    key = fiscal.compact(term)
    if len(key) in (11, 16) and any(c.isdigit() for c in key):
        return Holder.objects.filter(fiscal_key=key)
    return Holder.objects.filter(Q(last_name__istartswith=term) | Q(company_name__istartswith=term))


def boxes_found(term: str) -> Q:
    """Boxes by the beginning of an address, by holder or by account, whichever the words look like.

    Ids are looked up first, so that each way uses its index; a condition over joined tables would read every box.
    """
    term = term.strip()
    addresses = list(Address.objects.filter(name__startswith=term.lower()).values_list("pk", flat=True)[:MOST_FOUND])
    if "@" in term:
        owners = User.objects.filter(Q(username=term.lower()) | Q(email=term.lower()))
        return Q(address__in=addresses) | Q(owner__in=list(owners.values_list("pk", flat=True)[:MOST_FOUND]))
    holders = list(holders_found(term).values_list("pk", flat=True)[:MOST_FOUND])
    return Q(address__in=addresses) | Q(holder__in=holders)


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("stato")
    parameter_name = "stato"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(state), str(words)) for state, words in WORDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        today = clock.today()
        soon = today + timedelta(days=SOON_DAYS)
        live = Q(phase=Phase.LIVE)
        wanted = {
            State.ACTIVE: live & Q(expires_on__gt=soon),
            SOON: live & Q(expires_on__range=(today, soon)),
            State.EXPIRED: live & Q(expires_on__lt=today, delete_from__gt=today),
            State.AWAITING_DELETION: live & Q(delete_from__lte=today),
            State.ACTIVATING: Q(phase=Phase.ACTIVATING),
            State.DELETING: Q(phase=Phase.DELETING),
            State.DELETED: Q(phase=Phase.DELETED),
        }.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(wanted)


class ExpiryFilter(admin.SimpleListFilter):
    title = gettext_lazy("scadenza")
    parameter_name = "scadenza"
    DAYS = {"7": (0, 7), "30": (0, 30), "90": (0, 90), "-30": (-30, -1), "-90": (-90, -1)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("7", _("entro 7 giorni")),
            ("30", _("entro 30 giorni")),
            ("90", _("entro 90 giorni")),
            ("-30", _("passata da meno di 30 giorni")),
            ("-90", _("passata da meno di 90 giorni")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        span = self.DAYS.get(self.value() or "")
        if span is None:
            return queryset
        first, last = (clock.today() + timedelta(days=n) for n in span)
        return queryset.filter(phase=Phase.LIVE, expires_on__range=(first, last))
