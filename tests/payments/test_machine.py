"""Customers, banks, providers, workers that die, and time do what they like: the books stay true (R9, R15–R26).

A hypothesis state machine on real commits: tests/payments/machine. Every example has rows of its own; the sweeps see
the others' as well. At the end of each example every provider answers, the sweeps run, and nothing may be left in
doubt. MACHINE_STEPS says how many steps in all: 3,000 by default, more in `make soak`.
"""

import os
from collections import Counter
from datetime import timedelta
from unittest import mock

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from payments import auto_renewal, flows
from payments.models import Case, Payment, ProviderEvent, Receipt, Refund, ScheduledCharge
from payments.providers import PROVIDERS
from pecportal import clock
from renewals.models import Order
from tests.payments import invariants
from tests.payments.machine import given
from tests.payments.machine.workers import Workers
from tests.payments.machine.world import DONE, HOLDS_MONEY, WORLD
from tests.payments.peer import CAPTURED, Capturing, Watched

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = int(os.environ.get("MACHINE_STEPS", "3000"))
AN_EXAMPLE = 50
PHASES = [Phase.generate] if os.environ.get("MACHINE_RAW") else [Phase.generate, Phase.shrink]
GIVEN_UP = (Payment.Status.CANCELLED, Payment.Status.FAILED)


class Money(Workers):
    def teardown(self) -> None:
        try:
            if self.sound:
                self.everything_comes_to_an_end()
        finally:
            super().teardown()

    def read(self) -> invariants.Books:
        mine = Receipt.objects.filter(payer=self.payer)
        return self.once("books", lambda: invariants.read(owners=self.owners, receipts=mine))

    @invariant()
    def the_books_are_true(self) -> None:
        if not self.sound:
            return
        DONE["steps"] += 1
        self.sound = False
        books = self.read()
        self.check(books)
        if self.books is not None and self.books is not books:
            invariants.nothing_moved_back(self.books, books)
        self.books = books
        self.sound = True

    def check(self, books: invariants.Books) -> None:
        invariants.money_is_true(books)
        given.check(books, today=clock.today(), grace_days=django_settings.GRACE_DAYS)
        self.the_provider_agrees(books)

    def the_provider_agrees(self, books: invariants.Books) -> None:
        """What we call registered is there, what we gave up is not; nobody paid twice, or was given back more than that
        (R12b, R19, R20)."""
        paid = Counter()
        for attempt in books.payments:
            holds = self.there(attempt) in HOLDS_MONEY
            assert holds or attempt.status not in invariants.TAKEN, f"{attempt} has money that the provider has not"
            if holds and self.remote(attempt) not in self.lies:
                paid[attempt.order_id] += 1
                assert attempt.status not in GIVEN_UP, f"{attempt} {attempt.pk} was paid, and we gave it up"
            if attempt.received is not None:
                back = self.given_back_there(attempt)
                assert back <= attempt.received, f"{attempt}: {back} went back of {attempt.received}"
        assert all(n == 1 for n in paid.values()), f"orders paid twice at the provider: {paid}"

    def everything_comes_to_an_end(self) -> None:
        """Every provider answers again, beat goes on for some days: nothing is in doubt, nothing is missing."""
        for attempt in self.attempts():
            self.answers_again(attempt)
            if self.remote(attempt) in self.lies:  # nobody asks about a closed attempt: its provider has to tell
                flows.fetch_and_record(attempt.pk)
        for days in (0, 0, 0, 1, 1, 2, 0, 0):  # the last day twice more: a charge of that day may have been begun by it
            self.beat(timedelta(days=days, minutes=70))
            for attempt in self.attempts():
                self.answers_again(attempt)
        books = self.read()
        self.check(books)
        invariants.all_is_final(books)
        for attempt in books.payments:
            holds = self.there(attempt) in HOLDS_MONEY
            assert holds == (attempt.status in invariants.TAKEN), (
                f"{attempt}: the provider has it {self.there(attempt)}"
            )
            for refund in books.of("refunds", payment_id=attempt.pk, status=Refund.Status.DONE):
                sent = f"refund_{refund.public_id.hex}" in self.at_provider(attempt)
                assert sent or refund.remote_id.startswith("outside"), f"refund {refund.pk} never got there"
        assert not ProviderEvent.objects.filter(processed_at=None).exists(), "webhooks that nobody worked off"
        for box in self.boxes:  # so that later examples do not go on charging for this one
            auto_renewal.turn_off(box_id=box.pk, user=box.owner)


def test_the_books_stay_true(plans, dario):
    WORLD.plans, WORLD.staff = plans, dario
    DONE.clear()
    CAPTURED.clear()
    with mock.patch.dict(PROVIDERS, {"sandbox": Watched, "capture": Capturing}):
        run_state_machine_as_test(
            Money,
            settings=settings(
                max_examples=max(1, STEPS // AN_EXAMPLE), stateful_step_count=AN_EXAMPLE, deadline=None, database=None,
                suppress_health_check=list(HealthCheck), print_blob=True, report_multiple_bugs=False,
                phases=PHASES, backend="hypothesis-urandom",  # no near copies of one example, as the other one makes
            ),
        )  # fmt: skip
    for what in (Payment.objects.values_list("provider", "status"), Order.objects.values_list("kind", "status")):
        print(Counter(what))
    for model in (Refund, ScheduledCharge):
        print(model.__name__, Counter(model.objects.values_list("status", flat=True)))
    print(Counter(Case.objects.values_list("kind", flat=True)), dict(DONE), f"{len(CAPTURED)} captures")
    assert DONE["steps"] >= STEPS * 0.9
    assert DONE["killed"] > 0
    assert DONE["two at once"] > 0
