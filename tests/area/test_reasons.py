"""Each reason of R4 with its sentence and its way out, on the card and on the box's page."""

from datetime import timedelta

import pytest
import time_machine

from mailboxes import flows
from mailboxes.models import Mailbox
from payments import charging
from payments.models import Payment, ScheduledCharge
from pecportal import clock
from pecportal.area.boxes import cards
from pecportal.area.reading import with_relations
from renewals import giving, settle
from renewals.models import Order, OrderLine
from tests.area.conftest import page_of
from tests.buying import buy, deleted, new_life
from tests.domains import domain_of
from tests.helpers import pay_card, place, start_card
from tests.payments.charging_helpers import automatic, card, on

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/area-clienti/pec/"


@pytest.fixture
def both(see, signed_in):
    """What a person reads of a box on the list and on its page, and the addresses both lead to."""

    def look(user, box):
        client = signed_in(user)
        pages = [client.get(path).content.decode() for path in (LIST, page_of(box))]
        return see(user, LIST), see(user, page_of(box)), pages

    return look


def links(box, order=None) -> dict[str, str]:
    found = {
        "renew": f'href="/area-clienti/pec/{box.public_id}/rinnova/"',
        "auto": f'href="/area-clienti/pec/{box.public_id}/rinnovo-automatico/"',
        "off": f'action="/area-clienti/pec/{box.public_id}/rinnovo-automatico/disattiva/"',
    }
    if order is not None:
        found["pay"] = f'href="/area-clienti/ordini/{order.number}/paga/"'
        found["cancel"] = f'href="/area-clienti/ordini/{order.number}/annulla/"'
    return found


def shown(pages, box, order=None) -> set[str]:
    on_each = [{name for name, link in links(box, order).items() if link in page} for page in pages]
    assert on_each[0] == on_each[1]
    return on_each[0]


def test_renewable(both, alice, box):
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == {"renew", "auto"}
    for text in (listed, alone):
        assert "Attiva, in scadenza scade" in text
        assert "tra 40 giorni" in text
        assert "Rinnovo automatico: non attivo" in text
        assert "Spazio 0,00 di 1 GB" in text


def test_order_to_pay(both, alice, box):
    order = place(box, alice)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box, order) == {"pay", "cancel"}
    for text in (listed, alone):
        assert f"C'è già un ordine di rinnovo ({order.number}, €\xa012,08) in attesa di pagamento." in text.replace(
            "€ 12", "€\xa012"
        )
        assert "Rinnovo In attesa di pagamento" not in text
        assert "In attesa di pagamento Paga" in text


def test_order_to_pay_with_a_declared_transfer(both, alice, box, today):
    order = place(box, alice)
    settle.declare_transfer(order, today=today, actor=alice)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box, order) == {"pay", "cancel"}
    for text in (listed, alone):
        assert "Hai dichiarato il bonifico" in text
        assert "In attesa del bonifico" in text


def test_order_whose_payment_is_unknown_offers_nothing(both, alice, box):
    """R19: not to be paid again, R12b: not to be cancelled."""
    order = place(box, alice)
    payment = start_card(order, alice)
    Payment.objects.filter(pk=payment.pk).update(status=Payment.Status.UNKNOWN)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box, order) == set()
    for text in (listed, alone):
        assert "Stiamo verificando il pagamento con la banca. Non pagare di nuovo: ti scriviamo appena è certo." in text
        assert "Pagamento in verifica: non pagare di nuovo" in text


def test_order_whose_payment_is_under_way_says_to_wait_for_it(both, alice, box):
    """The bank has it: who has paid is told to wait; who has not may still pay or cancel (R20)."""
    order = place(box, alice)
    payment = start_card(order, alice)
    Payment.objects.filter(pk=payment.pk).update(status=Payment.Status.PENDING)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box, order) == {"pay", "cancel"}
    for text in (listed, alone):
        assert "con un pagamento in corso. Se hai già pagato, aspetta: ti scriviamo appena è certo." in text
        assert "in attesa di pagamento" not in text


