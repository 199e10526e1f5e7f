"""Every staff page opens, for staff alone, on few queries, and no POST writes what flows write (A.8, R10, R13)."""

import re
from decimal import Decimal
from html import unescape

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from lifecycle.models import Alarm, DeletionStop, HandRelease, Letter, LifecycleRun, ManifestLine, Notice, StaffHold
from mailboxes.models import Domain, Holder, Mailbox, Plan, Price, VatRate
from payments.models import (
    AutoRenewal,
    Case,
    Difference,
    Invoice,
    Payment,
    ProviderEvent,
    Receipt,
    Refund,
    ScheduledCharge,
    SdiReceipt,
    Statement,
    StoredMethod,
)
from renewals.models import Order
from tests.domains import domain_of, on_domain, place_domain
from tests.helpers import pay_transfer, place

pytestmark = pytest.mark.django_db
READ_ONLY = [
    Alarm, AutoRenewal, Case, DeletionStop, Difference, Domain, HandRelease, Invoice, Letter, LifecycleRun, Mailbox,
    ManifestLine, Notice, Order, Payment, ProviderEvent, Receipt, Refund, ScheduledCharge, SdiReceipt, StaffHold,
    Statement, StoredMethod,
]  # fmt: skip
EDITABLE = [Holder, Plan, Price, VatRate]
OURS = [*READ_ONLY, *EDITABLE]
OWN_LISTS = [
    "admin:mailboxes_mailbox_open_box",
    "admin:mailboxes_domain_open_domain",
    "admin:payments_receipt_record",
    "admin:payments_statement_upload",
    "admin:payments_invoice_export",
    "admin:payments_sdireceipt_upload",
]
OWN_DETAILS = {
    "admin:payments_receipt_allocate": Receipt,
    "admin:payments_case_close": Case,
    "admin:payments_statement_apply": Statement,
    "admin:renewals_order_cancel": Order,
    "admin:mailboxes_mailbox_hold": Mailbox,
    "admin:mailboxes_mailbox_lift": Mailbox,
    "admin:mailboxes_mailbox_let_go": Mailbox,
    "admin:lifecycle_deletionstop_ask": DeletionStop,
    "admin:lifecycle_deletionstop_release": DeletionStop,
}


def name(model, page):
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"


def ids(models):
    return [m.__name__ for m in models]


def ours_in(app):
    return [m for m in apps.get_app_config(app).get_models() if m in admin.site._registry]


def test_the_lists_here_name_every_page_of_ours():
    found = {m for app in ("mailboxes", "renewals", "payments", "lifecycle") for m in ours_in(app)}
    assert found == set(OURS)


@pytest.mark.parametrize("model", OURS, ids=ids(OURS))
def test_list_and_page_open_with_data(staff, world, model):
    page = staff.get(reverse(name(model, "changelist")))
    assert page.status_code == 200
    rows = model.objects.all()
    assert rows
    for row in rows:
        page = staff.get(reverse(name(model, "change"), args=[row.pk]))
        assert page.status_code == 200
    assert page.headers["Content-Security-Policy"].count("'unsafe-eval'") == 1


@pytest.mark.parametrize("typed", ["rossi", "²", "12,08", "٣", "%_'\"\\", "9" * 300, "\x00"])
def test_every_list_can_be_searched(staff, world, typed):
    searched = [m for m, page in admin.site._registry.items() if page.search_fields]
    assert len(searched) > 10
    for model in searched:  # those of the packages too: auditlog's asked for fields that our logins do not have
        assert staff.get(reverse(name(model, "changelist")), {"q": typed}).status_code == 200, model


