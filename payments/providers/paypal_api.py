"""The calls to PayPal: paypalrestsdk's Api with what it lacks (DESIGN §7), and PayPal's refusals as one exception.

Its own `request` sends our headers to the token call, returns a 400 as if it were an answer and, on a lasting 401,
calls itself for ever; its `http_call` waits without end and logs bodies. Both are ours here.
"""

import json
import threading
import time
from typing import Any
from urllib.parse import urljoin

import paypalrestsdk
import requests
from django.conf import settings
from paypalrestsdk import exceptions

from .base import ProviderTimeoutError

TIMEOUT = (5, 15)  # seconds to connect, and to wait for an answer
MOST_BYTES = 1024 * 1024  # answers are a few kilobytes
EARLY = 60  # seconds before its end at which a token is not used any more
_tokens: dict[tuple[str, str], tuple[dict[str, Any], float]] = {}
_lock = threading.Lock()


class PayPalRefusalError(Exception):
    """PayPal said no (4xx), for good: nothing was done. `issue` is its word for why."""

    def __init__(self, status: int, issue: str) -> None:
        super().__init__(f"{status} {issue}")
        self.status, self.issue = status, issue


class Api(paypalrestsdk.Api):
    """One object a call; tokens are shared by the threads of a process."""

    def http_call(self, url: str, method: str, **kwargs: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False  # no proxies, no .netrc
            response = session.request(method, url, timeout=TIMEOUT, allow_redirects=False, stream=True, **kwargs)
            body = response.raw.read(MOST_BYTES + 1, decode_content=True)
        if len(body) > MOST_BYTES:
            raise ValueError("the answer is too large")
        return self.handle_response(response, body.decode())

    def request(self, url: str, method: str, body: Any = None, headers: Any = None, refresh_token: Any = None) -> Any:
        for last in (False, True):
            token = self._token()
            sent = {
                "Authorization": f"Bearer {token['access_token']}", "Content-Type": "application/json",
                "Accept": "application/json", "User-Agent": self.user_agent, **(headers or {}),
            }  # fmt: skip
            try:
                return self.http_call(url, method, data=None if body is None else json.dumps(body), headers=sent)
            except exceptions.UnauthorizedAccess:
                self._drop(token)
                if last:
                    raise
        raise AssertionError("unreachable")

    def _token(self) -> dict[str, Any]:
        key = (self.endpoint, self.client_id)
        with _lock:
            token, until = _tokens.get(key, ({}, 0.0))
        if token and time.monotonic() < until:
            return token
        asked = time.monotonic()
        token = self.get_token_hash()
        with _lock:
            _tokens[key] = (token, asked + float(token.get("expires_in", 0)) - EARLY)
        return token

    def _drop(self, token: dict[str, Any]) -> None:
        self.token_hash = None
        with _lock:
            if _tokens.get((self.endpoint, self.client_id), ({}, 0.0))[0] is token:
                del _tokens[(self.endpoint, self.client_id)]


def call(method: str, path: str, *, body: dict[str, Any] | None = None, request_id: str = "") -> dict[str, Any]:
    """PayPal's answer to one call; sent twice with the same `request_id` it is done once (for six hours).

    Raises PayPalRefusalError when PayPal says no, ProviderTimeoutError where it cannot be known what happened: no
    answer, a broken one, 5xx, too many calls, the same call still under way, or keys of ours that PayPal refuses.
    """
    headers = {"Prefer": "return=representation"}
    if request_id:
        headers["PayPal-Request-Id"] = request_id
    try:
        api = Api(
            mode="live", endpoint=settings.PAYPAL_API_BASE,
            client_id=settings.PAYPAL_CLIENT_ID, client_secret=settings.PAYPAL_SECRET,
        )  # fmt: skip
        answer = api.request(urljoin(settings.PAYPAL_API_BASE + "/", path.lstrip("/")), method, body, headers)
    except (exceptions.UnauthorizedAccess, exceptions.ForbiddenAccess, exceptions.ResourceConflict) as error:
        raise ProviderTimeoutError(f"PayPal: {error.response.status_code}") from error
    except exceptions.ClientError as error:
        status = error.response.status_code
        if status in (408, 429):
            raise ProviderTimeoutError(f"PayPal: {status}") from error
        raise PayPalRefusalError(status, _issue(error.content)) from error
    except exceptions.ConnectionError as error:  # 5xx, redirections: the package's own class, not requests'
        raise ProviderTimeoutError(f"PayPal: {error.response.status_code}") from error
    except (requests.RequestException, OSError) as error:
        raise ProviderTimeoutError(f"PayPal: {type(error).__name__}") from error
    except Exception as error:  # urllib3 while the body is read, an answer that is not JSON, a token without its fields
        raise ProviderTimeoutError(f"PayPal: {type(error).__name__}") from error
    if not isinstance(answer, dict):
        raise ProviderTimeoutError("PayPal: not an object")
    return answer


def _issue(content: str | None) -> str:
    try:
        told = json.loads(content or "{}")
        details = told.get("details") or [{}]
        return str(details[0].get("issue") or told.get("name") or "")[:80]
    except (ValueError, AttributeError, TypeError, LookupError):
        return ""
