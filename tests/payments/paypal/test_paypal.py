"""PayPal: approve, capture once, refuse, forget, charge later, refund; and answers that never came (R19, R20)."""

import threading
from datetime import timedelta
from decimal import Decimal as D
from html import unescape

import pytest
import time_machine
from django.db import connection, transaction
from django.test import Client

from mailboxes.models import Mailbox
from payments import flows, refunds, setups, sync
from payments.models import AutoRenewal, Case, MethodSetup, Payment, Refund, StoredMethod
from payments.providers.base import ProviderTimeoutError
from payments.providers.paypal import PayPal
from pecportal import clock
from renewals.models import Order
from tests.helpers import place
from tests.payments.paypal.conftest import descriptions

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]
CREATE, CAPTURE = ("POST", "/v2/checkout/orders"), ("POST", r"/v2/checkout/orders/[^/]+/capture")


def text(response) -> str:
    return unescape(response.content.decode())


@pytest.fixture
def client(alice):
    client = Client()
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    return client


@pytest.fixture
def order(box, alice):
    return place(box, alice)


def start(client, order, *, opted_out: bool = False) -> Payment:
    data = {"method": "paypal", **({"no_auto_renewal": "paypal"} if opted_out else {})}
    page = client.post(f"/area-clienti/ordini/{order.number}/paga/", data)
    payment = Payment.objects.latest("id")
    if payment.remote_id:
        assert page.url.endswith(f"/checkoutnow/{payment.remote_id}")
    return payment


def come_back(client, paypal, payment):
    url = paypal.approve(payment.remote_id)
    assert url.endswith(f"/pagamenti/{payment.public_id}/ritorno/")
    return client.get(url.removeprefix("http://testserver"), follow=True)


def later(minutes: int):
    return time_machine.travel(clock.now() + timedelta(minutes=minutes), tick=False)


def test_the_descriptions_of_paypal_were_there_to_be_held_against():
    if descriptions() is None:
        pytest.skip("PayPal's own descriptions are not beside the project: requests and answers were not held to them")


def test_approved_captured_and_the_expiry_moves(client, order, paypal, box):
    payment = start(client, order)
    page = come_back(client, paypal, payment)
    assert page.request["PATH_INFO"].endswith("/esito/")
    payment.refresh_from_db()
    assert (payment.status, payment.received, bool(payment.charge_id)) == ("registered", order.total, True)
    assert Mailbox.objects.get().expires_on.year == box.expires_on.year + 1
    method = StoredMethod.objects.get()
    assert (method.label, AutoRenewal.objects.get().method) == ("PayPal m•••@posta.example", method)
    assert paypal.captured() == 1208


def test_who_does_not_want_automatic_renewal_leaves_no_account(client, order, paypal):
    come_back(client, paypal, start(client, order, opted_out=True))
    assert (StoredMethod.objects.count(), AutoRenewal.objects.count(), paypal.vault) == (0, 0, {})


def test_refused_on_paypals_page(client, order, paypal):
    payment = start(client, order)
    page = client.get(f"/area-clienti/ordini/{order.number}/esito/?verifica", follow=True)
    assert "Non pagare di nuovo" in text(page) or "in attesa" in text(page)
    flows.cancel_order(order_id=order.pk, actor=order.owner)
    assert (Payment.objects.get().status, Order.objects.get().status) == ("cancelled", "cancelled")
    # and approved after all, in the tab that was left open: nothing is ever captured
    paypal.approve(payment.remote_id)
    flows.fetch_and_record(payment.pk)
    assert (paypal.captured(), Payment.objects.get().status, Case.objects.count()) == (0, "cancelled", 0)


def test_approved_and_the_tab_closed_the_sync_captures(client, order, paypal, commits=None):
    paypal.approve(start(client, order).remote_id)
    with later(2):
        sync.sync_due()
    assert (Order.objects.get().status, paypal.captured()) == ("fulfilled", 1208)


def test_an_approval_that_comes_while_it_is_closed_is_not_captured(client, order, paypal):
    payment = start(client, order)
    Payment.objects.update(closing=True)
    paypal.approve(payment.remote_id)
    assert flows.fetch_and_record(payment.pk).status == "cancelled"
    assert paypal.captured() == 0


