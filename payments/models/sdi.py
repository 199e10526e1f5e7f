"""What went to SdI, the state's exchange of e-invoices (Agenzia delle Entrate), and what it answered."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User

from .invoices import Invoice


class Transmission(models.Model):
    """One attempt to give a file to SdI: the row first, then the network. Never sent again while unknown."""

    class Outcome(models.TextChoices):
        UNKNOWN = "unknown", _("Da verificare")
        SENT = "sent", _("Inviata")
        FAILED = "failed", _("Non inviata")

    class Road(models.TextChoices):
        MAIL = "mail", _("PEC")
        FOLDER = "folder", _("Cartella")

    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, related_name="transmissions", verbose_name=_("fattura")
    )
    file_name = models.CharField(_("file"), max_length=40, db_index=True)
    road = models.CharField(_("come"), max_length=6, choices=Road.choices)
    outcome = models.CharField(_("esito"), max_length=7, choices=Outcome.choices, default=Outcome.UNKNOWN)
    detail = models.CharField(_("dettaglio"), max_length=300, blank=True)
    begun_at = models.DateTimeField(_("cominciato il"))
    ended_at = models.DateTimeField(_("finito il"), null=True, blank=True)
    # The file as it went, kept here when a corrected one takes its place on the invoice.
    content = models.BinaryField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("invio a SdI")
        verbose_name_plural = _("invii a SdI")
        constraints = [
            models.UniqueConstraint(
                fields=["invoice"], condition=Q(outcome="unknown"), name="transmission_one_open_per_invoice"
            )
        ]

    def __str__(self) -> str:
        return f"{self.file_name} · {self.get_outcome_display()}"


class SdiReceipt(models.Model):
    """What SdI told about a file, as it came, once. Without an invoice: about a file that is not ours, for staff."""

    class Kind(models.TextChoices):
        DELIVERED = "RC", _("Ricevuta di consegna")
        REJECTED = "NS", _("Notifica di scarto")
        UNDELIVERED = "MC", _("Notifica di mancata consegna")
        BODYS_ANSWER = "NE", _("Notifica di esito")
        TERMS_OVER = "DT", _("Decorrenza dei termini")
        IMPOSSIBLE = "AT", _("Attestazione di avvenuta trasmissione con impossibilità di recapito")
        UNREADABLE = "", _("Non leggibile")

    kind = models.CharField(_("tipo"), max_length=2, choices=Kind.choices, blank=True)
    name = models.CharField(_("file della ricevuta"), max_length=120)
    of_file = models.CharField(_("del file"), max_length=60, blank=True, db_index=True)
    sdi_id = models.CharField(_("identificativo SdI"), max_length=36, blank=True)
    message_id = models.CharField(_("messaggio"), max_length=36, blank=True)
    answer = models.CharField(_("esito dell'ente"), max_length=4, blank=True)  # EC01, EC02
    happened_at = models.DateTimeField(_("data di SdI"), null=True, blank=True)
    codes = models.CharField(_("errori"), max_length=200, blank=True)  # SdI's, with commas between them
    detail = models.TextField(_("che cosa dice"), blank=True)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    invoice = models.ForeignKey(
        Invoice, on_delete=models.PROTECT, null=True, blank=True, related_name="receipts", verbose_name=_("fattura")
    )
    # False: nobody of ours, or not what was expected; staff look at it and say so.
    understood = models.BooleanField(_("applicata"), default=False)
    seen_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("vista da")
    )
    seen_at = models.DateTimeField(_("vista il"), null=True, blank=True)
    received_at = models.DateTimeField(_("ricevuta il"), auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("ricevuta di SdI")
        verbose_name_plural = _("ricevute di SdI")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "sdi_id", "message_id"], condition=~Q(message_id=""), name="sdi_receipt_once"
            )
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(understood=False, seen_at=None), name="sdi_receipt_for_staff")
        ]

    def __str__(self) -> str:
        return f"{self.kind or '?'} · {self.of_file or self.name}"
