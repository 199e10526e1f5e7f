"""Signing in, recovery, activation. No page here says whether an account exists (R3)."""

from typing import Any, cast

from allauth.account import views as allauth_views
from allauth.account.signals import password_reset
from django.contrib import messages
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from accounts import drafts, flows, limits
from accounts.forms import EmailForm, LoginForm, NewPasswordForm, ResetPasswordForm
from accounts.models import User

TABS = ("casella", "account")


class LoginView(allauth_views.LoginView):
    """/accesso/: two tabs that differ in words and in the ways of recovery; either login opens on both."""

    form_class = LoginForm
    template_name = "account/login.html"

    @property
    def tab(self) -> str:
        asked = self.request.POST.get("con") or self.request.GET.get("con")
        if asked in TABS:
            return asked
        return "account" if self.request.session.get(drafts.ENDED) == User.Kind.ACCOUNT else "casella"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "tab": self.tab}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        labels = {"casella": _("Con la casella PEC"), "account": _("Con l'account")}
        next_url = context["redirect_field_value"]
        context["tab"] = self.tab
        context["tabs"] = [
            {
                "label": labels[tab],
                "url": "?" + urlencode({"con": tab, **({"next": next_url} if next_url else {})}),
                "count": None,
                "current": tab == self.tab,
            }
            for tab in TABS
        ]
        context["ended_idle"] = drafts.ENDED in self.request.session
        return context


@method_decorator(login_not_required, name="dispatch")
class LogoutView(allauth_views.LogoutView):
    """*Esci*: the sign-in ends and the session with it, also one whose sign-in had already ended for idleness."""

    def post(self, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().post(*args, **kwargs)
        self.request.session.flush()
        messages.success(self.request, _("Sei uscito dall'area clienti."))
        return response


@login_not_required
@never_cache
def username(request: HttpRequest) -> HttpResponse:
    """*Non ricordo lo username*: one answer for every e-mail."""
    form = EmailForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        email = form.cleaned_data["email"].lower()
        if not limits.allow("username", limits.network(request), limit=10, seconds=600):
            form.add_error(None, _("Troppe richieste da questa connessione: riprova fra dieci minuti."))
        else:
            if limits.allow("username-mail", email, limit=5, seconds=3600):
                flows.mail_usernames(email)
            return redirect("accounts:username_inviato")
    return render(request, "account/username.html", {"form": form})


@login_not_required
def username_sent(request: HttpRequest) -> HttpResponse:
    return render(request, "account/username_done.html")


class PasswordResetView(allauth_views.PasswordResetView):
    form_class = ResetPasswordForm
    template_name = "account/password_reset.html"


class PasswordResetFromKeyView(allauth_views.PasswordResetFromKeyView):
    form_class = NewPasswordForm
    template_name = "account/password_reset_from_key.html"


def on_password_reset(sender: object, user: User, **kwargs: object) -> None:
    """Whoever used a reset link reads the e-mail it went to."""
    flows.mark_email_verified(user)


password_reset.connect(on_password_reset, dispatch_uid="accounts.views.access.on_password_reset")


class FirstPasswordForm(NewPasswordForm):
    """Django's confirmation view gives the user first."""

    def __init__(self, user: User | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)


@method_decorator(login_not_required, name="dispatch")
class ActivateView(auth_views.PasswordResetConfirmView):
    """The link of an invitation: the first password of an account that staff made.

    Django's view takes the token out of the address before it shows the form.
    """

    token_generator = flows.invite_tokens
    reset_url_token = "scegli"  # noqa: S105 (a word in the address)
    form_class = FirstPasswordForm  # type: ignore[assignment]
    template_name = "account/activate.html"
    success_url = reverse_lazy("account_login")

    def get_user(self, uidb64: str) -> User | None:
        user = super().get_user(uidb64)
        return user if user and user.kind == User.Kind.ACCOUNT and user.is_active else None

    def form_valid(self, form: Any) -> HttpResponse:
        user = cast(User, self.user)
        super().form_valid(form)
        flows.mark_email_verified(user)
        messages.success(self.request, _("L'account è attivo. Accedi con lo username %(user)s.") % {"user": user})
        return redirect(reverse("account_login") + "?con=account")
