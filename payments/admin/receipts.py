"""Bank money for staff: record what arrived, say which order it pays (R21b). A recorded receipt is never edited."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import DecimalField, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from mailboxes.admin.base import Done, ReadOnlyAdmin, ReadOnlyInline, admin_url, posted, who
from mailboxes.admin.shown import badge, shown
from payments import bank
from payments.models import Allocation, Receipt
from pecportal import clock
from pecportal.formats import day as in_words
from pecportal.formats import euro, money
from renewals.models import Order

from .forms import AllocateForm, ReceiptForm
from .order_rows import CaseInline
from .sums import left_of, missing_of


def result(allocated: bank.Allocated, order: Order) -> tuple[str, int]:
    """What an allocation did, in one sentence, and how loudly to say it."""
    facts = {
        "order": order,
        "given": euro(allocated.given),
        "missing": euro(allocated.missing),
        "left": euro(allocated.left),
        "why": allocated.refusal,
    }
    if allocated.refusal:
        sentence = _("Nulla è stato attribuito all'ordine %(order)s: %(why)s. È aperto un caso per %(left)s.")
        return sentence % facts, messages.WARNING
    if not allocated.paid:
        sentence = _(
            "Attribuiti %(given)s all'ordine %(order)s: mancano %(missing)s, l'ordine aspetta. È aperto un caso."
        )
        return sentence % facts, messages.WARNING
    if allocated.left:
        sentence = _("L'ordine %(order)s è pagato. Avanzano %(left)s: è aperto un caso.")
        return sentence % facts, messages.WARNING
    return _("L'ordine %(order)s è pagato con %(given)s.") % facts, messages.SUCCESS


class MatchFilter(admin.SimpleListFilter):
    title = gettext_lazy("attribuzione")
    parameter_name = "attribuzione"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("da", _("da attribuire")), ("fatta", _("attribuiti per intero"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "da":
            return queryset.filter(given__lt=F("amount"))
        return queryset.filter(given__gte=F("amount")) if self.value() == "fatta" else queryset


class AllocatedInline(ReadOnlyInline):
    model = Allocation
    fields = ("for_order", "given", "by", "at")
    related = ("order", "made_by")
    for_order = shown("order", gettext_lazy("Ordine"))
    given = shown("amount", gettext_lazy("Importo"))
    by = shown("made_by", gettext_lazy("Chi"))
    at = shown("made_at", gettext_lazy("Quando"))
    tab = False


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    list_display = ("bank_reference", "standing", "arrived", "left", "value", "payer", "remittance")
    list_filter = (MatchFilter, "bank_account")
    search_fields = ("bank_reference",)  # the box to type in; see get_search_results
    search_help_text = gettext_lazy(
        "Riferimento della banca, ordinante, parola della causale, importo o numero d'ordine"
    )
    ordering = ("-id",)
    actions_list = ("record",)
    actions_detail = ("allocate",)
    inlines = (AllocatedInline, CaseInline)
    fieldsets = (
        (None, {"fields": (("arrived", "standing"), ("left", "value"), ("payer", "remittance"))}),
        (gettext_lazy("In banca"), {"fields": (("bank_account", "bank_reference"), "currency")}),
        (gettext_lazy("Registrazione"), {"fields": (("recorded_by", "recorded"),)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Receipt]:
        nothing = Decimal(0)
        given = Coalesce(Sum("allocations__amount"), nothing, output_field=DecimalField(max_digits=9, decimal_places=2))
        return super().get_queryset(request).annotate(given=given)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(bank_reference__istartswith=term) | Q(payer__icontains=term) | Q(remittance__icontains=term)
        order = bank.find_order(term)
        if order is not None:
            wanted |= Q(pk__in=list(order.allocations.values_list("receipt_id", flat=True)))
        amount = term.replace("€", "").strip().replace(".", "").replace(",", ".")
        if amount.replace(".", "", 1).isdecimal() and len(amount) < 10:
            wanted |= Q(amount=Decimal(amount))
        return queryset.filter(wanted), False

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list:
        receipt = self.get_object(request, object_id)
        return super().get_actions_detail(request, object_id) if receipt and left_of(receipt) > 0 else []

    def has_record_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_receipt")

    def has_allocate_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_allocation")

    value = shown("value_date", gettext_lazy("Data valuta"))
    recorded = shown("recorded_at", gettext_lazy("Registrato il"))

    @display(description=gettext_lazy("Attribuzione"))
    def standing(self, receipt: Any) -> SafeString:
        if receipt.given >= receipt.amount:
            return badge("success", _("Attribuito"))
        return badge("warning", _("In parte") if receipt.given else _("Da attribuire"))

    @display(description=gettext_lazy("Da attribuire"))
    def left(self, receipt: Any) -> str:
        return money(receipt.amount - receipt.given, receipt.currency)

    @display(description=gettext_lazy("Importo"))
    def arrived(self, receipt: Receipt) -> str:
        return money(receipt.amount, receipt.currency)

    @action(description=gettext_lazy("Registra un accredito"), url_path="registra", permissions=["record"], icon="add")
    def record(self, request: HttpRequest) -> HttpResponse:
        number = request.GET.get("ordine", "").replace("\x00", "")  # PostgreSQL refuses NUL
        order = Order.objects.filter(number=number).first()

        def flow(typed: dict[str, Any]) -> Done:
            target = typed.pop("order") or bank.find_order(typed["remittance"])
            receipt, allocated = bank.record_and_match(actor=who(request), order=target, **typed)
            recorded = _("Accredito di %(amount)s registrato.") % {"amount": money(receipt.amount, receipt.currency)}
            sentence, level = _("La causale non nomina un ordine: è aperto un caso da verificare."), messages.WARNING
            if allocated is not None and target is not None:
                sentence, level = result(allocated, target)
            return Done(admin_url(receipt), f"{recorded} {sentence}", level)

        return self.flow_page(
            request, form=ReceiptForm(posted(request), initial=self._initial(order)), flow=flow,
            title=_("Registra un accredito"), submit=_("Registra l'accredito"),
            facts=self._facts(order) if order else (),
            intro=_("Com'è sull'estratto conto. Una volta registrato non si modifica: controlla prima importo e data."),
        )  # fmt: skip

    @staticmethod
    def _initial(order: Order | None) -> dict[str, object]:
        initial: dict[str, object] = {"bank_account": settings.BANK_IBAN, "value_date": clock.today()}
        if order is not None:
            initial |= {
                "order": order.number,
                "amount": missing_of(order),
                "remittance": bank.creditor_reference(order),
            }
        return initial

    @staticmethod
    def _facts(order: Order) -> list[tuple[str, object]]:
        facts: list[tuple[str, object]] = [
            (_("Ordine"), f"{order.number}, {order.get_status_display().lower()}"),
            (_("Account"), order.owner),
            (_("Mancano"), euro(missing_of(order))),
        ]
        if order.transfer_declared_on:
            facts.append((_("Bonifico dichiarato il"), in_words(order.transfer_declared_on)))
        return facts

    @action(
        description=gettext_lazy("Attribuisci a un ordine"),
        url_path="attribuisci",
        permissions=["allocate"],
        icon="link",
    )
    def allocate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        receipt = self.found(request, object_id)

        def flow(typed: dict[str, Any]) -> Done:
            order = typed["order"]
            allocated = bank.allocate(receipt_id=receipt.pk, order_id=order.pk, actor=who(request))
            return Done(admin_url(receipt), *result(allocated, order))

        left, arrived = money(left_of(receipt), receipt.currency), money(receipt.amount, receipt.currency)
        return self.flow_page(
            request, form=AllocateForm(posted(request)), flow=flow, title=_("Attribuisci a un ordine"),
            submit=_("Attribuisci"), obj=receipt,
            intro=_("L'ordine riceve quello che gli manca. Se l'accredito basta, l'ordine risulta pagato subito."),
            facts=[
                (_("Da attribuire"), _("%(left)s di %(all)s") % {"left": left, "all": arrived}),
                (_("Data valuta"), in_words(receipt.value_date)),
                (_("Ordinante"), receipt.payer or "-"),
                (_("Causale"), receipt.remittance or "-"),
            ],
        )  # fmt: skip