@pytest.mark.parametrize("model", OURS, ids=ids(OURS))
def test_lists_ask_no_more_with_more_rows(staff, world, model, django_assert_max_num_queries):
    """A changelist's queries do not grow with its rows: seven boxes, six orders, against none of them."""
    address = reverse(name(model, "changelist"))
    staff.get(address)
    with CaptureQueriesContext(connection) as many:
        staff.get(address)
    with CaptureQueriesContext(connection) as none:
        staff.get(address, {"q": "nessuno-ha-questo-nome"})
    assert len(many) <= 14
    assert len(many) <= len(none) + 3


@pytest.mark.parametrize("model", READ_ONLY, ids=ids(READ_ONLY))
def test_pages_are_bounded_too(staff, world, model):
    for row in model.objects.all():
        address = reverse(name(model, "change"), args=[row.pk])
        staff.get(address)
        with CaptureQueriesContext(connection) as queries:
            staff.get(address)
        assert len(queries) <= 45, [q["sql"][:150] for q in queries]


def test_an_order_of_many_lines_and_moves_asks_no_more(staff, world, alice):
    from renewals.models import OrderEvent

    address = reverse(name(Order, "change"), args=[world.paid.pk])
    staff.get(address)
    with CaptureQueriesContext(connection) as few:
        staff.get(address)
    line = world.paid.lines.get()
    OrderEvent.objects.bulk_create(
        OrderEvent(order=world.paid, line=line, before="paid", after="paid", actor=alice, why=f"prova {n}")
        for n in range(40)
    )
    with CaptureQueriesContext(connection) as many:
        assert "prova 39" in staff.get(address).content.decode()
    assert asked(many) == asked(few)


def asked(queries) -> list[str]:
    """The tables read, in order; without the session, which the idle limit writes once a minute."""
    tables = [re.search(r'FROM "(\w+)"', q["sql"]) for q in queries if "django_session" not in q["sql"]]
    return [t[1] for t in tables if t]


def test_no_list_counts_all_its_rows(staff, world):
    """Counts stop at 10,000 rows: the SQL of every count has its limit, the unfiltered second count is not asked."""
    for model in OURS:
        with CaptureQueriesContext(connection) as queries:
            staff.get(reverse(name(model, "changelist")))
        counts = [q["sql"] for q in queries if "COUNT(" in q["sql"]]
        assert counts and [sql for sql in counts if "LIMIT 10001" not in sql] == []


def test_a_capped_list_says_so(staff, world, monkeypatch):
    from mailboxes.admin import base

    monkeypatch.setattr(base, "MOST_COUNTED", 3)
    page = staff.get(reverse(name(Mailbox, "changelist"))).content.decode()
    assert "oltre 3 caselle PEC: restringi con la ricerca o con i filtri" in page
    monkeypatch.setattr(base, "MOST_COUNTED", 7)
    assert "7 caselle PEC" in staff.get(reverse(name(Mailbox, "changelist"))).content.decode()


def every_address(world):
    for model in OURS:
        row = getattr(world, model.__name__, None) or model.objects.first()
        yield reverse(name(model, "changelist"))
        yield reverse(name(model, "change"), args=[row.pk])
        yield reverse(name(model, "delete"), args=[row.pk])
        yield reverse(name(model, "history"), args=[row.pk])
        yield reverse(name(model, "add"))
    yield from (reverse(n) for n in OWN_LISTS)
    yield from (reverse(n, args=[m.objects.first().pk]) for n, m in OWN_DETAILS.items())
    yield reverse("admin:renewals_order_record_transfer", args=[world.waiting.pk])


