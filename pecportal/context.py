"""What the frame of every page needs."""

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext


def brand() -> dict[str, str]:
    """The provider as pages and mails name it."""
    return {
        "name": settings.PROVIDER_NAME,
        "area_name": gettext("Area clienti"),
        "site_url": settings.SITE_URL,
        "support_email": settings.PROVIDER_SUPPORT_EMAIL,
        "support_url": settings.PROVIDER_SUPPORT_URL or f"mailto:{settings.PROVIDER_SUPPORT_EMAIL}",
        "terms_url": reverse("renewals:terms"),
        "privacy_url": settings.PROVIDER_PRIVACY_URL,
    }


def frame(request: HttpRequest) -> dict[str, object]:
    user = getattr(request, "user", AnonymousUser())
    return {
        "brand": brand(),
        "signed_in_as": user.get_username(),
        "is_mailbox_login": getattr(user, "is_mailbox", False),
        "section": getattr(getattr(request, "resolver_match", None), "kwargs", {}).get("section", ""),
    }
