import re
from datetime import timedelta

import pytest

from mailboxes import flows
from mailboxes.models import Domain, Mailbox
from payments.models import Payment
from pecportal import clock
from renewals.models import Order
from tests.domains import place_domain
from tests.helpers import place, start_card

DOMAINS = "/area-clienti/domini/"
ORDERS = "/area-clienti/ordini/"


def domain_of(owner, name, today, days):
    return flows.open_domain(name=name, mail_host=f"pec.{name}", owner=owner, expires_on=today + timedelta(days=days))


@pytest.mark.parametrize(
    ("days", "state", "sentence"),
    [
        (200, "Attivo", "Rinnova rossi.example"),
        (50, "Attivo, in scadenza", "Rinnova rossi.example"),
        (0, "Attivo, in scadenza", "Rinnova rossi.example"),
        (-1, "Scaduto", "le sue caselle si leggono ma non inviano né ricevono. Va rinnovato entro"),
        (-90, "Scaduto", "Va rinnovato entro"),
        (-91, "Scaduto, in attesa di cancellazione", "In attesa di cancellazione: si poteva rinnovare entro"),
    ],
)
def test_a_domain_and_its_boxes(see, alice, make_box, today, days, state, sentence):
    domain = domain_of(alice, "rossi.example", today, days)
    make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    text = see(alice, DOMAINS)
    assert "si rinnovano insieme, in un solo ordine." in text
    assert f"rossi.example 1 casella @pec.rossi.example {state} " in text
    assert sentence in text
    assert "info@pec.rossi.example" in text
    assert ("Rinnova rossi.example" in text) == (days > -91)
    alone = see(alice, f"{DOMAINS}{domain.public_id}/")
    assert sentence in alone and "Nessun ordine per questo dominio." in alone
    assert ("cancellazione" in alone and "oggi" in alone) == (days > -91)  # the strip: no date ahead is certain after


def test_a_domain_without_boxes_promises_no_notice(see, alice, make_box, today):
    domain = domain_of(alice, "rossi.example", today, 40)
    path = f"{DOMAINS}{domain.public_id}/"
    alone = see(alice, path)
    assert "cancellazione" in alone and "prossimo avviso" not in alone
    make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    assert "prossimo avviso" in see(alice, path)


def test_its_order_stands_in_place_of_rinnova_and_at_the_foot(see, alice, make_box, today):
    domain = domain_of(alice, "rossi.example", today, 50)
    make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    order = place_domain(domain, alice)
    for path in (DOMAINS, f"{DOMAINS}{domain.public_id}/"):
        text = see(alice, path)
        assert f"C'è già un ordine di rinnovo ({order.number}," in text
        assert "Rinnova rossi.example" not in text
        assert f"Paga {order.number}" in text and f"Annulla {order.number}" in text
        assert "Ordini associati al prodotto" in text and f"{order.number} Rinnovo dominio" in text
    assert "rossi.example e un'altra" in see(alice, ORDERS)
    Order.objects.update(status="paid", paid_at=clock.now())
    assert "Il rinnovo è pagato e in lavorazione" in see(alice, DOMAINS)


def test_a_payment_in_doubt_is_neither_paid_nor_cancelled(see, alice, today):
    domain = domain_of(alice, "rossi.example", today, 50)
    payment = start_card(place_domain(domain, alice), alice)
    Payment.objects.filter(pk=payment.pk).update(status=Payment.Status.UNKNOWN)
    text = see(alice, f"{DOMAINS}{domain.public_id}/")
    assert "Stiamo verificando il pagamento con la banca. Non pagare di nuovo" in text
    assert "Paga D-" not in text and "Annulla D-" not in text


@pytest.mark.parametrize("who", ["carla", "its own box"])
def test_nobody_else_has_its_page(signed_in, alice, carla, make_box, today, who):
    domain = domain_of(alice, "rossi.example", today, 50)
    box = make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    client = signed_in(carla if who == "carla" else box.login)
    for path in ("", "rinnova/", "rinnova/intestatario/", "rinnova/pagamento/"):
        assert client.get(f"{DOMAINS}{domain.public_id}/{path}").status_code == 404, path


def test_domains_are_mine_and_name_ten_boxes(see, signed_in, alice, carla, make_box, today):
    domain_of(carla, "verdi.example", today, 50)
    domain = domain_of(alice, "rossi.example", today, 50)
    domain_of(alice, "prima.example", today, 5)
    for n in range(12):
        make_box(alice, f"ufficio{n:02}", plan="domain", domain=domain, host="pec.rossi.example")
    text = see(alice, DOMAINS)
    assert "verdi.example" not in text
    assert text.index("prima.example") < text.index("rossi.example")
    assert "12 caselle @pec.rossi.example" in text
    assert "ufficio09@pec.rossi.example e altre 2" in text
    assert "ufficio10" not in text
    assert "0 caselle @pec.prima.example" in text


