"""Accounts that staff makes: numbered, invited, activated once."""

import html
import re
from datetime import timedelta

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from accounts import flows
from accounts.models import User
from pecportal import clock
from pecportal.errors import RefusedError

NEW = "Un-altra-password-7"
pytestmark = pytest.mark.django_db


def link_of(mail) -> str:
    return re.search(r"http://localhost:8000(/accesso/attiva/\S+/)", mail.message)[1]


def main(response) -> str:
    """What the page says, without the tokens that differ each time."""
    page = html.unescape(response.content.decode().split("<main")[1].split("</main")[0])
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)


def test_usernames_are_the_next_number():
    assert flows.next_username() == "1000001@pecportal.example"
    User.objects.create_user("1000041@pecportal.example")
    User.objects.create_user("999@pecportal.example")  # no number of ours
    User.objects.create_user("8000000@altro.example")
    User.objects.create_user("2000000@pecportal.example", kind=User.Kind.MAILBOX)
    assert flows.create_account(email="a@posta.example").username == "1000042@pecportal.example"
    User.objects.create_user("9999999@pecportal.example")
    assert flows.create_account(email="b@posta.example").username == "10000000@pecportal.example"
    assert flows.create_account(email="c@posta.example").username == "10000001@pecportal.example"


def test_two_colleagues_at_once_get_two_numbers(monkeypatch):
    User.objects.create_user("1000001@pecportal.example")
    answers = iter(["1000001@pecportal.example", "1000002@pecportal.example"])
    monkeypatch.setattr(flows, "next_username", lambda: next(answers))
    assert flows.create_account(email="a@posta.example").username == "1000002@pecportal.example"


def test_a_new_account_cannot_sign_in_before_its_link(sign_in):
    user = flows.create_account(email=" Nuovo@Posta.Example")
    assert (user.email, user.has_usable_password()) == ("nuovo@posta.example", False)
    assert not EmailAddress.objects.get(user=user).verified
    assert sign_in(user.username, "").status_code == sign_in(user.username, "!").status_code == 200


@pytest.mark.parametrize("email", ["alice@posta.example", "qualcuno@pec.example"])
def test_an_email_of_another_or_hosted_here_makes_no_account(email, alice, box):
    with pytest.raises(RefusedError):
        flows.create_account(email=email)


def test_the_link_sets_the_first_password_and_proves_the_email(client, last_mail, sign_in):
    user = flows.create_account(email="nuovo@posta.example")
    flows.invite(user)
    mail = last_mail()
    assert (mail.to, mail.subject) == (["nuovo@posta.example"], f"Attiva il tuo account {user.username}")
    page = client.get(link_of(mail), follow=True)
    form_url = page.redirect_chain[-1][0]
    assert form_url.endswith("/scegli/")
    assert user.username in main(page)
    assert "almeno 10 caratteri" in main(client.post(form_url, {"password1": "corta", "password2": "corta"}))
    response = client.post(form_url, {"password1": NEW, "password2": NEW}, follow=True)
    assert response.redirect_chain[-1][0] == "/accesso/?con=account"
    assert f"Accedi con lo username {user.username}" in main(response)
    assert EmailAddress.objects.get(user=user).verified
    assert "Questo link è già stato usato" in main(Client().get(link_of(mail), follow=True))
    assert sign_in("nuovo@posta.example", NEW).status_code == 302


def test_a_link_ends_with_time_and_with_a_new_email(client, last_mail):
    user = flows.create_account(email="nuovo@posta.example")
    flows.invite(user)
    link = link_of(last_mail())
    with time_machine.travel(clock.now() + timedelta(days=3, hours=3)):
        assert "è scaduto" in main(Client().get(link, follow=True))
    flows.replace_email(user, "altra@posta.example")
    assert "è scaduto" in main(Client().get(link, follow=True))


def test_a_reset_link_is_no_activation_link_and_none_opens_a_mailbox(client, box, alice):
    from allauth.account.forms import default_token_generator
    from django.utils.http import urlsafe_base64_encode

    for user, token in (
        (alice, default_token_generator.make_token(alice)),
        (box.login, flows.invite_tokens.make_token(box.login)),
    ):
        uid = urlsafe_base64_encode(str(user.pk).encode())
        assert "è scaduto" in main(client.get(reverse("accounts:attiva", args=[uid, token]), follow=True))


def test_who_cannot_be_invited(box, alice, sent):
    User.objects.filter(pk=alice.pk).update(is_active=False)
    nobody = User.objects.create_user("2000008@pecportal.example")
    hosted = User.objects.create_user("2000007@pecportal.example", email="qualcuno@pec.example")
    for user in (box.login, User.objects.get(pk=alice.pk), nobody, hosted):
        with pytest.raises(RefusedError):
            flows.invite(user)
    assert sent() == []
