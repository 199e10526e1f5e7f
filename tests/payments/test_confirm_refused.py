"""Step 3 of the wizard: what stops the button, and that one renewal makes one order (R1, R5, R9, R31)."""

from decimal import Decimal as D

import pytest
from django.urls import reverse

from mailboxes.catalogue import forget_shown
from mailboxes.models import Mailbox, Price
from mailboxes.rules import GB
from pecportal import clock
from renewals import flows
from renewals.models import Order
from tests.helpers import place
from tests.renewals.wizard_walk import Walk, errors, said, text, url

pytestmark = pytest.mark.django_db

CHANGED = "Il prezzo è cambiato da quando hai aperto la pagina: controlla il nuovo totale."
ALREADY = "Per questa casella c'è già un ordine di rinnovo: è questo. Non ne abbiamo creati altri."
NO_PRICE = (
    "Il listino è in aggiornamento e ora non possiamo calcolare il prezzo. Non abbiamo ordinato niente: riprova "
    "fra un'ora."
)


@pytest.fixture
def walk(box, alice) -> Walk:
    return Walk(box, alice).to_confirm()


def page_of(order: Order) -> str:
    return reverse("payments:order", args=[order.number])


def raise_prices(plans) -> None:
    Price.objects.create(item="plan", plan=plans.standard, net=D("12.00"), valid_from=clock.today())


# --- Bad input --------------------------------------------------------------------------------------------------------

YEARS = "Scegli da 1 a 5 anni."
NO_METHOD = "Questo metodo di pagamento non c'è: scegline uno di quelli elencati."
THREE = "Hai scelto 3 anni: il totale qui sotto ora è per 3 anni. Controllalo e conferma."


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ({"years": "0"}, {"years": [YEARS]}),
        ({"years": "6"}, {"years": [YEARS]}),
        ({"years": "-1"}, {"years": [YEARS]}),
        ({"years": "due"}, {"years": [YEARS]}),
        ({"years": ""}, {"years": [YEARS]}),
        ({"method": ""}, {"method": ["Scegli come pagare."]}),
        ({"method": "bitcoin"}, {"method": [NO_METHOD]}),
        ({"terms": ""}, {"terms": ["Per ordinare, accetta le condizioni generali con la spunta."]}),
        ({"shown_total": "0.01"}, {"__all__": [CHANGED]}),
        ({"shown_total": "-12.08"}, {"__all__": [CHANGED]}),
        ({"shown_total": ""}, {"shown_total": [CHANGED]}),
        ({"shown_total": "sNaN"}, {"shown_total": [CHANGED]}),
        ({"shown_total": "gratis"}, {"shown_total": [CHANGED]}),
        ({"shown_total": "99999999999999"}, {"shown_total": [CHANGED]}),
        ({"years": "3"}, {"__all__": [THREE]}),  # without JavaScript: the page still showed the total of one year
        ({"years": "3", "shown_years": "3"}, {"__all__": [CHANGED]}),
    ],
)
def test_bad_input_of_step_3(walk, typed, found):
    page = walk.confirm(**{"immediate_start": "on", **typed})
    assert page.status_code == 200
    assert errors(page) == found
    for sentences in found.values():
        assert all(s in text(page) for s in sentences)
    total = {"3": "36.23"}.get(typed.get("years", ""), "12.08")
    assert f'name="shown_total" value="{total}"' in page.content.decode()  # ours, never what was sent
    shown = {name: page.context["form"][name].value() for name in ("immediate_start", "terms", "method")}
    assert shown == {  # what was typed stays (R31)
        "immediate_start": True, "terms": typed.get("terms", "on") == "on",
        "method": typed.get("method", "transfer") or None,
    }  # fmt: skip
    assert Order.objects.count() == 0


def test_the_page_that_came_back_can_be_confirmed(walk):
    walk.confirm(years="3")
    assert walk.confirm(years="3", shown_years="3", shown_total="36.23").status_code == 302
    assert (Order.objects.get().years, Order.objects.get().total) == (3, D("36.23"))


def test_a_price_that_changed_meanwhile_is_shown_and_not_charged(walk, plans):
    assert "Totale da pagare € 12,08" in text(walk.get("confirm"))
    raise_prices(plans)
    page = walk.confirm()
    assert errors(page) == {"__all__": [CHANGED]}
    assert "Totale da pagare € 14,64" in text(page)
    assert Order.objects.count() == 0
    assert walk.confirm(shown_total="14.64").status_code == 302
    assert Order.objects.get().total == D("14.64")


