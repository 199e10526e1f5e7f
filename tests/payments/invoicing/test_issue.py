"""An order's invoice: once, with a number without gaps, from the data that registration fixed; or it waits."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from payments.invoicing import checks, issue, schema_check, sweeps
from payments.invoicing.reading import text
from payments.models import Invoice
from renewals import settle
from renewals.models import Order
from tests.helpers import pay_card, place

pytestmark = pytest.mark.django_db(transaction=True)
BUYER = "FatturaElettronicaHeader/CessionarioCommittente"
NUMBER = "FatturaElettronicaBody/DatiGenerali/DatiGeneraliDocumento/Numero"


@pytest.fixture
def given(box, alice) -> Order:
    order = place(box, alice)
    pay_card(order, alice)
    settle.fulfil(order.pk)
    return Order.objects.get(pk=order.pk)


def read(invoice):
    return schema_check.parse(bytes(invoice.xml))


def test_an_order_that_was_given_has_its_invoice(given, today):
    invoice = issue.issue(given.pk)
    assert (invoice.number_text, invoice.state, invoice.kind, invoice.format) == (
        f"PEC-{today.year}-1", "ready", "TD01", "FPR12",
    )  # fmt: skip
    assert (invoice.document_date, invoice.money_on, invoice.due_on) == (today, today, today + timedelta(days=12))
    assert (invoice.taxable, invoice.vat, invoice.total) == (D("9.90"), D("2.18"), D("12.08"))
    assert invoice.file_name == "IT01234560157_00001.xml"
    assert checks.findings(bytes(invoice.xml), today=today) == []
    assert text(read(invoice), NUMBER) == invoice.number_text
    assert [(e.before, e.after) for e in invoice.events.all()] == [
        ("", "waiting"), ("waiting", "numbered"), ("numbered", "ready"),
    ]  # fmt: skip


def test_a_second_time_makes_nothing(given):
    issue.issue(given.pk)
    assert issue.issue(given.pk) is None
    sweeps.sweep()
    sweeps.sweep_all()
    assert Invoice.objects.count() == 1
