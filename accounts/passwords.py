"""Which passwords are refused, beyond Django's own rules."""

import re

from django.contrib.auth.password_validation import UserAttributeSimilarityValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import User


class NotTheLoginValidator(UserAttributeSimilarityValidator):
    """Django compares with the whole login and its words, and lets `mario.rossi` pass for `mario.rossi@pec.example`.

    Here the part before the @, however punctuated, may not be half of the password or more.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        super().validate(password, user)
        name, typed = (_bare(text) for text in (user.username.partition("@")[0] if user else "", password))
        if name and name in typed and 2 * len(name) >= len(typed):
            raise ValidationError(
                _("Questa password somiglia troppo a %(login)s: scegline un'altra.") % {"login": user},
                code="password_too_similar",
            )


def _bare(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())
