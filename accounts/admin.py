"""Logins and billing data, for staff. Passwords are never typed or seen here: links are sent."""

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from accounts import emails, flows
from accounts.billing_forms import BillingForm
from accounts.fiscal_forms import COUNTRIES, PROVINCES
from accounts.models import BillingProfile, User
from pecportal.errors import RefusedError

# Staff sign in where everybody does: that page counts failed attempts, Django's admin login does not.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.unregister(EmailAddress)  # "verified" is proved by a link, not ticked
admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(ModelAdmin):
    search_fields = ("name",)
    filter_horizontal = ("permissions",)


class AccountForm(ModelForm):
    """An account's e-mail as staff writes it: outside our boxes (R3), and nobody else's."""

    def clean_email(self) -> str:
        email = self.cleaned_data["email"].strip().lower()
        if not email:
            return email
        emails.refuse_hosted(email)
        taken = EmailAddress.objects.filter(email=email, verified=True).exclude(user=self.instance.pk)
        if taken.exists():
            raise ValidationError(_("Questa e-mail è già di un altro account."))
        return email


@admin.register(User)
class UserAdmin(ModelAdmin):
    form = AccountForm
    list_display = ("username", "kind", "email", "is_active", "is_staff", "last_login")
    list_filter = (("kind", ChoicesDropdownFilter), "is_active", "is_staff")
    list_filter_submit = True
    search_fields = (
        "username__startswith",
        "email__startswith",
        "billing__fiscal_key",
        "billing__company_name",
        "billing__last_name",
    )
    search_help_text = gettext_lazy("Username, e-mail, codice fiscale, cognome o ragione sociale")
    ordering = ("-id",)
    show_full_result_count = False
    actions = ("send_invitation",)
    filter_horizontal = ("groups", "user_permissions")

    def get_fieldsets(self, request, obj=None):
        if obj is None:
            return [(None, {"fields": ("email",), "description": _("Lo username è il prossimo numero libero.")})]
        sets = [
            (None, {"fields": ("username", "kind", "email", "is_active")}),
            (_("Storia"), {"fields": ("date_joined", "last_login")}),
        ]
        if request.user.is_superuser and not obj.is_mailbox:
            rights = ("groups", "user_permissions") if obj.is_staff else ()  # a customer's page stays short
            sets.insert(1, (_("Staff"), {"fields": ("is_staff", "is_superuser", *rights)}))
        return sets

    def get_readonly_fields(self, request, obj=None):
        if obj is None:
            return ()
        return ("username", "kind", "date_joined", "last_login", *(("email",) if obj.is_mailbox else ()))

    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)
        if "email" in form.base_fields:
            form.base_fields["email"].required = True
        return form

    def has_change_permission(self, request, obj=None):
        """Only a superuser changes staff: otherwise an e-mail and an invitation would make a clerk anybody."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or request.user.is_superuser or not (obj.is_staff or obj.is_superuser))

    def has_delete_permission(self, request, obj=None):
        return False  # a login is switched off, never deleted: its orders and invoices stay

    def save_form(self, request, form, change):
        return super().save_form(request, form, change) if change else flows.create_account(**form.cleaned_data)

    def save_model(self, request, obj, form, change):
        if not change:
            return  # create_account has saved it, with its number
        super().save_model(request, obj, form, change)
        if "email" in form.changed_data:
            flows.replace_email(obj, obj.email)
            self.message_user(
                request, _("La nuova e-mail vale da quando il cliente apre il link di attivazione: mandaglielo.")
            )

    def save_related(self, request, form, formsets, change):
        if change:
            super().save_related(request, form, formsets, change)

    def response_add(self, request, obj, post_url_continue=None):
        self.message_user(
            request,
            _("Creato l'account %(user)s: ora mandagli il link di attivazione.") % {"user": obj},
            messages.SUCCESS,
        )
        return redirect(reverse("admin:accounts_user_change", args=[obj.pk]))

    @action(description=gettext_lazy("Manda il link di attivazione"), permissions=["change"])
    def send_invitation(self, request, queryset):
        for user in queryset:
            try:
                if not self.has_change_permission(request, user):
                    raise RefusedError(_("Solo un amministratore può invitare %(user)s.") % {"user": user})
                flows.invite(user)
            except RefusedError as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
            else:
                self.message_user(
                    request, _("Link di attivazione mandato a %(user)s.") % {"user": user}, messages.SUCCESS
                )


class BillingAdminForm(BillingForm):
    class Meta(BillingForm.Meta):
        widgets = {
            "country": UnfoldAdminSelectWidget(choices=COUNTRIES),
            "province": UnfoldAdminSelectWidget(choices=PROVINCES),
            "phone": UnfoldAdminTextInputWidget,
        }


@admin.register(BillingProfile)
class BillingProfileAdmin(ModelAdmin):
    form = BillingAdminForm
    list_display = ("named", "subject", "fiscal_key", "user", "is_consumer", "updated_at")
    list_filter = (("subject", ChoicesDropdownFilter), "is_consumer")
    list_filter_submit = True
    list_select_related = ("user",)
    search_fields = (
        "fiscal_key__startswith",
        "partita_iva__startswith",
        "last_name",
        "company_name",
        "user__username__startswith",
    )
    autocomplete_fields = ("user",)
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("user", "subject", "is_consumer")}),
        (
            gettext_lazy("Chi è"),
            {
                "fields": (
                    "company_name",
                    "first_name",
                    "last_name",
                    "codice_fiscale",
                    "partita_iva",
                    "birth_date",
                    "representative_codice_fiscale",
                )
            },
        ),
        (gettext_lazy("Dove"), {"fields": ("address", "postal_code", "city", "province", "country", "phone")}),
        (gettext_lazy("Dove vanno le fatture"), {"fields": ("sdi_code", "sdi_pec")}),
    )

    @display(description=gettext_lazy("Nome o denominazione"))
    def named(self, profile: BillingProfile) -> str:
        return profile.display_name

    def get_readonly_fields(self, request, obj=None):
        return ("user",) if obj else ()

    def has_delete_permission(self, request, obj=None):
        return False
