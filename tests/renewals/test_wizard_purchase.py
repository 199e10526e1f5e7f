"""Acquista di nuovo on the three screens: what is shown, what is kept, who never gets there (R5, R30, R31)."""

from decimal import Decimal as D

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mailboxes.models import Address, Mailbox, Price
from payments.models import Payment
from pecportal import clock
from renewals.models import Order
from tests.buying import buy, deleted
from tests.conftest import CODES
from tests.renewals.wizard_walk import CONFIRM, HOLDER, STANDARD, errors, said, text

pytestmark = pytest.mark.django_db(transaction=True)
NAMES = {
    "plan": "renewals:buy_plan", "summary": "renewals:buy_summary", "holder": "renewals:buy_holder",
    "confirm": "payments:buy_confirm", "confirm_summary": "payments:buy_confirm_summary",
}  # fmt: skip
PROMISES = ("Scadenza di oggi", "Nuova scadenza", "nuova scadenza", "Rispetto a oggi", "tipologia di oggi")


@pytest.fixture
def gone(make_box, alice):
    return deleted(make_box(alice, "persa", plan="pro", expires_in=-150, archive_gb=5))


def url(step: str, box: Mailbox) -> str:
    return reverse(NAMES[step], args=[box.public_id])


@pytest.fixture
def walk(gone, alice):
    client = Client()
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    data = {"plan": STANDARD, "holder": HOLDER, "confirm": CONFIRM}

    def post(step: str, **changes: str):
        sent = {k: v for k, v in {**data[step], **changes}.items() if v != ""}
        return client.post(url(step, gone), sent)

    post.client = client
    return post


def to_confirm(walk, gone) -> None:
    assert walk("plan").url == url("holder", gone)
    assert walk("holder").url == url("confirm", gone)


def test_three_steps_and_one_order(walk, gone, alice):
    first = text(walk.client.get(url("plan", gone)))
    assert "Acquisto di persa@pec.example" in first
    assert "La casella sarà vuota" in first and "la password di prima" in first
    to_confirm(walk, gone)
    second = text(walk.client.get(url("holder", gone)))
    assert "Alice Rossi" in second and CODES["alice"] in second  # read only: there is no field for them
    assert 'name="codice_fiscale"' not in walk.client.get(url("holder", gone)).content.decode()
    third = text(walk.client.get(url("confirm", gone)))
    assert "1 anno dopo l'attivazione" in third
    assert "Conferma e completa l'ordine con obbligo di pagamento" in third
    assert "Diritto di recesso" in third and "Chiedo che la casella sia attivata subito" in third
    assert "scadenza di prima" not in third and "una già attiva scade quel giorno" in third
    for page in (first, second, third):
        assert [p for p in PROMISES if p in page] == []  # no date of a box that does not exist
        assert gone.expires_on.strftime("%Y-%m-%d") not in page
    answer = walk("confirm")
    order = Order.objects.get()
    assert answer.url == f"/area-clienti/ordini/{order.number}/esito/"
    assert (order.kind, order.total, order.method, order.lines.get().address) == (
        "purchase", D("12.08"), "transfer", gone.address,
    )  # fmt: skip
    assert order.lines.get().holder.city == "Milano"
    outcome = text(walk.client.get(answer.url))
    assert "Fai un bonifico di € 12,08" in outcome
    assert "La casella si attiva appena arriva" in outcome and "resta com'è" not in outcome


def test_no_gb_of_the_old_life_is_in_the_price_at_first(walk, gone):
    """It had 2 GB of archive more: nothing that is paid for is chosen beforehand (R11)."""
    page = walk.client.get(url("plan", gone))
    chosen = [card for card in page.context["form"].cards() if card.checked]
    assert [card.plan.code for card in chosen] == ["pro"]
    assert page.context["quote"].totals.total == D("24.28")
    assert [card.reason for card in page.context["form"].cards()] == ["", "", ""]  # Standard: no archive is lost


@pytest.mark.parametrize(
    ("step", "changes", "field", "kept"),
    [
        ("plan", {"extra_mailbox_standard": "7"}, "extra_mailbox_standard", 'value="7"'),
        ("plan", {"plan": "oro"}, "plan", 'value="0"'),
        ("holder", {"email": "persa@pec.example"}, "email", "persa@pec.example"),
        ("holder", {"email": "boh", "city": "Bergamo"}, "email", 'value="Bergamo"'),
        ("holder", {"postal_code": "1"}, "postal_code", "via Milano 2"),
        ("confirm", {"method": "assegno", "years": "3", "shown_years": ""}, "method", ""),
        ("confirm", {"terms": ""}, "terms", ""),
        ("confirm", {"years": "9"}, "years", ""),
    ],
)
def test_bad_input_gets_its_sentence_and_loses_nothing(walk, gone, step, changes, field, kept):
    if step != "plan":
        walk("plan")
    if step == "confirm":
        walk("holder")
    answer = walk(step, **changes)
    assert answer.status_code == 200
    assert list(errors(answer)) == [field]
    assert kept in answer.content.decode()
    if step == "confirm":
        assert 'value="transfer" id="id_method_1" required checked' in answer.content.decode() or field == "method"
    assert Order.objects.count() == 0


