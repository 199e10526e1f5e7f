"""The bank that does not exist: every button, strong authentication, the way back (R18, R19)."""

import pytest
from django.test import Client
from django.urls import reverse

from payments import flows
from payments.models import Payment, StoredMethod
from payments.providers import sandbox
from renewals.models import Order
from tests.helpers import place
from tests.payments.test_outcome import words
from tests.payments.test_pages import at_the_bank, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(browser_of, alice):
    return browser_of(alice)


# --- Return -----------------------------------------------------------------------------------------------------------


def test_the_return_page_works_without_a_session(attempt, order, commits):
    """The money counts at once; the person signs in and lands here again (R1, R18)."""
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    back = reverse("payments:return", args=[attempt.public_id])
    with commits():
        response = Client().get(back)
    assert response.headers["Location"] == f"/accesso/?next={back}"
    assert (response.content, Order.objects.get().status) == (b"", "fulfilled")


def test_the_return_page_asks_only_about_what_is_open(client, attempt, order, alice, monkeypatch):
    sandbox.write(attempt.remote_id, status=sandbox.REFUSED)
    flows.fetch_and_record(attempt.pk)
    monkeypatch.setattr(flows, "fetch_and_record", lambda pk: pytest.fail("asked"))
    response = client.get(reverse("payments:return", args=[attempt.public_id]))
    assert response.headers["Location"] == url("outcome", order)


# --- The sandbox's page -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "payment", "order_status", "title"),
    [
        ("paga", "registered", "fulfilled", "Rinnovata fino al"),
        ("rifiuta", "failed", "awaiting_payment", "La banca ha risposto: carta rifiutata."),
        ("sospeso", "pending", "awaiting_payment", "Pagamento in verifica"),
        ("silenzio", "unknown", "awaiting_payment", "Pagamento in verifica"),
        ("annulla", "cancelled", "awaiting_payment", "Pagamento interrotto"),
    ],
)
def test_each_button_of_the_sandbox(client, order, commits, action, payment, order_status, title):
    with commits():
        at_the_bank(client.post(url("pay", order), {"method": "sandbox"}), action, client)
    assert (Payment.objects.get().status, Order.objects.get().status) == (payment, order_status)
    assert title in words(client.get(url("outcome", order)))


def test_strong_authentication(client, order, commits):
    path = client.post(url("pay", order), {"method": "sandbox"}).headers["Location"]
    assert client.post(path, {"azione": "autenticazione"}).headers["Location"] == path
    assert "Conferma che sei tu" in words(client.get(path))
    for code in ("", "000000", "123456789012"):
        wrong = client.post(path, {"azione": "conferma", "code": code})
        assert wrong.status_code == 200 and "C'è un problema" in words(wrong)
    assert sandbox.read(Payment.objects.get().remote_id)["status"] == sandbox.OPEN
    with commits():
        client.get(client.post(path, {"azione": "conferma", "code": "123 456"}).headers["Location"])
    assert Order.objects.get().status == "fulfilled"


def test_strong_authentication_denied(client, order):
    path = client.post(url("pay", order), {"method": "sandbox"}).headers["Location"]
    client.post(path, {"azione": "autenticazione"})
    client.get(client.post(path, {"azione": "nega"}).headers["Location"])
    assert (Payment.objects.get().status, Payment.objects.get().reason) == ("failed", "autenticazione negata")


def test_a_concluded_attempt_cannot_be_paid_again_at_the_sandbox(client, attempt):
    path = reverse("payments:sandbox", args=[attempt.remote_id])
    client.post(path, {"azione": "rifiuta"})
    for action in ("paga", "conferma", "<script>", ""):
        response = client.post(path, {"azione": action, "code": "123456"})
        assert "Questo pagamento è già concluso." in words(response)
    assert sandbox.read(attempt.remote_id)["status"] == sandbox.REFUSED


def test_the_code_alone_does_not_pay(client, attempt):
    path = reverse("payments:sandbox", args=[attempt.remote_id])
    client.post(path, {"azione": "conferma", "code": "123456"})
    assert sandbox.read(attempt.remote_id)["status"] == sandbox.OPEN


def test_a_new_test_card_is_a_new_saved_method(client, order, make_box, alice, commits):
    orders = [order, place(make_box(alice, "altra"), alice)]
    for each, card in zip(orders, ("solita", "nuova"), strict=True):
        with commits():
            at_the_bank(client.post(url("pay", each), {"method": "sandbox"}), "paga", client, carta=card)
    saved = StoredMethod.objects.order_by("id").values_list("label", "login")
    assert list(saved) == [("Carta di prova •••• 4242", alice.pk), ("Carta di prova •••• 5556", alice.pk)]
