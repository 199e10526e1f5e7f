"""What the registration of the money fixes: VAT rate and billing data (R8)."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from mailboxes.models import VatRate
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import settle
from renewals.models import BillingSnapshot, Order
from tests.helpers import pay_transfer, place

pytestmark = pytest.mark.django_db(transaction=True)

FAULTS = [
    {"postal_code": "1"}, {"city": ""}, {"province": "XX"}, {"codice_fiscale": "RSSLCA80A41H501X"}, {"phone": ""},
    {"last_name": "Bianchi"}, {"country": "ZZ"}, {"address": "улица 1"}, {"subject": "company"}, {"last_name": ""},
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: next(iter(fault)))
def test_billing_data_that_do_not_validate_today_leave_those_of_the_confirmation(box, alice, dario, fault):
    order = place(box, alice)
    type(alice.billing).objects.filter(pk=alice.billing.pk).update(**{"first_name": "Anna", **fault})
    pay_transfer(order, dario)
    snapshot = BillingSnapshot.objects.get(order=order)
    assert (snapshot.first_name, snapshot.last_name, snapshot.city, snapshot.postal_code) == (
        "Alice", "Rossi", "Roma", "00184",
    )  # fmt: skip
    assert snapshot.fixed_at is not None
    assert Order.objects.get().status == "fulfilled"


@pytest.mark.parametrize(
    "change",
    [
        {"city": "Milano"},
        {"country": "FR", "province": "", "postal_code": "75001", "city": "Paris"},
        {"is_consumer": False},
        {
            "subject": "company", "company_name": "Rossi srl", "codice_fiscale": "12345670017",
            "partita_iva": "12345670017", "sdi_code": "ABC1234", "is_consumer": False,
        },
        {
            "subject": "public_body", "company_name": "Comune", "codice_fiscale": "12345670017", "sdi_code": "ABC123",
            "is_consumer": False,
        },
    ],
    ids=["city", "abroad", "no consumer", "company", "public body"],
)  # fmt: skip
def test_billing_data_that_validate_today_replace_them(box, alice, dario, change):
    order = place(box, alice)
    type(alice.billing).objects.filter(pk=alice.billing.pk).update(**change)
    pay_transfer(order, dario)
    snapshot = BillingSnapshot.objects.get(order=order)
    assert {name: getattr(snapshot, name) for name in change} == change


def test_holding_the_billing_data_against_the_rules_asks_the_database_nothing(alice, django_assert_num_queries):
    facts = alice.billing.identity()
    with django_assert_num_queries(0):
        assert settle._Invoiceable(data=facts).is_valid()


def test_no_billing_data_at_either_time(box, alice, dario):
    BillingSnapshot.objects.all().delete()
    alice.billing.delete()
    alice.refresh_from_db()
    order = place(box, alice)
    pay_transfer(order, dario)
    assert (Order.objects.get().status, BillingSnapshot.objects.count()) == ("fulfilled", 0)


def test_a_missing_vat_rate_turns_no_money_away(box, alice, dario, caplog):
    order = place(box, alice)
    VatRate.objects.update(valid_from=clock.today() + timedelta(days=1))
    assert pay_transfer(order, dario).paid
    order.refresh_from_db()
    assert (order.status, order.vat_rate) == ("fulfilled", D("0.22"))
    assert [r.levelname for r in caplog.records if order.number in r.getMessage()] == ["CRITICAL"]


@pytest.mark.parametrize("years", [0, -1, 6, 10**6])
def test_years_that_cannot_be_are_a_sentence(box, alice, years):
    with pytest.raises(RefusedError, match=r"^Scegli da 1 a 5 anni\.$"):
        place(box, alice, years=years, shown_total=D("12.08"))
    assert Order.objects.count() == 0
