"""The daily job of automatic renewal: announced, charged, retried, over (R24, R25). Exact days, exact mails."""

import time
from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.conf import settings as django_settings
from post_office.models import Email

from mailboxes import rules as boxes
from mailboxes.models import Price
from mailboxes.platform.base import Usage
from mailboxes.platform.local import LocalPlatform
from payments import auto_renewal, charging, flows, scheduled, sync
from payments.models import Allocation, AutoRenewal, Payment, ScheduledCharge
from payments.providers import sandbox
from pecportal import formats
from pecportal.errors import RefusedError
from pecportal.formats import il
from renewals import flows as orders
from renewals import rules
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place, start_card
from tests.payments.charging_helpers import automatic, beat, card, forget_mails, fresh, on, subjects
from tests.payments.test_outcome import words

pytestmark = pytest.mark.django_db


def euro(amount: D) -> str:
    return formats.euro(amount).replace("\u00a0", " ")  # a subject keeps no special spaces


def days(n: int) -> timedelta:
    return timedelta(days=n)


@pytest.fixture
def method(alice):
    return card(alice)


@pytest.fixture
def box(make_box, alice):
    """Expires in 60 days."""
    return make_box(alice, "alice", expires_in=60)


@pytest.fixture
def auto(box, alice, method):
    """The same, renewing by itself since E−60."""
    found = automatic(box, alice, method, days_before=60)
    forget_mails()
    return found


def row() -> ScheduledCharge:
    return ScheduledCharge.objects.get()


def offered(box, day):
    return rules.offer(orders.facts(fresh(box)), day)


def dearer(amount: str, *, from_day) -> None:
    plan = Price.objects.get(item="plan", plan__code="standard")
    Price.objects.create(item="plan", plan=plan.plan, valid_from=from_day, net=D(amount))


def next_expiry(box, years=1):
    return boxes.add_years(box.expires_on, years, anchor_month=box.anchor_month, anchor_day=box.anchor_day)


# --- The good cycle ---------------------------------------------------------------------------------------------------


def test_announced_on_e_minus_30_and_charged_on_e_minus_7(auto, alice, method):
    e = auto.expires_on
    beat(e - days(31))
    assert ScheduledCharge.objects.count() == 0
    beat(e - days(30))
    beat(e - days(30))
    announced = row()
    assert (announced.status, announced.amount, announced.due_on, announced.notice_in_time) == (
        "announced", D("12.08"), e - days(7), True,
    )  # fmt: skip
    notice = f"*: {il(e - days(7))} addebitiamo {euro(D('12.08'))}"
    assert subjects() == [notice]
    assert subjects(to="alice.contatto@posta.example") == [notice]
    for before in range(29, 7, -1):
        beat(e - days(before))
    assert (Order.objects.count(), len(subjects())) == (0, 1)
    beat(e - days(7))
    beat(e - days(7))
    beat(e - days(6))
    order, payment = Order.objects.get(), Payment.objects.get()
    assert (order.status, order.placed_by, order.email, order.years, order.total) == (
        "fulfilled", None, "alice@posta.example", 1, D("12.08"),
    )  # fmt: skip
    assert (order.terms_version, order.terms_accepted_at) == ("2026-12", AutoRenewal.objects.get().agreed_at)
    assert (payment.status, payment.is_automatic, payment.method, payment.amount) == (
        "registered", True, method, D("12.08"),
    )  # fmt: skip
    assert (row().status, row().tries, row().due_on, row().order) == ("charged", 1, None, order)
    renewed = fresh(auto)
    assert renewed.expires_on == next_expiry(auto)
    assert subjects()[1:] == [s for s in subjects() if "rinnovata" in s] and len(subjects()) == 2
    assert offered(auto, e - days(6)) is rules.Reason.AUTO_RENEWAL  # the next cycle is on, and starts afresh
    beat(renewed.expires_on - days(30))
    assert [(r.expiry, r.status) for r in ScheduledCharge.objects.order_by("expiry")] == [
        (e, "charged"), (renewed.expires_on, "announced"),
    ]  # fmt: skip


