"""The outcome page in every state an order can be in (UI.md; R12b, R19–R23, R29)."""

import html
import re
from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.urls import reverse
from django.utils.text import capfirst

from mailboxes import rules
from payments import auto_renewal, bank, flows
from payments.models import Case
from payments.providers import sandbox
from pecportal import clock
from pecportal.formats import day, fino, il
from renewals import giving, undoing
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place, start_card
from tests.payments.charging_helpers import at

pytestmark = pytest.mark.django_db


def words(response) -> str:
    """The page's main part as a reader sees it: no tags, one space, ordinary spaces in amounts."""
    main = response.content.decode().split('<main class="content"')[1].split(">", 1)[1].split("</main>")[0]
    plain = re.sub(r"</?(b|span|a|time)\b[^>]*>", "", main)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", plain))).replace("\u00a0", " ")


@pytest.fixture
def shown(browser_of, alice):
    """shown(order) → the outcome page's words for Alice."""

    def look(order, user=alice, **query):
        response = browser_of(user).get(reverse("payments:outcome", args=[order.number]), query)
        assert response.status_code == 200
        return words(response)

    return look


def new_expiry(box, years=1):
    return rules.add_years(box.expires_on, years, anchor_month=box.anchor_month, anchor_day=box.anchor_day)


def test_transfer_awaited_carries_the_instructions_inline(shown, order, today):
    text = shown(order)
    assert "Ordine confermato: manca il bonifico" in text
    assert f"Fai un bonifico di € 12,08 entro {il(order.payable_until)}." in text
    assert "IT60 X054 2811 1010 0000 0123 456" in text
    assert bank.creditor_reference(order) in text
    assert "Ho fatto il bonifico" in text
    assert "Entro " + il(today + timedelta(days=90)) in text


def test_transfer_declared_no_longer_asks_for_it(shown, order, alice, today):
    flows.declare_transfer(order_id=order.pk, actor=alice)
    text = shown(order)
    assert f"Aspettiamo il tuo bonifico Hai dichiarato il bonifico {il(today)}." in text
    assert "Ho fatto il bonifico" not in text


def test_transfer_that_came_too_short_says_what_is_missing(shown, order, dario):
    pay_transfer(order, dario, amount=D("10.00"))
    text = shown(order)
    assert "Abbiamo ricevuto € 10,00: mancano ancora € 2,08." in text
    assert "Fai un bonifico di € 2,08" in text


@pytest.mark.parametrize("said", [sandbox.PENDING, sandbox.TIMEOUT])
def test_card_pending_or_unknown_says_not_to_pay_again(shown, browser_of, alice, order, attempt, said):
    sandbox.write(attempt.remote_id, status=said)
    flows.fetch_and_record(attempt.pk)
    text = shown(order)
    assert "Stiamo verificando il pagamento con la banca. Non pagare di nuovo: ti scriviamo appena è certo." in text
    page = browser_of(alice).get(reverse("payments:outcome", args=[order.number])).content.decode()
    assert 'hx-get="?giro=1"' in page
    assert '<noscript><meta http-equiv="refresh" content="10;url=?giro=1"></noscript>' in page


def pages_of(browser, order):
    return {
        name: browser.get(reverse(f"payments:{name}", args=[order.number])).content.decode()
        for name in ("order", "outcome", "cancel", "pay")
    }


def test_in_doubt_no_page_offers_what_would_be_refused(browser_of, alice, order, attempt):
    """R12b, R19: neither Paga nor Annulla, nor a way to them, while an attempt is in an unknown state."""
    sandbox.write(attempt.remote_id, status=sandbox.TIMEOUT)
    flows.fetch_and_record(attempt.pk)
    assert order.payments.get().status == "unknown"
    pages = pages_of(browser_of(alice), order)
    assert "Adesso non si può annullare" in pages["cancel"]
    assert 'class="btn btn--danger"' not in pages["cancel"]
    for name in ("cancel", "pay"):
        assert reverse(f"payments:{name}", args=[order.number]) not in pages["order"] + pages["outcome"], name
    assert "Pagabile" not in pages["pay"]


