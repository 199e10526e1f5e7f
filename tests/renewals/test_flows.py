"""A renewal from confirmation to its new expiry, without screens (R7–R9, R12, R14, R15, R26)."""

from datetime import date, timedelta
from decimal import Decimal as D

import pytest
import time_machine
from post_office.models import Email

from mailboxes.catalogue import MissingPriceError
from mailboxes.flows import start_change
from mailboxes.models import BoxEvent, Mailbox, PaidPeriod, Price, VatRate
from mailboxes.platform.local import LocalPlatform
from mailboxes.rules import GB
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import flows, giving, settle, undoing
from renewals.models import BillingSnapshot, HolderSnapshot, Order, OrderEvent, OrderLine
from tests.helpers import pay_card, pay_transfer, place, years_later

pytestmark = pytest.mark.django_db


def reload(obj):
    return type(obj).objects.get(pk=obj.pk)


def test_an_order_freezes_what_was_confirmed(box, alice, today):
    order = place(box, alice, years=2, holder={"phone": "333 1234567"})
    assert (order.status, order.kind, order.years) == ("awaiting_payment", "renewal", 2)
    assert (order.taxable, order.vat, order.total, order.amount_due) == (D("19.80"), D("4.36"), D("24.16"), D("24.16"))
    assert order.lapses_on == today + timedelta(days=90)
    line = order.lines.get()
    assert (line.plan.code, line.mailbox_gb, line.archive_gb, line.net) == ("standard", 1, 0, D("19.80"))
    assert (line.is_open, line.old_expiry) == (True, box.expires_on)
    assert HolderSnapshot.objects.get(line=line).phone == "333 1234567"
    assert box.holder.phone == "0612345678"  # the address book is untouched (§4)
    assert BillingSnapshot.objects.get(order=order).codice_fiscale == alice.billing.codice_fiscale
    assert [(e.before, e.after) for e in order.events.all()] == [("", "awaiting_payment")]
    assert reload(box).expires_on == box.expires_on  # nothing moves before registration


def test_a_changed_price_and_profile_touch_no_standing_order(box, alice, plans):
    order = place(box, alice)
    Price.objects.create(item="plan", plan=plans.standard, net=D("99.00"), valid_from=clock.today())
    box.holder.phone = "000"
    box.holder.save()
    order, line = reload(order), order.lines.get()
    assert (order.total, line.base_price, line.holder.phone) == (D("12.08"), D("9.90"), "0612345678")


@pytest.mark.django_db(transaction=True)
def test_registration_moves_the_expiry_by_the_years_bought(box, alice, dario):
    expiry = box.expires_on
    order = place(box, alice, years=3)
    assert pay_transfer(order, dario).paid
    box = reload(box)
    assert box.expires_on == years_later(expiry, 3)
    assert box.delete_from == box.expires_on + timedelta(days=91)
    assert reload(order).status == "fulfilled"
    period = PaidPeriod.objects.get(source=order.lines.get().public_id)
    assert (period.starts, period.ends) == (expiry + timedelta(days=1), box.expires_on)
    assert order.lines.get().period == period


@pytest.mark.django_db(transaction=True)
def test_fulfilling_twice_adds_nothing(box, alice, dario):
    order = place(box, alice)
    pay_transfer(order, dario)
    expiry = reload(box).expires_on
    assert giving.fulfil(order.pk) is False
    assert reload(box).expires_on == expiry
    assert PaidPeriod.objects.filter(box=box).count() == 2  # the opening and this one


def test_a_second_order_is_refused_and_names_the_first(box, alice):
    order = place(box, alice)
    with pytest.raises(flows.AlreadyOrderedError) as refused:
        place(box, alice)
    assert refused.value.order == order
    assert Order.objects.count() == 1


def test_a_tampered_total_is_refused(box, alice):
    with pytest.raises(flows.PriceChangedError):
        place(box, alice, shown_total=D("0.01"))
    assert Order.objects.count() == 0


