"""Step 2 of the wizard: Dati intestatario, for this order only, and who is invoiced (R1, R5, R8, R12)."""

import pytest
from django.urls import reverse

from accounts.models import BillingProfile
from mailboxes.models import Holder
from renewals.forms import looks_certified
from tests.conftest import CODES, holder_of
from tests.renewals.wizard_walk import HOLDER, Walk, errors, text, url

pytestmark = pytest.mark.django_db

USERNAME = "Questo è uno username, non un'e-mail: lì non arriva posta. Scrivi l'e-mail che leggi di solito."
HOSTED = (
    "Questa è una casella gestita da noi: se scadesse non leggeresti più la conferma. Scrivi un'e-mail di un altro "
    "fornitore."
)
CAP = "Il CAP ha 5 cifre, come 00184: controlla quello che hai scritto."


@pytest.fixture
def walk(box, alice) -> Walk:
    walk = Walk(box, alice)
    walk.plan()
    return walk


def test_the_screen_starts_from_the_holder_and_shows_who_cannot_be_changed(walk):
    page = walk.get("holder")
    shown = {name: page.context["form"][name].value() for name in page.context["form"].fields}
    assert shown == {
        "email": "alice.contatto@posta.example", "address": "via Roma 1", "postal_code": "00184", "city": "Roma",
        "province": "RM", "country": "IT", "phone": "0612345678",
    }  # fmt: skip
    assert "Titolare Alice Rossi Codice fiscale RSSLCA80A41H501U" in text(page)
    assert "Passo 2 di 3 · Dati intestatario" in text(page)
    assert "Questo indirizzo sembra una PEC" not in text(page)


def test_the_address_book_stays_as_it_is_whatever_is_typed_or_forged(walk, box):
    answer = walk.holder(
        first_name="Carlo", codice_fiscale=CODES["carla"], subject="company", contact_email="x@posta.example"
    )
    assert answer.url == url("confirm", box)
    holder = Holder.objects.get(pk=box.holder_id)
    assert (holder.first_name, holder.codice_fiscale, holder.subject) == ("Alice", CODES["alice"], "person")
    assert (holder.address, holder.contact_email) == ("via Roma 1", "alice.contatto@posta.example")
    page = walk.get("holder")
    assert page.context["form"]["address"].value() == "via Milano 2"
    assert "Titolare Alice Rossi Codice fiscale RSSLCA80A41H501U" in text(page)


@pytest.mark.parametrize(
    ("typed", "name", "sentence"),
    [
        ({"email": ""}, "email", "Scrivi l'e-mail a cui mandare la conferma dell'ordine."),
        ({"email": "alice"}, "email", "Scrivi un'e-mail completa, come nome@esempio.it."),
        ({"email": "1000007@PECportal.example"}, "email", USERNAME),
        ({"email": "alice@pec.example"}, "email", HOSTED),
        ({"email": "Chiunque@PEC.Example"}, "email", HOSTED),
        ({"postal_code": "0018"}, "postal_code", CAP),
        ({"postal_code": "99999"}, "postal_code", "Nessun comune ha il CAP 99999: controllalo."),
        ({"postal_code": "abcde"}, "postal_code", CAP),
        ({"province": "XX"}, "province", "Scrivi la sigla di una provincia italiana, come RM o MI."),
        ({"province": ""}, "province", "Scegli la provincia."),
        ({"city": ""}, "city", "Scrivi il comune."),
        ({"address": " "}, "address", "Scrivi l'indirizzo con il numero civico."),
        (
            {"phone": "non ho"},
            "phone",
            "Scrivi il numero di telefono con le sole cifre, come 06 1234567 o +39 333 1234567.",
        ),
    ],
)
def test_bad_input_of_step_2(walk, typed, name, sentence):
    page = walk.holder(**typed)
    assert page.status_code == 200
    assert errors(page) == {name: [sentence]}
    assert text(page).count(sentence) == 2
    assert {n: page.context["form"][n].value() for n in HOLDER} == {**HOLDER, **typed}  # what was typed stays (R31)
    assert walk.get("confirm").url == url("holder", walk.box)


def test_an_unknown_country_is_refused(walk):
    assert list(errors(walk.holder(country="ZZ"))) == ["country"]


