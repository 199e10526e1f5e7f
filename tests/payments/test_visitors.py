"""/paga/: an order number and a code of its holder, no sign-in; amount and box, nothing else (R24, R33)."""

from datetime import timedelta
from html import unescape

import pytest
import time_machine
from django.test import Client

from mailboxes.models import Mailbox
from payments import flows
from payments.models import AutoRenewal, Payment, StoredMethod
from payments.providers import sandbox
from pecportal import clock
from tests.conftest import CODES
from tests.helpers import place, years_later

pytestmark = pytest.mark.django_db(transaction=True)
WRONG = "Numero d'ordine e codice non corrispondono"


@pytest.fixture
def order(make_box, alice):
    return place(make_box(alice, "studio", holder="bruno"), alice)


def find(visitor: Client, number: str, code: str):
    return visitor.post("/paga/", {"number": number, "code": code}, follow=True)


def text(response) -> str:
    return unescape(response.content.decode())


def let_in(order) -> Client:
    visitor = Client()
    assert find(visitor, order.number, CODES["bruno"]).request["PATH_INFO"] == "/paga/ordine/"
    return visitor


def test_amount_and_box_and_nothing_else(order):
    page = text(let_in(order).get("/paga/ordine/"))
    assert "studio<wbr>@pec.example" in page
    assert "€\u00a012,08" in page
    for secret in ("alice", "Rossi", "Bianchi", "Bruno", CODES["bruno"], CODES["alice"], "@posta.example", "2000001@"):
        assert secret not in page.replace("assistenza@posta.example", "")


@pytest.mark.parametrize("number", ["{}", " {} ", "{l}"], ids=["as is", "spaces", "lower case"])
def test_the_number_as_people_type_it(order, number):
    typed = number.format(order.number, l=order.number.lower())
    assert find(Client(), typed, f"IT{CODES['bruno'].lower()}"[2:]).request["PATH_INFO"] == "/paga/ordine/"


def test_a_wrong_code_and_a_number_that_does_not_exist_look_the_same(order):
    pages = [find(Client(), order.number, CODES["alice"]), find(Client(), "R-222222", CODES["bruno"])]
    assert [WRONG in text(p) for p in pages] == [True, True]
    assert "studio" not in text(pages[0])
    assert order.number in text(pages[0])  # what was typed stays


def test_the_code_of_the_account_does_not_open_it(order, alice):
    assert alice.billing.codice_fiscale == CODES["alice"]
    assert WRONG in text(find(Client(), order.number, CODES["alice"]))


def test_an_empty_code_never_matches(order):
    order.lines.get().holder.__class__.objects.update(codice_fiscale="", partita_iva="")
    assert Client().post("/paga/", {"number": order.number, "code": " "}).status_code == 200
    assert WRONG in text(find(Client(), order.number, "IT"))


def test_guessing_is_stopped(order):
    visitor = Client()
    for _try in range(10):
        find(visitor, order.number, CODES["carla"])
    page = find(visitor, order.number, CODES["bruno"])
    assert (page.status_code, "Troppi tentativi" in text(page)) == (429, True)


@pytest.mark.parametrize("path", ["/paga/ordine/", "/paga/esito/"])
def test_nothing_without_the_code_and_nothing_after_half_an_hour(order, path):
    assert Client().get(path).url == "/paga/"
    with time_machine.travel(clock.now(), tick=False) as watch:
        visitor = let_in(order)
        assert visitor.get(path).status_code == 200
        watch.shift(timedelta(minutes=31))
        assert visitor.get(path).url == "/paga/"


def test_paid_by_a_visitor_it_moves_the_expiry_and_switches_nothing_on(order):
    box = Mailbox.objects.get()
    visitor = let_in(order)
    bank = visitor.post("/paga/ordine/", {"method": "sandbox"})
    payment = Payment.objects.get()
    assert (bank.url, payment.started_by, payment.auto_renewal_agreed) == (
        f"/sandbox/{payment.remote_id}/", None, False,
    )  # fmt: skip
    back = visitor.post(bank.url, {"azione": "paga"})
    page = visitor.get(back.url, follow=True)
    assert page.request["PATH_INFO"] == "/paga/esito/"
    assert "Pagamento registrato" in text(page)
    before, after = box.expires_on, Mailbox.objects.get().expires_on
    assert after == years_later(before)
    assert (AutoRenewal.objects.count(), StoredMethod.objects.count()) == (0, 0)


def test_by_transfer_the_instructions(order):
    visitor = let_in(order)
    page = visitor.post("/paga/ordine/", {"method": "transfer"}, follow=True)
    assert page.request["PATH_INFO"] == "/paga/esito/"
    assert "IT60 X054 2811 1010 0000 0123 456" in text(page)


def test_while_a_payment_is_in_doubt_nobody_is_asked_to_pay_again(order, alice):
    visitor = let_in(order)
    bank = visitor.post("/paga/ordine/", {"method": "sandbox"})
    sandbox.write(Payment.objects.get().remote_id, status=sandbox.TIMEOUT)
    flows.fetch_and_record(Payment.objects.get().pk)
    page = visitor.get("/paga/ordine/", follow=True)
    assert "Non pagare di nuovo" in text(page)
    assert bank.status_code == 302


def test_the_way_back_is_not_open_to_another_visitor(order):
    let_in(order).post("/paga/ordine/", {"method": "sandbox"})
    other = Client().get(f"/pagamenti/{Payment.objects.get().public_id}/ritorno/")
    assert other.url.startswith("/accesso/")
