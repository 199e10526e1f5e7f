"""Every address walked as nobody, as another customer, and as a mailbox login: nothing leaks (R1)."""

import re
from html import unescape

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from mailboxes.models import Domain
from payments.models import MethodSetup, Payment, StoredMethod
from renewals.models import Order
from tests.conftest import CODES
from tests.domains import domain_of, on_domain, place_domain
from tests.helpers import place, start_card
from tests.payments.invoicing.invoice_rows import issued

pytestmark = pytest.mark.django_db(transaction=True)

PUBLIC = {  # answers nobody too: (path regex) → the statuses it may give
    r"^accesso/": {200, 302, 404, 405},
    r"^condizioni/": {200, 405},
    r"^(healthz|readyz|metrics)$": {200, 403, 404, 405},
    r"^paga/": {200, 302, 405},  # a number and a code are asked first
    r"^sandbox/": {200},  # the bank's page: no name, only the amount
    r"^webhook/": {400, 405, 404},
    r"^lingua/$": {302, 405},
    r"^favicon": {301, 302},
    r"^pagamenti/[^/]+/carta/": {404, 405},  # of a sandbox attempt there is none; of Stripe: test_stripe_local
    r"^pagamenti/": {
        200,
        302,
        405,
    },  # back from the provider, perhaps without a session: asks the provider, shows nothing
}


def every_address(patterns=None, prefix: str = ""):
    """The path, with its <placeholders>, of every view."""
    for entry in patterns or get_resolver().url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from every_address(entry.url_patterns, route)
        elif isinstance(entry, URLPattern):
            yield route


def addresses():
    return (route for route in every_address() if not route.startswith("admin/"))


def admin_addresses():
    """Those of the admin, of the packages' pages too, about the first row of each."""
    for route in every_address():
        if route.startswith("admin/"):
            path = re.sub(r"\(\?P<\w+>[^()]*\)|<(?:\w+:)?\w+>", "1", route.removesuffix("(?P<url>.*)$"))
            yield "/" + re.sub(r"[\^$\\]|\\Z", "", path)


def filled(route: str, values: dict[str, str]) -> str:
    """The route with its placeholders filled in."""
    path = re.sub(r"\(\?P<\w+>[^()]*\)", "abc-def", route)  # allauth's keys
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda m: values[m.group(1)], path)
    return "/" + path.replace("^", "").replace("$", "")


@pytest.fixture
def world(make_box, alice, carla, box):
    """Alice's two boxes with an order and an attempt on the first, a domain with a box, and Carla's own."""
    second = make_box(alice, "seconda", holder="bruno")
    carlas = make_box(carla, "carla")
    domain = domain_of(alice)
    (on_it,) = on_domain(make_box, domain, "info")
    order = place(box, alice)
    payment = start_card(order, alice)
    method = StoredMethod.objects.create(
        login=alice, provider="sandbox", remote_id="card_w", label="Carta di Alice 9999"
    )
    setup = MethodSetup.objects.create(login=alice, provider="sandbox", remote_id="sbxs_w")
    values = {
        "box_id": str(box.public_id), "number": order.number, "payment_id": str(payment.public_id),
        "remote_id": payment.remote_id, "provider": "sandbox", "method_id": str(method.public_id),
        "setup_id": str(setup.public_id), "version": "2026-11", "uidb64": "MQ", "token": "abc-def",
        "domain_id": str(domain.public_id), "invoice_id": str(issued(order, number=7700).public_id),
    }  # fmt: skip
    return {"values": values, "order": order, "box": box, "second": second, "carlas": carlas, "on_domain": on_it}


def body(response) -> str:
    if response.get("Content-Type", "").startswith(("text/html", "application/xml")):
        return unescape(response.content.decode())
    return ""


def secrets_of_alice(world) -> list[str]:
    return [
        "alice@pec.example", "seconda@pec.example", "alice@posta.example", "alice.contatto@posta.example", "Rossi",
        "Bianchi", CODES["alice"], CODES["bruno"], world["order"].number, "2000001@", "ordine@posta.example",
        "Carta di Alice 9999", "rossi.example", "-7700",
    ]  # fmt: skip


def test_the_walk_covers_the_product():
    assert len(list(addresses())) >= 35


def test_nobody_is_sent_to_the_sign_in(world):
    for route in addresses():
        path = filled(route, world["values"])
        for method in ("get", "post"):
            response = getattr(Client(), method)(path)
            allowed = next((s for pattern, s in PUBLIC.items() if re.match(pattern, path.lstrip("/"))), None)
            if allowed is None:
                assert response.status_code in (204, 302, 405), (method, path, response.status_code)
                if response.status_code == 302:
                    assert response.url.startswith("/accesso/"), (method, path, response.url)
            else:
                assert response.status_code in allowed, (method, path, response.status_code)
            leaked = [s for s in secrets_of_alice(world) if s in body(response)]
            assert leaked == [], (method, path, leaked)


