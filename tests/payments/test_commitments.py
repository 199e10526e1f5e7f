"""A public body's commitment: fulfilled before the money, collected when it comes (R26c)."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.urls import reverse

from accounts.models import BillingProfile
from mailboxes.models import Mailbox
from payments import bank, commitments, flows
from payments.models import Case, Commitment, Payment, Receipt
from payments.outcome import Situation, panel
from payments.providers import sandbox
from pecportal.errors import RefusedError
from renewals import settle
from renewals.models import BillingSnapshot, Order
from tests.helpers import pay_transfer, place, start_card

pytestmark = pytest.mark.django_db(transaction=True)
BODY = {
    "subject": "public_body", "company_name": "Comune di Prova", "codice_fiscale": "00514490010",
    "fiscal_key": "00514490010", "sdi_code": "UF1234", "is_consumer": False,
}  # fmt: skip


@pytest.fixture
def order(box, alice):
    """The account is a municipality's: € 12,08, of which € 9,90 taxable."""
    BillingProfile.objects.filter(user=alice).update(**BODY)
    alice.refresh_from_db()
    return place(box, type(alice).objects.get(pk=alice.pk))


@pytest.fixture
def register(order, dario, today):
    def call(**changes):
        facts = {"reference": "Det. 12/2026", "on": today, "cig": "Z1A2B3C4D5", "cup": "", "split_payment": False}
        return commitments.register(order_id=order.pk, actor=dario, **{**facts, **changes})

    return call


def now(order):
    return Order.objects.get(pk=order.pk)


def test_the_order_is_fulfilled_and_still_to_collect(order, register, box, dario):
    commitment = register(cig=" z1a2 b3c4-d5 ", cup="J31B24000010001")
    assert (commitment.cig, commitment.cup, commitment.registered_by) == ("Z1A2B3C4D5", "J31B24000010001", dario)
    found = now(order)
    assert (found.status, found.paid_at, found.collected_at, found.amount_due) == ("fulfilled", None, None, D("12.08"))
    assert found.billing.fixed_at == found.fulfilled_at
    line = found.lines.get()
    assert (line.status, line.period.ends) == ("fulfilled", Mailbox.objects.get().expires_on)
    assert line.period.ends > box.expires_on
    event = found.events.get(line=None, after="fulfilled")
    assert (event.before, event.actor) == ("awaiting_payment", dario)
    assert event.why.startswith("impegno di pagamento Det. 12/2026, ")


def test_money_that_comes_later_collects_it(order, register, dario, box):
    register()
    after = Mailbox.objects.get().expires_on
    assert pay_transfer(order, dario, amount=D("10.00")).missing == D("2.08")
    assert now(order).collected_at is None
    assert list(Case.objects.filter(closed_at=None).values_list("kind", "amount")) == [("short", D("2.08"))]
    assert pay_transfer(order, dario, amount=D("5.00"), reference="REF-2").left == D("2.92")
    found = now(order)
    assert (found.status, found.paid_at, found.collected_at is None) == ("fulfilled", None, False)
    assert list(Case.objects.filter(closed_at=None).values_list("kind", "amount")) == [("over", D("2.92"))]
    assert pay_transfer(order, dario, reference="REF-3").refusal == "l'ordine è evaso"  # nothing is awaited any more
    assert Mailbox.objects.get().expires_on == after  # never a second renewal


def test_split_payment_waits_for_the_taxable_sum(order, register, dario):
    register(split_payment=True)
    assert (now(order).amount_due, now(order).total) == (D("9.90"), D("12.08"))
    assert pay_transfer(order, dario, amount=D("9.90")).paid
    assert (now(order).collected_at is None, Case.objects.count()) == (False, 0)