def test_a_later_step_begins_with_the_earlier_ones(walk, gone):
    assert walk.client.get(url("holder", gone)).url == url("plan", gone)
    assert walk.client.get(url("confirm", gone)).url == url("plan", gone)
    walk("plan")
    assert walk.client.get(url("confirm", gone)).url == url("holder", gone)


def test_a_changed_price_comes_back_with_the_new_total(walk, gone, plans):
    to_confirm(walk, gone)
    walk.client.get(url("confirm", gone))
    Price.objects.create(item="plan", plan=plans.standard, net=D("10.90"), valid_from=clock.today())
    answer = walk("confirm")
    assert "Il prezzo è cambiato" in text(answer) and "13,30" in text(answer)
    assert Order.objects.count() == 0


def test_the_live_summaries(walk, gone):
    answer = walk.client.post(url("summary", gone), {"plan": "premium", "extra_archive_premium": "1"})
    assert "38,92" in text(answer) and [p for p in PROMISES if p in text(answer)] == []  # (29.90 + 2.00) × 1.22
    to_confirm(walk, gone)
    answer = walk.client.post(url("confirm_summary", gone), {"years": "4", "method": "sandbox"})
    assert "48,31" in text(answer) and "4 anni dopo l'attivazione" in text(answer)


def test_the_consent_says_the_day_and_what_it_hangs_on(walk, gone, today):
    to_confirm(walk, gone)
    page = text(walk.client.get(url("confirm", gone)))
    assert "se la casella si attiva oggi (altrimenti di altrettanti giorni dopo), addebitiamo € 12,08" in page
    answer = walk("confirm", method="sandbox")
    assert "/sandbox/" in answer.url
    payment = Payment.objects.get()
    assert (payment.auto_renewal_agreed, payment.consent_text_version) == (True, "2026-11-acquisto")


def test_paying_later_asks_for_the_same_consent(gone, alice, walk):
    order = buy(gone, alice)
    page = walk.client.get(f"/area-clienti/ordini/{order.number}/paga/")
    assert "se la casella si attiva oggi" in text(page)
    walk.client.post(f"/area-clienti/ordini/{order.number}/paga/", {"method": "sandbox"})
    assert Payment.objects.get().auto_renewal_agreed
    assert Payment.objects.get().consent_text_version == "2026-11-acquisto"


def test_two_tabs_are_led_to_the_one_order(walk, gone):
    to_confirm(walk, gone)
    walk("confirm")
    order = Order.objects.get()
    again = walk("confirm")
    assert again.url == f"/area-clienti/ordini/{order.number}/"
    assert said(again) == ["Per questo indirizzo c'è già un ordine di acquisto: è questo. Non ne abbiamo creati altri."]
    assert walk.client.get(url("plan", gone)).url == f"/area-clienti/pec/{gone.public_id}/"
    assert Order.objects.count() == 1


def test_another_holder_is_sent_back_with_the_reason(walk, gone):
    Address.objects.filter(pk=gone.address_id).update(tombstone="f" * 64)
    for step in ("plan", "holder", "confirm"):
        answer = walk.client.get(url(step, gone))
        assert answer.url == f"/area-clienti/pec/{gone.public_id}/"
        assert said(answer)[0].startswith("Solo il titolare di allora può acquistare di nuovo questo indirizzo")


def test_a_living_box_is_not_for_sale(make_box, alice, walk):
    living = make_box(alice, "viva")
    for step in NAMES:
        method = walk.client.post if "summary" in step else walk.client.get
        assert method(url(step, living)).url == f"/area-clienti/pec/{living.public_id}/"
    assert Order.objects.count() == 0


def test_a_deleted_box_is_not_renewed(gone, walk):
    answer = walk.client.get(reverse("renewals:plan", args=[gone.public_id]))
    assert answer.url == f"/area-clienti/pec/{gone.public_id}/"


def test_strangers_and_nobody(gone, carla, make_box):
    hers = make_box(carla, "carla")
    for user, backend in (
        (carla, "accounts.backends.AccountBackend"),
        (hers.login, "mailboxes.backends.MailboxBackend"),
    ):
        client = Client()
        client.force_login(user, backend=backend)
        for step in NAMES:
            for method in (client.get, client.post):
                answer = method(url(step, gone))
                assert answer.status_code in (404, 405), (step, answer.status_code)
                assert b"persa" not in answer.content.replace(url(step, gone).encode(), b"")
    for step in NAMES:
        answer = Client().post(url(step, gone))
        assert (answer.status_code, "persa" in answer.content.decode()) in ((302, False), (204, False))


def test_the_queries_of_the_steps(walk, gone, make_box, alice):
    def count(step: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert walk.client.get(url(step, gone)).status_code == 200
        return len(captured)

    to_confirm(walk, gone)
    found = {step: count(step) for step in ("plan", "holder", "confirm")}
    for n in range(3):
        deleted(make_box(alice, f"altra{n}", expires_in=-150))
    assert {step: count(step) for step in found} == found
    assert max(found.values()) <= 12, found
