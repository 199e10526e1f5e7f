"""Erasing a former customer's personal data (R33): what goes, what the law keeps, what stands in the way."""

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from auditlog.models import LogEntry
from django.apps import apps
from django.contrib.auth.models import Permission
from django.db import models, transaction
from django.test import Client
from post_office.models import STATUS, Email

from accounts.models import BillingProfile, User
from lifecycle import flows as lifecycle
from lifecycle import letters
from lifecycle.models import Letter
from mailboxes.flows import open_domain, tombstone_hash
from mailboxes.models import Holder, Mailbox
from payments import cases, erasure
from payments.models import Case, Invoice, StoredMethod
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order
from tests.buying import deleted
from tests.conftest import CODES, PASSWORD
from tests.helpers import pay_card, pay_transfer, place
from tests.payments.invoicing.invoice_rows import issued

pytestmark = pytest.mark.django_db(transaction=True)
PERSONAL = ("alice", "bruno", "bianchi", "via roma", "0612345678", CODES["alice"].lower(), CODES["bruno"].lower())
# Kept by law: orders and invoices with the data they were made from.
KEPT = {"renewals.BillingSnapshot", "renewals.HolderSnapshot", "payments.Invoice"}
# A certified address is for ever (R30), and a new life of it has the same login (§4).
KEPT_LOGINS = ("alice.box@pec.example", "bruno.box@pec.example")


@pytest.fixture
def gone(make_box, alice, dario) -> list[Mailbox]:
    """Alice's two boxes, one of Bruno's; paid by transfer and by card, then deleted."""
    boxes = [make_box(alice, "alice.box"), make_box(alice, "bruno.box", holder="bruno")]
    pay_transfer(place(boxes[0], alice, email="alice.ordini@posta.example"), dario)
    pay_card(place(boxes[1], alice), alice)
    for number, order in enumerate(Order.objects.order_by("pk"), 1):
        issued(order, number=number)
    return [deleted(box) for box in boxes]


def traces() -> set[tuple[str, str]]:
    """Model and value of every text in the database that says who Alice or Bruno are."""
    found = set()
    for model in apps.get_models():
        if model._meta.proxy or not model._meta.managed or model._meta.label == "sessions.Session":
            continue
        names = [f.attname for f in model._meta.concrete_fields if isinstance(f, TEXTS)]
        for values in model._default_manager.values_list(*names) if names else ():
            for value in values:
                text = str(bytes(value) if isinstance(value, memoryview) else value).lower()
                for login in KEPT_LOGINS:
                    text = text.replace(login, "")
                if any(word in text for word in PERSONAL):
                    found.add((model._meta.label, text))
    return found


TEXTS = (models.CharField, models.TextField, models.JSONField, models.BinaryField)


def test_who_it_was_is_gone_and_what_the_law_wants_is_kept(gone, alice, dario):
    alice.refresh_from_db()
    BillingProfile.objects.get(user=alice).save()
    before = {label for label, _value in traces()}
    assert {"accounts.User", "accounts.BillingProfile", "mailboxes.Holder", "post_office.Email"} <= before
    assert {"account.EmailAddress", "auditlog.LogEntry"} <= before and before >= KEPT
    erasure.erase(user_id=alice.pk, actor=dario)
    left = {(label, value) for label, value in traces() if label not in KEPT}
    assert left == set()
    user = User.objects.get(pk=alice.pk)
    assert (user.is_active, user.email, user.has_usable_password()) == (False, "", False)
    assert user.username == alice.username and Order.objects.filter(owner=user).count() == 2
    assert not EmailAddress.objects.filter(user=user).exists() and not hasattr(user, "billing")
    holder = gone[1].holder
    holder.refresh_from_db()
    assert (holder.display_name, holder.contact_email) == ("Dati cancellati", "")
    assert holder.fiscal_key == tombstone_hash(CODES["bruno"])[:16]
    gone[1].address.refresh_from_db()
    assert gone[1].address.tombstone == tombstone_hash(CODES["bruno"])  # who it was may still buy it again (R30)
    method = StoredMethod.objects.get(login=user)
    assert method.removed_at is not None and "4242" not in method.label
    entry = LogEntry.objects.filter(object_id=user.pk, content_type__model="user").get()
    assert entry.actor == dario and "alice" not in str(entry.changes)


