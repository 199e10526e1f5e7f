"""The pages of paying, as they are used: order, Paga, transfer, Annulla."""

from datetime import timedelta
from decimal import Decimal as D
from urllib.parse import urlsplit

import pytest
import time_machine
from django.urls import reverse
from django.utils.text import capfirst

from accounts.models import BillingProfile
from mailboxes.models import Mailbox
from payments import bank, flows
from payments.models import AutoRenewal, Payment, StoredMethod
from payments.providers import sandbox
from payments.providers.base import ProviderTimeoutError
from pecportal import clock
from pecportal.formats import dal, day, fino, il
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place, start_card
from tests.payments.charging_helpers import at
from tests.payments.test_outcome import new_expiry, words

pytestmark = pytest.mark.django_db


def url(name, order):
    return reverse(f"payments:{name}", args=[order.number])


@pytest.fixture
def client(browser_of, alice):
    return browser_of(alice)


def at_the_bank(response, action, client, **data):
    """Follow Paga to the sandbox, press a button there, come back to where it leads."""
    path = response.headers["Location"]
    assert path.startswith("/sandbox/")
    back = client.post(path, {"azione": action, **data})
    return client.get(back.headers["Location"], follow=True)


# --- The order --------------------------------------------------------------------------------------------------------


def test_the_order_page_says_everything_of_the_order(client, order, box, today):
    text = words(client.get(url("order", order)))
    for said in (
        f"Rinnovo Ordine {order.number}", "In attesa di pagamento", f"Pagabile fino al {day(order.payable_until)}",
        f"{box} Standard · 1 GB · 1 anno {day(new_expiry(box))} dopo il pagamento € 9,90",
        "Imponibile € 9,90 IVA 22 % € 2,18 Totale € 12,08", f"Confermato il {day(today)}", "Metodo scelto Bonifico",
        "Intestatario Nome o denominazione Alice Rossi Codice fiscale RSSLCA80A41H501U", "Dati di fatturazione",
        "E-mail dell'ordine ordine@posta.example", "Che cosa succede adesso", "Paga", "Annulla",
    ):  # fmt: skip
        assert said in text


def test_the_order_page_lists_attempts_and_bank_money(client, order, alice, dario, today, commits):
    attempt = start_card(order, alice)
    sandbox.write(attempt.remote_id, status=sandbox.REFUSED)
    flows.fetch_and_record(attempt.pk)
    with commits():
        pay_transfer(order, dario, amount=D("20.00"))
    text = words(client.get(url("order", order)))
    assert f"{day(today)} Carta di prova Non riuscito € 12,08" in text
    assert f"{day(today)} Bonifico Registrato € 12,08" in text  # what it gave this order, not what arrived
    assert "Rinnovo completato" in text and "€ 20,00" not in text
    assert "Abbiamo ricevuto € 7,92 che non riusciamo ad abbinare" in text


def test_billing_data_are_those_of_the_registration_then(client, order, alice, commits):
    with commits():
        pay_card(order, alice)
    BillingProfile.objects.update(address="via Nuova 2")
    text = words(client.get(url("order", order)))
    assert "via Roma 1" in text and "via Nuova 2" not in text
    assert "Sono quelli del giorno in cui il pagamento è stato registrato." in text


@pytest.mark.parametrize("years", range(1, 6))
def test_the_expiry_shown_before_paying_is_the_one_given(client, box, alice, dario, commits, years):
    order = place(box, alice, years=years)
    assert day(new_expiry(box, years)) in words(client.get(url("order", order)))
    with commits():
        pay_transfer(order, dario)
    assert Mailbox.objects.get().expires_on == new_expiry(box, years)
    assert f"Rinnovata {fino(new_expiry(box, years))}" in words(client.get(url("outcome", order)))


# --- Paga -------------------------------------------------------------------------------------------------------------


def test_paga_says_the_next_charge_beside_the_card_and_the_tick_is_empty(client, order, box):
    response = client.get(url("pay", order))
    charge = new_expiry(box) - timedelta(days=7)
    assert f"{capfirst(il(charge))} addebitiamo € 12,08 , IVA inclusa, e rinnoviamo la casella per 1 anno .".replace(
        " ,", ","
    ).replace(" .", ".") in words(response)
    page = response.content.decode()
    assert page.count("Non attivare il rinnovo automatico") == 1
    assert 'name="no_auto_renewal" value="sandbox" id="id_no_auto_renewal_0">' in page