@pytest.mark.parametrize("who", ["nobody", "alice", "mailbox"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_nobody_but_staff_gets_in(client, world, alice, who, method):
    if who == "alice":
        client.force_login(alice, backend="accounts.backends.AccountBackend")
    elif who == "mailbox":
        client.force_login(world.boxes["presto"].login, backend="mailboxes.backends.MailboxBackend")
    for address in every_address(world):
        answer = getattr(client, method)(address)
        assert answer.status_code in (302, 403), address
        if answer.status_code == 302:
            assert "/admin/" not in answer["Location"].split("?")[0] or "login" in answer["Location"]
        body = answer.content.decode()
        assert "presto@pec.example" not in body and world.waiting.number not in body


def test_staff_without_permissions_sees_nothing(client, world):
    clerk = User.objects.create_user("impiegata", "x", is_staff=True, email="impiegata@provider.example")
    client.force_login(clerk, backend="accounts.backends.AccountBackend")
    for address in every_address(world):
        answer = client.get(address)
        assert answer.status_code == 403, address


def test_who_may_only_look_gets_no_button_and_no_page_behind_it(client, world):
    clerk = User.objects.create_user("impiegata", "x", is_staff=True, email="impiegata@provider.example")
    clerk.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(clerk, backend="accounts.backends.AccountBackend")
    order = client.get(reverse(name(Order, "change"), args=[world.waiting.pk])).content.decode()
    assert world.waiting.number in order
    assert "Annulla l&#x27;ordine" not in order and "Registra un accredito" not in order
    for address in (*OWN_LISTS, *OWN_DETAILS):
        args = [] if address in OWN_LISTS else [OWN_DETAILS[address].objects.first().pk]
        for method in (client.get, client.post):
            assert method(reverse(address, args=args)).status_code == 403
    assert (
        client.post(reverse("admin:renewals_order_cancel", args=[world.waiting.pk]), {"reason": "x"}).status_code == 403
    )
    world.waiting.refresh_from_db()
    assert world.waiting.status == "awaiting_payment"


TAMPERED = {
    "status": "fulfilled", "phase": "deleted", "expires_on": "01/01/2099", "delete_from": "01/01/2100",
    "amount": "0.01", "amount_due": "0.01", "closed_at_0": "01/01/2026", "resolution": "x", "done": "9", "plan": "1",
    "is_open": "on", "_save": "1",
}  # fmt: skip


@pytest.mark.parametrize("model", READ_ONLY, ids=ids(READ_ONLY))
def test_no_post_changes_deletes_or_adds_what_flows_write(staff, world, model):
    before = list(model.objects.order_by("pk").values())
    for row in model.objects.all():
        assert staff.post(reverse(name(model, "change"), args=[row.pk]), TAMPERED).status_code == 403
        assert staff.post(reverse(name(model, "delete"), args=[row.pk]), {"post": "yes"}).status_code == 403
    assert staff.get(reverse(name(model, "add"))).status_code == 403
    assert staff.post(reverse(name(model, "add")), TAMPERED).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [r["id"] for r in before], "post": "yes"}
    staff.post(reverse(name(model, "changelist")), action)
    assert list(model.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("model", [Holder, Plan], ids=ids([Holder, Plan]))
def test_what_others_point_at_is_never_deleted(staff, world, model):
    for row in model.objects.all():
        assert staff.post(reverse(name(model, "delete"), args=[row.pk]), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in staff.get(reverse(name(model, "changelist"))).content.decode()


def cell_badges(page: str) -> dict[str, tuple[str, str]]:
    """address → (colour, word) of a box list's badge."""
    found = {}
    for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL):
        address = re.search(r"[a-z]+@[a-z.]+", row)
        badge = re.search(r'class="(inline-block font-semibold[^"]*)"[^>]*>\s*([^<]*?)\s*</span>', row)
        if address and badge:
            colour = re.search(r"bg-(green|red|orange|blue|base)-", badge[1])
            found[address[0]] = (colour[1], badge[2])
    return found


def test_boxes_are_coloured_by_expiry(staff, world):
    Mailbox.objects.filter(pk=world.boxes["carla"].pk).update(phase="deleted", login=None)
    page = staff.get(reverse(name(Mailbox, "changelist"))).content.decode()
    assert cell_badges(page) == {
        "nuova@pec.example": ("green", "Attiva"),
        "presto@pec.example": ("orange", "In scadenza"),
        "sconto@pec.example": ("orange", "In scadenza"),
        "ferma@pec.example": ("red", "Scaduta"),
        "persa@pec.example": ("red", "In attesa di cancellazione"),
        "info@pec.rossi.example": ("orange", "In scadenza"),
        "carla@pec.example": ("base", "Cancellata"),
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"stato": "scaduta"}, ["ferma"]),
        ({"stato": "attesa_cancellazione"}, ["persa"]),
        ({"stato": "in_scadenza"}, ["carla", "info", "presto", "sconto"]),
        ({"stato": "attiva"}, ["nuova"]),
        ({"stato": "cancellata"}, []),
        ({"stato": "una cosa qualsiasi"}, ["carla", "ferma", "info", "nuova", "persa", "presto", "sconto"]),
        ({"scadenza": "7"}, []),
        ({"scadenza": "30"}, ["info", "presto"]),
        ({"scadenza": "-30"}, ["ferma"]),
        ({"q": "pre"}, ["presto"]),
        ({"q": " PRESTO@pec.example "}, ["presto"]),
        ({"q": "2000002@pecportal.example"}, ["carla"]),
        ({"q": "alice@posta.example"}, ["ferma", "info", "nuova", "persa", "presto", "sconto"]),
        ({"q": "bnc brn 75h12 f205e"}, ["info"]),
        ({"q": "Bianchi"}, ["info"]),
        ({"q": "verd"}, ["carla"]),
        ({"q": "%"}, []),
        ({"q": "nessuno"}, []),
    ],
)
def test_boxes_are_found_by_what_a_caller_can_say(staff, world, query, expected):
    page = staff.get(reverse(name(Mailbox, "changelist")), query).content.decode()
    assert sorted(a.split("@")[0] for a in set(re.findall(r">([a-z]+@pec\.[a-z.]*example)<", page))) == expected


