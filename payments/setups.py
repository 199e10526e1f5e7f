"""A method saved without paying: a row first, then the provider, then the method (R19, R24)."""

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from payments import auto_renewal
from payments.models import MethodSetup, StoredMethod
from payments.providers import get_provider
from payments.providers.base import ProviderTimeoutError, Result


def finish(setup: MethodSetup) -> StoredMethod | None:
    """Ask the provider, and keep the method it saved; None while it has none. Safe to call again."""
    if setup.status != MethodSetup.Status.OPEN:
        return setup.method
    outcome = get_provider(setup.provider).fetch_setup(setup)
    if outcome.result in (Result.FAILED, Result.CANCELLED):
        MethodSetup.objects.filter(pk=setup.pk).update(status=MethodSetup.Status.FAILED)
    if outcome.result != Result.REGISTERED or outcome.saved is None:
        return None
    method = auto_renewal.keep_method(login=setup.login, provider=setup.provider, saved=outcome.saved)
    if method.login_id != setup.login_id:
        return None  # R24b: another login gave it
    MethodSetup.objects.filter(pk=setup.pk).update(status=MethodSetup.Status.DONE, method=method)
    return method


def came_back(request: HttpRequest, setup: MethodSetup) -> str:
    """Finish, say how it went, and where to go."""
    try:
        method = finish(setup)
    except ProviderTimeoutError:
        messages.warning(request, _("La banca non risponde: riprova fra un minuto."))
        return reverse("area:home")
    if method is None:
        messages.warning(request, _("Il metodo non è stato salvato: la banca non lo ha accettato."))
    else:
        messages.success(request, _("Metodo salvato: %(name)s.") % {"name": method.label})
    return reverse("area:home")
