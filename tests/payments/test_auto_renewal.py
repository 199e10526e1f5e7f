"""Rinnovo automatico: on by a payment, on by hand, off with one click (R23, R24, R24b)."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from post_office.models import Email

from mailboxes.flows import open_domain
from mailboxes.models import Mailbox
from payments import auto_renewal, consent
from payments.flows import fetch_and_record
from payments.forms import usable
from payments.models import AutoRenewal, StoredMethod
from payments.providers import sandbox
from payments.providers.base import SavedMethod
from pecportal.errors import RefusedError
from renewals import flows as orders
from renewals import rules
from tests.helpers import pay_card, pay_transfer, place, start_card, years_later

pytestmark = pytest.mark.django_db


@pytest.fixture
def method(alice):
    return StoredMethod.objects.create(login=alice, provider="sandbox", remote_id="card_1", label="Carta •••• 4242")


def on(box):
    return Mailbox.objects.get(pk=box.pk).auto_renews


def turn_on(box, user, method, years=1):
    auto_renewal.turn_on(box_id=box.pk, user=user, method_id=method.pk, years=years)


# --- By a payment -----------------------------------------------------------------------------------------------------


def test_a_card_paid_with_the_consent_switches_it_on_when_registered(order, box, alice, commits):
    attempt = start_card(order, alice)
    assert (on(box), AutoRenewal.objects.count()) == (False, 0)  # not before the registration
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits():
        fetch_and_record(attempt.pk)
    given = AutoRenewal.objects.get()
    assert (given.years, given.amount, given.agreed_by, given.order_id) == (1, D("12.08"), alice, order.pk)
    assert (given.consent_text_version, given.method.login, given.ended_at) == ("2026-11", alice, None)
    assert on(box)
    assert Email.objects.filter(subject__icontains="rinnovo automatico attivo").count() > 0


def test_the_opt_out_and_the_transfer_switch_nothing_on(order, box, alice, dario, make_box, commits):
    with commits():
        pay_card(order, alice, agreed=False)
        pay_transfer(place(make_box(alice, "altra"), alice), dario)
    assert (AutoRenewal.objects.count(), StoredMethod.objects.count(), on(box)) == (0, 0, False)


def test_without_a_login_nothing_is_switched_on(order, box, commits):
    with commits():
        pay_card(order, None)
    assert (AutoRenewal.objects.count(), on(box)) == (0, False)


def test_a_failed_card_switches_nothing_on(order, box, attempt):
    sandbox.write(attempt.remote_id, status=sandbox.REFUSED)
    fetch_and_record(attempt.pk)
    assert (AutoRenewal.objects.count(), on(box)) == (0, False)


def test_a_new_consent_replaces_the_one_that_stood(order, box, alice, method, commits):
    AutoRenewal.objects.create(
        box=box, method=method, years=5, amount=1, consent_text_version="x", agreed_by=alice, agreed_at=box.created_at
    )
    with commits():
        pay_card(order, alice)
    old, new = AutoRenewal.objects.order_by("id")
    assert (old.ended_why, new.ended_at, new.years) == ("replaced", None, 1)


def test_a_method_that_another_login_gave_is_never_used(order, box, alice, commits):
    """R24b, should a provider name one method to two logins."""
    attempt = start_card(order, alice)
    sandbox.write(attempt.remote_id, status=sandbox.PAID, card="shared")
    StoredMethod.objects.create(login=box.login, provider="sandbox", remote_id="shared", label="Carta")
    with commits():
        fetch_and_record(attempt.pk)
    assert (AutoRenewal.objects.count(), on(box)) == (0, False)
    order.refresh_from_db()
    assert order.status == "fulfilled"  # the money counts all the same


# --- By hand ----------------------------------------------------------------------------------------------------------


def test_by_hand_with_ones_own_method(box, alice, method):
    turn_on(box, alice, method, years=3)
    given = AutoRenewal.objects.get()
    assert (given.years, given.amount, given.method, given.order) == (3, D("36.23"), method, None)
    assert on(box)


@pytest.mark.parametrize("years", [0, 6, -1])
def test_by_hand_the_years_are_1_to_5(box, alice, method, years):
    with pytest.raises(RefusedError, match=r"^Scegli da 1 a 5 anni\.$"):
        turn_on(box, alice, method, years=years)


def test_by_hand_another_logins_method_is_refused(box, alice, carla, method):
    """R24b: not the account's for the box's login, nor the box's for the account, a stranger's, or a removed one."""
    of_box = StoredMethod.objects.create(login=box.login, provider="sandbox", remote_id="2", label="Della casella")
    of_carla = StoredMethod.objects.create(login=carla, provider="sandbox", remote_id="3", label="Di Carla")
    gone = StoredMethod.objects.create(
        login=alice, provider="sandbox", remote_id="4", label="Tolta", removed_at=box.created_at
    )
    for user, foreign in ((box.login, method), (alice, of_box), (alice, of_carla), (alice, gone)):
        with pytest.raises(RefusedError, match=r"^Scegli uno dei tuoi metodi di pagamento\.$"):
            turn_on(box, user, foreign)
    assert not on(box)
    turn_on(box, box.login, of_box)
    assert on(box)


def test_by_hand_not_while_a_renewal_order_is_open(order, box, alice, method):
    with pytest.raises(RefusedError, match="C'è un ordine di rinnovo aperto"):
        turn_on(box, alice, method)
    assert not on(box)


@pytest.mark.parametrize(
    ("expires_in", "charge_in"),
    [(40, 33), (9, 2), (8, 1), (7, 1), (6, 1), (2, 1), (1, 1), (0, None), (-1, None), (-90, None)],
)
def test_the_day_of_the_charge_and_on_e_it_is_refused(make_box, alice, method, today, expires_in, charge_in):
    """At E−7; switched on later, the next day, at the latest E; on E it is refused (R24)."""
    box = make_box(alice, "una", expires_in=expires_in)
    day = auto_renewal.charge_day_from(box.expires_on, today=today)
    assert day == (None if charge_in is None else today + timedelta(days=charge_in))
    if day is None:
        with pytest.raises(RefusedError, match="È troppo tardi per un addebito automatico"):
            turn_on(box, alice, method)
    else:
        turn_on(box, alice, method)
    assert on(box) is (day is not None)


def test_by_hand_not_for_a_box_on_a_domain(make_box, alice, method, today):
    domain = open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(days=40)
    )
    box = make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    with pytest.raises(RefusedError, match="non può avere il rinnovo automatico"):
        turn_on(box, alice, method)


def test_a_strangers_box_does_not_exist(box, carla):
    method = StoredMethod.objects.create(login=carla, provider="sandbox", remote_id="3", label="Di Carla")
    with pytest.raises(Mailbox.DoesNotExist):
        turn_on(box, carla, method)
    with pytest.raises(Mailbox.DoesNotExist):
        auto_renewal.turn_off(box_id=box.pk, user=carla)


# --- Off --------------------------------------------------------------------------------------------------------------


def test_off_by_whoever_sees_the_box_and_twice_is_once(box, alice, method):
    turn_on(box, alice, method)
    auto_renewal.turn_off(box_id=box.pk, user=box.login)
    auto_renewal.turn_off(box_id=box.pk, user=alice)
    given = AutoRenewal.objects.get()
    assert (given.ended_why, on(box)) == ("customer", False)
    addressed = Email.objects.filter(subject__icontains="disattivato").values_list("to", flat=True)
    assert sorted(addressed) == [["alice.contatto@posta.example"], ["alice@posta.example"]]


# --- What is said beside a method -------------------------------------------------------------------------------------


def test_the_next_charge_said_before_paying_is_the_one_agreed_to(order, box, alice, today, commits):
    expiry = years_later(box.expires_on)
    said = consent.next_charge(new_expiry=expiry, amount=order.total, years=1, today=today)
    with commits():
        pay_card(order, alice)
    given = AutoRenewal.objects.get()
    assert said == consent.NextCharge(expiry - timedelta(days=7), given.amount, given.years)
    assert consent.next_charge(new_expiry=today, amount=order.total, years=1, today=today) is None


def test_a_card_that_expires_before_the_charge_cannot_be_chosen(alice, today):
    cards = [
        StoredMethod(login=alice, label=label, expires_month=month, expires_year=year)
        for label, month, year in [
            ("none", None, None), ("this month", today.month, today.year), ("next year", 1, today.year + 1),
            ("last year", 12, today.year - 1),
        ]
    ]  # fmt: skip
    assert [card.label for card in usable(cards, on=today)] == ["none", "this month", "next year"]


def test_the_same_method_saved_twice_is_one(alice):
    saved = SavedMethod("card_9", "Carta •••• 4242", 12, 2030)
    keep = [auto_renewal.keep_method(login=alice, provider="sandbox", saved=saved) for _ in range(2)]
    assert keep[0] == keep[1]


# --- Beside Rinnova (R4) ----------------------------------------------------------------------------------------------


def offered(box, day):
    return rules.offer(orders.facts(Mailbox.objects.get(pk=box.pk)), day)


def test_rinnova_gives_way_to_the_next_charge_until_it_is_off_or_the_box_scaduta(order, box, alice, today, commits):
    assert offered(box, today) is rules.Reason.ORDER_TO_PAY
    with commits():
        pay_card(order, alice)
    renewed = Mailbox.objects.get().expires_on
    assert [offered(box, day) for day in (today, renewed, renewed + timedelta(days=1))] == [
        rules.Reason.AUTO_RENEWAL, rules.Reason.AUTO_RENEWAL, rules.Reason.RENEW,
    ]  # fmt: skip
    auto_renewal.turn_off(box_id=box.pk, user=alice)
    assert offered(box, today) is rules.Reason.RENEW


def test_after_a_charge_that_failed_a_new_card_takes_the_place_of_the_old(box, alice, method, today, commits):
    """R24: whoever pays then while signed in puts a method there that can be charged next time."""
    auto_renewal.turn_on(box_id=box.pk, user=alice, method_id=method.pk, years=2)
    Mailbox.objects.filter(pk=box.pk).update(auto_over_for=box.expires_on)
    assert offered(box, today) is rules.Reason.RENEW
    with commits():
        pay_card(place(Mailbox.objects.get(), alice), alice)
    old, new = AutoRenewal.objects.order_by("id")
    assert (old.method, old.ended_why, new.ended_at, new.years) == (method, "replaced", None, 1)
    assert new.method_id != method.pk
    found = Mailbox.objects.get()
    assert (found.auto_renews, found.auto_over_for) == (True, None)
    assert offered(box, today) is rules.Reason.AUTO_RENEWAL