@pytest.mark.parametrize("who", ["another customer", "a mailbox login of another account"])
def test_a_stranger_sees_and_moves_nothing(world, carla, who):
    client = Client()
    if who == "another customer":
        client.force_login(carla, backend="accounts.backends.AccountBackend")
    else:
        client.force_login(world["carlas"].login, backend="mailboxes.backends.MailboxBackend")
    before = (
        Order.objects.get().status,
        list(Payment.objects.values_list("status", flat=True)),
        world["box"].expires_on,
    )
    walked = 0
    for route in addresses():
        path = filled(route, world["values"])
        if "esci" in path:
            continue
        for method in ("get", "post"):
            response = getattr(client, method)(path, follow=False)
            if re.search(r"<(uuid:(box|domain|invoice|method|setup)_id|str:number)>", route):
                assert response.status_code in (404, 405), (method, path, response.status_code)
                walked += 1
            leaked = [s for s in secrets_of_alice(world) if s in body(response) and s not in path]
            assert leaked == [], (method, path, leaked)
    assert walked >= 30
    world["box"].refresh_from_db()
    assert before == (
        Order.objects.get().status, list(Payment.objects.values_list("status", flat=True)), world["box"].expires_on,
    )  # fmt: skip


@pytest.mark.parametrize("who", ["nobody", "a customer", "a mailbox login"])
def test_the_admin_lets_no_customer_in(world, carla, who):
    client = Client()
    if who == "a customer":
        client.force_login(carla, backend="accounts.backends.AccountBackend")
    elif who == "a mailbox login":
        client.force_login(world["carlas"].login, backend="mailboxes.backends.MailboxBackend")
    walked = [path for path in admin_addresses() if path != "/admin/logout/"]
    assert len(walked) >= 140
    for path in walked:
        for method in ("get", "post"):
            response = getattr(client, method)(path)
            assert response.status_code in (302, 403), (method, path, response.status_code)
            if response.status_code == 302:
                assert re.match(r"/(accesso|admin/login)/", response.url), (method, path, response.url)
            assert [s for s in secrets_of_alice(world) if s in body(response)] == [], (method, path)


def test_a_mailbox_login_sees_its_box_and_nothing_of_the_account(world, alice):
    """Bruno's box under Alice's account: not her data, not her other box, not her order, not her methods."""
    client = Client()
    client.force_login(world["second"].login, backend="mailboxes.backends.MailboxBackend")
    forbidden = [
        "alice@pec.example", "alice@posta.example", "alice.contatto@posta.example", "Rossi", CODES["alice"],
        world["order"].number, "2000001@", "Carta di Alice 9999", "-7700",
    ]  # fmt: skip
    own = {**world["values"], "box_id": str(world["second"].public_id)}
    seen = 0
    for route in addresses():
        if "esci" in route or "disattiva" in route:
            continue
        path = filled(route, own)
        response = client.get(path)
        if "str:number" in route or "invoice_id" in route:
            assert response.status_code == 404, path
        leaked = [s for s in forbidden if s in body(response) and s not in path]
        assert leaked == [], (path, leaked)
        seen += "seconda@pec.example" in body(response)
    assert seen >= 2


def test_account_pages_are_not_there_for_a_mailbox_login(world):
    client = Client()
    client.force_login(world["box"].login, backend="mailboxes.backends.MailboxBackend")
    domain = f"/area-clienti/domini/{world['values']['domain_id']}/"
    invoices = "/area-clienti/fatture/"
    files = [f"{invoices}{world['values']['invoice_id']}/{name}" for name in ("copia.pdf", "fattura.xml")]
    for path in (
        "/area-clienti/dati/", "/area-clienti/dati/scarica/", "/area-clienti/ordini/", "/area-clienti/domini/", domain,
        domain + "rinnova/", invoices, *files,
    ):  # fmt: skip
        assert client.get(path).status_code == 404, path
    for path in ("/area-clienti/", "/area-clienti/pec/"):
        assert client.get(path).url == f"/area-clienti/pec/{world['box'].public_id}/"
    assert client.get(f"/area-clienti/ordini/{world['order'].number}/").status_code == 200  # its own box's order


def test_the_login_of_a_box_on_a_domain_has_no_page_of_the_domain_nor_of_its_order(world, alice):
    """The order has its box in it, and the total of others: it is the account's (R1, R17)."""
    order = place_domain(Domain.objects.get(), alice)
    client = Client()
    client.force_login(world["on_domain"].login, backend="mailboxes.backends.MailboxBackend")
    own = {**world["values"], "box_id": str(world["on_domain"].public_id), "number": order.number}
    walked = 0
    for route in addresses():
        if "str:number" in route or "domain_id" in route:
            for method in ("get", "post"):
                path = filled(route, own)
                assert getattr(client, method)(path).status_code in (404, 405), (method, path)
                walked += 1
    assert walked >= 20
    page = body(client.get(f"/area-clienti/pec/{own['box_id']}/"))
    assert "Lo rinnova chi gestisce l'account del dominio." in page
    assert order.number not in page
