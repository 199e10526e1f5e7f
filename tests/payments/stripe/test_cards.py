"""Cards on a real localstripe, through our own pages: paid, asked by the bank, refused, saved, charged, refunded."""

from datetime import timedelta
from decimal import Decimal as D
from html import unescape
from urllib.error import HTTPError

import pytest
import time_machine
from django.test import Client

from mailboxes.models import Mailbox
from payments import flows, refunds, setups, sync
from payments.models import AutoRenewal, Case, MethodSetup, Payment, ProviderCustomer, Refund, StoredMethod
from payments.providers.base import Result
from payments.providers.stripe import Stripe
from pecportal import clock
from renewals.models import Order
from tests.conftest import holder_of
from tests.helpers import place
from tests.peers.localstripe import DECLINED_AT_CHARGE, DECLINED_AT_ONCE, GOOD, THREE_DS, THREE_DS_THEN_DECLINED

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]


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


def start(client, order, *, opted_out: bool = False) -> tuple[Payment, str]:
    """Paga by card: the attempt, and the client secret that its page shows."""
    data = {"method": "stripe", **({"no_auto_renewal": "stripe"} if opted_out else {})}
    page = client.post(f"/area-clienti/ordini/{order.number}/paga/", data)
    payment = Payment.objects.latest("id")
    assert page.url == f"/pagamenti/{payment.public_id}/carta/"
    return payment, text(client.get(page.url)).split('data-secret="')[1].split('"')[0]


def send(client, payment, setup: str):
    return client.post(f"/pagamenti/{payment.public_id}/carta/paga/", {"setup_intent": setup})


def pay(client, order, peer, number=GOOD, **options) -> Payment:
    payment, secret = start(client, order, **options)
    answer = send(client, payment, peer.type_card(secret, number)).json()
    assert answer["next"] == f"/pagamenti/{payment.public_id}/ritorno/"
    client.get(answer["next"])
    payment.refresh_from_db()
    return payment


def test_a_card_pays_and_the_expiry_moves(client, order, peer, box, today):
    payment = pay(client, order, peer)
    assert (payment.status, payment.received, payment.charge_id[:3]) == ("registered", order.total, "ch_")
    assert Order.objects.get().status == "fulfilled"
    assert Mailbox.objects.get().expires_on == box.expires_on.replace(year=box.expires_on.year + 1)
    method = StoredMethod.objects.get()
    assert (method.label, method.expires_month, method.expires_year) == ("Visa •••• 4242", 12, 2032)
    assert AutoRenewal.objects.get().method == method
    assert peer.charged() == int(order.total * 100)


def test_who_does_not_want_automatic_renewal_leaves_no_card(client, order, peer):
    payment = pay(client, order, peer, opted_out=True)
    assert payment.status == "registered"
    assert (StoredMethod.objects.count(), AutoRenewal.objects.count()) == (0, 0)
    kept = peer.call("GET", f"/v1/payment_methods/{peer.intents()[0]['payment_method']}")
    assert kept["customer"] is None


def test_the_bank_asks_and_the_customer_says_yes(client, order, peer):
    payment, secret = start(client, order)
    answer = send(client, payment, peer.type_card(secret, THREE_DS)).json()
    assert Payment.objects.get().status == "pending"
    peer.answer_bank(answer["confirm"], yes=True)
    client.get(answer["next"])
    assert (Payment.objects.get().status, Order.objects.get().status) == ("registered", "fulfilled")


def test_the_bank_asks_and_the_customer_says_no(client, order, peer):
    payment, secret = start(client, order)
    answer = send(client, payment, peer.type_card(secret, THREE_DS)).json()
    peer.answer_bank(answer["confirm"], yes=False)
    page = client.get(answer["next"], follow=True)
    assert (Payment.objects.get().status, Order.objects.get().status) == ("failed", "awaiting_payment")
    assert "Non ti è stato addebitato nulla" in text(page)
    assert peer.charged() == 0


