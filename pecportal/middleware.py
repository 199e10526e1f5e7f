"""Two small middlewares: the language the visitor chose, and the admin's own content policy."""

from collections.abc import Callable

from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation

Handler = Callable[[HttpRequest], HttpResponse]


class LanguageMiddleware:
    """Italian unless the visitor chose otherwise in the footer; the browser's own preference is not asked."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        chosen = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
        language = chosen if chosen in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
        with translation.override(language):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        if request.path_info.startswith("/admin/"):
            response.headers.setdefault(
                "Content-Security-Policy", build_policy(replace=settings.ADMIN_CONTENT_SECURITY_POLICY)
            )
        match = request.resolver_match
        if match is not None and match.app_name == "payments" and "paypal" in settings.PAYMENT_PROVIDERS:
            # A form that is answered with a redirect to PayPal is blocked unless the page's policy names it.
            own = getattr(response, "_csp_update", None) or {}
            response._csp_update = {**own, "form-action": [settings.PAYPAL_WEB_HOST]}  # type: ignore[attr-defined]
        return response
