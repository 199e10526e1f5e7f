"""Invoices of orders that were given, and their files: outside every transaction of money, never undoing anything.

What SdI would refuse waits for the bookkeeper without a number. Each step is safe to repeat, and to run twice at once:
the order is locked while its invoice is made, and a file is written only for a row that still lacks it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import BillingProfile, InvoiceAddressee, User
from payments.invoicing import checks, configuration, numbering, rows, schema_check, signing, states
from payments.invoicing.checks import Finding
from payments.invoicing.document import Document
from payments.invoicing.from_order import NothingLeftError, NotInvoiceableError, draft, operation_day
from payments.invoicing.xml import numbered
from payments.models import Invoice
from pecportal import clock, mail
from renewals.models import Order

log = logging.getLogger(__name__)
State, Reason = Invoice.State, Invoice.Reason
DAYS = timedelta(days=12)  # art. 21 c. 4 DPR 633/1972: from the day of the operation
PAID_LONG_AGO = timedelta(days=10)  # money that came is invoiced by then, also where nothing was given yet
PROGRESSIVE = "ZZZZZ"  # of a document that goes into no file yet
GIVEN = (Order.Status.FULFILLED, Order.Status.REVERSED)


@dataclass(frozen=True)
class Examined:
    """A document that may be sent, with its file as far as it can be written, or why it waits."""

    document: Document | None
    xml: bytes | None = None
    reason: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def detail(self) -> str:
        return "\n".join(in_words(finding) for finding in self.findings)

    @property
    def facts(self) -> dict[str, Any]:
        """The columns of a row that the document decides."""
        d = self.document
        return {} if d is None else {
            "format": d.format, "vat_rate": d.vat_rate, "taxable": d.taxable, "vat": d.vat, "total": d.total,
            "split_payment": d.split_payment,
        }  # fmt: skip


def in_words(finding: Finding) -> str:
    """What is wrong, with the name of the field on the page of billing data where it is one of those."""
    if finding.field in BillingProfile.COPIED:
        return f"{str(BillingProfile._meta.get_field(finding.field).verbose_name).capitalize()}: {finding.sentence}"  # type: ignore[union-attr]
    return finding.sentence


def examine(build: Callable[[], Document], *, money_on: date) -> Examined:
    """Whether a document may be sent today."""
    try:
        document = build()
    except NothingLeftError:
        sentence = (
            "Il denaro è tornato al cliente: non c'è più niente da fatturare. "
            "Se è senza numero, chiudila con «Emessa fuori da qui»."
        )
        return Examined(None, None, Reason.REJECTABLE, (Finding("", sentence, ""),))
    except NotInvoiceableError:
        return Examined(None, None, Reason.NO_DATA, (Finding("", "Mancano i dati di fatturazione.", ""),))
    if document.split_payment and not configuration.split_payment_holds(money_on):
        sentence = "La scissione dei pagamenti non era in vigore il giorno dell'operazione (SPLIT_PAYMENT_UNTIL)."
        return Examined(document, None, Reason.SPLIT_PAYMENT, (Finding("", sentence, ""),))
    xml, found = checks.reviewed(document, today=clock.today())
    if not found:
        return Examined(document, xml)
    abroad = any(finding.code == checks.ABROAD for finding in found)
    return Examined(document, None, Reason.ABROAD if abroad else Reason.REJECTABLE, tuple(found))


def is_due(order: Order) -> bool:
    """Whether an order is to be invoiced from here now: given, or paid long ago; since INVOICES_FROM."""
    if order.status == Order.Status.PAID and order.paid_at:
        if order.paid_at > clock.now() - PAID_LONG_AGO:
            return False
    elif order.status not in GIVEN:
        return False
    return configuration.invoiced_here(operation_day(order))


def issue(order_id: int) -> Invoice | None:
    """The invoice (TD01) of an order, once: numbered with its file, or waiting with the reason. None: nothing to do."""
    order = Order.objects.select_related("owner").get(pk=order_id)
    if not is_due(order):
        return None
    day = operation_day(order)
    found = examine(lambda: _draft(order, day), money_on=day)
    with transaction.atomic(durable=True):
        locked = Order.objects.locked().get(pk=order_id)
        made_already = Invoice.objects.live().filter(order=order, kind=Invoice.Kind.INVOICE).exists()
        if locked.status != order.status or made_already:
            return None
        facts: dict[str, Any] = found.facts or {
            "vat_rate": order.vat_rate * 100, "taxable": order.taxable, "vat": order.vat, "total": order.total,
        }  # fmt: skip
        invoice = states.create(why=_("ordine evaso"), order=order, money_on=day, due_on=day + DAYS, **facts)
        number_or_wait(invoice, found, on=day)
    return invoice if found.xml is None else file_of(invoice, examined=found.xml)


def _draft(order: Order, day: date) -> Document:
    return draft(
        order, seller=configuration.seller(), number=rows.longest_number(day), issued_on=day, progressive=PROGRESSIVE
    )


def number_or_wait(invoice: Invoice, found: Examined, *, on: date, actor: User | None = None) -> None:
    """The last step of the transaction that makes a row: its number, or the reason for which it waits."""
    if not found.reason:
        states.number(invoice, on=on, why=_("numerata"), actor=actor, **found.facts)
        return
    wait(invoice, found)


def wait(invoice: Invoice, found: Examined) -> None:
    """Write why a row (locked, waiting) waits, and tell the account once where its own data are the reason."""
    theirs = [f for f in found.findings if f.field in BillingProfile.COPIED and f.code != checks.ABROAD]
    with translation.override(settings.LANGUAGE_CODE):  # whatever the language of who looked again
        invoice.reason, invoice.detail = found.reason, found.detail
        problems = [in_words(finding) for finding in theirs]
    if (theirs or found.reason == Reason.NO_DATA) and invoice.told_at is None:
        invoice.told_at = clock.now()
        context = {
            "order": invoice.order, "problems": problems, "box": None,
            "action_url": settings.SITE_URL + reverse("accounts:dati"),
            "action_label": gettext_lazy("Correggi i dati di fatturazione"),
        }  # fmt: skip
        mail.send("invoice_waiting", to=[invoice.order.owner.email], context=context)
    invoice.save(update_fields=["reason", "detail", "told_at"])


# --- The file ---------------------------------------------------------------------------------------------------------


def write_file(invoice_id: int) -> Invoice:
    """Write the file of an invoice that has its number and no file; returns it as it stands then."""
    return file_of(with_facts(invoice_id))


def file_of(invoice: Invoice, *, examined: bytes | None = None) -> Invoice:
    """Write a file (write_file), and sign it where it must be. Where SdI would refuse it, the invoice waits numbered.

    `examined`: the file as it was examined, if at hand: the same but for its number.
    """
    if invoice.number is None or invoice.state not in (State.NUMBERED, State.WAITING):
        return invoice
    progressive = numbering.take_progressive()
    found = made(invoice, progressive=progressive, examined=examined)
    with transaction.atomic(durable=True):
        invoice = Invoice.objects.locked().select_related("order__owner").get(pk=invoice.pk)
        if invoice.state not in (State.NUMBERED, State.WAITING):
            return invoice
        if found.xml is not None:
            put_file(invoice, found.xml, progressive=progressive, why=_("file scritto"))
        else:
            if invoice.state == State.NUMBERED:
                states.move(invoice, State.WAITING, why=_("SdI la scarterebbe"))
            wait(invoice, found)
    return sign(invoice)


def made(
    invoice: Invoice, *, progressive: str, examined: bytes | None = None, billing: InvoiceAddressee | None = None
) -> Examined:
    """The file of an invoice that has its number, or why SdI would refuse it. Nothing is written down."""
    if examined is not None:
        xml = numbered(examined, number=invoice.number_text, progressive=progressive)
        problems = checks.findings(xml, today=clock.today())
        return Examined(None, None, Reason.REJECTABLE, tuple(problems)) if problems else Examined(None, xml)
    found = examine(
        lambda: rows.document_of(invoice, progressive=progressive, billing=billing), money_on=invoice.money_on
    )
    document = found.document
    if document is not None and (document.taxable, document.vat) != (invoice.taxable, invoice.vat):
        log.error("invoice %s: its order gives other sums than were numbered", invoice.pk)
        sentence = "L'ordine non dà più gli importi con cui la fattura è stata numerata."
        return Examined(document, None, Reason.REJECTABLE, (Finding("", sentence, ""),))
    return found


def put_file(invoice: Invoice, xml: bytes, *, progressive: str, why: str, actor: User | None = None) -> None:
    """Give an invoice (locked) its file: to be signed if it is for a public body, else ready to go.

    The file says which: with corrected data a customer may be a body now that was none.
    """
    form = schema_check.parse(xml).get("versione")
    to = State.TO_SIGN if form == Invoice.Format.PUBLIC_BODY else State.READY
    name = f"IT{configuration.transmitter()}_{progressive}.xml"
    states.move(invoice, to, why=why, actor=actor, xml=xml, file_name=name, format=form, reason="", detail="")


def sign(invoice: Invoice) -> Invoice:
    """Sign what waits for it, if there is a key; without one it stays in the bookkeeper's queue. Returns it."""
    if invoice.state != State.TO_SIGN or invoice.xml is None or not signing.is_configured():
        return invoice
    signed, name = signing.sign(bytes(invoice.xml)), invoice.file_name
    with transaction.atomic(durable=True):
        invoice = Invoice.objects.locked().get(pk=invoice.pk)
        if invoice.state == State.TO_SIGN and invoice.file_name == name:
            states.move(invoice, State.READY, why=_("firmata"), xml=signed)
    return invoice


def with_facts(invoice_id: int) -> Invoice:
    """An invoice with all that says to whom it goes, in one query."""
    return Invoice.objects.select_related(
        "order__owner__billing", "order__billing", "corrects__order__billing", "replaces", "buyer", "corrects__buyer"
    ).get(pk=invoice_id)
