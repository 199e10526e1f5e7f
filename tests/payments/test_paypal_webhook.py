"""PayPal's events: verified here, stored once, worked off; every forgery is 400 and leaves nothing (R18)."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from payments import flows, sync, tasks
from payments.models import Case, Payment, ProviderEvent
from payments.providers import paypal_webhook
from tests.peers.paypal_fake import certificate

pytestmark = [pytest.mark.django_db, pytest.mark.servers]
URL = reverse("payments:webhook", args=["paypal"])
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def attempt(paypal, order, alice) -> Payment:
    flows.start(
        order_id=order.pk, provider="paypal", user=alice, auto_renewal_agreed=False,
        return_url=lambda p: "https://a.example/", cancel_url="https://a.example/",
    )  # fmt: skip
    return Payment.objects.get()


@pytest.fixture
def post(monkeypatch, commits):
    monkeypatch.setattr(tasks.work_off_event, "delay", sync.work_off_event)

    def send(body: bytes, headers: dict) -> int:
        with commits():
            return Client().post(URL, body, content_type="application/json", headers=headers).status_code

    return send


def certificates_asked(paypal) -> int:
    return len([path for _method, path in paypal.calls if "/certs/" in path])


def test_approved_then_the_tab_closed_renews_by_the_webhook_once(paypal, attempt, order, box, post):
    paypal.approve(attempt.remote_id)
    event = paypal.event("CHECKOUT.ORDER.APPROVED", {"id": attempt.remote_id})
    assert [post(*event), post(*event)] == [200, 200]
    capture = paypal.orders[attempt.remote_id]["captures"][0]
    related = {"supplementary_data": {"related_ids": {"order_id": attempt.remote_id}}}
    assert post(*paypal.event("PAYMENT.CAPTURE.COMPLETED", {**capture, **related})) == 200
    order.refresh_from_db()
    assert (order.status, paypal.captures_made, ProviderEvent.objects.count()) == ("fulfilled", 1, 2)
    assert type(box).objects.get().expires_on > box.expires_on
    assert certificates_asked(paypal) == 1


def test_the_certificate_is_kept_for_the_other_processes_too(paypal, post):
    assert post(*paypal.event("VAULT.PAYMENT-TOKEN.DELETED", {"id": "x"})) == 200
    paypal_webhook._known.clear()
    assert post(*paypal.event("VAULT.PAYMENT-TOKEN.DELETED", {"id": "x"})) == 200
    assert certificates_asked(paypal) == 1


@pytest.fixture
def registered(paypal, attempt, commits) -> Payment:
    paypal.approve(attempt.remote_id)
    with commits():
        return flows.fetch_and_record(attempt.pk)


def test_a_dispute_is_a_case_of_the_payment(paypal, registered, post):
    resource = {
        "dispute_id": "PP-1", "reason": "UNAUTHORISED", "status": "OPEN",
        "disputed_transactions": [{"seller_transaction_id": registered.charge_id}],
    }  # fmt: skip
    assert post(*paypal.event("CUSTOMER.DISPUTE.CREATED", resource)) == 200
    case = Case.objects.get()
    assert (case.kind, case.payment_id, case.detail) == ("dispute", registered.pk, "PP-1 · UNAUTHORISED · OPEN")


def test_a_refund_made_elsewhere_is_noticed(paypal, registered, post):
    _status, refund = paypal.refund(registered.charge_id, {"amount": {"currency_code": "EUR", "value": "2.00"}})
    assert post(*paypal.event("PAYMENT.CAPTURE.REFUNDED", refund)) == 200
    assert Case.objects.get().kind == "outside"


def test_an_event_of_another_merchants_order_does_nothing(paypal, attempt, post):
    before = len(paypal.calls)
    assert post(*paypal.event("CHECKOUT.ORDER.APPROVED", {"id": "5O190127TN364715T"})) == 200
    assert [c for c in paypal.calls[before:] if "/certs/" not in c[1]] == []
    assert Payment.objects.get().status == "pending"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook_id": "ANOTHER"},
        {"key": OTHER_KEY},
        {"at": timedelta(days=-5)},
        {"at": timedelta(hours=1)},
        {"Paypal_Transmission_Time": "yesterday"},
        {"Paypal_Transmission_Time": ""},
        {"Paypal_Transmission_Id": "another"},
        {"Paypal_Transmission_Sig": ""},
        {"Paypal_Transmission_Sig": "not base64 è"},
        {"Paypal_Transmission_Sig": "QUFBQQ=="},
        {"Paypal_Auth_Algo": "SHA1withRSA"},
        {"Paypal_Auth_Algo": "none"},
        {"Paypal_Cert_Url": ""},
        {"Paypal_Cert_Url": "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1"},
        {"Paypal_Cert_Url": "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1"},
        {"Paypal_Cert_Url": "http://[bad/v1/notifications/certs/CERT-1"},
        {"Paypal_Cert_Url": "{url}@evil.example/v1/notifications/certs/CERT-1"},
        {"Paypal_Cert_Url": "{url}.evil.example/v1/notifications/certs/CERT-1"},
        {"Paypal_Cert_Url": "{url}/v1/notifications/certs/../../../evil"},
        {"Paypal_Cert_Url": "{url}/v1/notifications/certs/CERT-1?x=1"},
        {"Paypal_Cert_Url": "{url}/v1/notifications/certs/CERT-404"},
        {"Paypal_Cert_Url": "{url}/v1/notifications/certs/OVER"},
        {"Paypal_Cert_Url": "{url}/v1/notifications/certs/NOT-YET"},
        {"Paypal_Cert_Url": "{url}/v1/notifications/certs/RUBBISH"},
        {"Paypal_Cert_Url": "{url}/v1/notifications/certs/HUGE"},
    ],
)
def test_a_forged_one_is_refused_and_not_stored(paypal, attempt, post, wrong):
    paypal.certificates |= {
        "OVER": certificate(begin=-9, days=-1), "NOT-YET": certificate(begin=1), "RUBBISH": b"rubbish",
        "HUGE": certificate() + b"#" * 100_000,
    }  # fmt: skip
    paypal.approve(attempt.remote_id)
    given = {k: v.replace("{url}", paypal.url) if isinstance(v, str) else v for k, v in wrong.items()}
    if "at" in given:  # of this moment: between the collection and here there may be an hour
        given["at"] = now() + given["at"]
    body, headers = paypal.event("CHECKOUT.ORDER.APPROVED", {"id": attempt.remote_id}, **given)
    assert post(body, headers) == 400
    assert (ProviderEvent.objects.count(), Payment.objects.get().status, paypal.captures_made) == (0, "pending", 0)
    assert post(*paypal.event("CHECKOUT.ORDER.APPROVED", {"id": attempt.remote_id})) == 200  # and the right one passes


def test_a_changed_body_is_refused(paypal, attempt, post):
    body, headers = paypal.event("CHECKOUT.ORDER.APPROVED", {"id": attempt.remote_id})
    assert post(body + b" ", headers) == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"id": "x"}', b'{"id": "", "event_type": "CHECKOUT.ORDER.APPROVED", "resource": {}}',
     b'{"id": "x", "event_type": "CHECKOUT.ORDER.APPROVED", "resource": []}', b"[" * 100_000,
     b'{"id": "x", "event_type": "CUSTOMER.DISPUTE.CREATED", "resource": {"disputed_transactions": []}}'],
)  # fmt: skip
def test_what_is_no_event_though_signed(paypal, post, body):
    assert post(body, paypal.sign(body)) == 400
    assert ProviderEvent.objects.count() == 0


def test_a_huge_body_is_not_read(paypal, post):
    body = b"x" * (300 * 1024)
    assert post(body, paypal.sign(body)) == 413


def test_forged_certificates_do_not_make_us_call_for_each(paypal, post):
    cache.clear()
    for number in range(15):
        over = {"Paypal_Cert_Url": f"{paypal.url}/v1/notifications/certs/NONE-{number}"}
        assert post(*paypal.event("CHECKOUT.ORDER.APPROVED", {"id": "x"}, **over)) == 400
    assert certificates_asked(paypal) == paypal_webhook.FETCHES_A_MINUTE
