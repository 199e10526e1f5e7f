"""Bank money: what arrived, which order it pays, the statements it was read from, and promises of public bodies."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from renewals.models import Order

from .attempts import Payment


class Receipt(models.Model):
    """Accredito: bank money that arrived (R21b). Never edited; what it pays are its allocations."""

    bank_account = models.CharField(_("conto"), max_length=34)
    bank_reference = models.CharField(_("riferimento della banca"), max_length=60)
    amount = models.DecimalField(_("importo"), max_digits=9, decimal_places=2)
    currency = models.CharField(_("valuta"), max_length=3, default="EUR")
    value_date = models.DateField(_("data valuta"))
    payer = models.CharField(_("ordinante"), max_length=140, blank=True)
    remittance = models.CharField(_("causale"), max_length=500, blank=True)
    recorded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("registrato da"))
    recorded_at = models.DateTimeField(_("registrato il"), auto_now_add=True)

    class Meta:
        ordering = ["-recorded_at"]
        verbose_name = _("accredito")
        verbose_name_plural = _("accrediti")
        constraints = [
            models.UniqueConstraint(fields=["bank_account", "bank_reference"], name="receipt_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="receipt_amount_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.bank_reference} · {self.amount}"


class Allocation(models.Model):
    """Part of some money that pays an order; sums are checked under the source's lock (§4)."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="allocations", verbose_name=_("ordine"))
    amount = models.DecimalField(_("importo"), max_digits=9, decimal_places=2)
    receipt = models.ForeignKey(Receipt, on_delete=models.PROTECT, null=True, blank=True, related_name="allocations")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="allocations")
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("attribuzione")
        verbose_name_plural = _("attribuzioni")
        constraints = [
            models.CheckConstraint(
                condition=Q(receipt__isnull=False, payment=None) | Q(receipt=None, payment__isnull=False),
                name="allocation_one_source",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="allocation_amount_positive"),
            models.UniqueConstraint(fields=["order", "payment"], name="allocation_payment_once_per_order"),
        ]

    def __str__(self) -> str:
        return f"{self.order} · {self.amount}"


class Statement(models.Model):
    """A bank statement as uploaded: read whole or refused whole, applied once (R21b)."""

    class Format(models.TextChoices):
        CAMT053 = "camt053", "CAMT.053"
        CSV = "csv", "CSV"

    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    name = models.CharField(_("file"), max_length=120)
    format = models.CharField(_("formato"), max_length=8, choices=Format.choices)
    bank_account = models.CharField(_("conto"), max_length=34)
    uploaded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("caricato da"))
    uploaded_at = models.DateTimeField(_("caricato il"), auto_now_add=True)
    applied_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("registrato da")
    )
    applied_at = models.DateTimeField(_("registrato il"), null=True, blank=True)

    class Meta:
        ordering = ["-uploaded_at"]
        verbose_name = _("estratto conto")
        verbose_name_plural = _("estratti conto")

    def __str__(self) -> str:
        return self.name


class StatementRow(models.Model):
    """A credit of a statement. What will become of it is worked out anew whenever it is looked at, and at the end."""

    statement = models.ForeignKey(Statement, on_delete=models.PROTECT, related_name="rows")
    line = models.PositiveIntegerField(_("riga"))
    bank_reference = models.CharField(_("riferimento della banca"), max_length=60)
    amount = models.DecimalField(_("importo"), max_digits=9, decimal_places=2)
    currency = models.CharField(_("valuta"), max_length=3, default="EUR")
    value_date = models.DateField(_("data valuta"))
    payer = models.CharField(_("ordinante"), max_length=140, blank=True)
    remittance = models.CharField(_("causale"), max_length=500, blank=True)
    receipt = models.OneToOneField(
        Receipt, on_delete=models.PROTECT, null=True, blank=True, related_name="statement_row"
    )

    class Meta:
        ordering = ["line"]
        verbose_name = _("riga dell'estratto conto")
        verbose_name_plural = _("righe dell'estratto conto")
        constraints = [
            models.UniqueConstraint(fields=["statement", "line"], name="statement_row_once"),
            models.UniqueConstraint(fields=["statement", "bank_reference"], name="statement_row_reference_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="statement_row_amount_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.statement_id}:{self.line}"


class Commitment(models.Model):
    """A public body's payment commitment, registered by staff: the order is fulfilled before the money (R26c)."""

    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="commitment", verbose_name=_("ordine"))
    reference = models.CharField(_("protocollo o numero dell'impegno"), max_length=60)
    date = models.DateField(_("data dell'impegno"))
    cig = models.CharField(_("CIG"), max_length=15, blank=True)
    cup = models.CharField(_("CUP"), max_length=15, blank=True)
    split_payment = models.BooleanField(_("scissione dei pagamenti"), default=False)
    registered_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("registrato da"))
    registered_at = models.DateTimeField(_("registrato il"), auto_now_add=True)

    class Meta:
        verbose_name = _("impegno di pagamento")
        verbose_name_plural = _("impegni di pagamento")

    def __str__(self) -> str:
        return f"{self.order} · {self.reference}"
