"""Tipologie and listino: limits and prices are rows that staff edit, never constants in code (R6)."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class Plan(models.Model):
    """A tipologia: how much space a box has at least and at most, in whole GB."""

    code = models.SlugField(_("codice"), max_length=20, unique=True)
    name = models.CharField(_("nome"), max_length=40)
    rank = models.PositiveSmallIntegerField(_("grado"), unique=True, help_text=_("Il più alto vale di più."))
    base_mailbox_gb = models.PositiveSmallIntegerField(_("GB di casella compresi"))
    max_mailbox_gb = models.PositiveSmallIntegerField(_("GB di casella al massimo"))
    base_archive_gb = models.PositiveSmallIntegerField(_("GB di archivio compresi"), default=0)
    max_archive_gb = models.PositiveSmallIntegerField(_("GB di archivio al massimo"), default=0)
    selectable = models.BooleanField(_("si può scegliere al rinnovo"), default=True)

    class Meta:
        ordering = ["rank"]
        verbose_name = _("tipologia")
        verbose_name_plural = _("tipologie")
        constraints = [
            models.CheckConstraint(
                condition=Q(base_mailbox_gb__gt=0) & Q(max_mailbox_gb__gte=F("base_mailbox_gb")), name="plan_mailbox_gb"
            ),
            models.CheckConstraint(condition=Q(max_archive_gb__gte=F("base_archive_gb")), name="plan_archive_gb"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_archive(self) -> bool:
        return self.max_archive_gb > 0


class Price(models.Model):
    """The net price a year of one item from a day on; the one in force is the last whose day has come."""

    class Item(models.TextChoices):
        PLAN = "plan", _("Tipologia")
        MAILBOX_GB = "mailbox_gb", _("GB di casella")
        ARCHIVE_GB = "archive_gb", _("GB di archivio")
        DOMAIN = "domain", _("Dominio")
        DOMAIN_BOX = "domain_box", _("Casella su dominio")

    item = models.CharField(_("voce"), max_length=12, choices=Item.choices)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("tipologia"))
    net = models.DecimalField(_("netto all'anno, €"), max_digits=9, decimal_places=2)
    valid_from = models.DateField(_("in vigore dal"))

    class Meta:
        ordering = ["item", "plan__rank", "-valid_from"]
        verbose_name = _("prezzo")
        verbose_name_plural = _("listino")
        constraints = [
            models.UniqueConstraint(
                fields=["item", "valid_from"], condition=Q(plan=None), name="price_one_per_item_and_day"
            ),
            models.UniqueConstraint(
                fields=["plan", "valid_from"], condition=~Q(plan=None), name="price_one_per_plan_and_day"
            ),
            models.CheckConstraint(
                condition=Q(item="plan", plan__isnull=False) | ~Q(item="plan") & Q(plan=None),
                name="price_plan_iff_item",
            ),
            models.CheckConstraint(condition=Q(net__gt=0), name="price_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.plan or self.get_item_display()} dal {self.valid_from}"


class VatRate(models.Model):
    """The ordinary VAT rate from a day on (R26)."""

    rate = models.DecimalField(_("aliquota"), max_digits=5, decimal_places=4, help_text=_("0.22 è il 22 %"))
    valid_from = models.DateField(_("in vigore dal"), unique=True)

    class Meta:
        ordering = ["-valid_from"]
        verbose_name = _("aliquota IVA")
        verbose_name_plural = _("aliquote IVA")
        constraints = [models.CheckConstraint(condition=Q(rate__gte=0, rate__lt=1), name="vat_rate_sane")]

    def __str__(self) -> str:
        return f"{self.rate:%} dal {self.valid_from}"
