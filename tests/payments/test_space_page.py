"""Aggiungi spazio in the browser's words: priced by the months left, ordered once, in force when paid (R9, R11)."""

from decimal import Decimal as D
from html import unescape

import pytest
from django.test import Client
from post_office.models import Email

from mailboxes.models import Mailbox
from payments.models import AutoRenewal, Payment
from payments.providers import sandbox
from pecportal import clock
from renewals import pricing
from renewals.models import Order

pytestmark = pytest.mark.django_db(transaction=True)
GOOD = {"email": "ordine@posta.example", "method": "sandbox", "terms": "on"}


@pytest.fixture
def pro(make_box, alice):
    return make_box(alice, "pro", plan="pro", expires_in=100)


@pytest.fixture
def client(alice):
    client = Client()
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    return client


def path(box) -> str:
    return f"/area-clienti/pec/{box.public_id}/spazio/"


def text(response) -> str:
    return unescape(response.content.decode())


def total(client, box, **more) -> str:
    page = text(client.post(path(box) + "riepilogo/", more))
    return page.split('name="shown_total" value="')[1].split('"')[0]


def test_the_price_follows_what_is_typed(client, pro):
    months = pricing.months_left(clock.today(), pro.expires_on)
    shown = total(client, pro, extra_mailbox="2", extra_archive="1")
    net = D("2") * 3 * months / 12 + D("1") * 2 * months / 12
    assert D(shown) == pricing.totals([net], D("0.22")).total
    assert total(client, pro) == "0"
    assert total(client, pro, extra_mailbox="tanti") == "0"


def test_ordered_and_paid_it_is_in_force_and_moves_no_date(client, pro):
    shown = total(client, pro, extra_mailbox="2")
    bank = client.post(path(pro), {**GOOD, "extra_mailbox": "2", "shown_total": shown})
    order, payment = Order.objects.get(), Payment.objects.get()
    assert (order.kind, order.total, bank.url) == ("space", D(shown), f"/sandbox/{payment.remote_id}/")
    sandbox.write(payment.remote_id, status=sandbox.PAID)
    client.get(f"/pagamenti/{payment.public_id}/ritorno/")
    after = Mailbox.objects.get()
    assert (after.mailbox_gb, after.archive_gb, after.expires_on) == (4, 3, pro.expires_on)
    assert AutoRenewal.objects.count() == 0  # only renewals and purchases do (R23)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "Indica quanti GB aggiungere."),
        ({"extra_mailbox": "-1"}, "Scrivi un numero intero da 0 a 48."),
        ({"extra_mailbox": "49"}, "Scrivi un numero intero da 0 a 48."),
        ({"extra_archive": "molti"}, "Scrivi un numero intero da 0 a 97."),
        ({"extra_mailbox": "1", "terms": ""}, "accetta le condizioni generali"),
        ({"extra_mailbox": "1", "email": "altra@pec.example"}, "Questa è una casella gestita da noi"),
        ({"extra_mailbox": "1", "method": "oro"}, "Questo metodo di pagamento non c'è"),
        ({"extra_mailbox": "1", "method": ""}, "Scegli come pagare."),
        ({"extra_mailbox": "1", "shown_total": "0.01"}, "Il prezzo è cambiato"),
    ],
)
def test_bad_input_has_its_sentence_and_orders_nothing(client, pro, changes, sentence):
    page = client.post(path(pro), {**GOOD, "shown_total": "1.00", **changes})
    assert sentence in text(page)
    assert "ordine@posta.example" in text(page) or "email" in changes
    assert Order.objects.count() == 0


def test_a_second_order_is_refused_and_says_why(client, pro):
    shown = total(client, pro, extra_mailbox="2")
    for _time in range(2):
        page = client.post(
            path(pro), {**GOOD, "method": "transfer", "extra_mailbox": "2", "shown_total": shown}, follow=True
        )
    assert "già un ordine aperto" in text(page)
    assert Order.objects.count() == 1


def test_where_no_space_can_be_added_no_link_and_the_reason(client, make_box, alice):
    expired = make_box(alice, "vecchia", plan="pro", expires_in=-3)
    full = make_box(alice, "piena", mailbox_gb=2)
    for box in (expired, full):
        assert "Aggiungi spazio" not in text(client.get(f"/area-clienti/pec/{box.public_id}/"))
        assert client.get(path(box)).status_code == 302
    assert "può avere più spazio di così" in text(client.get(path(full), follow=True))


def test_another_customers_box_does_not_exist(pro, carla):
    stranger = Client()
    stranger.force_login(carla, backend="accounts.backends.AccountBackend")
    assert stranger.get(path(pro)).status_code == 404
    assert stranger.post(path(pro), {**GOOD, "extra_mailbox": "1", "shown_total": "1.22"}).status_code == 404


def test_what_is_said_of_it_is_never_of_a_renewal(client, make_box, alice):
    """It moves no date: who believed the contrary would let the box expire."""
    box = make_box(alice, "standard")
    page = client.get(path(box))
    assert "Registrato subito: lo spazio è attivo in pochi minuti." in text(page)
    shown = total(client, box, extra_mailbox="1")
    client.post(path(box), {**GOOD, "extra_mailbox": "1", "shown_total": shown})
    order = Order.objects.get()
    asked = client.get(f"/area-clienti/ordini/{order.number}/annulla/")
    assert "lo spazio della casella resta com'è" in text(asked)
    assert "lo spazio si attiva" in text(asked)
    for page in (client.get(path(box)), client.get(f"/area-clienti/ordini/{order.number}/paga/"), asked):
        assert "casella si rinnova" not in text(page)
        assert "non verrà rinnovata" not in text(page)
    client.post(f"/area-clienti/ordini/{order.number}/annulla/")
    closed = Email.objects.filter(subject__contains="annullato").first()
    assert "Lo spazio della casella standard@pec.example resta com'è." in closed.message
    assert "non è stata rinnovata" not in closed.message + closed.html_message
    client.post(path(box), {**GOOD, "extra_mailbox": "1", "shown_total": shown})
    sandbox.write(Payment.objects.latest("id").remote_id, status=sandbox.PAID)
    client.get(f"/pagamenti/{Payment.objects.latest('id').public_id}/ritorno/")
    given = Email.objects.filter(subject__contains="lo spazio aggiunto è attivo").first()
    assert "ha ora 2 GB di casella, fino" in given.message
    assert "0 GB" not in given.message + given.html_message
