"""A purchase from its money to the first day of the box: once, whoever asks the mail system and however often (R30)."""

import logging
from datetime import date, timedelta
from decimal import Decimal as D
from unittest import mock

import pytest
import time_machine
from django.test import Client
from post_office.models import Email

from lifecycle.flows import run_day
from mailboxes import telling
from mailboxes.models import BoxEvent, Mailbox, PaidPeriod
from mailboxes.platform.local import LocalPlatform
from mailboxes.rules import State
from payments import commitments, flows, giving_back, reconciliation, recording, refunds, sync, withdrawal
from payments.models import Allocation, AutoRenewal, Case, Difference, Payment, StoredMethod
from payments.providers import sandbox
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import activation, giving
from renewals.models import Order
from tests.buying import activate, buy, deleted, new_life
from tests.conftest import CODES, PASSWORD
from tests.helpers import pay_card, pay_transfer, start_card
from tests.mailboxes.test_recovery import CHOOSE, CODE, NEW, ask, code
from tests.payments.money import money_adds_up

pytestmark = pytest.mark.django_db(transaction=True)
NAME = "persa@pec.example"


@pytest.fixture
def gone(make_box, alice):
    return deleted(make_box(alice, "persa", plan="pro", expires_in=-150))


@pytest.fixture
def paid(gone, alice):
    """Alice's purchase for two years, paid with the sandbox card; its box is In attivazione."""
    order = buy(gone, alice, years=2)
    pay_card(order, alice)
    order.refresh_from_db()
    return order


@pytest.fixture
def away(monkeypatch):
    """away(error or False) → the mail system answers so from now on; away(None) → it is itself again."""
    real = LocalPlatform.open

    def answer(what):
        def opened(self, address, **gb):
            if isinstance(what, Exception):
                raise what
            return what

        monkeypatch.setattr(LocalPlatform, "open", real if what is None else opened)

    return answer


# --- The road ---------------------------------------------------------------------------------------------------------


def test_paid_it_is_in_activation_and_nothing_is_promised(paid, gone, today):
    box = new_life(gone)
    assert (paid.status, [line.status for line in paid.lines.all()]) == ("paid", ["waiting"])
    assert (box.phase, box.expires_on, box.delete_from, box.anchor_day, box.login) == ("activating", *[None] * 4)
    assert (box.owner, box.holder, box.plan.code, box.mailbox_gb, box.archive_gb) == (
        gone.owner, gone.holder, "pro", 2, 3,
    )  # fmt: skip
    assert box.public_id != gone.public_id
    assert (box.state(today), box.auto_renews, box.kind) == (State.ACTIVATING, False, "standalone")
    assert (PaidPeriod.objects.filter(box=box).count(), AutoRenewal.objects.count()) == (0, 0)
    assert not Email.objects.filter(subject__contains="è attiva").exists()


def test_confirmed_it_lives_from_that_day(paid, gone, alice, platform, today):
    assert activate() == 1
    telling.tell_platform()
    box, line = new_life(gone), paid.lines.get()
    paid.refresh_from_db()
    until = date(today.year + 2, today.month, today.day if (today.month, today.day) != (2, 29) else 28)
    assert (paid.status, line.status, line.is_open) == ("fulfilled", "fulfilled", False)
    assert paid.fulfilled_at is not None
    assert (box.phase, box.expires_on, box.delete_from) == ("live", until, until + timedelta(days=91))
    assert (box.anchor_month, box.anchor_day, box.platform_due_at) == (today.month, today.day, None)
    period = PaidPeriod.objects.get(box=box)
    assert (period.starts, period.ends, period.source, period.plan.code) == (today, until, line.public_id, "pro")
    assert (period.mailbox_gb, period.archive_gb, line.period) == (2, 3, period)
    assert [(e.kind, e.day) for e in BoxEvent.objects.filter(box=box)] == [("opened", today)]
    assert platform.state_of(NAME) == {"address": NAME, "state": "attiva", "mailbox_gb": 2, "archive_gb": 3}
    gone.refresh_from_db()
    assert (gone.phase, gone.login) == ("deleted", None)
    money_adds_up()