def test_the_notice_says_the_last_day_to_cancel_and_the_law_to_a_consumer_only(auto, alice):
    e = auto.expires_on
    beat(e - days(30))
    text = Email.objects.order_by("id").first().message
    assert f"Puoi disdire il rinnovo automatico entro {il(e - days(8))} compreso" in text
    assert "65-bis" in text and "senza costi fino alla scadenza successiva" not in text
    ScheduledCharge.objects.all().delete()
    forget_mails()
    alice.billing.is_consumer = False
    alice.billing.save()
    beat(e - days(29))
    text = Email.objects.order_by("id").first().message
    assert f"disattiva il rinnovo automatico entro {il(e - days(8))} compreso" in text
    assert "65-bis" not in text and "recedere" not in text


@pytest.mark.parametrize("hour", [0, 23])
def test_midnight_is_romes(auto, hour):
    """At 00:00 in Rome of E−30 it is due; an hour before, which is the same day in UTC in winter, it is not."""
    e = auto.expires_on
    beat(e - days(31), hour=23, minute=59)
    assert ScheduledCharge.objects.count() == 0
    beat(e - days(30), hour=hour, minute=1)
    assert row().notice_in_time is True


@pytest.mark.parametrize(
    ("outage_ends", "charged_on"),
    [(29, 7), (10, 7), (7, 6), (3, 2), (1, 0)],
)
def test_after_an_outage_it_is_announced_late_and_charged_as_soon_as_one_can_say_no(auto, outage_ends, charged_on):
    e = auto.expires_on
    beat(e - days(outage_ends))
    assert (row().notice_in_time, row().due_on) == (False, e - days(charged_on))
    text = Email.objects.order_by("id").first().message
    assert "puoi recedere in ogni momento senza costi fino alla scadenza successiva" in text
    assert f"entro {il(e - days(charged_on + 1))} compreso" in text
    assert Payment.objects.count() == 0
    beat(e - days(charged_on))
    assert fresh(auto).expires_on == next_expiry(auto)


def test_an_outage_until_e_charges_nothing_and_says_so(auto):
    e = auto.expires_on
    beat(e)
    beat(e)
    assert (row().status, Order.objects.count()) == ("failed", 0)
    assert subjects() == [f"* non si è rinnovata da sola: scade {il(e)}"]
    assert offered(auto, e) is rules.Reason.RENEW


@pytest.mark.parametrize("back_on", [6, 4, 0])
def test_an_outage_over_the_charge_day_is_caught_up_until_e(auto, back_on):
    e = auto.expires_on
    beat(e - days(30))
    beat(e - days(back_on))
    assert (row().status, fresh(auto).expires_on) == ("charged", next_expiry(auto))


def test_after_e_nothing_is_charged_any_more(auto):
    e = auto.expires_on
    beat(e - days(30))
    beat(e + days(1))
    beat(e + days(2))
    assert (row().status, row().why, Payment.objects.count()) == ("failed", "non addebitato entro la scadenza", 0)
    assert subjects()[1:] == [f"* non si è rinnovata da sola: è scaduta {il(e)}"]


# --- Switched on late, switched off -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("days_before", "charged"), [(29, 7), (8, 7), (7, 6), (6, 5), (2, 1), (1, 0)])
def test_switched_on_late_the_mail_of_it_is_the_notice_and_the_charge_comes_on_the_day_it_says(
    box, alice, method, days_before, charged
):
    found = automatic(box, alice, method, days_before=days_before)
    e = found.expires_on
    assert (row().status, row().due_on, row().notice_in_time) == ("announced", e - days(charged), False)
    assert row().notice_sent_at is not None
    assert subjects() == ["*: rinnovo automatico attivo"]
    text = Email.objects.order_by("id").first().message
    assert f"previsto {il(e - days(charged))}" in text and f"entro {il(e - days(charged + 1))} compreso" in text
    assert "puoi recedere in ogni momento senza costi fino alla scadenza successiva" in text
    beat(e - days(days_before), hour=23)
    for before in range(days_before - 1, charged, -1):
        beat(e - days(before))
    assert (Payment.objects.count(), len(subjects())) == (0, 1)
    beat(e - days(charged))
    assert (row().status, fresh(box).expires_on) == ("charged", next_expiry(found))


