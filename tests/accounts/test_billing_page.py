"""/area-clienti/dati/: the account's fiscal data, for the account alone."""

import html
from datetime import timedelta

import pytest
from auditlog.models import LogEntry
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse

from accounts.billing_forms import BillingForm, OwnBillingForm
from accounts.models import BillingProfile, User

DATI = "/area-clienti/dati/"
MINE = {
    "subject": "person", "shown": "person", "first_name": "Alice", "last_name": "Rossi",
    "codice_fiscale": "RSSLCA80A41H501U",
    "address": "via Nuova 2", "postal_code": "20121", "city": "Milano", "province": "MI", "country": "IT",
    "phone": "+39 02 123456", "is_consumer": "False",
}  # fmt: skip


@pytest.fixture
def page(alice, client):
    client.force_login(alice)
    return client


def main(response) -> str:
    return html.unescape(response.content.decode().split("<main")[1].split("</main")[0])


def test_it_is_the_accounts_alone(box, alice, client):
    assert client.get(DATI).url == f"/accesso/?next={DATI}"
    client.force_login(box.login, backend="mailboxes.backends.MailboxBackend")
    for url in (DATI, reverse("account_email")):
        assert client.get(url).status_code == 404
        assert client.post(url, MINE).status_code == 404
    assert BillingProfile.objects.get(user=alice).address == "via Roma 1"


def test_it_shows_what_is_stored_and_only_the_fields_of_the_kind(page, carla):
    shown = main(page.get(DATI))
    for word in ("RSSLCA80A41H501U", "via Roma 1", "alice@posta.example", "2000001@pecportal.example"):
        assert word in shown
    for word in ("partita_iva", "sdi_code", "company_name", "Carla", "VRDCRL90M50L219I"):
        assert word not in shown
    assert 'aria-current="page"' in page.get(DATI).content.decode()


def test_saving_writes_normalised_data_and_a_row_of_history(page, alice):
    response = page.post(DATI, MINE)
    assert response.url == DATI
    profile = BillingProfile.objects.get(user=alice)
    assert (profile.address, profile.city, profile.phone, profile.is_consumer) == (
        "via Nuova 2",
        "Milano",
        "+3902123456",
        False,
    )
    entry = LogEntry.objects.get_for_object(profile).filter(action=LogEntry.Action.UPDATE).latest("timestamp")
    assert entry.changes_dict["city"] == ["Roma", "Milano"]
    assert entry.actor == alice


def test_a_mistake_is_told_and_everything_typed_stays(page, alice):
    shown = main(page.post(DATI, {**MINE, "postal_code": "2012", "phone": "boh"}))
    assert "Il CAP ha 5 cifre, come 00184: controlla quello che hai scritto." in shown
    assert 'href="#id_postal_code"' in shown
    for word in ('value="via Nuova 2"', 'value="2012"', 'value="boh"', 'value="Milano"'):
        assert word in shown
    assert BillingProfile.objects.get(user=alice).city == "Roma"


def test_another_kind_brings_its_fields_and_keeps_what_was_typed(page, alice):
    shown = main(page.post(DATI, {**MINE, "subject": "professional"}))
    assert "Ora vedi i campi per «Libero professionista»" in shown
    assert 'name="partita_iva"' in shown and 'value="via Nuova 2"' in shown
    assert "C'è un problema" not in shown
    typed = {**MINE, "subject": "person", "shown": "professional", "partita_iva": "00743110157", "sdi_code": "M5UXCR1"}
    back = main(page.post(DATI, typed))
    assert '<input type="hidden" name="partita_iva" value="00743110157">' in back  # kept, should the choice be undone
    assert BillingProfile.objects.get(user=alice).city == "Roma"  # nothing was saved on the way
    done = page.post(DATI, {**typed, "subject": "professional", "shown": "professional"})
    assert done.url == DATI
    profile = BillingProfile.objects.get(user=alice)
    assert (profile.subject, profile.partita_iva, profile.sdi_code) == ("professional", "00743110157", "M5UXCR1")
    assert profile.fiscal_key == "RSSLCA80A41H501U"


