"""The nightly reconciliation: what does not add up, a row each, until it does."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Reconciliation(models.Model):
    """One night's run over money, orders and boxes."""

    day = models.DateField(_("giorno"), unique=True)
    started_at = models.DateTimeField(_("cominciata il"))
    finished_at = models.DateTimeField(_("finita il"), null=True, blank=True)

    class Meta:
        ordering = ["-day"]
        verbose_name = _("quadratura")
        verbose_name_plural = _("quadrature")

    def __str__(self) -> str:
        return str(self.day)


class Difference(models.Model):
    """Something that does not add up: found by a run, closed by the first run that finds it no more."""

    class Check(models.TextChoices):
        PAID_WITHOUT_PERIOD = "no_period", _("Righe pagate senza periodo")
        PERIOD_WITHOUT_PAYMENT = "no_payment", _("Periodi senza pagamento")
        PAYMENT_NOT_FINAL = "not_final", _("Pagamenti senza esito")
        EVENT_UNSEEN = "event", _("Eventi dei gestori non lavorati")
        DATES_DISAGREE = "dates", _("Caselle con date diverse dai periodi")
        DOMAIN_DATES_DISAGREE = "domain_dates", _("Domini con date diverse dai periodi")
        RECEIPT_UNMATCHED = "receipt", _("Accrediti da abbinare da più di 2 giorni")
        COMMITMENT_UNCOLLECTED = "uncollected", _("Impegni non incassati")
        ORDER_WITHOUT_INVOICE = "no_invoice", _("Ordini senza fattura")
        REFUND_WITHOUT_NOTE = "no_note", _("Rimborsi senza nota di credito")
        INVOICE_LATE = "late_invoice", _("Fatture non ancora a SdI oltre i 12 giorni")
        NUMBER_MISSING = "numbers", _("Numeri di fattura mancanti")

    about = models.CharField(_("controllo"), max_length=12, choices=Check.choices)
    object_id = models.BigIntegerField()  # of the model that the check is about (payments.reconciliation)
    detail = models.CharField(_("che cosa non torna"), max_length=300)
    found_on = models.ForeignKey(Reconciliation, on_delete=models.PROTECT, related_name="found")
    closed_on = models.ForeignKey(
        Reconciliation, on_delete=models.PROTECT, null=True, blank=True, related_name="closed"
    )

    class Meta:
        ordering = ["about", "id"]
        verbose_name = _("differenza")
        verbose_name_plural = _("differenze")
        constraints = [
            models.UniqueConstraint(
                fields=["about", "object_id"], condition=Q(closed_on=None), name="difference_open_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_about_display()} {self.object_id}"
