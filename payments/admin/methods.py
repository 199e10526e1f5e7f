"""Saved methods and automatic renewals, to look at. A method is its login's own (R24b), so its id is masked."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from accounts.models import User
from mailboxes.admin.base import MOST_FOUND, ReadOnlyAdmin, ReadOnlyInline
from mailboxes.admin.finding import boxes_found
from mailboxes.admin.shown import badge, shown
from mailboxes.models import Mailbox
from payments.models import AutoRenewal, ScheduledCharge, StoredMethod

from .named import ProviderFilter, named


def masked(remote_id: str) -> str:
    """The last four characters of a provider's id: enough to tell two apart, useless to charge."""
    return "••••" + remote_id[-4:] if len(remote_id) > 8 else "••••"


class StandingFilter(admin.SimpleListFilter):
    """Rows that hold now, or that ended: by the empty date that `field` names."""

    title = gettext_lazy("stato")
    parameter_name = "stato"
    field = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("attivi", _("attivi")), ("finiti", _("finiti"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() not in ("attivi", "finiti"):
            return queryset
        return queryset.filter(**{f"{self.field}__isnull": self.value() == "attivi"})


class RemovedFilter(StandingFilter):
    field = "removed_at"


class EndedFilter(StandingFilter):
    field = "ended_at"


class AutoRenewalInline(ReadOnlyInline):
    model = AutoRenewal
    fields = ("of_box", "years", "agreed_amount", "agreed", "ended", "ended_why")
    related = ("box__address",)
    ordering = ("-id",)
    of_box = shown("box", gettext_lazy("Casella"))
    agreed_amount = shown("amount", gettext_lazy("Importo accettato"))
    agreed = shown("agreed_at", gettext_lazy("Accettato il"))
    ended = shown("ended_at", gettext_lazy("Finito il"))
    tab = False
    per_page = 20


@admin.register(StoredMethod)
class StoredMethodAdmin(ReadOnlyAdmin):
    list_display = ("label", "by", "login", "expires", "state", "saved")
    list_filter = (RemovedFilter, ProviderFilter)
    list_select_related = ("login",)
    search_fields = ("login__username__exact",)
    search_help_text = gettext_lazy("Username per intero")
    ordering = ("-id",)
    inlines = (AutoRenewalInline,)
    fields = (("label", "state"), ("by", "remote"), ("login", "expires"), ("saved", "removed"), "forgotten")
    by = named("provider", gettext_lazy("Gestore"))
    saved = shown("created_at", gettext_lazy("Salvato il"))
    forgotten = shown("forgotten_at", gettext_lazy("Dimenticato dal gestore il"))
    removed = shown("removed_at", gettext_lazy("Tolto il"))

    @display(description=gettext_lazy("Id presso il gestore"))
    def remote(self, method: StoredMethod) -> str:
        return masked(method.remote_id)

    @display(description=gettext_lazy("Scadenza della carta"))
    def expires(self, method: StoredMethod) -> str:
        return (
            f"{method.expires_month:02}/{method.expires_year}" if method.expires_year and method.expires_month else "-"
        )

    @display(description=gettext_lazy("Stato"))
    def state(self, method: StoredMethod) -> SafeString:
        return badge("success", _("Salvato")) if method.removed_at is None else badge(None, _("Tolto"))


@admin.register(AutoRenewal)
class AutoRenewalAdmin(ReadOnlyAdmin):
    list_display = ("box", "state", "years", "amount_in_euro", "method", "agreed_by", "agreed", "ended")
    list_filter = (EndedFilter, "ended_why")
    list_select_related = ("box__address", "method", "agreed_by")
    search_fields = ("box__address__name",)  # the box to type in; see get_search_results
    search_help_text = gettext_lazy("Inizio dell'indirizzo PEC, titolare o account")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (("box_link", "state"), ("years", "amount_in_euro"), ("method_link", "order_link"))}),
        (gettext_lazy("Consenso"), {"fields": (("agreed_by", "agreed"), "consent_text_version")}),
        (gettext_lazy("Fine"), {"fields": (("ended", "ended_why"),)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AutoRenewal]:
        return super().get_queryset(request).select_related("box__address", "method", "agreed_by", "order")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        boxes = list(Mailbox.objects.filter(boxes_found(term)).values_list("pk", flat=True)[:MOST_FOUND])
        users = list(User.objects.filter(username=term.lower()).values_list("pk", flat=True))
        return queryset.filter(Q(box__in=boxes) | Q(agreed_by__in=users)), False

    amount_in_euro = shown("amount", gettext_lazy("Importo accettato"))
    agreed = shown("agreed_at", gettext_lazy("Accettato il"))
    ended = shown("ended_at", gettext_lazy("Finito il"))
    box_link = shown("box", gettext_lazy("Casella"))
    method_link = shown("method", gettext_lazy("Metodo"))
    order_link = shown("order", gettext_lazy("Ordine"))

    @display(description=gettext_lazy("Stato"))
    def state(self, renewal: AutoRenewal) -> SafeString:
        return badge("success", _("Attivo")) if renewal.ended_at is None else badge(None, _("Finito"))


@admin.register(ScheduledCharge)
class ScheduledChargeAdmin(ReadOnlyAdmin):
    list_display = ("box", "expiry", "status", "amount_in_euro", "next_step", "tries", "why")
    list_filter = ("status",)
    list_select_related = ("box__address",)
    search_fields = ("box__address__name",)
    search_help_text = gettext_lazy("Inizio dell'indirizzo PEC, titolare o account")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (("box_link", "status"), ("expiry", "years"), ("amount_in_euro", "order_link"))}),
        (gettext_lazy("Addebito"), {"fields": (("next_step", "tries"), "why")}),
        (gettext_lazy("Avviso e consenso"), {"fields": (("noticed", "notice_in_time"), ("asked", "asked_again"))}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduledCharge]:
        return super().get_queryset(request).select_related("box__address", "order")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        boxes = list(Mailbox.objects.filter(boxes_found(term)).values_list("pk", flat=True)[:MOST_FOUND])
        return queryset.filter(box__in=boxes), False

    amount_in_euro = shown("amount", gettext_lazy("Importo"))
    next_step = shown("due_on", gettext_lazy("Prossimo passo il"))
    noticed = shown("notice_sent_at", gettext_lazy("Avviso inviato il"))
    asked = shown("consent_asked_on", gettext_lazy("Consenso chiesto il"))
    asked_again = shown("consent_asked_again_on", gettext_lazy("Consenso chiesto ancora il"))
    box_link = shown("box", gettext_lazy("Casella"))
    order_link = shown("order", gettext_lazy("Ordine"))
