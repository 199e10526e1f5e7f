"""Signing in with a mailbox, as the backend sees it."""

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import MD5PasswordHasher
from django.urls import reverse
from post_office.models import Email

from accounts.backends import AccountBackend, backend_of
from accounts.models import User
from mailboxes.backends import MailboxBackend
from mailboxes.models.boxes import Phase

PASSWORD = "Prova-pec-2026"


def sent() -> list[tuple[str, str]]:
    return [(mail.to[0], mail.subject) for mail in Email.objects.order_by("pk")]


def end_login(box, phase):
    """What the deletion flow leaves: no login on the box."""
    box.phase, box.login = phase, None
    box.save(update_fields=["phase", "login"])


@pytest.mark.parametrize("typed", ["alice@pec.example", " ALICE@pec.example ", "Alice@Pec.Example"])
def test_the_address_is_read_in_any_case(box, rf, typed):
    assert authenticate(rf.post("/"), username=typed, password=PASSWORD) == box.login
    assert authenticate(rf.post("/"), email=typed, password=PASSWORD) == box.login


@pytest.mark.parametrize("password", ["sbagliata", "", None])
def test_a_wrong_password_opens_nothing(box, rf, password):
    assert authenticate(rf.post("/"), username="alice@pec.example", password=password) is None


@pytest.mark.parametrize("phase", [Phase.DELETING, Phase.DELETED])
def test_a_box_that_goes_has_no_login_and_its_sessions_end(box, rf, phase):
    login = box.login
    end_login(box, phase)
    assert authenticate(rf.post("/"), username=login.username, password=PASSWORD) is None
    assert MailboxBackend().get_user(login.pk) is None


def test_a_login_switched_off_opens_nothing(box, rf):
    User.objects.filter(pk=box.login_id).update(is_active=False)
    assert authenticate(rf.post("/"), username="alice@pec.example", password=PASSWORD) is None
    assert MailboxBackend().get_user(box.login_id) is None


def test_each_backend_knows_only_its_kind(alice, box):
    assert MailboxBackend().authenticate(None, username=alice.username, password=PASSWORD) is None
    assert AccountBackend().authenticate(None, username=box.login.username, password=PASSWORD) is None
    assert MailboxBackend().get_user(alice.pk) is None
    assert isinstance(backend_of(alice), AccountBackend)
    assert isinstance(backend_of(box.login), MailboxBackend)


def test_an_unknown_address_is_hashed_as_often_as_a_known_one(box, monkeypatch):
    count = []
    real = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda self, *a: (count.append(1), real(self, *a))[1])
    hashes = {}
    for address in ("alice@pec.example", "nessuno@pec.example"):
        count.clear()
        assert MailboxBackend().authenticate(None, username=address, password="sbagliata") is None
        hashes[address] = len(count)
    assert hashes == {"alice@pec.example": 1, "nessuno@pec.example": 1}


def test_a_mailbox_lands_on_its_page(box):
    assert MailboxBackend().landing_url(box.login) == reverse("area:box", args=[box.public_id])


def test_a_new_password_is_one_hash_and_tells_the_holder(box):
    MailboxBackend().set_password(box.login, "Un-altra-password-7")
    assert User.objects.get(pk=box.login_id).check_password("Un-altra-password-7")
    assert sent() == [("alice.contatto@posta.example", "alice@pec.example: la password è cambiata")]


def test_a_hosted_contact_is_not_written_to(box):
    box.holder.contact_email = "alice@pec.example"
    box.holder.save()
    MailboxBackend().set_password(box.login, "Un-altra-password-7")
    assert sent() == []