def test_a_box_on_my_domain_that_is_not_mine_stays_hidden(see, alice, carla, make_box, today):
    domain = domain_of(alice, "rossi.example", today, 50)
    moved = make_box(alice, "carla", plan="domain", domain=domain, host="pec.rossi.example")
    Mailbox.objects.filter(pk=moved.pk).update(owner=carla)
    text = see(alice, DOMAINS)
    assert "carla" not in text
    assert "0 caselle" in text


def test_no_domains(see, alice):
    assert "Nessun dominio" in see(alice, DOMAINS)


def test_the_queries_of_the_domains_page_do_not_grow(signed_in, alice, make_box, today, count):
    def fill(domains, boxes):
        for d in range(domains):
            name = f"d{Domain.objects.count()}.example"
            domain = domain_of(alice, name, today, 50 + d)
            for b in range(boxes):
                make_box(alice, f"b{b}", plan="domain", domain=domain, host=f"pec.{name}")

    client = signed_in(alice)
    fill(1, 1)
    one = count(client, DOMAINS)
    fill(4, 3)
    assert count(client, DOMAINS) == one == 6
    for domain in Domain.objects.all()[:2]:
        place_domain(domain, alice)
    with_orders = count(client, DOMAINS)
    for domain in Domain.objects.all()[2:]:
        place_domain(domain, alice)
    assert count(client, DOMAINS) == with_orders == 8


@pytest.fixture
def orders(alice, make_box):
    made = []
    for n in range(3):
        made.append(place(make_box(alice, f"casella{n}"), alice))
    Order.objects.filter(pk=made[0].pk).update(status=Order.Status.FULFILLED)
    return made


def numbers(text):
    return re.findall(r"R-[2-9A-Z]{6}(?= Rinnovo)", text)


@pytest.mark.django_db(transaction=True)
def test_orders_of_the_account(see, alice, carla, make_box, orders):
    foreign = place(make_box(carla, "carla"), carla)
    done, first, second = (o.number for o in orders)
    text = see(alice, ORDERS)
    assert numbers(text) == [second, first, done]
    assert "Tutti Da pagare 2" in text
    assert numbers(see(alice, ORDERS + "?stato=da_pagare")) == [second, first]
    assert numbers(see(alice, ORDERS + "?stato=boh")) == [second, first, done]
    assert numbers(see(carla, ORDERS)) == [foreign.number]


@pytest.mark.django_db(transaction=True)
def test_an_order_whose_payment_is_being_verified_is_not_one_to_pay(see, alice, orders):
    """R19: the row says "non pagare di nuovo"; the count, the filter and the first page must not say to pay it."""
    _, first, second = orders
    payment = start_card(second, alice)
    Payment.objects.filter(pk=payment.pk).update(status=Payment.Status.UNKNOWN)
    text = see(alice, ORDERS)
    assert "Tutti Da pagare 1" in text
    assert "Pagamento in verifica: non pagare di nuovo" in text
    assert numbers(see(alice, ORDERS + "?stato=da_pagare")) == [first.number]
    assert "1 ordine da pagare" in see(alice, "/area-clienti/")


@pytest.mark.django_db(transaction=True)
def test_orders_come_in_pages_and_keep_their_filter(see, signed_in, alice, make_box):
    model = place(make_box(alice, "casella"), alice)
    fields = {f.name: getattr(model, f.name) for f in Order._meta.fields if f.name not in ("id", "number")}
    copies = [Order(**fields, number=f"R-{n:06}") for n in range(30)]
    Order.objects.bulk_create(copies)
    page = signed_in(alice).get(ORDERS + "?stato=da_pagare").content.decode()
    assert "1–25 di 31" in page
    assert 'href="?stato=da_pagare&amp;page=2"' in page
    assert "26–31 di 31" in signed_in(alice).get(ORDERS + "?stato=da_pagare&page=77").content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_queries_of_the_orders_page_do_not_grow(signed_in, alice, make_box, count):
    client = signed_in(alice)
    place(make_box(alice, "prima"), alice)
    one = count(client, ORDERS)
    for n in range(4):
        place(make_box(alice, f"altra{n}"), alice)
    assert count(client, ORDERS) == one == 5


def test_no_orders(see, alice):
    assert "Nessun ordine" in see(alice, ORDERS)
    assert "Nessun ordine da pagare" in see(alice, ORDERS + "?stato=da_pagare")
