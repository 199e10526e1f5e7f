"""The account's own data: billing, e-mail, password. A mailbox login finds nothing here but its password (R1)."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import views as allauth_views
from allauth.account.models import EmailAddress
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from accounts import drafts, flows, limits
from accounts.billing_forms import OwnBillingForm
from accounts.fiscal_forms import Subject
from accounts.forms import ChangeEmailForm, ChangePasswordForm
from accounts.models import BillingProfile, User

GROUPS = (
    (
        "company_name",
        "first_name",
        "last_name",
        "codice_fiscale",
        "partita_iva",
        "birth_date",
        "representative_codice_fiscale",
    ),
    ("address", "postal_code", "city", "province", "country", "phone"),
    ("sdi_code", "sdi_pec", "is_consumer"),
)


class SignedIn(HttpRequest):
    user: User


def account_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Signed in, and not as a mailbox: for a mailbox login the page does not exist (R1)."""

    @login_required
    @wraps(view)
    def guarded(request: SignedIn, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_mailbox:
            raise Http404
        return view(request, *args, **kwargs)

    return guarded


def safe_next(request: HttpRequest) -> str:
    """Where `next` sends back to, if it is one of our own pages; else empty."""
    url = request.POST.get("next") or request.GET.get("next") or ""
    own = url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return url if own else ""


@account_only
def dati(request: SignedIn, section: str = "dati") -> HttpResponse:
    """Dati di fatturazione: seen and edited on one page.

    The fields shown are those of one kind of subject. When another kind is chosen, the form comes back with that kind's
    fields and everything that was typed, unchecked; nothing is saved until the fields of the chosen kind were shown.
    """
    profile = BillingProfile.objects.filter(user=request.user).first() or BillingProfile(user=request.user)
    typed = request.POST if request.method == "POST" else drafts.take(request)
    other_kind = typed is not None and typed.get("shown", typed.get("subject")) != typed.get("subject")
    if typed is not None and other_kind:
        form = OwnBillingForm(initial=_typed_words(typed), instance=profile)
    else:
        form = OwnBillingForm(typed, instance=profile)
        if request.method == "POST" and form.is_valid() and _saved(form):
            messages.success(request, _("I dati di fatturazione sono salvati."))
            return redirect(safe_next(request) or "accounts:dati")
    return render(request, "account/dati.html", {**_page(request, form), "other_kind": other_kind})


def _saved(form: OwnBillingForm) -> bool:
    try:
        with transaction.atomic():
            form.save()
    except IntegrityError:  # another account took this fiscal key between the check and the write (R2)
        form.refuse_key()
        return False
    return True


def _typed_words(typed: QueryDict) -> dict[str, str]:
    return {name: str(typed[name]) for name in BillingProfile.COPIED if name in typed}


def _page(request: SignedIn, form: OwnBillingForm) -> dict[str, Any]:
    typed = _typed_words(request.POST)
    return {
        "form": form,
        "kind": Subject(form.kind),
        "groups": [[form[name] for name in group if name in form.fields] for group in GROUPS],
        # What was typed for another kind stays in the page, so that going back to it finds it.
        "kept": [(name, value) for name, value in typed.items() if value and name not in form.fields],
        "next": safe_next(request),
        "pending_email": EmailAddress.objects.filter(user=request.user).exclude(email=request.user.email).first(),
    }


@account_only
def email(request: SignedIn, section: str = "dati") -> HttpResponse:
    """Ask for another account e-mail; it holds when its link is opened (accounts.adapter.confirm_email)."""
    form = ChangeEmailForm(request.POST or None, user=request.user)
    if request.method == "POST" and not limits.allow("email", str(request.user.pk), limit=10, seconds=3600):
        form.add_error(None, _("Troppe richieste: riprova fra un'ora."))
    elif request.method == "POST" and form.is_valid():
        new = form.cleaned_data["email"]
        flows.ask_email(request, request.user, new)
        messages.success(
            request,
            _("Abbiamo scritto a %(email)s: apri il link che trovi lì. Fino ad allora vale l'e-mail di prima.")
            % {"email": new},
        )
        return redirect("accounts:dati")
    return render(request, "account/email_change.html", {"form": form})


class PasswordChangeView(allauth_views.PasswordChangeView):
    """The password of who is signed in, account or mailbox; their other sessions end."""

    form_class = ChangePasswordForm
    template_name = "account/password_change.html"
