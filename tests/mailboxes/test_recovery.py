"""A mailbox's password, recovered: nothing tells a known address from an unknown one (R3)."""

import html
import re
import uuid
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from post_office.models import Email

from accounts.models import User
from mailboxes import recovery
from pecportal import clock

CF = "RSSLCA80A41H501U"
NEW = "Un-altra-password-7"
START, CODE, CHOOSE = (reverse(f"mailboxes:{n}") for n in ("recovery", "recovery_code", "recovery_password"))


@pytest.fixture(autouse=True)
def own_cache(settings):
    """Limits count in the cache, and a neighbour of pytest-xdist may clear a shared one at any moment."""
    locmem = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": locmem, "LOCATION": uuid.uuid4().hex}}


def main(response) -> str:
    page = html.unescape(response.content.decode().split("<main")[1].split("</main")[0])
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)


def ask(client, address: str = "alice@pec.example", fiscal_code: str = CF):
    return client.post(START, {"address": address, "fiscal_code": fiscal_code}, follow=True)


def mails() -> list[str]:
    return [mail.to[0] for mail in Email.objects.order_by("pk")]


def code() -> str:
    return re.search(r"^(\d{4} \d{4})$", Email.objects.latest("pk").message, re.MULTILINE)[1]


def wrong() -> str:
    return "00000000" if code() != "0000 0000" else "00000001"


def password_is(box, raw: str) -> bool:
    return User.objects.get(pk=box.login_id).check_password(raw)


@pytest.mark.parametrize("typed", ["alice@pec.example", "ALICE@pec.example"])
@pytest.mark.parametrize("fiscal_code", [CF, "rss lca 80a41 h501u"])
def test_the_whole_way(box, client, typed, fiscal_code):
    elsewhere = Client()
    elsewhere.force_login(box.login, backend="mailboxes.backends.MailboxBackend")
    page = ask(client, typed, fiscal_code)
    assert page.redirect_chain == [(CODE, 302)]
    assert mails() == ["alice.contatto@posta.example"]
    assert Email.objects.get().subject == "alice@pec.example: il codice per la nuova password"
    assert client.post(CODE, {"code": code()}).url == CHOOSE
    assert "almeno 10 caratteri" in main(client.post(CHOOSE, {"password1": "corta", "password2": "corta"}))
    assert "sono diverse" in main(client.post(CHOOSE, {"password1": NEW, "password2": NEW + "x"}))
    key = client.session[recovery.SESSION_KEY]
    response = client.post(CHOOSE, {"password1": NEW, "password2": NEW}, follow=True)
    assert recovery.find(key) is None
    assert response.redirect_chain == [("/accesso/?con=casella", 302)]
    assert "La password della casella è cambiata: accedi con quella nuova." in main(response)
    assert password_is(box, NEW)
    assert mails() == ["alice.contatto@posta.example"] * 2  # the code, and that the password changed
    assert elsewhere.get(reverse("account_change_password")).status_code == 302  # its other sessions have ended
    assert client.get(CHOOSE).url == START  # once


def test_the_partita_iva_of_the_holder_will_do_and_a_representatives_code_will_not(box, client):
    box.holder.partita_iva = "00743110157"
    box.holder.representative_codice_fiscale = "RSSMRA85T10A562S"
    box.holder.save()
    ask(client, fiscal_code="IT 00743110157")
    assert len(mails()) == 1
    ask(client, fiscal_code="RSSMRA85T10A562S")
    assert len(mails()) == 1


def test_the_answer_is_the_same_whatever_is_right(box, make_box, alice, client):
    gone = make_box(alice, "via")
    gone.phase, gone.login = "deleting", None
    gone.save()
    pages = set()
    for address, fiscal_code in (
        ("alice@pec.example", CF),
        ("alice@pec.example", "VRDCRL90M50L219I"),
        ("alice@pec.example", "-"),
        ("nessuno@pec.example", CF),
        ("alice@posta.example", CF),
        ("via@pec.example", CF),
    ):
        visitor = Client()
        page = ask(visitor, address, fiscal_code)
        refused = visitor.post(CODE, {"code": "12345678"})
        pages.add(
            (
                page.redirect_chain[0],
                main(page).replace(address, "…"),
                refused.status_code,
                main(refused).replace(address, "…"),
            )
        )
    assert len(pages) == 1
    assert mails() == ["alice.contatto@posta.example"]


def test_a_hosted_contact_gets_no_code(box, client):
    box.holder.contact_email = "alice@pec.example"
    box.holder.save()
    assert "abbiamo mandato un codice" in main(ask(client))
    assert mails() == []


