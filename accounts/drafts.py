"""Nothing typed is lost when the sign-in ends for idleness (R5).

How it works, for who writes a view with a form:

- `accounts.middleware.IdleMiddleware` ends a sign-in that was idle, but keeps the session: the wizard's answers stay.
  A POST that arrives too late is saved here, and the visitor is sent to sign in, with `next` = that path.
- After the same user signs in, the view is asked for that path again, with GET. It calls `take(request)`: a QueryDict
  of what was typed, once, or None. Make a bound form of it, and the visitor sees the form as it was left::

      typed = request.POST if request.method == "POST" else drafts.take(request)
      form = SomeForm(typed, instance=...)
      if request.method == "POST" and form.is_valid(): ...

- When another user signs in on that browser, everything in the session but the sign-in itself is dropped.
- A view for POST alone (a button) needs nothing: the GET that it would answer with 405 leads back to the page that the
  button was on, and the visitor presses it again.
"""

import json
from typing import Any

from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY, clear_authentication_records
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, QueryDict

from pecportal import clock

DRAFT = "idle_draft"
ENDED = "idle_ended"  # the kind of login whose sign-in ended, while its user has not come back
OWNER = "session_owner"  # the user whose answers this session holds
SEEN = "idle_seen"
AUTH_KEYS = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY)
LARGEST = 32 * 1024  # bytes of what was typed
SECRET_WORDS = ("password", "code", "token", "csrf")
# Fields of addresses and invoices, whose names merely contain one of those words.
NOT_SECRET = ("postal_code", "sdi_code")


def is_secret(name: str) -> bool:
    """A field that is never saved: passwords, one-time codes, card tokens."""
    if name.lower().rpartition("-")[2] in NOT_SECRET:
        return False
    return any(word in name.lower() for word in SECRET_WORDS)


def save(request: HttpRequest, user_id: str, came_from: str) -> None:
    """Keep what a late POST carried, unless it is too large; `came_from` is the page its form was on."""
    fields = {name: values for name, values in request.POST.lists() if not is_secret(name)}
    if len(json.dumps(fields).encode()) <= LARGEST:
        request.session[DRAFT] = {"path": request.path, "user": user_id, "fields": fields, "from": came_from}


def take(request: HttpRequest) -> QueryDict | None:
    """What this user had typed at this path when the sign-in ended, once; None on any other request."""
    if request.method != "GET":
        return None
    draft = _take(request)
    if draft is None:
        return None
    typed = QueryDict(mutable=True)
    for name, values in draft["fields"].items():
        typed.setlist(name, values)
    typed._mutable = False
    return typed


def take_back(request: HttpRequest) -> str | None:
    """The page from which a button was pressed too late, where this GET asks for what takes only POST."""
    draft = _take(request) if request.method == "GET" else None
    return draft["from"] if draft else None


def _take(request: HttpRequest) -> dict[str, Any] | None:
    draft = request.session.get(DRAFT)
    if not draft or not request.user.is_authenticated:
        return None
    if draft["user"] != str(request.user.pk) or draft["path"] != request.path:
        return None
    del request.session[DRAFT]
    return draft


def end_sign_in(request: HttpRequest) -> str:
    """End the sign-in and keep the session; returns the id of who was signed in."""
    session = request.session
    user_id = str(session[SESSION_KEY])
    kind = getattr(request.user, "kind", "")
    for key in (*AUTH_KEYS, SEEN):
        session.pop(key, None)
    clear_authentication_records(request)
    session[OWNER] = user_id
    session[ENDED] = kind
    request.user = AnonymousUser()
    return user_id


def on_sign_in(sender: object, request: HttpRequest, user: Any, **kwargs: object) -> None:
    """`user_logged_in`: a session that held somebody else's answers keeps nothing of them."""
    session = request.session
    if session.get(OWNER) not in (None, str(user.pk)):
        mine = {
            *AUTH_KEYS,
            AUTHENTICATION_METHODS_SESSION_KEY,
            "account_authentication_methods_user",
            "_session_expiry",
        }
        for key in [key for key in session.keys() if key not in mine]:  # noqa: SIM118 (a session is not a dict)
            del session[key]
    session.pop(ENDED, None)
    session[OWNER] = str(user.pk)
    session[SEEN] = int(clock.now().timestamp())