def test_the_day_of_the_activation_counts_not_that_of_the_order(gone, alice, dario, today):
    order = buy(gone, alice, years=1)
    with time_machine.travel(clock.now() + timedelta(days=10), tick=False):
        pay_transfer(order, dario)
        with time_machine.travel(clock.now() + timedelta(days=2), tick=False):
            activate()
            day = clock.today()
    assert day == today + timedelta(days=12)
    assert PaidPeriod.objects.get(box=new_life(gone)).starts == day


def test_the_mail_says_how_to_enter_and_the_old_password_opens_nothing(paid, gone):
    activate()
    box = new_life(gone)
    told = Email.objects.filter(subject__contains="è attiva fino")
    assert sorted(m.to[0] for m in told) == [
        "alice.contatto@posta.example",
        "alice@posta.example",
        "ordine@posta.example",
    ]
    for mail in told:
        assert "Non ricordo la password" in mail.message and "Non ricordo la password" in mail.html_message
        assert str(box.expires_on.year) in mail.message
        assert "RSSLCA" not in mail.message
    assert box.login.username == NAME
    assert not box.login.has_usable_password()
    client = Client()
    client.post("/accesso/", {"login": NAME, "password": PASSWORD, "con": "casella"})
    assert "_auth_user_id" not in client.session
    # As the mail says: the recovery of the password, with the holder's code and contact address.
    ask(client, NAME, CODES["alice"])
    client.post(CODE, {"code": code()})
    client.post(CHOOSE, {"password1": NEW, "password2": NEW}, follow=True)
    client.post("/accesso/", {"login": NAME, "password": NEW, "con": "casella"})
    assert client.session["_auth_user_id"] == str(box.login_id)
    assert client.get(f"/area-clienti/pec/{box.public_id}/").status_code == 200
    assert client.get(f"/area-clienti/pec/{gone.public_id}/").status_code == 404
    assert client.get(f"/area-clienti/ordini/{paid.number}/").status_code == 404  # the account's (R1)


# --- Asked again, refused, twice, killed ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [False, OSError("persa@pec.example: connection refused"), ValueError("?")])
def test_a_platform_that_does_not_confirm_is_asked_again(paid, gone, away, caplog, what):
    away(what)
    with time_machine.travel(clock.now(), tick=False) as watch:
        for _minute in range(3):
            assert activate() == 0
            watch.shift(timedelta(minutes=1))
        box = new_life(gone)
        assert (box.phase, Order.objects.get().status) == ("activating", "paid")
        assert "wait to be activated" not in caplog.text
        watch.shift(timedelta(hours=1))
        with caplog.at_level(logging.ERROR):
            activate()
        assert "1 boxes wait to be activated by the mail system" in caplog.text
        assert NAME not in caplog.text  # R33
        away(None)
        watch.shift(timedelta(minutes=1))
        assert activate() == 1
    assert new_life(gone).phase == "live"


def test_one_box_that_cannot_be_opened_keeps_none_waiting(paid, gone, make_box, alice, monkeypatch):
    other = deleted(make_box(alice, "altra", expires_in=-150))
    pay_card(buy(other, alice), alice)
    real = LocalPlatform.open
    monkeypatch.setattr(
        LocalPlatform, "open", lambda self, address, **gb: address != NAME and real(self, address, **gb)
    )
    assert activate() == 1
    assert (new_life(gone).phase, new_life(other).phase) == ("activating", "live")


def test_it_stops_when_its_time_is_over(paid, gone):
    assert activation.activate_due(on_active=lambda order, box: None, seconds=0) == 0
    assert new_life(gone).phase == "activating"


def test_confirming_twice_gives_once(paid, gone):
    line, box = paid.lines.get(), new_life(gone)
    both = [
        activation.begin_life(order_id=paid.pk, line_id=line.pk, box_id=box.pk, on_active=lambda order, box: None)
        for _again in range(2)
    ]
    assert both == [True, False]
    assert (activate(), PaidPeriod.objects.filter(box=box).count()) == (0, 1)
    assert Email.objects.filter(subject__contains="è attiva").count() == 3


class Killed(BaseException):
    """Not an Exception: nobody catches it, as nobody catches a kill."""


KILLS = [
    "renewals.settle.mark_paid", "payments.recording.after_paid", "renewals.purchase.prepare",
    "mailboxes.activation.prepare", "payments.recording.nudge_activation", "mailboxes.telling.claim_due",
    "mailboxes.platform.local.LocalPlatform.open", "mailboxes.activation.begin_life", "mailboxes.flows.mailbox_login",
    "renewals.giving.complete", "payments.auto_renewal.after_activation", "payments.auto_renewal._switch_on",
    "renewals.giving.nudge_platform",
]  # fmt: skip