def test_order_past_its_last_day_can_only_be_cancelled(both, alice, box, today):
    order = place(box, alice)
    Order.objects.filter(pk=order.pk).update(lapses_on=today - timedelta(days=1))
    listed, alone, pages = both(alice, box)
    assert shown(pages, box, order) == {"cancel"}
    for text in (listed, alone):
        assert f"L'ordine di rinnovo {order.number} non si può più pagare: annullalo, poi rinnova di nuovo." in text
        assert "Non pagato in tempo" in text


def test_order_at_work(both, alice, box):
    order = place(box, alice)
    Order.objects.filter(pk=order.pk).update(status=Order.Status.PAID, paid_at=clock.now())
    listed, alone, pages = both(alice, box)
    assert shown(pages, box, order) == set()
    for text in (listed, alone):
        assert "Il rinnovo è pagato e in lavorazione: la nuova scadenza compare qui appena è registrata." in text


def test_order_in_attention(both, alice, box):
    order = place(box, alice)
    Order.objects.filter(pk=order.pk).update(status=Order.Status.ATTENTION, paid_at=clock.now())
    OrderLine.objects.filter(order=order).update(status=OrderLine.Status.ATTENTION)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box, order) == set()
    for text in (listed, alone):
        assert "Il rinnovo è pagato e lo stiamo verificando: non pagare di nuovo" in text


def auto(box, **changes):
    Mailbox.objects.filter(pk=box.pk).update(auto_renews=True, **changes)


def test_auto_renewal(both, alice, box, today):
    auto(box)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == {"off"}
    for text in (listed, alone):
        assert "Si rinnova da sola: addebito" in text
        assert "disattiva prima il rinnovo automatico. Disattiva" in text


def test_auto_renewal_that_really_was_paid(both, alice, box):
    pay_card(place(box, alice), alice)
    for order in Order.objects.filter(status=Order.Status.PAID):
        giving.fulfil(order.pk)
    _listed, alone, pages = both(alice, box)
    assert shown(pages, box) == {"off"}
    assert " si rinnova per 1 anno, al prezzo di quel giorno. L'importo accettato è" in alone
    assert "Paghi con" in alone


def charge_named(box, day):
    (found,) = cards(list(with_relations(Mailbox.objects.filter(pk=box.pk))), user=box.owner, today=day)
    return found.charge.day if found.charge else None


def test_the_day_of_a_charge_that_was_not_announced_is_the_one_on_which_it_is_made(make_box, alice):
    box = automatic(make_box(alice, "auto", expires_in=60), alice, card(alice), days_before=60)
    day = box.expires_on - timedelta(days=5)  # the job was off since E−30
    with on(day):
        named = charge_named(box, day)
        charging.run()
        assert named == day + timedelta(days=1) == ScheduledCharge.objects.get(box=box).due_on


def test_a_charge_that_is_a_day_late_names_no_day_that_has_passed(make_box, alice):
    box = automatic(make_box(alice, "auto", expires_in=60), alice, card(alice), days_before=60)
    with on(box.expires_on - timedelta(days=30)):
        charging.run()
    for days in (8, 7, 6):  # due on E−7
        day = box.expires_on - timedelta(days=days)
        assert charge_named(box, day) == box.expires_on - timedelta(days=min(days, 7))


def test_on_the_last_day_no_charge_is_named_that_nothing_announced(both, alice, make_box, today):
    box = make_box(alice, "oggi", expires_in=0)
    auto(box)
    assert charge_named(box, today) is None
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == {"off"}
    for text in (listed, alone):
        assert "attivo, ma per questa scadenza l'addebito non ci sarà" in text
        assert "addebito oggi" not in text


def test_auto_renewal_over_for_this_expiry_lets_rinnova_back(both, alice, box):
    auto(box, auto_over_for=box.expires_on)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == {"renew", "off"}
    for text in (listed, alone):
        assert "Il rinnovo automatico per questa scadenza non ci sarà: rinnovala tu." in text


def test_auto_renewal_cannot_be_turned_on_on_the_last_day(both, alice, make_box):
    """R24."""
    box = make_box(alice, "oggi", expires_in=0)
    listed, _alone, pages = both(alice, box)
    assert shown(pages, box) == {"renew"}
    assert "Rinnovo automatico: non attivo" in listed
    assert "oggi" in listed


