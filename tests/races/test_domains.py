"""A domain's renewal with two at once: boxes opened on it, two tabs, two workers; each race with its control (R17)."""

from contextlib import contextmanager
from unittest import mock

import pytest
from django.db import connection

from mailboxes import domains
from mailboxes.models import Address, Domain, Mailbox
from payments import bank
from renewals import giving
from renewals.models import Order, OrderLine
from tests.domains import domain_of, on_domain, place_domain, price_of
from tests.helpers import pay_transfer
from tests.races.test_races import at_once, meeting_after, no_locks, without_constraint

pytestmark = [
    pytest.mark.race,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="races need PostgreSQL's row locks"),
]


@pytest.fixture
def domain(alice, make_box):
    found = domain_of(alice)
    on_domain(make_box, found, "info")
    return found


@contextmanager
def no_domain_locks():
    """The control: every row lock off, those of opening a box too."""
    with no_locks(), mock.patch("django.db.models.QuerySet.select_for_update", lambda self, **options: self):
        yield


def looked() -> None:
    """Between looking and writing: where the two stories are made to meet."""


# --- Given while a box is opened on it: the box never keeps the old dates --------------------------------------------


@pytest.fixture
def paid(domain, alice, dario, monkeypatch):
    order = place_domain(domain, alice)
    with monkeypatch.context() as patch:
        patch.setattr(bank, "after_paid", lambda order_id: None)
        pay_transfer(order, dario)
    return order


@contextmanager
def meeting_at_the_boxes():
    """They meet where the renewal has read the boxes, and where the new box has read the domain's dates."""
    held, made = domains.lock_boxes, Address.objects.get_or_create
    with (
        meeting_after("tests.races.test_domains.looked"),
        mock.patch("mailboxes.domains.lock_boxes", lambda d: (held(d), looked())[0]),
        mock.patch.object(Address.objects, "get_or_create", lambda **facts: (made(**facts), looked())[0]),
    ):
        yield


def give_while_opening(order: Order, domain: Domain, make_box) -> list[object]:
    with meeting_at_the_boxes():
        return at_once(lambda: giving.fulfil(order.pk), lambda: on_domain(make_box, domain, "nuova"))


def test_a_box_opened_meanwhile_has_the_domains_dates(paid, domain, make_box):
    results = give_while_opening(paid, domain, make_box)
    assert not any(isinstance(r, Exception) for r in results), results
    renewed = Domain.objects.get()
    assert renewed.expires_on > domain.expires_on
    assert (
        list(Mailbox.objects.values_list("expires_on", "delete_from"))
        == [(renewed.expires_on, renewed.delete_from)] * 2
    )


def test_control_without_the_locks_the_new_box_keeps_the_old_dates(paid, domain, make_box):
    with no_domain_locks():
        give_while_opening(paid, domain, make_box)
    assert Mailbox.objects.get(address__name__startswith="nuova").expires_on == domain.expires_on
    assert Domain.objects.get().expires_on > domain.expires_on


# --- Ordered while a box is opened on it: the box has a line, or comes after ------------------------------------------


def order_while_opening(domain: Domain, alice, make_box) -> list[object]:
    shown = price_of(domain).totals.total
    with meeting_at_the_boxes():
        return at_once(
            lambda: place_domain(domain, alice, shown_total=shown), lambda: on_domain(make_box, domain, "nuova")
        )


def test_what_is_charged_is_what_was_shown_whoever_comes_first(domain, alice, make_box):
    shown = price_of(domain).totals.total
    results = order_while_opening(domain, alice, make_box)
    opened = Mailbox.objects.filter(address__name__startswith="nuova").count()
    assert opened == 1, results
    orders = list(Order.objects.all())
    if orders:  # the order was first: the box came after it, without a line
        assert [o.total for o in orders] == [shown]
        assert OrderLine.objects.count() == 2
    else:  # the box was first: the total on the page was no longer true
        assert [type(r).__name__ for r in results if isinstance(r, Exception)] == ["PriceChangedError"]


# --- Two tabs, and two workers ----------------------------------------------------------------------------------------


def confirm_twice(domain: Domain, alice) -> list[object]:
    shown = price_of(domain).totals.total
    with meeting_after("renewals.domains.open_order"):
        return at_once(*[lambda: place_domain(domain, alice, shown_total=shown)] * 2)


def test_two_confirmations_make_one_order(domain, alice):
    results = confirm_twice(domain, alice)
    assert (Order.objects.count(), OrderLine.objects.count()) == (1, 2)
    refused = [r for r in results if isinstance(r, Exception)]
    assert [type(r).__name__ for r in refused] == ["AlreadyOrderedError"]
    assert refused[0].order == Order.objects.get()


def test_two_confirmations_without_the_lock_are_stopped_by_the_constraint(domain, alice):
    with no_domain_locks():
        results = confirm_twice(domain, alice)
    assert Order.objects.count() == 1
    assert [type(r).__name__ for r in results if isinstance(r, Exception)] == ["AlreadyOrderedError"]


def test_control_without_lock_and_constraints_there_are_two(domain, alice):
    with (
        without_constraint(OrderLine, "line_one_open_per_domain"),
        without_constraint(OrderLine, "line_one_open_per_box"),
        no_domain_locks(),
    ):
        confirm_twice(domain, alice)
        assert Order.objects.count() == 2


def give_twice(order: Order) -> list[object]:
    with meeting_after("renewals.domains.give"):
        return at_once(*[lambda: giving.fulfil(order.pk)] * 2)


def test_two_workers_give_once(paid, domain):
    assert sorted(give_twice(paid)) == [False, True]
    assert Domain.objects.get().expires_on.year == domain.expires_on.year + 1
    assert domain.periods.count() == 2


def test_control_without_the_lock_both_try_and_only_the_period_stops_the_second(paid, domain):
    with no_domain_locks():
        results = give_twice(paid)
    assert sorted(type(r).__name__ for r in results) == ["IntegrityError", "bool"], results
    assert domain.periods.count() == 2
