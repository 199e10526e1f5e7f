"""Rinnovo automatico: consents, and the charge of each expiry (R23–R25)."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from mailboxes.models import Mailbox
from renewals.models import Order

from .methods import StoredMethod


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


class ScheduledCharge(models.Model):
    """The automatic charge of one box for one expiry: told at E−30, tried from E−7, over by E (R24, R25)."""

    class Status(models.TextChoices):
        ANNOUNCED = "announced", _("Annunciato")
        CONSENT = "consent", _("Aspetta il consenso al nuovo importo")
        TRYING = "trying", _("In corso")
        CHARGED = "charged", _("Addebitato")
        FAILED = "failed", _("Non riuscito")
        CANCELLED = "cancelled", _("Annullato")

    OPEN = (Status.ANNOUNCED, Status.CONSENT, Status.TRYING)
    MOVES: dict[str, frozenset[str]] = {
        Status.ANNOUNCED: frozenset({Status.CONSENT, Status.TRYING, Status.FAILED, Status.CANCELLED}),
        Status.CONSENT: frozenset({Status.ANNOUNCED, Status.FAILED, Status.CANCELLED}),
        Status.TRYING: frozenset({Status.CHARGED, Status.FAILED, Status.CANCELLED}),
        # Switched on once more for the same expiry: a new consent begins it anew.
        Status.FAILED: frozenset({Status.ANNOUNCED}),
        Status.CHARGED: frozenset({Status.ANNOUNCED}),
        Status.CANCELLED: frozenset({Status.ANNOUNCED}),
    }

    box = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="scheduled_charges")
    expiry = models.DateField(_("scadenza"))
    status = models.CharField(_("stato"), max_length=10, choices=Status.choices, default=Status.ANNOUNCED)
    amount = models.DecimalField(_("importo"), max_digits=9, decimal_places=2)
    years = models.PositiveSmallIntegerField(_("frequenza di rinnovo"))
    # The next day on which something is due; empty when nothing is. tries: attempts that were begun.
    due_on = models.DateField(_("prossimo passo il"), null=True, blank=True)
    tries = models.PositiveSmallIntegerField(_("tentativi"), default=0)
    order = models.OneToOneField(
        Order,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="scheduled_charge",
        verbose_name=_("ordine"),
    )
    # Art. 65-bis: when the notice went, whether 30 days before; if not, the consumer may leave free (R25).
    notice_sent_at = models.DateTimeField(_("avviso inviato il"), null=True, blank=True)
    notice_in_time = models.BooleanField(_("avviso in tempo"), null=True, blank=True)
    consent_asked_on = models.DateField(_("consenso chiesto il"), null=True, blank=True)
    consent_asked_again_on = models.DateField(_("consenso chiesto ancora il"), null=True, blank=True)
    why = models.CharField(_("perché"), max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("addebito automatico")
        verbose_name_plural = _("addebiti automatici")
        constraints = [
            models.UniqueConstraint(fields=["box", "expiry"], name="scheduled_charge_once"),
            models.CheckConstraint(
                condition=Q(status__in=["announced", "consent", "trying"]) | Q(due_on=None),
                name="scheduled_charge_due_while_open",
            ),
            models.CheckConstraint(condition=Q(years__gte=1, years__lte=5), name="scheduled_charge_years"),
        ]
        indexes = [
            models.Index(fields=["due_on", "id"], condition=Q(due_on__isnull=False), name="scheduled_charge_due")
        ]

    def __str__(self) -> str:
        return f"{self.box_id} {self.expiry}"
