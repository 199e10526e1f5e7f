"""E-invoices and credit notes: numbered documents, to whom they are made out, and every move of theirs."""

import uuid
from datetime import date
from decimal import Decimal
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import InvoiceAddressee, User
from renewals.models import HALF_CENT, Order

from .refunds import Refund


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def visible_to(self, user: User) -> Self:
        """Invoices of the account, once they have a number; a mailbox login sees none (R1)."""
        if user.is_mailbox:
            return self.none()
        return self.filter(order__owner=user, number__isnull=False)

    def locked(self) -> Self:
        return self.select_for_update(no_key=True, of=("self",))

    def live(self) -> Self:
        """All but those that another one took the place of."""
        return self.exclude(state=Invoice.State.REPLACED)

    def to_send(self) -> Self:
        """What SdI has not got yet, and must get by `due_on`."""
        return self.filter(state__in=Invoice.NOT_AT_SDI)

    def queue(self) -> Self:
        """What waits for the bookkeeper, the most urgent first."""
        return self.filter(state__in=Invoice.FOR_STAFF).order_by("due_on", "id")


class Invoice(models.Model):
    """An invoice or credit note. State: payments.invoicing.states only; what was sent is never edited.

    A row without a number is no document yet: what SdI would refuse takes none, so that numbers have no gaps.
    """

    class Kind(models.TextChoices):
        INVOICE = "TD01", _("Fattura")
        CREDIT_NOTE = "TD04", _("Nota di credito")

    class Format(models.TextChoices):
        PRIVATE = "FPR12", _("Privati")
        PUBLIC_BODY = "FPA12", _("Pubblica amministrazione")

    class State(models.TextChoices):
        WAITING = "waiting", _("Da completare")
        NUMBERED = "numbered", _("Numerata, da scrivere")
        TO_SIGN = "to_sign", _("Da firmare")
        READY = "ready", _("Da inviare")
        SENDING = "sending", _("Invio in corso")
        UNKNOWN = "unknown", _("Invio da verificare")
        SENT = "sent", _("Inviata, in attesa di esito")
        DELIVERED = "delivered", _("Consegnata")
        UNDELIVERED = "undelivered", _("Emessa, non recapitata")
        REJECTED = "rejected", _("Scartata, da correggere")
        ACCEPTED = "accepted", _("Accettata dall'ente")
        REFUSED = "refused", _("Rifiutata dall'ente")
        IMPOSSIBLE = "impossible", _("Emessa, recapito impossibile")
        REPLACED = "replaced", _("Scartata e sostituita")
        ELSEWHERE = "elsewhere", _("Emessa fuori da qui")

    # What SdI may answer of a file that went out, or that may have gone out: an answer proves that it has it.
    ANSWERS = frozenset(
        {State.DELIVERED, State.UNDELIVERED, State.REJECTED, State.ACCEPTED, State.REFUSED, State.IMPOSSIBLE}
    )
    # The one table of moves (R10). READY may get an answer too: an attempt that seemed to have failed had not.
    MOVES: dict[str, frozenset[str]] = {
        "": frozenset({State.WAITING, State.NUMBERED}),
        State.WAITING: frozenset({State.NUMBERED, State.TO_SIGN, State.READY, State.ELSEWHERE}),
        State.NUMBERED: frozenset({State.TO_SIGN, State.READY, State.WAITING}),
        State.TO_SIGN: frozenset({State.READY}),
        State.READY: frozenset({State.SENDING}) | ANSWERS,
        State.SENDING: frozenset({State.SENT, State.READY, State.UNKNOWN}) | ANSWERS,
        State.UNKNOWN: frozenset({State.SENT, State.READY}) | ANSWERS,
        # Back to READY where SdI has said nothing for days and staff have seen that the file never reached it.
        State.SENT: ANSWERS | {State.READY},
        # SdI goes on trying to reach a public body after an MC; then it delivers after all, or gives up (AT).
        State.UNDELIVERED: frozenset({State.DELIVERED, State.ACCEPTED, State.REFUSED, State.IMPOSSIBLE}),
        State.DELIVERED: frozenset({State.ACCEPTED, State.REFUSED}),
        # Rejected: the same number and date within five days, else a new invoice. Refused by the body: the same again,
        # or a credit note.
        State.REJECTED: frozenset({State.TO_SIGN, State.READY, State.REPLACED}),
        State.REFUSED: frozenset({State.TO_SIGN, State.READY}),
        State.ACCEPTED: frozenset(),
        State.IMPOSSIBLE: frozenset(),
        State.REPLACED: frozenset(),
        State.ELSEWHERE: frozenset(),
    }
    NOT_AT_SDI = frozenset(
        {State.WAITING, State.NUMBERED, State.TO_SIGN, State.READY, State.SENDING, State.UNKNOWN, State.REJECTED}
    )
    FOR_STAFF = frozenset({State.WAITING, State.TO_SIGN, State.UNKNOWN, State.REJECTED, State.REFUSED})
    AT_SDI = frozenset(
        {State.SENT, State.DELIVERED, State.UNDELIVERED, State.ACCEPTED, State.REFUSED, State.IMPOSSIBLE}
    )

    # What is issued for certain: a file that SdI has not answered may still be rejected, and count as never issued.
    ISSUED = AT_SDI - {State.SENT}

    class Reason(models.TextChoices):
        """Why a document waits for the bookkeeper."""

        REJECTABLE = "rejectable", _("SdI la scarterebbe")
        ABROAD = "abroad", _("Cliente fuori dall'Italia")
        NO_DATA = "no_data", _("Mancano i dati di fatturazione")
        SPLIT_PAYMENT = "split", _("Scissione dei pagamenti non in vigore")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(_("tipo"), max_length=4, choices=Kind.choices, default=Kind.INVOICE)
    format = models.CharField(_("formato"), max_length=5, choices=Format.choices, default=Format.PRIVATE)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="invoices", verbose_name=_("ordine"))
    refund = models.ForeignKey(
        Refund, on_delete=models.PROTECT, null=True, blank=True, related_name="credit_notes", verbose_name=_("rimborso")
    )
    corrects = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="credit_notes",
        verbose_name=_("fattura corretta"),
    )  # fmt: skip
    replaces = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaced_by",
        verbose_name=_("al posto di"),
    )  # fmt: skip
    # Together, when the number is taken; year is that of document_date.
    series = models.CharField(_("serie"), max_length=6, blank=True)
    year = models.PositiveSmallIntegerField(_("anno"), null=True, blank=True)
    number = models.PositiveIntegerField(_("numero"), null=True, blank=True)
    document_date = models.DateField(_("data del documento"), null=True, blank=True)
    money_on = models.DateField(_("data del denaro"), help_text=_("giorno dell'operazione ai fini IVA"))
    due_on = models.DateField(_("a SdI entro il"), help_text=_("ultimo giorno per l'invio"))
    # EUR; vat_rate in percent. With split payment the body pays `taxable` to us and `vat` to the state.
    vat_rate = models.DecimalField(_("aliquota IVA"), max_digits=5, decimal_places=2)
    taxable = models.DecimalField(_("imponibile"), max_digits=9, decimal_places=2)
    vat = models.DecimalField(_("IVA"), max_digits=9, decimal_places=2)
    total = models.DecimalField(_("totale"), max_digits=9, decimal_places=2)
    split_payment = models.BooleanField(_("scissione dei pagamenti"), default=False)
    state = models.CharField(_("stato"), max_length=12, choices=State.choices, default=State.WAITING)
    reason = models.CharField(_("perché aspetta"), max_length=12, choices=Reason.choices, blank=True)
    detail = models.TextField(_("dettaglio"), blank=True)  # Italian sentences, without the customer's data
    told_at = models.DateTimeField(_("cliente avvisato il"), null=True, blank=True)
    # The file as it goes to SdI, signed where it must be; its name is used once for ever (SdI: 00002).
    xml = models.BinaryField(null=True, blank=True)
    file_name = models.CharField(_("file"), max_length=40, unique=True, null=True, blank=True)
    sdi_id = models.CharField(_("identificativo SdI"), max_length=36, blank=True)
    answered_at = models.DateTimeField(_("ultimo esito il"), null=True, blank=True)
    created_at = models.DateTimeField(_("creata il"), auto_now_add=True)

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = _("fattura")
        verbose_name_plural = _("fatture")
        constraints = [
            models.UniqueConstraint(fields=["series", "year", "number"], name="invoice_number_once"),
            models.UniqueConstraint(
                fields=["order"], condition=Q(kind="TD01") & ~Q(state="replaced"), name="invoice_one_live_per_order"
            ),
            models.UniqueConstraint(
                fields=["refund"],
                condition=Q(refund__isnull=False) & ~Q(state="replaced"),
                name="invoice_one_live_note_per_refund",
            ),
            models.CheckConstraint(
                condition=Q(number=None, year=None, document_date=None, series="")
                | Q(number__gt=0, year__isnull=False, document_date__isnull=False) & ~Q(series=""),
                name="invoice_numbered_together",
            ),
            models.CheckConstraint(
                condition=Q(number__isnull=False) | Q(state__in=["waiting", "elsewhere"]),
                name="invoice_moves_with_a_number",
            ),
            models.CheckConstraint(
                condition=Q(kind="TD01", corrects=None, refund=None) | Q(kind="TD04", corrects__isnull=False),
                name="invoice_note_corrects_one",
            ),
            models.CheckConstraint(
                condition=Q(total__gt=F("taxable") + F("vat") - HALF_CENT)
                & Q(total__lt=F("taxable") + F("vat") + HALF_CENT)
                & Q(taxable__gte=0, vat__gte=0, total__gt=0),
                name="invoice_total_is_the_sum",
            ),
            models.CheckConstraint(
                condition=Q(xml=None) & Q(file_name=None) | Q(xml__isnull=False) & Q(file_name__isnull=False),
                name="invoice_file_has_a_name",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_on", "id"],
                condition=Q(
                    state__in=["waiting", "numbered", "to_sign", "ready", "sending", "unknown", "rejected", "refused"]
                ),
                name="invoice_to_do",
            ),
            models.Index(fields=["document_date", "id"], name="invoice_register"),
            models.Index(fields=["id"], condition=Q(state="sent"), name="invoice_awaiting_sdi"),
        ]

    def __str__(self) -> str:
        return self.number_text or f"{self.get_kind_display()} · {self.order}"

    @property
    def number_text(self) -> str:
        """The number as the document has it, such as PEC-2026-17; "" before it has one."""
        return number_text(self.series, self.year, self.number) if self.number and self.year else ""

    @property
    def due(self) -> Decimal:
        """What the buyer pays to us, or gets back, EUR."""
        return self.taxable if self.split_payment else self.total

    @property
    def is_signed(self) -> bool:
        return self.format == self.Format.PUBLIC_BODY and self.xml is not None and self.state != self.State.TO_SIGN

    def is_late(self, today: date) -> bool:
        """SdI should have had it before today."""
        return self.state in self.NOT_AT_SDI and self.due_on < today


