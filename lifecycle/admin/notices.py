"""What customers were told of an expiry, by which letters, and what the relay said."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from lifecycle.models import Letter, Notice
from mailboxes.admin.base import MOST_FOUND, ReadOnlyAdmin, ReadOnlyInline, admin_url
from mailboxes.admin.finding import boxes_found
from mailboxes.admin.shown import NOTHING, badge, shown
from mailboxes.models import Mailbox

COLOURS: dict[str, str] = {
    Letter.State.QUEUED: "info", Letter.State.DEFERRED: "warning", Letter.State.ACCEPTED: "success",
    Letter.State.REFUSED: "danger", Letter.State.BOUNCED: "danger",
    Notice.State.DUE: "warning", Notice.State.TOLD: "success", Notice.State.NO_ADDRESS: "danger",
}  # fmt: skip
SEARCHED = gettext_lazy("Inizio dell'indirizzo della casella, titolare o account")


def boxes_meant(term: str) -> list[int]:
    """The ids of the boxes that a search means, as many as one search follows."""
    return list(Mailbox.objects.filter(boxes_found(term)).values_list("pk", flat=True)[:MOST_FOUND])


class OutcomeMixin:
    """How a notice or letter reads."""

    @display(description=gettext_lazy("Stato"))
    def outcome(self, obj: Notice | Letter) -> SafeString:
        return badge(COLOURS.get(obj.state), obj.get_state_display())

    @display(description=gettext_lazy("Avviso"))
    def point(self, notice: Notice) -> str:
        if notice.kind == 0:
            return _("il giorno della scadenza")
        days = abs(notice.kind)
        if notice.kind < 0:
            return ngettext("%(n)s giorno prima", "%(n)s giorni prima", days) % {"n": days}
        return ngettext("%(n)s giorno dopo", "%(n)s giorni dopo", days) % {"n": days}

    @display(description=gettext_lazy("Lettere"))
    def by_letters(self, notice: Notice) -> SafeString | str:
        """Each letter's address and outcome, the newest first."""
        rows = sorted(notice.letters.all(), key=lambda letter: -letter.pk)
        said = ((admin_url(row), row.to, self.outcome(row)) for row in rows)
        return format_html_join("", '<div><a class="text-link" href="{}">{}</a> {}</div>', said) or NOTHING

    of_expiry = shown("expiry", gettext_lazy("Scadenza"))
    told = shown("told_at", gettext_lazy("Inviato il"))
    written = shown("created_at", gettext_lazy("Dovuto dal"))


@admin.register(Notice)
class NoticeAdmin(OutcomeMixin, ReadOnlyAdmin):
    list_display = ("box", "of_expiry", "point", "outcome", "told", "by_letters")
    list_filter = ("state",)
    list_select_related = ("box__address",)
    search_fields = ("box__address__name",)  # the box to type in; get_search_results decides what it searches
    search_help_text = SEARCHED
    ordering = ("-id",)
    fields = (("of_box", "account"), ("of_expiry", "point"), ("outcome", "written"), "told", "by_letters")
    of_box = shown("box", gettext_lazy("Casella"))
    account = shown("owner", gettext_lazy("Account"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        return super().get_queryset(request).prefetch_related("letters")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        return (queryset.filter(box__in=boxes_meant(search_term)) if search_term.strip() else queryset), False


class AboutInline(OutcomeMixin, ReadOnlyInline):
    model = Notice.letters.through
    verbose_name_plural = gettext_lazy("Avvisi")
    fields = ("of_box", "of_date", "kind")
    related = ("notice__box__address",)
    ordering = ("id",)
    per_page = 50
    of_box = shown("notice.box", gettext_lazy("Casella"))
    of_date = shown("notice.expiry", gettext_lazy("Scadenza"))

    @display(description=gettext_lazy("Avviso"))
    def kind(self, row: Any) -> str:
        return self.point(row.notice)


@admin.register(Letter)
class LetterAdmin(OutcomeMixin, ReadOnlyAdmin):
    list_display = ("to", "outcome", "queued", "settled", "detail")
    list_filter = ("state",)
    search_fields = ("to",)  # the box to type in; get_search_results decides what it searches
    search_help_text = SEARCHED
    ordering = ("-id",)
    fields = (("to", "outcome"), ("queued", "settled"), ("late", "in_queue"), "detail")
    inlines = (AboutInline,)
    queued = shown("queued_at", gettext_lazy("In coda dal"))
    settled = shown("settled_at", gettext_lazy("Esito del"))
    late = shown("delayed_at", gettext_lazy("In ritardo dal"))
    in_queue = shown("mail", gettext_lazy("Nella posta in uscita"))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        if not search_term.strip():
            return queryset, False
        about = Notice.letters.through.objects.filter(notice__box__in=boxes_meant(search_term))
        return queryset.filter(pk__in=about.values("letter")), False
