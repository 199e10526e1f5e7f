"""Quadratura: the page that must read zero, and the repair of each difference."""

from typing import Any

from django.contrib import admin
from django.db.models import F, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from mailboxes.admin.base import MOST_COUNTED, Done, ReadOnlyAdmin, posted
from mailboxes.admin.shown import badge, link, shown
from mailboxes.models import PaidPeriod
from payments import reconciliation
from payments.models import Commitment, Difference, Reconciliation
from renewals.models import OrderLine

from .forms import ConfirmForm


def what_it_is_about(difference: Difference) -> Model | None:
    """The object to open: that of the difference, or the order it belongs to where it has no page of its own."""
    model: Any = reconciliation.rules()[difference.about].model
    found = model.objects.filter(pk=difference.object_id).first()
    if isinstance(found, OrderLine | Commitment):
        return found.order
    return found.order_line.order if isinstance(found, PaidPeriod) else found


class OpenFilter(admin.SimpleListFilter):
    """Open ones unless the closed ones are asked for."""

    title = gettext_lazy("stato")
    parameter_name = "stato"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("chiuse", _("chiuse")), ("tutte", _("tutte"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "tutte":
            return queryset
        return queryset.filter(closed_on__isnull=self.value() != "chiuse")


@admin.register(Difference)
class DifferenceAdmin(ReadOnlyAdmin):
    list_display = ("about", "state", "detail", "object_link", "seen", "closed")
    list_filter = (OpenFilter, "about")
    list_select_related = ("found_on", "closed_on")
    ordering = (F("closed_on").asc(nulls_first=True), "about", "-id")
    fields = (("about", "state"), ("detail", "object_link"), ("seen", "closed"), "advice")
    actions_list = ("check_now",)
    actions_detail = ("repair",)
    seen = shown("found_on.day", gettext_lazy("Trovata il"))
    closed = shown("closed_on.day", gettext_lazy("Chiusa il"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """The verdict on top: how many are open as of which night."""
        last = Reconciliation.objects.exclude(finished_at=None).first()
        count = Difference.objects.filter(closed_on=None).order_by()[: MOST_COUNTED + 1].count()
        if last is None:
            title = _("Quadratura: non è ancora stata fatta")
        else:
            night = f"{last.day:%d/%m/%Y}"
            title = _("Quadratura del %(day)s: %(count)s differenze") % {"day": night, "count": count}
        return super().changelist_view(request, {**(extra_context or {}), "title": title})

    @display(description=gettext_lazy("Stato"))
    def state(self, difference: Difference) -> SafeString:
        return badge("danger", _("Aperta")) if difference.closed_on_id is None else badge("success", _("Chiusa"))

    @display(description=gettext_lazy("Di che cosa"))
    def object_link(self, difference: Difference) -> SafeString | str:
        return link(what_it_is_about(difference))

    @display(description=gettext_lazy("Che cosa fare"))
    def advice(self, difference: Difference) -> str:
        return reconciliation.rules()[difference.about].advice

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list:
        difference = self.get_object(request, object_id)
        repairable = difference is not None and difference.closed_on_id is None
        if repairable and reconciliation.rules()[difference.about].repair is not None:
            return super().get_actions_detail(request, object_id)
        return []

    def has_repair_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.change_difference")

    @action(description=gettext_lazy("Controlla adesso"), url_path="controlla", permissions=["repair"], icon="refresh")
    def check_now(self, request: HttpRequest) -> HttpResponse:
        def flow(_typed: dict[str, Any]) -> Done:
            reconciliation.run()
            return Done(reverse("admin:payments_difference_changelist"), _("Controllo fatto."))

        return self.flow_page(
            request, form=ConfirmForm(posted(request)), flow=flow, title=_("Controlla adesso"), submit=_("Controlla"),
            intro=_("Legge tutti gli ordini, i pagamenti e le caselle: su un archivio grande può durare minuti."),
        )  # fmt: skip

    @action(description=gettext_lazy("Ripara"), url_path="ripara", permissions=["repair"], icon="build")
    def repair(self, request: HttpRequest, object_id: str) -> HttpResponse:
        difference = self.found(request, object_id)

        def flow(_typed: dict[str, Any]) -> Done:
            reconciliation.repair(difference.pk)
            reconciliation.run()
            return Done(reverse("admin:payments_difference_changelist"), _("Riparazione avviata e controllo rifatto."))

        return self.flow_page(
            request, form=ConfirmForm(posted(request)), flow=flow, title=_("Ripara"), submit=_("Ripara"),
            obj=difference, intro=reconciliation.rules()[difference.about].advice,
            facts=[(_("Che cosa non torna"), difference.detail)],
        )  # fmt: skip
