"""Boxes, domains and holders for staff: found by what a caller can say, coloured by expiry, changed only by flows."""

from datetime import date, timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from accounts import fiscal
from accounts.models import User
from mailboxes import flows, rules
from mailboxes.models import Address, BoxEvent, Domain, Holder, Mailbox, PaidPeriod
from mailboxes.models.boxes import Phase
from mailboxes.rules import SOON_DAYS, State
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import day as in_words
from pecportal.formats import distance

from .base import MOST_FOUND, ReadOnlyAdmin, ReadOnlyInline, StaffAdmin, admin_url
from .forms import HolderForm, OpenBoxForm, OpenDomainForm

SOON = "in_scadenza"
WORDS = {
    State.ACTIVE: gettext_lazy("Attiva"),
    SOON: gettext_lazy("In scadenza"),
    State.EXPIRED: gettext_lazy("Scaduta"),
    State.AWAITING_DELETION: gettext_lazy("In attesa di cancellazione"),
    State.ACTIVATING: gettext_lazy("In attivazione"),
    State.DELETING: gettext_lazy("In cancellazione"),
    State.DELETED: gettext_lazy("Cancellata"),
}
COLOURS = {
    State.ACTIVE: "success", SOON: "warning", State.EXPIRED: "danger", State.AWAITING_DELETION: "danger",
    State.ACTIVATING: "info", State.DELETING: "danger", State.DELETED: None,
}  # fmt: skip


def badge(box: Mailbox | Domain, today: date) -> tuple[str, str]:
    """The state as a colour's key and a word; Attiva with 90 days or fewer to go is In scadenza."""
    state: str = rules.state(phase=box.phase, expires_on=box.expires_on, delete_from=box.delete_from, today=today)
    if state == State.ACTIVE and box.expires_on is not None and box.expires_on <= today + timedelta(days=SOON_DAYS):
        state = SOON
    return state, str(WORDS[state])


def holders_found(term: str) -> QuerySet[Holder]:
    """Holders by fiscal code or the beginning of a name."""
    key = fiscal.compact(term)
    if len(key) in (11, 16) and any(c.isdigit() for c in key):
        return Holder.objects.filter(fiscal_key=key)
    return Holder.objects.filter(Q(last_name__istartswith=term) | Q(company_name__istartswith=term))


def boxes_found(term: str) -> Q:
    """Boxes by the beginning of an address, by holder or by account, whichever the words look like.

    Ids are looked up first, so that each way uses its index; a condition over joined tables would read every box.
    """
    term = term.strip()
    addresses = list(Address.objects.filter(name__startswith=term.lower()).values_list("pk", flat=True)[:MOST_FOUND])
    if "@" in term:
        owners = User.objects.filter(Q(username=term.lower()) | Q(email=term.lower()))
        return Q(address__in=addresses) | Q(owner__in=list(owners.values_list("pk", flat=True)[:MOST_FOUND]))
    holders = list(holders_found(term).values_list("pk", flat=True)[:MOST_FOUND])
    return Q(address__in=addresses) | Q(holder__in=holders)


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("stato")
    parameter_name = "stato"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(state), str(words)) for state, words in WORDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        today = clock.today()
        soon = today + timedelta(days=SOON_DAYS)
        live = Q(phase=Phase.LIVE)
        wanted = {
            State.ACTIVE: live & Q(expires_on__gt=soon),
            SOON: live & Q(expires_on__range=(today, soon)),
            State.EXPIRED: live & Q(expires_on__lt=today, delete_from__gt=today),
            State.AWAITING_DELETION: live & Q(delete_from__lte=today),
            State.ACTIVATING: Q(phase=Phase.ACTIVATING),
            State.DELETING: Q(phase=Phase.DELETING),
            State.DELETED: Q(phase=Phase.DELETED),
        }.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(wanted)


