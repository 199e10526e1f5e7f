"""The holder's contact e-mail changes with a code to the new one and a note to the old, by the holder alone (R12)."""

import re
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from django.test import Client
from post_office.models import Email

from mailboxes.models import Holder
from pecportal import clock

pytestmark = pytest.mark.django_db(transaction=True)
NEW = "nuova@altra.example"


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user, backend="accounts.backends.AccountBackend")
    return client


def ask(client, box, email=NEW):
    return client.post(f"/area-clienti/pec/{box.public_id}/contatto/", {"email": email}, follow=True)


def code() -> str:
    letter = Email.objects.filter(subject__contains="codice").latest("id")
    assert letter.to == [NEW]
    return re.search(r"(\d{4}) (\d{4})", letter.message).group(0)


def answer(client, box, typed):
    return client.post(f"/area-clienti/pec/{box.public_id}/contatto/codice/", {"code": typed}, follow=True)


@pytest.mark.parametrize("who", ["account", "mailbox"])
def test_the_holder_changes_it(box, alice, who):
    client = signed_in(alice if who == "account" else box.login)
    ask(client, box)
    page = answer(client, box, code())
    assert "scriviamo a quella nuova" in unescape(page.content.decode())
    assert Holder.objects.get().contact_email == NEW
    note = Email.objects.latest("id")
    assert (note.to, NEW in note.message, NEW in note.html_message) == (["alice.contatto@posta.example"], False, False)


def test_an_account_that_is_not_the_holder_cannot(make_box, alice):
    theirs = make_box(alice, "studio", holder="bruno")
    client = signed_in(alice)
    assert client.get(f"/area-clienti/pec/{theirs.public_id}/contatto/").status_code == 404
    assert "Cambia l'e-mail di contatto" not in unescape(
        client.get(f"/area-clienti/pec/{theirs.public_id}/").content.decode()
    )


def test_a_stranger_cannot(box, carla):
    assert ask(signed_in(carla), box).status_code == 404


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "Scrivi la nuova e-mail di contatto."), ("nuova@", "Scrivi un'e-mail completa"),
        ("studio@pec.example", "Questa è una casella gestita da noi"),
    ],
)  # fmt: skip
def test_bad_addresses(box, alice, typed, sentence):
    assert sentence in unescape(ask(signed_in(alice), box, typed).content.decode())
    assert Email.objects.count() == 0


def test_five_wrong_codes_spend_it(box, alice):
    client = signed_in(alice)
    ask(client, box)
    right = code()
    wrong = "00000000" if right != "0000 0000" else "11111111"
    for _try in range(5):
        answer(client, box, wrong)
    answer(client, box, right)
    assert Holder.objects.get().contact_email == "alice.contatto@posta.example"


def test_a_code_is_good_for_a_quarter_of_an_hour(box, alice):
    client = signed_in(alice)
    with time_machine.travel(clock.now(), tick=False) as watch:
        ask(client, box)
        watch.shift(timedelta(minutes=16))
        assert "non vale più" in unescape(answer(client, box, code()).content.decode())
    assert Holder.objects.get().contact_email == "alice.contatto@posta.example"


def test_the_code_is_for_the_address_it_was_sent_to(box, alice):
    client = signed_in(alice)
    ask(client, box)
    first = code()
    ask(client, box, "terza@altra.example")
    answer(client, box, first)
    assert Holder.objects.get().contact_email == "alice.contatto@posta.example"
