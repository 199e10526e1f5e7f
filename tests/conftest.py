"""The cast. Alice holds the account, Bruno is the holder of a box under it, Carla is a stranger; Dario is staff."""

import os
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache, caches
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from accounts.models import BillingProfile, User
from mailboxes import catalogue, flows
from mailboxes.models import Domain, Holder, Mailbox, Plan
from mailboxes.platform.local import LocalPlatform
from pecportal import clock

PASSWORD = "Prova-pec-2026"
CODES = {"alice": "RSSLCA80A41H501U", "bruno": "BNCBRN75H12F205E", "carla": "VRDCRL90M50L219I"}


# How long an example takes says how busy the machine is, and nothing of the product.
hypothesis_settings.register_profile("pecportal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("pecportal")


def pytest_configure() -> None:
    """Each xdist worker has a Redis database of its own: clearing a cache clears the whole database."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    location = django_settings.CACHES["default"]["LOCATION"]
    if location.startswith("redis://"):
        django_settings.CACHES["default"]["LOCATION"] = (
            f"{location.rstrip('/').removesuffix('/0')}/{int(worker) + 2}"  # 0 and 1 are taken
        )
        del caches["default"]  # made while Django was set up, with the address of all


@pytest.fixture(autouse=True)
def _isolated(settings, tmp_path):
    """Each test has a folder of its own for what the local platform, the sandbox and the mail queue keep."""
    settings.VAR_DIR = tmp_path
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    settings.SDI_FOLDER = tmp_path / "sdi"
    settings.SPLIT_PAYMENT_UNTIL = None  # in force for ever: tests say themselves when it is over
    cache.clear()


@pytest.fixture(autouse=True)
def _cheap_passwords(settings, request):
    if request.node.get_closest_marker("real_hasher") is None:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _nudges_stay_here(settings):
    """Nudges go to a broker in memory: every task is repeated by beat, and tests call flows themselves."""
    from pecportal.celery import app

    app.conf.broker_url = "memory://"


@pytest.fixture(autouse=True)
def _tests_move_the_clock(settings):
    """By years at once, and that of PostgreSQL stays behind: what is refused in production (test_clockcheck)."""
    settings.CLOCK_MAX_JUMP_DAYS = 3660
    with pytest.MonkeyPatch.context() as patch:  # one of its own, which no test undoes
        patch.setattr(clock, "database_clock", clock.now)
        yield


@pytest.fixture
def today() -> date:
    return clock.today()


@pytest.fixture
def plans(db) -> SimpleNamespace:
    catalogue.install()
    return SimpleNamespace(**{p.code: p for p in Plan.objects.all()})


def _account(number: int, email: str) -> User:
    from allauth.account.models import EmailAddress

    user = User.objects.create_user(f"{number:07}@{django_settings.ACCOUNT_DOMAIN}", PASSWORD, email=email)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


ADDRESS = {"address": "via Roma 1", "postal_code": "00184", "city": "Roma", "province": "RM", "phone": "0612345678"}


@pytest.fixture
def alice(plans) -> User:
    """An account, a consumer, Alice Rossi; holder of her own boxes."""
    user = _account(2000001, "alice@posta.example")
    BillingProfile.objects.create(
        user=user, first_name="Alice", last_name="Rossi", codice_fiscale=CODES["alice"], is_consumer=True, **ADDRESS
    )
    return user


@pytest.fixture
def carla(plans) -> User:
    """Another account: a stranger to everything of Alice's."""
    user = _account(2000002, "carla@posta.example")
    BillingProfile.objects.create(
        user=user, first_name="Carla", last_name="Verdi", codice_fiscale=CODES["carla"], is_consumer=True, **ADDRESS
    )
    return user


@pytest.fixture
def dario(db) -> User:
    """Staff."""
    return User.objects.create_superuser("dario", PASSWORD, email="dario@provider.example")


def holder_of(owner: User, who: str) -> Holder:
    names = {"alice": ("Alice", "Rossi"), "bruno": ("Bruno", "Bianchi"), "carla": ("Carla", "Verdi")}
    first, last = names[who]
    holder, _ = Holder.objects.get_or_create(
        owner=owner,
        fiscal_key=CODES[who],
        defaults={
            "codice_fiscale": CODES[who], "first_name": first, "last_name": last,
            "contact_email": f"{who}.contatto@posta.example", **ADDRESS,
        },
    )  # fmt: skip
    return holder


@pytest.fixture
def make_box(plans, today) -> Callable[..., Mailbox]:
    """make_box(owner, "name", plan="standard", expires_in=40, holder="alice", …) → an open box with a login."""

    def make(
        owner: User, name: str, *, plan: str = "standard", expires_in: int = 40, holder: str = "",
        domain: Domain | None = None,
        mailbox_gb: int | None = None, archive_gb: int | None = None, host: str = "pec.example",
    ) -> Mailbox:  # fmt: skip
        who = holder or ("carla" if owner.username.startswith("2000002") else "alice")
        box = flows.open_box(
            address=f"{name}@{host}",
            owner=owner,
            holder=holder_of(owner, who),
            plan=getattr(plans, plan),
            expires_on=None if domain else today + timedelta(days=expires_in),
            domain=domain,
            mailbox_gb=mailbox_gb,
            archive_gb=archive_gb,
        )
        assert box.login is not None
        box.login.set_password(PASSWORD)
        box.login.save(update_fields=["password"])
        return box

    return make


@pytest.fixture
def box(make_box, alice) -> Mailbox:
    """Alice's Standard box, Attiva, expiring in 40 days."""
    return make_box(alice, "alice")


@pytest.fixture
def platform() -> LocalPlatform:
    return LocalPlatform()


MAIL_ROLE, MAIL_PASSWORD = "pecportal_mail", "una-password-del-ruolo"


@pytest.fixture(scope="session")
def _mail_servers(django_db_setup, django_db_blocker) -> Iterator[object]:
    """Dovecot and Postfix on the test database, and a relay for what leaves them: once for all tests."""
    from django.db import connection

    from mailboxes.platform import role
    from tests.peers.mail_servers import MailServers, missing
    from tests.peers.smtp_relay import Relay

    if connection.vendor != "postgresql":
        pytest.skip("the mail servers read PostgreSQL")
    if reason := missing():
        pytest.skip(f"mail servers: {reason}")
    with django_db_blocker.unblock():
        role.ensure(MAIL_ROLE, MAIL_PASSWORD)
    relay = Relay()
    relay.start()
    servers = MailServers(
        connection.settings_dict, role=MAIL_ROLE, password=MAIL_PASSWORD, relay=f"[127.0.0.1]:{relay.port}"
    )
    servers.relay = relay
    yield servers
    servers.stop()
    relay.stop()
    with django_db_blocker.unblock(), connection.cursor() as cursor:  # of processes that are not quite gone
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [MAIL_ROLE])