def test_switched_on_at_e_minus_30_is_in_time(box, alice, method):
    automatic(box, alice, method, days_before=30)
    assert row().notice_in_time is True
    assert "recedere in ogni momento" not in Email.objects.order_by("id").first().message


def test_on_e_it_is_refused(box, alice, method):
    with pytest.raises(RefusedError, match="È troppo tardi per un addebito automatico"):
        automatic(box, alice, method, days_before=0)


def test_switched_off_before_the_charge_nothing_is_charged(auto, alice):
    e = auto.expires_on
    beat(e - days(30))
    with on(e - days(8), hour=23):
        auto_renewal.turn_off(box_id=auto.pk, user=alice)
    for before in (7, 5, 0):
        beat(e - days(before))
    assert (row().status, Order.objects.count()) == ("cancelled", 0)


def test_switched_off_and_on_again_it_is_charged_once(auto, alice, method):
    e = auto.expires_on
    beat(e - days(30))
    with on(e - days(20)):
        auto_renewal.turn_off(box_id=auto.pk, user=alice)
        auto_renewal.turn_on(box_id=auto.pk, user=alice, method_id=method.pk, years=2)
    assert (row().status, row().years, row().amount, row().due_on) == ("announced", 2, D("24.16"), e - days(7))
    beat(e - days(7))
    beat(e - days(6))
    assert (row().status, Payment.objects.count(), fresh(auto).expires_on) == ("charged", 1, next_expiry(auto, 2))


def test_switched_off_between_two_tries_the_order_stays_and_nobody_tries(auto, alice, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - days(30))
    beat(e - days(7))
    with on(e - days(6)):
        auto_renewal.turn_off(box_id=auto.pk, user=alice)
    for before in (5, 3, 1, 0):
        beat(e - days(before))
    assert (row().status, Payment.objects.count(), Order.objects.get().status) == ("cancelled", 1, "awaiting_payment")


# --- The amount rose --------------------------------------------------------------------------------------------------


def test_a_higher_price_at_e_minus_30_is_asked_twice_and_never_charged(auto):
    e = auto.expires_on
    dearer("20.00", from_day=e - days(40))
    beat(e - days(30))
    assert (row().status, row().amount, row().due_on) == ("consent", D("24.40"), e - days(15))
    asked = f"*: il rinnovo ora costa {euro(D('24.40'))}, accetti?"
    assert subjects() == [asked]
    assert offered(auto, e - days(30)) is rules.Reason.RENEW
    for before in range(29, 15, -1):
        beat(e - days(before))
    assert subjects() == [asked]
    beat(e - days(15))
    beat(e - days(15))
    assert subjects() == [asked, asked]
    assert row().consent_asked_again_on == e - days(15)
    for before in range(14, -1, -1):
        beat(e - days(before))
    assert (row().status, Order.objects.count(), Payment.objects.count()) == ("failed", 0, 0)
    assert subjects() == [asked, asked]


