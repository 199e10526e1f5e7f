"""Step 3 of the wizard: what is shown before the button, what the button does (R1, R5, R8, R9, R11, R23, R26b, R29)."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.conf import settings
from django.urls import reverse
from post_office.models import Email

from payments.auto_renewal import CONSENT_TEXT_VERSION
from payments.models import Payment
from payments.providers import sandbox
from payments.providers.base import ProviderTimeoutError
from pecportal.formats import dal, day
from renewals.models import Order
from tests.helpers import place
from tests.renewals.wizard_walk import CONFIRM, HOLDER, Walk, errors, said, text

pytestmark = pytest.mark.django_db

CARD = {"method": "sandbox"}


@pytest.fixture
def walk(box, alice) -> Walk:
    return Walk(box, alice).to_confirm()


def page_of(order: Order, name: str = "order") -> str:
    return reverse(f"payments:{name}", args=[order.number])


# --- What is shown ----------------------------------------------------------------------------------------------------


def test_the_page_says_everything_before_the_button(walk, today):
    page = walk.get("confirm")
    words = text(page)
    assert "Passo 3 di 3 · Pagamento e conferma" in words
    assert [(q.years, q.totals.total) for q in page.context["quotes"]] == [
        (1, D("12.08")), (2, D("24.16")), (3, D("36.23")), (4, D("48.31")), (5, D("60.39")),
    ]  # fmt: skip
    old, new = today + timedelta(days=40), page.context["quotes"][0].new_expiry
    assert (
        "Casella alice@pec.example Tipologia e spazio Standard, 1 GB di casella Modifica tipologia e spazio "
        "Intestatario Alice Rossi Modifica dati dell'intestatario Conferma dell'ordine a ordine@posta.example Modifica "
        f"e-mail dell'ordine Fattura intestata a Alice Rossi Durata 1 anno Scadenza di oggi {day(old)} Nuova "
        f"scadenza {day(new)} Imponibile € 9,90 IVA 22 % € 2,18 Totale da pagare € 12,08"
    ) in words
    assert "Carta di prova Registrato subito: la casella si rinnova in pochi minuti." in words
    assert "Bonifico 1–5 giorni lavorativi. La casella resta com'è finché non arriva." in words
    assert words.index("Totale da pagare") < words.index("Conferma e completa l'ordine con obbligo di pagamento")


def test_nothing_is_ticked_and_no_method_is_chosen(walk):
    html = walk.get("confirm").content.decode()
    assert html.count(" checked") == 1  # the years: one
    assert 'value="1" id="id_years_0" required checked' in html


def test_the_next_charge_is_said_beside_the_card_before_paying(walk):
    page = walk.get("confirm")
    charge = page.context["next_charge"]
    new = page.context["quote"].new_expiry
    assert (charge.charge_on, charge.amount, charge.years) == (new - timedelta(days=7), D("12.08"), 1)
    assert day(charge.charge_on) in text(page)
    assert "Non attivare il rinnovo automatico" in text(page)


@pytest.mark.parametrize("send", ["live", "without javascript"])
def test_other_years_change_the_whole_page(walk, send):
    typed = {**CONFIRM, "years": "3", "method": "sandbox"}
    if send == "live":
        page = walk.client.post(reverse("payments:confirm_summary", args=[walk.box.public_id]), typed)
        assert page.content.decode().count('hx-swap-oob="true"') == 3
    else:
        page = walk.confirm(years="3", method="sandbox", aggiorna="1")
        assert page.context["form"].errors == {}
        assert page.context["form"]["terms"].value() == "on"
    html = page.content.decode()
    assert 'name="shown_total" value="36.23"' in html
    assert 'name="shown_years" value="3"' in html
    assert "Totale da pagare € 36,23" in text(page)
    assert page.context["next_charge"].amount == D("36.23")
    again = walk.get("confirm").context["form"]  # after a look at an earlier step
    assert (again["years"].value(), again["method"].value(), again["terms"].value()) == (3, "sandbox", None)
    assert Order.objects.count() == 0


def test_the_live_summary_knows_who_asks(walk, carla, client):
    address = reverse("payments:confirm_summary", args=[walk.box.public_id])
    assert client.post(address, CONFIRM).status_code == 204
    assert Walk(walk.box, carla).client.post(address, CONFIRM).status_code == 404


def test_a_live_summary_that_comes_after_the_button_leaves_its_page_alone(walk, alice):
    """It left before the order was placed and arrives after: the page is on its way to the outcome."""
    place(walk.box, alice)
    address = reverse("payments:confirm_summary", args=[walk.box.public_id])
    answer = walk.client.post(address, CONFIRM, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content, "HX-Redirect" in answer.headers) == (204, b"", False)


@pytest.mark.parametrize(("is_consumer", "shown"), [(True, True), (False, False)])
def test_consumers_read_of_their_withdrawal_above_the_button(walk, alice, is_consumer, shown):
    alice.billing.is_consumer = is_consumer
    alice.billing.save()
    words = text(walk.get("confirm"))
    assert ("Se ordini come consumatore puoi recedere entro 14 giorni" in words) is shown
    assert ("Chiedo che il rinnovo sia eseguito subito" in words) is shown


@pytest.mark.parametrize(("left", "offered"), [(16, True), (15, False), (1, False)])
def test_transfer_is_not_offered_in_the_last_15_days(make_box, alice, left, offered):
    """`left`: days to the first day of deletion, E+91 (R29)."""
    box = make_box(alice, "a", expires_in=left - 91)
    walk = Walk(box, alice).to_confirm()
    reason = (
        f"La casella si cancella {dal(box.delete_from)}: un bonifico potrebbe arrivare tardi. Paga con un altro metodo."
    )
    assert (reason in text(walk.get("confirm"))) is not offered
    answer = walk.confirm()
    if offered:
        assert answer.status_code == 302
    else:
        assert errors(answer) == {"method": [reason]}
        assert Order.objects.count() == 0


# --- The button -------------------------------------------------------------------------------------------------------


def test_confirming_a_transfer_freezes_everything_and_leads_to_the_outcome(walk, alice):
    answer = walk.confirm(immediate_start="on")
    order = Order.objects.get()
    assert answer.url == page_of(order, "outcome")
    assert (order.taxable, order.vat, order.total, order.years) == (D("9.90"), D("2.18"), D("12.08"), 1)
    assert (order.method, order.email, order.placed_by, order.status) == (
        "transfer", "ordine@posta.example", alice, "awaiting_payment",
    )  # fmt: skip
    assert (order.terms_version, order.terms_ip, order.immediate_start, order.is_consumer) == (
        "2026-12", "127.0.0.1", True, True,
    )  # fmt: skip
    line = order.lines.get()
    assert (line.mailbox, line.plan.code, line.mailbox_gb, line.archive_gb) == (walk.box, "standard", 1, 0)
    holder = line.holder
    assert {n: getattr(holder, n) for n in HOLDER if n != "email"} == {
        "address": "via Milano 2", "postal_code": "20121", "city": "Milano", "province": "MI", "country": "IT",
        "phone": "021234567",
    }  # fmt: skip
    assert holder.codice_fiscale == alice.billing.codice_fiscale
    assert Payment.objects.count() == 0
    assert sorted(str(e.to[0]) for e in Email.objects.all()) == ["alice@posta.example", "ordine@posta.example"]


def test_the_choice_of_step_1_is_what_is_ordered(make_box, alice, platform):
    box = make_box(alice, "a", plan="premium")
    walk = Walk(box, alice)
    walk.plan(plan="pro", extra_mailbox_pro="1", extra_archive_pro="2", archive_loss="on")
    walk.holder()
    walk.confirm(years="5", shown_years="5", shown_total="164.09")
    order = Order.objects.get()
    line = order.lines.get()
    assert (order.taxable, order.total) == (D("134.50"), D("164.09"))  # 5 × (19,90 + 3 + 2 × 2) + IVA
    assert (line.plan.code, line.mailbox_gb, line.archive_gb, line.net) == ("pro", 3, 5, D("134.50"))


@pytest.mark.parametrize(("ticked", "agreed"), [({}, True), ({"opt_out_sandbox": "on"}, False)])
def test_confirming_by_card_starts_the_payment(walk, alice, ticked, agreed):
    answer = walk.confirm(**CARD, **ticked)
    order, payment = Order.objects.get(), Payment.objects.get()
    assert answer.url == reverse("payments:sandbox", args=[payment.remote_id])
    assert (order.method, payment.provider, payment.amount, payment.started_by) == (
        "sandbox",
        "sandbox",
        D("12.08"),
        alice,
    )
    assert payment.auto_renewal_agreed is agreed
    assert payment.consent_text_version == (CONSENT_TEXT_VERSION if agreed else "")
    known = sandbox.read(payment.remote_id)
    assert known["return_url"] == "http://testserver" + reverse("payments:return", args=[payment.public_id])
    assert known["cancel_url"].startswith("http://testserver" + page_of(order, "outcome"))


def broken(error):
    def start(self, payment, *, return_url, cancel_url):
        raise error

    return start


@pytest.mark.parametrize(
    ("error", "sentences"),
    [
        (ProviderTimeoutError("no answer"),
         ["Stiamo verificando il pagamento con la banca. Non pagare di nuovo: ti scriviamo appena è certo."]),
        (OSError("refused"), []),
    ],
)  # fmt: skip
def test_a_payment_that_cannot_start_leaves_the_order_and_no_error_page(walk, monkeypatch, error, sentences):
    monkeypatch.setattr(sandbox.Sandbox, "start", broken(error))
    answer = walk.confirm(**CARD)
    assert answer.url == page_of(Order.objects.get(), "outcome")
    assert said(answer) == sentences


def test_a_mailbox_login_renews_its_box(make_box, alice):
    box = make_box(alice, "bruno", holder="bruno")
    walk = Walk(box, box.login).to_confirm()
    answer = walk.confirm(**CARD)
    order = Order.objects.get()
    assert (order.owner, order.placed_by) == (alice, box.login)
    assert answer.url == reverse("payments:sandbox", args=[Payment.objects.get().remote_id])


# --- Terms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "version"), [("", "2026-12"), ("2026-12/", "2026-12"), ("2026-11/", "2026-11")]
)  # fmt: skip
def test_terms_are_there_for_everybody_by_their_version(client, path, version):
    words = text(client.get(f"/condizioni/{path}"))
    assert f"versione {version}" in words
    assert settings.PROVIDER_NAME in words
    assert "Modulo di recesso tipo" in words
    assert ("Recedere dal contratto qui" in words) is (version == "2026-12")
    assert ("Questa versione non è più in vigore" in words) is (version == "2026-11")


def test_terms_that_never_were(client):
    assert client.get("/condizioni/2019-01/").status_code == 404


def test_the_order_links_the_version_it_accepts(walk):
    assert 'href="/condizioni/2026-12/"' in walk.get("confirm").content.decode()
