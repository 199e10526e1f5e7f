"""How these tests look at a page: signed in, and reading what a person reads."""

import html
import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User

BACKENDS = {"account": "accounts.backends.AccountBackend", "mailbox": "mailboxes.backends.MailboxBackend"}
# Under load a second visit may come a minute after the first, and then writes the session (accounts.middleware).
SIGN_IN = re.compile(r'(FROM|UPDATE) "(django_session|accounts_user)"|SAVEPOINT')


def words(page: str) -> str:
    """The text of the page's main part, as it reads: no tags, entities resolved, one space between words."""
    main = page.split("<main", 1)[1].split("</main>", 1)[0]
    text = html.unescape(re.sub(r"<[^>]+>", " ", "<main" + main.replace("<wbr>", "")))
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ([.,:;)])", r"\1", text.replace("( ", "(")).strip()


@pytest.fixture
def signed_in() -> Callable[[User], Client]:
    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user, backend=BACKENDS[user.kind])
        return client

    return sign_in


@pytest.fixture
def see(signed_in) -> Callable[..., str]:
    """see(user, "/area-clienti/pec/") → what that person reads there."""

    def look(user: User, path: str) -> str:
        response = signed_in(user).get(path)
        assert response.status_code == 200, response
        return words(response.content.decode())

    return look


def page_of(box) -> str:
    return f"/area-clienti/pec/{box.public_id}/"


@pytest.fixture
def count() -> Callable[[Client, str], int]:
    """The queries of a page on its second visit, without those that say who is asking (session and login)."""

    def look(client: Client, path: str) -> int:
        assert client.get(path).status_code == 200
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len([q for q in captured.captured_queries if not SIGN_IN.search(q["sql"])])

    return look
