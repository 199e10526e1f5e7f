"""What the tests of paying share: an order to pay, browsers, and commits that happen."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from django.test import Client

from accounts.models import User
from mailboxes.models import Mailbox
from payments.models import Payment
from renewals.models import Order
from tests.helpers import place, start_card


@pytest.fixture
def order(box: Mailbox, alice: User) -> Order:
    """Alice's renewal of her box for a year, awaiting € 12.08, placed by herself; she chose the transfer."""
    return place(box, alice)


@pytest.fixture
def attempt(order: Order, alice: User) -> Payment:
    """Alice stands on the sandbox's page, automatic renewal agreed to."""
    return start_card(order, alice)


@pytest.fixture
def commits(django_capture_on_commit_callbacks) -> Callable[[], AbstractContextManager[object]]:
    """`with commits(): …` runs what waits for the commit, as if there had been one."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def browser_of() -> Iterator[Callable[[User], Client]]:
    """browser_of(user) → a client signed in as that user."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    yield sign_in
