"""What a person may ask of the list of boxes: tab, search, state, order. Nonsense means "not asked" (R31)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import urlencode

from django.db.models import F, Q, QuerySet
from django.db.models.lookups import In
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.rules import SOON_DAYS
from pecportal.formats import kept

MINE, OTHERS = "mie", "altri"
WITHIN_DAYS = 30  # "3 scadono entro 30 giorni"
LONGEST_SEARCH = 100
MOST_WORDS = 5
SELECTED = SafeString(" selected")


def live() -> Q:
    return Q(phase=Phase.LIVE)


def expiring(today: date, days: int) -> Q:
    """Attiva, and its last day of service is within `days` (R13)."""
    return live() & Q(expires_on__range=(today, today + timedelta(days=days)))


def expired(today: date) -> Q:
    """Scaduta, also when it awaits deletion (R13, R16)."""
    return live() & Q(expires_on__lt=today)


def renewable_expired(today: date) -> Q:
    """Scaduta and still renewable: through the day before `delete_from` (R13)."""
    return expired(today) & Q(delete_from__gt=today)


STATES: dict[str, tuple[object, Callable[[date], Q]]] = {
    "attiva": (_("Attive"), lambda today: live() & Q(expires_on__gte=today)),
    "entro_30": (_("Scadono entro 30 giorni"), lambda today: expiring(today, WITHIN_DAYS)),
    "in_scadenza": (_("Scadono entro 90 giorni"), lambda today: expiring(today, SOON_DAYS)),
    "scaduta": (_("Scadute"), expired),
    "in_attivazione": (_("In attivazione"), lambda today: Q(phase=Phase.ACTIVATING)),
    "in_cancellazione": (_("In cancellazione"), lambda today: Q(phase=Phase.DELETING)),
    "cancellata": (_("Cancellate"), lambda today: Q(phase=Phase.DELETED)),
}
SORTS = {"prima": _("Prima chi scade prima"), "ultima": _("Prima chi scade dopo")}


@kept
def state_options(chosen: str) -> SafeString:
    return _options([(value, label) for value, (label, _q) in STATES.items()], chosen)


@kept
def sort_options(chosen: str) -> SafeString:
    return _options(SORTS.items(), chosen)


def _options(pairs: Iterable[tuple[str, object]], chosen: str) -> SafeString:
    rows = ((value, SELECTED if value == chosen else "", label) for value, label in pairs)
    return format_html_join("", '<option value="{}"{}>{}</option>', rows)


@dataclass(frozen=True)
class Asked:
    """The filters of a request, cleaned. `tab` is empty while the person has not chosen one."""

    tab: str = ""
    state: str = ""
    search: str = ""
    sort: str = "prima"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Asked":
        tab, state, sort = query.get("scheda", ""), query.get("stato", ""), query.get("ordine", "")
        words = query.get("q", "").replace("\x00", " ").split()[:MOST_WORDS]  # PostgreSQL refuses NUL
        return cls(
            tab=tab if tab in (MINE, OTHERS) else "",
            state=state if state in STATES else "",
            search=" ".join(words)[:LONGEST_SEARCH].strip(),
            sort=sort if sort in SORTS else "prima",
        )

    @property
    def narrows(self) -> bool:
        return bool(self.state or self.search)

    def on_tab(self, tab: str) -> "Asked":
        return replace(self, tab=tab)

    @property
    def querystring(self) -> str:
        """These filters as an address carries them, without the page; what is not asked is left out."""
        pairs = {"scheda": self.tab, "q": self.search, "stato": self.state}
        pairs["ordine"] = "" if self.sort == "prima" else self.sort
        return urlencode({name: value for name, value in pairs.items() if value})

    def apply(self, boxes: QuerySet[Mailbox], today: date) -> QuerySet[Mailbox]:
        """Narrow and sort the boxes of one owner. Every word of the search must be in the address or the holder."""
        if self.state:
            boxes = boxes.filter(STATES[self.state][1](today))
        for word in self.search.split():
            boxes = boxes.filter(
                Q(address__name__icontains=word)
                | Q(holder__company_name__icontains=word)
                | Q(holder__last_name__icontains=word)
                | Q(holder__first_name__icontains=word)
                | Q(holder__fiscal_key__istartswith=word)
            )
        gone = In(F("phase"), [Phase.DELETING, Phase.DELETED])  # false sorts before true
        if self.sort == "ultima":
            return boxes.order_by(gone, F("expires_on").desc(nulls_last=True), "-id")
        return boxes.order_by(gone, F("expires_on").asc(nulls_last=True), "id")
