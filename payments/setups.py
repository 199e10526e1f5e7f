"""A method saved without paying (R19): row first, then the provider, then one short transaction on the way back."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from payments import auto_renewal, wallet
from payments.models import MethodSetup, StoredMethod
from payments.providers import get_provider
from payments.providers.base import Outcome, ProviderTimeoutError, Result
from pecportal import clock
from pecportal.errors import RefusedError

log = logging.getLogger(__name__)
LEFT_AFTER = timedelta(days=1)  # a page of a provider is good for some hours
ASKED_FOR = timedelta(days=7)  # how long one that does not answer is asked about a setup nobody came back from
MOST = 5000  # of one run


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
    return _record(setup_id, outcome)


def _record(setup_id: int, outcome: Outcome) -> StoredMethod | None:
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


def close_left_open(*, seconds: float = 200) -> int:
    """Close the setups that nobody came back from for a day; returns how many were closed (beat, every day).

    The provider is asked one last time: a method that was given there is kept, as its return page would have done. One
    that does not answer is asked again, for a week.
    """
    now, stop_at, closed = clock.now(), time.monotonic() + seconds, 0
    left = MethodSetup.objects.filter(status=MethodSetup.Status.OPEN, created_at__lt=now - LEFT_AFTER)
    for setup in list(left.select_related("login").order_by("created_at")[:MOST]):
        if time.monotonic() >= stop_at:
            break
        try:
            _record(setup.pk, get_provider(setup.provider).fetch_setup(setup))
        except Exception as error:  # one that cannot be asked about keeps no other open
            if isinstance(error, ProviderTimeoutError):
                log.warning("setup %s: its provider does not answer", setup.pk)
            else:
                log.exception("setup %s could not be asked about", setup.pk)
            if setup.created_at > now - ASKED_FOR:
                continue
        still_open = MethodSetup.objects.filter(pk=setup.pk, status=MethodSetup.Status.OPEN)
        closed += still_open.update(status=MethodSetup.Status.FAILED)
    return closed