def test_while_the_bank_works_annulla_says_that_the_money_may_win(browser_of, alice, order, attempt):
    sandbox.write(attempt.remote_id, status=sandbox.PENDING)
    flows.fetch_and_record(attempt.pk)
    pages = pages_of(browser_of(alice), order)
    assert "C'è un pagamento in corso" in pages["cancel"]
    assert 'class="btn btn--danger"' in pages["cancel"]
    for name in ("cancel", "pay"):
        assert reverse(f"payments:{name}", args=[order.number]) in pages["order"] + pages["outcome"], name


def test_a_cancelled_order_waits_for_nothing(browser_of, alice, order):
    flows.cancel_order(order_id=order.pk, actor=alice)
    page = browser_of(alice).get(reverse("payments:outcome", args=[order.number]))
    assert page.context["panel"].tone == "info"
    assert 'class="panel panel--info"' in page.content.decode()


def test_the_page_stops_looking_after_a_while(browser_of, alice, order, attempt):
    url = reverse("payments:outcome", args=[order.number])
    page = browser_of(alice).get(url, {"giro": "24"}).content.decode()
    assert "hx-get" not in page and "http-equiv" not in page and "Aggiorna la pagina" in page
    for bad in ("-1", "x", "²", "9" * 5000):
        assert browser_of(alice).get(url, {"giro": bad}).status_code == 200


def test_card_refused_gives_the_reason_and_paga_again(shown, order, attempt):
    sandbox.write(attempt.remote_id, status=sandbox.REFUSED, reason="carta rifiutata")
    flows.fetch_and_record(attempt.pk)
    text = shown(order)
    assert "Pagamento non riuscito La banca ha risposto: carta rifiutata. Non ti è stato addebitato nulla." in text
    assert " Paga Annulla " in text


def test_card_given_up_at_the_bank(shown, order, attempt):
    sandbox.write(attempt.remote_id, status=sandbox.CANCELLED)
    flows.fetch_and_record(attempt.pk)
    assert "Pagamento interrotto Non ti è stato addebitato nulla. L'ordine aspetta ancora € 12,08" in shown(order)


def test_card_chosen_and_never_tried(shown, box, alice):
    text = shown(place(box, alice, method="sandbox"))
    assert "Ordine in attesa di pagamento Mancano € 12,08." in text


def test_paid_and_not_yet_fulfilled(shown, browser_of, alice, order):
    pay_card(order, alice)  # nothing commits here, so nothing is fulfilled
    assert Order.objects.get().status == "paid"
    assert "Pagamento registrato Abbiamo ricevuto € 12,08. Stiamo completando l'ordine" in shown(order)
    assert "hx-get" in browser_of(alice).get(reverse("payments:outcome", args=[order.number])).content.decode()


def test_fulfilled_shows_the_new_expiry_and_the_one_click_off(shown, browser_of, alice, box, order, commits):
    with commits():
        pay_card(order, alice)
    expiry = new_expiry(box)
    text = shown(order)
    assert f"Rinnovata {fino(expiry)}" in text
    assert f"Nuova scadenza {day(expiry)}" in text
    assert f"{capfirst(il(expiry - timedelta(days=7)))} addebitiamo € 12,08 e rinnoviamo {box} per 1 anno." in text
    page = browser_of(alice).get(reverse("payments:outcome", args=[order.number])).content.decode()
    assert f'action="{reverse("payments:auto_renewal_off", args=[box.public_id])}"' in page
    assert "hx-get" not in page
    auto_renewal.turn_off(box_id=box.pk, user=alice)
    assert "Disattiva il rinnovo automatico" not in shown(order)


def test_fulfilled_by_transfer_offers_no_off_switch(shown, order, box, dario, commits):
    with commits():
        pay_transfer(order, dario)
    text = shown(order)
    assert f"Rinnovata {fino(new_expiry(box))}" in text
    assert "rinnovo automatico" not in text.lower()