def number_text(series: str, year: int, number: int) -> str:
    return f"{series}-{year}-{number}"


class InvoiceCounter(models.Model):
    """The last number taken of a series in a year. Written by payments.invoicing.numbering only."""

    FILES = "file"  # with the year 0: counts the names of files, of all series and years

    series = models.CharField(_("serie"), max_length=6)
    year = models.PositiveSmallIntegerField(_("anno"))
    last = models.PositiveIntegerField(_("ultimo numero"))

    class Meta:
        verbose_name = _("contatore delle fatture")
        verbose_name_plural = _("contatori delle fatture")
        constraints = [models.UniqueConstraint(fields=["series", "year"], name="invoice_counter_once")]

    def __str__(self) -> str:
        return f"{self.series}-{self.year}: {self.last}"


class InvoiceBuyer(InvoiceAddressee):
    """Whom a document is made out to, where that is not as the order has it: data that were mended afterwards."""

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="buyer")
    taken_at = models.DateTimeField(_("presi il"), auto_now=True)

    class Meta:
        verbose_name = _("dati corretti della fattura")
        verbose_name_plural = _("dati corretti delle fatture")


class InvoiceEvent(models.Model):
    """A move of an invoice: who, when, why (R10, R32). Append-only."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="events", verbose_name=_("fattura"))
    before = models.CharField(_("da"), max_length=12, blank=True)
    after = models.CharField(_("a"), max_length=12)
    actor = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("chi")
    )
    why = models.CharField(_("perché"), max_length=200, blank=True)
    at = models.DateTimeField(_("quando"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("evento della fattura")
        verbose_name_plural = _("eventi delle fatture")

    def __str__(self) -> str:
        return f"{self.invoice_id}: {self.before} → {self.after}"