def test_paga_by_card_to_the_new_expiry_and_automatic_renewal(client, order, box, commits):
    with commits():
        page = at_the_bank(client.post(url("pay", order), {"method": "sandbox"}), "paga", client)
    assert page.redirect_chain == [(url("outcome", order), 302)]
    assert f"Rinnovata {fino(new_expiry(box))}" in words(client.get(url("outcome", order)))
    assert (Payment.objects.get().consent_text_version, AutoRenewal.objects.get().years) == ("2026-11", 1)


def test_the_tick_keeps_automatic_renewal_off(client, order, commits):
    with commits():
        at_the_bank(client.post(url("pay", order), {"method": "sandbox", "no_auto_renewal": "sandbox"}), "paga", client)
    assert (Order.objects.get().status, AutoRenewal.objects.count(), StoredMethod.objects.count()) == (
        "fulfilled",
        0,
        0,
    )


def test_paga_by_transfer_leads_to_the_instructions(client, order):
    response = client.post(url("pay", order), {"method": "transfer"})
    assert response.headers["Location"] == url("transfer", order)
    assert (Order.objects.get().method, Payment.objects.count()) == ("transfer", 0)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({}, "Scegli uno dei modi di pagare elencati."),
        ({"method": "stripe"}, "Scegli uno dei modi di pagare elencati."),
        ({"method": "<b>"}, "Scegli uno dei modi di pagare elencati."),
    ],
)
def test_paga_with_bad_input(client, order, typed, sentence):
    response = client.post(url("pay", order), typed)
    assert response.status_code == 200
    assert "C'è un problema" in words(response) and sentence in words(response)
    assert (Payment.objects.count(), Order.objects.get().method) == (0, "transfer")


@pytest.mark.parametrize(("days", "offered"), [(16, True), (15, False), (1, False)])
def test_transfer_is_closed_in_the_last_days(browser_of, make_box, alice, today, days, offered):
    """R29: not in the 15 days before `delete_from`, and the page says why."""
    box = make_box(alice, "tardi", expires_in=days - 91)
    assert box.delete_from == today + timedelta(days=days)
    order = place(box, alice, method="sandbox")
    text = words(browser_of(alice).get(url("pay", order)))
    assert (
        f"La casella si cancella {dal(box.delete_from)}: un bonifico potrebbe arrivare tardi." in text
    ) is not offered
    response = browser_of(alice).post(url("pay", order), {"method": "transfer"})
    assert (response.status_code, Order.objects.get().method) == ((302, "transfer") if offered else (200, "sandbox"))


def test_paga_again_closes_the_first_attempt(client, order, attempt):
    text = words(client.get(url("pay", order)))
    assert "C'è già un pagamento iniziato" in text
    client.post(url("pay", order), {"method": "sandbox"})
    assert [p.status for p in Payment.objects.order_by("id")] == ["cancelled", "pending"]


def test_paga_while_nobody_knows_starts_nothing(client, order, attempt):
    sandbox.write(attempt.remote_id, status=sandbox.TIMEOUT)
    flows.fetch_and_record(attempt.pk)
    response = client.get(url("pay", order))
    assert "Stiamo verificando il pagamento con la banca. Non pagare di nuovo" in words(response)
    assert 'name="method"' not in response.content.decode()
    assert client.post(url("pay", order), {"method": "sandbox"}).headers["Location"] == url("outcome", order)
    assert Payment.objects.count() == 1


def test_paga_finds_the_first_attempt_paid_and_says_so(client, order, attempt, box, commits):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits():
        response = client.post(url("pay", order), {"method": "sandbox"})
    assert response.headers["Location"] == url("outcome", order)
    assert f"Rinnovata {fino(new_expiry(box))}" in words(client.get(url("outcome", order)))


@pytest.mark.parametrize("broken", [ProviderTimeoutError("silence"), OSError("no route"), KeyError("bug")])
def test_a_provider_that_breaks_at_the_start_is_verified_not_paid_again(client, order, monkeypatch, broken):
    def fail(self, payment, **urls):
        raise broken

    monkeypatch.setattr(sandbox.Sandbox, "start", fail)
    response = client.post(url("pay", order), {"method": "sandbox"}, follow=True)
    assert "Stiamo verificando il pagamento con la banca. Non pagare di nuovo" in words(response)
    assert Payment.objects.get().status in ("created", "unknown")


@pytest.mark.parametrize("name", ["pay", "cancel", "transfer"])
def test_a_settled_order_only_shows_its_outcome(client, order, alice, commits, name):
    with commits():
        pay_card(order, alice)
    for method in (client.get, client.post):
        assert method(url(name, order)).headers["Location"] == url("outcome", order)


def test_paga_after_the_last_day_says_that_it_is_too_late(client, order, alice):
    with time_machine.travel(at(clock.today() + timedelta(days=91)), tick=False):
        client.force_login(alice)
        text = words(client.post(url("pay", order), {"method": "sandbox"}, follow=True))
    assert "Questo ordine non si può più pagare" in text
    assert Payment.objects.count() == 0


