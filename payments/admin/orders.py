"""Orders for staff: everything that happened to one on one page; each button calls one flow."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from accounts.models import User
from mailboxes.admin.base import MOST_FOUND, Done, admin_url, posted, who
from mailboxes.admin.fields import PercentField
from mailboxes.admin.shown import NOTHING, badge, shown
from mailboxes.models import Address, Domain
from payments import bank, commitments, flows
from pecportal.formats import day as in_words
from pecportal.formats import euro, years
from renewals.models import Order, OrderLine

from .forms import CancelForm, CommitmentForm
from .giving_back import OrderActions
from .invoice_rows import InvoiceInline
from .named import MethodFilter, named
from .order_rows import AllocationInline, CaseInline, EventInline, LineInline, PaymentInline
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


def orders_found(term: str) -> Q:
    """Orders by number, by the reference of a transfer, by a box's address, by domain or by account, as the words
    look like. Ids are looked up first, by the beginning of a name, so that each way uses its index.
    """
    term = term.strip()
    name = term.lower()
    if "@" in term:
        addresses = list(Address.objects.filter(name__startswith=name).values_list("pk", flat=True)[:MOST_FOUND])
        owners = User.objects.filter(Q(username=name) | Q(email=name)).values_list("pk", flat=True)
        return _with_lines(Q(mailbox__address__in=addresses) | Q(address__in=addresses)) | Q(
            owner__in=list(owners[:MOST_FOUND])
        )
    named = bank.find_order(term)
    if named:
        return Q(pk=named.pk)
    domains = Domain.objects.filter(Q(name__startswith=name) | Q(mail_host__startswith=name))
    found = list(domains.values_list("pk", flat=True)[:MOST_FOUND])
    return _with_lines(Q(domain__in=found)) | Q(number__startswith=term.upper())


def _with_lines(wanted: Q) -> Q:
    """The orders of the newest of these lines, as many as one search follows."""
    lines = OrderLine.objects.filter(wanted).order_by("-order_id")
    return Q(pk__in=list(lines.values_list("order_id", flat=True)[:MOST_FOUND]))


@admin.register(Order)
class OrderAdmin(OrderActions):
    list_display = ("page", "state", "kind", "owner", "total_in_euro", "pays_by", "confirmed", "payable_through")
    list_filter = ("status", "kind", MethodFilter)
    list_select_related = ("owner",)
    search_fields = ("number",)  # the box to type in; orders_found decides what it searches
    search_help_text = gettext_lazy(
        "Numero d'ordine, causale del bonifico, indirizzo PEC, dominio, username o e-mail dell'account"
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
    payable_through = shown("payable_until", gettext_lazy("Pagabile fino al"))
    paid = shown("paid_at", gettext_lazy("Pagato il"))
    collected = shown("collected_at", gettext_lazy("Incassato il"))
    confirmed = shown("confirmed_at", gettext_lazy("Confermato il"))
    fulfilled = shown("fulfilled_at", gettext_lazy("Evaso il"))
    accepted = shown("terms_accepted_at", gettext_lazy("Condizioni accettate il"))
    consumer = shown("is_consumer", gettext_lazy("Consumatore"))
    immediate = shown("immediate_start", gettext_lazy("Inizio immediato richiesto"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        found = super().get_queryset(request).select_related("owner", "placed_by", "billing", "commitment")
        return found.prefetch_related(Prefetch("lines", OrderLine.objects.select_related("mailbox", "domain")))

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
        why = commitments.refusal(order)
        if why:
            self.message_user(request, why, messages.WARNING)
            return redirect(admin_url(order))

        def flow(typed: dict[str, Any]) -> Done:
            commitments.register(order_id=order.pk, actor=who(request), **typed)
            sentence = _("Impegno registrato: l'ordine %(order)s è evaso, da incassare.")
            return Done(admin_url(order), sentence % {"order": order})

        return self.flow_page(
            request, form=CommitmentForm(posted(request)), flow=flow, title=_("Registra un impegno di pagamento"),
            submit=_("Registra l'impegno ed evadi l'ordine"), obj=order,
            intro=_(
                "L'ordine è evaso subito, prima del denaro: la casella si rinnova e i dati della fattura si fissano. "
                "Quando arriva il bonifico, l'ordine risulta incassato."
            ),
            facts=[
                (_("Account"), order.owner),
                (_("Totale"), euro(order.total)),
                (_("Senza IVA, con la scissione dei pagamenti"), euro(order.taxable)),
            ],
        )  # fmt: skip

    @action(description=gettext_lazy("Annulla l'ordine"), url_path="annulla", permissions=["cancel"], icon="cancel")
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        order = self.found(request, object_id)

        def flow(typed: dict[str, Any]) -> Done:
            flows.cancel_order(
                order_id=order.pk, actor=who(request), despite_transfer=typed.get("despite_transfer", False),
                why=typed["reason"],
            )  # fmt: skip
            sentence = _("Ordine %(number)s annullato.")  # a box past its last day cannot be renewed again
            return Done(admin_url(order), sentence % {"number": order})

        return self.flow_page(
            request, form=CancelForm(posted(request), order=order), flow=flow,
            title=_("Annulla l'ordine %(number)s") % {"number": order}, submit=_("Annulla l'ordine"), obj=order,
            intro=_(
                "Un pagamento in corso viene prima chiuso presso il gestore. Se risulta incassato, l'ordine non si "
                "annulla."
            ),
            danger=True,
            facts=[
                (_("Stato"), order.get_status_display()),
                (_("Totale"), euro(order.total)),
                (_("Account"), order.owner),
                (_("Bonifico dichiarato"), in_words(order.transfer_declared_on) or _("no")),
            ],
        )  # fmt: skip
