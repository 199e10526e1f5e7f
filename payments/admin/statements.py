"""Bank statements for staff: upload, look at what each line will do, then register them all, once (R21b)."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminFileFieldWidget

from mailboxes.admin.base import Done, ReadOnlyAdmin, admin_url, posted, who
from mailboxes.admin.shown import NOTHING, badge, link, shown, written
from payments.models import Allocation, Statement
from payments.statements import flow
from payments.statements.matching import Verdict
from pecportal.errors import RefusedError
from pecportal.formats import money
from renewals.models import Order

PER_PAGE = 100
COLOURS = {
    Verdict.PAYS: "success", Verdict.DONE: "success", Verdict.KNOWN: None, Verdict.NO_ORDER: "warning",
    Verdict.LESS: "warning", Verdict.MORE: "warning", Verdict.CURRENCY: "danger", Verdict.CLOSED: "danger",
}  # fmt: skip


class UploadForm(forms.Form):
    file = forms.FileField(
        label=gettext_lazy("File dell'estratto conto"),
        widget=UnfoldAdminFileFieldWidget,
        help_text=gettext_lazy(
            "CAMT.053 (XML) oppure CSV con le colonne conto;riferimento;data valuta;importo;causale;ordinante;valuta. "
            "Solo accrediti, al massimo 32 MB."
        ),
        error_messages={
            "required": gettext_lazy("Scegli il file da caricare."),
            "empty": gettext_lazy("Il file è vuoto."),
            "invalid": gettext_lazy("Scegli il file da caricare."),
        },
    )


@admin.register(Statement)
class StatementAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "bank_account", "format", "uploaded", "uploaded_by", "applied")
    list_select_related = ("uploaded_by",)
    list_filter = ("format",)
    ordering = ("-id",)
    actions_list = ("upload",)
    actions_detail = ("apply",)
    uploaded = shown("uploaded_at", gettext_lazy("Caricato il"))
    applied = shown("applied_at", gettext_lazy("Registrato il"))

    def has_upload_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_statement")

    def has_apply_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_receipt") and request.user.has_perm("payments.add_allocation")

    @display(description=gettext_lazy("Stato"))
    def state(self, statement: Statement) -> SafeString:
        return badge("success", _("Registrato")) if statement.applied_at else badge("warning", _("Da registrare"))

    @action(
        description=gettext_lazy("Carica un estratto conto"), url_path="carica", permissions=["upload"], icon="upload"
    )
    def upload(self, request: HttpRequest) -> HttpResponse:
        def take(typed: dict[str, Any]) -> Done:
            file = typed["file"]
            try:
                statement = flow.take(file, name=file.name, size=file.size, actor=who(request))
            except flow.AlreadyTakenError as known:
                return Done(admin_url(known.statement), str(known), messages.WARNING)
            sentence = _("File letto. Controlla le righe: non è ancora stato registrato nulla.")
            return Done(admin_url(statement), sentence)

        return self.flow_page(
            request, form=UploadForm(posted(request), request.FILES or None), flow=take, beside="file",
            title=_("Carica un estratto conto"), submit=_("Leggi il file"),
            intro=_(
                "Il file si legge per intero o si rifiuta. Poi vedi che cosa farà ogni riga, e solo dopo registri."
            ),
        )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict | None = None
    ) -> HttpResponse:
        """The statement as it would be, or was, registered: counts by verdict, then the rows."""
        statement = self.found(request, object_id)
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request, statement):
            raise PermissionDenied
        judged = flow.preview(statement)
        counted = flow.counts(judged)
        wanted = request.GET.get("esito", "")
        chosen = [one for one in judged if one.verdict == wanted] if wanted in Verdict.values else judged
        page = Paginator(chosen, PER_PAGE).get_page(request.GET.get("p"))
        gave = _paid_by([one.row.receipt_id for one in page if one.row.receipt_id])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta, "original": statement, "title": str(statement), "media": self.media,
            "statement": statement, "state": self.state(statement), "uploaded": written(statement.uploaded_at),
            "applied": written(statement.applied_at), "page": page,
            "wanted": wanted if wanted in Verdict.values else "",
            "verdicts": [
                {"value": v.value, "badge": badge(COLOURS[v], str(v.label)), "count": counted[v]}
                for v in Verdict if counted[v]
            ],
            "all": len(judged), "table": {"headers": HEADERS, "rows": [_cells(one, gave) for one in page]},
            "may_apply": statement.applied_at is None and self.has_apply_permission(request),
            "apply_url": admin_url(statement, "apply"),
        }  # fmt: skip
        return TemplateResponse(request, "admin/payments/statement.html", context)

    @action(description=gettext_lazy("Registra"), url_path="registra", permissions=["apply"], icon="check")
    def apply(self, request: HttpRequest, object_id: str) -> HttpResponse:
        statement = self.found(request, object_id)
        if request.method == "POST":
            try:
                made = flow.apply(statement_id=statement.pk, actor=who(request))
            except RefusedError as refusal:
                self.message_user(request, str(refusal), messages.WARNING)
            else:
                told = ngettext("Registrato %(n)s accredito.", "Registrati %(n)s accrediti.", made) % {"n": made}
                tail = _("Gli ordini pagati si completano da soli in pochi minuti.")
                self.message_user(request, f"{told} {tail}", messages.SUCCESS)
            return redirect(admin_url(statement))
        if statement.applied_at:
            return redirect(admin_url(statement))
        counted = flow.counts(flow.preview(statement))
        return self.form_page(
            request,
            form=forms.Form(),
            title=_("Registra l'estratto conto"),
            submit=_("Registra gli accrediti"),
            obj=statement,
            intro=_("Gli accrediti si registrano una volta sola e non si modificano. Quelli che non pagano un ordine "
                    "per intero aprono un caso da verificare."),
            facts=[(str(verdict.label), counted[verdict]) for verdict in Verdict if counted[verdict]],
        )  # fmt: skip


HEADERS = [
    gettext_lazy("Riga"), gettext_lazy("Esito"), gettext_lazy("Importo"), gettext_lazy("Data valuta"),
    gettext_lazy("Causale"), gettext_lazy("Ordinante"), gettext_lazy("Ordini"), gettext_lazy("Accredito"),
]  # fmt: skip


def _paid_by(receipts: list[int]) -> dict[int, list[Order]]:
    """The orders that these receipts gave something to."""
    found: dict[int, list[Order]] = {}
    for given in Allocation.objects.filter(receipt__in=receipts).select_related("order").order_by("pk"):
        found.setdefault(given.receipt_id or 0, []).append(given.order)
    return found


def _cells(judged: flow.Judged, gave: dict[int, list[Order]]) -> list[object]:
    row = judged.row
    orders = gave.get(row.receipt_id, []) if row.receipt_id else judged.orders
    links = format_html_join(mark_safe("<br>"), "{}", ((link(order),) for order in orders))
    words = badge(COLOURS[judged.verdict], str(judged.verdict.label))
    verdict = format_html_join(mark_safe("<br>"), "{}", ((part,) for part in (words, judged.why) if part))
    return [
        row.line, verdict, money(row.amount, row.currency), written(row.value_date), row.remittance or NOTHING,
        row.payer or NOTHING, links or NOTHING, link(row.receipt) if row.receipt else row.bank_reference,
    ]  # fmt: skip
