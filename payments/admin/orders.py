"""Orders for staff: everything that happened to one on one page; two buttons, each a flow."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from accounts.models import User
from mailboxes.admin.base import MOST_FOUND, ReadOnlyInline, admin_url, who
from mailboxes.admin.fields import PercentField
from mailboxes.admin.shown import NOTHING, badge, link, shown, written
from mailboxes.models import Address
from payments import bank, commitments, flows
from payments.models import Allocation, Case, Payment
from pecportal.errors import RefusedError
from pecportal.formats import day as in_words
from pecportal.formats import euro, money, years
from renewals.models import Order, OrderEvent, OrderLine

from .forms import CancelForm, CommitmentForm
from .giving_back import OrderActions
from .invoice_rows import InvoiceInline
from .named import MethodFilter, named
from .sums import missing_of

COLOURS = {
    Order.Status.AWAITING_PAYMENT: "warning",
    Order.Status.PAID: "info",
    Order.Status.FULFILLED: "success",
    Order.Status.ATTENTION: "danger",
    Order.Status.CANCELLED: None,
    Order.Status.LAPSED: None,
    Order.Status.REFUNDED: None,
    Order.Status.REVERSED: None,
}
LINE_COLOURS = {
    OrderLine.Status.WAITING: "warning",
    OrderLine.Status.ATTENTION: "danger",
    OrderLine.Status.FULFILLED: "success",
    OrderLine.Status.CLOSED: None,
    OrderLine.Status.REFUNDED: None,
    OrderLine.Status.REVERSED: None,
}


STATUSES: dict[str, Any] = {**dict(OrderLine.Status.choices), **dict(Order.Status.choices)}


class LineInline(ReadOnlyInline):
    model = OrderLine
    fields = ("target", "state", "of_plan", "space", "price", "expiry_then", "paid", "holder_as_confirmed")
    related = ("mailbox__address", "domain", "address", "plan", "period", "holder")
    per_page = 20
    tab = False

    @display(description=gettext_lazy("Che cosa"))
    def target(self, line: OrderLine) -> SafeString | str:
        return link(line.mailbox or line.domain) if line.address_id is None else str(line.address)

    of_plan = shown("plan", gettext_lazy("Tipologia"))
    price = shown("net", gettext_lazy("Netto"))
    expiry_then = shown("old_expiry", gettext_lazy("Scadenza alla conferma"))

    @display(description=gettext_lazy("Periodo"))
    def paid(self, line: OrderLine) -> str:
        return f"{written(line.period.starts)} – {written(line.period.ends)}" if line.period else NOTHING

    @display(description=gettext_lazy("Stato"))
    def state(self, line: OrderLine) -> SafeString:
        return badge(LINE_COLOURS[OrderLine.Status(line.status)], line.get_status_display())

    @display(description=gettext_lazy("Spazio"))
    def space(self, line: OrderLine) -> str:
        if line.mailbox_gb is None:
            return NOTHING
        return _("%(mailbox)s GB + archivio %(archive)s GB") % {"mailbox": line.mailbox_gb, "archive": line.archive_gb}

    @display(description=gettext_lazy("Intestatario confermato"))
    def holder_as_confirmed(self, line: OrderLine) -> str:
        holder = getattr(line, "holder", None)
        return f"{holder.display_name}, {holder.own_fiscal_key()}" if holder else NOTHING


class PaymentInline(ReadOnlyInline):
    model = Payment
    fields = ("page", "by", "paid", "remote_id", "reason", "started", "registered")
    related = ("order",)
    by = named("provider", gettext_lazy("Gestore"))
    paid = shown("amount", gettext_lazy("Importo"))
    started = shown("created_at", gettext_lazy("Avviato il"))
    registered = shown("registered_at", gettext_lazy("Registrato il"))

    @display(description=gettext_lazy("Pagamento"))
    def page(self, payment: Payment) -> SafeString | str:
        return link(payment)


class AllocationInline(ReadOnlyInline):
    """What paid the order: bank money and on-line payments alike."""

    model = Allocation
    fields = ("source", "given", "by", "at")
    related = ("receipt", "payment__order", "made_by")
    given = shown("amount", gettext_lazy("Importo"))
    by = shown("made_by", gettext_lazy("Chi"))
    at = shown("made_at", gettext_lazy("Quando"))

    @display(description=gettext_lazy("Da che cosa"))
    def source(self, allocation: Allocation) -> SafeString | str:
        return link(allocation.receipt or allocation.payment)


class EventInline(ReadOnlyInline):
    model = OrderEvent
    fields = ("on", "line_target", "from_state", "to_state", "by", "why")
    on = shown("at", gettext_lazy("Quando"))
    by = shown("actor", gettext_lazy("Chi"))
    related = ("line__mailbox__address", "line__domain", "line__address", "actor")
    per_page = 50

    @display(description=gettext_lazy("Da"))
    def from_state(self, event: OrderEvent) -> str:
        return STATUSES.get(event.before, NOTHING)

    @display(description=gettext_lazy("A"))
    def to_state(self, event: OrderEvent) -> str:
        return STATUSES.get(event.after, NOTHING)

    @display(description=gettext_lazy("Riga"))
    def line_target(self, event: OrderEvent) -> str:
        return str(event.line.target) if event.line else _("tutto l'ordine")


class CaseInline(ReadOnlyInline):
    model = Case
    fields = ("page", "detail", "worth", "opened", "closed", "resolution")
    opened = shown("opened_at", gettext_lazy("Aperto il"))
    closed = shown("closed_at", gettext_lazy("Chiuso il"))

    @display(description=gettext_lazy("Importo"))
    def worth(self, case: Case) -> str:
        return money(case.amount, case.currency) or NOTHING

    @display(description=gettext_lazy("Caso"))
    def page(self, case: Case) -> SafeString | str:
        return link(case)


def orders_found(term: str) -> Q:
    """Orders by number, by the reference of a transfer, by a box's address or by account, as the words look like."""
    term = term.strip()
    if "@" in term:
        addresses = Address.objects.filter(name__startswith=term.lower()).values_list("pk", flat=True)[:MOST_FOUND]
        owners = User.objects.filter(Q(username=term.lower()) | Q(email=term.lower())).values_list("pk", flat=True)
        lines = OrderLine.objects.filter(Q(mailbox__address__in=list(addresses)) | Q(address__in=list(addresses)))
        ids = list(lines.order_by("-order_id").values_list("order_id", flat=True)[:MOST_FOUND])
        return Q(pk__in=ids) | Q(owner__in=list(owners[:MOST_FOUND]))
    named = bank.find_order(term)
    return Q(pk=named.pk) if named else Q(number__startswith=term.upper())