def test_a_declined_charge_ends_the_attempt_and_another_card_pays(client, order, peer):
    first = pay(client, order, peer, DECLINED_AT_CHARGE)
    assert (first.status, first.decline, first.reason) == ("failed", "soft", "carta rifiutata")
    second = pay(client, order, peer)
    assert (second.status, Order.objects.get().status) == ("registered", "fulfilled")


def test_a_card_refused_at_once_costs_no_attempt(client, order, peer):
    payment, secret = start(client, order)
    with pytest.raises(HTTPError):
        peer.type_card(secret, DECLINED_AT_ONCE)
    assert Payment.objects.get().status == "pending"
    assert send(client, payment, secret.partition("_secret_")[0]).status_code == 402
    assert Payment.objects.get().sent_at is None


def test_pressed_twice_it_is_one_charge(client, order, peer):
    payment, secret = start(client, order)
    setup = peer.type_card(secret, GOOD)
    answers = [send(client, payment, setup).json() for _time in range(2)]
    assert answers[0] == answers[1]
    assert (len(peer.intents()), Payment.objects.get().status) == (1, "registered")


def test_a_card_typed_for_another_attempt_is_refused(client, order, peer, make_box, alice):
    _other, secret = start(client, place(make_box(alice, "altra"), alice))
    payment, _own = start(client, order)
    answer = send(client, payment, peer.type_card(secret, GOOD))
    assert (answer.status_code, peer.charged()) == (402, 0)


def test_the_page_of_an_attempt_is_of_who_began_it(client, order, peer, carla, box):
    payment, _secret = start(client, order)
    for who in (carla, box.login, None):
        other = Client()
        if who:
            other.force_login(who, backend="accounts.backends.AccountBackend")
        assert other.get(f"/pagamenti/{payment.public_id}/carta/").status_code == 404
        assert other.post(f"/pagamenti/{payment.public_id}/carta/paga/").status_code == 404


def test_annulla_while_the_bank_asks_closes_it_there(client, order, peer):
    payment, secret = start(client, order)
    answer = send(client, payment, peer.type_card(secret, THREE_DS)).json()
    flows.cancel_order(order_id=order.pk, actor=order.owner)
    assert (Payment.objects.get().status, Order.objects.get().status) == ("cancelled", "cancelled")
    with pytest.raises(HTTPError):
        peer.answer_bank(answer["confirm"], yes=True)
    assert peer.charged() == 0