def test_the_consent_to_the_new_amount_goes_on_with_the_charge(auto, alice):
    e = auto.expires_on
    dearer("20.00", from_day=e - days(40))
    beat(e - days(30))
    with on(e - days(10)):
        with pytest.raises(RefusedError, match="L'importo è cambiato ancora"):
            auto_renewal.agree_to_amount(box_id=auto.pk, user=alice, shown=D("12.08"))
        auto_renewal.agree_to_amount(box_id=auto.pk, user=alice, shown=D("24.40"))
        with pytest.raises(RefusedError, match="Non c'è più niente da accettare"):
            auto_renewal.agree_to_amount(box_id=auto.pk, user=alice, shown=D("24.40"))
    old, new = AutoRenewal.objects.order_by("id")
    assert (old.ended_why, old.amount, new.amount, new.ended_at) == ("replaced", D("12.08"), D("24.40"), None)
    assert offered(auto, e - days(10)) is rules.Reason.AUTO_RENEWAL
    beat(e - days(7))
    assert (row().status, Payment.objects.get().amount) == ("charged", D("24.40"))


def test_only_who_gave_the_method_consents(auto, box, alice, carla):
    e = auto.expires_on
    dearer("20.00", from_day=e - days(40))
    beat(e - days(30))
    with on(e - days(10)), pytest.raises(RefusedError, match="lo accetta chi ha dato il metodo"):
        auto_renewal.agree_to_amount(box_id=box.pk, user=box.login, shown=D("24.40"))


def test_a_price_that_rises_between_notice_and_charge_is_not_charged(auto, alice):
    e = auto.expires_on
    beat(e - days(30))
    dearer("20.00", from_day=e - days(8))
    beat(e - days(7))
    beat(e - days(6))
    assert (row().status, row().amount, Order.objects.count()) == ("consent", D("24.40"), 0)
    assert len([s for s in subjects() if "accetti?" in s]) == 1
    with on(e - days(3)):
        auto_renewal.agree_to_amount(box_id=auto.pk, user=alice, shown=D("24.40"))
    assert row().due_on == e - days(2)
    beat(e - days(2))
    assert (row().status, Payment.objects.get().amount) == ("charged", D("24.40"))


def test_a_price_that_fell_is_charged_as_it_is(auto):
    e = auto.expires_on
    beat(e - days(30))
    dearer("5.00", from_day=e - days(8))
    beat(e - days(7))
    assert (row().status, row().amount, Payment.objects.get().amount) == ("charged", D("6.10"), D("6.10"))


def test_renewed_by_hand_while_consent_was_asked(auto, alice, dario):
    e = auto.expires_on
    dearer("20.00", from_day=e - days(40))
    beat(e - days(30))
    with on(e - days(20)):
        pay_transfer(place(fresh(auto), alice), dario)
        sync.fulfil_due()
    assert fresh(auto).expires_on == next_expiry(auto)
    forget_mails()
    for before in (15, 7, 0):
        beat(e - days(before))
    assert (row().status, Payment.objects.count(), subjects()) == ("cancelled", 0, [])


def test_a_missing_price_charges_nothing_and_is_tried_again(auto):
    e = auto.expires_on
    beat(e - days(30))
    prices = list(Price.objects.filter(item="plan"))
    Price.objects.filter(item="plan").delete()
    beat(e - days(7))
    assert (row().status, Order.objects.count()) == ("announced", 0)
    Price.objects.bulk_create(prices)
    beat(e - days(6))
    assert row().status == "charged"


# --- Refused ----------------------------------------------------------------------------------------------------------


def test_soft_refusals_follow_the_schedule_and_end_at_e(auto, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - days(30))
    forget_mails()
    tried = []
    for before in range(8, -2, -1):
        count = Payment.objects.count()
        beat(e - days(before))
        beat(e - days(before), hour=18)
        if Payment.objects.count() > count:
            tried.append((before, Payment.objects.count() - count))
    assert tried == [(7, 1), (5, 1), (3, 1), (1, 1), (0, 1)]
    assert (row().status, row().tries, row().why) == ("failed", 5, "fondi insufficienti")
    assert Order.objects.count() == 1
    assert subjects() == [
        f"*: addebito non riuscito, riproviamo {il(e - days(5))}",
        f"* non si è rinnovata da sola: scade {il(e)}",
    ]
    assert fresh(auto).auto_over_for == e


