"""Signing in to an account; and what a kind of login can do, whatever its kind."""

from typing import Any, Protocol, cast

from allauth.account.auth_backends import AuthenticationBackend
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth import get_backends
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest
from django.shortcuts import resolve_url

from accounts.models import User


class LoginKind(Protocol):
    """What each authentication backend here offers for the logins of its kind.

    By it accounts reaches mailbox logins, whose passwords and pages are the mail platform's, without importing them.
    """

    kind: str

    def check_password(self, user: User, raw: str) -> bool: ...

    def set_password(self, user: User, raw: str) -> None: ...

    def landing_url(self, user: User) -> str: ...


def backend_of(user: User) -> LoginKind:
    """The backend of this kind of login."""
    for backend in get_backends():
        if getattr(backend, "kind", None) == user.kind:
            return cast(LoginKind, backend)
    raise LookupError(f"no authentication backend for logins of kind {user.kind}")


class AccountBackend(AuthenticationBackend):
    """Username or verified e-mail, and password, of an account (R1). Exactly one hash is computed, whoever asks."""

    kind = User.Kind.ACCOUNT

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        password = credentials.get("password")
        login = (credentials.get("username") or credentials.get("email") or "").strip().lower()
        if not password or not login:
            return None
        user = find_account(login)
        if user is None:
            make_password(password)  # an unknown login takes as long as a known one
            return None
        return user if user.check_password(password) and self.user_can_authenticate(user) else None

    def get_user(self, user_id: int) -> User | None:
        """With its billing data in the same query: by them its pages tell its own boxes from those of others (R2)."""
        try:
            user = User.objects.select_related("billing").get(pk=user_id)  # first() would sort its one row
        except User.DoesNotExist:
            return None
        return user if self.user_can_authenticate(user) else None

    def check_password(self, user: User, raw: str) -> bool:
        return user.check_password(raw)

    def set_password(self, user: User, raw: str) -> None:
        user.set_password(raw)
        user.save(update_fields=["password"])

    def landing_url(self, user: User) -> str:
        return resolve_url(settings.LOGIN_REDIRECT_URL)


def find_account(login: str) -> User | None:
    """The account of a username or, failing that, of a verified e-mail; both in lower case."""
    accounts = User.objects.filter(kind=User.Kind.ACCOUNT)
    user = accounts.filter(username=login).first()
    if user is None:
        verified = EmailAddress.objects.filter(email=login, verified=True, user__kind=User.Kind.ACCOUNT)
        address = verified.select_related("user").first()
        user = address.user if address else None
    return user
