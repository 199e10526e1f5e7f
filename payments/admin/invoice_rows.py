"""How staff pages show an invoice: its state in colour, its deadline, what is to be done; rows that belong to it."""

from datetime import date

from django.conf import settings
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from mailboxes.admin.base import ReadOnlyInline
from mailboxes.admin.shown import NOTHING, badge, link, shown, written
from payments.invoicing import signing
from payments.models import Invoice, InvoiceEvent, SdiReceipt, Transmission
from pecportal.formats import distance, il

from .moves import MoveInline

State, Reason = Invoice.State, Invoice.Reason
COLOURS = {
    State.WAITING: "warning", State.NUMBERED: "info", State.TO_SIGN: "warning", State.READY: "info",
    State.SENDING: "info", State.UNKNOWN: "danger", State.SENT: "info", State.DELIVERED: "success",
    State.UNDELIVERED: "success", State.REJECTED: "danger", State.ACCEPTED: "success", State.REFUSED: "danger",
    State.IMPOSSIBLE: "warning", State.REPLACED: None, State.ELSEWHERE: None,
}  # fmt: skip
SOON = 3  # days before the deadline from which it is marked


def state_badge(invoice: Invoice) -> SafeString:
    return badge(COLOURS[State(invoice.state)], str(invoice.get_state_display()))


def deadline(invoice: Invoice, today: date) -> SafeString | str:
    """The last day at SdI: red when past, marked when near; nothing once SdI has it."""
    if invoice.state not in Invoice.NOT_AT_SDI:
        return NOTHING
    days = (invoice.due_on - today).days
    if days < 0:
        late = ngettext("in ritardo di %(n)s giorno", "in ritardo di %(n)s giorni", -days) % {"n": -days}
        return badge("danger", late)
    if days <= SOON:
        return badge("warning", distance(days))
    return written(invoice.due_on)


def advice(invoice: Invoice) -> str:
    """Why it is where it is, and what a person can do."""
    if invoice.state == State.WAITING:
        waits: dict[str, str] = {
            Reason.REJECTABLE: _("Fai correggere ciò che non va, di solito i dati di fatturazione, poi «Riesamina»."),
            Reason.ABROAD: _("Emettila con un altro programma, poi scrivilo con «Emessa fuori da qui»."),
            Reason.NO_DATA: _("Fai completare i dati di fatturazione dell'account, poi «Riesamina»."),
            Reason.SPLIT_PAYMENT: _("Correggi l'impegno o l'impostazione SPLIT_PAYMENT_UNTIL, poi «Riesamina»."),
        }
        return waits.get(invoice.reason, _("Riesaminala."))
    if invoice.state == State.TO_SIGN and not signing.is_configured():
        return _("Manca la chiave di firma (SIGNING_KEY): senza, le fatture agli enti aspettano qui.")
    if invoice.state == State.READY and not settings.SDI_ROAD:
        return _("Manca la via verso SdI (SDI_ROAD): senza, i documenti aspettano qui.")
    return {
        State.NUMBERED: _("Niente: il file si scrive da solo entro pochi minuti."),
        State.TO_SIGN: _("Niente: si firma da sola entro pochi minuti."),
        State.READY: _("Niente: parte da sola entro pochi minuti, e se non riesce ritenta."),
        State.SENDING: _("Niente: l'invio è in corso."),
        State.UNKNOWN: _("Guarda nella PEC verso SdI o dall'intermediario se il file è partito, e dillo qui. "
                         "Da sola non si reinvia."),
        State.SENT: _("Si aspetta la ricevuta di SdI. Se manca da più di una settimana, cercala nella PEC o "
                      "dall'intermediario e caricala; se il file non è mai arrivato a SdI, «Non è partita»."),
        State.REJECTED: _("Correggi e reinvia con lo stesso numero entro %(day)s; dopo, sostituisci.")
        % {"day": il(invoice.due_on)},
        State.REFUSED: _("Leggi perché l'ente l'ha rifiutata; poi correggila e reinviala, o fai una nota di credito."),
        State.IMPOSSIBLE: _("È emessa: manda tu l'attestazione di SdI con il file all'ente."),
    }.get(State(invoice.state), _("Niente."))  # fmt: skip


class InvoiceInline(ReadOnlyInline):
    """The invoices and credit notes of an order."""

    model = Invoice
    fields = ("page", "kind", "state_shown", "issued", "amount")
    related = ("order",)
    issued = shown("document_date", gettext_lazy("Data"))
    amount = shown("total", gettext_lazy("Totale"))

    def get_queryset(self, request: object) -> object:
        return super().get_queryset(request).defer("xml", "detail")  # type: ignore[arg-type]

    @display(description=gettext_lazy("Documento"))
    def page(self, invoice: Invoice) -> SafeString | str:
        return link(invoice)

    @display(description=gettext_lazy("Stato"))
    def state_shown(self, invoice: Invoice) -> SafeString:
        return state_badge(invoice)


class EventInline(MoveInline):
    model = InvoiceEvent
    states = dict(State.choices)
    tab = False


class TransmissionInline(ReadOnlyInline):
    model = Transmission
    fields = ("file_name", "road", "outcome", "detail", "begun", "ended")
    begun = shown("begun_at", gettext_lazy("Cominciato il"))
    ended = shown("ended_at", gettext_lazy("Finito il"))

    def get_queryset(self, request: object) -> object:
        return super().get_queryset(request).defer("content")  # type: ignore[arg-type]


class ReceiptInline(ReadOnlyInline):
    model = SdiReceipt
    fields = ("page", "answer", "codes", "detail", "happened")
    happened = shown("happened_at", gettext_lazy("Data di SdI"))

    def get_queryset(self, request: object) -> object:
        return super().get_queryset(request).defer("content")  # type: ignore[arg-type]

    @display(description=gettext_lazy("Ricevuta"))
    def page(self, receipt: SdiReceipt) -> SafeString | str:
        return link(receipt)
