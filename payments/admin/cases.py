"""Da verificare: what staff must decide, open cases first, closed by a person with a reason (R21)."""

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from mailboxes.admin.base import MOST_FOUND, Done, posted, who
from mailboxes.admin.finding import boxes_found
from mailboxes.admin.shown import NOTHING, badge, shown
from mailboxes.models import Mailbox
from payments import cases
from payments.models import Case
from pecportal.formats import money
from renewals.models import Order

from .forms import ReasonForm
from .giving_back import CaseActions
from .orders import orders_found


class OpenFilter(admin.SimpleListFilter):
    title = gettext_lazy("stato")
    parameter_name = "stato"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("aperti", _("aperti")), ("chiusi", _("chiusi"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() not in ("aperti", "chiusi"):
            return queryset
        return queryset.filter(closed_at__isnull=self.value() == "aperti")


@admin.register(Case)
class CaseAdmin(CaseActions):
    list_display = ("kind", "state", "detail", "in_its_currency", "order_link", "box_link", "opened", "closed_by")
    list_filter = (OpenFilter, "kind")
    list_select_related = ("order", "box__address", "receipt", "closed_by")
    search_fields = ("detail",)  # the box to type in; see get_search_results
    search_help_text = gettext_lazy("Numero d'ordine, indirizzo PEC, dominio o account")
    ordering = (F("closed_at").asc(nulls_first=True), "-id")
    actions_detail = ("refund", "attribute", "close")
    fieldsets = (
        (None, {"fields": (("kind", "state"), "detail", ("in_its_currency", "opened"))}),
        (gettext_lazy("Di che cosa"), {"fields": (("order_link", "box_link"), ("payment_link", "receipt_link"))}),
        (gettext_lazy("Decisione"), {"fields": (("closed", "closed_by"), "resolution")}),
    )
    opened = shown("opened_at", gettext_lazy("Aperto il"))
    closed = shown("closed_at", gettext_lazy("Chiuso il"))
    order_link = shown("order", gettext_lazy("Ordine"))
    box_link = shown("box", gettext_lazy("Casella"))
    payment_link = shown("payment", gettext_lazy("Pagamento"))
    receipt_link = shown("receipt", gettext_lazy("Accredito"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Case]:
        return (
            super()
            .get_queryset(request)
            .select_related("order", "box__address", "payment__order", "receipt", "closed_by")
        )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        if not search_term.strip():
            return queryset, False
        orders = Order.objects.filter(orders_found(search_term)).values_list("pk", flat=True)[:MOST_FOUND]
        boxes = Mailbox.objects.filter(boxes_found(search_term)).values_list("pk", flat=True)[:MOST_FOUND]
        return (queryset.filter(order__in=list(orders)) | queryset.filter(box__in=list(boxes))), False

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list:
        case = self.get_object(request, object_id)
        wanted = self.buttons_of(case) if case else set()
        return [a for a in super().get_actions_detail(request, object_id) if a.method.__name__ in wanted]

    def has_close_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.change_case")

    @display(description=gettext_lazy("Importo"))
    def in_its_currency(self, case: Case) -> str:
        return money(case.amount, case.currency) or NOTHING

    @display(description=gettext_lazy("Stato"))
    def state(self, case: Case) -> SafeString:
        return badge("danger", _("Aperto")) if case.closed_at is None else badge("success", _("Chiuso"))

    @action(description=gettext_lazy("Chiudi"), url_path="chiudi", permissions=["close"], icon="check")
    def close(self, request: HttpRequest, object_id: str) -> HttpResponse:
        case = self.found(request, object_id)

        def flow(typed: dict[str, Any]) -> Done:
            cases.close_case(case_id=case.pk, actor=who(request), resolution=typed["reason"])
            return Done(reverse("admin:payments_case_changelist"), _("Caso chiuso."))

        return self.flow_page(
            request, form=ReasonForm(posted(request)), flow=flow, title=_("Chiudi il caso"),
            submit=_("Chiudi il caso"), obj=case,
            intro=_("Chiudere scrive la decisione e non muove denaro: prima rimborsa o attribuisci, poi chiudi."),
            facts=[
                (_("Che cosa è successo"), case.detail),
                (_("Importo"), money(case.amount, case.currency) or "-"),
                (_("Ordine"), case.order or "-"),
                (_("Casella"), case.box or "-"),
            ],
        )  # fmt: skip
