"""The holder's contact e-mail changes with a code to the new address and a note to the old one (R12).

Only the holder does it: an account whose fiscal key is the holder's, or the box's own login. What was asked is kept in
the session; the code as a keyed hash, its tries counted in the cache.
"""

import secrets
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import limits
from accounts.models import User
from mailboxes.hosting import is_hosted
from mailboxes.models import Holder, Mailbox
from mailboxes.recovery import DIGITS, TRIES, VALID, CodeForm
from pecportal import clock, mail

SESSION_KEY = "contact_change"
SALT = "mailboxes.contact"


def may_change(user: User, box: Mailbox) -> bool:
    """Whether `user`, who sees the box (R1), speaks for its holder (R12)."""
    if user.is_mailbox:
        return box.login_id == user.pk
    billing = getattr(box.owner, "billing", None)
    return box.owner_id == user.pk and billing is not None and billing.fiscal_key == box.holder.fiscal_key


def ask(*, holder: Holder, email: str) -> dict[str, object]:
    """Mail a code to the new address; returns what the session keeps of it."""
    key, code = secrets.token_urlsafe(16), f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    with transaction.atomic():
        mail.send(
            "contatto_codice", to=[email],
            context={"holder": holder, "code": f"{code[:4]} {code[4:]}", "minutes": VALID // 60},
        )  # fmt: skip
    cache.set(_tries_key(key), 0, VALID)
    until = int(clock.now().timestamp()) + VALID
    return {"holder": holder.pk, "email": email, "key": key, "digest": _digest(key, code), "until": until}


def prove(asked: dict[str, object], typed: str) -> bool:
    """Whether `typed` is the code; each call is one of the TRIES."""
    key = str(asked["key"])
    try:
        tries = cache.incr(_tries_key(key))
    except ValueError:  # its time has run out
        return False
    return tries <= TRIES and constant_time_compare(_digest(key, typed), str(asked["digest"]))


def change(*, holder_id: int, email: str) -> None:
    """Write the new contact and tell the old one, in one transaction."""
    with transaction.atomic(durable=True):
        holder = Holder.objects.select_for_update(no_key=True, of=("self",)).get(pk=holder_id)
        old = holder.contact_email
        if old == email:
            return
        holder.contact_email = email
        holder.save(update_fields=["contact_email"])
        mail.send("contatto_cambiato", to=[a for a in (old,) if not is_hosted(a)], context={"holder": holder})


def _digest(key: str, code: str) -> str:
    return salted_hmac(SALT, f"{key}:{code}", algorithm="sha256").hexdigest()


def _tries_key(key: str) -> str:
    return f"contact-change:{salted_hmac(SALT, key, algorithm='sha256').hexdigest()}"


class ContactForm(forms.Form):
    email = forms.EmailField(
        label=gettext_lazy("Nuova e-mail di contatto"),
        max_length=254,
        help_text=gettext_lazy("Ci mandiamo un codice. Qui arriveranno gli avvisi di scadenza e i codici di recupero."),
        error_messages={
            "required": gettext_lazy("Scrivi la nuova e-mail di contatto."),
            "invalid": gettext_lazy("Scrivi un'e-mail completa, come nome@esempio.it."),
        },
        widget=forms.EmailInput(attrs={"autocomplete": "email", "spellcheck": "false"}),
    )

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        if is_hosted(email):
            raise forms.ValidationError(
                _("Questa è una casella gestita da noi: se scadesse non ci leggeresti. Scrivine una di altri.")
            )
        return email


def _box_or_404(request: HttpRequest, box_id: UUID) -> Mailbox:
    assert isinstance(request.user, User)
    found = Mailbox.objects.visible_to(request.user).select_related("address", "holder", "owner__billing")
    box = get_object_or_404(found, public_id=box_id)
    if not may_change(request.user, box):
        raise Http404
    return box


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def contact(request: HttpRequest, box_id: UUID, section: str = "") -> HttpResponse:
    """First page: the new address."""
    box = _box_or_404(request, box_id)
    form = ContactForm(request.POST or None, initial={"email": ""})
    if request.method == "POST" and form.is_valid():
        if limits.allow("contact-code", f"{box.holder_id}", limit=5, seconds=3600):
            request.session[SESSION_KEY] = ask(holder=box.holder, email=form.cleaned_data["email"])
            return redirect("mailboxes:contact_code", box.public_id)
        form.add_error(None, _("Hai chiesto troppi codici: riprova fra un'ora."))
    return render(request, "mailboxes/contact.html", {"box": box, "form": form})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def contact_code(request: HttpRequest, box_id: UUID, section: str = "") -> HttpResponse:
    """Second page: the code that was mailed there."""
    box = _box_or_404(request, box_id)
    asked = request.session.get(SESSION_KEY)
    if not asked or asked["holder"] != box.holder_id or asked["until"] < clock.now().timestamp():
        return _again(request, box)
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if prove(asked, form.cleaned_data["code"]):
            del request.session[SESSION_KEY]
            change(holder_id=box.holder_id, email=asked["email"])
            messages.success(request, _("L'e-mail di contatto è cambiata: da ora scriviamo a quella nuova."))
            return redirect("area:box", box_id=box.public_id)
        if cache.get(_tries_key(asked["key"]), TRIES) >= TRIES:
            return _again(request, box)
        form.add_error("code", _("Il codice non è questo: controlla le 8 cifre. Vale l'ultimo che hai chiesto."))
    context = {"box": box, "form": form, "email": asked["email"], "minutes": VALID // 60}
    return render(request, "mailboxes/contact_code.html", context)


def _again(request: HttpRequest, box: Mailbox) -> HttpResponse:
    request.session.pop(SESSION_KEY, None)
    messages.error(request, _("Il codice non vale più, o è stato sbagliato troppe volte: chiedine un altro."))
    return redirect("mailboxes:contact", box.public_id)
