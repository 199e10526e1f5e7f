"""Every address of paying as a stranger, as nobody, and as a mailbox login (R1)."""

import uuid

import pytest
from django.test import Client
from django.urls import reverse

from payments.models import AutoRenewal, Payment, StoredMethod
from payments.providers import sandbox
from pecportal import clock
from renewals.models import Order, OrderLine
from tests.helpers import pay_card, place, start_card

pytestmark = pytest.mark.django_db
OF_ORDER = ("order", "outcome", "pay", "transfer", "cancel")
OF_BOX = ("auto_renewal", "auto_renewal_off")


@pytest.fixture
def urls(order, box, attempt):
    """Each address of Alice's order, attempt and box, by name."""
    found = {name: reverse(f"payments:{name}", args=[order.number]) for name in OF_ORDER}
    found |= {name: reverse(f"payments:{name}", args=[box.public_id]) for name in OF_BOX}
    return found | {"return": reverse("payments:return", args=[attempt.public_id])}


def answers(client, urls):
    methods = {name: ("post",) if name == "auto_renewal_off" else ("get", "post") for name in urls}
    methods["order"] = methods["outcome"] = methods["return"] = ("get",)
    return {(name, method): getattr(client, method)(urls[name]) for name in urls for method in methods[name]}


def untouched(order, box, attempt):
    order.refresh_from_db()
    attempt.refresh_from_db()
    return order.status, order.transfer_declared_on, attempt.status, AutoRenewal.objects.filter(ended_at=None).count()


def test_strangers_get_404_everywhere_and_touch_nothing(urls, order, box, attempt, alice, carla, make_box, browser_of):
    """Carla, her box's login, and the login of another box of Alice's account."""
    method = StoredMethod.objects.create(login=alice, provider="sandbox", remote_id="c", label="Carta")
    AutoRenewal.objects.create(
        box=box,
        method=method,
        years=1,
        amount=1,
        consent_text_version="x",
        agreed_by=alice,
        agreed_at=clock.now(),
    )
    sandbox.write(attempt.remote_id, status=sandbox.PAID)  # a return page that worked for them would pay the order
    before = untouched(order, box, attempt)
    for user in (carla, make_box(carla, "carla").login, make_box(alice, "altra").login):
        found = {key: response.status_code for key, response in answers(browser_of(user), urls).items()}
        assert set(found.values()) == {404} and len(found) == 12, (user, found)
    assert untouched(order, box, attempt) == before


def test_nobody_is_sent_to_sign_in_and_told_nothing(urls, order, box, alice):
    for (name, method), response in answers(Client(), urls).items():
        assert (response.status_code, response.headers["Location"].split("?")[0]) == (302, "/accesso/"), (name, method)
        assert response.content == b""


def test_an_unknown_order_box_or_attempt_does_not_exist(alice, order, browser_of):
    client = browser_of(alice)
    for url in (
        *(reverse(f"payments:{name}", args=["R-222222"]) for name in OF_ORDER),
        *(reverse(f"payments:{name}", args=["x" * 400]) for name in OF_ORDER),
        *(reverse(f"payments:{name}", args=["R-\x00"]) for name in OF_ORDER),
        reverse("payments:auto_renewal", args=[uuid.uuid4()]),
        reverse("payments:return", args=[uuid.uuid4()]),
        reverse("payments:sandbox", args=["sbx_" + "0" * 32]),
        reverse("payments:sandbox", args=["..%2f..%2fetc"]),
    ):
        assert client.get(url).status_code == 404, url


def test_the_account_and_the_boxs_own_login_see_the_order(urls, alice, box, browser_of):
    for user in (alice, box.login):
        assert browser_of(user).get(urls["order"]).status_code == 200


