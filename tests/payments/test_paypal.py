"""PayPal from the first click to the money given back, on the stand-in of tests/peers (R18–R24)."""

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine

from accounts.models import User
from payments import auto_renewal, flows, refunds, sync
from payments.models import AutoRenewal, Case, MethodSetup, Payment, Refund, StoredMethod
from payments.providers import paypal_api
from payments.providers.base import ProviderTimeoutError, Result, SavedMethod
from payments.providers.paypal import PayPal
from pecportal import clock
from renewals.models import Order
from tests.peers import paypal_schemas
from tests.peers.paypal_fake import CLIENT, SECRET

pytestmark = [pytest.mark.django_db, pytest.mark.servers]
BACK = "https://area.provider.example/ritorno"


def begin(order: Order, user: User | None, *, agreed: bool = True) -> Payment:
    flows.start(
        order_id=order.pk, provider="paypal", user=user, auto_renewal_agreed=agreed,
        consent_text_version="2026-11", return_url=lambda p: BACK, cancel_url=BACK,
    )  # fmt: skip
    return Payment.objects.filter(order=order).latest("id")


@pytest.fixture
def attempt(paypal, order, alice) -> Payment:
    return begin(order, alice)


@pytest.fixture
def paid(paypal, attempt, commits) -> Payment:
    paypal.approve(attempt.remote_id)
    with commits():
        return flows.fetch_and_record(attempt.pk)


def state(order: Order) -> tuple[str, list[str], list[str]]:
    order.refresh_from_db()
    return order.status, [p.status for p in order.payments.all()], [c.kind for c in Case.objects.all()]


@pytest.mark.skipif(paypal_schemas.FOLDER is None, reason="../shared/paypal-openapi is absent")
def test_the_descriptions_refuse_what_is_wrong():
    assert paypal_schemas.problems("order", {"intent": "CAPTURE"}, answer=False) != []
    assert paypal_schemas.problems("refund", {"amount": {"value": "1.00"}}, answer=False) != []


def test_approved_is_captured_once_and_renews(paypal, paid, order, box, alice):
    order.refresh_from_db()
    sent = paypal.orders[paid.remote_id]
    assert state(order) == ("fulfilled", ["registered"], [])
    assert (paid.received, paid.charge_id) == (order.total, sent["captures"][0]["id"])
    assert sent["_unit"]["custom_id"] == str(paid.public_id)
    consent = AutoRenewal.objects.get(box=box, ended_at=None)
    assert (consent.method.label, consent.method.remote_id) == ("PayPal m•••@posta.example", sent["_vaulted"])
    again = flows.fetch_and_record(paid.pk)
    assert (again.status, paypal.captures_made, type(box).objects.get().expires_on > box.expires_on) == (
        "registered", 1, True,
    )  # fmt: skip


def test_without_the_consent_nothing_is_kept_in_the_vault(paypal, order, alice, commits):
    attempt = begin(order, alice, agreed=False)
    paypal.approve(attempt.remote_id)
    with commits():
        flows.fetch_and_record(attempt.pk)
    assert (paypal.vault, StoredMethod.objects.count()) == ({}, 0)


def test_not_approved_moves_nothing(paypal, attempt, order):
    flows.fetch_and_record(attempt.pk)
    assert (state(order), paypal.captures_made) == (("awaiting_payment", ["pending"], []), 0)


@pytest.mark.parametrize("fault", ["drop", "500", "lose"])
def test_a_capture_without_an_answer_is_unknown_then_found_once(paypal, attempt, order, commits, fault):
    paypal.approve(attempt.remote_id)
    paypal.faults["capture"] = fault
    assert flows.fetch_and_record(attempt.pk).status == "unknown"
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=True), commits():
        assert sync.sync_due() == 1
    assert (state(order), paypal.captures_made) == (("fulfilled", ["registered"], []), 1)


