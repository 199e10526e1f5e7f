"""Rows that belong to an order, on its page and on those of its money: lines, payments, what paid it, cases, moves."""

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from mailboxes.admin.base import ReadOnlyInline
from mailboxes.admin.shown import NOTHING, badge, link, shown, written
from payments.models import Allocation, Case, Payment
from pecportal.formats import money
from renewals.models import Order, OrderEvent, OrderLine

from .moves import MoveInline
from .named import named

LINE_COLOURS = {
    OrderLine.Status.WAITING: "warning",
    OrderLine.Status.ATTENTION: "danger",
    OrderLine.Status.FULFILLED: "success",
    OrderLine.Status.CLOSED: None,
    OrderLine.Status.REFUNDED: None,
    OrderLine.Status.REVERSED: None,
}


class LineInline(ReadOnlyInline):
    model = OrderLine
    fields = ("target", "state", "of_plan", "space", "price", "expiry_then", "paid", "holder_as_confirmed")
    related = ("mailbox__address", "domain", "address", "plan", "period", "holder")
    per_page = 20
    tab = False

    @display(description=gettext_lazy("Che cosa"))
    def target(self, line: OrderLine) -> SafeString | str:
        return link(line.mailbox or line.domain) if line.address_id is None else str(line.address)

    of_plan = shown("plan", gettext_lazy("Tipologia"))
    price = shown("net", gettext_lazy("Netto"))
    expiry_then = shown("old_expiry", gettext_lazy("Scadenza alla conferma"))

    @display(description=gettext_lazy("Periodo"))
    def paid(self, line: OrderLine) -> str:
        return f"{written(line.period.starts)} – {written(line.period.ends)}" if line.period else NOTHING

    @display(description=gettext_lazy("Stato"))
    def state(self, line: OrderLine) -> SafeString:
        return badge(LINE_COLOURS[OrderLine.Status(line.status)], line.get_status_display())

    @display(description=gettext_lazy("Spazio"))
    def space(self, line: OrderLine) -> str:
        if line.mailbox_gb is None:
            return NOTHING
        return _("%(mailbox)s GB + archivio %(archive)s GB") % {"mailbox": line.mailbox_gb, "archive": line.archive_gb}

    @display(description=gettext_lazy("Intestatario confermato"))
    def holder_as_confirmed(self, line: OrderLine) -> str:
        holder = getattr(line, "holder", None)
        return f"{holder.display_name}, {holder.own_fiscal_key()}" if holder else NOTHING


class PaymentInline(ReadOnlyInline):
    model = Payment
    fields = ("page", "by", "paid", "remote_id", "reason", "started", "registered")
    related = ("order",)
    by = named("provider", gettext_lazy("Gestore"))
    paid = shown("amount", gettext_lazy("Importo"))
    started = shown("created_at", gettext_lazy("Avviato il"))
    registered = shown("registered_at", gettext_lazy("Registrato il"))

    @display(description=gettext_lazy("Pagamento"))
    def page(self, payment: Payment) -> SafeString | str:
        return link(payment)


class AllocationInline(ReadOnlyInline):
    """What paid the order: bank money and on-line payments alike."""

    model = Allocation
    fields = ("source", "given", "by", "at")
    related = ("receipt", "payment__order", "made_by")
    given = shown("amount", gettext_lazy("Importo"))
    by = shown("made_by", gettext_lazy("Chi"))
    at = shown("made_at", gettext_lazy("Quando"))

    @display(description=gettext_lazy("Da che cosa"))
    def source(self, allocation: Allocation) -> SafeString | str:
        return link(allocation.receipt or allocation.payment)


class EventInline(MoveInline):
    model = OrderEvent
    fields = ("on", "line_target", "from_state", "to_state", "by", "why")
    related = ("line__mailbox__address", "line__domain", "line__address", "actor")
    states = {**dict(OrderLine.Status.choices), **dict(Order.Status.choices)}
    per_page = 50

    @display(description=gettext_lazy("Riga"))
    def line_target(self, event: OrderEvent) -> str:
        return str(event.line.target) if event.line else _("tutto l'ordine")


class CaseInline(ReadOnlyInline):
    model = Case
    fields = ("page", "detail", "worth", "opened", "closed", "resolution")
    opened = shown("opened_at", gettext_lazy("Aperto il"))
    closed = shown("closed_at", gettext_lazy("Chiuso il"))

    @display(description=gettext_lazy("Importo"))
    def worth(self, case: Case) -> str:
        return money(case.amount, case.currency) or NOTHING

    @display(description=gettext_lazy("Caso"))
    def page(self, case: Case) -> SafeString | str:
        return link(case)
