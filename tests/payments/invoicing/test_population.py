"""Every invoice and credit note of a population: as the schema says, nothing SdI would refuse, sums to the cent."""

from decimal import ROUND_DOWN
from decimal import Decimal as D

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import FiscalIdentity
from payments.giving_back import gross_of
from payments.invoicing import checks, paper, schema_check
from payments.invoicing.document import credit_note
from payments.invoicing.from_order import of_order, shares
from payments.invoicing.reading import amount, text
from payments.invoicing.xml import write
from renewals.models import Kind, Order
from tests.domains import domain_of
from tests.payments.invoicing import population
from tests.payments.invoicing.population import DAY, SELLER

pytestmark = pytest.mark.django_db
TRIES = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
GOODS = "FatturaElettronicaBody/DatiBeniServizi"
SUBJECTS = FiscalIdentity.Subject.values
CASES = [
    *((subject, kind, False) for subject in SUBJECTS for kind in Kind.values),
    *(("public_body", kind, True) for kind in Kind.values if kind != Kind.PURCHASE),
]
MEANS = {"transfer": "MP05", "postal": "MP18", "stripe": "MP08", "paypal": "MP08", "sandbox": "MP08"}


@pytest.fixture
def rows(alice, box, dario):
    return {"owner": alice, "box": box, "domain": domain_of(alice), "staff": dario}


@TRIES
@given(data=st.data(), cuts=st.lists(st.integers(1, 99), max_size=4))
@pytest.mark.parametrize(("subject", "kind", "split"), CASES)
def test_every_document_of_the_population_may_be_sent(rows, subject, kind, split, data, cuts):
    plan = data.draw(population.plans(subject, kind, split))
    order = Order.objects.get(pk=population.make(plan, **rows).pk)
    invoice = of_order(order, seller=SELLER, number="2026/17", issued_on=DAY, progressive="00017")
    assert checks.review(invoice, today=DAY) == []
    xml = write(invoice)
    assert write(invoice) == xml
    read = schema_check.parse(xml)

    gone = sum((gross_of(line) for line in order.lines.filter(status="refunded")), D(0))
    assert invoice.total == order.total - gone
    assert invoice.due == order.amount_due - gone
    assert sum(amount(line, "PrezzoTotale") for line in read.findall(f"{GOODS}/DettaglioLinee")) == invoice.taxable
    (summary,) = read.findall(f"{GOODS}/DatiRiepilogo")
    assert amount(summary, "ImponibileImporto") + amount(summary, "Imposta") == invoice.total
    assert text(summary, "EsigibilitaIVA") == ("S" if split else "I")
    assert read.get("versione") == ("FPA12" if subject == "public_body" else "FPR12")
    payments = read.findall("FatturaElettronicaBody/DatiPagamento/DettaglioPagamento")
    assert sum(amount(p, "ImportoPagamento") for p in payments) == invoice.due
    bank_only = MEANS[plan.method] if plan.collected or plan.method == "postal" else "MP05"
    assert {text(p, "ModalitaPagamento") for p in payments} == {bank_only}

    on_paper = paper.read(xml)
    assert (on_paper.taxable, on_paper.vat, on_paper.total) == (invoice.taxable, invoice.vat, invoice.total)
    assert (on_paper.due, on_paper.number) == (invoice.due, invoice.number)
    assert [line.net for line in on_paper.lines] == [line.net for line in invoice.lines]
    assert [paid.amount for paid in on_paper.payments] == [paid.amount for paid in invoice.payments]

    before, credited = D(0), (D(0), D(0))
    for number, cut in enumerate([*cuts, 100], 18):
        part = ((invoice.due - before) * cut / 100).quantize(D("0.01"), ROUND_DOWN)
        if not part:
            continue
        note = credit_note(
            invoice, number=f"NC/{number}", issued_on=DAY, progressive=f"{number:05}", amount=part, before=before,
            order_number=order.number,
        )  # fmt: skip
        assert checks.review(note, today=DAY) == []
        assert note.due == paper.read(write(note)).due == part
        before, credited = before + part, (credited[0] + note.taxable, credited[1] + note.vat)
    assert (before, *credited) == (invoice.due, invoice.taxable, invoice.vat)


@given(cents=st.lists(st.integers(1, 99_999), min_size=1, max_size=300), whole=st.integers(1, 9_999_999))
def test_shares_add_up_and_none_is_more_than_a_cent_off(cents, whole):
    nets = [D(c) / 100 for c in cents]
    total, found = D(whole) / 100, shares(nets, D(whole) / 100)
    assert sum(found) == total
    assert all(abs(share - total * net / sum(nets)) <= D("0.01") for share, net in zip(found, nets, strict=True))
    assert shares(nets, sum(nets)) == nets