def test_a_mailbox_login_does_not_see_an_order_that_has_another_box_too(order, box, make_box, alice, browser_of):
    other = make_box(alice, "altra")
    assert browser_of(box.login).get(reverse("payments:order", args=[order.number])).status_code == 200
    line = order.lines.get()
    OrderLine.objects.create(
        order=order, kind="renewal", mailbox=other, plan=line.plan, mailbox_gb=1, archive_gb=0, net=line.net
    )
    for login in (box.login, other.login):
        for name in OF_ORDER:
            assert browser_of(login).get(reverse(f"payments:{name}", args=[order.number])).status_code == 404
    assert browser_of(alice).get(reverse("payments:order", args=[order.number])).status_code == 200


def test_a_mailbox_login_reads_no_data_of_the_account(box, alice, browser_of, commits):
    """The account's fiscal data, its e-mail, its saved card: all there, none shown (R1, R24b)."""
    alice.billing.address, alice.billing.phone = "via Segreta 99", "0699999999"
    alice.billing.save()
    method = StoredMethod.objects.create(login=alice, provider="sandbox", remote_id="c", label="Carta di Alice 9999")
    order = place(box, alice, email=alice.email)
    with commits():
        pay_card(order, alice)
    AutoRenewal.objects.update(method=method)
    secrets = ["via Segreta 99", "0699999999", "9999", alice.email, alice.username]
    pages = [reverse(f"payments:{n}", args=[order.number]) for n in ("order", "outcome")]
    pages.append(reverse("payments:auto_renewal", args=[box.public_id]))
    for_account = "".join(browser_of(alice).get(url).content.decode() for url in pages)
    assert [secret for secret in secrets if secret in for_account] == secrets
    for url in pages:
        text = browser_of(box.login).get(url).content.decode()
        assert [secret for secret in secrets if secret in text] == [], url


def test_a_mailbox_login_pays_cancels_and_switches_off(order, box, alice, make_box, browser_of):
    client = browser_of(box.login)
    assert client.get(reverse("payments:pay", args=[order.number])).status_code == 200
    client.post(reverse("payments:pay", args=[order.number]), {"method": "sandbox"})
    assert Payment.objects.get().started_by == box.login
    method = StoredMethod.objects.create(login=alice, provider="sandbox", remote_id="c", label="Carta")
    AutoRenewal.objects.create(
        box=box,
        method=method,
        years=1,
        amount=1,
        consent_text_version="x",
        agreed_by=alice,
        agreed_at=clock.now(),
    )
    client.post(reverse("payments:auto_renewal_off", args=[box.public_id]))
    assert AutoRenewal.objects.get().ended_why == "customer"
    client.post(reverse("payments:cancel", args=[order.number]))
    assert Order.objects.get().status == "cancelled"


def test_the_number_of_queries_does_not_grow_with_lines_and_attempts(
    order, box, alice, make_box, browser_of, django_assert_max_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def count():
        totals = []
        for name in ("order", "outcome"):
            client = browser_of(alice)
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert client.get(reverse(f"payments:{name}", args=[order.number])).status_code == 200
            totals.append(len(queries))
        return totals

    start_card(order, alice)
    first = count()
    line = order.lines.get()
    for n in range(3):
        OrderLine.objects.create(
            order=order, kind="renewal", mailbox=make_box(alice, f"n{n}"), plan=line.plan, mailbox_gb=1, archive_gb=0,
            net=line.net,
        )  # fmt: skip
        start_card(order, alice)
    assert count() == first
    assert max(first) <= 20


def test_the_sandbox_is_not_there_unless_it_is_offered(attempt, settings):
    url = reverse("payments:sandbox", args=[attempt.remote_id])
    assert Client().get(url).status_code == 200
    settings.PAYMENT_PROVIDERS = ["transfer"]
    assert (Client().get(url).status_code, Client().post(url, {"azione": "paga"}).status_code) == (404, 404)
    assert sandbox.read(attempt.remote_id)["status"] == sandbox.OPEN


def test_the_sandbox_page_names_nobody(order, attempt, alice, box):
    place_words = [str(box), alice.username, "Alice", "Rossi", order.number, "ordine@posta.example"]
    text = Client().get(reverse("payments:sandbox", args=[attempt.remote_id])).content.decode()
    assert [word for word in place_words if word in text] == []
    assert "12,08" in text
