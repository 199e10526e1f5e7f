"""What staff must decide."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from mailboxes.models import Mailbox
from renewals.models import Order

from .attempts import Payment
from .bank import Receipt


class Case(models.Model):
    """Da verificare: something staff must decide. Opened by flows, closed by a person; never a lost cent (R21)."""

    class Kind(models.TextChoices):
        MONEY_MISMATCH = "mismatch", _("Importo o valuta diversi")
        MONEY_TOO_LATE = "too_late", _("Pagamento per un ordine che non lo aspetta")
        RECEIPT_SHORT = "short", _("Accredito inferiore al dovuto")
        RECEIPT_OVER = "over", _("Accredito superiore al dovuto")
        RECEIPT_UNMATCHED = "unmatched", _("Accredito da abbinare")
        PAYMENT_STUCK = "stuck", _("Pagamento senza esito")
        LINE_ATTENTION = "line", _("Riga d'ordine da decidere")
        SPACE_OVERTAKEN = "space", _("Spazio superato da un rinnovo")
        DISPUTE = "dispute", _("Contestazione")
        REFUND_FAILED = "refund", _("Rimborso non riuscito")
        REFUND_OUTSIDE = "outside", _("Rimborso fatto presso il gestore")
        REFUND_BY_BANK = "by_bank", _("Da rimborsare con bonifico")
        MONEY_UNKNOWN = "stranger", _("Denaro presso il gestore senza un pagamento")
        DOWNGRADE_STUCK = "downgrade", _("Cambio di tipologia che non riesce")
        DELETION_UNWARNED = "unwarned", _("Da cancellare, ma senza avvisi accettati")

    kind = models.CharField(_("tipo"), max_length=12, choices=Kind.choices)
    order = models.ForeignKey(
        Order, on_delete=models.PROTECT, null=True, blank=True, related_name="cases", verbose_name=_("ordine")
    )
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="cases", verbose_name=_("pagamento")
    )
    receipt = models.ForeignKey(
        Receipt, on_delete=models.PROTECT, null=True, blank=True, related_name="cases", verbose_name=_("accredito")
    )
    box = models.ForeignKey(
        Mailbox, on_delete=models.PROTECT, null=True, blank=True, related_name="cases", verbose_name=_("casella")
    )
    amount = models.DecimalField(_("importo"), max_digits=9, decimal_places=2, null=True, blank=True)
    currency = models.CharField(_("valuta"), max_length=3, default="EUR")  # of the amount: money may come in any
    detail = models.CharField(_("che cosa è successo"), max_length=300)
    opened_at = models.DateTimeField(_("aperto il"), auto_now_add=True)
    closed_at = models.DateTimeField(_("chiuso il"), null=True, blank=True)
    closed_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("chiuso da")
    )
    resolution = models.CharField(_("decisione"), max_length=300, blank=True)

    class Meta:
        ordering = ["-opened_at"]
        verbose_name = _("caso da verificare")
        verbose_name_plural = _("casi da verificare")
        constraints = [
            # The same thing found twice is one case.
            models.UniqueConstraint(
                fields=["kind", "payment"],
                condition=Q(closed_at=None, payment__isnull=False),
                name="case_once_per_payment",
            ),
            models.UniqueConstraint(
                fields=["kind", "receipt"],
                condition=Q(closed_at=None, receipt__isnull=False),
                name="case_once_per_receipt",
            ),
            models.UniqueConstraint(
                fields=["kind", "box"],
                condition=Q(closed_at=None, payment=None, receipt=None, box__isnull=False),
                name="case_once_per_box",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None, closed_by=None, resolution="")
                | Q(closed_at__isnull=False) & ~Q(resolution=""),
                name="case_closed_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.pk}"
