"""Boxes, domains and holders for staff: found by what a caller can say, coloured by expiry, changed only by flows."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from accounts.models import User
from mailboxes import flows
from mailboxes.models import BoxEvent, Domain, Holder, Mailbox, PaidPeriod
from mailboxes.rules import State
from pecportal import clock
from pecportal.formats import day as in_words
from pecportal.formats import distance

from .base import MOST_FOUND, Done, ReadOnlyAdmin, ReadOnlyInline, StaffAdmin, admin_url, posted
from .finding import COLOURS, SOON, WORDS, ExpiryFilter, StateFilter, boxes_found, holders_found, state_of
from .forms import HolderForm, OpenBoxForm, OpenDomainForm
from .shown import NOTHING, badge, shown, written


class DatesMixin:
    """How a box's or domain's dates read."""

    @display(description=gettext_lazy("Stato"))
    def state(self, obj: Mailbox | Domain) -> SafeString:
        state = state_of(obj, clock.today())
        return badge(COLOURS[state], str(WORDS[state]))

    @display(description=gettext_lazy("Scade il"))
    def expiry(self, obj: Mailbox | Domain) -> str:
        if obj.expires_on is None:
            return NOTHING
        away = distance((obj.expires_on - clock.today()).days)
        return f"{written(obj.expires_on)}, {away}".replace("\u0020", "\u00a0").replace(",\u00a0", ", ")

    renewable_until = shown("last_renewable_day", gettext_lazy("Rinnovabile fino al"))
    deletion = shown("delete_from", gettext_lazy("Si cancella dal"))
    opened = shown("created_at", gettext_lazy("Qui dal"))
    opaque_id = shown("public_id", gettext_lazy("Id nelle pagine del cliente"))

    @display(description=gettext_lazy("Giorno della scadenza"))
    def anchor(self, obj: Mailbox | Domain) -> str:
        return f"{obj.anchor_day}/{obj.anchor_month}" if obj.anchor_day else NOTHING


class PeriodInline(ReadOnlyInline):
    model = PaidPeriod
    fields = ("first", "last", "of_plan", "in_mailbox", "in_archive", "undone", "paid_by")
    related = ("plan",)
    per_page = 20
    first = shown("starts", gettext_lazy("Dal"))
    last = shown("ends", gettext_lazy("Al"))
    of_plan = shown("plan", gettext_lazy("Tipologia"))
    in_mailbox = shown("mailbox_gb", gettext_lazy("GB di casella"))
    in_archive = shown("archive_gb", gettext_lazy("GB di archivio"))
    undone = shown("reversed_on", gettext_lazy("Stornato il"))
    paid_by = shown("source", gettext_lazy("Id della riga d'ordine"))


class BoxEventInline(ReadOnlyInline):
    model = BoxEvent
    fields = ("on", "kind", "detail", "written_at")
    ordering = ("-id",)
    per_page = 20
    on = shown("day", gettext_lazy("Giorno"))
    written_at = shown("at", gettext_lazy("Scritto il"))


@admin.register(Mailbox)
class MailboxAdmin(DatesMixin, ReadOnlyAdmin):
    list_display = ("name", "state", "expiry", "plan", "holder", "owner", "automatic")
    list_filter = (StateFilter, ExpiryFilter, "kind", "auto_renews")
    list_select_related = ("address", "plan", "holder", "owner")
    search_fields = ("address__name",)  # the box to type in; boxes_found decides what it searches
    search_help_text = gettext_lazy(
        "Inizio dell'indirizzo, titolare (codice fiscale, cognome, ragione sociale) o account"
    )
    actions_list = ("open_box",)
    inlines = (PeriodInline, BoxEventInline)
    fieldsets = (
        (None, {"fields": (("name", "state"), ("kind", "domain"), ("orders", "opaque_id"))}),
        (gettext_lazy("Di chi è"), {"fields": (("owner", "holder"), "login")}),
        (gettext_lazy("Date"), {"fields": (("expiry", "renewable_until"), ("deletion", "anchor"))}),
        (gettext_lazy("Tipologia e spazio"), {"fields": ("plan", ("mailbox_gb", "archive_gb"), ("change", "refused"))}),
        (gettext_lazy("Rinnovo automatico"), {"fields": (("automatic", "auto_over"),)}),
        (gettext_lazy("Servizio"), {"fields": (("recorded", "told"), "opened")}),
    )

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """By expiry where a filter leaves live boxes only, which have an index for it; else newest first."""
        live = request.GET.get("scadenza") or request.GET.get("stato") in (
            State.ACTIVE, SOON, State.EXPIRED, State.AWAITING_DELETION,
        )  # fmt: skip
        return ("expires_on", "id") if live else ("-id",)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        return (queryset.filter(boxes_found(search_term)) if search_term.strip() else queryset), False

    def has_open_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("mailboxes.add_mailbox")

    @display(description=gettext_lazy("Indirizzo"))
    def name(self, box: Mailbox) -> str:
        return box.address.name

    @display(description=gettext_lazy("Ordini"))
    def orders(self, box: Mailbox) -> SafeString:
        address = reverse("admin:renewals_order_changelist", query={"q": box.address.name})
        return format_html('<a class="text-link" href="{}">{}</a>', address, _("ordini di questa casella"))

    @display(description=gettext_lazy("Cambio in attesa"))
    def change(self, box: Mailbox) -> str:
        if box.change_on is None:
            return _("nessuno")
        return _("dal %(day)s: %(plan)s, %(mailbox)s GB di casella, %(archive)s GB di archivio") % {
            "day": in_words(box.change_on),
            "plan": box.next_plan,
            "mailbox": box.next_mailbox_gb,
            "archive": box.next_archive_gb,
        }

    refused = shown("change_refused_on", gettext_lazy("Cambio rinviato, cliente avvisato il"))

    automatic = shown("auto_renews", gettext_lazy("Automatico"))
    auto_over = shown("auto_over_for", gettext_lazy("Non addebitare per la scadenza del"))

    recorded = shown("expiry_recorded_for", gettext_lazy("Scadenza registrata"))

    @display(description=gettext_lazy("Sistema di posta"))
    def told(self, box: Mailbox) -> str:
        return _("da avvisare") if box.platform_due_at else _("avvisato")

    @action(description=gettext_lazy("Apri una casella"), url_path="apri", permissions=["open"], icon="add")
    def open_box(self, request: HttpRequest) -> HttpResponse:
        def flow(typed: dict[str, Any]) -> Done:
            box = flows.open_box(**typed)
            facts = {"address": box.address.name, "day": in_words(box.expires_on)}
            return Done(admin_url(box), _("Casella %(address)s aperta: scade il %(day)s.") % facts)

        return self.flow_page(
            request, form=OpenBoxForm(posted(request)), flow=flow, title=_("Apri una casella"),
            submit=_("Apri la casella"),
            intro=_(
                "Per una casella che esiste già: sarà attiva da subito, pagata fino alla scadenza, senza un ordine."
            ),
        )  # fmt: skip


class DomainBoxInline(ReadOnlyInline):
    model = Mailbox
    fields = ("box", "of_holder", "of_plan", "phase")
    box = shown("address", gettext_lazy("Casella"))
    of_holder = shown("holder", gettext_lazy("Titolare"))
    of_plan = shown("plan", gettext_lazy("Tipologia"))
    related = ("address", "holder", "plan")
    ordering = ("address__name",)
    show_change_link = True
    per_page = 20


@admin.register(Domain)
class DomainAdmin(DatesMixin, ReadOnlyAdmin):
    list_display = ("name", "mail_host", "state", "expiry", "owner")
    list_filter = (StateFilter, ExpiryFilter)
    list_select_related = ("owner",)
    search_fields = ("name__startswith", "mail_host__startswith", "owner__username__exact")
    search_help_text = gettext_lazy("Inizio del nome, oppure username dell'account")
    ordering = ("-id",)
    actions_list = ("open_domain",)
    inlines = (PeriodInline, DomainBoxInline)
    fieldsets = (
        (None, {"fields": (("name", "mail_host"), ("state", "owner"))}),
        (gettext_lazy("Date"), {"fields": (("expiry", "renewable_until"), ("deletion", "anchor"), "deletion_days")}),
    )

    def has_open_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("mailboxes.add_domain")

    @action(description=gettext_lazy("Apri un dominio"), url_path="apri", permissions=["open"], icon="add")
    def open_domain(self, request: HttpRequest) -> HttpResponse:
        def flow(typed: dict[str, Any]) -> Done:
            domain = flows.open_domain(**typed)
            facts = {"name": domain.name, "day": in_words(domain.expires_on)}
            return Done(admin_url(domain), _("Dominio %(name)s aperto: scade il %(day)s.") % facts)

        return self.flow_page(
            request, form=OpenDomainForm(posted(request)), flow=flow, beside="name", title=_("Apri un dominio"),
            submit=_("Apri il dominio"),
            intro=_("Per un dominio che esiste già, pagato fino alla scadenza. Le sue caselle ne prenderanno le date."),
        )  # fmt: skip


@admin.register(Holder)
class HolderAdmin(StaffAdmin):
    form = HolderForm
    list_display = ("display_name", "fiscal_key", "subject", "contact_email", "owner")
    list_filter = ("subject",)
    list_select_related = ("owner",)
    search_fields = ("last_name",)  # the box to type in; see get_search_results
    search_help_text = gettext_lazy(
        "Codice fiscale, partita IVA, inizio del cognome o della ragione sociale, o account"
    )
    ordering = ("-id",)
    warn_unsaved_form = True
    WHO = (
        "subject",
        "company_name",
        ("first_name", "last_name"),
        ("codice_fiscale", "partita_iva"),
        ("birth_date", "representative_codice_fiscale"),
    )
    WHERE = ("address", ("postal_code", "city"), ("province", "country"), "phone")

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        first = ("owner", "contact_email") if obj else ("account", "contact_email")
        note = _("L'e-mail di contatto si cambia solo con un codice mandato al nuovo indirizzo.") if obj else None
        return (
            (None, {"fields": (first,), "description": note}),
            (_("Chi è"), {"fields": self.WHO}),
            (_("Dove"), {"fields": self.WHERE}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("owner", "contact_email") if obj else ()

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if "@" in term:
            owners = User.objects.filter(Q(username=term.lower()) | Q(email=term.lower()))
            return queryset.filter(owner__in=list(owners.values_list("pk", flat=True)[:MOST_FOUND])), False
        return queryset.filter(pk__in=list(holders_found(term).values_list("pk", flat=True)[:MOST_FOUND])), False

    @display(description=gettext_lazy("Titolare"))
    def display_name(self, holder: Holder) -> str:
        return holder.display_name
