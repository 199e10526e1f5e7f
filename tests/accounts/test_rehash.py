"""A hash whose cost is out of date is renewed when the password is seen, and never over a newer password."""

import pytest

from accounts import models
from accounts.models import User

pytestmark = pytest.mark.django_db
OLD, NEW = "Prova-pec-2026", "Un-altra-password-7"


@pytest.fixture
def dated(box, settings) -> User:
    """A login whose hash is of a hasher that is not the first any more."""
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.ScryptPasswordHasher", "django.contrib.auth.hashers.MD5PasswordHasher",
    ]  # fmt: skip
    return User.objects.get(pk=box.login_id)


def test_it_is_renewed(dated):
    assert dated.check_password(OLD)
    assert dated.password == User.objects.get(pk=dated.pk).password
    assert dated.password.startswith("scrypt$")


def test_a_wrong_password_renews_nothing(dated):
    before = dated.password
    assert not dated.check_password(NEW)
    assert User.objects.get(pk=dated.pk).password == before


def test_a_password_changed_in_that_moment_stays(dated, monkeypatch):
    def change_meanwhile(raw: str, *arguments: object) -> str:
        monkeypatch.undo()
        other = User.objects.get(pk=dated.pk)
        other.set_password(NEW)
        other.save(update_fields=["password"])
        return models.make_password(raw)

    monkeypatch.setattr(models, "make_password", change_meanwhile)
    assert dated.check_password(OLD)  # it was right when it was read
    assert User.objects.get(pk=dated.pk).check_password(NEW)
    assert not User.objects.get(pk=dated.pk).check_password(OLD)
