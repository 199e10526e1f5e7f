"""An order whose money came but pays it not yet (R21): told not to pay again on one page, asked to on none."""

from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from payments import cases, flows
from payments.models import Case, Payment, StoredMethod
from payments.providers import sandbox
from tests.conftest import CODES
from tests.helpers import pay_transfer, start_card
from tests.payments.test_outcome import words

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held(order, alice):
    """Alice went back to the transfer; the card attempt that she gave up turns out to be paid all the same."""
    attempt = start_card(order, alice)
    flows.choose_transfer(order.pk)
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    flows.fetch_and_record(attempt.pk)
    order.refresh_from_db()
    case = Case.objects.get(order=order, closed_at=None)
    assert (case.kind, str(case.amount), order.status) == ("too_late", "12.08", "awaiting_payment")
    return order


def pages(order, box):
    return [reverse("area:gestisci"), reverse("area:box", args=[box.public_id]), reverse("area:ordini")]


def test_no_list_asks_to_pay_again(held, box, alice, browser_of):
    client = browser_of(alice)
    for path in pages(held, box):
        response = client.get(path)
        assert f"/ordini/{held.number}/paga/" not in response.content.decode(), path
        assert "on pagare di nuovo" in words(response), path
    assert "Nessun ordine da pagare" in words(client.get(reverse("area:home")))


@pytest.mark.parametrize("name", ["pay", "transfer"])
@pytest.mark.parametrize("verb", ["get", "post"])
def test_paga_and_the_instructions_lead_to_what_is_known(held, alice, browser_of, name, verb):
    response = getattr(browser_of(alice), verb)(
        reverse(f"payments:{name}", args=[held.number]), {"method": "sandbox"}, follow=True
    )
    assert response.redirect_chain == [(reverse("payments:outcome", args=[held.number]), 302)]
    assert "Abbiamo ricevuto € 12,08 che non riusciamo ad abbinare" in words(response)
    assert Payment.objects.filter(order=held).count() == 1


def test_nor_at_paga_without_a_sign_in(held):
    visitor = Client()
    response = visitor.post("/paga/", {"number": held.number, "code": CODES["alice"]}, follow=True)
    assert response.request["PATH_INFO"] == "/paga/esito/"
    assert "Non pagare di nuovo" in words(response)
    assert "IBAN" not in words(response)
    assert "/paga/ordine/" not in response.content.decode()


def test_once_staff_has_decided_it_can_be_paid(held, box, alice, dario, browser_of):
    cases.close_case(case_id=Case.objects.get(order=held, closed_at=None).pk, actor=dario, resolution="restituiti")
    client = browser_of(alice)
    for path in pages(held, box):
        assert f"/ordini/{held.number}/paga/" in client.get(path).content.decode(), path
    assert "Paga € 12,08" in words(client.get(reverse("payments:pay", args=[held.number])))


def test_annulla_says_what_becomes_of_a_part_that_came(order, alice, dario, browser_of):
    asked = reverse("payments:cancel", args=[order.number])
    client = browser_of(alice)
    assert "Abbiamo già ricevuto" not in words(client.get(asked))
    pay_transfer(order, dario, amount=Decimal("5.00"))
    assert "Abbiamo già ricevuto € 5,00 Se annulli, non serviranno a questo ordine" in words(client.get(asked))


def test_nothing_new_begins_while_it_waits_for_staff(held, alice):
    with pytest.raises(flows.NotPayableError, match="non pagare di nuovo"):
        start_card(held, alice)
    with pytest.raises(flows.NotPayableError, match="non pagare di nuovo"):
        flows.choose_transfer(held.pk)
    saved = StoredMethod.objects.create(login=alice, provider="sandbox", remote_id="card_x", label="Carta")
    with pytest.raises(flows.NotPayableError, match="non pagare di nuovo"):
        flows.charge(order_id=held.pk, method=saved)
    assert Payment.objects.filter(order=held).count() == 1
