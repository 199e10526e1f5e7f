"""The stories of accounts: made by staff, invited, reached again by e-mail."""

from allauth.account.internal.flows.email_verification import send_verification_email_to_address
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Length
from django.http import HttpRequest
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.emails import is_hosted
from accounts.models import User
from pecportal import mail
from pecportal.errors import RefusedError

FIRST_NUMBER = 1000001
ATTEMPTS = 5
HOSTED = gettext_lazy("L'e-mail di un account non può essere una casella gestita qui: %(email)s.")


class InviteTokenGenerator(PasswordResetTokenGenerator):
    """Links that activate an account: once, and for PASSWORD_RESET_TIMEOUT seconds.

    The hash covers the password, the last sign-in and the e-mail: when one of them changes, every older link is dead.
    """

    key_salt = "accounts.flows.InviteTokenGenerator"


invite_tokens = InviteTokenGenerator()


def next_username() -> str:
    """The number after the highest one given: `NNNNNNN@ACCOUNT_DOMAIN`."""
    domain = settings.ACCOUNT_DOMAIN.lower()
    pattern = rf"^[0-9]{{7,}}@{domain.replace('.', '[.]')}$"
    numbered = User.objects.filter(kind=User.Kind.ACCOUNT, username__regex=pattern)
    last = numbered.order_by(Length("username").desc(), "-username").values_list("username", flat=True).first()
    number = int(last.partition("@")[0]) + 1 if last else FIRST_NUMBER
    return f"{number:07}@{domain}"


def create_account(*, email: str) -> User:
    """An account without a password, with the next number as username; `invite` lets its owner in.

    Raises RefusedError when the e-mail is hosted here (R3) or belongs to another account.
    """
    email = email.strip().lower()
    if is_hosted(email):
        raise RefusedError(HOSTED % {"email": email})
    if EmailAddress.objects.filter(email=email, verified=True).exists():
        raise RefusedError(_("Questa e-mail è già di un altro account: %(email)s.") % {"email": email})
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction.atomic():
                user = User.objects.create_user(next_username(), email=email)
                EmailAddress.objects.create(user=user, email=email, primary=True)
                return user
        except IntegrityError:  # a colleague took the number at the same moment
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def replace_email(user: User, email: str) -> None:
    """Staff gives the account another e-mail, not yet proved: it is, once its owner uses an activation link."""
    with transaction.atomic():
        EmailAddress.objects.filter(user=user).delete()
        user.email = email.strip().lower()
        user.save(update_fields=["email"])
        if user.email:
            EmailAddress.objects.create(user=user, email=user.email, primary=True)


def invite(user: User) -> None:
    """Mail the one-time link by which the account's owner chooses the first password and proves the e-mail.

    Raises RefusedError when there is nobody to invite: a mailbox login, an account without e-mail or switched off.
    """
    if user.kind != User.Kind.ACCOUNT:
        raise RefusedError(
            _("%(user)s è una casella: la password si recupera dalla pagina di accesso.") % {"user": user}
        )
    if not user.email or not user.is_active:
        raise RefusedError(_("%(user)s non ha un'e-mail oppure non è attivo.") % {"user": user})
    if is_hosted(user.email):
        raise RefusedError(HOSTED % {"email": user.email})
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("accounts:attiva", args=[uid, invite_tokens.make_token(user)])
    with transaction.atomic():
        mail.send(
            "attivazione",
            to=[user.email],
            context={
                "user": user,
                "action_url": settings.SITE_URL + path,
                "action_label": gettext_lazy("Scegli la password"),
            },
        )


def ask_email(request: HttpRequest, user: User, email: str) -> None:
    """Mail a link to the e-mail that the account asks to have; nothing changes until it is opened.

    An address asked for before, perhaps mistyped, loses its link.
    """
    EmailAddress.objects.filter(user=user).exclude(email__in=[user.email, email]).delete()
    address = EmailAddress.objects.add_email(request, user, email)
    send_verification_email_to_address(request, address)


def mark_email_verified(user: User) -> None:
    """The account's e-mail is proved: whoever used a link mailed to it reads it. One proved by another stays theirs."""
    email = user.email.lower()
    if not email or is_hosted(email):
        return
    with transaction.atomic():
        address, _created = EmailAddress.objects.get_or_create(user=user, email=email)
        if address.set_verified():
            address.set_as_primary()


def mail_usernames(email: str) -> None:
    """Tell the usernames of the accounts that have `email`. The same work whether or not there are any (R3)."""
    usernames = [user.username for user in accounts_reached_by(email)]
    with transaction.atomic():
        mail.send(
            "username",
            to=[email] if usernames else [],
            context={
                "usernames": usernames,
                "action_url": f"{settings.SITE_URL}{reverse('account_login')}?con=account",
                "action_label": gettext_lazy("Vai all'accesso"),
            },
        )


def account_named(username: str) -> User | None:
    """The active account with this username, if it has an e-mail at which it can be reached."""
    user = User.objects.filter(username=username, kind=User.Kind.ACCOUNT, is_active=True).first()
    return user if user and user.email and not is_hosted(user.email) else None


def accounts_reached_by(email: str) -> list[User]:
    """The active accounts recovered at `email`: theirs, verified or given by staff; not one they only asked to have."""
    email = email.strip().lower()
    if not email or is_hosted(email):
        return []
    mine = Q(emailaddress__email=email, emailaddress__verified=True) | Q(email=email)
    return list(User.objects.filter(mine, kind=User.Kind.ACCOUNT, is_active=True).distinct().order_by("pk"))
