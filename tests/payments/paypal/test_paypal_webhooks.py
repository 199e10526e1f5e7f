"""PayPal's webhooks: verified without asking PayPal, certificates only from PayPal's own hosts (R18, DESIGN §7)."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from payments import sync
from payments.models import Case, Payment, ProviderEvent
from payments.providers.paypal_webhook import is_paypals
from renewals.models import Order
from tests.helpers import place
from tests.peers import paypal_fake

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]
RESOURCE = {"id": "CAP1", "supplementary_data": {"related_ids": {"order_id": "ORD1"}}}


def post(body: bytes, headers: dict) -> int:
    return Client().post("/webhook/paypal/", body, content_type="application/json", headers=headers).status_code


def test_signed_it_is_stored_once_however_often_it_comes(paypal):
    body = paypal.event("PAYMENT.CAPTURE.COMPLETED", RESOURCE, "WH-1")
    assert [post(body, paypal.sign(body)) for _time in range(2)] == [200, 200]
    stored = ProviderEvent.objects.get()
    assert (stored.event_id, stored.remote_id, stored.kind) == ("WH-1", "ORD1", "payment")


def test_the_certificate_is_fetched_once(paypal, monkeypatch):
    from payments.providers import paypal_webhook

    asked = []
    real = paypal_webhook.requests.get
    monkeypatch.setattr(paypal_webhook.requests, "get", lambda url, **kw: (asked.append(url), real(url, **kw))[1])
    for _time in range(3):
        body = paypal.event("PAYMENT.CAPTURE.COMPLETED", RESOURCE)
        assert post(body, paypal.sign(body)) == 200
    assert len(asked) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"Paypal-Transmission-Sig": ""}, {"Paypal-Transmission-Sig": "bm8="}, {"Paypal-Transmission-Sig": "é"},
        {"Paypal-Auth-Algo": "none"}, {"Paypal-Auth-Algo": "SHA1withRSA"}, {"Paypal-Transmission-Id": "other"},
        {"Paypal-Cert-Url": ""}, {"Paypal-Cert-Url": "https://api.paypal.com.evil.example/cert"},
        {"Paypal-Transmission-Time": "yesterday"},
    ],
    ids=lambda change: "{}={}".format(*next(iter(change.items())))[:40],
)  # fmt: skip
def test_forged_headers(paypal, change):
    body = paypal.event("PAYMENT.CAPTURE.COMPLETED", RESOURCE)
    assert post(body, paypal.sign(body, **change)) == 400
    assert ProviderEvent.objects.count() == 0


def test_another_body_another_webhook_another_time(paypal):
    body = paypal.event("PAYMENT.CAPTURE.COMPLETED", RESOURCE)
    old = datetime.now(UTC) - timedelta(seconds=400)
    assert post(body + b" ", paypal.sign(body)) == 400
    assert post(body, paypal.sign(body, webhook="WH-SOMEBODY-ELSE")) == 400
    assert post(body, paypal.sign(body, at=old)) == 400


def test_an_expired_certificate(paypal, monkeypatch):
    key, pem = paypal_fake.certificate(days=-1)
    monkeypatch.setattr(paypal, "key", key)
    monkeypatch.setattr(paypal, "pem", pem)
    body = paypal.event("PAYMENT.CAPTURE.COMPLETED", RESOURCE)
    assert post(body, paypal.sign(body)) == 400


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://api.paypal.com/v1/notifications/certs/CERT-1", True),
        ("http://api.paypal.com/v1/notifications/certs/CERT-1", False),
        ("https://api.paypal.com.evil.example/CERT-1", False),
        ("https://api.paypal.com@evil.example/CERT-1", False),
        ("https://evil.example/api.paypal.com", False),
        ("https://api.paypal.com:8443/CERT-1", False),
        ("https://API.PAYPAL.COM\\@evil.example/", False),
        ("//api.paypal.com/CERT-1", False),
        ("", False),
    ],
)
def test_whose_certificates_are_believed(settings, url, good):
    settings.PAYPAL_CERT_ORIGINS = ["https://api.paypal.com"]
    assert is_paypals(url) is good


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": "x", "event_type": "A"}', b"\xff"])
def test_signed_but_no_event(paypal, body):
    assert post(body, paypal.sign(body)) == 400


def test_an_approval_whose_tab_was_closed_moves_the_expiry(paypal, box, alice):
    client = Client()
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    order = place(box, alice)
    client.post(f"/area-clienti/ordini/{order.number}/paga/", {"method": "paypal"})
    remote = Payment.objects.get().remote_id
    paypal.approve(remote)
    body = paypal.event("CHECKOUT.ORDER.APPROVED", {"id": remote})
    late = paypal.event("CHECKOUT.ORDER.APPROVED", {"id": remote})
    assert [post(b, paypal.sign(b)) for b in (body, late, body)] == [200, 200, 200]
    for event in ProviderEvent.objects.all():
        sync.work_off_event(event.pk)
    assert (Order.objects.get().status, paypal.captured()) == ("fulfilled", 1208)


def test_an_order_of_somebody_elses_does_nothing(paypal, box, alice):
    place(box, alice)
    body = paypal.event("CHECKOUT.ORDER.APPROVED", {"id": "FOREIGN"})
    assert post(body, paypal.sign(body)) == 200
    sync.work_off_event(ProviderEvent.objects.get().pk)
    assert Order.objects.get().status == "awaiting_payment"


def test_a_dispute_is_a_case(paypal, box, alice):
    Payment.objects.create(
        order=place(box, alice), provider="paypal", status="registered", amount="12.08", received="12.08",
        remote_id="ORD1", charge_id="CAP1",
    )  # fmt: skip
    body = paypal.event(
        "CUSTOMER.DISPUTE.CREATED",
        {
            "dispute_id": "PP-1", "reason": "UNAUTHORISED", "status": "OPEN", "dispute_amount": {"value": "12.08"},
            "disputed_transactions": [{"seller_transaction_id": "CAP1"}],
        },
    )  # fmt: skip
    assert post(body, paypal.sign(body)) == 200
    sync.work_off_event(ProviderEvent.objects.get().pk)
    case = Case.objects.get()
    assert (case.kind, "PP-1" in case.detail) == ("dispute", True)


def test_other_kinds_are_answered_and_do_nothing(paypal):
    body = paypal.event("BILLING.PLAN.CREATED", {"id": "P-1"})
    assert post(body, paypal.sign(body)) == 200
    sync.work_off_event(ProviderEvent.objects.get().pk)
    assert ProviderEvent.objects.get().kind == "other"