@pytest.mark.parametrize("point", KILLS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at(gone, alice, platform, point, after):
    """From the money to the first day: nothing paid is lost, nothing is doubled, beat finishes the work."""
    module, _, name = point.rpartition(".")
    owner = LocalPlatform if module.endswith("LocalPlatform") else __import__(module, fromlist=[name])
    real = getattr(owner, name)

    def kill(*args, **kwargs):
        if after:
            real(*args, **kwargs)
        raise Killed

    where = [point]
    if point == "mailboxes.flows.mailbox_login":
        where = ["mailboxes.activation.mailbox_login"]
    order = buy(gone, alice)
    with time_machine.travel(clock.now(), tick=False) as watch:
        attempt = start_card(order, alice)
        sandbox.write(attempt.remote_id, status=sandbox.PAID)
        with mock.patch(where[0], kill), pytest.raises(Killed):
            flows.fetch_and_record(attempt.pk)
            activate()
            raise AssertionError("the point was not met")
        for _turn in range(4):
            watch.shift(timedelta(minutes=6))
            sync.sync_due()
            sync.fulfil_due()
            activate()
            run_day()
            telling.tell_platform()
    order.refresh_from_db()
    box = new_life(gone)
    assert (Payment.objects.get().status, order.status, box.phase) == ("registered", "fulfilled", "live")
    assert [a.amount for a in Allocation.objects.all()] == [order.amount_due]
    assert (box.periods.count(), Mailbox.objects.filter(address=gone.address).count()) == (1, 2)
    assert AutoRenewal.objects.filter(ended_at=None, box=box).count() == 1
    assert Email.objects.filter(subject__contains="è attiva").count() == 3
    assert (Case.objects.count(), platform.state_of(NAME)["state"]) == (0, "attiva")
    money_adds_up()


# --- What sweeps and the night see ------------------------------------------------------------------------------------


def test_the_sweep_leaves_what_is_in_activation_alone(paid, gone, away):
    away(False)
    assert sync.fulfil_due() == 0
    Mailbox.objects.exclude(pk=gone.pk).delete()  # as after a kill before the box was made
    assert sync.fulfil_due() == 1
    assert new_life(gone).phase == "activating"
    recording.after_paid(paid.pk)
    assert Mailbox.objects.filter(address=gone.address).count() == 2


def test_the_night_finds_nothing_within_a_day_and_something_after_it(paid, gone, away):
    away(False)
    with time_machine.travel(clock.now(), tick=False) as watch:
        watch.shift(timedelta(hours=23))
        reconciliation.run()
        assert Difference.objects.count() == 0
        watch.shift(timedelta(hours=2))
        reconciliation.run(day=clock.today() + timedelta(days=1))
        assert [d.object_id for d in Difference.objects.all()] == [paid.lines.get().pk]
        away(None)
        activate()
        reconciliation.run(day=clock.today() + timedelta(days=2))
    assert Difference.objects.filter(closed_on=None).count() == 0


def test_the_night_finds_a_purchase_that_was_fulfilled_without_a_period(paid, gone):
    activate()
    paid.lines.update(period=None)
    reconciliation.run()
    assert [d.about for d in Difference.objects.filter(object_id=paid.lines.get().pk)] == ["no_period"]


# --- Money that cannot be given ---------------------------------------------------------------------------------------


def test_money_for_an_address_that_lives_meanwhile_waits_for_a_decision(gone, alice, dario, plans, today):
    from mailboxes.flows import open_box

    order = buy(gone, alice)
    open_box(address=NAME, owner=alice, holder=gone.holder, plan=plans.pro, expires_on=today + timedelta(days=9))
    pay_transfer(order, dario)
    order.refresh_from_db()
    assert (order.status, order.lines.get().status) == ("attention", "attention")
    case = Case.objects.get()
    assert (case.kind, case.order, case.detail) == ("line", order, "l'indirizzo ha già una casella")
    assert (activate(), Mailbox.objects.filter(phase="activating").count()) == (0, 0)
    giving_back.refund_line(line_id=order.lines.get().pk, actor=dario, why="ha già la casella")
    order.refresh_from_db()
    assert order.status == "refunded"
    money_adds_up()


def test_a_holder_that_is_another_by_now_is_not_given_the_address(gone, alice, dario):
    order = buy(gone, alice)
    gone.holder.codice_fiscale = "BNCBRN75H12F205E"
    gone.holder.save()
    pay_transfer(order, dario)
    order.refresh_from_db()
    assert (order.status, Mailbox.objects.filter(phase="activating").count()) == ("attention", 0)


def test_a_commitment_does_not_buy(gone, alice, dario, today):
    alice.billing.subject = "public_body"
    alice.billing.save()
    order = buy(gone, alice)
    with pytest.raises(RefusedError, match="Un acquisto si attiva solo quando il pagamento è registrato"):
        commitments.register(
            order_id=order.pk, reference="DET 1", on=today, cig="", cup="", split_payment=False, actor=dario
        )
    order.refresh_from_db()
    assert order.status == "awaiting_payment"


def test_annulla_frees_the_address(gone, alice):
    order = buy(gone, alice)
    flows.cancel_order(order_id=order.pk, actor=alice)
    assert Order.objects.get().status == "cancelled"
    assert buy(gone, alice).status == "awaiting_payment"


# --- Automatic renewal (R23) ------------------------------------------------------------------------------------------


def test_automatic_renewal_begins_with_the_box(paid, gone, alice):
    assert StoredMethod.objects.get().login == alice  # kept when the payment was registered
    assert AutoRenewal.objects.count() == 0
    activate()
    box, consent = new_life(gone), AutoRenewal.objects.get()
    assert (consent.box, consent.years, consent.amount, consent.order) == (box, 2, paid.total, paid)
    assert (consent.agreed_by, consent.consent_text_version) == (alice, Payment.objects.get().consent_text_version)
    assert box.auto_renews
    charge = box.expires_on - timedelta(days=7)
    mail = Email.objects.filter(subject__contains="rinnovo automatico attivo").first()
    assert str(charge.day) in mail.message and str(charge.year) in mail.message


def test_not_when_it_was_not_agreed_to_or_the_card_was_removed(gone, alice, make_box):
    pay_card(buy(gone, alice), alice, agreed=False)
    other = deleted(make_box(alice, "altra", expires_in=-150))
    pay_card(buy(other, alice), alice)
    StoredMethod.objects.update(removed_at=clock.now())
    assert activate() == 2
    assert (AutoRenewal.objects.count(), new_life(gone).auto_renews, new_life(other).auto_renews) == (0, False, False)


def test_a_method_that_is_kept_later_switches_it_on_all_the_same(gone, alice):
    """PayPal keeps the account after the money; by then the box may live already."""
    from payments.providers.base import Outcome, Result, SavedMethod

    order = buy(gone, alice)
    payment = start_card(order, alice)
    recording.record_outcome(payment.pk, Outcome(Result.REGISTERED))
    activate()
    assert AutoRenewal.objects.count() == 0
    saved = SavedMethod("vault-1", "PayPal", None, None)
    recording.record_outcome(payment.pk, Outcome(Result.REGISTERED, saved=saved))
    assert (AutoRenewal.objects.get().box, new_life(gone).auto_renews) == (new_life(gone), True)


def test_what_goes_wrong_with_it_never_undoes_the_life(paid, gone):
    with mock.patch("payments.auto_renewal._tell", side_effect=ValueError("a template")):
        assert activate() == 1
    assert (new_life(gone).phase, new_life(gone).auto_renews, AutoRenewal.objects.count()) == ("live", False, 0)


# --- Withdrawal (R26b) ------------------------------------------------------------------------------------------------


def leave(order, user):
    offer = withdrawal.offer(Order.objects.get(pk=order.pk), today=clock.today())
    return withdrawal.withdraw(
        order_id=order.pk, user=user, name="Alice Rossi", email="mario@posta.example", iban="", shown=offer.amount
    )


def test_before_the_activation_everything_goes_back_and_the_box_goes_away(paid, gone, alice, platform, away):
    away(False)
    activate()
    done = leave(paid, alice)
    refunds.send_due()
    paid.refresh_from_db()
    assert (done.amount, done.kept, paid.status) == (paid.total, D("0.00"), "refunded")
    with pytest.raises(RefusedError):  # not until it is gone from the mail system too
        buy(gone, alice)
    away(None)
    with time_machine.travel(clock.now() + timedelta(minutes=1), tick=False):
        assert activate() == 1
    assert [box.pk for box in Mailbox.objects.filter(address=gone.address)] == [gone.pk]
    assert (platform.state_of(NAME), AutoRenewal.objects.count()) == (None, 0)
    receipt = Email.objects.filter(subject__contains="recesso").first()
    assert "La casella non viene attivata" in receipt.message and "None" not in receipt.message
    money_adds_up()
    assert buy(gone, alice).status == "awaiting_payment"


def test_while_the_platform_is_asked(paid, gone, alice, platform, monkeypatch):
    """It confirms a box whose order was withdrawn from meanwhile: no life begins, and it is purged."""
    real = LocalPlatform.open

    def opened(self, address, **gb):
        leave(paid, alice)
        return real(self, address, **gb)

    monkeypatch.setattr(LocalPlatform, "open", opened)
    assert activate() == 0
    assert (new_life(gone).phase, platform.state_of(NAME)["state"]) == ("activating", "in_attivazione")
    with time_machine.travel(clock.now() + timedelta(minutes=1), tick=False):
        assert activate() == 1
    assert (Mailbox.objects.filter(address=gone.address).count(), platform.state_of(NAME)) == (1, None)


def test_a_purge_that_is_not_confirmed_keeps_the_address_taken(paid, gone, alice, monkeypatch):
    leave(paid, alice)
    monkeypatch.setattr(LocalPlatform, "purge", lambda self, address: False)
    assert activate() == 0
    with pytest.raises(RefusedError, match="già stato acquistato"):
        buy(gone, alice)


@pytest.mark.parametrize(("immediate", "days"), [(True, 3), (False, 0)])
def test_after_the_activation_the_life_ends_on_that_day(gone, alice, immediate, days, today):
    order = buy(gone, alice, immediate_start=immediate)
    pay_card(order, alice)
    activate()
    box = new_life(gone)
    whole = (box.expires_on - today).days + 1
    with time_machine.travel(clock.now() + timedelta(days=2), tick=False):
        done = leave(order, alice)
        box, day = new_life(gone), clock.today()
        assert withdrawal.told(Order.objects.get(pk=order.pk)) is not None
    order.refresh_from_db()
    assert (done.kept, done.amount + done.kept) == ((order.total * days / whole).quantize(D("0.01")), order.total)
    assert (order.status, order.lines.get().status) == ("reversed", "reversed")
    assert (box.phase, box.expires_on, box.delete_from) == ("live", day, day + timedelta(days=91))
    assert (box.auto_renews, AutoRenewal.objects.get().ended_why) == (False, "customer")
    money_adds_up()


def test_a_purchase_that_was_renewed_since_is_left_after_the_renewal(paid, gone, alice):
    from tests.helpers import place

    activate()
    AutoRenewal.objects.update(ended_at=clock.now())
    Mailbox.objects.update(auto_renews=False)
    later = place(Mailbox.objects.select_related("address", "plan").get(pk=new_life(gone).pk), alice)
    pay_card(later, alice, agreed=False)
    why = withdrawal.refusal(Order.objects.get(pk=paid.pk), user=alice, today=clock.today())
    assert why == f"Dopo questo ordine la casella è stata rinnovata ancora: recedi prima dall'ordine {later}."


def test_staff_give_up_a_purchase_that_is_never_confirmed(paid, gone, dario, away, platform):
    away(False)
    activate()
    assert [line.pk for line in giving_back.lines_to_give_up(paid)] == [paid.lines.get().pk]
    giving_back.refund_line(line_id=paid.lines.get().pk, actor=dario, why="il gestore non la attiva")
    refunds.send_due()
    paid.refresh_from_db()
    assert (paid.status, Payment.objects.get().status) == ("refunded", "refunded")
    with pytest.raises(RefusedError):
        giving_back.refund_line(line_id=paid.lines.get().pk, actor=dario, why="due volte")
    with time_machine.travel(clock.now() + timedelta(minutes=1), tick=False):
        assert activate() == 1
    assert Mailbox.objects.filter(address=gone.address).count() == 1
    money_adds_up()


def test_settling_twice_adds_nothing(paid, gone):
    assert giving.fulfil(paid.pk) is False
    assert Mailbox.objects.filter(address=gone.address).count() == 2
    activate()
    assert giving.fulfil(paid.pk) is False
    assert PaidPeriod.objects.filter(box=new_life(gone)).count() == 1