def test_expired(both, alice, make_box):
    box = make_box(alice, "vecchia", expires_in=-12)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == {"renew"}
    for text in (listed, alone):
        assert "Puoi leggere i messaggi ma non inviarne né riceverne. Rinnovala entro" in text
        assert "dopo sarà cancellata con tutto il contenuto." in text


def test_expired_with_an_order_to_pay(both, alice, make_box):
    box = make_box(alice, "vecchia", expires_in=-12)
    order = place(box, alice)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box, order) == {"pay", "cancel"}
    for text in (listed, alone):
        assert "Il rinnovo va pagato entro" in text


def test_a_box_on_a_domain_is_never_said_to_be_bought_again(both, alice, make_box):
    box = make_box(alice, "info", plan="domain", domain=domain_of(alice), host="pec.rossi.example")
    Mailbox.objects.filter(pk=box.pk).update(phase="deleting", login=None)
    for text in both(alice, box)[:2]:
        assert "non si può più aprire né rinnovare. Le caselle su dominio si aprono con il dominio" in text
        assert "acquistare di nuovo" not in text


def test_on_domain(both, alice, make_box, today):
    domain = flows.open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(days=50)
    )
    box = make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == set()
    for text in (listed, alone):
        assert "Si rinnova insieme al dominio rossi.example, nello stesso ordine." in text
        assert "Vai al dominio rossi.example" in text
        assert "Rinnovo automatico" not in text
    for page in pages:
        assert f'href="/area-clienti/domini/{domain.public_id}/"' in page


def test_on_domain_its_own_login_reads_who_renews_it_and_is_led_nowhere(see, signed_in, alice, make_box, today):
    domain = flows.open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(days=50)
    )
    box = make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    text = see(box.login, page_of(box))
    assert "Lo rinnova chi gestisce l'account del dominio." in text
    assert "Vai al dominio" not in text
    assert str(domain.public_id) not in signed_in(box.login).get(page_of(box)).content.decode()


def test_on_domain_past_its_last_day_is_led_nowhere(both, alice, make_box, today):
    domain = flows.open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today - timedelta(days=91)
    )
    box = make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    listed, alone, _pages = both(alice, box)
    for text in (listed, alone):
        assert "In attesa di cancellazione: il dominio si poteva rinnovare entro" in text
        assert "Vai al dominio" not in text


def test_activating(both, alice, box):
    pay_card(buy(deleted(box), alice), alice, agreed=False)
    box = new_life(box)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == set()
    for text in (listed, alone):
        assert "In attivazione La stiamo attivando: ti scriviamo appena è pronta." in text
        assert "Spazio" not in text


def test_awaiting_deletion(both, alice, make_box):
    """R16: mail as Scaduta, no new order."""
    box = make_box(alice, "tardi", expires_in=-91)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == set()
    for text in (listed, alone):
        assert "Scaduta, in attesa di cancellazione" in text
        assert "In attesa di cancellazione: si poteva rinnovare entro" in text
        assert "salva adesso quelli che ti servono" in text
        assert "cancellazione 2" not in text  # no strip: no date ahead is certain


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("awaiting_payment", "Se hai pagato il rinnovo entro"),
        ("paid", "Il rinnovo già pagato vale ancora: lo stiamo lavorando e la casella resta."),
    ],
)
def test_awaiting_deletion_with_money_under_way(both, alice, make_box, today, status, sentence):
    """R16: money begun by E+90 still renews."""
    box = make_box(alice, "tardi", expires_in=-90)
    order = place(box, alice)
    Order.objects.filter(pk=order.pk).update(status=status)
    yesterday = today - timedelta(days=91)
    Mailbox.objects.filter(pk=box.pk).update(expires_on=yesterday, delete_from=today)
    listed, alone, _pages = both(alice, box)
    for text in (listed, alone):
        assert sentence in text


def gone(box, phase):
    Mailbox.objects.filter(pk=box.pk).update(phase=phase, login=None)


def test_deleting(both, alice, box):
    gone(box, "deleting")
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == set()
    for text in (listed, alone):
        assert "In cancellazione" in text
        assert "Quando sarà cancellata, lo stesso titolare potrà acquistare di nuovo l'indirizzo, vuoto." in text