def test_a_price_of_tomorrow_is_not_yet_charged_and_a_missing_one_stops(box, alice, plans, today):
    Price.objects.create(item="plan", plan=plans.standard, net=D("99.00"), valid_from=today + timedelta(days=1))
    assert place(box, alice).total == D("12.08")
    Order.objects.update(status="cancelled")
    OrderLine.objects.update(status="closed", is_open=False)
    Price.objects.filter(plan=plans.standard).delete()
    with pytest.raises(MissingPriceError):
        place(box, alice, shown_total=D("12.08"))


@pytest.mark.parametrize("email", ["alice@pec.example", "chiunque@PEC.example"])
def test_the_orders_email_may_not_be_hosted_here(box, alice, email):
    with pytest.raises(RefusedError, match="non può essere una casella PEC"):
        place(box, alice, email=email)
    assert Order.objects.count() == 0


def test_a_stranger_cannot_place_anything(box, carla):
    with pytest.raises(Mailbox.DoesNotExist):
        place(box, carla)


@pytest.mark.parametrize(
    ("offset", "allowed"), [(-10, True), (0, True), (1, True), (90, True), (91, False), (200, False)]
)
def test_renewable_through_e_plus_90(box, alice, offset, allowed):
    with time_machine.travel(f"{box.expires_on + timedelta(days=offset)}T12:00:00+01:00", tick=False):
        if allowed:
            assert place(box, alice).total == D("12.08")
        else:
            with pytest.raises(RefusedError):
                place(box, alice)


@pytest.mark.parametrize(
    ("moment", "allowed"),
    [("T22:59:59+00:00", True), ("T23:00:01+00:00", False)],  # midnight in Rome on a winter night
)
def test_the_last_day_ends_at_midnight_in_rome(make_box, alice, moment, allowed):
    box = make_box(alice, "mezzanotte", expires_in=0)
    Mailbox.objects.filter(pk=box.pk).update(
        expires_on=date(2026, 10, 31), delete_from=date(2027, 1, 30), anchor_month=10, anchor_day=31
    )
    box.refresh_from_db()
    with time_machine.travel(f"2027-01-29{moment}", tick=False):
        if allowed:
            assert place(box, alice).total == D("12.08")
        else:
            with pytest.raises(RefusedError):
                place(box, alice)


def test_the_confirmation_goes_to_the_order_and_to_the_account_without_fiscal_data(box, alice):
    order = place(box, alice)
    mails = Email.objects.order_by("id")
    assert sorted(m.to[0] for m in mails) == ["alice@posta.example", "ordine@posta.example"]
    for m in mails:
        assert order.number in m.subject
        assert "12,08" in m.message
        assert "12,08" in m.html_message
        assert alice.billing.codice_fiscale not in m.message + m.html_message


@pytest.mark.django_db(transaction=True)
def test_an_upgrade_starts_at_once_and_a_downgrade_the_day_after_the_old_expiry(make_box, alice, dario, plans):
    box = make_box(alice, "premium", plan="premium")
    expiry = box.expires_on
    pay_transfer(place(box, alice, plan=plans.standard), dario)
    box = reload(box)
    assert (box.plan.code, box.mailbox_gb, box.archive_gb) == ("premium", 2, 8)
    assert (box.next_plan.code, box.next_mailbox_gb, box.next_archive_gb) == ("standard", 1, 0)
    assert box.change_on == expiry + timedelta(days=1)
    assert start_change(box_id=box.pk, today=expiry) == "nothing"
    assert start_change(box_id=box.pk, today=expiry + timedelta(days=1)) == "started"
    box = reload(box)
    assert (box.plan.code, box.mailbox_gb, box.archive_gb, box.change_on) == ("standard", 1, 0, None)


@pytest.mark.django_db(transaction=True)
def test_a_downgrade_of_an_expired_box_starts_at_once_if_it_fits(make_box, alice, dario, plans):
    box = make_box(alice, "scaduta", plan="pro", expires_in=-5)
    pay_transfer(place(box, alice, plan=plans.standard), dario)
    assert (reload(box).plan.code, reload(box).change_on) == ("standard", None)


