"""What a person may ask of the list of invoices, and the invoices that answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet

from accounts.models import User
from payments.invoicing import shown
from payments.models import Invoice
from pecportal.area.filters import LONGEST_SEARCH, MOST_WORDS
from renewals.models import OrderLine


@dataclass(frozen=True)
class Asked:
    """The filters of a request, cleaned: nonsense means "not asked" (R31)."""

    year: int | None = None
    search: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str], years: Sequence[int]) -> "Asked":
        year = query.get("anno", "")
        words = query.get("q", "").replace("\x00", " ").split()[:MOST_WORDS]  # PostgreSQL refuses NUL
        return cls(
            year=next((y for y in years if str(y) == year), None), search=" ".join(words)[:LONGEST_SEARCH].strip()
        )

    @property
    def narrows(self) -> bool:
        return bool(self.year or self.search)

    @property
    def querystring(self) -> str:
        pairs = {"q": self.search, "anno": self.year}
        return urlencode({name: value for name, value in pairs.items() if value})

    def apply(self, invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
        """Of a year: made then, or corrected then. Every word is in the number, in the order's, or in an address."""
        if self.year:
            corrected = Invoice.objects.live().filter(corrects=OuterRef("pk"), year=self.year)
            invoices = invoices.filter(Q(year=self.year) | Q(Exists(corrected)))
        for word in self.search.split():
            invoices = invoices.filter(_named(word))
        return invoices


def _named(word: str) -> Q:
    lines = OrderLine.objects.filter(order=OuterRef("order")).filter(
        Q(mailbox__address__name__icontains=word) | Q(domain__name__icontains=word) | Q(address__name__icontains=word)
    )
    return Q(order__number__icontains=word) | shown.by_number(word) | Q(Exists(lines))


def years_of(user: User) -> list[int]:
    """The years in which the account has documents, latest first."""
    found = shown.of_account(user).order_by("-year").values_list("year", flat=True).distinct()
    return [year for year in found if year]


def of_account(user: User, asked: Asked) -> QuerySet[Invoice]:
    """The invoices asked for, latest first, each with its notes and what its order is about: two queries more."""
    lines = OrderLine.objects.select_related("mailbox__address", "domain", "address")
    found = asked.apply(shown.of_account(user).filter(kind=Invoice.Kind.INVOICE))
    listed = found.select_related("order").order_by("-document_date", "-id")
    return shown.with_notes(listed).prefetch_related(Prefetch("order__lines", lines))
