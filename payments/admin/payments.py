"""On-line attempts and the webhooks that told of them, to look at: only payments.moves moves them (R18, R22)."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from mailboxes.admin.base import MOST_FOUND, ReadOnlyAdmin
from mailboxes.admin.shown import badge, shown
from payments.models import Payment, PaymentEvent, ProviderEvent
from pecportal.formats import money
from renewals.models import Order

from .moves import MoveInline
from .named import ProviderFilter, named
from .order_rows import AllocationInline, CaseInline
from .orders import orders_found

COLOURS = {
    Payment.Status.CREATED: "info",
    Payment.Status.PENDING: "info",
    Payment.Status.UNKNOWN: "warning",
    Payment.Status.REGISTERED: "success",
    Payment.Status.FAILED: "danger",
    Payment.Status.CANCELLED: None,
    Payment.Status.REFUNDED: None,
}


class PaymentEventInline(MoveInline):
    model = PaymentEvent
    fields = ("on", "from_state", "to_state", "reason")
    related = ()
    states = dict(Payment.Status.choices)
    tab = False
    reason = shown("why", gettext_lazy("Perché"))


@admin.register(Payment)
class PaymentAdmin(ReadOnlyAdmin):
    list_display = (
        "order",
        "state",
        "amount_in_euro",
        "by",
        "remote_id",
        "created_at",
        "registered_at",
        "reason",
    )
    list_filter = ("status", ProviderFilter)
    list_select_related = ("order",)
    search_fields = ("remote_id",)  # the box to type in; see get_search_results
    search_help_text = gettext_lazy("Id presso il gestore, numero d'ordine, indirizzo PEC, dominio o account")
    ordering = ("-id",)
    inlines = (PaymentEventInline, AllocationInline, CaseInline)
    fieldsets = (
        (None, {"fields": (("order", "state"), ("amount_in_euro", "by"), "remote_id", "reason")}),
        (gettext_lazy("Quando"), {"fields": (("started", "registered"), ("next_check", "times_asked"))}),
        (gettext_lazy("Chi e come"), {"fields": (("started_by", "with_method"), ("agreed", "agreed_text"))}),
    )
    by = named("provider", gettext_lazy("Gestore"))
    started = shown("created_at", gettext_lazy("Avviato il"))
    registered = shown("registered_at", gettext_lazy("Registrato il"))
    next_check = shown("next_check_at", gettext_lazy("Da richiedere il"))
    times_asked = shown("checks", gettext_lazy("Richiesto volte"))
    with_method = shown("method", gettext_lazy("Metodo salvato"))
    agreed = shown("auto_renewal_agreed", gettext_lazy("Rinnovo automatico accettato"))
    agreed_text = shown("consent_text_version", gettext_lazy("Testo del consenso"))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        orders = Order.objects.filter(orders_found(term)).values_list("pk", flat=True)[:MOST_FOUND]
        named = list(Payment.objects.filter(remote_id=term).values_list("pk", flat=True)[:MOST_FOUND])
        return queryset.filter(pk__in=named) | queryset.filter(order__in=list(orders)), False

    @display(description=gettext_lazy("Stato"))
    def state(self, payment: Payment) -> SafeString:
        return badge(COLOURS[Payment.Status(payment.status)], payment.get_status_display())

    @display(description=gettext_lazy("Importo"))
    def amount_in_euro(self, payment: Payment) -> str:
        return money(payment.amount, payment.currency)


@admin.register(ProviderEvent)
class ProviderEventAdmin(ReadOnlyAdmin):
    list_display = ("event", "by", "about", "received", "processed")
    list_filter = (ProviderFilter, ("processed_at", admin.EmptyFieldListFilter))
    search_fields = ("event_id__exact", "remote_id__exact")
    fields = (("by", "event"), ("about", "received"), "processed")
    by = named("provider", gettext_lazy("Gestore"))
    event = shown("event_id", gettext_lazy("Id dell'evento"))
    about = shown("remote_id", gettext_lazy("Id del pagamento"))
    received = shown("received_at", gettext_lazy("Ricevuto il"))
    processed = shown("processed_at", gettext_lazy("Lavorato il"))
    search_help_text = gettext_lazy("Id dell'evento o del pagamento presso il gestore, per intero")
    ordering = ("-id",)