def test_a_retry_that_goes_well_renews(auto, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - days(30))
    beat(e - days(7))
    sandbox.tell(method, status=sandbox.PAID)
    beat(e - days(5))
    assert (row().status, row().tries, Order.objects.get().status) == ("charged", 2, "fulfilled")
    assert fresh(auto).expires_on == next_expiry(auto)


@pytest.mark.parametrize("decline", ["hard", "auth"])
def test_a_hard_refusal_or_a_bank_that_wants_the_holder_is_never_tried_again(auto, method, decline):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline=decline, reason="carta scaduta.")
    beat(e - days(30))
    forget_mails()
    for before in (7, 5, 3, 1, 0):
        beat(e - days(before))
    assert (row().status, Payment.objects.count(), Order.objects.get().status) == ("failed", 1, "awaiting_payment")
    expected = {
        "hard": f"* non si è rinnovata da sola: scade {il(e)}",
        "auth": f"*: conferma il pagamento di {euro(D('12.08'))}",
    }
    assert subjects() == [expected[decline]]
    if decline == "hard":
        assert "Il motivo: carta scaduta.\n" in Email.objects.order_by("id").first().message
    else:
        text = Email.objects.order_by("id").first().message
        assert f"Il {(e - days(7)).day}" in text or "L'" in text
        assert f"premi Paga sull'ordine {Order.objects.get().number}" in text


def test_annulla_after_a_failed_charge_brings_rinnova_back_and_nothing_is_placed_again(auto, alice, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="hard", reason="carta bloccata")
    beat(e - days(30))
    beat(e - days(7))
    assert offered(auto, e - days(7)) is rules.Reason.ORDER_TO_PAY
    with on(e - days(6)):
        flows.cancel_order(order_id=Order.objects.get().pk, actor=alice)
    assert offered(auto, e - days(6)) is rules.Reason.RENEW
    for before in (5, 3, 1, 0):
        beat(e - days(before))
    assert Order.objects.count() == 1
    assert fresh(auto).auto_renews  # still on for the next expiry


def test_annulla_between_two_tries_ends_the_charge(auto, alice, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - days(30))
    beat(e - days(7))
    with on(e - days(6)):
        flows.cancel_order(order_id=Order.objects.get().pk, actor=alice)
    assert (row().status, fresh(auto).auto_over_for) == ("cancelled", e)
    beat(e - days(5))
    assert (Payment.objects.count(), offered(auto, e - days(5))) == (1, rules.Reason.RENEW)


def test_paid_by_hand_between_two_tries_it_is_never_charged_twice_and_the_new_card_stays(auto, alice, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - days(30))
    beat(e - days(7))
    sandbox.tell(method, status=sandbox.PAID)
    with on(e - days(6)):
        pay_card(Order.objects.get(), alice)
    for before in (5, 3, 1, 0):
        beat(e - days(before))
    assert (row().status, row().why) == ("cancelled", "pagato dal cliente")
    assert Payment.objects.filter(status="registered").count() == Allocation.objects.count() == 1
    assert fresh(auto).expires_on == next_expiry(auto)
    assert AutoRenewal.objects.get(ended_at=None).method != method


def test_paid_with_the_number_alone_the_stored_card_stays(auto, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="hard", reason="carta bloccata")
    beat(e - days(30))
    beat(e - days(7))
    with on(e - days(6)):
        pay_card(Order.objects.get(), None)
        sync.fulfil_due()
    assert fresh(auto).expires_on == next_expiry(auto)
    assert AutoRenewal.objects.get(ended_at=None).method == method


def test_paid_by_transfer_between_two_tries_nothing_is_charged(auto, method, dario):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - days(30))
    beat(e - days(7))
    sandbox.tell(method, status=sandbox.PAID)
    with on(e - days(6)):
        pay_transfer(Order.objects.get(), dario)
    beat(e - days(5))
    beat(e - days(4))
    assert Payment.objects.filter(status="registered").count() == 0
    assert (row().status, fresh(auto).expires_on) == ("cancelled", next_expiry(auto))


