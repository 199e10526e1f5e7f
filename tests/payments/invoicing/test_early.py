"""What SdI would reject is said where an account confirms its order, and loses nothing; other roads go on (R31)."""

from decimal import Decimal

import pytest
from django.test import Client
from post_office.models import Email

from accounts.models import BillingProfile
from payments.invoicing import early, sweeps
from payments.models import Invoice
from renewals import pricing
from renewals.models import Order
from tests.conftest import PASSWORD
from tests.domains import domain_of, on_domain
from tests.helpers import pay_card
from tests.renewals.test_domain_wizard import Walk
from tests.renewals.wizard_walk import CONFIRM, HOLDER, STANDARD, url

pytestmark = pytest.mark.django_db(transaction=True)
SUMS = pricing.totals([Decimal("9.90")], Decimal("0.22"))


def walk(client, box, **confirm):
    client.post(url("plan", box), STANDARD)
    client.post(url("holder", box), HOLDER)
    return client.post(url("confirm", box), {**CONFIRM, **confirm})


@pytest.fixture
def client(alice) -> Client:
    found = Client()
    found.post("/accesso/", {"login": alice.username, "password": PASSWORD})
    return found


def test_right_data_order(client, box):
    assert walk(client, box).status_code == 302
    assert Order.objects.count() == 1


def test_wrong_data_are_an_error_with_the_way_to_the_field(client, box):
    BillingProfile.objects.update(city="Рим")
    page = walk(client, box)
    assert (page.status_code, Order.objects.count()) == (200, 0)
    text = page.content.decode()
    assert f'href="/area-clienti/dati/?next=%2Farea-clienti%2Fpec%2F{box.public_id}%2Frinnova' in text
    assert "#id_city" in text
    sentence = "Comune: Il carattere «Р» non si può scrivere in una fattura elettronica: usane uno semplice."
    assert text.count(sentence) == 2  # at the top, and beside whom the invoice is made out to
    assert page.context["form"]["method"].value() == "transfer"  # what was typed stays


def test_after_mending_the_order_is_confirmed_as_it_was(client, box):
    three = {"years": "3", "shown_years": "3", "shown_total": "36.23"}
    BillingProfile.objects.update(city="Рим")
    assert walk(client, box, **three).status_code == 200
    client.get("/area-clienti/dati/")
    BillingProfile.objects.update(city="Roma")
    form = client.get(url("confirm", box)).context["form"]
    assert (form["years"].value(), form["method"].value(), form["terms"].value()) == ("3", "transfer", True)
    assert client.post(url("confirm", box), {**CONFIRM, **three}).status_code == 302


def test_without_billing_data(alice):
    BillingProfile.objects.all().delete()
    owner = type(alice).objects.get(pk=alice.pk)
    (problem,) = early.problems(owner, SUMS, back="/area-clienti/")
    assert problem == early.Problem(
        "Per ordinare servono i dati a cui intestare la fattura.", "/area-clienti/dati/?next=%2Farea-clienti%2F"
    )


def test_abroad_is_for_support(client, box, settings):
    BillingProfile.objects.update(country="FR", province="")
    page = walk(client, box).content.decode()
    assert Order.objects.count() == 0
    assert "Gli ordini di chi ha sede o residenza fuori dall&#x27;Italia li prepara" in page
    assert f"mailto:{settings.PROVIDER_SUPPORT_EMAIL}" in page


def test_nothing_is_asked_where_another_system_invoices(client, box, settings):
    BillingProfile.objects.update(city="Рим")
    settings.INVOICES_FROM = None
    assert walk(client, box).status_code == 302


@pytest.mark.parametrize("wrong", [{"SELLER_NAME": ""}, {"SELLER_REA": "?"}])
def test_the_seller_s_faults_are_not_the_customer_s(client, box, settings, wrong):
    for name, value in wrong.items():
        setattr(settings, name, value)
    assert walk(client, box).status_code == 302


def test_a_mailbox_login_goes_on_and_its_account_is_told(box, alice):
    """It cannot mend the account's data, nor see them (R1)."""
    BillingProfile.objects.update(city="Рим")
    client = Client()
    client.post("/accesso/", {"login": str(box), "password": PASSWORD})
    page = walk(client, box)
    assert page.status_code == 302
    order = Order.objects.get()
    pay_card(order, alice)
    sweeps.sweep()
    assert (Order.objects.get().status, Invoice.objects.get().state) == ("fulfilled", "waiting")
    mail = Email.objects.get(subject__contains="correggi i dati per la fattura")
    assert mail.to == ["alice@posta.example"]


def test_a_domain(make_box, alice):
    BillingProfile.objects.update(city="Рим")
    domain = domain_of(alice)
    on_domain(make_box, domain, "info")
    walk = Walk(domain, alice).to_confirm()
    page = walk.confirm(shown_total="1.00")
    assert (page.status_code, Order.objects.count()) == (200, 0)
    assert page.content.decode().count("Comune: Il carattere") == 2


def test_more_space(client, make_box, alice):
    BillingProfile.objects.update(city="Рим")
    box = make_box(alice, "pro", plan="pro", expires_in=90)
    address = f"/area-clienti/pec/{box.public_id}/spazio/"
    typed = {
        "extra_mailbox": "1", "extra_archive": "0", "email": "a@posta.example", "method": "transfer", "terms": "on",
        "shown_total": "1.00",
    }  # fmt: skip
    page = client.post(address, typed)
    assert (page.status_code, Order.objects.count()) == (200, 0)
    assert "Comune: Il carattere" in page.content.decode()
    client.get("/area-clienti/dati/")
    assert 'value="a@posta.example"' in client.get(address).content.decode()  # nothing typed is lost


def test_no_query_where_the_profile_is_at_hand(alice, django_assert_num_queries):
    owner = type(alice).objects.select_related("billing").get(pk=alice.pk)
    with django_assert_num_queries(0):
        assert early.problems(owner, SUMS, back="/") == []
