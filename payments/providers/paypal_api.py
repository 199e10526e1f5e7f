"""The low-level client of paypalrestsdk, tamed: the one place that knows this package (DESIGN §7).

As it comes it waits for ever, returns a 400 as if it were an answer, asks for a token without end while it is refused,
sends our headers along with the request for a token, and logs bodies.
"""

import json
import threading
import time
from typing import Any, NoReturn

import paypalrestsdk
import requests
from django.conf import settings
from paypalrestsdk import exceptions

from .base import ProviderTimeoutError

TIMEOUT = (5, 20)  # seconds to connect, to answer
_tokens: dict[tuple[str, str], tuple[str, float]] = {}
_tokens_lock = threading.Lock()


class PayPalRefusedError(Exception):
    """PayPal answered 4xx: `status`, and `issues`, its own codes of what is wrong."""

    def __init__(self, status: int, content: str) -> None:
        super().__init__(f"PayPal answered {status}")
        self.status = status
        try:
            data = json.loads(content)
            self.issues = {str(d.get("issue")) for d in data.get("details", [])} | {str(data.get("name"))}
        except (ValueError, AttributeError):
            self.issues = set()


class Api(paypalrestsdk.Api):
    """One object a call: it holds nothing but settings."""

    def __init__(self) -> None:
        super().__init__(
            mode="live",  # so that it logs no headers and no bodies
            endpoint=settings.PAYPAL_API_BASE,
            client_id=settings.PAYPAL_CLIENT_ID,
            client_secret=settings.PAYPAL_SECRET,
        )

    def call(self, method: str, path: str, body: dict | None = None, *, request_id: str = "") -> dict[str, Any]:
        """The JSON of an answer. Raises PayPalRefusedError on 4xx, ProviderTimeoutError where nobody knows (R19)."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": self.user_agent}
        headers["Prefer"] = "return=representation"
        if request_id:
            headers["PayPal-Request-Id"] = request_id
        for fresh in (False, True):  # a token that was withdrawn is asked for anew, once
            headers["Authorization"] = f"Bearer {self._token(fresh=fresh)}"
            data = None if body is None else json.dumps(body)
            try:
                return dict(self.http_call(self.endpoint + path, method, data=data, headers=headers))
            except exceptions.UnauthorizedAccess as error:
                if fresh:
                    raise ProviderTimeoutError("PayPal does not accept our credentials") from error
        raise AssertionError("unreachable")

    def _token(self, *, fresh: bool) -> str:
        key = (self.endpoint, self.client_id)
        with _tokens_lock:
            token, until = _tokens.get(key, ("", 0.0))
        if token and not fresh and time.monotonic() < until:
            return token
        try:
            answer = self.http_call(
                self.endpoint + "/v1/oauth2/token",
                "POST",
                data="grant_type=client_credentials",
                headers={
                    "Authorization": f"Basic {self.basic_auth()}",
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                    "User-Agent": self.user_agent,
                },
            )
        except (exceptions.UnauthorizedAccess, PayPalRefusedError) as error:
            raise ProviderTimeoutError("PayPal does not accept our credentials") from error
        token = str(answer["access_token"])
        with _tokens_lock:
            _tokens[key] = (token, time.monotonic() + float(answer.get("expires_in", 0)) - 60)
        return token

    def http_call(self, url: str, method: str, **kwargs: Any) -> dict[str, Any]:
        """The package's own, with a timeout, no redirect followed and nothing logged."""
        try:
            response = requests.request(method, url, timeout=TIMEOUT, allow_redirects=False, **kwargs)
            content = response.content.decode("utf-8", "replace")
            return dict(self.handle_response(response, content))
        except requests.RequestException as error:
            raise ProviderTimeoutError("PayPal does not answer") from error
        except exceptions.UnauthorizedAccess:
            raise
        except (exceptions.ClientError, exceptions.Redirection) as error:
            _refuse(error)
        except (exceptions.ServerError, exceptions.ConnectionError, ValueError) as error:
            raise ProviderTimeoutError("PayPal has a trouble of its own") from error


def _refuse(error: Any) -> NoReturn:
    if error.response.status_code in (408, 409, 425, 429):  # still at work on the same request, or too many
        raise ProviderTimeoutError("PayPal asks to wait") from error
    raise PayPalRefusedError(error.response.status_code, error.content or "") from error
