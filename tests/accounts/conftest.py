"""Helpers for the tests of accounts; the people are those of tests/conftest.py."""

import uuid
from collections.abc import Callable

import pytest
from django.test import Client
from post_office.models import Email
from stdnum.it import codicefiscale

PASSWORD = "Prova-pec-2026"


@pytest.fixture(autouse=True)
def own_cache(settings):
    """Limits count in the cache, and a neighbour of pytest-xdist may clear a shared one at any moment."""
    locmem = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": locmem, "LOCATION": uuid.uuid4().hex}}


@pytest.fixture
def personal_code() -> Callable[[str], str]:
    """The personal code that begins with these 15 characters."""
    return lambda first15: first15 + codicefiscale.calc_check_digit(first15)


@pytest.fixture
def sent(db) -> Callable[[], list[tuple[str, str]]]:
    """What was mailed since: (address, subject) of each, oldest first."""
    return lambda: [(mail.to[0], mail.subject) for mail in Email.objects.order_by("pk")]


@pytest.fixture
def last_mail(db) -> Callable[[], Email]:
    return lambda: Email.objects.latest("pk")


@pytest.fixture
def sign_in(client) -> Callable[..., object]:
    """sign_in("name", "password", next="/…") through the page, as a visitor does."""

    def post(login: str, password: str = PASSWORD, *, using: Client | None = None, **fields: str) -> object:
        return (using or client).post("/accesso/", {"login": login, "password": password, **fields})

    return post
