"""Invoices of the demonstration, by the flows that make real ones: delivered, credited in part, rejected, on its way.

Nothing leaves the machine: a road that goes nowhere, and receipts written here in the place of SdI's.
"""

from decimal import Decimal

from accounts.models import User
from mailboxes import catalogue
from mailboxes.models import Mailbox
from payments import flows, giving_back, refunds
from payments.invoicing import answers, issue, notes, sending
from payments.invoicing.sdi import folder
from payments.invoicing.sdi.base import Road
from payments.models import Invoice, Payment, Refund
from payments.providers import sandbox
from pecportal import clock
from renewals import giving
from renewals.models import Order
from renewals.space import place_space, quote_space
from renewals.terms import VERSION

NAMESPACE = "http://ivaservizi.agenziaentrate.gov.it/docs/xsd/fattura/messaggi/v1.0"
DELIVERED, REJECTED = "RicevutaConsegna", "RicevutaScarto"
ERROR = "<ListaErrori><Errore><Codice>00311</Codice><Descrizione>CodiceDestinatario non valido</Descrizione></Errore></ListaErrori>"  # noqa: E501


class Nowhere(Road):
    name = "folder"

    def send(self, file_name: str, content: bytes) -> str:
        return "dimostrazione"


def clear_outbox() -> None:
    """Files of an earlier demonstration: their names are used again."""
    for file in folder.outbox().glob("*.xml"):
        file.unlink()


def build(*, mario: User, mailbox: Mailbox, archive: Mailbox, studio: User, pro: Mailbox, staff: User) -> None:
    """Mario Rossi bought space twice, and some of the first came back; the accountant's invoice was rejected."""
    first = _invoiced(mailbox, mario, mailbox_gb=1)
    if first is None:
        return  # another program invoices for this installation
    _sent(first, DELIVERED)
    giving_back.refund_order(order_id=first.order_id, amount=Decimal("1.00"), actor=staff, why="buona volontà")
    refunds.send_due()
    note = notes.issue_note(Refund.objects.get(order=first.order_id).pk)
    if note is not None:
        _sent(note, DELIVERED)
    wrong = _invoiced(pro, studio, mailbox_gb=1)
    if wrong is not None:
        _sent(wrong, REJECTED)
    _invoiced(archive, mario, archive_gb=1)


def _invoiced(box: Mailbox, user: User, *, mailbox_gb: int = 0, archive_gb: int = 0) -> Invoice | None:
    """More space ordered, paid by card and given, and its invoice."""
    mailbox_gb, archive_gb = box.mailbox_gb + mailbox_gb, box.archive_gb + archive_gb
    prices, today = catalogue.prices_on(clock.today()), clock.today()
    quote = quote_space(box=box, mailbox_gb=mailbox_gb, archive_gb=archive_gb, prices=prices, today=today)
    order = place_space(
        box_id=box.pk, user=user, mailbox_gb=mailbox_gb, archive_gb=archive_gb, email=user.email, method="sandbox",
        terms_version=VERSION, terms_ip="127.0.0.1", shown_total=quote.totals.total,
    )  # fmt: skip
    _pay(order, user)
    giving.fulfil(order.pk)
    return issue.issue(order.pk)


def _pay(order: Order, user: User) -> None:
    flows.start(
        order_id=order.pk, provider="sandbox", user=user, auto_renewal_agreed=False, consent_text_version="",
        return_url=lambda payment: "/", cancel_url="/",
    )  # fmt: skip
    payment = Payment.objects.get(order=order)
    sandbox.write(payment.remote_id, status=sandbox.PAID)
    flows.fetch_and_record(payment.pk)


def _sent(invoice: Invoice, answer: str) -> None:
    sending.send(invoice.pk, Nowhere())
    moment = f"{clock.now().astimezone(clock.ROME):%Y-%m-%dT%H:%M:%S}"
    said = f"<DataOraConsegna>{moment}</DataOraConsegna>" if answer == DELIVERED else ERROR
    kind = "RC" if answer == DELIVERED else "NS"
    content = (
        f'<?xml version="1.0"?><m:{answer} xmlns:m="{NAMESPACE}" versione="1.0"><IdentificativoSdI>{invoice.pk}'
        f"</IdentificativoSdI><NomeFile>{invoice.file_name}</NomeFile><DataOraRicezione>{moment}</DataOraRicezione>"
        f"{said}<MessageId>{invoice.pk}</MessageId></m:{answer}>"
    )
    answers.take(name=f"{str(invoice.file_name).removesuffix('.xml')}_{kind}_001.xml", content=content.encode())
