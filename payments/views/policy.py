"""Content policy of pages whose form may lead to PayPal: a redirect after a POST counts as the form's own target."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpResponse

View = Callable[..., HttpResponse]


def may_lead_away(view: View) -> View:
    """The site's policy, and PayPal's host as a target of forms where PayPal is offered."""

    @wraps(view)
    def shown(*args: Any, **kwargs: Any) -> HttpResponse:
        response = view(*args, **kwargs)
        if "paypal" in settings.PAYMENT_PROVIDERS:
            response._csp_update = {"form-action": [settings.PAYPAL_WEB_HOST]}  # type: ignore[attr-defined]
        return response

    return shown
