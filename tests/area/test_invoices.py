"""Fatture: the account's own, with their credit notes, found again by year, number, order and box (R1)."""

from datetime import date
from decimal import Decimal as D
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from payments.models import Invoice
from renewals.models import Order
from tests.area.conftest import words
from tests.helpers import pay_transfer, place
from tests.payments.invoicing.invoice_rows import credited, issued

pytestmark = pytest.mark.django_db
LIST = "/area-clienti/fatture/"
State = Invoice.State


@pytest.fixture
def paid(make_box, dario):
    """paid(owner, "name") → an order for a box of that name, paid by transfer."""

    def make(owner, name: str) -> Order:
        order = place(make_box(owner, name), owner)
        pay_transfer(order, dario, reference=name)
        return Order.objects.get(pk=order.pk)

    return make


@pytest.fixture
def invoice(paid, alice) -> Invoice:
    return issued(paid(alice, "alice"), number=17, on=date(2026, 11, 20))


def path(invoice: Invoice, what: str) -> str:
    return f"{LIST}{invoice.public_id}/{what}"


def test_the_list_says_what_each_is_and_where_it_stands(see, signed_in, alice, invoice):
    text = see(alice, LIST)
    assert "PEC-2026-17 20 nov 2026 alice@pec.example" in text
    assert f"{invoice.order.number} € 12,08 Consegnata PDF della fattura PEC-2026-17 XML" in text.replace("\u00a0", " ")
    page = signed_in(alice).get(LIST).content.decode()
    for what in ("copia.pdf", "fattura.xml"):
        assert page.count(path(invoice, what)) == 1


def test_credit_notes_stand_under_their_invoice(see, alice, paid, invoice):
    credited(invoice, number=18, amount=D("12.08"), on=date(2027, 1, 8))
    issued(paid(alice, "altra"), number=19, on=date(2026, 12, 1))
    text = see(alice, LIST).replace("\u00a0", " ")
    assert text.index("PEC-2026-19") < text.index("PEC-2026-17 20 nov") < text.index("Nota di credito PEC-2027-18")
    assert "Nota di credito PEC-2027-18 8 gen 2027 storna la fattura PEC-2026-17 − € 12,08" in text


STANDINGS = {
    State.WAITING: "In preparazione", State.NUMBERED: "In preparazione", State.TO_SIGN: "In preparazione",
    State.READY: "In preparazione", State.SENDING: "In preparazione", State.UNKNOWN: "In preparazione",
    State.SENT: "Trasmessa", State.DELIVERED: "Consegnata", State.UNDELIVERED: "Emessa", State.ACCEPTED: "Accettata",
    State.REJECTED: "In correzione", State.REFUSED: "Rifiutata", State.IMPOSSIBLE: "Emessa",
}  # fmt: skip


def test_every_state_that_a_customer_may_see_has_its_words():
    assert set(STANDINGS) == set(State) - {State.ELSEWHERE, State.REPLACED}


@pytest.mark.parametrize(("state", "word"), STANDINGS.items())
def test_states_in_plain_words(see, alice, invoice, state, word):
    Invoice.objects.update(state=state)
    assert f" {word} " in see(alice, LIST)


def test_a_number_without_a_file_yet_has_nothing_to_read(signed_in, alice, invoice):
    Invoice.objects.update(state=State.NUMBERED, xml=None, file_name=None)
    client = signed_in(alice)
    page = client.get(LIST).content.decode()
    assert "PEC-2026-17" in page and "copia.pdf" not in page
    assert [client.get(path(invoice, what)).status_code for what in ("copia.pdf", "fattura.xml")] == [404, 404]


def test_what_was_never_issued_is_not_there(signed_in, see, alice, paid, invoice):
    """A rejected file that another took the place of, and a row that waits for the bookkeeper."""
    issued(paid(alice, "scartata"), number=18, state=State.REPLACED)
    empty = {"number": None, "year": None, "series": "", "document_date": None, "xml": None, "file_name": None}
    waits = issued(paid(alice, "aspetta"), number=19)
    Invoice.objects.filter(pk=waits.pk).update(state=State.WAITING, **empty)
    text = see(alice, LIST)
    assert "PEC-2026-17" in text and "scartata@" not in text and "aspetta@" not in text
    client = signed_in(alice)
    for hidden in Invoice.objects.exclude(pk=invoice.pk):
        assert client.get(path(hidden, "copia.pdf")).status_code == 404
        assert client.get(path(hidden, "fattura.xml")).status_code == 404


def test_the_files(signed_in, alice, invoice):
    client = signed_in(alice)
    xml = client.get(path(invoice, "fattura.xml"))
    assert (xml.content, xml["Content-Type"]) == (bytes(invoice.xml), "application/xml")
    assert xml["Content-Disposition"] == 'attachment; filename="IT01234560157_T0017.xml"'
    pdf = client.get(path(invoice, "copia.pdf"))
    assert (pdf.content[:5], pdf["Content-Type"]) == (b"%PDF-", "application/pdf")
    assert pdf["Content-Disposition"] == 'inline; filename="PEC-2026-17.pdf"'
    for answer in (xml, pdf):
        assert "no-store" in answer["Cache-Control"] and "private" in answer["Cache-Control"]


def test_a_copy_that_cannot_be_drawn_leaves_the_invoice_where_it_is(signed_in, alice, invoice):
    Invoice.objects.update(xml=b"<a/>")
    answer = signed_in(alice).get(path(invoice, "copia.pdf"))
    assert answer.status_code == 503
    assert "Riprova" in words(answer.content.decode())
    assert signed_in(alice).get(path(invoice, "fattura.xml")).content == b"<a/>"