def test_a_statement_collects_too(order, register, dario, settings):
    from io import BytesIO

    from payments.statements import flow
    from tests.statement_files import OURS, camt, entry

    settings.BANK_IBAN = OURS
    register()
    content = camt([entry("R1", "12.08", bank.creditor_reference(order))])
    statement = flow.take(BytesIO(content), name="x", size=len(content), actor=dario)
    flow.apply(statement_id=statement.pk, actor=dario)
    assert (now(order).status, now(order).collected_at is None, Case.objects.count()) == ("fulfilled", False, 0)


def test_money_comes_although_the_box_is_long_gone(order, register, dario, today):
    register()
    Mailbox.objects.update(expires_on=today - timedelta(200), delete_from=today - timedelta(100))
    assert pay_transfer(order, dario).paid


def nothing_happened(order, box):
    found = now(order)
    assert (found.status, found.amount_due, Commitment.objects.count()) == ("awaiting_payment", D("12.08"), 0)
    assert Mailbox.objects.get(pk=box.pk).expires_on == box.expires_on
    assert found.billing.fixed_at is None
    return True


def test_an_order_of_somebody_else_is_refused(box, alice, dario, today):
    order = place(box, alice)
    with pytest.raises(RefusedError, match="non è intestato a una pubblica amministrazione"):
        commitments.register(
            order_id=order.pk, reference="x", on=today, cig="", cup="", split_payment=False, actor=dario
        )
    assert nothing_happened(order, box)


BAD = [
    ({"cig": "Z1A2B3C4D"}, "Il CIG ha 10 caratteri"), ({"cig": "Z1A2B3C4D55"}, "Il CIG ha 10 caratteri"),
    ({"cig": "Z1A2B3C4D$"}, "Il CIG ha 10 caratteri"), ({"cig": "0000000000"}, "Il CIG ha 10 caratteri"),
    ({"cup": "J31B2400001000"}, "Il CUP ha 15 caratteri"), ({"cup": "J31B2400001000è"}, "Il CUP ha 15 caratteri"),
    ({"reference": "  "}, "numero o protocollo"), ({"reference": "x" * 61}, "numero o protocollo"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "sentence"), BAD)
def test_bad_codes_change_nothing(order, register, box, changes, sentence):
    with pytest.raises(RefusedError, match=sentence):
        register(**changes)
    assert nothing_happened(order, box)


def test_a_date_to_come_is_refused(order, register, box, today):
    with pytest.raises(RefusedError, match="nel futuro"):
        register(on=today + timedelta(1))
    assert nothing_happened(order, box)


def test_a_line_that_cannot_be_given_refuses_it_all(order, register, box, plans):
    Mailbox.objects.update(kind="on_domain", anchor_month=None, anchor_day=None, domain=_domain(box))
    with pytest.raises(RefusedError, match=r"^L'ordine non si può evadere: la casella è ora su un dominio\.$"):
        register(split_payment=True)
    assert nothing_happened(order, box)


def _domain(box):
    from mailboxes.flows import open_domain

    return open_domain(name="rossi.example", mail_host="pec.rossi.example", owner=box.owner, expires_on=box.expires_on)


def test_twice_is_once(order, register):
    register()
    expiry = Mailbox.objects.get().expires_on
    with pytest.raises(RefusedError, match="L'ordine è evaso"):
        register(reference="un altro")
    assert (Commitment.objects.count(), Mailbox.objects.get().expires_on) == (1, expiry)


def test_money_that_arrived_already_is_not_forgotten(order, register, dario, box):
    pay_transfer(order, dario, amount=D("5.00"))
    with pytest.raises(RefusedError, match="già arrivato del denaro"):
        register()
    assert nothing_happened(order, box)


def test_a_live_attempt_is_closed_first(order, register, alice):
    attempt = start_card(order, alice, agreed=False)
    register()
    assert (Payment.objects.get(pk=attempt.pk).status, now(order).status) == ("cancelled", "fulfilled")


