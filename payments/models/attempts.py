"""Attempts to pay on-line, and what providers told about them."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from renewals.models import Order

from .methods import StoredMethod


class PaymentQuerySet(models.QuerySet["Payment"]):
    def live(self) -> "PaymentQuerySet":
        return self.filter(status__in=Payment.LIVE)

    def locked(self) -> "PaymentQuerySet":
        return self.select_for_update(no_key=True, of=("self",))


class Payment(models.Model):
    """One attempt to pay an order by card, PayPal or sandbox. Status: payments.moves only."""

    class Status(models.TextChoices):
        CREATED = "created", _("Creato")
        PENDING = "pending", _("In corso")
        UNKNOWN = "unknown", _("In verifica")
        REGISTERED = "registered", _("Registrato")
        FAILED = "failed", _("Non riuscito")
        CANCELLED = "cancelled", _("Annullato")
        REFUNDED = "refunded", _("Rimborsato")

    class Decline(models.TextChoices):
        SOFT = "soft", _("può riuscire più tardi")
        HARD = "hard", _("definitivo")
        AUTHENTICATION = "auth", _("serve la conferma del titolare")

    LIVE = (Status.CREATED, Status.PENDING, Status.UNKNOWN)
    MOVES: dict[str, frozenset[str]] = {
        Status.CREATED: frozenset({Status.PENDING, Status.UNKNOWN, Status.REGISTERED, Status.FAILED, Status.CANCELLED}),
        Status.PENDING: frozenset({Status.UNKNOWN, Status.REGISTERED, Status.FAILED, Status.CANCELLED}),
        Status.UNKNOWN: frozenset({Status.PENDING, Status.REGISTERED, Status.FAILED, Status.CANCELLED}),
        # Money that arrives for an attempt we had given up: registered, the order untouched, a case (§4).
        Status.FAILED: frozenset({Status.REGISTERED}),
        Status.CANCELLED: frozenset({Status.REGISTERED}),
        Status.REGISTERED: frozenset({Status.REFUNDED}),
        # A refund came back from the customer's bank (Refund.MOVES): the provider has money of ours again.
        Status.REFUNDED: frozenset({Status.REGISTERED}),
    }

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="payments", verbose_name=_("ordine"))
    provider = models.CharField(_("gestore"), max_length=12)
    status = models.CharField(_("stato"), max_length=10, choices=Status.choices, default=Status.CREATED)
    amount = models.DecimalField(_("importo"), max_digits=9, decimal_places=2)
    currency = models.CharField(_("valuta"), max_length=3, default="EUR")
    remote_id = models.CharField(_("id presso il gestore"), max_length=120, blank=True)
    started_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("avviato da"),
        help_text=_("vuoto quando si paga con il solo numero d'ordine"),
    )  # fmt: skip
    # R23: what was agreed to beside the method, before paying; the switch turns when the payment is registered.
    auto_renewal_agreed = models.BooleanField(_("attiva il rinnovo automatico"), default=False)
    consent_text_version = models.CharField(max_length=20, blank=True)
    method = models.ForeignKey(StoredMethod, on_delete=models.PROTECT, null=True, blank=True, related_name="payments")
    reason = models.CharField(_("motivo"), max_length=120, blank=True)
    decline = models.CharField(_("rifiuto"), max_length=4, choices=Decline.choices, blank=True)
    # What the provider has, EUR, once registered: refunds and allocations are taken from it. Empty: another currency.
    received = models.DecimalField(_("incassato"), max_digits=9, decimal_places=2, null=True, blank=True)
    charge_id = models.CharField(_("id dell'addebito"), max_length=120, blank=True)  # the money's own id, if another
    # From here on money may move: set before the call, never after an attempt began to be closed (payments.flows).
    sent_at = models.DateTimeField(null=True, blank=True, editable=False)
    closing = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(_("avviato il"), auto_now_add=True)
    registered_at = models.DateTimeField(_("registrato il"), null=True, blank=True)
    next_check_at = models.DateTimeField(_("da richiedere il"), null=True, blank=True)
    checks = models.PositiveSmallIntegerField(default=0, editable=False)

    objects = PaymentQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        verbose_name = _("pagamento")
        verbose_name_plural = _("pagamenti")
        constraints = [
            models.UniqueConstraint(
                fields=["order"],
                condition=Q(status__in=["created", "pending", "unknown"]),
                name="payment_one_live_per_order",
            ),  # R20
            models.UniqueConstraint(
                fields=["provider", "remote_id"], condition=~Q(remote_id=""), name="payment_remote_once"
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="payment_amount_positive"),
        ]
        indexes = [
            models.Index(fields=["charge_id"], condition=~Q(charge_id=""), name="payment_by_charge"),
            models.Index(
                fields=["next_check_at"], condition=Q(next_check_at__isnull=False), name="payment_to_ask_again"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order} · {self.get_status_display()}"

    @property
    def is_live(self) -> bool:
        return self.status in self.LIVE

    @property
    def is_automatic(self) -> bool:
        """Charged by the daily job with a saved method, nobody being there (R24)."""
        return self.started_by_id is None and self.method_id is not None


class PaymentEvent(models.Model):
    """A move of a payment (R32). Append-only."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="events")
    before = models.CharField(max_length=10, blank=True)
    after = models.CharField(max_length=10)
    why = models.CharField(max_length=200, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("evento del pagamento")
        verbose_name_plural = _("eventi dei pagamenti")

    def __str__(self) -> str:
        return f"{self.before} → {self.after}"


class ProviderEvent(models.Model):
    """A webhook as it came, stored once, worked off by a task: a hint to ask the provider, never a fact (R18)."""

    class Kind(models.TextChoices):
        PAYMENT = "payment", _("Pagamento")
        REFUND = "refund", _("Rimborso")
        DISPUTE = "dispute", _("Contestazione")
        OTHER = "other", _("Altro")

    provider = models.CharField(_("gestore"), max_length=12)
    event_id = models.CharField(max_length=120)
    remote_id = models.CharField(max_length=120, blank=True)
    kind = models.CharField(_("di che cosa"), max_length=8, choices=Kind.choices, default=Kind.PAYMENT)
    detail = models.CharField(_("dettaglio"), max_length=200, blank=True)
    received_at = models.DateTimeField(_("ricevuto il"), auto_now_add=True)
    processed_at = models.DateTimeField(_("lavorato il"), null=True, blank=True)

    class Meta:
        verbose_name = _("evento del gestore")
        verbose_name_plural = _("eventi dei gestori")
        constraints = [models.UniqueConstraint(fields=["provider", "event_id"], name="provider_event_once")]
        indexes = [models.Index(fields=["received_at"], condition=Q(processed_at=None), name="provider_event_to_do")]

    def __str__(self) -> str:
        return f"{self.provider} {self.event_id}"
