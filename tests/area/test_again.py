"""A deleted box in the list and on its page: Acquista di nuovo or why not, and the life that came after (R30)."""

from datetime import timedelta

import pytest
import time_machine

from mailboxes.models import Address, Mailbox
from payments import withdrawal
from payments.models import Payment
from pecportal import clock
from renewals.models import Order
from tests.area.conftest import page_of
from tests.area.test_reasons import both  # noqa: F401 - a fixture
from tests.buying import activate, buy, deleted, new_life
from tests.conftest import CODES
from tests.helpers import pay_card, start_card

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/area-clienti/pec/"
ORDERED = "C'è già un ordine di acquisto"


@pytest.fixture
def gone(make_box, alice):
    return deleted(make_box(alice, "persa", expires_in=-150))


def links(pages, box, order=None) -> set[str]:
    known = {"buy": f'href="/area-clienti/pec/{box.public_id}/acquista/"'}
    if order is not None:
        known["pay"] = f'href="/area-clienti/ordini/{order.number}/paga/"'
        known["cancel"] = f'href="/area-clienti/ordini/{order.number}/annulla/"'
    on_each = [{name for name, link in known.items() if link in page} for page in pages]
    assert on_each[0] == on_each[1]
    return on_each[0]


def test_its_holder_is_offered_it(both, gone, alice):  # noqa: F811
    listed, alone, pages = both(alice, gone)
    assert links(pages, gone) == {"buy"}
    for seen in (listed, alone):
        assert "Cancellata con tutto il contenuto: i messaggi non si recuperano. Puoi acquistare di nuovo" in seen
        assert "Acquista di nuovo persa@pec.example" in seen


def test_another_holder_reads_why_not_and_nothing_of_the_old_one(both, gone, alice):  # noqa: F811
    Address.objects.filter(pk=gone.address_id).update(tombstone="f" * 64)
    listed, alone, pages = both(alice, gone)
    assert links(pages, gone) == set()
    for seen in (listed, alone):
        assert "Solo il titolare di allora può acquistare di nuovo questo indirizzo" in seen
        assert "f" * 64 not in seen


def test_an_order_to_pay(both, gone, alice):  # noqa: F811
    order = buy(gone, alice)
    listed, alone, pages = both(alice, gone)
    assert links(pages, gone, order) == {"pay", "cancel"}
    for seen in (listed, alone):
        assert f"{ORDERED} ({order.number}, € 12,08) in attesa di pagamento" in seen.replace("\xa0", " ")
        assert f"{order.number} Acquisto" in seen  # among the orders at the foot


def test_a_payment_that_is_not_certain_offers_nothing(both, gone, alice):  # noqa: F811
    order = buy(gone, alice)
    start_card(order, alice)
    Payment.objects.update(status="unknown")
    listed, alone, pages = both(alice, gone)
    assert links(pages, gone, order) == set()
    for seen in (listed, alone):
        assert "Non pagare di nuovo: ti scriviamo appena è certo." in seen


def test_an_order_past_its_day_can_only_be_cancelled(both, gone, alice, today):  # noqa: F811
    order = buy(gone, alice)
    Order.objects.update(lapses_on=today - timedelta(days=1))
    _listed, _alone, pages = both(alice, gone)
    assert links(pages, gone, order) == {"cancel"}


def test_the_new_life_is_shown_and_the_old_one_is_history(both, see, gone, alice):  # noqa: F811
    order = buy(gone, alice)
    pay_card(order, alice, agreed=False)
    for state, words in (
        ("In attivazione", "La stiamo attivando: ti scriviamo appena è pronta."),
        ("Attiva", "Attiva "),
    ):
        box = new_life(gone)
        listed, alone, pages = both(alice, gone)
        assert links(pages, gone, order) == set()
        for seen, page in zip((listed, alone), pages, strict=True):
            assert "Riacquistata: questa è la vita di prima" in seen
            assert f'href="/area-clienti/pec/{box.public_id}/"' in page
        today_page = see(alice, page_of(box))
        assert state in today_page and words in today_page
        assert order.number in today_page
        activate()
    login = new_life(gone).login
    assert order.number not in see(login, page_of(new_life(gone)))  # R1: the account's order
    assert "Nessun ordine per questa casella" in see(login, page_of(new_life(gone)))


def test_deleted_once_more_only_the_last_life_is_offered(both, gone, alice):  # noqa: F811
    pay_card(buy(gone, alice), alice, agreed=False)
    activate()
    second = deleted(Mailbox.objects.select_related("holder").get(pk=new_life(gone).pk))
    _l, _a, pages = both(alice, gone)
    assert links(pages, gone) == set()
    _l, _a, pages = both(alice, second)
    assert links(pages, second) == {"buy"}


def test_bought_by_the_same_holder_in_another_account(both, gone, alice, carla, make_box):  # noqa: F811
    box = make_box(carla, "altra")
    box.holder.codice_fiscale = CODES["alice"]
    box.holder.save()
    Mailbox.objects.filter(pk=box.pk).update(address=gone.address, phase="deleted", login=None)
    hers = Mailbox.objects.select_related("address", "holder", "owner", "plan").get(pk=box.pk)
    order = buy(hers, carla)
    listed, alone, pages = both(alice, gone)
    assert links(pages, gone, order) == set()
    for seen in (listed, alone):
        assert "Lo stesso titolare ha già un ordine di acquisto" in seen
        assert order.number not in seen and "carla" not in seen.lower()
    pay_card(order, carla, agreed=False)
    activate()
    listed, alone, _pages = both(alice, gone)
    for seen in (listed, alone):
        assert "L'indirizzo è già stato acquistato di nuovo: la casella nuova è un'altra." in seen
        assert "Vai alla casella" not in seen and order.number not in seen


def test_withdrawn_from_it_is_said_to_be_on_its_way_out(see, gone, alice):
    order = buy(gone, alice)
    pay_card(order, alice, agreed=False)
    order.refresh_from_db()
    shown = withdrawal.offer(order, today=clock.today()).amount
    withdrawal.withdraw(
        order_id=order.pk, user=alice, name="A", email="mario@posta.example", iban="", shown=shown
    )  # fmt: skip
    assert "la stiamo togliendo" in see(alice, page_of(new_life(gone)))
    with time_machine.travel(clock.now() + timedelta(minutes=1), tick=False):
        activate()
    assert "Acquista di nuovo" in see(alice, page_of(gone))


def test_queries_with_one_and_three_deleted_boxes(signed_in, gone, alice, make_box, count, box):
    client = signed_in(alice)
    assert count(client, page_of(box)) == 4  # a living box asks nothing more
    buy(gone, alice)
    found = [(count(client, LIST), count(client, page_of(gone)))]
    for n in range(2):
        buy(deleted(make_box(alice, f"altra{n}", expires_in=-150)), alice)
    found.append((count(client, LIST), count(client, page_of(gone))))
    assert found[0] == found[1], found
