"""The admin of the packages we stand on, in our dress and with least privilege, and the menu of the whole admin."""

from typing import TYPE_CHECKING

from auditlog.admin import LogEntryAdmin
from auditlog.models import LogEntry
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.admin import PeriodicTaskAdmin, PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from post_office.models import Attachment, Email, EmailTemplate, Log
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

for model in (
    Attachment, ClockedSchedule, CrontabSchedule, Email, EmailTemplate, IntervalSchedule, Log, LogEntry, PeriodicTask,
    SolarSchedule,
):  # fmt: skip
    admin.site.unregister(model)


@admin.register(Email)
class QueuedMailAdmin(ModelAdmin):
    """Mails as they left: to whom, when, with what end. Never their text: some carry a code or a link to sign in."""

    list_display = ("created", "to", "subject", "status", "number_of_retries", "scheduled_time")
    list_filter = ("status",)
    fields = ("to", "subject", "status", "created", "last_updated", "number_of_retries", "scheduled_time", "last_error")
    readonly_fields = fields
    show_full_result_count = False
    ordering = ("-id",)
    change_form_template = "admin/change_form.html"  # its own has a button to send again

    @admin.display(description=gettext_lazy("ultimo errore"))
    def last_error(self, mail: Email) -> str:
        last = mail.logs.order_by("-id").first()
        return str(last.message) if last else ""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Email | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Email | None = None) -> bool:
        return False


class TaskWidget(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The task chosen from those that exist."""


class TimetableForm(PeriodicTaskForm):
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskWidget()


@admin.register(PeriodicTask)
class TimetableAdmin(PeriodicTaskAdmin, ModelAdmin):
    """The timetable of the jobs, which ops may edit; `seed_timetable` never undoes an edit."""

    form = TimetableForm


@admin.register(CrontabSchedule)
class CrontabAdmin(ModelAdmin):
    list_display = ("__str__", "timezone")


@admin.register(IntervalSchedule)
class IntervalAdmin(ModelAdmin):
    list_display = ("__str__",)


@admin.register(LogEntry)
class ChangesAdmin(LogEntryAdmin, ModelAdmin):
    """Who changed prices, plans, holders and logins (R32)."""

    show_full_result_count = False
    search_fields = ("object_repr", "actor__username")  # its own ask names that our logins do not have


Entry = tuple[str, str, "StrOrPromise"]  # model, icon, title
MENU: "list[tuple[StrOrPromise, list[Entry]]]" = [
    (
        gettext_lazy("Ogni giorno"),
        [
            ("payments.case", "report", gettext_lazy("Casi da verificare")),
            ("payments.difference", "balance", gettext_lazy("Quadratura")),
            ("payments.receipt", "account_balance", gettext_lazy("Accrediti")),
            ("payments.statement", "upload_file", gettext_lazy("Estratti conto")),
            ("payments.invoice", "request_quote", gettext_lazy("Fatture")),
            ("payments.sdireceipt", "mark_email_read", gettext_lazy("Ricevute di SdI")),
            ("renewals.order", "receipt_long", gettext_lazy("Ordini")),
            ("mailboxes.mailbox", "mail", gettext_lazy("Caselle PEC")),
        ],
    ),
    (
        gettext_lazy("Clienti"),
        [
            ("accounts.user", "person", gettext_lazy("Login")),
            ("accounts.billingprofile", "badge", gettext_lazy("Dati di fatturazione")),
            ("mailboxes.holder", "assignment_ind", gettext_lazy("Titolari")),
            ("mailboxes.domain", "language", gettext_lazy("Domini")),
        ],
    ),
    (
        gettext_lazy("Pagamenti"),
        [
            ("payments.payment", "credit_card", gettext_lazy("Pagamenti")),
            ("payments.autorenewal", "autorenew", gettext_lazy("Rinnovi automatici")),
            ("payments.scheduledcharge", "event_repeat", gettext_lazy("Addebiti automatici")),
            ("payments.storedmethod", "wallet", gettext_lazy("Metodi di pagamento")),
            ("payments.providerevent", "webhook", gettext_lazy("Eventi dei gestori")),
        ],
    ),
    (
        gettext_lazy("Cancellazioni"),
        [
            ("lifecycle.deletionstop", "front_hand", gettext_lazy("Fermate dal limite")),
            ("lifecycle.manifestline", "list_alt", gettext_lazy("Registro giornaliero")),
            ("lifecycle.staffhold", "lock", gettext_lazy("Blocchi")),
            ("lifecycle.handrelease", "delete_forever", gettext_lazy("Decise a mano")),
        ],
    ),
    (
        gettext_lazy("Listino"),
        [
            ("mailboxes.price", "sell", gettext_lazy("Prezzi")),
            ("mailboxes.plan", "inventory_2", gettext_lazy("Tipologie")),
            ("mailboxes.vatrate", "percent", gettext_lazy("Aliquote IVA")),
        ],
    ),
    (
        gettext_lazy("Servizio"),
        [
            ("lifecycle.alarm", "notifications_active", gettext_lazy("Allarmi")),
            ("lifecycle.lifecyclerun", "event_repeat", gettext_lazy("Giri giornalieri")),
            ("lifecycle.notice", "notifications", gettext_lazy("Avvisi di scadenza")),
            ("lifecycle.letter", "forward_to_inbox", gettext_lazy("Lettere")),
            ("django_celery_beat.periodictask", "schedule", gettext_lazy("Orario dei lavori")),
            ("post_office.email", "outgoing_mail", gettext_lazy("Posta in uscita")),
            ("auditlog.logentry", "history", gettext_lazy("Registro delle modifiche")),
            ("auth.group", "group", gettext_lazy("Gruppi")),
        ],
    ),
]


def menu(request: HttpRequest) -> list[dict[str, object]]:
    """unfold's sidebar: what staff use every day first, and only what this person may see."""

    def items(entries: list[Entry]) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for model, icon, title in entries:
            app, name = model.split(".")
            if request.user.has_perm(f"{app}.view_{name}"):
                found.append({"title": title, "icon": icon, "link": reverse(f"admin:{app}_{name}_changelist")})
        return found

    home: dict[str, object] = {"title": _("Inizio"), "icon": "home", "link": reverse("admin:index")}
    groups: list[dict[str, object]] = [{"title": "", "items": [home]}]
    groups += [{"title": title, "separator": True, "items": items(entries)} for title, entries in MENU]
    return [group for group in groups if group["items"]]
