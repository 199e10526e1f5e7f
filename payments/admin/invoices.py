"""Invoices for the bookkeeper: what waits and until when, the register of a period, the numbers of a year."""

from datetime import date
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import action, display

from mailboxes.admin.base import MOST_COUNTED, MOST_FOUND, posted
from mailboxes.admin.fields import DayField
from mailboxes.admin.shown import NOTHING, badge, link, shown
from payments.invoicing import register, sending
from payments.invoicing.shown import by_number
from payments.models import Invoice
from pecportal import clock
from renewals.models import Order

from .invoice_actions import InvoiceActions
from .invoice_rows import EventInline, ReceiptInline, TransmissionInline, advice, deadline, state_badge
from .orders import orders_found

QUEUE, TO_SEND, LATE, ALL = "coda", "da_inviare", "in_ritardo", "tutti"
MOST_SHOWN = 50  # missing numbers of a year


class QueueFilter(admin.SimpleListFilter):
    """What waits for the bookkeeper, unless something else is asked for, or looked for."""

    title = gettext_lazy("che cosa")
    parameter_name = "che"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(TO_SEND, _("non ancora a SdI")), (LATE, _("in ritardo")), (ALL, _("tutti i documenti"))]

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": _("da sistemare")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return {
            QUEUE: queryset.filter(for_staff()),
            TO_SEND: queryset.filter(state__in=Invoice.NOT_AT_SDI),
            LATE: queryset.filter(late(clock.today())),
            ALL: queryset,
        }[asked_for(request)]


def asked_for(request: HttpRequest) -> str:
    """One that is looked for is found whatever its state."""
    wanted = request.GET.get("che", "")
    if wanted in (TO_SEND, LATE, ALL):
        return wanted
    return ALL if request.GET.get("q") or request.GET.get("state__exact") else QUEUE


def for_staff() -> Q:
    """What waits for a person: also what SdI has not answered for days, of which only its own silence tells."""
    return Q(state__in=Invoice.FOR_STAFF) | sending.unanswered(clock.now())


def late(today: date) -> Q:
    return Q(state__in=Invoice.NOT_AT_SDI, due_on__lt=today)


class PeriodForm(forms.Form):
    """The days, both included, that the documents to export are dated."""

    first = DayField(label=gettext_lazy("Dal"))
    last = DayField(label=gettext_lazy("Al"))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        first, last = cleaned.get("first"), cleaned.get("last")
        if first and last:
            if last < first:
                self.add_error("last", _("L'ultimo giorno viene prima del primo."))
            elif not Invoice.objects.filter(register.numbered(first, last)).exists():
                raise ValidationError(_("In questo periodo non c'è nessun documento."))
        return cleaned


