"""A login's page with the button that erases a former customer's data (R33). In the place of the page without it, which
accounts may not add to."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin import UserAdmin
from accounts.models import User
from mailboxes.admin.base import Done, StaffAdmin, admin_url, posted, who
from payments import erasure


class EraseForm(forms.Form):
    """The username, typed: a click on the wrong line must not be the end of a customer's data."""

    username = forms.CharField(
        label=gettext_lazy("Scrivi lo username dell'account, per conferma"),
        max_length=254,
        widget=UnfoldAdminTextInputWidget,
        error_messages={"required": gettext_lazy("Scrivi lo username.")},
    )

    def __init__(self, *args: Any, expected: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected

    def clean_username(self) -> str:
        typed = str(self.cleaned_data["username"]).strip().lower()
        if typed != self.expected:
            raise forms.ValidationError(_("Non è lo username di questo account: %(user)s.") % {"user": self.expected})
        return typed


admin.site.unregister(User)


@admin.register(User)
class ErasableUserAdmin(UserAdmin, StaffAdmin):  # type: ignore[misc]
    actions_detail = ("erase",)

    def has_erase_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("accounts.delete_user")

    @action(
        description=gettext_lazy("Cancella i dati personali"), url_path="cancella-dati", permissions=["erase"],
        icon="person_off",
    )  # fmt: skip
    def erase(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user = self.found(request, object_id)
        if why := erasure.refusal(user):
            self.message_user(request, why, messages.WARNING)
            return redirect(admin_url(user))

        def flow(typed: dict[str, Any]) -> Done:
            erasure.erase(user_id=user.pk, actor=who(request))
            return Done(admin_url(user), _("I dati personali di %(user)s sono cancellati.") % {"user": user})

        return self.flow_page(
            request, form=EraseForm(posted(request), expected=user.username), flow=flow, obj=user, danger=True,
            title=_("Cancella i dati personali di %(user)s") % {"user": user}, submit=_("Cancella per sempre"),
            intro=_(
                "L'account non potrà più entrare. Spariscono e-mail, dati di fatturazione, titolari, metodi di "
                "pagamento e storico delle modifiche. Restano, come vuole la legge, ordini e fatture con i loro dati, "
                "gli avvisi spediti e gli indirizzi delle caselle."
            ),
        )  # fmt: skip