@pytest.mark.parametrize("fault", ["drop", "500", "refuse"])
def test_a_capture_without_an_answer_is_unknown_and_then_captured_once(client, order, paypal, fault):
    payment = start(client, order)
    paypal.faults[CAPTURE] = [fault]
    page = come_back(client, paypal, payment)
    assert "Non pagare di nuovo" in text(page)
    assert Payment.objects.get().status == "unknown"
    with later(2):
        sync.sync_due()
    assert (Order.objects.get().status, paypal.captured()) == ("fulfilled", 1208)


def test_annulla_while_a_capture_is_in_doubt_pays_instead(client, order, paypal):
    payment = start(client, order)
    paypal.faults[CAPTURE] = ["drop"]
    come_back(client, paypal, payment)
    with pytest.raises(flows.NotPayableError):
        flows.cancel_order(order_id=order.pk, actor=order.owner)
    assert (Order.objects.get().status, paypal.captured()) == ("fulfilled", 1208)


def test_paypal_away_at_the_start_takes_nothing_and_is_over_at_the_next_look(client, order, paypal):
    paypal.faults[CREATE] = ["drop"]
    payment = start(client, order)
    assert (payment.status, payment.remote_id) == ("unknown", "")
    with later(2):
        sync.sync_due()
    assert Payment.objects.get().status == "cancelled"
    come_back(client, paypal, start(client, order))
    assert Order.objects.get().status == "fulfilled"


