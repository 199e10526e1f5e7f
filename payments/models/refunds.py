"""Money that goes back, and the withdrawals that ask for it."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from renewals.models import Order

from .attempts import Payment
from .bank import Receipt


class RefundQuerySet(models.QuerySet["Refund"]):
    def counted(self) -> "RefundQuerySet":
        """Those that took, or may still take, money out of their source: all but the failed ones."""
        return self.exclude(status=Refund.Status.FAILED)


class Refund(models.Model):
    """Money given back out of one payment or receipt; sums are checked under the source's lock. payments.refunds."""

    class Status(models.TextChoices):
        CREATED = "created", _("Da inviare")
        PENDING = "pending", _("In corso")
        UNKNOWN = "unknown", _("In verifica")
        DONE = "done", _("Rimborsato")
        FAILED = "failed", _("Non riuscito")

    LIVE = (Status.CREATED, Status.PENDING, Status.UNKNOWN)
    MOVES: dict[str, frozenset[str]] = {
        Status.CREATED: frozenset({Status.PENDING, Status.UNKNOWN, Status.DONE, Status.FAILED}),
        Status.PENDING: frozenset({Status.UNKNOWN, Status.DONE, Status.FAILED}),
        Status.UNKNOWN: frozenset({Status.PENDING, Status.DONE, Status.FAILED}),
        # Sent, and weeks later sent back by the customer's bank: the provider has the money again.
        Status.DONE: frozenset({Status.FAILED}),
        Status.FAILED: frozenset(),
    }

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, null=True, blank=True, related_name="refunds", verbose_name=_("pagamento")
    )
    receipt = models.ForeignKey(
        Receipt, on_delete=models.PROTECT, null=True, blank=True, related_name="refunds", verbose_name=_("accredito")
    )
    order = models.ForeignKey(
        Order, on_delete=models.PROTECT, null=True, blank=True, related_name="refunds", verbose_name=_("ordine")
    )
    amount = models.DecimalField(_("importo"), max_digits=9, decimal_places=2)
    status = models.CharField(_("stato"), max_length=8, choices=Status.choices, default=Status.CREATED)
    remote_id = models.CharField(_("id presso il gestore, o CRO del bonifico"), max_length=120, blank=True)
    why = models.CharField(_("perché"), max_length=200)
    reason = models.CharField(_("risposta del gestore"), max_length=120, blank=True)
    asked_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("chiesto da")
    )
    created_at = models.DateTimeField(_("chiesto il"), auto_now_add=True)
    done_at = models.DateTimeField(_("fatto il"), null=True, blank=True)
    next_check_at = models.DateTimeField(null=True, blank=True, editable=False)
    checks = models.PositiveSmallIntegerField(default=0, editable=False)

    objects = RefundQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        verbose_name = _("rimborso")
        verbose_name_plural = _("rimborsi")
        constraints = [
            models.CheckConstraint(
                condition=Q(payment__isnull=False, receipt=None) | Q(payment=None, receipt__isnull=False),
                name="refund_one_source",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_amount_positive"),
            models.UniqueConstraint(
                fields=["payment", "remote_id"], condition=~Q(remote_id=""), name="refund_remote_once"
            ),
        ]
        indexes = [
            models.Index(fields=["next_check_at"], condition=Q(next_check_at__isnull=False), name="refund_to_ask_again")
        ]

    def __str__(self) -> str:
        return f"{self.payment or self.receipt} · {self.amount}"


class Withdrawal(models.Model):
    """Recesso: a consumer's declaration, within 14 days (R26b) or later (R25), and what it came to. Never edited."""

    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="withdrawal", verbose_name=_("ordine"))
    declared_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("chi"))
    declared_at = models.DateTimeField(_("dichiarato il"))
    name = models.CharField(_("nome"), max_length=120)
    email = models.EmailField(_("e-mail per la ricevuta"))
    iban = models.CharField(_("IBAN per il rimborso"), max_length=34, blank=True)
    amount = models.DecimalField(_("da rimborsare"), max_digits=9, decimal_places=2)
    kept = models.DecimalField(_("parte goduta"), max_digits=9, decimal_places=2, default=0)

    class Meta:
        verbose_name = _("recesso")
        verbose_name_plural = _("recessi")
        constraints = [models.CheckConstraint(condition=Q(amount__gte=0, kept__gte=0), name="withdrawal_amounts")]

    def __str__(self) -> str:
        return str(self.order)
