"""Metodi di pagamento: what is saved, what it pays; add, replace, make default, take away (R24, R24b)."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import drafts
from payments import setups, wallet
from payments.forms import AddMethodForm
from payments.methods import ICONS, name_of
from payments.models import MethodSetup, StoredMethod
from payments.screens import user_of
from pecportal import clock
from pecportal.errors import RefusedError


def _mine_or_404(request: HttpRequest, method_id: object) -> StoredMethod:
    return get_object_or_404(wallet.mine(user_of(request)), public_id=method_id)


@login_required
@require_safe
@never_cache
def methods(request: HttpRequest, **kwargs: object) -> HttpResponse:
    """The saved methods of this login."""
    entries = wallet.entries(user_of(request), today=clock.today())
    context = {"entries": entries, "can_add": bool(wallet.saving_providers())}
    return render(request, "payments/methods.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def method_add(request: HttpRequest, method_id: object = None, **kwargs: object) -> HttpResponse:
    """Aggiungi, or Sostituisci where `method_id` says which: choose a provider, go there, come back."""
    old = _mine_or_404(request, method_id) if method_id is not None else None
    codes = wallet.saving_providers()
    choices = [(code, name_of(code)) for code in codes]
    typed = request.POST if request.method == "POST" else drafts.take(request)
    form = AddMethodForm(typed, choices=choices, initial={"provider": (codes or [""])[0]})
    refusal = ""
    if request.method == "POST" and form.is_valid():

        def return_url(setup: MethodSetup) -> str:
            return request.build_absolute_uri(reverse("payments:method_return", args=[setup.public_id]))

        try:
            return redirect(
                setups.start(
                    user=user_of(request), provider=form.cleaned_data["provider"], replaces=old, return_url=return_url,
                    cancel_url=request.build_absolute_uri(reverse("payments:methods")),
                )
            )  # fmt: skip
        except RefusedError as error:
            refusal = str(error)
    entry = _entry(request, old) if old else None
    context = {
        "form": form, "refusal": refusal, "old": old, "entry": entry, "chosen": form["provider"].value(),
        "options": [{"code": code, "name": name, "icon": ICONS.get(code, "card")} for code, name in choices],
    }  # fmt: skip
    return render(request, "payments/method_add.html", context)


def _entry(request: HttpRequest, method: StoredMethod) -> wallet.Entry:
    found = wallet.entries(user_of(request), today=clock.today())
    return next(entry for entry in found if entry.method.pk == method.pk)


@login_required
@require_safe
@never_cache
def method_return(request: HttpRequest, setup_id: object, **kwargs: object) -> HttpResponse:
    """Back from the provider: ask it whether the method is saved."""
    setup = get_object_or_404(MethodSetup, public_id=setup_id, login=user_of(request))
    method = setups.finish(setup.pk)
    setup.refresh_from_db()
    if method is not None:
        messages.success(request, _("Metodo di pagamento salvato: %(label)s.") % {"label": method.label})
    elif setup.status == MethodSetup.Status.FAILED:
        messages.warning(request, _("Il metodo di pagamento non è stato salvato. Non ti è stato addebitato nulla."))
    else:
        messages.info(
            request, _("La banca non ha ancora confermato il metodo di pagamento: ricarica la pagina tra un minuto.")
        )
    return redirect("payments:methods")


@login_required
@require_POST
def method_default(request: HttpRequest, method_id: object, **kwargs: object) -> HttpResponse:
    """Rendi predefinito."""
    method = _mine_or_404(request, method_id)
    wallet.make_default(user=user_of(request), method_id=method.pk)
    messages.success(request, _("%(label)s è ora il metodo predefinito.") % {"label": method.label})
    return redirect("payments:methods")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def method_remove(request: HttpRequest, method_id: object, **kwargs: object) -> HttpResponse:
    """Rimuovi: first says which automatic renewals stop (R24)."""
    method = _mine_or_404(request, method_id)
    refusal = wallet.refusal_to_remove(method)
    if request.method == "POST" and not refusal:
        try:
            wallet.remove(user=user_of(request), method_id=method.pk)
        except RefusedError as error:
            refusal = str(error)
        else:
            messages.success(request, _("%(label)s rimosso.") % {"label": method.label})
            return redirect("payments:methods")
    context = {"method": method, "entry": _entry(request, method), "refusal": refusal}
    return render(request, "payments/method_remove.html", context)