def test_two_workers_complete_at_once_and_it_is_one_capture(client, order, paypal):
    payment = start(client, order)
    paypal.approve(payment.remote_id)
    both = threading.Barrier(2)

    def work() -> None:
        both.wait()
        flows.fetch_and_record(payment.pk)
        connection.close()

    threads = [threading.Thread(target=work) for _n in range(2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert (Order.objects.get().status, paypal.captured()) == ("fulfilled", 1208)


def test_an_instrument_that_is_declined(client, order, paypal):
    payment = start(client, order)
    paypal.declines.add("capture:INSTRUMENT_DECLINED")
    page = come_back(client, paypal, payment)
    assert (Payment.objects.get().status, "Non ti è stato addebitato nulla" in text(page)) == ("failed", True)


@pytest.mark.parametrize("lies", [{"value": "1.00"}, {"currency_code": "USD"}])
def test_another_amount_or_currency_is_a_case_and_renews_nothing(client, order, paypal, lies):
    paypal.lies = lies
    come_back(client, paypal, start(client, order))
    assert (Order.objects.get().status, Case.objects.get().kind) == ("awaiting_payment", "mismatch")


def test_a_capture_under_review_waits_and_then_registers(client, order, paypal):
    paypal.lies = {"status": "PENDING"}
    payment = start(client, order)
    come_back(client, paypal, payment)
    assert Payment.objects.get().status == "pending"
    order_there = paypal.orders[payment.remote_id]
    order_there["purchase_units"][0]["payments"]["captures"][0]["status"] = "COMPLETED"
    flows.fetch_and_record(payment.pk)
    assert Order.objects.get().status == "fulfilled"


def test_an_order_that_paypal_forgot(client, order, paypal):
    payment = start(client, order)
    paypal.orders.clear()
    assert flows.fetch_and_record(payment.pk).status == "cancelled"


def test_never_sent_anywhere_but_to_paypal(client, order, paypal, settings):
    settings.PAYPAL_WEB_HOST = "https://www.paypal.com"
    page = client.post(f"/area-clienti/ordini/{order.number}/paga/", {"method": "paypal"})
    assert page.url == f"/area-clienti/ordini/{order.number}/esito/"
    assert Payment.objects.get().status == "unknown"


# --- Saved accounts ---------------------------------------------------------------------------------------------------


@pytest.fixture
def method(paypal, alice):
    paypal.vault["tok1"] = {"email_address": "mario@posta.example"}
    return StoredMethod.objects.create(
        login=alice, provider="paypal", remote_id="tok1", label="PayPal m•••@posta.example"
    )


def test_charged_with_nobody_there(order, paypal, method):
    payment = flows.charge(order_id=order.pk, method=method)
    assert (payment.status, Order.objects.get().status, paypal.captured()) == ("registered", "fulfilled", 1208)


@pytest.mark.parametrize("fault", ["drop", "refuse", "500"])
def test_a_charge_without_an_answer_is_one_charge(order, paypal, method, fault):
    paypal.faults[CREATE] = [fault]
    assert flows.charge(order_id=order.pk, method=method).status == "unknown"
    with later(2):
        sync.sync_due()
    assert (Order.objects.get().status, paypal.captured()) == ("fulfilled", 1208)


@pytest.mark.parametrize(
    ("issue", "decline"),
    [("INSTRUMENT_DECLINED", "soft"), ("PAYER_ACCOUNT_RESTRICTED", "hard"), ("PAYER_ACTION_REQUIRED", "auth")],
)
def test_a_charge_that_is_refused(order, paypal, method, issue, decline):
    paypal.declines.add(f"tok1:{issue}")
    payment = flows.charge(order_id=order.pk, method=method)
    assert (payment.status, payment.decline, Order.objects.get().status) == ("failed", decline, "awaiting_payment")


def test_an_account_saved_without_paying_and_forgotten(paypal, alice):
    setup = MethodSetup.objects.create(login=alice, provider="paypal")
    started = PayPal().start_setup(setup, return_url="https://area.example/r/", cancel_url="https://area.example/c/")
    setup.remote_id = started.remote_id
    setup.save()
    paypal.approve(started.remote_id)
    method = setups.finish(setup.pk)
    assert (method.login, method.label, list(paypal.vault)) == (alice, "PayPal m•••@posta.example", [method.remote_id])
    PayPal().forget(method)
    PayPal().forget(method)
    assert paypal.vault == {}


def test_one_that_was_not_approved_is_not_saved(paypal, alice):
    setup = MethodSetup.objects.create(login=alice, provider="paypal")
    started = PayPal().start_setup(setup, return_url="https://area.example/r/", cancel_url="https://area.example/c/")
    MethodSetup.objects.update(remote_id=started.remote_id)
    setup.refresh_from_db()
    assert setups.finish(setup.pk) is None
    assert (MethodSetup.objects.get().status, StoredMethod.objects.count()) == ("failed", 0)


# --- Refunds ----------------------------------------------------------------------------------------------------------


def ask(order, amount: D) -> None:
    with transaction.atomic():
        refunds.ask(payment=Payment.objects.locked().get(), amount=amount, actor=None, why="prova", order=order)


@pytest.mark.parametrize("fault", ["", "drop", "refuse"])
def test_refunds_in_part_and_whole_each_once(client, order, paypal, fault):
    come_back(client, paypal, start(client, order))
    paypal.faults["POST", r"/v2/payments/captures/[^/]+/refund"] = [fault] if fault else []
    for amount in (D("5.00"), D("7.08")):
        ask(order, amount)
        refunds.send_due()
        with later(6):
            refunds.send_due()
    assert [(r.status, r.amount) for r in Refund.objects.all()] == [("done", D("5.00")), ("done", D("7.08"))]
    assert ([r["amount"]["value"] for r in paypal.refunds()], Payment.objects.get().status) == (
        ["5.00", "7.08"], "refunded",
    )  # fmt: skip


def test_one_made_at_paypal_is_noted_once(client, order, paypal):
    payment = start(client, order)
    come_back(client, paypal, payment)
    PayPal().api.call("POST", f"/v2/payments/captures/{Payment.objects.get().charge_id}/refund", {})
    for _time in range(2):
        flows.fetch_and_record(payment.pk)
    assert (Refund.objects.get().amount, Case.objects.get().kind) == (D("12.08"), "outside")


# --- The client -------------------------------------------------------------------------------------------------------


def test_a_withdrawn_token_is_asked_for_anew_once(client, order, paypal):
    payment = start(client, order)
    paypal.tokens.clear()
    come_back(client, paypal, payment)
    assert Order.objects.get().status == "fulfilled"


def test_wrong_credentials_end_and_do_not_ask_for_ever(paypal, settings):
    settings.PAYPAL_SECRET = "wrong"
    with pytest.raises(ProviderTimeoutError):
        PayPal().api.call("GET", "/v2/checkout/orders/X")


def test_nothing_of_a_request_is_logged(client, order, paypal, caplog):
    with caplog.at_level("DEBUG"):
        come_back(client, paypal, start(client, order))
    for secret in ("secret-of-tests", "mario@posta.example", *paypal.tokens):
        assert secret not in caplog.text