def test_a_customers_own_hosted_domain_is_hosted_too(make_box, alice, box, today):
    from datetime import timedelta

    from mailboxes.flows import open_domain

    open_domain(name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(days=9))
    walk = Walk(box, alice)
    walk.plan()
    assert errors(walk.holder(email="info@pec.rossi.example")) == {"email": [HOSTED]}


def test_another_pec_is_warned_of_and_let_through(walk, box):
    answer = walk.holder(email="alice@legalmail.it")
    assert answer.url == url("confirm", box)
    sentence = (
        "Molte PEC rifiutano le e-mail normali: la conferma dell'ordine potrebbe non arrivare a alice@legalmail.it"
    )
    for step in ("holder", "confirm"):
        assert sentence in text(walk.get(step))


@pytest.mark.parametrize(
    ("email", "certified"),
    [
        ("a@pec.it", True), ("a@pec.ordine.it", True), ("a@studio.pec.it", True), ("a@arubapec.it", True),
        ("a@cert.comune.it", True), ("a@legalmail.it", True), ("A@PEC.IT", True), ("a@postecert.it", True),
        ("a@gmail.com", False), ("a@pecora.it", False), ("a@concert.it", False), ("pec@posta.example", False),
        ("a@esempio.pec", False), ("", False),
    ],
)  # fmt: skip
def test_which_addresses_look_like_a_pec(email, certified):
    assert looks_certified(email) is certified


# --- Who is invoiced (R1) ---------------------------------------------------------------------------------------------


def test_an_account_sees_its_billing_data_and_the_way_to_change_them(walk, box):
    page = walk.get("holder")
    assert "A chi va la fattura Intestata a Alice Rossi Codice fiscale RSSLCA80A41H501U" in text(page)
    assert f'href="{reverse("accounts:dati")}?next={url("holder", box)}"' in page.content.decode()


def test_a_mailbox_login_sees_none_of_them(make_box, alice):
    """Bruno's box under Alice's account: whose fiscal data never show."""
    box = make_box(alice, "bruno", holder="bruno")
    alice.billing.company_name, alice.billing.sdi_code = "Segreta srl", "ABC1234"
    alice.billing.save()
    walk = Walk(box, box.login)
    walk.plan()
    page = walk.get("holder")
    assert "A chi va la fattura Fattura intestata al titolare dell'account." in text(page)
    walk.holder()
    for shown in (page, walk.get("confirm")):
        for secret in ("Alice", "Rossi", CODES["alice"], "Segreta", "ABC1234", alice.email, alice.username):
            assert secret not in shown.content.decode()
        assert "Bruno Bianchi" in text(shown)


def test_an_account_without_billing_data_fills_them_first(box, alice):
    BillingProfile.objects.filter(user=alice).delete()
    walk = Walk(box, alice)
    walk.plan()
    for page in (walk.get("holder"), walk.holder()):
        assert page.status_code == 200
        assert "Prima servono i dati di fatturazione" in text(page)
        assert f'href="{reverse("accounts:dati")}?next={url("holder", box)}"' in page.content.decode()
    assert walk.get("confirm").url == url("holder", box)


def test_a_mailbox_login_goes_on_though_its_account_has_no_billing_data(box, alice):
    BillingProfile.objects.filter(user=alice).delete()
    walk = Walk(box, box.login)
    walk.plan()
    assert walk.holder().url == url("confirm", box)


def test_the_representative_of_a_company_is_shown_and_not_asked(make_box, alice):
    holder = holder_of(alice, "bruno")
    holder.subject, holder.company_name, holder.codice_fiscale = "company", "Bianchi srl", "12345678903"
    holder.partita_iva = "12345678903"
    holder.save()
    box = make_box(alice, "bianchi")
    type(box).objects.filter(pk=box.pk).update(holder=holder)
    walk = Walk(box, alice)
    walk.plan()
    shown = (
        "Titolare Bianchi srl Legale rappresentante Bruno Bianchi Codice fiscale 12345678903 Partita IVA 12345678903"
    )
    assert shown in text(walk.get("holder"))
    assert walk.holder().url == url("confirm", box)
