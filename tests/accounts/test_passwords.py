"""Which passwords are refused, beyond Django's own rules."""

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils import translation

from accounts.models import User

BOX = User(username="mario.rossi@pec.example", kind=User.Kind.MAILBOX)
ACCOUNT = User(username="1000001@pecportal.example")


@pytest.mark.parametrize(
    ("user", "password"),
    [
        (BOX, "mario.rossi"),
        (BOX, "MarioRossi"),
        (BOX, "mario_rossi_26"),
        (BOX, "2026.mario.rossi!"),
        (BOX, "mario.rossi@pec.example"),
        (ACCOUNT, "pec1000001"),
    ],
)
def test_the_login_itself_is_refused(user, password):
    with pytest.raises(ValidationError) as refused:
        validate_password(password, user)
    assert {error.code for error in refused.value.error_list} == {"password_too_similar"}


@pytest.mark.parametrize(
    ("user", "password"),
    [
        (BOX, "Prova-pec-2026"),
        (BOX, "mario-e-tre-gatti-neri-sul-tetto"),
        (User(username="info@pec.example"), "informatica-blu-77"),
        (None, "mario.rossi"),
    ],
)
def test_other_passwords_are_taken(user, password):
    validate_password(password, user)


def test_the_sentences():
    with translation.override("it"), pytest.raises(ValidationError) as refused:
        validate_password("mario.rossi", BOX)
    assert refused.value.messages == ["Questa password somiglia troppo a mario.rossi@pec.example: scegline un'altra."]
    with translation.override("it"), pytest.raises(ValidationError) as refused:
        validate_password("xk-4", BOX)
    assert refused.value.messages == ["Questa password è troppo corta. Deve contenere almeno 10 caratteri."]