def test_what_was_chosen_survives_the_idle_limit(client, order, settings, alice, browser_of):
    client.get(url("pay", order))
    with time_machine.travel(clock.now() + timedelta(minutes=settings.IDLE_MINUTES + 1), tick=False):
        late = client.post(url("pay", order), {"method": "sandbox", "no_auto_renewal": "sandbox"})
        assert urlsplit(late.headers["Location"]).path == "/accesso/"
        client.force_login(alice)
        page = client.get(url("pay", order)).content.decode()
    assert 'value="sandbox" id="id_method_0" checked' in page
    assert 'value="sandbox" id="id_no_auto_renewal_0" checked' in page
    assert Payment.objects.count() == 0


# --- Transfer ---------------------------------------------------------------------------------------------------------


def test_the_instructions(client, order):
    text = words(client.get(url("transfer", order)))
    for said in (
        "Fai un bonifico di € 12,08", "IBAN IT60 X054 2811 1010 0000 0123 456", "Beneficiario Posta Esempio S.p.A.",
        "Banca Banca di esempio", f"Causale {bank.creditor_reference(order)}", "1–5 giorni lavorativi",
    ):  # fmt: skip
        assert said in text


def test_ho_fatto_il_bonifico(client, order, today):
    for _ in range(2):
        assert client.post(url("transfer", order)).headers["Location"] == url("outcome", order)
    assert Order.objects.get().transfer_declared_on == today
    assert f"Hai dichiarato il bonifico {il(today)}." in words(client.get(url("transfer", order)))


def test_after_the_last_day_nobody_is_asked_for_a_transfer(client, make_box, alice, today):
    """It would come in vain: neither the instructions nor a declaration that promises the new expiry (R12b, R13)."""
    order, declared = (place(make_box(alice, name, expires_in=0), alice) for name in ("tardi", "in.tempo"))
    client.post(url("transfer", declared))
    with time_machine.travel(at(clock.today() + timedelta(days=91)), tick=False):
        client.force_login(alice)
        for answer in (client.get(url("transfer", order)), client.post(url("transfer", order))):
            assert answer.headers["Location"] == url("outcome", order)
        assert "Questo ordine non si può più pagare" in words(client.get(url("outcome", order)))
        waited = words(client.get(url("outcome", declared)))
    assert f"Hai dichiarato il bonifico {il(today)}." in waited
    assert "IBAN" not in waited
    order.refresh_from_db()
    assert order.transfer_declared_on is None


def test_no_instructions_for_an_order_that_chose_a_card(client, box, alice):
    order = place(box, alice, method="sandbox")
    assert client.get(url("transfer", order)).headers["Location"] == url("outcome", order)
    client.post(url("transfer", order))
    assert Order.objects.get().transfer_declared_on is None


# --- Annulla ----------------------------------------------------------------------------------------------------------


def test_annulla_asks_before_it_does(client, order):
    assert f"Vuoi annullare l'ordine {order.number}?" in words(client.get(url("cancel", order)))
    assert Order.objects.get().status == "awaiting_payment"
    text = words(client.post(url("cancel", order), follow=True))
    assert "Ordine annullato" in text
    assert Order.objects.get().status == "cancelled"


def test_annulla_with_a_declared_transfer_wants_a_tick(client, order, alice, today):
    flows.declare_transfer(order_id=order.pk, actor=alice)
    assert f"{capfirst(il(today))} ci hai detto di averlo fatto." in words(client.get(url("cancel", order)))
    refused = client.post(url("cancel", order))
    assert "Hai dichiarato un pagamento: spunta la casella se vuoi annullare lo stesso." in words(refused)
    assert Order.objects.get().status == "awaiting_payment"
    client.post(url("cancel", order), {"despite_transfer": "on"})
    assert Order.objects.get().status == "cancelled"


def test_annulla_while_nobody_knows(client, order, attempt):
    sandbox.write(attempt.remote_id, status=sandbox.TIMEOUT)
    response = client.post(url("cancel", order))
    assert "Stiamo verificando il pagamento con la banca. Non pagare di nuovo" in words(response)
    assert Order.objects.get().status == "awaiting_payment"


def test_annulla_meets_money_captured_meanwhile(client, order, attempt, box, commits):
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with commits():
        response = client.post(url("cancel", order))
    assert response.headers["Location"] == url("outcome", order)
    text = words(client.get(url("outcome", order)))
    assert "L'ordine risulta pagato e non si può più annullare." in text
    assert f"Rinnovata {fino(new_expiry(box))}" in text
