"""Forms of signing in and of recovery. allauth's, with our words and our checks."""

from typing import Any

from allauth.account import forms as allauth_forms
from allauth.account.adapter import get_adapter
from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import password_validators_help_text_html
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import flows
from accounts.backends import backend_of
from accounts.models import User
from pecportal import mail

LABELS = {"casella": gettext_lazy("Indirizzo PEC"), "account": gettext_lazy("Username o e-mail")}
DIFFERENT = gettext_lazy("Le due password sono diverse: riscrivile.")


class LoginForm(allauth_forms.LoginForm):
    """Either credential, whichever tab it was typed on."""

    def __init__(self, *args: Any, tab: str = "casella", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login, password = self.fields["login"], self.fields["password"]
        login.label = LABELS[tab]
        login.max_length = 254
        login.widget = forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false", "inputmode": "email"}
        )
        login.error_messages["required"] = _("Scrivi con che cosa accedi: l'indirizzo PEC, lo username o l'e-mail.")
        password.label = _("Password")
        password.help_text = ""
        password.widget.attrs.pop("placeholder", None)
        password.error_messages["required"] = _("Scrivi la password.")


class EmailForm(forms.Form):
    """*Non ricordo lo username*: the e-mail of the account."""

    email = forms.EmailField(
        label=gettext_lazy("E-mail dell'account"), widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )


class ResetPasswordForm(allauth_forms.ResetPasswordForm):
    """*Non ricordo la password* of an account: the same words, and the same work, whether or not it is known (R3).

    The username will do too: it looks like an e-mail, and is what many remember. The link goes to the account's e-mail.
    """

    email = forms.EmailField(
        label=LABELS["account"],
        widget=forms.EmailInput(attrs={"autocomplete": "username", "spellcheck": "false"}),
    )

    def clean_email(self) -> str:
        typed = self.cleaned_data["email"].lower()
        named = flows.account_named(typed)
        self.recipient = named.email if named else typed
        self.users = [named] if named else flows.accounts_reached_by(typed)
        return typed

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        if self.users:
            self.cleaned_data["email"] = self.recipient
            return super().save(request, **kwargs)
        mail.send("password_dimenticata", to=[], context={"username": "", "password_reset_url": settings.SITE_URL})
        return self.cleaned_data["email"]


class NewPasswordForm(forms.Form):
    """A password chosen twice for `user`, held against the password rules."""

    password1 = forms.CharField(
        label=gettext_lazy("Nuova password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    password2 = forms.CharField(
        label=gettext_lazy("Nuova password, di nuovo"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, user: User | None = None, temp_key: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["password1"].help_text = password_validators_help_text_html()

    def clean_password1(self) -> str:
        return get_adapter().clean_password(self.cleaned_data["password1"], user=self.user)

    def clean_password2(self) -> str:
        password1, password2 = self.cleaned_data.get("password1"), self.cleaned_data["password2"]
        if password1 and password1 != password2:
            raise ValidationError(DIFFERENT)
        return password2

    def save(self) -> None:
        assert self.user is not None
        backend_of(self.user).set_password(self.user, self.cleaned_data["password1"])


class ChangePasswordForm(NewPasswordForm):
    """The same, after the present password was given; for both kinds of login."""

    oldpassword = forms.CharField(
        label=gettext_lazy("Password attuale"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    field_order = ["oldpassword", "password1", "password2"]

    def clean_oldpassword(self) -> str:
        assert self.user is not None
        if not backend_of(self.user).check_password(self.user, self.cleaned_data["oldpassword"]):
            raise get_adapter().validation_error("enter_current_password")
        return self.cleaned_data["oldpassword"]


class ChangeEmailForm(forms.Form):
    """Another e-mail for the account; the password too, so that an open browser is not enough to take it over."""

    email = forms.EmailField(
        label=gettext_lazy("Nuova e-mail"),
        help_text=gettext_lazy("Ti mandiamo un link: la nuova e-mail vale da quando lo apri."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    password = forms.CharField(
        label=gettext_lazy("Password dell'account"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_email(self) -> str:
        email = get_adapter().clean_email(self.cleaned_data["email"].lower())
        if email == self.user.email:
            raise ValidationError(_("Questa è già l'e-mail del tuo account."))
        return email

    def clean_password(self) -> str:
        if not backend_of(self.user).check_password(self.user, self.cleaned_data["password"]):
            raise get_adapter().validation_error("enter_current_password")
        return self.cleaned_data["password"]