@pytest.fixture
def mail_servers(_mail_servers, settings, transactional_db):
    """The real mail servers, as the portal's platform of this test."""
    from tests.peers.mail_servers import KEY

    settings.MAILBOX_PLATFORM = "mailboxes.platform.dovecot.DovecotPlatform"
    settings.DOVEADM_URL, settings.DOVEADM_KEY = f"http://127.0.0.1:{_mail_servers.ports['doveadm']}", KEY
    settings.MAIL_STORAGE = str(_mail_servers.boxes)
    _mail_servers.relay.taken.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mailboxes.platform.dovecot.SECONDS_TO_LEAVE", 60)  # on a busy machine
        yield _mail_servers


@pytest.fixture
def rome_is(transactional_db) -> Iterator[Callable[[date], None]]:
    """rome_is(day): that day for the portal, and for the mail servers.

    The database's clock cannot be moved: its function `mail.rome_today` is replaced, and put back.
    """
    import time_machine
    from django.db import connection

    from mailboxes.migrations._mail_views import ROME_TODAY

    travellers: list[time_machine.travel] = []

    def put(day: date) -> None:
        while travellers:
            travellers.pop().stop()
        with connection.cursor() as cursor:
            text = ROME_TODAY.partition("AS $$")[0]
            cursor.execute(f"{text} AS $$ SELECT date '{day}' $$")
        travellers.append(time_machine.travel(datetime.combine(day, time(12), clock.ROME)))
        travellers[0].start()

    yield put
    while travellers:
        travellers.pop().stop()
    with connection.cursor() as cursor:
        cursor.execute(ROME_TODAY)


@pytest.fixture
def paypal(settings) -> Iterator[object]:
    """Our stand-in for PayPal, on loopback; what went to and fro must be as PayPal describes it."""
    from payments.providers import paypal_api, paypal_webhook
    from tests.peers import paypal_fake, paypal_schemas

    fake = paypal_fake.PayPalFake()
    settings.PAYMENT_PROVIDERS = ["paypal", "transfer"]
    settings.PAYPAL_CLIENT_ID, settings.PAYPAL_SECRET = paypal_fake.CLIENT, paypal_fake.SECRET
    settings.PAYPAL_WEBHOOK_ID = paypal_fake.WEBHOOK
    settings.PAYPAL_API_BASE = settings.PAYPAL_WEB_HOST = fake.url
    settings.PAYPAL_CERT_ORIGINS = [fake.url]
    paypal_api._tokens.clear()
    paypal_webhook._known.clear()
    yield fake
    fake.stop()
    if paypal_schemas.FOLDER is None:
        print("PayPal's descriptions (../shared/paypal-openapi) are absent: bodies were not held against them")
    assert fake.complaints == []