def test_a_price_that_is_missing_stops_the_order(walk, plans):
    Price.objects.filter(plan=plans.standard).delete()
    forget_shown(clock.today())
    for answer in (walk.get("confirm"), walk.confirm()):
        assert answer.url == reverse("area:box", args=[walk.box.public_id])
        assert said(answer)[-1] == NO_PRICE
    assert Order.objects.count() == 0


def test_an_e_mail_hosted_here_since_step_2_is_refused_at_the_button(walk, monkeypatch):
    monkeypatch.setattr(flows, "is_hosted", lambda email: email == "ordine@posta.example")
    page = walk.confirm()
    assert errors(page) == {
        "__all__": ["L'e-mail dell'ordine non può essere una casella PEC gestita qui: scadrebbe con lei."]
    }
    assert Order.objects.count() == 0


# --- One order --------------------------------------------------------------------------------------------------------


def test_back_after_confirming_finds_the_order_that_stands(walk):
    walk.confirm()
    order = Order.objects.get()
    assert not [key for key in walk.client.session.keys() if key.startswith("rinnovo")]  # noqa: SIM118
    for answer in (walk.get("confirm"), walk.confirm(), walk.confirm(method="sandbox")):
        assert answer.url == page_of(order)
        assert said(answer)[-1] == ALREADY
    assert walk.get("plan").url == reverse("area:box", args=[walk.box.public_id])
    assert Order.objects.count() == 1


def test_two_browsers_make_one_order(walk, box):
    other = Walk(box, box.login).to_confirm()
    walk.confirm()
    answer = other.confirm()
    assert (answer.url, said(answer)) == (page_of(Order.objects.get()), [ALREADY])
    assert Order.objects.count() == 1


def meanwhile(monkeypatch, happen) -> None:
    """Let something happen between the guards of the page and the lock of the order."""
    real = flows.place_renewal

    def later(**facts):
        monkeypatch.setattr(flows, "place_renewal", real)
        happen()
        return real(**facts)

    monkeypatch.setattr(flows, "place_renewal", later)


def test_another_tab_that_is_quicker_by_a_blink_makes_one_order(walk, alice, monkeypatch):
    meanwhile(monkeypatch, lambda: place(walk.box, alice))
    answer = walk.confirm()
    assert (answer.url, said(answer)) == (page_of(Order.objects.get()), [ALREADY])


def test_usage_that_grew_by_then_leads_back_to_step_1(make_box, alice, platform, monkeypatch):
    box = make_box(alice, "a", plan="pro")
    walk = Walk(box, alice)
    walk.plan(archive_loss="on")
    walk.holder()
    meanwhile(monkeypatch, lambda: platform.set_usage("a@pec.example", 3 * GB // 2, 0))
    answer = walk.confirm(years="2", shown_years="2", shown_total="24.16")
    assert answer.url == url("plan", box)
    assert said(answer) == ["Tipologia e spazio scelti non sono più possibili: controlla il primo passo."]
    page = walk.get("plan")
    assert list(errors(page)) == ["extra_mailbox_standard"]
    walk.plan(archive_loss="on", extra_mailbox_standard="1")
    walk.holder()
    assert walk.get("confirm").context["quote"].years == 2  # the years are not asked again
    assert Order.objects.count() == 0


def test_a_box_that_is_taken_away_by_then_is_refused_with_a_sentence(walk, monkeypatch):
    meanwhile(monkeypatch, lambda: Mailbox.objects.update(auto_renews=True))
    page = walk.confirm()
    assert errors(page) == {"__all__": ["In questo momento la casella non può essere rinnovata."]}
    assert Order.objects.count() == 0


# --- Other people's ids -----------------------------------------------------------------------------------------------


def test_a_tampered_box_id_is_a_404_for_everyone_else(make_box, alice, carla, walk):
    hers = make_box(carla, "carla")
    intruder = Walk(hers, carla).to_confirm()
    intruder.box = walk.box  # Alice's, with answers that Carla gave for her own
    for answer in (intruder.get("confirm"), intruder.confirm()):
        assert answer.status_code == 404
    assert Order.objects.count() == 0


def test_an_order_that_a_mailbox_login_may_not_see_is_not_named_to_it(make_box, alice, box):
    """Its renewal stands in an order with another box of the account: the way out is the box's own page (R1)."""
    other = make_box(alice, "altra")
    walk = Walk(box, box.login).to_confirm()
    order = place(box, alice)
    place(other, alice).lines.update(order=order)
    answer = walk.confirm()
    assert answer.url == reverse("area:box", args=[box.public_id])
    assert order.number not in answer.url
