"""The e-mail addresses of accounts: never one that lies on a mailbox we host (R3)."""

import re

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _


def is_hosted(email: str) -> bool:
    """Whether `email` is an address hosted here; asked through the setting MAILBOX_HOSTED_CHECK."""
    return bool(import_string(settings.MAILBOX_HOSTED_CHECK)(email))


def is_username(email: str) -> bool:
    """Whether `email` is a username, `NNNNNNN@ACCOUNT_DOMAIN`: it looks like an e-mail, and nobody reads it."""
    return re.fullmatch(rf"[0-9]{{7,}}@{re.escape(settings.ACCOUNT_DOMAIN)}", email.strip(), re.IGNORECASE) is not None


def refuse_username(email: str) -> str:
    """`email`, unless it is a username."""
    if is_username(email):
        raise ValidationError(
            _("Questo è uno username, non un'e-mail: lì non arriva posta. Scrivi l'e-mail che leggi di solito.")
        )
    return email


def refuse_hosted(email: str) -> str:
    """`email`, unless it is hosted here: then who loses the box would lose the way back to the account too."""
    if is_hosted(email):
        raise ValidationError(
            _("Usa un indirizzo e-mail esterno: a una casella gestita da noi non potremmo scriverti quando serve.")
        )
    return email
