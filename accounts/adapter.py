"""allauth as this product uses it: no sign-up, our words, our mails, limits that cannot lock a customer out."""

from typing import Any, cast

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts import emails, limits
from accounts.backends import backend_of
from accounts.models import User
from pecportal import mail

WRONG = _(
    "Questi dati di accesso non corrispondono: controlla il nome e la password, e che le maiuscole non siano bloccate."
)
# allauth's mails: our template, where allauth's context has its one link, the words on it. Others are not sent.
MAILS: dict[str, tuple[str, str, Any]] = {
    "account/email/password_reset_key": ("password_dimenticata", "password_reset_url", _("Scegli la nuova password")),
    "account/email/password_reset": ("password_cambiata", "", ""),
    "account/email/password_changed": ("password_cambiata", "", ""),
    "account/email/email_confirmation": ("email_conferma", "activate_url", _("Conferma l'e-mail")),
    "account/email/email_changed": ("email_cambiata", "", ""),
}


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": WRONG,
        "username_password_mismatch": WRONG,
        "invalid_login": WRONG,
        "too_many_login_attempts": _(
            "Troppi tentativi sbagliati da questa connessione: riprova fra cinque minuti, oppure recupera la password."
        ),
        "invalid_password_reset": _("Questo link non vale più: chiedine un altro."),
        "enter_current_password": _("La password attuale non è questa: riscrivila."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False  # accounts are made by staff (accounts.flows.invite)

    def clean_email(self, email: str) -> str:
        return emails.refuse_username(emails.refuse_hosted(email))

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Failed attempts count per IP and login: keyed on the login alone, a stranger could lock a customer out."""
        login = credentials.get("email") or credentials.get("username") or ""
        return f"{limits.network(request)}:{login.strip().lower()}"

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        user = cast(User, request.user)
        return backend_of(user).landing_url(user)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        user = cast(User, request.user)
        return self.get_login_redirect_url(request) if user.is_mailbox else reverse("accounts:dati")

    def get_email_verification_redirect_url(self, email_address: EmailAddress) -> str:
        return reverse("accounts:dati")

    def set_password(self, user: User, password: str) -> None:
        backend_of(user).set_password(user, password)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        if template_prefix not in MAILS:
            return
        template, link, label = MAILS[template_prefix]
        url = context[link] if link else settings.SITE_URL + reverse("account_login")
        words = {"action_url": url, "action_label": label or _("Vai all'accesso")}
        with transaction.atomic():
            mail.send(template, to=[email], context={**context, "email": email, **words})

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        # From SITE_URL, never from the request's Host header.
        return settings.SITE_URL + reverse("account_confirm_email", args=[emailconfirmation.key])

    def get_reset_password_from_key_url(self, key: str) -> str:
        uidb36, _dash, token = key.partition("-")
        return settings.SITE_URL + reverse("account_reset_password_from_key", kwargs={"uidb36": uidb36, "key": token})

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """An account has one address: a new one, once proved, takes the place of the old, which is told."""
        if not super().confirm_email(request, email_address):
            return False
        user = email_address.user
        with transaction.atomic():
            others = EmailAddress.objects.filter(user=user).exclude(pk=email_address.pk)
            old = others.filter(verified=True).first()
            others.delete()
            email_address.set_as_primary()
            if old:
                self.send_mail("account/email/email_changed", old.email, {"user": user, "new": email_address.email})
        return True
