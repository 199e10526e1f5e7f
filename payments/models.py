"""How it is paid: attempts, bank money and what it pays, saved methods, automatic renewals, what staff must decide."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from mailboxes.models import Mailbox
from renewals.models import Order


class PaymentQuerySet(models.QuerySet["Payment"]):
    def live(self) -> "PaymentQuerySet":
        return self.filter(status__in=Payment.LIVE)

    def locked(self) -> "PaymentQuerySet":
        return self.select_for_update(no_key=True, of=("self",))


class StoredMethod(models.Model):
    """A saved card or account at a provider, of the login that gave it (R24b). Never a card number."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    login = models.ForeignKey(User, on_delete=models.PROTECT, related_name="stored_methods", verbose_name=_("login"))
    provider = models.CharField(_("gestore"), max_length=12)
    remote_id = models.CharField(max_length=120)
    label = models.CharField(_("come si chiama"), max_length=60)
    expires_month = models.PositiveSmallIntegerField(null=True, blank=True)
    expires_year = models.PositiveSmallIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(_("tolto il"), null=True, blank=True)

    class Meta:
        verbose_name = _("metodo di pagamento")
        verbose_name_plural = _("metodi di pagamento")
        constraints = [models.UniqueConstraint(fields=["provider", "remote_id"], name="stored_method_once")]

    def __str__(self) -> str:
        return self.label


class Payment(models.Model):
    """One attempt to pay an order by card, PayPal or sandbox. Status: payments.flows only."""

    class Status(models.TextChoices):
        CREATED = "created", _("Creato")
        PENDING = "pending", _("In corso")
        UNKNOWN = "unknown", _("In verifica")
        REGISTERED = "registered", _("Registrato")
        FAILED = "failed", _("Non riuscito")
        CANCELLED = "cancelled", _("Annullato")
        REFUNDED = "refunded", _("Rimborsato")

    LIVE = (Status.CREATED, Status.PENDING, Status.UNKNOWN)
    MOVES: dict[str, frozenset[str]] = {
        Status.CREATED: frozenset({Status.PENDING, Status.UNKNOWN, Status.REGISTERED, Status.FAILED, Status.CANCELLED}),
        Status.PENDING: frozenset({Status.UNKNOWN, Status.REGISTERED, Status.FAILED, Status.CANCELLED}),
        Status.UNKNOWN: frozenset({Status.PENDING, Status.REGISTERED, Status.FAILED, Status.CANCELLED}),
        # Money that arrives for an attempt we had given up: registered, the order untouched, a case (§4).
        Status.FAILED: frozenset({Status.REGISTERED}),
        Status.CANCELLED: frozenset({Status.REGISTERED}),
        Status.REGISTERED: frozenset({Status.REFUNDED}),
        Status.REFUNDED: frozenset(),
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
            models.Index(
                fields=["next_check_at"], condition=Q(next_check_at__isnull=False), name="payment_to_ask_again"
            )
        ]

    def __str__(self) -> str:
        return f"{self.order} · {self.get_status_display()}"

    @property
    def is_live(self) -> bool:
        return self.status in self.LIVE


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

    provider = models.CharField(_("gestore"), max_length=12)
    event_id = models.CharField(max_length=120)
    remote_id = models.CharField(max_length=120, blank=True)
    received_at = models.DateTimeField(_("ricevuto il"), auto_now_add=True)
    processed_at = models.DateTimeField(_("lavorato il"), null=True, blank=True)

    class Meta:
        verbose_name = _("evento del gestore")
        verbose_name_plural = _("eventi dei gestori")
        constraints = [models.UniqueConstraint(fields=["provider", "event_id"], name="provider_event_once")]
        indexes = [models.Index(fields=["received_at"], condition=Q(processed_at=None), name="provider_event_to_do")]

    def __str__(self) -> str:
        return f"{self.provider} {self.event_id}"


class Receipt(models.Model):
    """Accredito: bank money that arrived (R21b). Never edited; what it pays are its allocations."""

    bank_account = models.CharField(_("conto"), max_length=34)
    bank_reference = models.CharField(_("riferimento della banca"), max_length=60)
    amount = models.DecimalField(_("importo"), max_digits=9, decimal_places=2)
    currency = models.CharField(_("valuta"), max_length=3, default="EUR")
    value_date = models.DateField(_("data valuta"))
    payer = models.CharField(_("ordinante"), max_length=140, blank=True)
    remittance = models.CharField(_("causale"), max_length=200, blank=True)
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


class AutoRenewal(models.Model):
    """Rinnovo automatico: one consent for one box, from when it was given to when it ended (R23–R25)."""

    class Ended(models.TextChoices):
        BY_CUSTOMER = "customer", _("disattivato dal cliente")
        REPLACED = "replaced", _("sostituito da un nuovo consenso")
        METHOD_REMOVED = "method_removed", _("metodo di pagamento rimosso")
        BOX_GONE = "box_gone", _("casella cancellata")

    box = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="auto_renewals", verbose_name=_("casella"))
    method = models.ForeignKey(
        StoredMethod, on_delete=models.PROTECT, related_name="auto_renewals", verbose_name=_("metodo")
    )
    years = models.PositiveSmallIntegerField(_("frequenza di rinnovo"))
    amount = models.DecimalField(_("importo accettato"), max_digits=9, decimal_places=2)
    consent_text_version = models.CharField(_("testo del consenso"), max_length=20)
    agreed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("accettato da"))
    agreed_at = models.DateTimeField(_("accettato il"))
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, blank=True, related_name="auto_renewals")
    ended_at = models.DateTimeField(_("finito il"), null=True, blank=True)
    ended_why = models.CharField(_("perché"), max_length=16, choices=Ended.choices, blank=True)

    class Meta:
        verbose_name = _("rinnovo automatico")
        verbose_name_plural = _("rinnovi automatici")
        constraints = [
            models.UniqueConstraint(fields=["box"], condition=Q(ended_at=None), name="auto_renewal_one_per_box"),
            models.CheckConstraint(condition=Q(years__gte=1, years__lte=5), name="auto_renewal_years"),
        ]

    def __str__(self) -> str:
        return f"{self.box} · {self.years}"


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
        DOWNGRADE_STUCK = "downgrade", _("Cambio di tipologia che non riesce")

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
