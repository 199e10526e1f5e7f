"""The sign-in ends when idle; nothing typed is lost for its user, all is dropped for another (R5)."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import reverse

from accounts import drafts
from accounts.models import BillingProfile
from pecportal import clock

DATI = "/area-clienti/dati/"
SENTENCE = "La sessione è scaduta per inattività: accedi di nuovo, non perdi nulla di quello che hai scritto."
TYPED = {
    "subject": "person", "shown": "person", "first_name": "Alice", "last_name": "Rossi",
    "codice_fiscale": "RSSLCA80A41H501U",
    "address": "via Appena Scritta 9", "postal_code": "00185", "city": "Roma", "province": "RM", "country": "IT",
    "phone": "0612345678", "is_consumer": "True",
}  # fmt: skip


@pytest.fixture
def later():
    """A clock that tests move on: later(minutes=31)."""
    with time_machine.travel(clock.now(), tick=False) as traveller:
        yield lambda **step: traveller.shift(timedelta(**step))


@pytest.fixture
def alice_in(alice, client, sign_in, later):
    sign_in(alice.username)
    session = client.session
    session["wizard"] = "le risposte di Alice"
    session.save()
    return client


def is_in(client) -> bool:
    return "_auth_user_id" in client.session


def test_thirty_minutes_are_allowed_and_one_second_more_is_not(alice_in, later):
    later(minutes=30)
    assert alice_in.get(DATI).status_code == 200
    later(minutes=30, seconds=1)
    response = alice_in.get(DATI)
    assert response.url == f"/accesso/?next={DATI}"
    assert not is_in(alice_in)


def test_each_visit_starts_the_half_hour_again_but_is_written_once_a_minute(alice_in, later):
    from django.contrib.sessions.models import Session

    def stored() -> str:
        return Session.objects.get().session_data

    before = stored()
    later(seconds=59)
    alice_in.get(DATI)
    assert stored() == before
    later(seconds=1)
    alice_in.get(DATI)
    assert stored() != before
    later(minutes=29)
    alice_in.get(DATI)
    later(minutes=29)
    assert alice_in.get(DATI).status_code == 200


def test_the_session_stays_when_the_sign_in_ends(alice_in, later):
    later(minutes=31)
    page = alice_in.get(DATI, follow=True).content.decode()
    assert SENTENCE in page
    assert "Username o e-mail" in page  # the tab of who was signed in
    assert alice_in.session["wizard"] == "le risposte di Alice"
    assert not is_in(alice_in)


def test_who_never_signed_in_is_not_told_that_a_session_ended(client, db):
    assert SENTENCE not in client.get("/accesso/").content.decode()


def test_a_late_post_comes_back_as_it_was_typed_to_the_same_user(alice_in, alice, later, sign_in):
    later(minutes=31)
    response = alice_in.post(DATI, TYPED)
    assert response.url == f"/accesso/?next={DATI}"
    assert BillingProfile.objects.get(user=alice).address == "via Roma 1"
    assert sign_in(alice.username, next=DATI).url == DATI
    page = alice_in.get(DATI).content.decode()
    assert 'value="via Appena Scritta 9"' in page
    assert 'value="00185"' in page  # "postal_code" contains "code", and is no secret
    assert BillingProfile.objects.get(user=alice).address == "via Roma 1"
    assert SENTENCE not in page
    assert "via Appena Scritta 9" not in alice_in.get(DATI).content.decode()  # once
    assert alice_in.session["wizard"] == "le risposte di Alice"


def test_another_user_finds_nothing(alice_in, carla, later, sign_in):
    later(minutes=31)
    alice_in.post(DATI, TYPED)
    sign_in(carla.username, next=DATI)
    page = alice_in.get(DATI).content.decode()
    assert "via Appena Scritta 9" not in page
    assert "Verdi" in page
    session = alice_in.session
    assert "wizard" not in session and drafts.DRAFT not in session
    assert is_in(alice_in)


def test_another_user_finds_nothing_also_when_the_first_comes_back_after(alice_in, alice, carla, later, sign_in):
    later(minutes=31)
    alice_in.post(DATI, TYPED)
    sign_in(carla.username)
    later(minutes=31)
    alice_in.get(DATI)
    sign_in(alice.username)
    assert "via Appena Scritta 9" not in alice_in.get(DATI).content.decode()


@pytest.mark.parametrize(
    ("method", "path", "who", "found"),
    [
        ("get", DATI, "alice", True),
        ("post", DATI, "alice", False),
        ("get", "/area-clienti/pec/", "alice", False),
        ("get", DATI, "carla", False),
        ("get", DATI, "nobody", False),
    ],
)
def test_a_draft_is_taken_by_its_user_at_its_path_once(method, path, who, found, alice, carla, rf):
    request = getattr(rf, method)(path)
    request.user = {"alice": alice, "carla": carla, "nobody": AnonymousUser()}[who]
    draft = {"path": DATI, "user": str(alice.pk), "fields": {"city": ["Roma", "Ostia"]}, "from": "/"}
    request.session = {drafts.DRAFT: draft}
    typed = drafts.take(request)
    assert (typed is not None) is found
    assert (drafts.DRAFT in request.session) is not found
    if typed is not None:
        assert typed.getlist("city") == ["Roma", "Ostia"]
        assert drafts.take(request) is None


def test_secrets_are_never_kept(alice_in, later):
    later(minutes=31)
    fields = {
        "city": "Roma", "oldpassword": "x1", "password1": "x2", "code": "x3", "card_token": "x4",
        "csrfmiddlewaretoken": "x5", "Sms-Code": "x6", "0-postal_code": "00184", "sdi_code": "M5UXCR1",
    }  # fmt: skip
    alice_in.post(DATI, fields)
    assert alice_in.session[drafts.DRAFT]["fields"] == {
        "city": ["Roma"],
        "0-postal_code": ["00184"],
        "sdi_code": ["M5UXCR1"],
    }


@pytest.mark.parametrize(("length", "kept"), [(30 * 1024, True), (33 * 1024, False)])
def test_at_most_32_kb_are_kept(alice_in, later, length, kept):
    later(minutes=31)
    assert alice_in.post(DATI, {"address": "x" * length}).status_code == 302
    assert (drafts.DRAFT in alice_in.session) is kept


def test_a_post_that_csrf_refuses_is_not_kept(alice, later, sign_in):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    later(minutes=1)
    strict.get(DATI)
    later(minutes=31)
    assert strict.post(DATI, TYPED).status_code == 403
    assert drafts.DRAFT not in strict.session


def test_a_button_pressed_too_late_leads_back_to_its_page(alice_in, alice, later, sign_in, settings):
    later(minutes=31)
    settings.ROOT_URLCONF = __name__  # a page that takes only POST, beside the real ones
    url = "/premi/"
    response = alice_in.post(url, headers={"referer": "http://testserver/area-clienti/dati/?scheda=1"})
    assert response.url == f"/accesso/?next={url}"
    assert sign_in(alice.username, next=url).url == url
    assert alice_in.get(url).url == "/area-clienti/dati/?scheda=1"
    assert alice_in.get(url).status_code == 405  # once


def test_a_page_elsewhere_is_not_gone_back_to(alice_in, alice, later, sign_in, settings):
    later(minutes=31)
    settings.ROOT_URLCONF = __name__
    alice_in.post("/premi/", headers={"referer": "https://evil.example/x"})
    sign_in(alice.username)
    assert alice_in.get("/premi/").url == reverse("area:home")


def test_signing_in_again_with_a_late_form_works(alice_in, alice, later):
    later(minutes=31)
    response = alice_in.post("/accesso/", {"login": alice.username, "password": "Prova-pec-2026", "next": DATI})
    assert response.url == DATI


def test_htmx_and_scripts_are_told_in_their_own_way(alice_in, later, sign_in, alice):
    later(minutes=31)
    headers = {"hx-request": "true", "hx-current-url": "http://testserver/area-clienti/pec/?scheda=altri"}
    response = alice_in.get(DATI, headers=headers)
    assert response.headers["HX-Redirect"] == "/accesso/?next=/area-clienti/pec/%3Fscheda%3Daltri"
    sign_in(alice.username)
    later(minutes=31)
    assert alice_in.post(DATI, "{}", content_type="application/json").status_code == 401


def test_the_account_that_signs_out_leaves_nothing(alice_in, later, sign_in):
    later(minutes=31)
    alice_in.post(DATI, TYPED)
    alice_in.post("/accesso/esci/")
    assert "wizard" not in alice_in.session and drafts.DRAFT not in alice_in.session


from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.http import require_POST  # noqa: E402

from pecportal.urls import urlpatterns as real_urls  # noqa: E402


@require_POST
def only_post(request: HttpRequest) -> HttpResponse:
    return HttpResponse("fatto")


urlpatterns = [*real_urls, path("premi/", only_post)]
