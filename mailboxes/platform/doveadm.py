"""Dovecot's administration over HTTP: many commands in one request, each answered on its own.

https://doc.dovecot.org/2.3/admin_manual/doveadm_http_api/
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import requests
from django.conf import settings

NO_USER, NOT_FOUND = 67, 68  # exit codes: no such box; no such file, or nobody to disconnect
CONNECT, ANSWER = 3, 60  # seconds

Command = tuple[str, dict[str, Any]]


class DoveadmError(OSError):
    """Dovecot is away, or could not do what it was asked. Its words may name an address, so they are not kept (R33)."""


@dataclass(frozen=True)
class Answer:
    """What one command answered: its rows, or the exit code of its failure (0: it succeeded)."""

    rows: list[dict[str, str]]
    code: int = 0

    def or_raise(self, *allowed: int) -> list[dict[str, str]]:
        """The rows; none where it failed with an allowed code. Raises DoveadmError for any other failure."""
        if self.code and self.code not in allowed:
            raise DoveadmError(f"doveadm ended with code {self.code}")
        return self.rows


def ask(commands: Sequence[Command]) -> list[Answer]:
    """The answers to commands, in their order. Raises DoveadmError when not all were answered."""
    if not commands:
        return []
    key = base64.b64encode(settings.DOVEADM_KEY.encode()).decode()
    body: Any = [[name, parameters, str(n)] for n, (name, parameters) in enumerate(commands)]
    try:
        response = requests.post(
            f"{settings.DOVEADM_URL}/doveadm/v1", json=body, timeout=(CONNECT, ANSWER), allow_redirects=False,
            headers={"Authorization": f"X-Dovecot-API {key}"},
        )  # fmt: skip
        found = {tag: _answer(kind, content) for kind, content, tag in response.json()} if response.ok else {}
    except (requests.RequestException, ValueError, TypeError, KeyError) as error:
        raise DoveadmError(f"doveadm did not answer ({type(error).__name__})") from None
    if not response.ok:
        raise DoveadmError(f"doveadm answered {response.status_code}")
    try:
        return [found[str(n)] for n in range(len(commands))]
    except KeyError:
        raise DoveadmError("doveadm did not answer every command") from None


def _answer(kind: str, content: Any) -> Answer:
    if kind == "doveadmResponse":
        return Answer([dict(row) for row in content])
    return Answer([], int(content.get("exitCode") or -1))
