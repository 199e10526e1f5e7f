"""The demonstration data: a small cast, and an accountant with two hundred boxes. Development only, dates from today.

Everything is made by the same flows that customers and staff use; only what the product cannot do yet (a box that was
deleted in the past) is written by hand.
"""

import random
from datetime import date, timedelta

from allauth.account.models import EmailAddress
from django.apps import apps
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.models import Session
from django.db import transaction
from stdnum.it import codicefiscale

from accounts.fiscal import first_name_letters, surname_letters
from accounts.models import BillingProfile, User
from mailboxes import catalogue, rules, telling
from mailboxes import flows as boxes
from mailboxes.models import Address, Domain, Holder, Mailbox, Plan
from mailboxes.models.boxes import Phase
from mailboxes.platform.local import LocalPlatform
from payments import auto_renewal
from payments.providers.base import SavedMethod
from pecportal import clock, demo_invoices
from renewals import flows as orders
from renewals.terms import VERSION

PASSWORD = "Prova-pec-2026"  # noqa: S105 - the demonstration's, written in the README
OWN_APPS = ("lifecycle", "payments", "renewals", "mailboxes", "accounts", "account", "auditlog", "post_office")
GB = rules.GB
PLACE = {
    "address": "via Garibaldi 10",
    "postal_code": "50123",
    "city": "Firenze",
    "province": "FI",
    "phone": "055 1234567",
}
NAMES = ["Anna", "Bruno", "Chiara", "Davide", "Elena", "Fabio", "Giulia", "Luca", "Marta", "Paolo", "Sara", "Ugo"]
SURNAMES = ["Bianchi", "Colombo", "Conti", "De Luca", "Esposito", "Ferrari", "Gallo", "Greco", "Marino", "Romano"]


def personal_code(first_name: str, last_name: str, born: date, *, woman: bool = False) -> str:
    """A codice fiscale that is right in every letter, for a person who does not exist, born in Rome."""
    letters = surname_letters(_plain(last_name)) + first_name_letters(_plain(first_name))
    month = "ABCDEHLMPRST"[born.month - 1]
    head = f"{letters}{born.year % 100:02}{month}{born.day + 40 * woman:02}H501"
    return head + str(codicefiscale.calc_check_digit(head))


def _plain(name: str) -> str:
    return name.upper().replace(" ", "").replace("'", "")


def clear() -> None:
    """Take away all business data, past the PROTECTs: foreign keys are checked at the commit."""
    demo_invoices.clear_outbox()
    with transaction.atomic():
        Session.objects.all().delete()
        for label in OWN_APPS:
            for model in apps.get_app_config(label).get_models(include_auto_created=True):
                queryset = model._base_manager.all()
                queryset._raw_delete(queryset.db)


def build() -> None:
    """Make the demonstration data in an empty installation."""
    catalogue.install()
    hashed = make_password(PASSWORD)
    today = clock.today()
    mario = _account("1000001", "mario@posta.example", hashed)
    born = date(1980, 5, 12)
    code = personal_code("Mario", "Rossi", born)
    BillingProfile.objects.create(
        user=mario,
        first_name="Mario",
        last_name="Rossi",
        codice_fiscale=code,
        birth_date=born,
        is_consumer=True,
        **PLACE,
    )
    studio = _account("1000002", "studio@posta.example", hashed)
    BillingProfile.objects.create(
        user=studio, subject="company", company_name="Studio Verdi srl", first_name="Laura", last_name="Verdi",
        codice_fiscale="12345670017", partita_iva="12345670017", sdi_code="ABC1234",
        representative_codice_fiscale=personal_code("Laura", "Verdi", date(1975, 3, 1), woman=True), **PLACE,
    )  # fmt: skip
    admin = User.objects.create_superuser("admin", email="admin@posta.example")
    _boxes_of_mario(mario, code, born, today)
    _boxes_of_the_accountant(studio, today)
    _invoices(mario, studio, admin, today)
    User.objects.exclude(kind=User.Kind.ACCOUNT, is_staff=False).update(password=hashed)
    telling.tell_platform(limit=1000)


def _account(number: str, email: str, hashed: str) -> User:
    user = User.objects.create_user(f"{number}@{settings.ACCOUNT_DOMAIN}", email=email)
    User.objects.filter(pk=user.pk).update(password=hashed)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def _plan(code: str) -> Plan:
    return Plan.objects.get(code=code)