def test_what_others_are_waiting_for_at_the_same_address_goes_out(gone, make_box, alice, carla, dario, today):
    """An accountant's address: the warnings of one customer are not taken away with the data of another."""
    shared = "commercialista@posta.example"
    box = make_box(carla, "viva", expires_in=-1)
    Holder.objects.filter(pk__in=(gone[0].holder_id, box.holder_id)).update(contact_email=shared)
    Email.objects.all().delete()
    lifecycle.run_day()
    warning = Letter.objects.get(to=shared)
    old = Email.objects.create(to=[shared], from_email="noreply@pecportal.example", status=STATUS.sent)
    Email.objects.filter(pk=old.pk).update(last_updated=clock.now() - timedelta(days=2))
    erasure.erase(user_id=alice.pk, actor=dario)
    letters.read_outcomes()
    warning.refresh_from_db()
    assert warning.state == Letter.State.QUEUED
    assert list(Email.objects.filter(to=[shared])) == [warning.mail]


def test_twice_is_the_same_as_once(gone, alice, dario):
    erasure.erase(user_id=alice.pk, actor=dario)
    keys = set(Holder.objects.filter(owner=alice).values_list("fiscal_key", flat=True))
    assert len(keys) == 2
    with pytest.raises(RefusedError, match="già cancellati"):
        erasure.erase(user_id=alice.pk, actor=dario)
    assert set(Holder.objects.filter(owner=alice).values_list("fiscal_key", flat=True)) == keys


def test_an_open_session_ends(gone, alice, dario):
    client = Client()
    assert client.post("/accesso/", {"login": alice.username, "password": PASSWORD}).status_code == 302
    assert client.get("/area-clienti/").status_code == 200
    erasure.erase(user_id=alice.pk, actor=dario)
    assert client.get("/area-clienti/").status_code == 302
    assert client.post("/accesso/", {"login": alice.username, "password": PASSWORD}).status_code == 200


def _living(alice, make_box, dario, today) -> None:
    make_box(alice, "viva", expires_in=-80)


def _domain(alice, make_box, dario, today) -> None:
    open_domain(name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(9))


def _order(alice, make_box, dario, today) -> None:
    box = make_box(alice, "viva")
    place(box, alice)
    deleted(box)


def _case(alice, make_box, dario, today) -> None:
    with transaction.atomic():
        cases.open_case(Case.Kind.DISPUTE, order=Order.objects.filter(owner=alice).first(), detail="contestato")


def _invoice(alice, make_box, dario, today) -> None:
    Invoice.objects.filter(order__owner=alice, number=2).update(state="ready")


WAYS = {
    _living: "caselle che non sono ancora Cancellate", _domain: "domini", _order: "ordini aperti", _case: "caso",
    _invoice: "fatture che SdI non ha ancora preso",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_stands_in_the_way(gone, alice, make_box, dario, today, way):
    way(alice, make_box, dario, today)
    with pytest.raises(RefusedError, match=WAYS[way]):
        erasure.erase(user_id=alice.pk, actor=dario)
    assert User.objects.get(pk=alice.pk).email and BillingProfile.objects.filter(user=alice).exists()


def test_neither_staff_nor_a_mailbox_login(make_box, alice, dario):
    for user in (dario, make_box(alice, "viva").login):
        with pytest.raises(RefusedError, match="account cliente"):
            erasure.erase(user_id=user.pk, actor=dario)


def test_in_admin_the_username_is_typed_and_a_permission_is_needed(gone, alice, dario, client):
    clerk = User.objects.create_user("clerk", PASSWORD, is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    url = f"/admin/accounts/user/{alice.pk}/cancella-dati/"
    client.force_login(clerk)
    assert client.post(url, {"username": alice.username}).status_code == 403
    client.force_login(dario)
    assert "Cancella per sempre" in client.get(url).content.decode()
    wrong = client.post(url, {"username": "2000009@pecportal.example"})
    assert "Non è lo username di questo account" in wrong.content.decode()
    assert User.objects.get(pk=alice.pk).email
    assert client.post(url, {"username": f" {alice.username.upper()} "}).status_code == 302
    assert not User.objects.get(pk=alice.pk).email