@pytest.mark.django_db(transaction=True)
def test_a_downgrade_that_no_longer_fits_keeps_the_space_and_the_years(make_box, alice, dario, plans):
    box = make_box(alice, "piena", plan="pro", expires_in=-5)
    expiry = box.expires_on
    order = place(box, alice, plan=plans.standard)
    LocalPlatform().set_usage("piena@pec.example", mailbox_bytes=3 * GB)
    pay_transfer(order, dario)
    box = reload(box)
    assert box.expires_on == years_later(expiry)
    assert (box.plan.code, box.next_plan.code, box.change_refused_on) == ("pro", "standard", clock.today())
    told = Email.objects.filter(subject__contains="rinviato").count()
    assert told == 2  # holder and account
    assert start_change(box_id=box.pk, today=clock.today()) == "refused"
    assert Email.objects.filter(subject__contains="rinviato").count() == told  # one mail each, not one a day
    assert BoxEvent.objects.filter(box=box, kind="change_refused").count() == 1
    LocalPlatform().set_usage("piena@pec.example", mailbox_bytes=GB)
    assert start_change(box_id=box.pk, today=clock.today()) == "started"


def test_a_choice_that_does_not_fit_is_refused_at_confirmation(make_box, alice, plans):
    box = make_box(alice, "piena", plan="pro")
    LocalPlatform().set_usage("piena@pec.example", mailbox_bytes=3 * GB)
    with pytest.raises(flows.ChoiceError) as refused:
        place(box, alice, plan=plans.standard)
    assert [p.code for p in refused.value.problems] == ["too_full"]


@pytest.mark.django_db(transaction=True)
def test_the_vat_rate_of_registration_splits_the_same_total(box, alice, dario):
    order = place(box, alice)
    VatRate.objects.create(rate=D("0.25"), valid_from=clock.today())
    pay_transfer(order, dario)
    order = reload(order)
    assert (order.vat_rate, order.taxable, order.vat, order.total) == (D("0.25"), D("9.66"), D("2.42"), D("12.08"))


@pytest.mark.django_db(transaction=True)
def test_billing_data_are_those_of_registration(box, alice, dario):
    order = place(box, alice)
    alice.billing.city = "Milano"
    alice.billing.save()
    assert BillingSnapshot.objects.get(order=order).city == "Roma"
    pay_transfer(order, dario)
    snapshot = BillingSnapshot.objects.get(order=order)
    assert snapshot.city == "Milano"
    assert snapshot.fixed_at is not None


@pytest.mark.django_db(transaction=True)
def test_the_29_february_comes_back(make_box, alice, dario):
    box = make_box(alice, "bisestile")
    Mailbox.objects.filter(pk=box.pk).update(
        expires_on=date(2028, 2, 29), delete_from=date(2028, 5, 30), anchor_month=2, anchor_day=29
    )
    PaidPeriod.objects.filter(box=box).update(ends=date(2028, 2, 29))
    seen = []
    for number, years in enumerate([1, 3, 2, 5, 1]):
        with time_machine.travel(f"{reload(box).expires_on}T12:00:00+01:00", tick=False):
            pay_transfer(place(reload(box), alice, years=years), dario, reference=f"B{number}")
        seen.append(reload(box).expires_on)
    assert seen == [date(2029, 2, 28), date(2032, 2, 29), date(2034, 2, 28), date(2039, 2, 28), date(2040, 2, 29)]


def test_a_move_outside_the_table_is_an_error(box, alice):
    order = place(box, alice)
    undoing.cancel(order, why="prova", actor=alice)
    with pytest.raises(settle.IllegalMoveError):
        settle.mark_paid(order, why="tardi")
    assert [e.after for e in OrderEvent.objects.filter(order=order, line=None)] == ["awaiting_payment", "cancelled"]
    assert (order.lines.get().status, order.lines.get().is_open) == ("closed", False)


@pytest.mark.django_db(transaction=True)
def test_money_for_a_box_that_is_being_deleted_waits_for_a_decision(box, alice):
    order = place(box, alice)
    payment = pay_card_without_consequences(order, alice)
    assert reload(order).status == "paid"
    Mailbox.objects.filter(pk=box.pk).update(phase="deleting", login=None)
    assert giving.fulfil(order.pk) is False
    assert (reload(order).status, order.lines.get().status) == ("attention", "attention")
    assert payment.status == "registered"


def pay_card_without_consequences(order, user):
    from unittest import mock

    with mock.patch("payments.recording.after_paid"):
        return pay_card(order, user)
