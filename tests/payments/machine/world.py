"""The world of the state machine: its people, what is there, how things stand at the provider, and how a story is told.

The other files of this folder add the rules: what customers, banks, providers, staff, workers and time do.
"""

from collections import Counter
from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal as D
from functools import partial
from itertools import count
from types import SimpleNamespace

import time_machine
from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

from accounts.models import BillingProfile, User
from mailboxes import flows as box_flows
from mailboxes.models import Mailbox
from payments import flows
from payments.models import Payment, Receipt, StoredMethod
from payments.providers import sandbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.conftest import ADDRESS, holder_of
from tests.payments.peer import Killed, dies_at, in_turns

NUMBERS = count(1)
WORLD = SimpleNamespace()  # what the fixtures made: plans and staff
DONE: Counter[str] = Counter()
WHICH = st.one_of(st.just(0), st.just(0), st.integers(min_value=0, max_value=30))  # of a list, what matters most first
DEATH = st.one_of(st.none(), st.none(), st.none(), st.integers(min_value=1, max_value=45))  # before which statement
PROVIDER = st.sampled_from(["sandbox", "capture"])
HOLDS_MONEY = (sandbox.PAID, sandbox.REFUNDED)
IBAN = "IT60X0542811101000000123456"


def one(rows, which: int):
    return rows[which % len(rows)]


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.watch = time_machine.travel(clock.now(), tick=False)
        self.time = self.watch.start()
        self.lies: set[str] = set()  # attempts about which the provider said what no provider should
        self.post: list[tuple[bytes, str]] = []  # webhooks on their way
        self.books = None
        self.sound = False
        self.known: dict[object, object] = {}  # what was read since the last row was written
        self.watching = connection.execute_wrapper(self._look_out)
        self.watching.__enter__()

    def teardown(self) -> None:
        self.watching.__exit__(None, None, None)
        self.watch.stop()

    def _look_out(self, execute, sql, *args):
        if not sql.startswith("SELECT"):
            self.known.clear()
        return execute(sql, *args)

    def once(self, what, read):
        """What `read` returns; asked again only after a row was written: most steps of most examples write none."""
        if what not in self.known:
            found = read()
            self.known[what] = found
        return self.known[what]

    @initialize(expiries=st.lists(st.integers(min_value=-89, max_value=400), min_size=3, max_size=3))
    def people(self, expiries) -> None:
        """A consumer with two boxes and a firm with one, each with a saved card."""
        n = next(NUMBERS)
        self.users = [
            User.objects.create_user(f"{n}-{k}@conti.example", email=f"{n}-{k}@posta.example") for k in (0, 1)
        ]
        for k, user in enumerate(self.users):
            BillingProfile.objects.create(user=user, codice_fiscale=f"{n:015}{k}", is_consumer=k == 0, **ADDRESS)
        for k, days in enumerate(expiries):
            owner = self.users[k % 2]
            box_flows.open_box(
                address=f"b{n}-{k}@pec.example", owner=owner, holder=holder_of(owner, "alice"),
                plan=WORLD.plans.pro, expires_on=clock.today() + timedelta(days=days),
            )  # fmt: skip
        self.boxes = [self.box(k) for k in range(3)]
        self.cards = [
            StoredMethod.objects.create(login=user, provider="sandbox", remote_id=f"card_{user.pk}", label="Carta")
            for user in self.users
        ]
        self.owners = [user.pk for user in self.users]
        self.sound = True

    # --- What is there ----------------------------------------------------------------------------------------------

    def box(self, which: int) -> Mailbox:
        found = Mailbox.objects.filter(owner__in=self.users).select_related("address", "plan", "owner", "holder")
        return one(self.once("boxes", lambda: list(found.order_by("pk"))), which)

    def orders(self, **only):
        """Those that await payment first, the newest of them first."""
        found = Order.objects.filter(owner__in=self.users, **only).select_related("owner").order_by("-pk")
        return self.once(
            ("orders", *only.items()), lambda: sorted(found, key=lambda order: not order.is_awaiting_payment)
        )

    def attempts(self, **only):
        """The live ones first, the newest of them first."""
        found = Payment.objects.filter(order__owner__in=self.users, **only).order_by("-pk")
        return self.once(("attempts", *only.items()), lambda: sorted(found, key=lambda attempt: not attempt.is_live))

    def receipts(self):
        return self.once("receipts", lambda: list(Receipt.objects.filter(payer=self.payer).order_by("pk")))

    def methods(self, login: User):
        found = StoredMethod.objects.filter(login=login, removed_at=None).order_by("pk")
        return self.once(("methods", login.pk), lambda: list(found))

    @property
    def payer(self) -> str:
        return self.users[0].username

    # --- At the provider --------------------------------------------------------------------------------------------

    @staticmethod
    def remote(attempt: Payment) -> str:
        return f"sbx_{attempt.public_id.hex}"

    def at_provider(self, attempt: Payment) -> dict[str, str]:
        try:
            return sandbox.read(self.remote(attempt))
        except FileNotFoundError:
            return {}

    def there(self, attempt: Payment) -> str:
        """How an attempt really stands, answered or not; "" when it never got there."""
        found = self.at_provider(attempt)
        status = found.get("status", "")
        return found["really"] if status == sandbox.TIMEOUT else status

    def set_there(self, attempt: Payment, status: str, **more: str) -> None:
        is_away = self.at_provider(attempt)["status"] == sandbox.TIMEOUT
        sandbox.write(self.remote(attempt), **{"really" if is_away else "status": status}, **more)

    def answers_again(self, attempt: Payment) -> bool:
        """The provider was away and is back; False when it was not."""
        found = self.at_provider(attempt)
        if found.get("status") != sandbox.TIMEOUT:
            return False
        sandbox.write(self.remote(attempt), status=found["really"])
        return True

    def customer_pays(self, attempt: Payment) -> None:
        """Only what the provider's page allows: one that is closed there cannot be paid."""
        if self.there(attempt) not in (sandbox.OPEN, sandbox.PENDING):
            return
        if attempt.provider == "capture":
            sandbox.write(self.remote(attempt), agreed="yes")
        else:
            self.set_there(attempt, sandbox.PAID)

    def given_back_there(self, attempt: Payment) -> D:
        found = self.at_provider(attempt)
        return sum((D(value) for key, value in found.items() if key.startswith("refund_")), D(0))

    # --- Telling a story --------------------------------------------------------------------------------------------

    def done(self, *stories, turns=(), dies: int | None = None) -> None:
        """Do it, be refused with a sentence, or die on the way; nothing else may come of it. Two stories take turns."""
        self.sound = False
        with dies_at(dies) if dies else nullcontext():
            if len(stories) == 1:
                self._told(stories[0])
            else:
                in_turns([partial(self._told, story) for story in stories], turns)
        assert not connection.in_atomic_block
        self.sound = True

    @staticmethod
    def _told(story) -> None:
        try:
            story()
        except RefusedError as refusal:
            assert str(refusal).endswith((".", "!", "?")), refusal
            DONE["refused"] += 1
        except Killed:
            DONE["killed"] += 1

    def start_attempt(self, order: Order, provider: str, *, agreed: bool = True) -> None:
        flows.start(
            order_id=order.pk, provider=provider, user=order.owner, auto_renewal_agreed=agreed,
            consent_text_version="1", return_url=lambda p: "/", cancel_url="/",
        )  # fmt: skip
