"""What /metrics and the alarms read: figures as of the last run, and what is wrong now."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Figure(models.Model):
    """A number as of the last run, so that nobody counts millions of rows to answer a request."""

    name = models.CharField(_("nome"), max_length=60, unique=True)
    value = models.BigIntegerField(_("valore"))
    at = models.DateTimeField(_("al"))

    class Meta:
        ordering = ["name"]
        verbose_name = _("cifra")
        verbose_name_plural = _("cifre")

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


class Alarm(models.Model):
    """Something that ops must look at: raised once, told once, cleared when it is over. lifecycle.alarms writes it."""

    key = models.CharField(_("che cosa"), max_length=60)
    detail = models.CharField(_("dettaglio"), max_length=300)
    raised_at = models.DateTimeField(_("dal"))
    told_at = models.DateTimeField(_("comunicato il"), null=True, blank=True)
    cleared_at = models.DateTimeField(_("finito il"), null=True, blank=True)

    class Meta:
        ordering = ["-raised_at"]
        verbose_name = _("allarme")
        verbose_name_plural = _("allarmi")
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=Q(cleared_at=None), name="alarm_raised_once"),
        ]

    def __str__(self) -> str:
        return self.key
