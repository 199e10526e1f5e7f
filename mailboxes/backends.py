"""Signing in with a mailbox: its PEC address and its password (R1)."""

from typing import Any

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy

from accounts.models import User
from mailboxes.hosting import is_hosted
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.platform.base import get_platform
from pecportal import mail


def live_logins() -> QuerySet[User]:
    """The logins of boxes that have one: not those whose deletion has begun."""
    return (
        User.objects.filter(kind=User.Kind.MAILBOX, is_active=True, mailbox__isnull=False)
        .exclude(mailbox__phase__in=(Phase.DELETING, Phase.DELETED))
        .select_related("mailbox", "mailbox__address", "mailbox__holder")
    )


class MailboxBackend(BaseBackend):
    """The mail platform says whether a password is right; an unknown address takes it as long as a known one."""

    kind = User.Kind.MAILBOX

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        address = (credentials.get("username") or credentials.get("email") or "").strip().lower()
        password = credentials.get("password")
        if not address or not password:
            return None
        login = live_logins().filter(username=address).first()
        right = get_platform().check_password(login or nobody(), password)
        return login if login is not None and right else None

    def get_user(self, user_id: int) -> User | None:
        return live_logins().filter(pk=user_id).first()

    def check_password(self, user: User, raw: str) -> bool:
        return get_platform().check_password(user, raw)

    def set_password(self, user: User, raw: str) -> None:
        """Set the password and tell the holder; the login's other sessions end, since its hash has changed."""
        get_platform().set_password(user, raw)
        tell_password_changed(user)

    def landing_url(self, user: User) -> str:
        return reverse("area:box", args=[user.mailbox.public_id])


def nobody() -> User:
    """A login that no password opens, on which checking one takes the usual time."""
    stranger = User(kind=User.Kind.MAILBOX)
    stranger.set_unusable_password()
    return stranger


def tell_password_changed(login: User) -> None:
    """Tell the holder, where we can write, that the box has a new password."""
    box = Mailbox.objects.filter(login=login).select_related("holder", "address").first()
    if box and not is_hosted(box.holder.contact_email):
        with transaction.atomic():
            mail.send(
                "casella_password_cambiata",
                to=[box.holder.contact_email],
                context={
                    "address": box.address.name,
                    "action_url": settings.SITE_URL + reverse("mailboxes:recovery"),
                    "action_label": gettext_lazy("Recupera la password"),
                },
            )
