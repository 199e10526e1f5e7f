"""Changing the account's e-mail and the password of either kind of login."""

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
    return html.unescape(response.content.decode().split("<main")[1].split("</main")[0])


@pytest.fixture
def page(alice, client, sign_in):
    sign_in(alice.username)
    return client


def ask(page, email: str, password: str = PASSWORD):
    return page.post(reverse("account_email"), {"email": email, "password": password}, follow=True)


def link_of(mail) -> str:
    return re.search(r"http://localhost:8000(/accesso/email/\S+/)", mail.message)[1]


def test_a_new_email_holds_when_its_link_is_opened(page, alice, last_mail, sent, sign_in):
    assert "Aspettiamo la conferma di nuova@posta.example" in main(ask(page, "Nuova@posta.example"))
    alice.refresh_from_db()
    assert alice.email == "alice@posta.example"
    assert sent() == [("nuova@posta.example", "Conferma nuova@posta.example come e-mail del tuo account")]
    link = link_of(last_mail())
    assert "Confermi che nuova@posta.example" in main(page.get(link))
    alice.refresh_from_db()
    assert alice.email == "alice@posta.example"  # mail readers that open links confirm nothing
    assert "nuova@posta.example è ora l'e-mail del tuo account." in main(page.post(link, follow=True))
    alice.refresh_from_db()
    assert alice.email == "nuova@posta.example"
    assert list(EmailAddress.objects.filter(user=alice).values_list("email", "verified", "primary")) == [
        ("nuova@posta.example", True, True)
    ]
    assert sent()[-1] == ("alice@posta.example", "L'e-mail del tuo account è cambiata")
    assert sign_in("nuova@posta.example", using=Client()).status_code == 302
    assert sign_in("alice@posta.example", using=Client()).status_code == 200
    assert "Questo link è già stato usato" in main(page.get(link))


def test_the_link_of_an_address_asked_for_before_is_dead(page, alice, last_mail):
    ask(page, "sbagliata@posta.example")
    link = link_of(last_mail())
    ask(page, "giusta@posta.example")
    assert "Questo link è già stato usato" in main(page.get(link))
    assert page.post(link).status_code == 404


def test_asking_twice_for_one_address_leaves_its_link_alive(page, last_mail):
    ask(page, "nuova@posta.example")
    link = link_of(last_mail())
    ask(page, "nuova@posta.example")
    assert "Confermi che nuova@posta.example" in main(page.get(link))


@pytest.mark.parametrize(
    ("email", "password", "sentence"),
    [
        ("qualcuno@pec.example", PASSWORD, "Usa un indirizzo e-mail esterno"),
        ("alice@pec.example", PASSWORD, "Usa un indirizzo e-mail esterno"),
        ("alice@posta.example", PASSWORD, "Questa è già l'e-mail del tuo account."),
        ("1000001@pecportal.example", PASSWORD, "Questo è uno username, non un'e-mail: lì non arriva posta."),
        ("nuova@posta.example", "sbagliata", "La password attuale non è questa: riscrivila."),
        ("niente", PASSWORD, "indirizzo email valido"),
    ],
)
def test_what_is_refused(email, password, sentence, page, box, alice, sent):
    assert sentence in main(ask(page, email, password))
    assert sent() == []
    assert EmailAddress.objects.filter(user=alice).count() == 1


def test_anothers_email_is_asked_for_like_any_other_and_never_taken(page, alice, carla, last_mail):
    assert "Abbiamo scritto a carla@posta.example" in main(ask(page, "carla@posta.example"))
    link = link_of(last_mail())
    assert "è già di un altro account" in main(page.get(link))
    page.post(link)
    assert User.objects.get(pk=alice.pk).email == "alice@posta.example"
    assert EmailAddress.objects.get(email="carla@posta.example", verified=True).user == carla


def change(client, old: str, new: str, again: str | None = None):
    fields = {"oldpassword": old, "password1": new, "password2": again or new}
    return client.post(reverse("account_change_password"), fields)


def test_an_account_changes_its_password_and_stays_signed_in(page, alice, sign_in, sent):
    elsewhere = Client()
    sign_in(alice.username, using=elsewhere)
    assert change(page, PASSWORD, NEW).url == reverse("accounts:dati")
    assert page.get(reverse("accounts:dati")).status_code == 200
    assert elsewhere.get(reverse("accounts:dati")).status_code == 302
    assert sent() == [("alice@posta.example", "La password del tuo account è cambiata")]
    assert sign_in(alice.username, NEW, using=Client()).status_code == 302


def test_a_mailbox_changes_its_password_and_its_holder_is_told(box, client, sign_in, sent):
    elsewhere = Client()
    sign_in("alice@pec.example", using=elsewhere)
    sign_in("alice@pec.example")
    assert client.get(reverse("account_change_password")).status_code == 200
    assert change(client, PASSWORD, NEW).url == reverse("area:box", args=[box.public_id])
    assert "_auth_user_id" in client.session
    assert elsewhere.get(reverse("account_change_password")).status_code == 302
    assert sent() == [("alice.contatto@posta.example", "alice@pec.example: la password è cambiata")]
    assert sign_in("alice@pec.example", NEW, using=Client()).status_code == 302


@pytest.mark.parametrize(
    ("old", "new", "again", "sentence"),
    [
        ("sbagliata", NEW, NEW, "La password attuale non è questa: riscrivila."),
        (PASSWORD, "xk-4z", "xk-4z", "almeno 10 caratteri"),
        (PASSWORD, "1234567890", "1234567890", "interamente numerica"),
        (PASSWORD, NEW, NEW + "x", "Le due password sono diverse: riscrivile."),
    ],
)
def test_a_password_that_will_not_do(old, new, again, sentence, page, alice):
    page_shown = html.unescape(change(page, old, new, again).content.decode())
    assert sentence in page_shown
    assert new not in page_shown.split("</form>")[1]
    assert User.objects.get(pk=alice.pk).check_password(PASSWORD)
