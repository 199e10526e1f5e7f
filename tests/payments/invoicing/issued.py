"""Short words of the tests of invoices: an order that was given, its invoice, what SdI answers."""

from decimal import Decimal

from payments.invoicing import answers, issue, sending
from payments.invoicing.sdi import get_road
from payments.models import Invoice, Refund
from pecportal import clock
from renewals import giving
from renewals.models import Order
from tests.helpers import pay_card, place

MESSAGES = "http://www.fatturapa.gov.it/sdi/messaggi/v1.0"  # to public bodies
PRIVATE = "http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fattura/messaggi/v1.0"
BODY = {
    "subject": "public_body", "company_name": "Comune di Prova", "codice_fiscale": "00514490010",
    "fiscal_key": "00514490010", "sdi_code": "UF1234", "is_consumer": False,
}  # fmt: skip


def given(box, user, **changes) -> Order:
    """An order of a renewal, paid by card and fulfilled."""
    order = place(box, user, **changes)
    pay_card(order, user)
    giving.fulfil(order.pk)
    return Order.objects.get(pk=order.pk)


def invoiced(order: Order) -> Invoice:
    found = issue.issue(order.pk)
    assert found is not None
    return found


def sent(invoice: Invoice) -> Invoice:
    """Sent by the road of the settings (the tests': a folder)."""
    road = get_road()
    assert road is not None
    assert sending.send(invoice.pk, road)
    return fresh(invoice)


def fresh(invoice: Invoice) -> Invoice:
    return Invoice.objects.get(pk=invoice.pk)


def message(root: str, of_file: str, inside: str = "", *, space: str = MESSAGES, number: int = 1) -> bytes:
    """A receipt as SdI writes it; its own number makes it another one."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ns3:{root} xmlns:ns3="{space}" versione="1.0">'
        f"<IdentificativoSdI>{111 + number}</IdentificativoSdI><NomeFile>{of_file}</NomeFile>"
        f"<DataOraRicezione>{clock.now().astimezone(clock.ROME).isoformat(timespec='milliseconds')}</DataOraRicezione>"
        f"{inside}<MessageId>{9000 + number}</MessageId></ns3:{root}>"
    ).encode()


def rejection(of_file: str, *, code: str = "00305", number: int = 1) -> bytes:
    error = f"<Errore><Codice>{code}</Codice><Descrizione>Codice non valido</Descrizione></Errore>"
    return message("NotificaScarto", of_file, f"<ListaErrori>{error}</ListaErrori>", number=number)


def answered(invoice: Invoice, root: str = "RicevutaConsegna", inside: str = "", *, number: int = 1) -> Invoice:
    content = message(root, invoice.file_name or "", inside, number=number)
    answers.take(name=f"{root}.xml", content=content)
    return fresh(invoice)


def refunded(order: Order, amount: str, *, status: str = "done") -> Refund:
    """Money of an order that went back, as the flow of refunds leaves it."""
    payment = order.allocations.get().payment
    return Refund.objects.create(
        payment=payment, order=order, amount=Decimal(amount), status=status, done_at=clock.now(), why="prova"
    )
