"""One password, one hash, for the portal and for mail programs (R1)."""

import imaplib
import re
import smtplib
import threading

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, make_password
from django.urls import reverse
from post_office.models import Email

from accounts.models import User
from mailboxes.platform.base import get_platform
from tests.mail.conftest import PASSWORD

pytestmark = [pytest.mark.servers, pytest.mark.real_hasher, pytest.mark.django_db(transaction=True)]
NEW = "Un-altra-password-7"


def opens(servers, address: str, password: str) -> bool:
    try:
        with servers.imap(address, password):
            return True
    except imaplib.IMAP4.error as error:
        assert "AUTHENTICATIONFAILED" in str(error)
        return False


def test_a_recovered_password_is_that_of_the_mail_program_at_once(mail_servers, box, client):
    client.post(
        reverse("mailboxes:recovery"), {"address": box.address.name, "fiscal_code": "RSSLCA80A41H501U"}, follow=True
    )
    [code] = re.findall(r"^(\d{4} \d{4})$", Email.objects.latest("pk").message, re.MULTILINE)
    client.post(reverse("mailboxes:recovery_code"), {"code": code})
    client.post(reverse("mailboxes:recovery_password"), {"password1": NEW, "password2": NEW})
    assert opens(mail_servers, box.address.name, NEW)
    assert not opens(mail_servers, box.address.name, PASSWORD)
    assert mail_servers.submit(box.address.name, NEW, to="a@b.example")[0] == 250


def test_a_changed_password_too(mail_servers, box, client):
    client.force_login(box.login, backend="mailboxes.backends.MailboxBackend")
    page = client.post(
        reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    )
    assert page.status_code == 302
    assert opens(mail_servers, box.address.name, NEW)
    assert not opens(mail_servers, box.address.name, PASSWORD)


def test_a_hash_of_another_cost_opens_both_and_is_renewed_by_the_portal(mail_servers, box):
    """Imported, or of before the cost was raised. Mail programs go on through the renewal."""
    dear = Argon2PasswordHasher().encode(PASSWORD, "0123456789abcdefghijkl")
    User.objects.filter(pk=box.login_id).update(password=dear)
    assert opens(mail_servers, box.address.name, PASSWORD)
    assert User.objects.get(pk=box.login_id).password == dear
    assert get_platform().check_password(User.objects.get(pk=box.login_id), PASSWORD)
    renewed = User.objects.get(pk=box.login_id).password
    assert renewed.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert opens(mail_servers, box.address.name, PASSWORD)


def test_a_hash_that_no_mail_server_reads_opens_there_after_the_first_sign_in_here(mail_servers, box):
    foreign = make_password(PASSWORD, hasher="pbkdf2_sha256")
    User.objects.filter(pk=box.login_id).update(password=foreign)
    assert not opens(mail_servers, box.address.name, PASSWORD)
    assert get_platform().check_password(User.objects.get(pk=box.login_id), PASSWORD)
    assert opens(mail_servers, box.address.name, PASSWORD)


def test_mail_programs_sign_in_while_the_portal_renews_and_changes(mail_servers, box):
    """No moment in which the right password is refused: the hash changes in one step."""
    refused: list[str] = []
    over = threading.Event()

    def sign_in() -> None:
        while not over.is_set():
            with smtplib.SMTP("127.0.0.1", mail_servers.ports["submission"]) as connection:
                connection.ehlo()
                connection.user, connection.password = box.address.name, PASSWORD
                try:
                    connection.auth("PLAIN", connection.auth_plain)
                except smtplib.SMTPAuthenticationError as error:
                    refused.append(str(error))

    worker = threading.Thread(target=sign_in)
    worker.start()
    for _n in range(30):
        get_platform().set_password(User.objects.get(pk=box.login_id), PASSWORD)
    over.set()
    worker.join(30)
    assert refused == []
