"""A method saved without paying (R19): row first, then the provider, then one short transaction on the way back."""

from collections.abc import Callable

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from payments import auto_renewal, wallet
from payments.models import MethodSetup, StoredMethod
from payments.providers import get_provider
from payments.providers.base import ProviderTimeoutError, Result
from pecportal.errors import RefusedError


class SetupUnavailableError(RefusedError):
    """The provider did not answer: nothing was saved."""

    def __init__(self) -> None:
        super().__init__(_("In questo momento la banca non risponde: non abbiamo salvato nulla. Riprova più tardi."))


def start(
    *, user: User, provider: str, return_url: Callable[[MethodSetup], str], cancel_url: str,
    replaces: StoredMethod | None = None,
) -> str:  # fmt: skip
    """Begin to save a method of `user` and return where to send the browser. Raises SetupUnavailableError."""
    chosen = get_provider(provider)
    with transaction.atomic(durable=True):
        setup = MethodSetup.objects.create(login=user, provider=provider, replaces=replaces)
    try:
        started = chosen.start_setup(setup, return_url=return_url(setup), cancel_url=cancel_url)
    except ProviderTimeoutError as error:
        raise SetupUnavailableError from error
    MethodSetup.objects.filter(pk=setup.pk, remote_id="").update(remote_id=started.remote_id)
    return started.redirect_url


def remember(setup: MethodSetup, remote_id: str) -> None:
    """The provider's id of an open setup: a page that is opened again begins a new one there."""
    MethodSetup.objects.filter(pk=setup.pk, status=MethodSetup.Status.OPEN).update(remote_id=remote_id)


def finish(setup_id: int) -> StoredMethod | None:
    """Ask the provider and keep the method, once; None while it is not saved. A replaced one gives way (R24)."""
    setup = MethodSetup.objects.select_related("login", "method").get(pk=setup_id)
    if setup.status == MethodSetup.Status.DONE:
        return setup.method
    try:
        outcome = get_provider(setup.provider).fetch_setup(setup)
    except ProviderTimeoutError:
        return None
    with transaction.atomic(durable=True):
        setup = MethodSetup.objects.select_for_update(no_key=True, of=("self",)).get(pk=setup_id)
        if setup.status != MethodSetup.Status.OPEN:
            return setup.method
        if outcome.result in (Result.FAILED, Result.CANCELLED):
            setup.status = MethodSetup.Status.FAILED
            setup.save(update_fields=["status"])
            return None
        if outcome.result != Result.REGISTERED or outcome.saved is None:
            return None
        method = auto_renewal.keep_method(login=setup.login, provider=setup.provider, saved=outcome.saved)
        if method.login_id != setup.login_id:  # R24b: the provider named a method that another login gave
            setup.status = MethodSetup.Status.FAILED
            setup.save(update_fields=["status"])
            return None
        setup.status, setup.method = MethodSetup.Status.DONE, method
        setup.save(update_fields=["status", "method"])
        if setup.replaces_id is not None and setup.replaces_id != method.pk:
            wallet.replace(old_id=setup.replaces_id, new=method)
    return method