def test_a_slow_capture_ends_by_itself(paypal, attempt, order, commits, monkeypatch):
    call = paypal_api.Api.http_call

    def hurried(self, url, *args, **kwargs):
        with monkeypatch.context() as patch:
            if url.endswith("/capture"):  # this one alone: on a busy machine the others may take as long
                patch.setattr(paypal_api, "TIMEOUT", (5, 0.2))
            return call(self, url, *args, **kwargs)

    monkeypatch.setattr(paypal_api.Api, "http_call", hurried)
    paypal.approve(attempt.remote_id)
    paypal.faults["capture"], paypal.delay = "slow", 5
    assert flows.fetch_and_record(attempt.pk).status == "unknown"
    with commits():
        flows.fetch_and_record(attempt.pk)
    assert (state(order), paypal.captures_made) == (("fulfilled", ["registered"], []), 1)


@pytest.mark.parametrize("fault", ["drop", "500", "lose"])
def test_an_order_whose_creation_had_no_answer_is_over(paypal, order, alice, fault):
    """Nobody was sent to approve it: the customer may pay again after the first look, and nothing is captured."""
    paypal.faults["order"] = fault
    with pytest.raises(flows.UnknownPaymentError):
        begin(order, alice)
    assert state(order)[1] == ["unknown"]
    for order_id in paypal.orders:
        paypal.approve(order_id)
    flows.fetch_and_record(Payment.objects.get().pk)
    assert (state(order), paypal.captures_made) == (("awaiting_payment", ["failed"], []), 0)
    assert begin(order, alice).status == "pending"


def test_a_cancelled_attempt_approved_later_is_never_captured(paypal, attempt, order, alice):
    flows.cancel_order(order_id=order.pk, actor=alice)
    paypal.approve(attempt.remote_id)
    flows.fetch_and_record(attempt.pk)
    assert (state(order), paypal.captures_made) == (("cancelled", ["cancelled"], []), 0)


def test_closing_what_was_captured_meanwhile_pays(paypal, attempt, order, alice, commits):
    paypal.approve(attempt.remote_id)
    paypal.faults["capture"] = "drop"
    flows.fetch_and_record(attempt.pk)
    with pytest.raises(flows.NotPayableError), commits():
        flows.cancel_order(order_id=order.pk, actor=alice)
    assert (state(order), paypal.captures_made) == (("fulfilled", ["registered"], []), 1)


@pytest.mark.parametrize("lie", [{"value": "1.00"}, {"currency_code": "USD"}])
def test_another_amount_or_currency_is_a_case(paypal, attempt, order, commits, lie):
    paypal.lie = lie
    paypal.approve(attempt.remote_id)
    with commits():
        flows.fetch_and_record(attempt.pk)
    assert state(order) == ("awaiting_payment", ["registered"], ["mismatch"])


@pytest.mark.parametrize(
    ("issue", "status"),
    [("INSTRUMENT_DECLINED", "failed"), ("PAYER_CANNOT_PAY", "failed"), ("ORDER_NOT_APPROVED", "pending")],
)
def test_a_refused_capture(paypal, attempt, order, issue, status):
    paypal.approve(attempt.remote_id)
    paypal.faults["capture"] = issue
    flows.fetch_and_record(attempt.pk)
    assert (state(order)[1], paypal.captures_made) == ([status], 0)


@pytest.mark.parametrize(("status", "becomes"), [("PENDING", "pending"), ("DECLINED", "failed"), ("FAILED", "failed")])
def test_a_capture_that_is_not_money(paypal, attempt, order, status, becomes):
    paypal.approve(attempt.remote_id)
    paypal.capture(attempt.remote_id)
    paypal.orders[attempt.remote_id]["captures"][0]["status"] = status
    flows.fetch_and_record(attempt.pk)
    assert state(order)[:2] == ("awaiting_payment", [becomes])


def test_an_order_that_paypal_forgot_is_over(paypal, attempt, order):
    paypal.orders.clear()
    flows.fetch_and_record(attempt.pk)
    assert state(order)[1] == ["cancelled"]


def test_an_answer_about_another_payment_changes_nothing(paypal, attempt, order):
    paypal.approve(attempt.remote_id)
    paypal.orders[attempt.remote_id]["_unit"]["custom_id"] = "00000000-0000-0000-0000-000000000000"
    flows.fetch_and_record(attempt.pk)
    assert (state(order)[1], paypal.captures_made) == (["unknown"], 0)


