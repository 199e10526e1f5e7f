"""The invoice of an order as the flows leave it: each kind, each way to pay, R8's data, few queries."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
import time_machine
from django.db.models import prefetch_related_objects
from django.utils import translation

from accounts.models import BillingProfile
from mailboxes.catalogue import prices_on
from mailboxes.models import Mailbox, VatRate
from payments import commitments, giving_back
from payments.invoicing import checks
from payments.invoicing.document import Line, Means, Paid, Purchase
from payments.invoicing.from_order import FACTS, NotInvoiceableError, draft, of_order, operation_day
from pecportal import clock
from renewals import giving
from renewals.models import Order, OrderLine
from renewals.space import place_space, quote_space
from tests.buying import activate, buy, deleted
from tests.domains import domain_of, on_domain, place_domain
from tests.helpers import pay_card, pay_transfer, place
from tests.payments.invoicing.population import SELLER

pytestmark = pytest.mark.django_db(transaction=True)


def fresh(order) -> Order:
    return Order.objects.get(pk=order.pk)


def invoice_of(order, make=of_order):
    return make(fresh(order), seller=SELLER, number="2026/1", issued_on=clock.today(), progressive="1")


def fulfilled(order, user) -> Order:
    pay_card(order, user)
    giving.fulfil(order.pk)
    return fresh(order)


def test_a_renewal_paid_by_card(box, alice, today):
    order = fulfilled(place(box, alice), alice)
    document = invoice_of(order)
    period = order.lines.get().period
    assert document.lines == (
        Line(
            "Rinnovo per 1 anno della casella PEC alice@pec.example, tipologia Standard", D("9.90"), period.starts,
            period.ends,
        ),
    )  # fmt: skip
    assert (document.taxable, document.vat, document.total, document.due) == (
        D("9.90"),
        D("2.18"),
        D("12.08"),
        D("12.08"),
    )
    assert document.payments == (Paid(Means.CARD, D("12.08"), paid_on=today),)
    assert (document.purchase, document.split_payment) == (None, False)
    assert document.reason == f"Ordine {order.number} del {today:%d/%m/%Y}"
    buyer = document.buyer
    assert (buyer.first_name, buyer.last_name, buyer.company_name) == ("Alice", "Rossi", "")
    assert (buyer.sdi_code, buyer.sdi_pec, document.format) == ("0000000", "", "FPR12")
    assert operation_day(order) == today
    assert checks.review(document, today=today) == []


def test_what_is_said_is_italian_whatever_the_screen(make_box, alice, plans):
    box = make_box(alice, "pro", plan="pro", mailbox_gb=3, archive_gb=4)
    order = place(box, alice, years=3)
    with translation.override("en"):
        (line,) = invoice_of(order, draft).lines
    assert line.description == (
        "Rinnovo per 3 anni della casella PEC pro@pec.example, tipologia Pro, con 1 GB in più di casella e 1 GB in più "
        "di archivio"
    )


def test_the_account_s_data_as_registration_fixed_them_not_the_holder_s(make_box, alice):
    box = make_box(alice, "altro", holder="bruno")
    order = place(box, alice)
    BillingProfile.objects.filter(user=alice).update(address="via Nuova 2")
    order = fulfilled(order, alice)
    BillingProfile.objects.filter(user=alice).update(address="via Dopo 3")
    buyer = invoice_of(order).buyer
    assert (buyer.last_name, buyer.codice_fiscale, buyer.address) == ("Rossi", "RSSLCA80A41H501U", "via Nuova 2")


@pytest.mark.parametrize(("method", "means"), [("transfer", Means.TRANSFER), ("postal", Means.POSTAL)])
def test_bank_money_in_two_receipts(box, alice, dario, today, method, means):
    order = place(box, alice, method=method)
    pay_transfer(order, dario, amount=D("10.00"), value_date=today - timedelta(days=2))
    pay_transfer(order, dario, amount=D("5.00"), reference="REF-2")  # 2.92 too much: a case, not on the invoice
    giving.fulfil(order.pk)
    assert invoice_of(order).payments == (
        Paid(means, D("10.00"), paid_on=today - timedelta(days=2)),
        Paid(means, D("2.08"), paid_on=today),
    )


def test_more_space(make_box, alice, today):
    box = make_box(alice, "pro", plan="pro", expires_in=90)
    quote = quote_space(box=box, mailbox_gb=3, archive_gb=5, prices=prices_on(today), today=today)
    order = place_space(
        box_id=box.pk, user=alice, mailbox_gb=3, archive_gb=5, email="a@posta.example", method="sandbox",
        terms_version="1", terms_ip=None, shown_total=quote.totals.total,
    )  # fmt: skip
    document = invoice_of(fulfilled(order, alice))
    said = "Spazio aggiuntivo per la casella PEC pro@pec.example: 1 GB di casella e 2 GB di archivio"
    assert document.lines == (Line(said, quote.net, today, box.expires_on),)
    assert checks.review(document, today=today) == []


def test_a_purchase(make_box, alice, today):
    order = buy(deleted(make_box(alice, "tornata")), alice, years=2)
    pay_card(order, alice)
    giving.fulfil(order.pk)
    activate()
    document = invoice_of(order)
    said = "Acquisto per 2 anni della casella PEC tornata@pec.example, tipologia Standard"
    (line,) = document.lines
    assert (line.description, line.starts) == (said, today)
    assert line.ends == Mailbox.objects.get(login__username="tornata@pec.example").expires_on
    assert checks.review(document, today=today) == []


def test_a_domain_and_its_boxes_have_the_domain_s_term(make_box, alice, today):
    domain = domain_of(alice)
    on_domain(make_box, domain, "info", "posta")
    order = fulfilled(place_domain(domain, alice), alice)
    document = invoice_of(order)
    period = order.lines.get(domain=domain).period
    term = (period.starts, period.ends)
    assert [(line.description, line.starts, line.ends) for line in document.lines] == [
        ("Rinnovo per 1 anno del dominio rossi.example", *term),
        ("Rinnovo per 1 anno della casella PEC su dominio info@pec.rossi.example", *term),
        ("Rinnovo per 1 anno della casella PEC su dominio posta@pec.rossi.example", *term),
    ]
    assert document.total == order.total
    assert checks.review(document, today=today) == []


def test_a_line_that_was_refunded_before_it_was_given_is_not_invoiced(make_box, alice, dario):
    domain = domain_of(alice)
    lost, _kept = on_domain(make_box, domain, "info", "posta")
    order = place_domain(domain, alice)
    deleted(lost)
    pay_card(order, alice)
    gone = order.lines.get(mailbox=lost)
    with pytest.raises(NotInvoiceableError):
        invoice_of(order)
    back = giving_back.gross_of(OrderLine.objects.get(pk=gone.pk))
    giving_back.refund_line(line_id=gone.pk, actor=dario, why="la casella non c'è")
    giving.fulfil(order.pk)
    assert fresh(order).status == "fulfilled"
    document = invoice_of(order)
    assert len(document.lines) == 2
    assert document.total == order.total - back > 0
    assert [paid.amount for paid in document.payments] == [document.total]


@pytest.mark.parametrize("split", [False, True])
def test_a_public_body_s_commitment(box, alice, dario, today, split):
    BillingProfile.objects.filter(user=alice).update(
        subject="public_body", company_name="Comune di Prova", codice_fiscale="00514490010",
        fiscal_key="00514490010", sdi_code="UF1234", is_consumer=False,
    )  # fmt: skip
    order = place(box, type(alice).objects.get(pk=alice.pk))
    commitments.register(
        order_id=order.pk,
        reference="Det. 12/2026",
        on=today,
        cig="Z1A2B3C4D5",
        cup="",
        split_payment=split,
        actor=dario,
    )
    document = invoice_of(order)
    due = D("9.90") if split else D("12.08")
    assert (document.split_payment, document.due, document.total) == (split, due, D("12.08"))
    assert document.payments == (Paid(Means.TRANSFER, due, due_on=today + timedelta(days=30)),)
    assert document.purchase == Purchase("Det. 12/2026", today, "Z1A2B3C4D5", "")
    assert (document.format, document.buyer.company_name, document.buyer.first_name) == ("FPA12", "Comune di Prova", "")
    assert document.reason.endswith(f", impegno di pagamento Det. 12/2026 del {today:%d/%m/%Y}")
    assert checks.review(document, today=today) == []
    pay_transfer(order, dario)
    assert invoice_of(order).payments == (Paid(Means.TRANSFER, due, paid_on=today),)


def test_a_reference_too_long_for_its_field_is_told_whole_in_the_causale(box, alice, dario, today):
    BillingProfile.objects.filter(user=alice).update(
        subject="public_body", company_name="Comune", codice_fiscale="00514490010", fiscal_key="00514490010",
        sdi_code="UF1234", is_consumer=False,
    )  # fmt: skip
    order = place(box, type(alice).objects.get(pk=alice.pk))
    long = "Determina dirigenziale n. 1234 del settore Affari generali"
    commitments.register(
        order_id=order.pk, reference=long, on=today, cig="Z1A2B3C4D5", cup="", split_payment=False, actor=dario
    )
    document = invoice_of(order)
    assert document.purchase == Purchase(order.number, None, "Z1A2B3C4D5", "")
    assert long in document.reason
    assert checks.review(document, today=today) == []


def test_a_rate_that_changed_before_the_registration(box, alice, today):
    order = place(box, alice)
    VatRate.objects.create(rate=D("0.24"), valid_from=today)
    document = invoice_of(fulfilled(order, alice))
    assert (document.vat_rate, document.taxable, document.vat) == (D(24), D("9.74"), D("2.34"))
    assert [line.net for line in document.lines] == [D("9.74")]
    assert document.total == D("12.08")
    assert checks.review(document, today=today) == []


@pytest.mark.parametrize("status", ["awaiting_payment", "cancelled", "lapsed", "attention", "refunded"])
def test_what_is_not_paid_has_no_invoice(box, alice, status):
    order = place(box, alice)
    Order.objects.filter(pk=order.pk).update(status=status)
    with pytest.raises(NotInvoiceableError):
        invoice_of(order)


def test_a_draft_says_what_is_still_to_pay(box, alice, today):
    order = place(box, alice)
    assert invoice_of(order, draft).payments == (Paid(Means.TRANSFER, D("12.08"), due_on=order.lapses_on),)
    with pytest.raises(NotInvoiceableError):
        operation_day(order)


def test_the_day_is_the_one_in_rome(box, alice):
    with time_machine.travel("2026-11-20T23:30:00+00:00", tick=False):
        order = fulfilled(place(box, alice), alice)
    assert operation_day(order).isoformat() == "2026-11-21"


@pytest.mark.parametrize("boxes", [1, 3])
def test_four_queries_for_one_order_and_for_many(make_box, alice, django_assert_num_queries, boxes):
    domain = domain_of(alice)
    on_domain(make_box, domain, *(f"box{n}" for n in range(boxes)))
    made = [fulfilled(place_domain(domain, alice), alice)]
    made += [fulfilled(place(make_box(alice, f"sola{n}"), alice), alice) for n in range(boxes)]
    with django_assert_num_queries(5):  # the order itself, and FACTS
        invoice_of(made[0])
    orders = list(Order.objects.filter(pk__in=[order.pk for order in made]))
    with django_assert_num_queries(4):
        prefetch_related_objects(orders, *FACTS)
        documents = [
            of_order(order, seller=SELLER, number=f"2026/{n}", issued_on=clock.today(), progressive=str(n))
            for n, order in enumerate(orders)
        ]
    assert sorted(len(document.lines) for document in documents) == sorted([1] * boxes + [boxes + 1])
