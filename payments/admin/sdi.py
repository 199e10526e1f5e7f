"""SdI's receipts for staff: those that were not understood first, and files that somebody downloaded taken in."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget

from mailboxes.admin.base import Done, ReadOnlyAdmin, posted, who
from mailboxes.admin.shown import badge, shown
from payments.invoicing import answers, receipts
from payments.models import SdiReceipt

from .forms import ConfirmForm

LONGEST_SHOWN = 20_000  # characters of a receipt's own text


class UploadForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("Ricevuta di SdI"),
        widget=UnfoldAdminFileFieldWidget,
        help_text=gettext_lazy("Il file XML come l'ha dato SdI: RC, NS, MC, NE, DT o AT. Al massimo 1 MB."),
        error_messages={
            "required": gettext_lazy("Scegli il file da caricare."),
            "empty": gettext_lazy("Il file è vuoto."),
            "invalid": gettext_lazy("Scegli il file da caricare."),
        },
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > receipts.MOST:
            raise forms.ValidationError(_("Il file è più grande di 1 MB: non è una ricevuta di SdI."))
        return file


class SeenFilter(admin.SimpleListFilter):
    """Those that staff must look at, unless all are asked for, or one is looked for."""

    title = gettext_lazy("che cosa")
    parameter_name = "che"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("tutte", _("tutte le ricevute"))]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": _("da guardare")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "tutte" or request.GET.get("q"):
            return queryset
        return queryset.filter(understood=False, seen_at=None)


@admin.register(SdiReceipt)
class SdiReceiptAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind_shown", "state", "of_file", "invoice_link", "received")
    list_filter = (SeenFilter, "kind")
    list_select_related = ("invoice__order",)
    search_fields = ("of_file__exact", "name__exact", "sdi_id__exact")
    search_help_text = gettext_lazy("Nome del file della fattura o della ricevuta, o identificativo SdI, per intero")
    ordering = ("-id",)
    actions_list = ("upload",)
    actions_detail = ("look",)
    fieldsets = (
        (None, {"fields": (("name", "kind_shown"), ("state", "of_file"), ("invoice_link", "sdi_id"))}),
        (gettext_lazy("Che cosa dice"), {"fields": (("answer", "codes"), "detail", "as_it_came")}),
        (gettext_lazy("Quando"), {"fields": (("happened", "received"), ("seen", "seen_by"))}),
    )
    kind_shown = shown("kind", gettext_lazy("Tipo"))
    invoice_link = shown("invoice", gettext_lazy("Fattura"))
    happened = shown("happened_at", gettext_lazy("Data di SdI"))
    received = shown("received_at", gettext_lazy("Ricevuta il"))
    seen = shown("seen_at", gettext_lazy("Vista il"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[SdiReceipt]:
        found = super().get_queryset(request).defer("content", "invoice__xml", "invoice__detail")
        return found.select_related("invoice__order", "seen_by")

    @display(description=gettext_lazy("Stato"))
    def state(self, receipt: SdiReceipt) -> SafeString:
        if receipt.understood:
            return badge("success", _("Applicata"))
        return badge(None, _("Vista")) if receipt.seen_at else badge("danger", _("Da guardare"))

    @display(description=gettext_lazy("Il file"))
    def as_it_came(self, receipt: SdiReceipt) -> str:
        return bytes(receipt.content)[:LONGEST_SHOWN].decode(errors="replace").replace("\x00", "")

    def has_upload_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_sdireceipt")

    def has_look_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.change_sdireceipt")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list:
        receipt = self.get_object(request, object_id)
        waits = receipt is not None and not receipt.understood and receipt.seen_at is None
        return super().get_actions_detail(request, object_id) if waits else []

    @action(description=gettext_lazy("Carica una ricevuta"), url_path="carica", permissions=["upload"], icon="upload")
    def upload(self, request: HttpRequest) -> HttpResponse:
        def flow(typed: dict[str, Any]) -> Done:
            file = typed["file"]
            taken = answers.take(name=file.name, content=file.read(), actor=who(request))
            return _told(taken)

        return self.flow_page(
            request, form=UploadForm(posted(request), request.FILES or None), flow=flow,
            title=_("Carica una ricevuta di SdI"), submit=_("Carica"),
            intro=_("Fa la stessa cosa di una ricevuta che arriva da sola. Caricarla due volte non cambia nulla."),
        )  # fmt: skip

    @action(description=gettext_lazy("Segna come vista"), url_path="vista", permissions=["look"], icon="visibility")
    def look(self, request: HttpRequest, object_id: str) -> HttpResponse:
        receipt = self.found(request, object_id)

        def flow(_typed: dict[str, Any]) -> Done:
            answers.seen(receipt_id=receipt.pk, actor=who(request))
            return Done(reverse("admin:payments_sdireceipt_changelist"), _("Segnata come vista."))

        return self.flow_page(
            request, form=ConfirmForm(posted(request)), flow=flow,
            title=_("Segna come vista"), submit=_("L'ho guardata"), obj=receipt,
            intro=_("La toglie da quelle da guardare, e non cambia nessuna fattura."),
        )  # fmt: skip


def _told(taken: SdiReceipt) -> Done:
    url = reverse("admin:payments_sdireceipt_change", args=[taken.pk])
    if taken.understood and taken.invoice is not None:
        words = {"document": taken.invoice, "state": taken.invoice.get_state_display()}
        return Done(url, _("Ricevuta applicata: %(document)s è «%(state)s».") % words)
    why = taken.detail or _("non riguarda un file inviato da qui, o non è l'esito che si aspettava")
    return Done(url, _("Ricevuta conservata, da guardare: %(why)s.") % {"why": why}, messages.WARNING)