def test_orders_cases_payments_and_holders_are_found_too(staff, world):
    from payments.bank import creditor_reference

    def numbers(query, model=Order):
        page = staff.get(reverse(name(model, "changelist")), {"q": query}).content.decode()
        return set(re.findall(r"[RSAD]-[2-9A-HJ-NP-Z]{6}", page))

    order = world.waiting
    by_alice = {o.number for o in Order.objects.filter(owner=order.owner)}
    for query in (order.number, order.number.lower(), creditor_reference(order), "presto@pec.example"):
        assert numbers(query) == {order.number}, query
    assert numbers("alice@posta.example") == by_alice
    assert numbers("R-ZZZZZZ") <= {"R-ZZZZZZ"}  # only what was typed, in the search box
    assert numbers("sconto@pec.example", Payment) == {world.card.number}
    assert numbers(world.Payment.remote_id, Payment) == {world.Payment.order.number}
    assert numbers("carla@pec.example", Case) == {world.short.number}
    holders = staff.get(reverse(name(Holder, "changelist")), {"q": "BNCBRN75H12F205E"}).content.decode()
    assert "Bruno Bianchi" in holders and "Carla Verdi" not in holders
    receipts = staff.get(reverse(name(Receipt, "changelist")), {"q": "20,00"}).content.decode()
    assert "TROPPO" in receipts and "POCO" not in receipts