def test_deleted(both, alice, box):
    """No tombstone: nobody's to buy. What a deleted box offers otherwise: tests/area/test_again.py."""
    gone(box, "deleted")
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == set()
    for text in (listed, alone):
        assert "Cancellata con tutto il contenuto: i messaggi non si recuperano." in text
        assert "Solo il titolare di allora può acquistare di nuovo questo indirizzo" in text
        assert "Spazio" not in text


def test_deleted_and_opened_again(see, alice, box, make_box):
    """R30: a new row of the same address; the old one must not say that it can be bought."""
    gone(box, "deleted")
    make_box(alice, "alice")
    text = see(alice, page_of(box))
    assert "Riacquistata: questa è la vita di prima, cancellata con tutto il contenuto." in text
    assert "può acquistare" not in text


def test_a_change_that_waits(both, alice, make_box, plans, today):
    box = make_box(alice, "grande", plan="premium")
    change_on = box.expires_on + timedelta(days=1)
    waits = {"next_plan": plans.pro, "next_mailbox_gb": 2, "next_archive_gb": 3, "change_on": change_on}
    Mailbox.objects.filter(pk=box.pk).update(**waits)
    listed, alone, _pages = both(alice, box)
    for text in (listed, alone):
        assert ": Pro · 2 GB · archivio 3 GB" in text
        assert "Archivio 0,00 di 8 GB" in text
    assert "passa a Pro" in alone
    Mailbox.objects.filter(pk=box.pk).update(change_refused_on=today)
    assert "Il passaggio a Pro, 2 GB, aspetta: quello che c'è nella casella non ci sta." in both(alice, box)[0]


def test_used_space(both, alice, make_box, platform):
    box = make_box(alice, "piena", plan="pro")
    platform.set_usage(box.address.name, mailbox_bytes=2 * 1024**3 - 1, archive_bytes=1024**3)
    listed, alone, pages = both(alice, box)
    for text in (listed, alone):
        assert "Spazio 2,00 di 2 GB" in text
        assert "Archivio 1,00 di 3 GB" in text
    assert 'min="0" max="2" value="2.0" low="1.399" high="1.8"' in pages[0]


def test_a_mail_system_that_does_not_answer(both, alice, box, monkeypatch):
    def silent(self, addresses):
        raise ConnectionError("down")

    monkeypatch.setattr("mailboxes.platform.local.LocalPlatform.usage", silent)
    listed, alone, pages = both(alice, box)
    assert shown(pages, box) == {"renew", "auto"}
    for text in (listed, alone):
        assert "Spazio usato: in questo momento non lo sappiamo." in text


@pytest.mark.parametrize(
    ("after", "hour", "state", "offered"),
    [
        (0, "12:00", "Attiva, in scadenza", {"renew"}),
        (0, "22:30", "Attiva, in scadenza", {"renew"}),  # UTC: 23:30 in Rome
        (0, "23:30", "Scaduta", {"renew"}),  # 0:30 of E+1 in Rome
        (1, "00:30", "Scaduta", {"renew"}),
        (90, "12:00", "Scaduta", {"renew"}),
        (90, "21:30", "Scaduta", {"renew"}),
        (90, "23:30", "Scaduta, in attesa di cancellazione", set()),
        (91, "00:30", "Scaduta, in attesa di cancellazione", set()),
    ],
)
def test_both_sides_of_midnight_in_rome(both, alice, plans, after, hour, state, offered):
    """R13: the day is Rome's, whatever the server's clock says."""
    from tests.conftest import holder_of

    with time_machine.travel("2026-10-01 09:00+00:00"):
        box = flows.open_box(
            address="soglia@pec.example", owner=alice, holder=holder_of(alice, "alice"), plan=plans.standard,
            expires_on=clock.today().replace(month=11, day=20),
        )  # fmt: skip
    day = box.expires_on + timedelta(days=after)
    with time_machine.travel(f"{day} {hour}+00:00", tick=False):
        listed, alone, pages = both(alice, box)
    assert shown(pages, box) - {"auto"} == offered
    for text in (listed, alone):
        assert f"{state} " in text
        assert ("in attesa di cancellazione" in text) is (not offered)
        assert ("Attiva, in scadenza" in text) is (state.startswith("Attiva"))
