"""Non ricordo lo username, non ricordo la password: the same words whether or not the data are known (R3)."""

import html
import re

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from accounts.models import User

PASSWORD = "Prova-pec-2026"
NEW = "Un-altra-password-7"


def main(response) -> str:
    """What the page says, without the tokens that differ each time."""
    page = html.unescape(response.content.decode().split("<main")[1].split("</main")[0])
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)


@pytest.mark.parametrize("url", ["accounts:username", "account_reset_password"])
def test_the_answer_is_the_same_for_known_and_unknown(url, alice, box, sent):
    answers = set()
    for email in ("alice@posta.example", "nessuno@posta.example", "alice@pec.example", "ALICE@posta.example"):
        response = Client().post(reverse(url), {"email": email}, follow=True)
        answers.add((response.redirect_chain[0], main(response)))
    assert len(answers) == 1
    assert [to for to, _ in sent()] == ["alice@posta.example"] * 2


def test_the_username_goes_to_the_account_email_only(client, alice, carla, last_mail, sent):
    EmailAddress.objects.create(user=carla, email="altra@posta.example", verified=False)
    client.post(reverse("accounts:username"), {"email": "altra@posta.example"})
    assert sent() == []  # asked for, never proved
    client.post(reverse("accounts:username"), {"email": "Carla@posta.example"})
    mail = last_mail()
    assert (mail.to, mail.subject) == (["carla@posta.example"], "Il tuo username")
    for part in (mail.message, mail.html_message):
        assert carla.username in part
        assert alice.username not in part
        assert "http://localhost:8000/accesso/?con=account" in part.replace("&amp;", "&")


def test_an_account_switched_off_or_with_a_hosted_email_gets_nothing(client, alice, box, sent):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    for url in ("accounts:username", "account_reset_password"):
        client.post(reverse(url), {"email": "alice@posta.example"})
    User.objects.filter(pk=alice.pk).update(is_active=True, email="alice@pec.example")
    for url in ("accounts:username", "account_reset_password"):
        client.post(reverse(url), {"email": "alice@pec.example"})
    assert sent() == []


def test_the_username_will_do_and_the_link_goes_to_the_accounts_email(client, alice, box, last_mail, sent):
    pages = set()
    for typed in ("Alice@posta.example", alice.username.upper(), "9999999@pecportal.example", "alice@pec.example"):
        response = client.post(reverse("account_reset_password"), {"email": typed}, follow=True)
        pages.add((response.redirect_chain[0], main(response)))
    assert len(pages) == 1  # the same words, and the account's e-mail is not told (R3)
    assert [to for to, _ in sent()] == ["alice@posta.example"] * 2
    assert reset_link(last_mail())
    User.objects.filter(pk=alice.pk).update(email="alice@pec.example")
    client.post(reverse("account_reset_password"), {"email": alice.username})
    User.objects.filter(pk=alice.pk).update(email="alice@posta.example", is_active=False)
    client.post(reverse("account_reset_password"), {"email": alice.username})
    assert len(sent()) == 2


@pytest.mark.parametrize("url", ["accounts:username", "account_reset_password"])
def test_nonsense_is_told_and_stays(url, client, db):
    page = main(client.post(reverse(url), {"email": "non-un-indirizzo"}))
    assert "indirizzo email valido" in page
    assert 'value="non-un-indirizzo"' in page


def test_too_many_requests_from_one_connection(client, db):
    for n in range(10):
        assert client.post(reverse("accounts:username"), {"email": f"a{n}@posta.example"}).status_code == 302
    assert "Troppe richieste da questa connessione" in main(
        client.post(reverse("accounts:username"), {"email": "b@posta.example"})
    )
    for n in range(10):
        assert client.post(reverse("account_reset_password"), {"email": f"a{n}@posta.example"}).status_code == 302
    response = client.post(reverse("account_reset_password"), {"email": "b@posta.example"})
    assert (response.status_code, "Troppe richieste" in main(response)) == (429, True)


def reset_link(mail) -> str:
    return re.search(r"http://localhost:8000(/accesso/password/nuova/\S+/)", mail.message)[1]


def test_a_reset_link_sets_the_password_once_and_ends_other_sessions(client, alice, sign_in, last_mail, sent):
    elsewhere = Client()
    sign_in(alice.username, using=elsewhere)
    client.post(reverse("account_reset_password"), {"email": "alice@posta.example"}, headers={"host": "localhost"})
    link = reset_link(last_mail())
    assert last_mail().subject == f"Scegli una nuova password per {alice.username}"
    page = client.get(link, follow=True)
    form_url = page.redirect_chain[-1][0]
    assert link.rstrip("/").rpartition("-")[2] not in form_url  # the key is not left in the address
    short = main(client.post(form_url, {"password1": "corta", "password2": "corta"}))
    assert "Questa password è troppo corta. Deve contenere almeno 10 caratteri." in short
    assert "sono diverse" in main(client.post(form_url, {"password1": NEW, "password2": NEW + "x"}))
    assert client.post(form_url, {"password1": NEW, "password2": NEW}).url == reverse(
        "account_reset_password_from_key_done"
    )
    assert sent()[-1] == ("alice@posta.example", "La password del tuo account è cambiata")
    assert elsewhere.get("/area-clienti/dati/").status_code == 302
    assert "Questo link è già stato usato" in main(Client().get(link, follow=True))
    assert sign_in(alice.username, PASSWORD).status_code == 200
    assert sign_in(alice.username, NEW).status_code == 302


def test_a_reset_link_proves_the_email_it_went_to(client, db, last_mail):
    user = User.objects.create_user("2000005@pecportal.example", email="nuovo@posta.example")
    client.post(reverse("account_reset_password"), {"email": "nuovo@posta.example"})
    form_url = client.get(reset_link(last_mail()), follow=True).redirect_chain[-1][0]
    client.post(form_url, {"password1": NEW, "password2": NEW})
    address = EmailAddress.objects.get(user=user)
    assert (address.email, address.verified, address.primary) == ("nuovo@posta.example", True, True)


@pytest.mark.parametrize(
    "name", ["account_reset_password_done", "account_reset_password_from_key_done", "accounts:username_inviato"]
)
def test_the_last_pages_open(name, client, db):
    assert client.get(reverse(name)).status_code == 200