def test_an_attempt_of_the_customer_under_way_stops_the_retry(auto, alice, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - days(30))
    beat(e - days(7))
    sandbox.tell(method, status=sandbox.PAID)
    with on(e - days(5), hour=11, minute=59):
        theirs = start_card(Order.objects.get(), alice)
    with on(e - days(5)):
        charging.run()
    assert [p.pk for p in Payment.objects.live()] == [theirs.pk]
    assert row().status == "trying"


def test_nobody_tries_again_while_the_outcome_is_unknown(auto, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.TIMEOUT)
    beat(e - days(30))
    beat(e - days(7))
    payment = Payment.objects.get()
    assert (payment.status, row().due_on) == ("unknown", None)
    forget_mails()
    for before in (6, 5, 3):
        beat(e - days(before))
    assert (Payment.objects.count(), subjects()) == (1, [])
    sandbox.write(payment.remote_id or f"sbx_{payment.public_id.hex}", status=sandbox.PAID)
    beat(e - days(2))
    assert (row().status, fresh(auto).expires_on) == ("charged", next_expiry(auto))


def test_unknown_that_turns_out_refused_is_told_once_and_retried(auto, method):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.TIMEOUT)
    beat(e - days(30))
    beat(e - days(7))
    forget_mails()
    payment = Payment.objects.get()
    sandbox.write(f"sbx_{payment.public_id.hex}", status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    sandbox.tell(method, status=sandbox.PAID)
    beat(e - days(6))
    assert subjects() == [f"*: addebito non riuscito, riproviamo {il(e - days(5))}"]
    beat(e - days(5))
    assert (row().status, row().tries) == ("charged", 2)


def test_what_is_inside_does_not_fit_the_next_period(auto, platform):
    e = auto.expires_on
    beat(e - days(30))
    platform.set_usage(auto.address.name, int(1.5 * boxes.GB), 0)
    forget_mails()
    beat(e - days(7))
    beat(e - days(5))
    assert (row().status, Order.objects.count()) == ("failed", 0)
    assert subjects() == [f"* non si è rinnovata da sola: scade {il(e)}"]
    assert "lo spazio del prossimo periodo non basta" in Email.objects.order_by("id").first().message
    assert offered(auto, e - days(7)) is rules.Reason.RENEW


def test_the_card_that_expires_before_the_charge_is_told_with_the_notice(make_box, alice):
    box = make_box(alice, "alice", expires_in=60)
    charge_on = box.expires_on - days(7)
    last_month = charge_on.replace(day=1) - days(1)
    method = card(alice, expires_month=last_month.month, expires_year=last_month.year)
    AutoRenewal.objects.create(
        box=box, method=method, years=1, amount=D("12.08"), consent_text_version="2026-11", agreed_by=alice,
        agreed_at=box.created_at,
    )  # fmt: skip
    type(box).objects.filter(pk=box.pk).update(auto_renews=True)
    beat(box.expires_on - days(30))
    assert subjects() == [
        f"*: {il(charge_on)} addebitiamo {euro(D('12.08'))}",
        f"*: la carta scade prima dell'addebito, {il(charge_on)}",
    ]
    assert len(subjects(to="alice.contatto@posta.example")) == 1  # the card is the account's business


# --- A mailbox login's own method (R24b) -----------------------------------------------------------------------------


def test_a_mailbox_logins_method_pays_and_the_order_is_told_to_the_holder(box, alice):
    own = card(box.login, remote_id="card_box")
    found = automatic(box, box.login, own, days_before=60)
    beat(found.expires_on - days(30))
    beat(found.expires_on - days(7))
    assert (Payment.objects.get().method, Order.objects.get().email) == (own, "alice.contatto@posta.example")
    assert fresh(box).expires_on == next_expiry(found)


# --- Cap, order of things ---------------------------------------------------------------------------------------------


def test_a_box_that_failed_stops_no_other(make_box, alice, method, monkeypatch):
    two = [automatic(make_box(alice, n, expires_in=60), alice, method, days_before=60) for n in ("a", "b")]
    e = two[0].expires_on
    beat(e - days(30))
    real = orders.place_automatic

    def broken(*, box, **facts):
        if box.pk == two[0].pk:
            raise ValueError("broken")
        return real(box=box, **facts)

    monkeypatch.setattr("renewals.flows.place_automatic", broken)
    beat(e - days(7))
    assert [fresh(b).expires_on == e for b in two] == [True, False]
    monkeypatch.undo()
    beat(e - days(6))
    assert ScheduledCharge.objects.filter(status="charged").count() == 2


def test_boxes_on_which_the_mail_system_hangs_keep_no_other_uncharged(make_box, alice, method, monkeypatch):
    """A hang of 0.2 s beside a run of half a second, as one of a minute beside a run of 200 s."""
    names = [*(f"appesa{n}" for n in range(6)), "sana"]
    found = [automatic(make_box(alice, name, expires_in=60), alice, method, days_before=60) for name in names]
    e = found[0].expires_on
    beat(e - days(30))

    def usage(self, addresses):
        if addresses[0].startswith("appesa"):
            time.sleep(0.2)
            raise TimeoutError
        return {address: Usage(0, 0, None) for address in addresses}

    monkeypatch.setattr(LocalPlatform, "usage", usage)
    well = ScheduledCharge.objects.get(box=found[-1])
    for _run in range(30):  # three of the seven in each
        with on(e - days(7)):
            charging.run(seconds=0.5)
        well.refresh_from_db()
        if well.status != "announced":
            break
    assert well.status == "charged"


def test_more_boxes_than_a_batch_are_all_announced(make_box, alice, method, monkeypatch):
    monkeypatch.setattr(charging, "BATCH", 2)
    found = [
        automatic(make_box(alice, f"n{n}", expires_in=60 - n % 2), alice, method, days_before=50) for n in range(5)
    ]
    beat(found[0].expires_on - days(30))
    assert ScheduledCharge.objects.filter(status="announced").count() == 5


def test_begin_gives_the_right_to_charge_once_a_day(auto, method):
    e = auto.expires_on
    beat(e - days(30))
    with on(e - days(7)):
        charging._place(row())
        order = Order.objects.get()
        assert [scheduled.begin(order, today=e - days(7)) for _ in range(2)] == [True, False]


def test_a_direct_charge_of_an_order_switched_off_meanwhile_is_refused(auto, alice, method):
    e = auto.expires_on
    beat(e - days(30))
    with on(e - days(7)):
        order_id = charging._place(row())
        auto_renewal.turn_off(box_id=auto.pk, user=alice)
        with pytest.raises(flows.NotPayableError):
            flows.charge(order_id=order_id, method=method)
    assert Payment.objects.count() == 0


def test_the_timetable_has_the_job_every_three_hours():
    from pecportal.celery import TIMETABLE

    tasks = [fields for task, fields in TIMETABLE.values() if task == "lifecycle.tasks.charge_due"]
    assert tasks == [{"minute": "10", "hour": "6"}, {"minute": "40", "hour": "*/3"}]
    assert django_settings.CHARGE_RETRY_DAYS == [7, 5, 3, 1, 0]


def test_a_run_that_has_no_time_says_that_more_is_left(auto):
    with on(auto.expires_on - days(30)):
        assert charging.run(seconds=-1) is True  # nothing tried, nothing failed: worth going on
        assert charging.run() is False


# --- What the screens and the other jobs make of it -------------------------------------------------------------------


def test_the_notices_of_the_expiry_go_on_while_consent_is_awaited_and_rest_while_a_charge_comes(auto):
    from lifecycle import notices

    e = auto.expires_on
    beat(e - days(30))
    with on(e - days(15)):
        assert notices.due(e - days(15), today=e - days(15)).count() == 0
    dearer("20.00", from_day=e - days(8))
    beat(e - days(7))
    with on(e - days(7)):
        assert notices.due(e - days(7), today=e - days(7)).count() == 1


def test_the_outcome_of_an_automatic_order_says_the_next_charge(auto, alice, browser_of):
    e = auto.expires_on
    beat(e - days(30))
    beat(e - days(7))
    with on(e - days(7)):
        text = words(browser_of(alice).get(f"/area-clienti/ordini/{Order.objects.get().number}/esito/"))
    renewed = fresh(auto).expires_on
    assert f"{formats.day(renewed - days(7))} Rinnovo automatico: addebitiamo" in text


def test_switched_off_with_a_charge_at_the_bank_the_page_does_not_promise(auto, alice, method, browser_of):
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.TIMEOUT)
    beat(e - days(30))
    with on(e - days(7)):
        charging.run()
        url = f"/area-clienti/pec/{auto.public_id}/rinnovo-automatico/disattiva/"
        text = words(browser_of(alice).post(url, follow=True))
    assert "Un addebito era già partito e lo stiamo verificando con la banca" in text
    assert "non addebiteremo nulla" not in text
    sandbox.write(f"sbx_{Payment.objects.get().public_id.hex}", status=sandbox.PAID)
    beat(e - days(6))
    assert (row().status, fresh(auto).expires_on) == ("cancelled", next_expiry(auto))  # the money counts