def test_five_wrong_codes_end_it_the_right_one_comes_too_late(box, client):
    ask(client)
    right = code()
    for _ in range(4):
        assert "Il codice non è questo" in main(client.post(CODE, {"code": wrong()}))
    response = client.post(CODE, {"code": wrong()}, follow=True)
    assert response.redirect_chain == [(START, 302)]
    assert "è stato sbagliato troppe volte" in main(response)
    assert client.post(CODE, {"code": right}).url == START
    assert client.get(CHOOSE).url == START


def test_the_fifth_try_may_be_right(box, client):
    ask(client)
    right = code()
    for _ in range(4):
        client.post(CODE, {"code": wrong()})
    assert client.post(CODE, {"code": right}).url == CHOOSE
    assert client.get(CHOOSE).status_code == 200


def test_tries_are_counted_before_the_code_is_looked_at(box, client):
    """Many requests at once share one count: it is in the cache, not in the session that each of them read."""
    ask(client)
    key = client.session[recovery.SESSION_KEY]
    asked = recovery.find(key)
    right = code().replace(" ", "")
    for _ in range(5):
        assert recovery.prove(key, asked, "x") is False
    assert recovery.prove(key, asked, right) is False


def test_a_code_is_valid_for_fifteen_minutes(box, client):
    with time_machine.travel(clock.now(), tick=False) as traveller:
        ask(client)
        traveller.shift(timedelta(minutes=14, seconds=59))
        assert client.get(CODE).status_code == 200
        traveller.shift(timedelta(seconds=1))
        assert client.post(CODE, {"code": code()}).url == START


def test_what_the_cache_keeps_too_long_is_not_found(box, client):
    ask(client)
    key = client.session[recovery.SESSION_KEY]
    asked = recovery.find(key)
    for until, found in ((clock.now().timestamp() + 60, True), (clock.now().timestamp() - 1, False)):
        cache.set(recovery._cache_key(key), asdict(replace(asked, until=until)), 900)
        assert (recovery.find(key) is not None) is found


def test_a_proof_too_ends_with_the_fifteen_minutes(box, client):
    with time_machine.travel(clock.now(), tick=False) as traveller:
        ask(client)
        client.post(CODE, {"code": code()})
        traveller.shift(timedelta(minutes=15))
        assert client.post(CHOOSE, {"password1": NEW, "password2": NEW}).url == START
    assert password_is(box, "Prova-pec-2026")


def test_a_code_is_of_no_use_to_another_browser_nor_after_a_new_one(box, client):
    ask(client)
    first = code()
    other = Client()
    assert other.post(CODE, {"code": first}).url == START
    ask(other, "nessuno@pec.example")
    assert "Il codice non è questo" in main(other.post(CODE, {"code": first}))
    ask(client)
    assert code() != first
    assert "Il codice non è questo" in main(client.post(CODE, {"code": first}))


def test_the_code_is_not_kept_as_such(box, client, monkeypatch):
    kept = []

    class Spy:
        def __getattr__(self, name):
            return getattr(cache, name)

        def set(self, *arguments):
            kept.append(arguments)
            cache.set(*arguments)

    monkeypatch.setattr(recovery, "cache", Spy())
    ask(client)
    digits = code().replace(" ", "")
    assert len(kept) == 2
    assert digits not in repr(kept) and client.session[recovery.SESSION_KEY] not in repr(kept)
    assert digits not in repr(dict(client.session.items()))


def test_no_step_can_be_skipped(box, client):
    for url in (CODE, CHOOSE):
        assert client.get(url).url == START
        assert client.post(url, {"code": "1", "password1": NEW, "password2": NEW}).url == START
    ask(client)
    assert client.post(CHOOSE, {"password1": NEW, "password2": NEW}).url == START
    assert password_is(box, "Prova-pec-2026")


def test_a_box_whose_deletion_began_meanwhile_gets_no_password(box, client):
    login = box.login
    ask(client)
    client.post(CODE, {"code": code()})
    box.phase, box.login = "deleting", None
    box.save()
    assert client.post(CHOOSE, {"password1": NEW, "password2": NEW}).url == START
    assert not User.objects.get(pk=login.pk).check_password(NEW)


def test_one_connection_may_ask_ten_times_in_ten_minutes(box, client):
    for n in range(10):
        assert ask(client, f"n{n}@pec.example").redirect_chain == [(CODE, 302)]
    page = ask(client)
    assert page.redirect_chain == []
    assert "Troppe richieste da questa connessione: riprova fra dieci minuti." in main(page)
    assert ask(Client(REMOTE_ADDR="203.0.113.7")).redirect_chain == [(CODE, 302)]


def test_one_address_is_mailed_five_codes_an_hour_and_the_answer_stays_the_same(box):
    for n in range(7):
        assert ask(Client(REMOTE_ADDR=f"203.0.113.{n}")).redirect_chain == [(CODE, 302)]
    assert len(mails()) == 5


def test_what_is_missing_is_told(client, db):
    page = main(ask(client, "niente", ""))
    assert "indirizzo email valido" in page
    assert 'value="niente"' in page
