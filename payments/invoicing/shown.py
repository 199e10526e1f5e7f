"""Invoices as the account sees them: which, and what SdI's states mean in plain words (R1)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, Q, QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from payments.models import Invoice
from renewals.models import Order

State = Invoice.State
ON_THE_WAY = frozenset({State.WAITING, State.NUMBERED, State.TO_SIGN, State.READY, State.SENDING, State.UNKNOWN})


@dataclass(frozen=True)
class Standing:
    """`look` is how templates/partials/state.html draws it; `sentence` what it means and what happens next, or ""."""

    word: str
    look: str
    sentence: str
    check_data: bool = False  # the customer's own data may be what is wrong


def of_account(user: User) -> QuerySet[Invoice]:
    """The account's invoices and credit notes, without their files; none for a mailbox login (R1).

    One that SdI rejected and another took the place of was never issued: it is not there.
    """
    return Invoice.objects.visible_to(user).live().defer("xml", "detail")


def by_number(word: str) -> Q:
    """Documents by what a person says of their number: the end of it, 17, or the whole, PEC-2026-17."""
    *before, last = word.upper().split("-")
    if not (last.isascii() and last.isdecimal() and len(last) < 10) or len(before) not in (0, 2):
        return Q(pk=None)
    found = Q(number=int(last))
    if before:
        series, year = before
        found &= Q(series=series, year=int(year) if year.isascii() and year.isdecimal() and len(year) == 4 else 0)
    return found


def with_notes(invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
    """Each with the credit notes that correct it, in `notes`: one query more."""
    notes = Invoice.objects.live().filter(number__isnull=False).defer("xml", "detail").order_by("document_date", "id")
    return invoices.prefetch_related(Prefetch("credit_notes", notes, to_attr="notes"))


@dataclass(frozen=True)
class InvoiceRow:
    """An invoice with its credit notes, or one of these."""

    invoice: Invoice
    standing: Standing
    notes: Sequence["InvoiceRow"] = ()

    @property
    def has_file(self) -> bool:
        """Whether there is something to read yet: a number alone is no document."""
        return self.invoice.file_name is not None

    @property
    def targets(self) -> list[str]:
        """What its order is about."""
        return [str(line.target) for line in self.invoice.order.lines.all()]

    @property
    def more(self) -> int:
        return len(self.targets) - 1


def rows(invoices: Iterable[Invoice]) -> list[InvoiceRow]:
    """Rows of invoices read `with_notes`."""
    return [
        InvoiceRow(invoice, standing(invoice), [InvoiceRow(n, standing(n)) for n in getattr(invoice, "notes", [])])
        for invoice in invoices
    ]


def of_order(order: Order, user: User) -> list[InvoiceRow]:
    """The invoices of an order, for the account (R1)."""
    return rows(with_notes(of_account(user).filter(order=order, kind=Invoice.Kind.INVOICE).order_by("id")))


def standing(invoice: Invoice) -> Standing:
    """Where an invoice is, for who it is made out to."""
    if invoice.state in ON_THE_WAY:
        return Standing(
            _("In preparazione"), "in_attivazione", _("La trasmettiamo al Sistema di Interscambio nei prossimi giorni.")
        )
    return {
        State.SENT: Standing(
            _("Trasmessa"), "in_attivazione",
            _("Il Sistema di Interscambio la sta controllando: risponde di solito entro 5 giorni."),
        ),
        State.DELIVERED: Standing(_("Consegnata"), "attiva", ""),
        State.UNDELIVERED: Standing(
            _("Emessa"), "attiva",
            _("È valida: la trovi anche nell'area riservata di Fatture e Corrispettivi dell'Agenzia delle Entrate."),
        ),
        State.IMPOSSIBLE: Standing(
            _("Emessa"), "attiva",
            _("È valida, ma il Sistema di Interscambio non ha potuto recapitarla: scaricala da qui."),
        ),
        State.ACCEPTED: Standing(_("Accettata"), "attiva", ""),
        State.REJECTED: Standing(
            _("In correzione"), "in_scadenza",
            _("Il Sistema di Interscambio l'ha scartata: la correggiamo e la trasmettiamo di nuovo."), check_data=True,
        ),
        State.REFUSED: Standing(
            _("Rifiutata"), "in_scadenza",
            _("L'ente l'ha rifiutata: la correggiamo o la annulliamo con una nota di credito."), check_data=True,
        ),
    }[State(invoice.state)]  # fmt: skip