def test_an_older_order_promises_nothing_of_an_expiry_moved_since(browser_of, box, order, alice, dario, commits):
    page = reverse("payments:order", args=[order.number])
    with commits():
        pay_transfer(order, dario)
    early = new_expiry(box) - timedelta(days=90)
    promise = "Ti scriviamo che la scadenza si avvicina"
    assert f"{day(early)} {promise}" in words(browser_of(alice).get(page))
    box.refresh_from_db()
    later = place(box, alice)
    with commits():
        pay_transfer(later, dario, reference="CRO-2")
    assert promise not in words(browser_of(alice).get(page))
    assert f"{day(new_expiry(box) - timedelta(days=90))} {promise}" in words(
        browser_of(alice).get(reverse("payments:order", args=[later.number]))
    )


def test_attention(shown, order, box, alice, commits, monkeypatch):
    monkeypatch.setattr(giving, "_fulfil_line", lambda *a: "riga che non si può evadere")
    with commits():
        pay_card(order, alice, agreed=False)
    text = shown(order)
    assert "Ordine da verificare Abbiamo ricevuto € 12,08, ma l'ordine non si è completato da solo." in text
    assert "Non pagare di nuovo: se ne occupa una persona" in text


def test_cancelled(shown, order, alice, box):
    flows.cancel_order(order_id=order.pk, actor=alice)
    text = shown(order)
    assert "Ordine annullato Non devi pagare nulla per questo ordine." in text
    assert f"{day(box.expires_on)} La casella scade, tra 40 giorni." in text
    assert "Paga " not in text


def test_lapsed(shown, order):
    undoing.lapse(order, why="tempo scaduto")
    assert "Ordine non pagato in tempo Il pagamento non è arrivato in tempo. Non pagare questo ordine" in shown(order)


def test_awaiting_but_past_its_last_day(shown, box, alice):
    order = place(box, alice, method="sandbox")
    with time_machine.travel(at(clock.today() + timedelta(days=91)), tick=False):
        text = shown(order)
    assert "Questo ordine non si può più pagare L'ultimo giorno utile era il" in text
    assert "Annulla" not in text


def test_money_in_a_case_is_said_and_paga_is_gone(shown, order, attempt, alice):
    sandbox.write(attempt.remote_id, status=sandbox.PAID, amount="10.00")
    flows.fetch_and_record(attempt.pk)
    assert Case.objects.get().kind == "mismatch"
    text = shown(order)
    said = "Abbiamo ricevuto € 10,00 che non riusciamo ad abbinare: ti rispondiamo entro un giorno lavorativo."
    assert text.count(said) == 1
    assert "Paga " not in text


def test_money_in_another_currency_is_said_in_it(shown, order, attempt):
    """Twelve dollars are no twelve euro, on the screen of whoever sent them neither."""
    sandbox.write(attempt.remote_id, status=sandbox.PAID, currency="USD")
    flows.fetch_and_record(attempt.pk)
    case = Case.objects.get()
    assert (case.kind, case.amount, case.currency) == ("mismatch", order.amount_due, "USD")
    text = shown(order)
    assert "Abbiamo ricevuto 12,08 USD che non riusciamo ad abbinare" in text and "ricevuto €" not in text
    Case.objects.create(kind="over", order=order, amount="3.50", detail="avanzano")
    assert "Abbiamo ricevuto € 3,50 + 12,08 USD che non riusciamo" in shown(order)


@pytest.mark.parametrize(("status", "title"), [("refunded", "Ordine rimborsato"), ("reversed", "Rinnovo tolto")])
def test_money_given_back(shown, order, status, title):
    Order.objects.filter(pk=order.pk).update(status=status)  # the flows that do this come with issue C
    assert title in shown(order)


def test_a_mailbox_login_reads_no_address_it_did_not_type(shown, order, box, commits, alice):
    with commits():
        pay_card(order, alice)
    assert "ordine@posta.example" in shown(order)
    text = shown(order, user=box.login)
    assert "ordine@posta.example" not in text and "alice@posta.example" not in text
    assert "Abbiamo inviato la conferma per e-mail." in text


def test_back_by_the_banks_own_cancel_asks_the_provider(browser_of, alice, order):
    attempt = start_card(order, alice)
    sandbox.write(attempt.remote_id, status=sandbox.CANCELLED)
    url = reverse("payments:outcome", args=[order.number])
    response = browser_of(alice).get(url + "?verifica")
    assert (response.status_code, response.headers["Location"]) == (302, url)
    attempt.refresh_from_db()
    assert attempt.status == "cancelled"