@admin.register(Invoice)
class InvoiceAdmin(InvoiceActions):
    list_display = ("document", "state_shown", "by_when", "next_step", "order_link", "amount", "issued")
    list_filter = (QueueFilter, "kind", "state")
    list_select_related = ("order__owner",)
    search_fields = ("number",)  # the box to type in; see get_search_results
    search_help_text = gettext_lazy(
        "Numero del documento o dell'ordine, indirizzo PEC, dominio, username o e-mail dell'account"
    )
    actions_list = ("export", "numbers")
    inlines = (EventInline, TransmissionInline, ReceiptInline)
    fieldsets = (
        (None, {"fields": (("document", "state_shown"), ("kind", "format"), ("by_when", "why"), "faults", "to_do")}),
        (gettext_lazy("Di che cosa"), {"fields": (("order_link", "owner"), ("corrects_link", "refund_link"), "notes")}),
        (gettext_lazy("Importi"), {"fields": (("net", "tax"), ("amount", "rate"), "split")}),
        (
            gettext_lazy("Giorni"),
            {"fields": (("issued", "operation"), ("due", "answered"), ("file_name", "sdi_id"), "replaces_link")},
        ),
    )
    order_link = shown("order", gettext_lazy("Ordine"))
    owner = shown("order.owner", gettext_lazy("Account"))
    corrects_link = shown("corrects", gettext_lazy("Fattura corretta"))
    refund_link = shown("refund", gettext_lazy("Rimborso"))
    replaces_link = shown("replaces", gettext_lazy("Al posto di"))
    issued = shown("document_date", gettext_lazy("Data"))
    operation = shown("money_on", gettext_lazy("Data del denaro"))
    due = shown("due_on", gettext_lazy("A SdI entro il"))
    answered = shown("answered_at", gettext_lazy("Ultimo esito il"))
    net = shown("taxable", gettext_lazy("Imponibile"))
    tax = shown("vat", gettext_lazy("IVA"))
    rate = shown("vat_rate", gettext_lazy("Aliquota"))
    amount = shown("total", gettext_lazy("Totale"))
    split = shown("split_payment", gettext_lazy("Scissione dei pagamenti"))
    why = shown("reason", gettext_lazy("Perché aspetta"))
    faults = shown("detail", gettext_lazy("Che cosa non va"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        found = super().get_queryset(request).defer("xml", "corrects__xml", "replaces__xml")
        return found.select_related("order__owner", "corrects", "replaces", "refund__payment__order", "refund__receipt")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return ("-id",) if asked_for(request) == ALL else ("due_on", "id")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip().upper()
        if not term:
            return queryset, False
        orders = Order.objects.filter(orders_found(term)).values_list("pk", flat=True)[:MOST_FOUND]
        return queryset.filter(Q(order__in=list(orders)) | by_number(term)), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """How many wait, and how many are late, on top."""
        waiting = _count(for_staff())
        told = ngettext("%(n)s documento da sistemare", "%(n)s documenti da sistemare", waiting) % {"n": waiting}
        if overdue := _count(late(clock.today())):
            told += ngettext(", %(n)s in ritardo verso SdI", ", %(n)s in ritardo verso SdI", overdue) % {"n": overdue}
        title = _("Fatture: %(told)s") % {"told": told}
        return super().changelist_view(request, {**(extra_context or {}), "title": title})

    @display(description=gettext_lazy("Documento"))
    def document(self, invoice: Invoice) -> SafeString:
        """It must not part at its hyphens."""
        kind = "" if invoice.kind == Invoice.Kind.INVOICE else invoice.get_kind_display()
        name = invoice.number_text or _("senza numero")
        return format_html('<span class="whitespace-nowrap">{}</span> {}', name, kind)

    @display(description=gettext_lazy("Che cosa fare"))
    def next_step(self, invoice: Invoice) -> str:
        """Why it waits, and what to do."""
        return f"{invoice.get_reason_display()}. {advice(invoice)}" if invoice.reason else advice(invoice)

    @display(description=gettext_lazy("Stato"))
    def state_shown(self, invoice: Invoice) -> SafeString:
        return state_badge(invoice)

    @display(description=gettext_lazy("A SdI"))
    def by_when(self, invoice: Invoice) -> SafeString | str:
        return deadline(invoice, clock.today())

    @display(description=gettext_lazy("Che cosa fare"))
    def to_do(self, invoice: Invoice) -> str:
        return advice(invoice)

    @display(description=gettext_lazy("Note di credito"))
    def notes(self, invoice: Invoice) -> SafeString | str:
        found = [link(note) for note in invoice.credit_notes.live().defer("xml", "detail")]
        return SafeString(", ".join(found)) if found else NOTHING

    def has_export_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Who may only look takes no thousand customers' data home."""
        return self.has_move_permission(request)

    @action(description=gettext_lazy("Esporta un periodo"), url_path="esporta", permissions=["export"], icon="archive")
    def export(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        today = clock.today()
        initial = {"first": today.replace(month=1, day=1), "last": today}
        form = PeriodForm(posted(request), initial=initial)
        if request.method == "POST" and form.is_valid():
            first, last = form.cleaned_data["first"], form.cleaned_data["last"]
            headers = {"Content-Disposition": f'attachment; filename="fatture_{first}_{last}.zip"'}
            return StreamingHttpResponse(register.archive(first, last), content_type="application/zip", headers=headers)
        return self.form_page(
            request, form=form, title=_("Esporta un periodo"), submit=_("Scarica lo ZIP"),
            intro=_("Tutti i documenti numerati con data in questi giorni: i file XML e il registro in CSV."),
        )  # fmt: skip

    @action(description=gettext_lazy("Numerazione"), url_path="numerazione", permissions=["read"], icon="pin")
    def numbers(self, request: HttpRequest) -> HttpResponse:
        """Whether the numbers of each year are whole. Of many missing ones, the first."""
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        years = register.numbers_by_year()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta, "title": _("Numerazione delle fatture"), "media": self.media,
            "whole": all(year.is_whole for year in years), "years": bool(years),
            "table": {"headers": HEADERS, "rows": [_cells(year) for year in years]},
        }  # fmt: skip
        return TemplateResponse(request, "admin/payments/numbers.html", context)


HEADERS = [
    gettext_lazy("Anno"), gettext_lazy("Serie"), gettext_lazy("Esito"), gettext_lazy("Documenti"),
    gettext_lazy("Primo"), gettext_lazy("Ultimo"), gettext_lazy("Ultimo assegnato"), gettext_lazy("Mancano"),
]  # fmt: skip


def _cells(year: register.YearOfNumbers) -> list[object]:
    verdict = badge("success", _("Senza buchi")) if year.is_whole else badge("danger", _("Da controllare"))
    missing = ", ".join(str(number) for number in year.missing[:MOST_SHOWN])
    if len(year.missing) > MOST_SHOWN:
        missing += ngettext(" e un altro", " e altri %(n)s", len(year.missing) - MOST_SHOWN) % {
            "n": len(year.missing) - MOST_SHOWN
        }
    if year.twice:
        missing += ngettext(" %(n)s doppio", " %(n)s doppi", year.twice) % {"n": year.twice}
    return [
        str(year.year), year.series, verdict, str(year.documents), str(year.first), str(year.last), str(year.taken),
        missing.strip() or NOTHING,
    ]  # fmt: skip


def _count(which: Q) -> int:
    return Invoice.objects.filter(which).order_by()[: MOST_COUNTED + 1].count()