def test_the_box_page_says_the_free_way_out_to_a_consumer_told_late(box, alice, method, browser_of):
    found = automatic(box, alice, method, days_before=20)
    url = f"/area-clienti/pec/{found.public_id}/"
    with on(found.expires_on - days(20)):
        assert "puoi recedere senza costi fino alla scadenza successiva" in words(browser_of(alice).get(url))
        alice.billing.is_consumer = False
        alice.billing.save()
        assert "recedere" not in words(browser_of(alice).get(url))


def test_an_order_that_lapses_between_two_tries_ends_the_charge(auto, method, settings):
    from lifecycle.flows import run_for

    settings.ORDER_LAPSE_DAYS = 0
    e = auto.expires_on
    sandbox.tell(method, status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    beat(e - days(30))
    beat(e - days(7))
    with on(e - days(6)):
        run_for(e - days(6))
    assert (Order.objects.get().status, row().status, fresh(auto).auto_over_for) == ("lapsed", "cancelled", e)
    assert offered(auto, e - days(6)) is rules.Reason.RENEW


def test_another_number_of_years_chosen_while_consent_is_asked_is_a_consent(auto, alice, method):
    e = auto.expires_on
    dearer("20.00", from_day=e - days(40))
    beat(e - days(30))
    with on(e - days(20)):
        auto_renewal.turn_on(box_id=auto.pk, user=alice, method_id=method.pk, years=2)
    assert (row().status, row().amount, row().notice_in_time) == ("announced", D("48.80"), True)
    beat(e - days(7))
    assert (row().status, Payment.objects.get().amount) == ("charged", D("48.80"))


# --- The terms --------------------------------------------------------------------------------------------------------


def test_a_charge_agreed_by_hand_is_under_the_terms_last_accepted_for_the_box(box, alice, dario, method):
    pay_transfer(place(box, alice, terms_version="2026-11"), dario)
    sync.fulfil_due()
    renewed = automatic(fresh(box), alice, method, days_before=60)
    beat(renewed.expires_on - days(30))
    beat(renewed.expires_on - days(7))
    assert Order.objects.count() == 2
    assert Order.objects.latest("id").terms_version == "2026-11"  # not the version of the consent's words
