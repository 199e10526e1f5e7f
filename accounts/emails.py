"""The e-mail addresses of accounts: never one that lies on a mailbox we host (R3)."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _


def is_hosted(email: str) -> bool:
    """Whether `email` is an address hosted here; asked through the setting MAILBOX_HOSTED_CHECK."""
    return bool(import_string(settings.MAILBOX_HOSTED_CHECK)(email))


def refuse_hosted(email: str) -> str:
    """`email`, unless it is hosted here: then who loses the box would lose the way back to the account too."""
    if is_hosted(email):
        raise ValidationError(
            _("Usa un indirizzo e-mail esterno: a una casella gestita da noi non potremmo scriverti quando serve.")
        )
    return email