def test_nobody_else_sees_them_and_a_mailbox_login_none_at_all(signed_in, see, alice, carla, paid, invoice):
    """Not even of the order for its own box, which it may see (R1)."""
    login = invoice.order.lines.get().mailbox.login
    theirs = issued(paid(carla, "carla"), number=40)
    assert "PEC-2026-40" in see(carla, LIST) and "PEC-2026-17" not in see(carla, LIST)
    assert "PEC-2026-40" not in see(alice, LIST)
    for client, hidden in ((signed_in(carla), invoice), (signed_in(alice), theirs), (signed_in(login), invoice)):
        for what in ("copia.pdf", "fattura.xml"):
            assert client.get(path(hidden, what)).status_code == 404
    client = signed_in(login)
    assert client.get(LIST).status_code == 404
    order = client.get(f"/area-clienti/ordini/{invoice.order.number}/").content.decode()
    assert "alice@pec.example" in order and "PEC-2026-17" not in order and "fatture" not in order
    assert "fatture" not in client.get("/area-clienti/", follow=True).content.decode()
    anonymous = signed_in(alice)
    anonymous.logout()
    for what in ("", f"{invoice.public_id}/copia.pdf", f"{invoice.public_id}/fattura.xml"):
        assert anonymous.get(LIST + what).headers["Location"].startswith("/accesso/")
    assert signed_in(alice).get(f"{LIST}{uuid4()}/copia.pdf").status_code == 404


def test_the_order_has_its_invoice_and_home_leads_to_the_list(signed_in, see, alice, invoice):
    credited(invoice, number=18, amount=D("1.00"))
    text = see(alice, f"/area-clienti/ordini/{invoice.order.number}/").replace("\u00a0", " ")
    assert "Fatture Numero Data Totale Stato Scarica PEC-2026-17 20 nov 2026 € 12,08 Consegnata" in text
    assert "Nota di credito PEC-2026-18 20 nov 2026 − € 1,00" in text
    for page in ("/area-clienti/", "/area-clienti/ordini/"):
        assert f'href="{LIST}"' in signed_in(alice).get(page).content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [19, 17, 16]), ("anno=2025", [16]), ("anno=2026", [19, 17]), ("anno=2027", [16]),
        ("anno=1999", [19, 17, 16]), ("anno=duemila", [19, 17, 16]), ("q=17", [17]), ("q=pec-2026-17", [17]),
        ("q=pec-2025-17", []), ("q=seconda@", [17]), ("q=pec.example", [19, 17, 16]), ("q=seconda&anno=2025", []),
        ("q=nessuno", []), ("q=%00", [19, 17, 16]), ("q=99999999999999999999", []), ("q=%C2%B2", []), ("q=PEC-", []),
        ("page=9", [19, 17, 16]),
    ],
)  # fmt: skip
def test_filters(signed_in, alice, paid, query, found):
    old = issued(paid(alice, "prima"), number=16, on=date(2025, 3, 1))
    credited(old, number=1, amount=D("2.00"), on=date(2027, 2, 3))  # in 2027 it was corrected: there it is found too
    issued(paid(alice, "seconda"), number=17, on=date(2026, 5, 1))
    issued(paid(alice, "terza"), number=19, on=date(2026, 6, 1))
    answer = signed_in(alice).get(f"{LIST}?{query}")
    assert [row.invoice.number for row in answer.context["rows"]] == found
    assert answer.context["years"] == [2027, 2026, 2025]
    if not found:
        assert "Nessuna fattura trovata" in words(answer.content.decode())


def test_by_the_number_of_the_order(signed_in, alice, paid, invoice):
    other = issued(paid(alice, "altra"), number=18)
    answer = signed_in(alice).get(LIST, {"q": other.order.number})
    assert [row.invoice.number for row in answer.context["rows"]] == [18]


def test_without_any(see, alice):
    text = see(alice, LIST)
    assert "Nessuna fattura La fattura di un ordine compare qui entro 12 giorni dal pagamento" in text
    assert "Anno" not in text


def test_ten_thousand_invoices_ask_no_more_than_three(signed_in, alice, paid, count):
    first = issued(paid(alice, "alice"), number=1)
    credited(first, number=2, amount=D("1.00"))
    client = signed_in(alice)
    few = count(client, LIST)
    fill(first, 10_000)
    assert count(client, LIST) == few <= 7
    assert count(client, LIST + "?anno=2026&q=example&page=40") == few
    answer = client.get(LIST)
    assert (answer.context["page"].paginator.count, len(answer.context["rows"])) == (10_000, 25)
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST)
    read = [q["sql"] for q in queries if 'FROM "payments_invoice"' in q["sql"]]
    assert read and [sql for sql in read if '"payments_invoice"."xml"' in sql] == []  # 25 files are not for a list


def fill(model: Invoice, total: int) -> None:
    """Invoices like `model` until there are `total`, each of an order like its own."""
    line = model.order.lines.get()
    skip = ("id", "number", "public_id")
    order = {f.name: getattr(model.order, f.name) for f in Order._meta.fields if f.name not in skip}
    orders = Order.objects.bulk_create(Order(**order, number=f"R-{n:06}") for n in range(1, total))
    skip = (*skip, "order", "file_name", "xml")
    like = {f.name: getattr(model, f.name) for f in Invoice._meta.fields if f.name not in skip}
    Invoice.objects.bulk_create(
        (Invoice(**like, order=o, number=n, file_name=f"IT_{n}.xml", xml=b"<a/>") for n, o in enumerate(orders, 1000)),
        batch_size=1000,
    )
    type(line).objects.bulk_create(
        type(line)(order=o, kind="renewal", mailbox=line.mailbox, net=1, status="fulfilled", is_open=False)
        for o in orders
    )
