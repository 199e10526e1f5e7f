"""Deletions for staff: the manifest of each day, and the days that the cap stopped until two people let go (R29)."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from lifecycle import holds
from lifecycle.models import DeletionStop, HandRelease, LifecycleRun, ManifestLine, StaffHold
from mailboxes.admin.base import MOST_FOUND, Done, ReadOnlyAdmin, admin_url, posted, who
from mailboxes.admin.finding import boxes_found
from mailboxes.admin.shown import badge, shown
from mailboxes.models import Mailbox
from payments.admin.forms import ConfirmForm, ReasonForm
from pecportal import clock
from pecportal.formats import day as in_words

DAYS_SHOWN = 31


def of_boxes(queryset: QuerySet, term: str) -> QuerySet:
    """The rows of the boxes that the words find."""
    found = list(Mailbox.objects.filter(boxes_found(term)).values_list("pk", flat=True)[:MOST_FOUND])
    return queryset.filter(box__in=found)


class OfBoxAdmin(ReadOnlyAdmin):
    """A list of rows about boxes, found as boxes are."""

    list_select_related: tuple[str, ...] = ("box__address",)
    search_fields = ("box__address__name",)  # the box to type in; of_boxes decides what it searches
    search_help_text = gettext_lazy("Inizio dell'indirizzo, titolare o account")
    box_link = shown("box", gettext_lazy("Casella"))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        return (of_boxes(queryset, search_term) if search_term.strip() else queryset), False


class DayFilter(admin.SimpleListFilter):
    title = gettext_lazy("giorno")
    parameter_name = "giorno"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        runs = LifecycleRun.objects.filter(stage=LifecycleRun.Stage.DELETIONS).order_by("-day")
        days = list(runs.values_list("day", flat=True)[:DAYS_SHOWN])
        return [(day.isoformat(), in_words(day)) for day in days]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        known = {value for value, _words in self.lookup_choices}
        return queryset.filter(day=self.value()) if self.value() in known else queryset


@admin.register(ManifestLine)
class ManifestLineAdmin(OfBoxAdmin):
    list_display = ("on", "box_link", "state", "why", "detail", "begun")
    list_filter = (DayFilter, "verdict", "why")
    ordering = ("-day", "-box")  # as its unique index
    fields = (("on", "box_link"), ("state", "why"), "detail", "begun")
    on = shown("day", gettext_lazy("Giorno"))
    begun = shown("begun_at", gettext_lazy("Cancellata dal"))

    @display(description=gettext_lazy("Esito"))
    def state(self, line: ManifestLine) -> SafeString:
        held = line.verdict == ManifestLine.Verdict.HELD
        return badge("info" if held else "danger", line.get_verdict_display())


@admin.register(StaffHold)
class StaffHoldAdmin(OfBoxAdmin):
    list_display = ("box_link", "why", "by", "since", "lifted_by", "until")
    list_select_related = ("box__address", "placed_by", "released_by")
    list_filter = (("released_at", admin.EmptyFieldListFilter),)
    ordering = ("-id",)
    fields = ("box_link", "why", ("by", "since"), ("lifted_by", "until"))
    by = shown("placed_by", gettext_lazy("Messo da"))
    since = shown("placed_at", gettext_lazy("Messo il"))
    lifted_by = shown("released_by", gettext_lazy("Tolto da"))
    until = shown("released_at", gettext_lazy("Tolto il"))


@admin.register(HandRelease)
class HandReleaseAdmin(OfBoxAdmin):
    list_display = ("box_link", "of_expiry", "why", "by", "at")
    list_select_related = ("box__address", "released_by")
    ordering = ("-id",)
    fields = (("box_link", "of_expiry"), "why", ("by", "at"))
    of_expiry = shown("expiry", gettext_lazy("Scadenza"))
    by = shown("released_by", gettext_lazy("Deciso da"))
    at = shown("released_at", gettext_lazy("Deciso il"))


@admin.register(DeletionStop)
class DeletionStopAdmin(ReadOnlyAdmin):
    list_display = ("on", "state", "boxes", "of_boxes", "asker", "releaser")
    list_select_related = ("asked_by", "released_by")
    ordering = ("-day",)
    actions_detail = ("ask", "release")
    fieldsets = (
        (None, {"fields": (("on", "state"), ("boxes", "of_boxes"), "stopped")}),
        (gettext_lazy("Quali caselle, e perché"), {"fields": ("reasons", "manifest")}),
        (gettext_lazy("Sblocco"), {"fields": (("asker", "asked"), "asked_why", ("releaser", "released"))}),
    )
    on = shown("day", gettext_lazy("Giorno"))
    stopped = shown("stopped_at", gettext_lazy("Fermata il"))
    asker = shown("asked_by", gettext_lazy("Chiesto da"))
    asked = shown("asked_at", gettext_lazy("Chiesto il"))
    releaser = shown("released_by", gettext_lazy("Sbloccata da"))
    released = shown("released_at", gettext_lazy("Sbloccata il"))

    @display(description=gettext_lazy("Stato"))
    def state(self, stop: DeletionStop) -> SafeString:
        if stop.released_at is not None:
            return badge("success", _("Sbloccata"))
        if stop.day != clock.today():
            return badge(None, _("Superata"))
        return badge("warning", _("Sblocco chiesto")) if stop.asked_at else badge("danger", _("Ferma"))

    @display(description=gettext_lazy("Registro del giorno"))
    def reasons(self, stop: DeletionStop) -> SafeString:
        return format_html_join(mark_safe("<br>"), "{}: {}", _reasons(stop))

    @display(description=gettext_lazy("Una per una"))
    def manifest(self, stop: DeletionStop) -> SafeString:
        query = {"giorno": stop.day.isoformat(), "verdict__exact": ManifestLine.Verdict.DELETE}
        address = reverse("admin:lifecycle_manifestline_changelist", query=query)
        return format_html('<a class="text-link" href="{}">{}</a>', address, _("le caselle da cancellare"))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list:
        stop = self.get_object(request, object_id)
        wanted = set()
        if stop is not None and stop.released_at is None and stop.day == clock.today():
            wanted = {"ask"} if stop.asked_by_id is None else {"release"}
        return [a for a in super().get_actions_detail(request, object_id) if a.method.__name__ in wanted]

    def has_ask_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("lifecycle.ask_deletion_release")

    def has_release_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("lifecycle.release_deletion")

    @action(description=gettext_lazy("Chiedi lo sblocco"), url_path="chiedi", permissions=["ask"], icon="help")
    def ask(self, request: HttpRequest, object_id: str) -> HttpResponse:
        stop = self.found(request, object_id)

        def flow(typed: dict[str, Any]) -> Done:
            holds.ask_release(stop_id=stop.pk, actor=who(request), why=typed["reason"])
            return Done(admin_url(stop), _("Chiesto: ora un'altra persona deve sbloccare."))

        return self.flow_page(
            request, form=ReasonForm(posted(request)), flow=flow, title=_("Chiedi lo sblocco"),
            submit=_("Chiedi lo sblocco"), obj=stop,
            intro=_("Leggi prima il registro: scrivi perché oggi sono tante e perché è giusto cancellarle."),
            facts=self._facts(stop),
        )  # fmt: skip

    @action(
        description=gettext_lazy("Sblocca la cancellazione"), url_path="sblocca", permissions=["release"],
        icon="delete_forever",
    )  # fmt: skip
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        stop = self.found(request, object_id)

        def flow(_typed: dict[str, Any]) -> Done:
            holds.release_stop(stop_id=stop.pk, actor=who(request))
            return Done(admin_url(stop), _("Sbloccata: il prossimo giro le cancella."), messages.WARNING)

        intro = _(
            "Le caselle di questo registro saranno cancellate con tutto il contenuto, per sempre. Ognuna è "
            "ricontrollata un'ultima volta; quelle che arrivano dopo non sono comprese."
        )
        return self.flow_page(
            request, form=ConfirmForm(posted(request)), flow=flow, title=_("Sblocca la cancellazione"),
            submit=_("Cancella queste caselle"), obj=stop,
            intro=intro, facts=self._facts(stop), danger=True,
        )  # fmt: skip

    def _facts(self, stop: DeletionStop) -> list[tuple[str, object]]:
        of_all = _("%(boxes)s su %(of)s") % {"boxes": stop.boxes, "of": stop.of_boxes}
        facts: list[tuple[str, object]] = [(_("Giorno"), in_words(stop.day)), (_("Caselle da cancellare"), of_all)]
        facts += [(words, number) for words, number in _reasons(stop)]
        if stop.asked_by is not None:
            facts += [(_("Chiesto da"), stop.asked_by), (_("Perché"), stop.asked_why)]
        return facts


def _reasons(stop: DeletionStop) -> list[tuple[str, int]]:
    """How many boxes of the day's manifest, by verdict and reason, in words."""
    lines = ManifestLine.objects.filter(day=stop.day).order_by("verdict", "why")
    counted = lines.values_list("verdict", "why").annotate(number=Count("pk"))
    verdicts, whys = dict(ManifestLine.Verdict.choices), dict(ManifestLine.Why.choices)
    return [(f"{verdicts[verdict]}, {str(whys[why]).lower()}", number) for verdict, why, number in counted]
