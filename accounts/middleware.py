"""The idle limit of a sign-in (R5)."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect

from accounts import drafts
from pecportal import clock

WRITE_EVERY = 60  # seconds: a page with many requests writes the session row once, not each time


class IdleMiddleware:
    """Ends a sign-in that saw no request for IDLE_MINUTES, and loses nothing that was typed (see accounts.drafts).

    It works in `process_view`, after CsrfViewMiddleware's, so that only a POST of our own forms is ever saved. Pages
    marked `login_not_required` (sign-in, recovery, quick payment) go on for the visitor, who is nobody by then; on all
    others a late POST goes to the sign-in page, and a late GET meets the view's own `login_required`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code == 405 and (back := drafts.take_back(request)):
            return HttpResponseRedirect(back)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        session = request.session
        if SESSION_KEY not in session:
            return self._after_the_end(request, view)
        now = int(clock.now().timestamp())
        seen = session.get(drafts.SEEN)
        if seen is None or now - seen <= settings.IDLE_MINUTES * 60:
            if seen is None or now - seen >= WRITE_EVERY:
                session[drafts.SEEN] = now
            return None
        user_id = drafts.end_sign_in(request)
        if getattr(view, "login_required", True) is False:
            return None
        if request.headers.get("HX-Request"):
            return HttpResponseClientRedirect(redirect_to_login(_path_of(request, "HX-Current-URL")).url)
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return None
        if request.content_type == "application/json":
            return HttpResponse(status=401)  # a script asked: it must not take the sign-in page for an answer
        return self._keep(request, view, user_id)

    def _after_the_end(self, request: HttpRequest, view: Callable[..., Any]) -> HttpResponseBase | None:
        """Another tab, or the live summary, met the limit first: a POST that comes after is kept like its own."""
        owner = request.session.get(drafts.OWNER)
        late = request.method == "POST" and owner and drafts.ENDED in request.session
        if not late or getattr(view, "login_required", True) is False:
            return None
        return self._keep(request, view, str(owner))

    def _keep(self, request: HttpRequest, view: Callable[..., Any], user_id: str) -> HttpResponseBase:
        if not getattr(view, "csrf_exempt", False):
            drafts.save(request, user_id, _path_of(request, "Referer"))
        return redirect_to_login(request.get_full_path())


def _path_of(request: HttpRequest, header: str) -> str:
    """The path of one of our own pages that a header names, else the area's home."""
    url = request.headers.get(header, "")
    if not url_has_allowed_host_and_scheme(url, allowed_hosts={request.get_host()}):
        return resolve_url(settings.LOGIN_REDIRECT_URL)
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
