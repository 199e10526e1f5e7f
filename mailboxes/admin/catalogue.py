"""Tipologie, listino and VAT rates: rows that staff edit (R6), each change told by auditlog (R32).

What was in force yesterday is never edited: it is superseded by a row with a later day.
"""

from datetime import date
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from mailboxes.models import Plan, Price, VatRate
from pecportal import clock
from pecportal.formats import day as in_words

from .base import StaffAdmin, admin_url
from .fields import AmountField, DayField, PercentField
from .shown import badge, shown


class PlanForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        pairs = (("base_mailbox_gb", "max_mailbox_gb"), ("base_archive_gb", "max_archive_gb"))
        for base, most in pairs:
            if data.get(base) is not None and data.get(most) is not None and data[most] < data[base]:
                self.add_error(most, _("Il massimo non può essere minore dei GB compresi."))
        if data.get("base_mailbox_gb") == 0:
            self.add_error("base_mailbox_gb", _("Una casella ha almeno 1 GB."))
        return data

    def validate_constraints(self) -> None:
        """The check constraints of the model have their sentences in clean()."""


@admin.register(Plan)
class PlanAdmin(StaffAdmin):
    form = PlanForm
    list_display = ("name", "code", "rank", "mailbox_space", "archive_space", "selectable")
    search_fields = ("code", "name")
    fieldsets = (
        (None, {"fields": (("name", "code"), ("rank", "selectable"))}),
        (gettext_lazy("Casella"), {"fields": (("base_mailbox_gb", "max_mailbox_gb"),)}),
        (gettext_lazy("Archivio"), {"fields": (("base_archive_gb", "max_archive_gb"),)}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("code",) if obj else ()  # prices and flows know a plan by its code

    @display(description=gettext_lazy("Casella"))
    def mailbox_space(self, plan: Plan) -> str:
        return _("da %(least)s a %(most)s GB") % {"least": plan.base_mailbox_gb, "most": plan.max_mailbox_gb}

    @display(description=gettext_lazy("Archivio"))
    def archive_space(self, plan: Plan) -> str:
        if not plan.has_archive:
            return _("nessuno")
        return _("da %(least)s a %(most)s GB") % {"least": plan.base_archive_gb, "most": plan.max_archive_gb}


class DatedForm(forms.ModelForm):
    """A row that starts today or later, never in the past, where orders were made at other prices."""

    def clean_valid_from(self) -> date:
        day = self.cleaned_data["valid_from"]
        if day < clock.today():
            raise ValidationError(_("Può valere da oggi in poi: nel passato ci sono ordini già fatti."))
        return day


class DatedAdmin(StaffAdmin):
    """Rows of the past are shown and not edited, with the sentence that says what to do instead."""

    def _is_frozen(self, obj: Any) -> bool:
        return obj is not None and obj.valid_from < clock.today()

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_change_permission(request, obj) and not self._is_frozen(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Only what has not begun may be taken back."""
        allowed = admin.ModelAdmin.has_delete_permission(self, request, obj)
        return allowed and isinstance(obj, (Price, VatRate)) and obj.valid_from > clock.today()

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        obj = self.found(request, object_id)
        if self._is_frozen(obj):
            sentence = _(
                "In vigore dal %(day)s: non si modifica. Aggiungi una riga che valga da oggi o da un giorno futuro."
            )
            level = messages.ERROR if request.method == "POST" else messages.INFO
            self.message_user(request, sentence % {"day": in_words(obj.valid_from)}, level)
            if request.method == "POST":
                return redirect(admin_url(obj))
        return super().change_view(request, object_id, form_url, extra_context)

    begins = shown("valid_from", gettext_lazy("In vigore dal"))

    @display(description=gettext_lazy("Stato"))
    def standing(self, obj: Any) -> SafeString:
        if obj.valid_from > clock.today():
            return badge("info", _("Non ancora"))
        return badge(None, _("Sostituito")) if obj.superseded else badge("success", _("In vigore"))


class PriceForm(DatedForm):
    net = AmountField(label=gettext_lazy("Netto all'anno, €"), help_text=gettext_lazy("Senza IVA, come 9,90."))
    valid_from = DayField(label=gettext_lazy("In vigore dal"))

    class Meta:
        model = Price
        fields = ("item", "plan", "net", "valid_from")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        item, plan, day = data.get("item"), data.get("plan"), data.get("valid_from")
        if item == Price.Item.PLAN and plan is None:
            self.add_error("plan", _("Scegli la tipologia di cui è il prezzo."))
        elif item and item != Price.Item.PLAN and plan is not None:
            self.add_error("plan", _("Questa voce vale per tutte le tipologie: lascia vuota la tipologia."))
        if not self.errors and day is not None:
            same = Price.objects.filter(item=item, plan=plan, valid_from=day).exclude(pk=self.instance.pk)
            if same.exists():
                self.add_error("valid_from", _("Per quel giorno c'è già un prezzo di questa voce: modifica quello."))
        return data

    def validate_constraints(self) -> None:
        """Their sentences are in clean()."""


@admin.register(Price)
class PriceAdmin(DatedAdmin):
    form = PriceForm
    list_display = ("what", "net_in_euro", "begins", "standing")
    list_filter = ("item", "plan")
    list_select_related = ("plan",)
    ordering = ("item", "plan__rank", "-valid_from")
    fields = (("item", "plan"), ("net", "valid_from"))

    @display(description=gettext_lazy("Voce"))
    def what(self, price: Price) -> str:
        return str(price.plan or price.get_item_display())

    net_in_euro = shown("net", gettext_lazy("Netto all'anno"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        later = Price.objects.filter(
            Q(plan=OuterRef("plan")) | ~Q(item=Price.Item.PLAN),
            item=OuterRef("item"), valid_from__gt=OuterRef("valid_from"), valid_from__lte=clock.today(),
        )  # fmt: skip
        return super().get_queryset(request).annotate(superseded=Exists(later))


class VatRateForm(DatedForm):
    rate = PercentField(label=gettext_lazy("Aliquota, %"), help_text=gettext_lazy("Come 22 oppure 22,5."))
    valid_from = DayField(label=gettext_lazy("In vigore dal"))

    class Meta:
        model = VatRate
        fields = ("rate", "valid_from")


@admin.register(VatRate)
class VatRateAdmin(DatedAdmin):
    form = VatRateForm
    list_display = ("percent", "begins", "standing")
    fields = (("rate", "valid_from"),)

    @display(description=gettext_lazy("Aliquota"))
    def percent(self, rate: VatRate) -> str:
        return f"{PercentField().prepare_value(rate.rate)} %"

    def get_queryset(self, request: HttpRequest) -> QuerySet[VatRate]:
        later = VatRate.objects.filter(valid_from__gt=OuterRef("valid_from"), valid_from__lte=clock.today())
        return super().get_queryset(request).annotate(superseded=Exists(later))