def test_an_attempt_that_turns_out_paid_wins(order, register, alice):
    attempt = start_card(order, alice, agreed=False)
    sandbox.write(attempt.remote_id, status=sandbox.PAID)
    with pytest.raises(RefusedError, match=r"^L'ordine è (pagato|evaso)"):
        register()
    assert (Payment.objects.get(pk=attempt.pk).status, Commitment.objects.count()) == ("registered", 0)


def test_an_attempt_that_nobody_knows_of_refuses_it(order, register, alice, box):
    attempt = start_card(order, alice, agreed=False)
    sandbox.write(attempt.remote_id, status=sandbox.TIMEOUT)
    with pytest.raises(flows.UnknownPaymentError):
        register()
    assert nothing_happened(order, box)


def test_it_can_neither_be_paid_on_line_nor_cancelled(order, register, alice):
    register()
    assert settle.is_payable(now(order), now(order).lapses_on) is False
    with pytest.raises(flows.NotPayableError):
        start_card(order, alice)
    with pytest.raises(flows.NotPayableError):
        flows.cancel_order(order_id=order.pk, actor=alice)


def test_what_the_customer_reads(order, register, alice, today, browser_of, commits):
    register()
    from django.test import RequestFactory

    from payments.screens import order_or_404

    request = RequestFactory().get("/")
    request.user = alice
    seen = panel(order_or_404(request, order.number), user=alice, auto=None, today=today)
    assert seen.situation == Situation.TO_COLLECT
    assert seen.title.startswith("Rinnovata fino") and seen.title.endswith(", da pagare")
    assert seen.sentence.replace("\u00a0", " ") == (
        "La casella è rinnovata sulla base dell'impegno di pagamento. Aspettiamo il bonifico di € 12,08."
    )
    html = browser_of(alice).get(reverse("payments:order", args=[order.number])).content.decode()
    assert "Rinnovo completato, da pagare" in html
    assert "Abbiamo ricevuto" not in html and "Pagato il" not in html
    from post_office.models import Email

    told = Email.objects.filter(subject__contains="rinnovata").first()
    assert told is not None and "Abbiamo completato l'ordine" in told.message and "evas" not in told.message
    assert "Aspettiamo il bonifico di" in told.message and "abbiamo registrato" not in told.message


def test_staff_register_it_on_a_page(order, client, dario, today):
    client.force_login(dario, backend="accounts.backends.AccountBackend")
    url = reverse("admin:renewals_order_commit", args=[order.pk])
    typed = {"reference": "Det. 12", "on": f"{today:%d/%m/%Y}", "cig": "corto", "cup": "", "split_payment": "on"}
    answer = client.post(url, typed)
    assert dict(answer.context["form"].errors) == {"cig": ["Il CIG ha 10 caratteri, cifre e lettere: controllalo."]}
    assert Commitment.objects.count() == 0
    assert client.post(url, {**typed, "cig": "Z1A2B3C4D5"}).status_code == 302
    page = client.get(reverse("admin:renewals_order_change", args=[order.pk])).content.decode()
    assert "Evaso, da incassare" in page and "Det. 12" in page and "Z1A2B3C4D5" in page
    assert (now(order).status, now(order).amount_due, Receipt.objects.count()) == ("fulfilled", D("9.90"), 0)
    assert client.get(url).status_code == 302  # told why, and back to the order


def test_staff_are_told_why_not(box, alice, client, dario):
    order = place(box, alice)
    client.force_login(dario, backend="accounts.backends.AccountBackend")
    answer = client.get(reverse("admin:renewals_order_commit", args=[order.pk]), follow=True)
    assert "non è intestato a una pubblica amministrazione" in answer.content.decode()


def test_billing_data_of_today_decide(order, register, alice, box):
    """The account became a company after the confirmation: its order is not a public body's any more."""
    BillingProfile.objects.filter(user=alice).update(subject="company", sdi_code="ABCDEF1")
    with pytest.raises(RefusedError, match="non sono più di una pubblica amministrazione"):
        register()
    assert nothing_happened(order, box)
    assert BillingSnapshot.objects.get(order=order).subject == "public_body"
