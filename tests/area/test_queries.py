"""The queries of a page: the same with 1, 3 and 10,000 boxes, few, and reading the owner's boxes, not the table."""

import re
from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailboxes.models import Address, Mailbox
from payments import withdrawal
from pecportal import clock
from renewals.models import Order, OrderLine
from tests.area.conftest import page_of
from tests.helpers import pay_card, place

LIST = "/area-clienti/pec/"
pytestmark = pytest.mark.django_db(transaction=True)


def fill(model: Mailbox, order: Order, *, total: int, today: date) -> None:
    """Boxes like `model` until its account has `total`, each with an order like `order`, most of them closed.

    However they are sorted, 25 of them have some that renew by themselves and some whose order is open.
    """
    have = Mailbox.objects.filter(owner=model.owner).count()
    names = [f"riempi{model.owner_id}.{n}@pec.example" for n in range(have, total)]
    addresses = Address.objects.bulk_create([Address(name=n, host="pec.example") for n in names])
    made = []
    for n, address in enumerate(addresses):
        expires_on = today + timedelta(days=n % 700 - 80)
        made.append(
            Mailbox(
                address=address, owner=model.owner, holder=model.holder, plan=model.plan, mailbox_gb=1, phase="live",
                expires_on=expires_on, delete_from=expires_on + timedelta(days=91),
                anchor_month=expires_on.month, anchor_day=expires_on.day, auto_renews=n // 700 % 5 == 0,
            )
        )  # fmt: skip
    made = Mailbox.objects.bulk_create(made)
    fields = {f.name: getattr(order, f.name) for f in Order._meta.fields if f.name not in ("id", "number", "status")}
    opens = [n // 700 % 5 == 1 for n in range(have, total)]
    status = {True: Order.Status.AWAITING_PAYMENT, False: Order.Status.CANCELLED}
    orders = Order.objects.bulk_create(
        [Order(**fields, number=f"{b.pk:08}"[-8:], status=status[o]) for b, o in zip(made, opens, strict=True)]
    )
    line_status = {True: OrderLine.Status.WAITING, False: OrderLine.Status.CLOSED}
    OrderLine.objects.bulk_create(
        OrderLine(order=o, kind="renewal", mailbox=box, net=1, status=line_status[is_open], is_open=is_open)
        for o, box, is_open in zip(orders, made, opens, strict=True)
    )


# With a box that renews by itself and one with an open order on the page, which all of these have; two less without.
PAGES = {LIST: 6, LIST + "?q=e&stato=attiva&ordine=ultima": 7, LIST + "?page=2": 6, "/area-clienti/": 3}


def test_one_three_and_ten_thousand_boxes(signed_in, alice, box, today, count):
    order = place(box, alice)
    Mailbox.objects.filter(pk=box.pk).update(auto_renews=True)
    client = signed_in(alice)
    for total in (1, 3, 10_000):
        fill(box, order, total=total, today=today)
        assert Mailbox.objects.filter(owner=alice).count() == total
        assert {path: count(client, path) for path in PAGES} == PAGES


def test_the_box_page(signed_in, alice, box, today, count):
    order = place(box, alice)
    found = [count(signed_in(alice), page_of(box)), count(signed_in(box.login), page_of(box))]
    fill(box, order, total=1000, today=today)
    found.append(count(signed_in(alice), page_of(box)))
    assert found == [6, 7, 6]  # a mailbox login may not see the order that hides its Rinnova (R1): asked apart


def test_recedi_beside_many_orders_asks_nothing_more(signed_in, alice, box, make_box, count):
    """Three orders that can be left, then one that was left and one past its days: the same queries."""
    orders = []
    for n in range(3):
        pay_card(place(Mailbox.objects.get(pk=box.pk), alice), alice, agreed=False)
        orders = list(Order.objects.order_by("id"))
        path, client = page_of(box), signed_in(alice)
        assert (count(client, path), count(client, "/area-clienti/ordini/") > 0) == (5, True)
        assert client.get(path).content.decode().count(">Recedi<") == n + 1
        assert client.get("/area-clienti/ordini/").content.decode().count(">Recedi<") == n + 1
    withdrawal.withdraw(
        order_id=orders[2].pk, user=alice, name="Alice", email="mario@posta.example", iban="",
        shown=orders[2].amount_due,
    )  # fmt: skip
    Order.objects.filter(pk=orders[1].pk).update(confirmed_at=clock.now() - timedelta(days=15))
    shown = signed_in(alice).get(path).content.decode()
    assert count(signed_in(alice), path) == 5
    assert shown.count(">Recedi<") == 1 and f"/ordini/{orders[0].number}/recesso/" in shown
    assert ">Recedi<" not in signed_in(box.login).get(path).content.decode()  # the account placed it


def scans(client, path) -> list[str]:
    """The plans of a page's queries, where they read boxes."""
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    plans = []
    for query in captured.captured_queries:
        if query["sql"].startswith("SELECT") and '"mailboxes_mailbox"' in query["sql"]:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN " + query["sql"])
                plans.append("\n".join(row[0] for row in cursor.fetchall()))
    return plans


@pytest.mark.parametrize("path", [LIST, "/area-clienti/"])
def test_a_small_account_among_many_boxes_reads_its_own(signed_in, alice, carla, box, make_box, today, path):
    """Nine million boxes of others: the owner's index answers, nobody reads the table."""
    hers = make_box(carla, "carla")
    fill(hers, place(hers, carla), total=20_000, today=today)
    place(box, alice)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    plans = scans(signed_in(alice), path)
    assert len(plans) >= 1
    for plan in plans:
        assert not re.search(r"Seq Scan on (mailboxes_mailbox|mailboxes_address|renewals_order)\b", plan), plan


def test_the_plans_above_can_show_a_read_of_the_table(signed_in, alice, box):
    """The control: without indexes the same search finds what it looks for."""
    with connection.cursor() as cursor:
        cursor.execute("SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off")
        try:
            found = "\n".join(scans(signed_in(alice), LIST))
        finally:
            cursor.execute("RESET enable_indexscan; RESET enable_bitmapscan; RESET enable_indexonlyscan")
    assert "Seq Scan on mailboxes_mailbox" in found