def test_the_wizard_gets_its_visitor_back_and_nobody_elses_page_does(page):
    way_back = "/area-clienti/pec/1/rinnova/dati/?passo=2"
    shown = main(page.get(DATI, {"next": way_back}))
    assert f'<input type="hidden" name="next" value="{way_back}">' in shown
    assert page.post(DATI, {**MINE, "next": way_back}).url == way_back
    for elsewhere in ("https://evil.example/", "//evil.example", "javascript:alert(1)"):
        assert "evil" not in main(page.get(DATI, {"next": elsewhere}))
        assert page.post(DATI, {**MINE, "next": elsewhere}).url == DATI


def test_a_new_account_fills_in_its_data(db, client):
    user = User.objects.create_user("2000003@pecportal.example", "Prova-pec-2026", email="mario@posta.example")
    client.force_login(user)
    assert main(client.get(DATI)).count("checked") == 1  # the kind; whether a consumer is not answered for anybody
    data = {**MINE, "first_name": "Mario", "codice_fiscale": "rssmra85t10a562s"}
    assert "Di' se usi il servizio" in main(client.post(DATI, {k: v for k, v in data.items() if k != "is_consumer"}))
    assert client.post(DATI, data).url == DATI
    assert BillingProfile.objects.get(user=user).fiscal_key == "RSSMRA85T10A562S"


def test_a_code_in_use_is_refused_in_words_that_do_not_say_whose(alice, db):
    user = User.objects.create_user("2000003@pecportal.example", "Prova-pec-2026")
    client = Client()
    client.force_login(user)
    shown = main(client.post(DATI, MINE))
    assert str(BillingForm.TAKEN) in shown
    assert "2000001" not in shown and "alice@" not in shown
    assert not BillingProfile.objects.filter(user=user).exists()


def test_two_at_once_for_one_code_make_one_profile(alice, db, monkeypatch):
    user = User.objects.create_user("2000003@pecportal.example", "Prova-pec-2026")
    client = Client()
    client.force_login(user)
    monkeypatch.setattr(OwnBillingForm, "check_key", lambda self, key: None)  # as if the other had not committed yet
    assert str(BillingForm.TAKEN) in main(client.post(DATI, MINE))
    with pytest.raises(IntegrityError):  # the control: the database is what refuses
        BillingProfile.objects.create(user=user, codice_fiscale="RSSLCA80A41H501U")


def test_the_code_itself_stays(page, alice):
    data = {**MINE, "first_name": "Mario", "codice_fiscale": "RSSMRA85T10A562S"}
    assert str(OwnBillingForm.LOCKED) in main(page.post(DATI, data))
    assert BillingProfile.objects.get(user=alice).fiscal_key == "RSSLCA80A41H501U"


def test_a_person_becomes_a_company_only_through_support(page, alice):
    shown = main(page.get(DATI))
    assert ("Ditta individuale" in shown, "Persona giuridica" in shown, "readonly" in shown) == (True, False, True)
    data = {
        **MINE,
        "subject": "company",
        "shown": "company",
        "company_name": "Alice srl",
        "codice_fiscale": "00743110157",
    }
    shown = main(page.post(DATI, data))
    assert "Da persona a società o ente si passa con l'assistenza: scrivile." in shown
    assert BillingProfile.objects.get(user=alice).subject == "person"


def test_the_birth_date_shows_as_browsers_want_it(page, alice):
    assert page.post(DATI, {**MINE, "birth_date": "1980-01-01"}).url == DATI
    assert 'type="date"' in main(page.get(DATI)) and 'value="1980-01-01"' in main(page.get(DATI))
    tomorrow = BillingProfile.objects.get(user=alice).birth_date + timedelta(days=1)
    assert "non corrisponde alla data" in main(page.post(DATI, {**MINE, "birth_date": tomorrow.isoformat()}))