@pytest.mark.parametrize("host", ["https://www.paypal.com.evil.example", "https://paypal.com@evil.example", "http://x"])
def test_the_customer_is_sent_to_paypal_only(paypal, order, alice, monkeypatch, host):
    show = paypal.show

    def lying(known):
        shown = show(known)
        shown["links"] = [{"href": f"{host}/checkoutnow?token={known['id']}", "rel": "payer-action", "method": "GET"}]
        return shown

    monkeypatch.setattr(paypal, "show", lying)
    with pytest.raises(flows.UnknownPaymentError):
        begin(order, alice)


# --- saved accounts ---------------------------------------------------------------------------------------------------


@pytest.fixture
def method(paypal, alice) -> StoredMethod:
    paypal.vault["VAULT1"] = {"email_address": "alice@posta.example"}
    return auto_renewal.keep_method(login=alice, provider="paypal", saved=SavedMethod("VAULT1", "PayPal"))


def test_a_saved_account_is_charged(paypal, method, order, commits):
    with commits():
        payment = flows.charge(order_id=order.pk, method=method)
    assert (payment.status, payment.received, paypal.captures_made) == ("registered", order.total, 1)


@pytest.mark.parametrize("fault", ["drop", "lose", "500"])
def test_a_charge_without_an_answer_is_sent_again_and_taken_once(paypal, method, order, commits, fault):
    paypal.faults["order"] = fault
    payment = flows.charge(order_id=order.pk, method=method)
    assert (payment.status, payment.remote_id) == ("unknown", "")
    with commits():
        payment = flows.fetch_and_record(payment.pk)
    assert (payment.status, paypal.captures_made, state(order)[0]) == ("registered", 1, "fulfilled")


def test_a_charge_is_not_sent_again_once_paypal_has_forgotten_its_key(paypal, method, order, commits):
    paypal.faults["order"] = "drop"
    payment = flows.charge(order_id=order.pk, method=method)
    paypal.answers.clear()
    with time_machine.travel(clock.now() + timedelta(hours=7), tick=True):
        payment = flows.fetch_and_record(payment.pk)
    assert (payment.status, paypal.captures_made) == ("unknown", 1)


@pytest.mark.parametrize(
    ("issue", "decline"),
    [("INSTRUMENT_DECLINED", "soft"), ("PAYER_ACTION_REQUIRED", "auth"), ("PAYER_ACCOUNT_LOCKED_OR_CLOSED", "hard")],
)
def test_a_refused_charge_says_how_to_take_it(paypal, method, order, issue, decline):
    paypal.refuse_vault = issue
    payment = flows.charge(order_id=order.pk, method=method)
    assert (payment.status, payment.decline, payment.reason) == ("failed", decline, issue)


def test_an_account_is_saved_without_paying_and_forgotten(paypal, alice):
    setup = MethodSetup.objects.create(login=alice, provider="paypal")
    started = PayPal().start_setup(setup, return_url=BACK, cancel_url=BACK)
    assert started.redirect_url.startswith(paypal.url)
    setup.remote_id = started.remote_id
    assert PayPal().fetch_setup(setup).result == Result.PENDING
    paypal.approve(setup.remote_id)
    paypal.faults["token"] = "drop"
    with pytest.raises(ProviderTimeoutError):
        PayPal().fetch_setup(setup)
    found = PayPal().fetch_setup(setup)
    assert found.saved is not None
    assert (found.result, found.saved.label, list(paypal.vault)) == (
        Result.REGISTERED, "PayPal m•••@posta.example", [found.saved.remote_id],
    )  # fmt: skip
    kept = auto_renewal.keep_method(login=alice, provider="paypal", saved=found.saved)
    PayPal().forget(kept)
    PayPal().forget(kept)
    assert paypal.vault == {}


# --- money that goes back ---------------------------------------------------------------------------------------------


def give_back(payment: Payment, amount: str) -> Refund:
    return Refund.objects.create(
        payment=payment, order=payment.order, amount=Decimal(amount), why="prova", next_check_at=clock.now()
    )


