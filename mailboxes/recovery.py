"""A mailbox's password, recovered: PEC address and holder's code, then a code by mail, then a new password (R3).

Every step looks the same for an address that is not ours, for a wrong fiscal code and for the right one. What was asked
is kept in the cache under a random key that only the asking session knows; the code is kept as a keyed hash.
"""

import secrets
from dataclasses import asdict, dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts import fiscal, limits
from accounts.forms import NewPasswordForm
from mailboxes.backends import live_logins
from mailboxes.hosting import is_hosted
from mailboxes.models import Mailbox
from pecportal import clock, mail

SESSION_KEY = "mailbox_recovery"
VALID = 15 * 60  # seconds from the request to the new password
TRIES = 5
DIGITS = 8
SALT = "mailboxes.recovery"


@dataclass
class Asked:
    """One request: the login it is for (None: nobody), the hash of the code, until when, whether it was proved."""

    login: int | None
    address: str
    digest: str
    until: float
    proved: bool = False


# --- The story --------------------------------------------------------------------------------------------------------


def ask(*, address: str, fiscal_code: str) -> str:
    """Start a recovery and mail the code if the data are right; returns the key of what was asked, right or wrong."""
    key, code = secrets.token_urlsafe(32), f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    box = _box_of(address, fiscal_code)
    recipient = box.holder.contact_email if box else ""
    if recipient and (is_hosted(recipient) or not limits.allow("mailbox-code", address, limit=5, seconds=3600)):
        recipient = ""
    asked = Asked(
        login=box.login_id if box and recipient else None,
        address=address,
        digest=_digest(key, code),
        until=clock.now().timestamp() + VALID,
    )
    cache.set(_cache_key(key), asdict(asked), VALID)
    cache.set(_tries_key(key), 0, VALID)
    with transaction.atomic():  # no recipient, no mail: but the same work
        mail.send(
            "casella_codice",
            to=[recipient],
            context={"address": address, "code": f"{code[:4]} {code[4:]}", "minutes": VALID // 60},
        )
    return key


def find(key: str) -> Asked | None:
    """What was asked under `key`, if its time has not run out."""
    content = cache.get(_cache_key(key)) if key else None
    asked = Asked(**content) if content else None
    return asked if asked and clock.now().timestamp() < asked.until else None


def prove(key: str, asked: Asked, typed: str) -> bool:
    """Whether `typed` is the code. Each call is one of the TRIES, counted in the cache before it is looked at."""
    try:
        tries = cache.incr(_tries_key(key))
    except ValueError:
        return False
    if tries > TRIES:
        return False
    right = constant_time_compare(_digest(key, typed), asked.digest)
    if not right or asked.login is None:
        return False
    asked.proved = True
    cache.set(_cache_key(key), asdict(asked), max(1, int(asked.until - clock.now().timestamp())))
    return True


def is_spent(key: str) -> bool:
    return cache.get(_tries_key(key), TRIES) >= TRIES


def forget(key: str) -> None:
    cache.delete_many([_cache_key(key), _tries_key(key)])


def _box_of(address: str, fiscal_code: str) -> Mailbox | None:
    """The box of `address` if `fiscal_code` is its holder's codice fiscale or partita IVA, not a representative's."""
    login = live_logins().filter(username=address).first()
    box = login.mailbox if login else None
    codes = (box.holder.codice_fiscale, box.holder.partita_iva) if box else ("", "")
    matches = [constant_time_compare(fiscal_code, code) for code in codes]
    return box if any(matches) and fiscal_code else None


def _digest(key: str, code: str) -> str:
    return salted_hmac(SALT, f"{key}:{code}", algorithm="sha256").hexdigest()


def _cache_key(key: str) -> str:
    return f"mailbox-recovery:{salted_hmac(SALT, key, algorithm='sha256').hexdigest()}"


def _tries_key(key: str) -> str:
    return f"{_cache_key(key)}:tries"


# --- Forms ------------------------------------------------------------------------------------------------------------


class AskForm(forms.Form):
    address = forms.EmailField(
        label=gettext_lazy("Indirizzo PEC"), widget=forms.EmailInput(attrs={"autocomplete": "username"})
    )
    fiscal_code = forms.CharField(
        label=gettext_lazy("Codice fiscale o partita IVA del titolare"),
        help_text=gettext_lazy("Il titolare è la persona, l'impresa o l'ente a cui la casella è intestata."),
        max_length=30,
        widget=forms.TextInput(attrs={"autocapitalize": "characters", "spellcheck": "false"}),
    )

    def clean_address(self) -> str:
        return self.cleaned_data["address"].lower()

    def clean_fiscal_code(self) -> str:
        return fiscal.without_country(self.cleaned_data["fiscal_code"])


class CodeForm(forms.Form):
    code = forms.CharField(
        label=gettext_lazy("Codice di 8 cifre"),
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def clean_code(self) -> str:
        return "".join(self.cleaned_data["code"].split())


# --- Pages ------------------------------------------------------------------------------------------------------------


@login_not_required
@never_cache
def recovery(request: HttpRequest) -> HttpResponse:
    """First page: which box, and whose."""
    form = AskForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if not limits.allow("mailbox-recovery", limits.network(request), limit=10, seconds=600):
            form.add_error(None, _("Troppe richieste da questa connessione: riprova fra dieci minuti."))
        else:
            forget(request.session.get(SESSION_KEY, ""))
            request.session[SESSION_KEY] = ask(**form.cleaned_data)
            return redirect("mailboxes:recovery_code")
    return render(request, "mailboxes/recovery.html", {"form": form})


@login_not_required
@never_cache
def recovery_code(request: HttpRequest) -> HttpResponse:
    """Second page: the code that was mailed to the holder's contact address."""
    key = request.session.get(SESSION_KEY, "")
    asked = find(key)
    if asked and asked.proved:
        return redirect("mailboxes:recovery_password")
    if asked is None or is_spent(key):
        return _start_again(request)
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if prove(key, asked, form.cleaned_data["code"]):
            return redirect("mailboxes:recovery_password")
        if is_spent(key):
            return _start_again(request)
        form.add_error("code", _("Il codice non è questo: controlla le 8 cifre. Vale l'ultimo che hai chiesto."))
    context: dict[str, Any] = {"form": form, "address": asked.address, "minutes": VALID // 60}
    return render(request, "mailboxes/recovery_code.html", context)


@login_not_required
@never_cache
@sensitive_post_parameters()
def recovery_password(request: HttpRequest) -> HttpResponse:
    """Third page: the new password."""
    key = request.session.get(SESSION_KEY, "")
    asked = find(key)
    login = live_logins().filter(pk=asked.login).first() if asked and asked.proved and asked.login else None
    if asked is None or login is None:
        return _start_again(request)
    form = NewPasswordForm(request.POST or None, user=login)
    if request.method == "POST" and form.is_valid():
        forget(key)
        del request.session[SESSION_KEY]
        form.save()
        messages.success(request, _("La password della casella è cambiata: accedi con quella nuova."))
        return redirect(reverse("account_login") + "?con=casella")
    return render(request, "mailboxes/recovery_password.html", {"form": form, "address": asked.address})


def _start_again(request: HttpRequest) -> HttpResponse:
    forget(request.session.pop(SESSION_KEY, ""))
    messages.error(request, _("Il codice non vale più, o è stato sbagliato troppe volte: chiedine un altro."))
    return redirect("mailboxes:recovery")