class ExpiryFilter(admin.SimpleListFilter):
    title = gettext_lazy("scadenza")
    parameter_name = "scadenza"
    DAYS = {"7": (0, 7), "30": (0, 30), "90": (0, 90), "-30": (-30, -1), "-90": (-90, -1)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("7", _("entro 7 giorni")),
            ("30", _("entro 30 giorni")),
            ("90", _("entro 90 giorni")),
            ("-30", _("passata da meno di 30 giorni")),
            ("-90", _("passata da meno di 90 giorni")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        span = self.DAYS.get(self.value() or "")
        if span is None:
            return queryset
        first, last = (clock.today() + timedelta(days=n) for n in span)
        return queryset.filter(phase=Phase.LIVE, expires_on__range=(first, last))


class DatesMixin:
    """How a box's or domain's dates read."""

    @display(description=gettext_lazy("Stato"), label=COLOURS)
    def state_badge(self, obj: Mailbox | Domain) -> tuple[str, str]:
        return badge(obj, clock.today())

    @display(description=gettext_lazy("Scade il"))
    def expiry(self, obj: Mailbox | Domain) -> str:
        if obj.expires_on is None:
            return "-"
        return f"{in_words(obj.expires_on)}, {distance((obj.expires_on - clock.today()).days)}"

    @display(description=gettext_lazy("Rinnovabile fino al"))
    def renewable_until(self, obj: Mailbox | Domain) -> str:
        return in_words(obj.last_renewable_day) or "-"

    @display(description=gettext_lazy("Si cancella dal"))
    def deletion(self, obj: Mailbox | Domain) -> str:
        return in_words(obj.delete_from) or "-"

    @display(description=gettext_lazy("Giorno della scadenza"))
    def anchor(self, obj: Mailbox | Domain) -> str:
        return f"{obj.anchor_day}/{obj.anchor_month}" if obj.anchor_day else "-"


class PeriodInline(ReadOnlyInline):
    model = PaidPeriod
    fields = ("starts", "ends", "plan", "mailbox_gb", "archive_gb", "reversed_on", "source")
    related = ("plan",)
    per_page = 20


class BoxEventInline(ReadOnlyInline):
    model = BoxEvent
    fields = ("day", "kind", "detail", "at")
    ordering = ("-id",)
    per_page = 20


@admin.register(Mailbox)
class MailboxAdmin(DatesMixin, ReadOnlyAdmin):
    list_display = ("name", "state_badge", "expiry", "plan", "holder", "owner", "auto_renews")
    list_filter = (StateFilter, ExpiryFilter, "kind", "auto_renews")
    list_select_related = ("address", "plan", "holder", "owner")
    search_fields = ("address__name",)  # the box to type in; boxes_found decides what it searches
    search_help_text = gettext_lazy(
        "Inizio dell'indirizzo, titolare (codice fiscale, cognome, ragione sociale) o account"
    )
    actions_list = ("open_box",)
    inlines = (PeriodInline, BoxEventInline)
    fieldsets = (
        (None, {"fields": (("name", "state_badge"), ("kind", "domain"), ("orders", "public_id"))}),
        (gettext_lazy("Di chi è"), {"fields": (("owner", "holder"), "login")}),
        (gettext_lazy("Date"), {"fields": (("expiry", "renewable_until"), ("deletion", "anchor"))}),
        (gettext_lazy("Tipologia e spazio"), {"fields": (("plan", "mailbox_gb", "archive_gb"), ("change", "refused"))}),
        (gettext_lazy("Rinnovo automatico"), {"fields": (("auto_renews", "auto_over"),)}),
        (gettext_lazy("Servizio"), {"fields": (("recorded", "told"), "created_at")}),
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

    @display(description=gettext_lazy("Cambio rinviato, cliente avvisato il"))
    def refused(self, box: Mailbox) -> str:
        return in_words(box.change_refused_on) or "-"

    @display(description=gettext_lazy("Non addebitare per la scadenza del"))
    def auto_over(self, box: Mailbox) -> str:
        return in_words(box.auto_over_for) or "-"

    @display(description=gettext_lazy("Scadenza registrata"))
    def recorded(self, box: Mailbox) -> str:
        return in_words(box.expiry_recorded_for) or "-"

    @display(description=gettext_lazy("Sistema di posta"))
    def told(self, box: Mailbox) -> str:
        return _("da avvisare") if box.platform_due_at else _("avvisato")

    @action(description=gettext_lazy("Apri una casella"), url_path="apri", permissions=["open"], icon="add")
    def open_box(self, request: HttpRequest) -> HttpResponse:
        form = OpenBoxForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                box = flows.open_box(**form.cleaned_data)
            except RefusedError as refusal:
                form.add_error(None, str(refusal))
            else:
                sentence = _("Casella %(address)s aperta: scade il %(day)s.")
                facts = {"address": box.address.name, "day": in_words(box.expires_on)}
                self.message_user(request, sentence % facts, messages.SUCCESS)
                return redirect(admin_url(box))
        intro = _("Per una casella che esiste già: sarà attiva da subito, pagata fino alla scadenza, senza un ordine.")
        return self.form_page(request, form=form, title=_("Apri una casella"), submit=_("Apri la casella"), intro=intro)


class DomainBoxInline(ReadOnlyInline):
    model = Mailbox
    fields = ("address", "holder", "plan", "phase")
    related = ("address", "holder", "plan")
    show_change_link = True
    per_page = 20


@admin.register(Domain)
class DomainAdmin(DatesMixin, ReadOnlyAdmin):
    list_display = ("name", "mail_host", "state_badge", "expiry", "owner")
    list_filter = (StateFilter, ExpiryFilter)
    list_select_related = ("owner",)
    search_fields = ("name__startswith", "mail_host__startswith", "owner__username__exact")
    search_help_text = gettext_lazy("Inizio del nome, oppure username dell'account")
    ordering = ("-id",)
    actions_list = ("open_domain",)
    inlines = (PeriodInline, DomainBoxInline)
    fieldsets = (
        (None, {"fields": (("name", "mail_host"), ("state_badge", "owner"))}),
        (gettext_lazy("Date"), {"fields": (("expiry", "renewable_until"), ("deletion", "anchor"), "deletion_days")}),
    )

    def has_open_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("mailboxes.add_domain")

    @action(description=gettext_lazy("Apri un dominio"), url_path="apri", permissions=["open"], icon="add")
    def open_domain(self, request: HttpRequest) -> HttpResponse:
        form = OpenDomainForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                domain = flows.open_domain(**form.cleaned_data)
            except RefusedError as refusal:
                form.add_error("name", str(refusal))
            else:
                sentence = _("Dominio %(name)s aperto: scade il %(day)s.")
                facts = {"name": domain.name, "day": in_words(domain.expires_on)}
                self.message_user(request, sentence % facts, messages.SUCCESS)
                return redirect(admin_url(domain))
        intro = _("Per un dominio che esiste già, pagato fino alla scadenza. Le sue caselle ne prenderanno le date.")
        return self.form_page(request, form=form, title=_("Apri un dominio"), submit=_("Apri il dominio"), intro=intro)


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
