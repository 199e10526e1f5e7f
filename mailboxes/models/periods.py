"""Paid time, append-only: the only source of every expiry (R15)."""

import uuid

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from .boxes import Domain, Mailbox
from .catalogue import Plan


class PaidPeriod(models.Model):
    """A term that was paid, for a box or a domain. Terms are never edited; a reversal is a row of its own."""

    box = models.ForeignKey(Mailbox, on_delete=models.PROTECT, null=True, blank=True, related_name="periods")
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, null=True, blank=True, related_name="periods")
    starts = models.DateField(_("dal"))
    ends = models.DateField(_("al"))
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("tipologia"))
    mailbox_gb = models.PositiveSmallIntegerField(null=True, blank=True)
    archive_gb = models.PositiveSmallIntegerField(null=True, blank=True)
    # The public id of the order line that paid it, or an id of its own for an opening; empty on a reversal.
    source = models.UUIDField(unique=True, null=True, default=uuid.uuid4, editable=False)
    # The first day of deletion that this term moved on: taken back, it brings no earlier one (R13).
    moved_delete_from = models.DateField(null=True, editable=False)
    reversed_on = models.DateField(_("stornato il"), null=True, blank=True)
    reverses = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="reversal", verbose_name=_("storna")
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["starts", "id"]
        verbose_name = _("periodo pagato")
        verbose_name_plural = _("periodi pagati")
        constraints = [
            models.CheckConstraint(
                condition=Q(box__isnull=False, domain=None) | Q(box=None, domain__isnull=False),
                name="period_box_xor_domain",
            ),
            models.CheckConstraint(condition=Q(ends__gte=F("starts")), name="period_ends_after_start"),
            models.CheckConstraint(
                condition=Q(reverses=None, source__isnull=False) | Q(reverses__isnull=False, source=None),
                name="period_source_unless_reversal",
            ),
            models.UniqueConstraint(
                fields=["box", "starts"], condition=Q(reverses=None, reversed_on=None), name="period_box_starts_once"
            ),
            models.UniqueConstraint(
                fields=["domain", "starts"],
                condition=Q(reverses=None, reversed_on=None),
                name="period_domain_starts_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.starts}–{self.ends}"
