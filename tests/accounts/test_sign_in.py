"""/accesso/: two tabs, two kinds of login, no sign-up, and a limit that cannot lock a customer out."""

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounts.models import User

PASSWORD = "Prova-pec-2026"
WRONG = (
    "Questi dati di accesso non corrispondono: controlla il nome e la password, e che le maiuscole non siano bloccate."
)
LIMIT = "Troppi tentativi sbagliati da questa connessione: riprova fra cinque minuti, oppure recupera la password."


def user_of(client: Client) -> str:
    key = client.session.get("_auth_user_id")
    return User.objects.get(pk=key).username if key else ""


def test_the_tabs_say_which_credential_and_offer_its_recovery(client, db):
    box = client.get("/accesso/?con=casella").content.decode()
    account = client.get("/accesso/?con=account").content.decode()
    assert ("Indirizzo PEC" in box, "Username o e-mail" in box) == (True, False)
    assert ("Indirizzo PEC" in account, "Username o e-mail" in account) == (False, True)
    assert reverse("mailboxes:recovery") in box and reverse("accounts:username") not in box
    assert reverse("accounts:username") in account and reverse("account_reset_password") in account
    assert client.get("/accesso/?con=altro").content.decode().count("Indirizzo PEC") == 1
    with pytest.raises(NoReverseMatch):
        reverse("account_signup")


def test_the_tabs_keep_where_to_go_next(client, db):
    page = client.get("/accesso/?next=/area-clienti/pec/").content.decode()
    assert 'href="?con=account&amp;next=%2Farea-clienti%2Fpec%2F"' in page
    assert '<input type="hidden" name="next" value="/area-clienti/pec/">' in page


@pytest.mark.parametrize("con", ["casella", "account"])
@pytest.mark.parametrize(
    "typed", ["2000001@pecportal.example", " 2000001@PECportal.example ", "alice@posta.example", "Alice@Posta.Example"]
)
def test_an_account_signs_in_on_either_tab_with_username_or_email(alice, client, sign_in, typed, con):
    assert sign_in(typed, con=con).url == reverse("area:home")
    assert user_of(client) == alice.username


@pytest.mark.parametrize("con", ["casella", "account"])
@pytest.mark.parametrize("typed", ["alice@pec.example", " Alice@PEC.example"])
def test_a_mailbox_lands_on_its_own_page_from_either_tab(box, client, sign_in, typed, con):
    assert sign_in(typed, con=con).url == reverse("area:box", args=[box.public_id])
    assert user_of(client) == "alice@pec.example"
    assert client.get("/accesso/").url == reverse("area:box", args=[box.public_id])


def test_where_one_was_going_wins_unless_it_is_elsewhere(alice, client, sign_in):
    assert sign_in(alice.username, next="/area-clienti/pec/").url == "/area-clienti/pec/"
    for elsewhere in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        assert sign_in(alice.username, using=Client(), next=elsewhere).url == reverse("area:home")


def test_an_email_that_is_not_verified_does_not_sign_in(alice, client, sign_in):
    EmailAddress.objects.create(user=alice, email="nuova@posta.example", verified=False)
    EmailAddress.objects.filter(email="alice@posta.example").update(verified=False)
    for email in ("nuova@posta.example", "alice@posta.example"):
        assert WRONG in sign_in(email).content.decode().replace("&#x27;", "'")
    assert user_of(client) == ""


def test_whatever_is_wrong_the_answer_is_the_same(alice, box, client, sign_in):
    off = User.objects.create_user("2000009@pecportal.example", PASSWORD, is_active=False)
    bodies = set()
    for login, password in (
        (alice.username, "sbagliata"),
        (off.username, PASSWORD),
        ("nessuno@pecportal.example", PASSWORD),
        ("alice@pec.example", "sbagliata"),
        ("nessuno@pec.example", PASSWORD),
        ("nessuno", PASSWORD),
    ):
        response = sign_in(login, password, using=Client())
        body = response.content.decode()
        assert (response.status_code, WRONG in body) == (200, True)
        bodies.add(body.replace(login, "…").split("<main")[1].split("csrfmiddlewaretoken")[0])
    assert len(bodies) == 1


def test_what_was_typed_stays_but_not_the_password(client, db, sign_in):
    page = sign_in("nessuno@pec.example", "Segretissima-1").content.decode()
    assert "nessuno@pec.example" in page
    assert "Segretissima-1" not in page


def test_five_wrong_tries_stop_that_connection_and_nobody_else(alice, client, sign_in):
    stranger = Client(REMOTE_ADDR="203.0.113.7")
    for _ in range(5):
        assert WRONG in sign_in(alice.username, "sbagliata", using=stranger).content.decode()
    assert LIMIT in sign_in(alice.username, using=stranger).content.decode()  # right, but too late
    assert user_of(stranger) == ""
    assert sign_in(alice.username).url == reverse("area:home")
    assert user_of(client) == alice.username


def test_the_limit_is_for_one_login_however_it_is_written(alice, carla, sign_in):
    stranger = Client(REMOTE_ADDR="203.0.113.7")
    for typed in ("2000001@pecportal.example", "2000001@PECPORTAL.example", " 2000001@pecportal.example") * 2:
        last = sign_in(typed, "sbagliata", using=stranger)
    assert LIMIT in last.content.decode()
    assert sign_in(carla.username, using=stranger).url == reverse("area:home")


def test_the_address_of_a_visitor_comes_from_trusted_proxies_only(alice, settings, sign_in):
    def try_as(forwarded: str) -> str:
        client = Client(REMOTE_ADDR="10.0.0.1", headers={"x-forwarded-for": forwarded})
        return sign_in(alice.username, "sbagliata", using=client).content.decode()

    for n in range(5):  # a header that nobody vouches for does not give new tries
        try_as(f"198.51.100.{n}")
    assert LIMIT in try_as("198.51.100.9")
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    for n in range(5):  # with one proxy, only the last address is its own
        try_as(f"198.51.100.{n}, 203.0.113.7")
    assert LIMIT in try_as("198.51.100.9, 203.0.113.7")
    assert WRONG in try_as("198.51.100.9, 203.0.113.8")


def test_esci_takes_a_post_and_ends_the_session(alice, client, sign_in):
    sign_in(alice.username)
    assert "Esci dall" in client.get("/accesso/esci/").content.decode()
    assert user_of(client) == alice.username
    session = client.session
    session["answers"] = "di Alice"
    session.save()
    response = client.post("/accesso/esci/", follow=True)
    assert response.redirect_chain == [("/accesso/", 302)]
    assert "Sei uscito dall" in response.content.decode()
    assert "answers" not in client.session
    assert user_of(client) == ""


def test_staff_signs_in_where_failures_are_counted(dario, client, sign_in):
    response = client.get("/admin/login/?next=/admin/")
    assert response.url == "/accesso/?next=%2Fadmin%2F"
    assert sign_in("dario", next="/admin/").url == "/admin/"


def test_one_password_check_whoever_asks(alice, box, sign_in, monkeypatch):
    """A known login must not take longer, nor shorter, than an unknown one."""
    from django.contrib.auth.hashers import MD5PasswordHasher

    count = []
    real = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda self, *a: (count.append(1), real(self, *a))[1])
    hashes = {}
    for login in (alice.username, "alice@posta.example", "alice@pec.example", "nessuno", "nessuno@posta.example"):
        count.clear()
        sign_in(login, "sbagliata", using=Client())
        hashes[login] = len(count)
    assert set(hashes.values()) == {2}, hashes  # one of each backend