def test_annulla_after_the_charge_is_paid_instead(client, order, peer, monkeypatch):
    payment, secret = start(client, order)
    setup = peer.type_card(secret, GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(flows, "record_outcome", lambda *args: None)  # the web dies before it writes
        send(client, payment, setup)
    with pytest.raises(flows.NotPayableError):
        flows.cancel_order(order_id=order.pk, actor=order.owner)
    assert Order.objects.get().status == "fulfilled"


def test_a_worker_that_died_after_the_charge_is_made_up_for(client, order, peer, monkeypatch):
    payment, secret = start(client, order)
    setup = peer.type_card(secret, GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(flows, "record_outcome", lambda *args: None)
        send(client, payment, setup)
    assert (Payment.objects.get().remote_id, peer.charged()) == ("", 1208)
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        sync.sync_due()
    assert (Payment.objects.get().status, Order.objects.get().status) == ("registered", "fulfilled")
    assert len(peer.intents()) == 1


def test_one_that_died_before_the_charge_fails_after_an_hour_and_not_before(client, order, peer):
    payment, _secret = start(client, order)
    assert flows.claim(payment.pk)
    for minutes, status in ((2, "unknown"), (70, "failed")):
        with time_machine.travel(clock.now() + timedelta(minutes=minutes), tick=False):
            assert flows.fetch_and_record(payment.pk).status == status
    assert Order.objects.get().status == "awaiting_payment"


def test_stripe_away_is_unknown_never_failed(client, order, peer, settings):
    payment, secret = start(client, order)
    setup = peer.type_card(secret, GOOD)
    card = Stripe().card_of(payment, setup)
    assert flows.claim(payment.pk)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    payment.refresh_from_db()
    with pytest.raises(Exception, match="does not answer"):
        Stripe().pay(payment, card)
    assert flows.fetch_and_record(payment.pk).status == "unknown"
    page = client.get(f"/area-clienti/ordini/{order.number}/esito/")
    assert "Non pagare di nuovo" in text(page)


def test_the_card_page_without_stripe_says_so(client, order, peer, settings):
    payment, _secret = start(client, order)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    page = client.get(f"/pagamenti/{payment.public_id}/carta/")
    assert (page.status_code, "Non ti è stato addebitato nulla" in text(page)) == (503, True)


@pytest.mark.parametrize(("number", "status", "decline"), [(GOOD, "registered", ""), (THREE_DS, "failed", "auth")])
def test_a_saved_card_charged_with_nobody_there(client, order, peer, make_box, alice, number, status, decline):
    payment, secret = start(client, order)
    answer = send(client, payment, peer.type_card(secret, number)).json()
    if "confirm" in answer:
        peer.answer_bank(answer["confirm"], yes=True)
    client.get(answer["next"])
    later = place(make_box(alice, "altra"), alice)
    charged = flows.charge(order_id=later.pk, method=StoredMethod.objects.get())
    assert (charged.status, charged.decline) == (status, decline)
    assert peer.charged() == (2416 if status == "registered" else 1208)


def test_a_saved_card_that_is_declined_later(client, order, peer, make_box, alice):
    payment, secret = start(client, order)
    setup = peer.type_card(secret, DECLINED_AT_CHARGE)
    card = Stripe().card_of(payment, setup)
    method = StoredMethod.objects.create(
        login=alice, provider="stripe", remote_id=card.payment_method, label="Visa •••• 0341"
    )  # fmt: skip
    flows.cancel_order(order_id=order.pk, actor=alice)
    later = place(make_box(alice, "altra"), alice)
    charged = flows.charge(order_id=later.pk, method=method)
    assert (charged.status, charged.decline, Order.objects.get(pk=later.pk).status) == (
        "failed", "soft", "awaiting_payment",
    )  # fmt: skip


@pytest.mark.parametrize("number", [GOOD, THREE_DS])
def test_a_card_saved_without_paying(client, peer, alice, number):
    setup = MethodSetup.objects.create(login=alice, provider="stripe")
    started = Stripe().start_setup(setup, return_url="/", cancel_url="/")
    MethodSetup.objects.filter(pk=setup.pk).update(remote_id=started.remote_id)
    assert started.redirect_url == f"/area-clienti/metodi-di-pagamento/carta/{setup.public_id}/"
    secret = text(client.get(started.redirect_url)).split('data-secret="')[1].split('"')[0]
    setup.refresh_from_db()
    assert setups.finish(setup.pk) is None  # nothing typed yet
    peer.type_card(secret, number)
    client.get(f"/area-clienti/metodi-di-pagamento/salvato/{setup.public_id}/")
    method = StoredMethod.objects.get()
    assert (method.login, method.label[-4:], MethodSetup.objects.get().method) == (alice, number[-4:], method)
    assert peer.charged() == 0
    Stripe().forget(method)
    Stripe().forget(method)  # twice is once
    assert peer.call("GET", f"/v1/payment_methods/{method.remote_id}")["customer"] is None


def test_a_stranger_does_not_see_a_card_being_saved(peer, alice, carla):
    setup = MethodSetup.objects.create(login=alice, provider="stripe", remote_id="seti_x")
    stranger = Client()
    stranger.force_login(carla, backend="accounts.backends.AccountBackend")
    for tail in (f"carta/{setup.public_id}/", f"salvato/{setup.public_id}/"):
        assert stranger.get(f"/area-clienti/metodi-di-pagamento/{tail}").status_code == 404


def test_part_and_then_all_goes_back(client, order, peer, alice):
    from django.db import transaction

    payment = pay(client, order, peer)
    for amount in (D("5.00"), order.total - D("5.00")):
        with transaction.atomic():
            refunds.ask(
                payment=Payment.objects.locked().get(), amount=amount, actor=None, why="prova", order=order
            )  # fmt: skip
        assert refunds.send_due() == 1
    assert [r.status for r in Refund.objects.all()] == ["done", "done"]
    assert (Payment.objects.get().status, sum(r["amount"] for r in peer.refunds())) == ("refunded", 1208)
    assert payment.status == "registered"


def test_a_refund_whose_answer_was_lost_is_found_and_not_sent_again(client, order, peer, monkeypatch):
    from django.db import transaction

    pay(client, order, peer)
    with transaction.atomic():
        refunds.ask(payment=Payment.objects.locked().get(), amount=D("5.00"), actor=None, why="prova", order=order)
    with monkeypatch.context() as patch:
        patch.setattr(refunds, "record", lambda *args: None)  # the worker dies after the call
        refunds.send_due()
    with time_machine.travel(clock.now() + timedelta(minutes=6), tick=False):
        refunds.send_due()
    assert (Refund.objects.get().status, len(peer.refunds())) == ("done", 1)


def test_a_refund_made_at_stripe_is_noted_once_and_is_a_case(client, order, peer):
    payment = pay(client, order, peer)
    peer.call("POST", "/v1/refunds", {"payment_intent": payment.remote_id, "amount": 300})
    for _time in range(2):
        flows.fetch_and_record(payment.pk)
    assert [(r.amount, r.status) for r in Refund.objects.all()] == [(D("3.00"), "done")]
    assert Case.objects.get().kind == "outside"


def test_each_login_is_one_customer_there(client, order, peer, make_box, alice):
    pay(client, order, peer)
    pay(client, place(make_box(alice, "altra"), alice), peer)
    assert ProviderCustomer.objects.count() == 1


def test_at_paga_nothing_is_kept(order, peer, box, alice):
    visitor = Client()
    visitor.post("/paga/", {"number": order.number, "code": holder_of(alice, "alice").codice_fiscale})
    page = visitor.post("/paga/ordine/", {"method": "stripe"})
    secret = text(visitor.get(page.url)).split('data-secret="')[1].split('"')[0]
    answer = send(visitor, Payment.objects.get(), peer.type_card(secret, GOOD)).json()
    page = visitor.get(answer["next"], follow=True)
    assert "Pagamento registrato" in text(page)
    assert (StoredMethod.objects.count(), ProviderCustomer.objects.count(), AutoRenewal.objects.count()) == (0, 0, 0)


def test_what_stripe_lists_repairs_what_was_missed(client, order, peer, monkeypatch):
    payment, secret = start(client, order)
    setup = peer.type_card(secret, GOOD)
    with monkeypatch.context() as patch:
        patch.setattr(flows, "record_outcome", lambda *args: None)
        send(client, payment, setup)
    seen = list(Stripe().recent(clock.now() - timedelta(hours=1)))
    assert [(s.reference, s.outcome.result, s.outcome.amount) for s in seen] == [
        (str(payment.public_id), Result.REGISTERED, order.total)
    ]
    sync.sync_listing("stripe", since=clock.now() - timedelta(hours=1))
    assert Order.objects.get().status == "fulfilled"


def test_money_there_of_which_we_know_nothing_is_a_case_once(peer, db):
    pm = peer.call(
        "POST", "/v1/payment_methods",
        {"type": "card", "card": {"number": GOOD, "exp_month": 1, "exp_year": 2032, "cvc": "123"}},
    )  # fmt: skip
    data = {"amount": 500, "currency": "eur", "confirm": True, "payment_method": pm["id"]}
    peer.call("POST", "/v1/payment_intents", data)
    for _time in range(2):
        sync.sync_listing("stripe", since=clock.now() - timedelta(hours=1))
    case = Case.objects.get()
    assert (case.kind, case.amount) == ("stranger", D("5.00"))


def test_three_ds_and_then_declined(client, order, peer):
    payment, secret = start(client, order)
    answer = send(client, payment, peer.type_card(secret, THREE_DS_THEN_DECLINED)).json()
    with pytest.raises(HTTPError):
        peer.answer_bank(answer["confirm"], yes=True)
    client.get(answer["next"])
    assert (Payment.objects.get().status, Order.objects.get().status) == ("failed", "awaiting_payment")