def _boxes_of_mario(mario: User, code: str, born: date, today: date) -> None:
    platform = LocalPlatform()
    own = Holder.objects.create(
        owner=mario, first_name="Mario", last_name="Rossi", codice_fiscale=code, birth_date=born,
        contact_email="mario.contatto@posta.example", **PLACE,
    )  # fmt: skip
    anna_born = date(1985, 9, 3)
    anna = Holder.objects.create(
        owner=mario, first_name="Anna", last_name="Bianchi", birth_date=anna_born,
        codice_fiscale=personal_code("Anna", "Bianchi", anna_born, woman=True),
        contact_email="anna@posta.example", **PLACE,
    )  # fmt: skip

    def open_box(
        name: str, plan: str, days: int, holder: Holder = own, used: float = 0.2, archive: float = 0
    ) -> Mailbox:
        address = f"{name}@pec.example"
        platform.set_usage(address, int(used * GB), int(archive * GB))
        return boxes.open_box(
            address=address, owner=mario, holder=holder, plan=_plan(plan), expires_on=today + timedelta(days=days)
        )

    open_box("mario.rossi", "standard", 40, used=0.62)
    open_box("studio.rossi", "pro", -12, used=1.4, archive=2.1)
    waiting = open_box("ordine.aperto", "standard", 25, used=0.31)
    automatic = open_box("automatico", "premium", 60, used=0.9, archive=5.2)
    open_box("anna.bianchi", "standard", 200, holder=anna)
    domain = boxes.open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=mario, expires_on=today + timedelta(days=150)
    )
    boxes.open_box(address="info@pec.rossi.example", owner=mario, holder=own, plan=_plan("domain"), domain=domain)
    _deleted_box(mario, own, today)
    _open_order(mario, waiting)
    card = SavedMethod("card_demo", "Carta di prova •••• 4242", 12, today.year + 4)
    method = auto_renewal.keep_method(login=mario, provider="sandbox", saved=card)
    auto_renewal.turn_on(box_id=automatic.pk, user=mario, method_id=method.pk, years=1)


def _deleted_box(mario: User, holder: Holder, today: date) -> None:
    box = boxes.open_box(
        address="cancellata@pec.example", owner=mario, holder=holder, plan=_plan("standard"),
        expires_on=today - timedelta(days=150),
    )  # fmt: skip
    Mailbox.objects.filter(pk=box.pk).update(phase=Phase.DELETED, login=None, platform_due_at=None)
    Address.objects.filter(pk=box.address_id).update(tombstone=boxes.tombstone_hash(holder.fiscal_key))


def _open_order(mario: User, box: Mailbox) -> None:
    choice = orders.Choice(box.plan, box.mailbox_gb, box.archive_gb)
    quote = orders.quote(box=box, choice=choice, years=1, prices=catalogue.prices_on(clock.today()))
    orders.place_renewal(
        box=box, user=mario, choice=choice, years=1, holder={}, email="mario.contatto@posta.example",
        method="transfer", terms_version=VERSION, terms_ip="127.0.0.1", immediate_start=False,
        shown_total=quote.totals.total,
    )  # fmt: skip


def _invoices(mario: User, studio: User, admin: User, today: date) -> None:
    mine = {box.address.name: box for box in Mailbox.objects.filter(owner=mario).select_related("address", "plan")}
    pro = Mailbox.objects.filter(owner=studio, plan__code="pro", expires_on__gt=today).select_related("plan")
    demo_invoices.build(
        mario=mario, mailbox=mine["anna.bianchi@pec.example"], archive=mine["automatico@pec.example"], studio=studio,
        pro=pro.earliest("pk"), staff=admin,
    )  # fmt: skip


def _boxes_of_the_accountant(studio: User, today: date) -> None:
    platform, dice = LocalPlatform(), random.Random(20261122)  # noqa: S311 - the same two hundred every time
    plans = {p.code: p for p in Plan.objects.all()}
    for number in range(200):
        first, last = NAMES[number % len(NAMES)], SURNAMES[(number // len(NAMES)) % len(SURNAMES)]
        born = date(1950, 1, 1) + timedelta(days=173 * number)
        code = personal_code(first, last, born, woman=first[-1] == "a" and first != "Luca")
        holder = Holder.objects.create(
            owner=studio, first_name=first, last_name=last, birth_date=born, codice_fiscale=code,
            contact_email=f"cliente{number + 1}@posta.example", **PLACE,
        )  # fmt: skip
        plan = plans[dice.choice(["standard", "standard", "standard", "pro", "premium"])]
        address = f"{first}.{last}{number + 1}@pec.example".lower().replace(" ", "")
        platform.set_usage(
            address, int(dice.random() * plan.base_mailbox_gb * GB), int(dice.random() * plan.base_archive_gb * GB)
        )
        days = dice.choice([dice.randint(-85, -1), dice.randint(1, 30), *[dice.randint(31, 700) for _ in range(6)]])
        boxes.open_box(address=address, owner=studio, holder=holder, plan=plan, expires_on=today + timedelta(days=days))


def summary() -> dict[str, object]:
    """The logins and the boxes of the cast, for people and for scripts."""
    today = clock.today()
    cast = Mailbox.objects.filter(owner__username__startswith="1000001").select_related("address").order_by("pk")
    return {
        "password": PASSWORD,
        "accounts": list(
            User.objects.filter(kind=User.Kind.ACCOUNT, is_staff=False).order_by("pk").values("username", "email")
        ),
        "staff": ["admin"],
        "boxes": [
            {
                "address": box.address.name,
                "id": str(box.public_id),
                "state": str(box.state(today)),
                "expires_on": box.expires_on.isoformat() if box.expires_on else None,
            }
            for box in cast
        ],
        "domains": list(Domain.objects.values_list("name", flat=True)),
    }
