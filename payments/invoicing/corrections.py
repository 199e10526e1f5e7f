"""What SdI rejected, put right: the same number and date within five days, else a new document (circ. 13/E 2018).

A rejected file counts as never issued. What a public body refused (EC02) may be sent again the same way.
"""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import InvoiceAddressee, User
from payments.invoicing import issue, numbering, rows, states, waiting
from payments.models import Invoice, Transmission
from pecportal import clock
from pecportal.errors import RefusedError

State = Invoice.State


class StillRejectableError(RefusedError):
    """The document would be rejected again; `sentences` say why."""

    def __init__(self, found: issue.Examined) -> None:
        self.sentences = [issue.in_words(finding) for finding in found.findings]
        super().__init__(_("SdI la scarterebbe di nuovo. ") + " ".join(self.sentences))


def correct(*, invoice_id: int, with_todays_data: bool, actor: User) -> Invoice:
    """Write a rejected or refused document anew, with its number and date; it is sent as any other.

    `with_todays_data`: to the account as it is today, which is the correction if its data were wrong; else as it was
    (something else was mended: a setting). Raises RefusedError: not rejected, five days over, still wrong.
    """
    invoice = issue.with_facts(invoice_id)
    _check(invoice)
    if invoice.state == State.REJECTED and invoice.due_on < clock.today():
        raise RefusedError(_("I cinque giorni per correggerla sono passati: emetti un documento nuovo al suo posto."))
    data = _data(invoice, with_todays_data=with_todays_data)
    progressive = numbering.take_progressive()
    found = issue.made(invoice, progressive=progressive, billing=data)
    if found.xml is None:
        raise StillRejectableError(found)
    with transaction.atomic(durable=True):
        invoice = Invoice.objects.locked().get(pk=invoice_id)
        _check(invoice)
        sent = Transmission.objects.filter(invoice=invoice, file_name=invoice.file_name).last()
        if sent is not None:
            sent.content = invoice.xml
            sent.save(update_fields=["content"])
        if data is not None:
            waiting.take_data(invoice, data)
        issue.put_file(invoice, found.xml, progressive=progressive, why=_("corretta"), actor=actor)
    return issue.sign(invoice)


def replace(*, invoice_id: int, with_todays_data: bool, actor: User) -> Invoice:
    """A new document, with a number and a date of its own, in the place of a rejected one. Raises RefusedError."""
    old = issue.with_facts(invoice_id)
    if old.state != State.REJECTED:
        raise RefusedError(_("Si sostituisce solo un documento scartato da SdI."))
    today, data = clock.today(), _data(old, with_todays_data=with_todays_data)
    found = issue.examine(
        lambda: rows.document_of(old, progressive=issue.PROGRESSIVE, billing=data), money_on=old.money_on
    )
    if found.reason or found.document is None:
        raise StillRejectableError(found)
    with transaction.atomic(durable=True):
        old = Invoice.objects.locked().get(pk=invoice_id)
        if old.state != State.REJECTED:
            raise RefusedError(_("Qualcuno l'ha già corretta: ricarica la pagina."))
        states.move(old, State.REPLACED, why=_("sostituita da un documento nuovo"), actor=actor)
        new = states.create(
            why=_("al posto di una scartata"), actor=actor, kind=old.kind, order=old.order, refund=old.refund,
            corrects=old.corrects, replaces=old, money_on=old.money_on, due_on=old.due_on, **found.facts,
        )  # fmt: skip
        if mended := data or getattr(old, "buyer", None):
            waiting.take_data(new, mended)
        states.number(new, on=today, why=_("numerata"), actor=actor)
    return issue.write_file(new.pk)


def _data(invoice: Invoice, *, with_todays_data: bool) -> InvoiceAddressee | None:
    if not with_todays_data:
        return None
    today: InvoiceAddressee | None = getattr(invoice.order.owner, "billing", None)
    if today is None:
        raise RefusedError(_("L'account non ha dati di fatturazione: falli completare, poi riprova."))
    return today


def _check(invoice: Invoice) -> None:
    if invoice.state not in (State.REJECTED, State.REFUSED):
        raise RefusedError(_("Si corregge solo un documento scartato da SdI o rifiutato dall'ente."))