@pytest.mark.parametrize("fault", ["", "drop", "lose", "500"])
def test_a_refund_is_made_once(paypal, paid, fault):
    refund = give_back(paid, "2.00")
    if fault:
        paypal.faults["refund"] = fault
    refunds.send_due()
    refund.refresh_from_db()
    assert refund.status == ("unknown" if fault else "done")
    paypal.answers.clear()  # even where PayPal has forgotten the key, it is found by its custom_id
    with time_machine.travel(clock.now() + timedelta(hours=2), tick=True):
        refunds.send_due()
    refund.refresh_from_db()
    assert (refund.status, len(paypal.refunds)) == ("done", 1)
    flows.fetch_and_record(paid.pk)
    assert Case.objects.count() == 0


def test_a_refund_made_at_paypal_is_a_case_once(paypal, paid, order):
    paypal.refund(paid.charge_id, {"amount": {"currency_code": "EUR", "value": "3.00"}})
    flows.fetch_and_record(paid.pk)
    flows.fetch_and_record(paid.pk)
    assert [c.kind for c in Case.objects.all()] == ["outside"]


def test_a_refused_refund_is_a_case(paypal, paid):
    give_back(paid, "2.00")
    paypal.faults["refund"] = "CAPTURE_FULLY_REFUNDED"
    refunds.send_due()
    assert (Refund.objects.get().status, Case.objects.get().kind) == ("failed", "refund")


# --- the calls --------------------------------------------------------------------------------------------------------


def test_a_lasting_401_ends(paypal, attempt, monkeypatch):
    monkeypatch.setattr(paypal, "token_seconds", -1)
    paypal.tokens.clear()
    before = len(paypal.calls)
    assert flows.fetch_and_record(attempt.pk).status == "unknown"
    assert len(paypal.calls) - before <= 4


def test_a_token_that_paypal_dropped_is_asked_for_again(paypal, attempt):
    paypal.tokens.clear()
    assert flows.fetch_and_record(attempt.pk).status == "pending"


def test_our_headers_stay_out_of_the_token_call_and_one_token_serves_all(paypal, attempt):
    flows.fetch_and_record(attempt.pk)
    asked = [h for h in paypal.headers if h["path"].endswith("oauth2/token")]
    assert len(asked) == 1
    assert "PayPal-Request-Id" not in asked[0]
    assert "Prefer" not in asked[0]


def test_nothing_of_the_bodies_is_logged(paypal, paid, caplog):
    caplog.set_level("DEBUG")
    flows.fetch_and_record(paid.pk)
    assert "mario.rossi" not in caplog.text
    assert SECRET not in caplog.text


def test_an_independent_client_drives_the_stand_in(paypal, monkeypatch):
    from paypalserversdk.configuration import Configuration, Environment, Server
    from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
    from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

    monkeypatch.setitem(Configuration.environments[Environment.SANDBOX], Server.DEFAULT, paypal.url)
    client = PaypalServersdkClient(
        client_credentials_auth_credentials=ClientCredentialsAuthCredentials(CLIENT, SECRET),
        environment=Environment.SANDBOX,
    )
    context = {"return_url": BACK, "cancel_url": BACK}
    made = client.orders.create_order(
        {
            "body": {
                "intent": "CAPTURE",
                "purchase_units": [{"amount": {"currency_code": "EUR", "value": "10.00"}}],
                "payment_source": {"paypal": {"experience_context": context}},
            },
            "paypal_request_id": "independent-1",
        }
    ).body
    assert made.status == "PAYER_ACTION_REQUIRED"
    paypal.approve(made.id)
    assert client.orders.get_order({"id": made.id}).body.status == "APPROVED"
    captured = client.orders.capture_order({"id": made.id, "paypal_request_id": "independent-2"}).body
    capture = captured.purchase_units[0].payments.captures[0]
    assert (capture.status, capture.amount.value) == ("COMPLETED", "10.00")
    back = client.payments.refund_captured_payment({"capture_id": capture.id}).body
    assert client.payments.get_refund({"refund_id": back.id}).body.status == "COMPLETED"
    setup = client.vault.create_setup_token(
        {"body": {"payment_source": {"paypal": {"usage_type": "MERCHANT", "experience_context": context}}}}
    ).body
    paypal.approve(setup.id)
    token = client.vault.create_payment_token(
        {"body": {"payment_source": {"token": {"id": setup.id, "type": "SETUP_TOKEN"}}}}
    ).body
    client.vault.delete_payment_token(token.id)
    assert paypal.vault == {}