@pytest.fixture
def of_domains(make_box, alice, carla, dario) -> dict[str, str]:
    """Numbers of orders: of a domain, and of what a careless search for its name would find as well."""
    orders = {}
    for owner, domain in ((alice, "rossi.example"), (carla, "derossi.example"), (carla, "rossi-example.example")):
        found = domain_of(owner, domain)
        on_domain(make_box, found, "info", holder="bruno" if owner == alice else "")
        orders[domain] = place_domain(found, owner)
    orders["box"] = place(make_box(alice, "rossi.example"), alice)  # an address that begins like the domain
    for order in (orders["rossi.example"], orders["derossi.example"]):
        pay_transfer(order, dario, amount=Decimal("1.00"), reference=order.number)  # too little: a case each
    return {words: order.number for words, order in orders.items()}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("rossi.example", {"rossi.example"}),
        (" ROSSI.Example ", {"rossi.example"}),
        ("pec.rossi.example", {"rossi.example"}),
        ("rossi", {"rossi.example", "rossi-example.example"}),
        ("info@pec.rossi.example", {"rossi.example"}),
        ("ossi.example", set()),
        ("rossi_example", set()),
        ("%", set()),
        ("rossi.example.it", set()),
    ],
)
def test_orders_and_their_cases_are_found_by_domain(staff, of_domains, query, expected):
    """By the beginning of its name or of what follows the @, as boxes are: never by a part in the middle."""
    for model in (Order, Case):
        with CaptureQueriesContext(connection) as queries:
            page = staff.get(reverse(name(model, "changelist")), {"q": query}).content.decode()
        assert [q["sql"] for q in queries if "LIKE '%" in q["sql"]] == []
        shown = {words for words, number in of_domains.items() if number in page}
        assert shown == (expected if model is Order else expected - {"rossi-example.example"})


def test_open_cases_come_first(staff, world, dario):
    from payments import cases

    first = Case.objects.order_by("pk").first()
    cases.close_case(case_id=first.pk, actor=dario, resolution="rimborsato")
    page = staff.get(reverse(name(Case, "changelist"))).content.decode()
    shown = [int(pk) for pk in re.findall(r"/admin/payments/case/(\d+)/change/", page)]
    opened = [c.pk for c in Case.objects.filter(closed_at=None).order_by("-pk")]
    assert list(dict.fromkeys(shown)) == [*opened, first.pk] and opened


def test_a_saved_method_is_masked_everywhere(staff, world):
    method = world.StoredMethod
    assert len(method.remote_id) > 8
    shown = [
        staff.get(reverse(name(StoredMethod, "changelist"))),
        staff.get(reverse(name(StoredMethod, "change"), args=[method.pk])),
    ]
    renewal = staff.get(reverse(name(AutoRenewal, "change"), args=[world.AutoRenewal.pk]))
    assert "••••" + method.remote_id[-4:] in shown[1].content.decode()
    for page in (*shown, renewal):
        assert method.remote_id not in page.content.decode()
        assert method.label in page.content.decode()


def test_ways_to_pay_have_names_not_codes(staff, world):
    """Columns and filters of the lists, and the pages of one."""
    from payments.models import Payment, ProviderEvent

    Order.objects.update(method="transfer")
    for model in (Order, Payment, StoredMethod, ProviderEvent):
        pages = [reverse(name(model, "changelist")), reverse(name(model, "change"), args=[model.objects.first().pk])]
        for page in pages:
            cells = [text.strip() for text in re.findall(r">([^<>]*)<", staff.get(page).content.decode())]
            assert {"Bonifico", "Carta di prova"} & set(cells), page
            assert not {"transfer", "sandbox", "stripe", "paypal"} & set(cells), page
    waiting = staff.get(reverse(name(Order, "changelist")), {"metodo": "transfer"}).content.decode()
    assert world.waiting.number in waiting
    for other in ({"metodo": "stripe"}, {"metodo": "x"}):
        page = staff.get(reverse(name(Order, "changelist")), other).content.decode()
        assert (world.waiting.number in page) == (other["metodo"] == "x")


def test_the_page_of_a_box_and_of_a_domain_says_why_they_expire_when_they_do(staff, world):
    from pecportal.formats import short_day

    box = Mailbox.objects.get(address__name="info@pec.rossi.example")
    for obj in (box, box.domain):
        page = staff.get(reverse(f"admin:mailboxes_{obj._meta.model_name}_change", args=[obj.pk])).content.decode()
        said = " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).replace("\u00a0", " ").split())
        assert f"{short_day(box.expires_on)} perché era già questa all'apertura" in said
