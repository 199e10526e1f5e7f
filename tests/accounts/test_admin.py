"""Staff makes accounts and sends links; it never types or sees a password, and a clerk cannot become anybody."""

import html

import pytest
from allauth.account.models import EmailAddress
from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import reverse

from accounts.models import BillingProfile, User

ADD = reverse("admin:accounts_user_add")
LIST = reverse("admin:accounts_user_changelist")


def change_url(user) -> str:
    return reverse("admin:accounts_user_change", args=[user.pk])


@pytest.fixture
def staff(dario, client):
    client.force_login(dario)
    return client


@pytest.fixture
def clerk(db, client):
    """Staff who may change logins but is no superuser."""
    user = User.objects.create_user("impiegata", "Prova-pec-2026", is_staff=True, email="impiegata@provider.example")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    client.force_login(user)
    return client


def invite(client, *users):
    data = {"action": "send_invitation", "_selected_action": [user.pk for user in users]}
    return html.unescape(client.post(LIST, data, follow=True).content.decode())


def test_staff_makes_an_account_with_the_next_number_and_invites_it(staff, alice, sent):
    page = staff.get(ADD).content.decode()
    assert 'name="email"' in page and 'type="password"' not in page
    response = staff.post(ADD, {"email": "Nuovo@posta.example"}, follow=True)
    user = User.objects.get(username="2000002@pecportal.example")
    assert response.redirect_chain == [(change_url(user), 302)]
    assert (user.kind, user.email, user.is_staff, user.has_usable_password()) == (
        "account",
        "nuovo@posta.example",
        False,
        False,
    )
    assert sent() == []
    assert "Link di attivazione mandato a 2000002@pecportal.example." in invite(staff, user)
    assert sent() == [("nuovo@posta.example", "Attiva il tuo account 2000002@pecportal.example")]


@pytest.mark.parametrize("email", ["", "alice@posta.example", "qualcuno@pec.example", "niente"])
def test_an_account_needs_an_email_of_its_own_outside_our_boxes(email, staff, alice):
    before = User.objects.count()
    assert staff.post(ADD, {"email": email}).status_code == 200
    assert User.objects.count() == before


def test_a_new_email_written_by_staff_is_not_yet_proved(staff, alice):
    page = staff.get(change_url(alice)).content.decode()
    assert alice.password not in page and "argon2" not in page
    response = staff.post(change_url(alice), {"email": "Nuova@posta.example", "is_active": "on"}, follow=True)
    assert "La nuova e-mail vale da quando" in html.unescape(response.content.decode())
    alice.refresh_from_db()
    assert alice.email == "nuova@posta.example"
    assert list(EmailAddress.objects.filter(user=alice).values_list("email", "verified")) == [
        ("nuova@posta.example", False)
    ]
    entry = LogEntry.objects.get_for_object(alice).latest("timestamp")
    assert "password" not in entry.changes_dict and "last_login" not in entry.changes_dict


def test_username_kind_and_a_mailboxs_email_are_not_editable(staff, box):
    staff.post(
        change_url(box.login), {"username": "x", "kind": "account", "email": "a@posta.example", "is_active": "on"}
    )
    login = User.objects.get(pk=box.login_id)
    assert (login.username, login.kind, login.email) == ("alice@pec.example", "mailbox", "")


def test_a_clerk_changes_customers_but_not_staff(clerk, alice, dario, sent):
    assert clerk.get(change_url(alice)).status_code == 200
    assert "is_superuser" not in clerk.get(change_url(alice)).content.decode()
    clerk.post(
        change_url(alice), {"email": "alice@posta.example", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    )
    alice.refresh_from_db()
    assert (alice.is_staff, alice.is_superuser) == (False, False)
    assert clerk.post(change_url(dario), {"email": "clerk@posta.example", "is_active": "on"}).status_code == 403
    assert User.objects.get(pk=dario.pk).email == "dario@provider.example"
    assert "Solo un amministratore può invitare dario." in invite(clerk, dario)
    assert sent() == []


def test_what_cannot_be_invited_is_told_and_the_others_are_invited(staff, alice, box, sent):
    page = invite(staff, box.login, alice)
    assert "alice@pec.example è una casella" in page
    assert "Link di attivazione mandato a 2000001@pecportal.example." in page
    assert [to for to, _ in sent()] == ["alice@posta.example"]


def test_no_login_is_deleted_and_no_email_ticked_as_verified(staff, alice):
    assert staff.post(reverse("admin:accounts_user_delete", args=[alice.pk]), {"post": "yes"}).status_code == 403
    assert EmailAddress not in admin.site._registry
    assert User.objects.filter(pk=alice.pk).exists()


def test_billing_data_are_checked_for_staff_too_who_may_change_the_code(staff, alice, carla):
    url = reverse("admin:accounts_billingprofile_change", args=[alice.billing.pk])
    assert staff.get(url).status_code == 200
    data = {
        "subject": "person", "first_name": "Mario", "last_name": "Rossi", "codice_fiscale": "RSSMRA85T10A562T",
        "address": "via Roma 1",
        "postal_code": "00184", "city": "Roma", "province": "RM", "country": "IT", "phone": "0612345678",
    }  # fmt: skip
    assert "contiene un errore" in staff.post(url, data).content.decode()
    taken = {**data, "first_name": "Carla", "last_name": "Verdi", "codice_fiscale": carla.billing.codice_fiscale}
    assert "un account" in staff.post(url, taken).content.decode()
    assert staff.post(url, {**data, "codice_fiscale": "rss mra 85t10 a562s"}).status_code == 302
    assert BillingProfile.objects.get(user=alice).fiscal_key == "RSSMRA85T10A562S"


@pytest.mark.parametrize("query", ["2000001", "alice@posta", "RSSLCA80A41H501U", "Rossi"])
def test_a_login_is_found_by_what_a_customer_says_on_the_telephone(query, staff, alice, carla):
    page = staff.get(LIST, {"q": query}).content.decode()
    assert alice.username in page and carla.username not in page
