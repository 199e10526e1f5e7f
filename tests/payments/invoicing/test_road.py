"""The whole population by the product's own road: every invoice and credit note of it is a file that SdI would take."""

from decimal import Decimal as D

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payments.giving_back import gross_of
from payments.invoicing import checks, issue, notes, rows, schema_check
from payments.invoicing.reading import amount, text
from payments.models import Commitment, Invoice, Receipt, Refund
from pecportal import clock
from renewals.models import Order
from tests.domains import domain_of
from tests.payments.invoicing import population
from tests.payments.invoicing.test_population import CASES, GOODS

pytestmark = pytest.mark.django_db
TRIES = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def rows_of(alice, box, dario):
    return {"owner": alice, "box": box, "domain": domain_of(alice), "staff": dario}


def right(invoice: Invoice) -> None:
    """A numbered row with its file: valid, and saying the same sums."""
    assert (invoice.state, invoice.reason) == ("to_sign" if invoice.format == "FPA12" else "ready", ""), invoice.detail
    assert checks.findings(bytes(invoice.xml), today=clock.today()) == []
    root = schema_check.parse(bytes(invoice.xml))
    (summary,) = root.findall(f"{GOODS}/DatiRiepilogo")
    assert (amount(summary, "ImponibileImporto"), amount(summary, "Imposta")) == (invoice.taxable, invoice.vat)
    general = "FatturaElettronicaBody/DatiGenerali/DatiGeneraliDocumento"
    assert amount(root, f"{general}/ImportoTotaleDocumento") == invoice.total
    assert text(root, f"{general}/Numero") == invoice.number_text
    assert text(root, f"{general}/Data") == f"{invoice.document_date}"
    assert text(root, f"{general}/TipoDocumento") == invoice.kind
    code = text(root, "FatturaElettronicaHeader/DatiTrasmissione/ProgressivoInvio")
    assert invoice.file_name == f"IT01234560157_{code}.xml"


@TRIES
@given(data=st.data(), cuts=st.lists(st.integers(1, 99), max_size=3))
@pytest.mark.parametrize(("subject", "kind", "split"), CASES)
def test_every_order_of_the_population(rows_of, subject, kind, split, data, cuts):
    plan = data.draw(population.plans(subject, kind, split))
    order = population.make(plan, **rows_of)
    invoice = issue.issue(order.pk)
    right(invoice)
    gone = sum((gross_of(line) for line in order.lines.filter(status="refunded")), D(0))
    assert (invoice.due, invoice.split_payment) == (order.amount_due - gone, split)

    Invoice.objects.filter(pk=invoice.pk).update(state="delivered")
    given_back = _give_back(Order.objects.get(pk=order.pk), gone)  # what was never invoiced needs no credit note
    assert given_back is None or notes.issue_note(given_back.pk) is None
    left = invoice.due
    for cut in [*cuts, 100]:
        part = (left * cut / 100).quantize(D("0.01"))
        refund = _give_back(order, part)
        if refund is None:
            continue
        note = notes.issue_note(refund.pk)
        right(note)
        assert (note.kind, note.due, note.corrects, note.refund) == ("TD04", part, invoice, refund)
        assert notes.issue_note(refund.pk) is None
        left -= part
    found = list(Invoice.objects.filter(kind="TD04", order=order))
    assert sum(n.taxable for n in found) == invoice.taxable
    assert sum(n.vat for n in found) == invoice.vat
    assert rows.credited(invoice) == invoice.due
    assert Commitment.objects.filter(order=order, split_payment=True).exists() == split


def _give_back(order: Order, part: D) -> Refund | None:
    if not part:
        return None
    source = order.allocations.first()
    receipt = source.receipt if source else Receipt.objects.first()
    facts = {"payment": source.payment} if source and source.payment else {"receipt": receipt}
    if not any(facts.values()):
        facts = {"receipt": _any_receipt(order)}
    return Refund.objects.create(order=order, amount=part, status="done", done_at=clock.now(), why="prova", **facts)


def _any_receipt(order: Order) -> Receipt:
    return Receipt.objects.create(
        bank_account="IT60", bank_reference=order.number, amount=1, value_date=clock.today(), recorded_by=order.owner
    )