@admin.register(Order)
class OrderAdmin(OrderActions):
    list_display = ("page", "state", "kind", "owner", "total_in_euro", "pays_by", "confirmed", "payable_through")
    list_filter = ("status", "kind", MethodFilter)
    list_select_related = ("owner",)
    search_fields = ("number",)  # the box to type in; orders_found decides what it searches
    search_help_text = gettext_lazy(
        "Numero d'ordine, causale del bonifico, indirizzo PEC, username o e-mail dell'account"
    )
    ordering = ("-id",)
    actions_detail = (
        "record_transfer",
        "commit",
        "cancel",
        "try_again",
        "refund_lines",
        "refund_goodwill",
        "take_back",
    )
    inlines = (LineInline, PaymentInline, AllocationInline, InvoiceInline, CaseInline, EventInline)
    fieldsets = (
        (None, {"fields": (("number", "state"), ("kind", "years_in_words"), ("owner", "placed_by"), "email")}),
        (
            gettext_lazy("Importi"),
            {"fields": (("total_in_euro", "due_in_euro"), ("net", "vat_in_words"), "missing")},
        ),
        (
            gettext_lazy("Pagamento"),
            {"fields": (("pays_by", "declared"), ("reference", "payable_through"), ("paid", "collected"), "promised")},
        ),
        (
            gettext_lazy("Contratto"),
            {
                "fields": (
                    ("confirmed", "fulfilled"),
                    ("terms_version", "accepted"),
                    ("terms_ip", "consumer"),
                    ("immediate", "billing_as_fixed"),
                )
            },
        ),
    )
    pays_by = named("method", gettext_lazy("Metodo scelto"))
    total_in_euro = shown("total", gettext_lazy("Totale"))
    due_in_euro = shown("amount_due", gettext_lazy("Da pagare"))
    net = shown("taxable", gettext_lazy("Imponibile"))
    declared = shown("transfer_declared_on", gettext_lazy("Bonifico dichiarato il"))
    payable_through = shown("lapses_on", gettext_lazy("Pagabile fino al"))
    paid = shown("paid_at", gettext_lazy("Pagato il"))
    collected = shown("collected_at", gettext_lazy("Incassato il"))
    confirmed = shown("confirmed_at", gettext_lazy("Confermato il"))
    fulfilled = shown("fulfilled_at", gettext_lazy("Evaso il"))
    accepted = shown("terms_accepted_at", gettext_lazy("Condizioni accettate il"))
    consumer = shown("is_consumer", gettext_lazy("Consumatore"))
    immediate = shown("immediate_start", gettext_lazy("Inizio immediato richiesto"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        return super().get_queryset(request).select_related("owner", "placed_by", "billing", "commitment")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        return (queryset.filter(orders_found(search_term)) if search_term.strip() else queryset), False

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list:
        """Buttons only where they can do something."""
        order = self.get_object(request, object_id)
        wanted = self.buttons_of(order) if order else set()
        return [a for a in super().get_actions_detail(request, object_id) if a.method.__name__ in wanted]

    def has_record_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_receipt")

    def has_commit_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_commitment")

    def has_cancel_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("renewals.change_order")

    @display(description=gettext_lazy("Numero"), ordering="number")
    def page(self, order: Order) -> SafeString:
        """Staff read it out on the telephone: it must not part at its hyphen."""
        return format_html('<span class="whitespace-nowrap">{}</span>', order.number)

    @display(description=gettext_lazy("Stato"))
    def state(self, order: Order) -> SafeString:
        if order.awaits_collection:
            return badge("warning", _("Evaso, da incassare"))
        return badge(COLOURS[Order.Status(order.status)], order.get_status_display())

    @display(description=gettext_lazy("Impegno di pagamento"))
    def promised(self, order: Order) -> str:
        found = getattr(order, "commitment", None)
        if found is None:
            return NOTHING
        codes = "".join(f", {name} {code}" for name, code in (("CIG", found.cig), ("CUP", found.cup)) if code)
        split = _(", scissione dei pagamenti") if found.split_payment else ""
        return f"{found.reference}, {in_words(found.date)}{codes}{split}"

    @display(description=gettext_lazy("IVA"))
    def vat_in_words(self, order: Order) -> str:
        return f"{euro(order.vat)} ({PercentField().prepare_value(order.vat_rate)} %)"

    @display(description=gettext_lazy("Frequenza di rinnovo"))
    def years_in_words(self, order: Order) -> str:
        return years(order.years) if order.years else NOTHING

    @display(description=gettext_lazy("Mancano"))
    def missing(self, order: Order) -> str:
        return euro(missing_of(order)) if order.is_awaiting_payment or order.awaits_collection else NOTHING

    @display(description=gettext_lazy("Causale del bonifico"))
    def reference(self, order: Order) -> str:
        return bank.creditor_reference(order)

    @display(description=gettext_lazy("Dati di fatturazione"))
    def billing_as_fixed(self, order: Order) -> SafeString | str:
        billing = getattr(order, "billing", None)
        if billing is None:
            return NOTHING
        place = f"{billing.address}, {billing.postal_code} {billing.city} {billing.province}"
        fixed = (
            _("fissati il %(day)s") % {"day": in_words(billing.fixed_at)} if billing.fixed_at else _("alla conferma")
        )
        rows = (billing.display_name, f"{billing.codice_fiscale} {billing.partita_iva}", place, f"({fixed})")
        return format_html_join(mark_safe("<br>"), "{}", ((row,) for row in rows))

    @action(
        description=gettext_lazy("Registra un accredito"), url_path="accredito", permissions=["record"], icon="payments"
    )
    def record_transfer(self, request: HttpRequest, object_id: str) -> HttpResponse:
        order = self.found(request, object_id)
        return redirect(reverse("admin:payments_receipt_record", query={"ordine": order.number}))

    @action(
        description=gettext_lazy("Registra un impegno"), url_path="impegno", permissions=["commit"], icon="handshake"
    )
    def commit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        order = self.found(request, object_id)
        form = CommitmentForm(request.POST if request.method == "POST" else None)
        why = commitments.refusal(order)
        if why:
            self.message_user(request, why, messages.WARNING)
            return redirect(admin_url(order))
        if request.method == "POST" and form.is_valid():
            try:
                commitments.register(order_id=order.pk, actor=who(request), **form.cleaned_data)
            except RefusedError as refusal:
                form.add_error(None, str(refusal))
            else:
                sentence = _("Impegno registrato: l'ordine %(order)s è evaso, da incassare.") % {"order": order}
                self.message_user(request, sentence, messages.SUCCESS)
                return redirect(admin_url(order))
        return self.form_page(
            request,
            form=form,
            title=_("Registra un impegno di pagamento"),
            submit=_("Registra l'impegno ed evadi l'ordine"),
            obj=order,
            intro=_(
                "L'ordine è evaso subito, prima del denaro: la casella si rinnova e i dati della fattura si fissano. "
                "Quando arriva il bonifico, l'ordine risulta incassato."
            ),
            facts=[
                (_("Account"), order.owner),
                (_("Totale"), euro(order.total)),
                (_("Senza IVA, con la scissione dei pagamenti"), euro(order.taxable)),
            ],
        )

    @action(description=gettext_lazy("Annulla l'ordine"), url_path="annulla", permissions=["cancel"], icon="cancel")
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        order = self.found(request, object_id)
        form = CancelForm(request.POST if request.method == "POST" else None, order=order)
        if request.method == "POST" and form.is_valid():
            try:
                flows.cancel_order(
                    order_id=order.pk,
                    actor=who(request),
                    despite_transfer=form.cleaned_data.get("despite_transfer", False),
                    why=form.cleaned_data["reason"],
                )
            except RefusedError as refusal:
                form.add_error(None, str(refusal))
            else:
                sentence = _("Ordine %(number)s annullato: la casella si può rinnovare di nuovo.")
                self.message_user(request, sentence % {"number": order}, messages.SUCCESS)
                return redirect(admin_url(order))
        intro = _(
            "Un pagamento in corso viene prima chiuso presso il gestore. Se risulta incassato, l'ordine non si annulla."
        )
        return self.form_page(
            request,
            form=form,
            title=_("Annulla l'ordine %(number)s") % {"number": order},
            submit=_("Annulla l'ordine"),
            obj=order,
            intro=intro,
            danger=True,
            facts=[
                (_("Stato"), order.get_status_display()),
                (_("Totale"), euro(order.total)),
                (_("Account"), order.owner),
                (_("Bonifico dichiarato"), in_words(order.transfer_declared_on) or _("no")),
            ],
        )
