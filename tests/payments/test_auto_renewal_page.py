"""The page that switches automatic renewal on, and the click that switches it off (R23, R24, R24b)."""

from datetime import timedelta
from decimal import Decimal as D
from html import unescape

import pytest
from django.urls import reverse
from django.utils.text import capfirst
from post_office.models import Email

from mailboxes.models import Mailbox, Price
from payments.models import AutoRenewal, StoredMethod
from pecportal import clock
from pecportal.formats import il
from tests.helpers import pay_card
from tests.payments.test_outcome import words

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(browser_of, alice):
    return browser_of(alice)


@pytest.fixture
def method(alice):
    return StoredMethod.objects.create(
        login=alice,
        provider="sandbox",
        remote_id="card_1",
        label="Carta •••• 4242",
        expires_month=12,
        expires_year=2099,
    )


def test_without_a_saved_method_it_says_how_to_get_one(client, box):
    text = words(client.get(reverse("payments:auto_renewal", args=[box.public_id])))
    assert "Salvi una carta pagando un rinnovo" in text


def test_on_by_hand_says_day_amount_and_years_first(client, box, method):
    page = reverse("payments:auto_renewal", args=[box.public_id])
    text = words(client.get(page))
    charge = capfirst(il(box.expires_on - timedelta(days=7)))
    for years, amount in (("1 anno", "12,08"), ("2 anni", "24,16"), ("5 anni", "60,39")):
        assert f"{charge} addebitiamo € {amount}, IVA inclusa, e rinnoviamo la casella per {years}." in text
    response = client.post(page, {"method": str(method.public_id), "years": "2"})
    assert response.headers["Location"] == reverse("area:box", args=[box.public_id])
    given = AutoRenewal.objects.get()
    assert (given.amount, given.years, given.consent_text_version, given.method) == (D("24.16"), 2, "2026-11", method)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"years": "1"}, "Scegli uno dei tuoi metodi di pagamento."),
        ({"method": "of_box", "years": "1"}, "Scegli uno dei tuoi metodi di pagamento."),
        ({"method": "nonsense", "years": "1"}, "Scegli uno dei tuoi metodi di pagamento."),
        ({"method": "mine"}, "Scegli da 1 a 5 anni."),
        ({"method": "mine", "years": "0"}, "Scegli da 1 a 5 anni."),
        ({"method": "mine", "years": "6"}, "Scegli da 1 a 5 anni."),
        ({"method": "mine", "years": "x"}, "Scegli da 1 a 5 anni."),
    ],
)
def test_on_by_hand_with_bad_input(client, box, method, typed, sentence):
    foreign = StoredMethod.objects.create(login=box.login, provider="sandbox", remote_id="2", label="Della casella")
    ids = {"mine": str(method.public_id), "of_box": str(foreign.public_id)}
    typed = {name: ids.get(value, value) for name, value in typed.items()}
    response = client.post(reverse("payments:auto_renewal", args=[box.public_id]), typed)
    assert response.status_code == 200 and sentence in words(response)
    assert AutoRenewal.objects.count() == 0
    assert "Della casella" not in words(response)


def test_on_by_hand_is_refused_with_the_sentence(client, order, box, method):
    page = reverse("payments:auto_renewal", args=[box.public_id])
    typed = {"method": str(method.public_id), "years": "1"}
    for response in (client.get(page), client.post(page, typed)):
        assert "C'è un ordine di rinnovo aperto: pagalo o annullalo, poi attiva il rinnovo automatico." in words(
            response
        )
    assert AutoRenewal.objects.count() == 0


def test_a_missing_price_is_a_sentence_and_an_alarm(client, box, method, caplog):
    Price.objects.filter(item="plan").delete()
    text = words(client.get(reverse("payments:auto_renewal", args=[box.public_id])))
    assert "In questo momento non possiamo calcolare il prezzo. Riprova più tardi." in text
    assert any(record.levelname == "CRITICAL" for record in caplog.records)


def test_a_box_in_activation_has_no_automatic_renewal(client, box, method):
    Mailbox.objects.filter(pk=box.pk).update(phase="activating", expires_on=None, delete_from=None)
    text = words(client.get(reverse("payments:auto_renewal", args=[box.public_id])))
    assert "Questa casella non può avere il rinnovo automatico." in text


def test_off_is_one_post_and_a_get_is_not_enough(client, order, box, commits, alice):
    with commits():
        pay_card(order, alice)
    off = reverse("payments:auto_renewal_off", args=[box.public_id])
    assert client.get(off).status_code == 405
    assert Mailbox.objects.get().auto_renews
    for _ in range(2):
        assert client.post(off).headers["Location"] == reverse("area:box", args=[box.public_id])
    assert (Mailbox.objects.get().auto_renews, AutoRenewal.objects.get().ended_why) == (False, "customer")


def test_off_after_the_expiry_promises_nothing_that_is_past(client, order, box, commits, alice):
    """Its charge failed, the box is Scaduta: the mail speaks of the day until which it can be renewed."""
    with commits():
        pay_card(order, alice)
    Mailbox.objects.update(expires_on=clock.today() - timedelta(days=5), delete_from=clock.today() + timedelta(days=86))
    page = client.post(reverse("payments:auto_renewal_off", args=[box.public_id]), follow=True)
    assert "Rinnovo automatico disattivato: non addebiteremo nulla." in words(page)
    assert "Prima della scadenza" not in words(page)
    letter, now = Email.objects.filter(subject__contains="disattivato").first(), Mailbox.objects.get()
    said = f"La sua scadenza è {il(now.expires_on)}: se non la rinnovi tu entro {il(now.last_renewable_day)}, sarà"
    assert said in letter.message and said in unescape(letter.html_message)
    assert "scade " not in letter.message + letter.html_message
