"""What time did: a row a stage and day, so that a run can be told to the last box (R28), and a row a notice (R27)."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from mailboxes.models import Mailbox


class LifecycleRun(models.Model):
    """One stage of the lifecycle for one day: how many were expected, how many done."""

    class Stage(models.TextChoices):
        EXPIRIES = "expiries", _("Scadenze")
        CHANGES = "changes", _("Cambi di tipologia")
        LAPSES = "lapses", _("Ordini decaduti")
        NOTICES = "notices", _("Avvisi di scadenza")
        DELETIONS = "deletions", _("Cancellazioni (solo elenco)")

    stage = models.CharField(_("fase"), max_length=10, choices=Stage.choices)
    day = models.DateField(_("giorno"))
    claimed_at = models.DateTimeField(_("presa in carico"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finita"), null=True, blank=True)
    expected = models.PositiveIntegerField(_("attesi"), default=0)
    done = models.PositiveIntegerField(_("fatti"), default=0)
    failed = models.PositiveIntegerField(_("falliti"), default=0)
    seconds = models.FloatField(_("secondi"), default=0)

    class Meta:
        ordering = ["-day", "stage"]
        verbose_name = _("giro giornaliero")
        verbose_name_plural = _("giri giornalieri")
        constraints = [models.UniqueConstraint(fields=["stage", "day"], name="lifecycle_run_once")]

    def __str__(self) -> str:
        return f"{self.get_stage_display()} {self.day}"

    @property
    def left(self) -> int:
        """What was due and is still to do: refused changes, boxes somebody held, deletions while they are off."""
        return max(0, self.expected - self.done - self.failed)


class Notice(models.Model):
    """A notice of an expiry, of one point of the calendar, told once (R27). Append-only; lifecycle.notices writes it.

    A row is written in the transaction that queues its mails: no row without them, no mails without their row. A point
    that passed untold (an outage, a box opened late) has no row: only the latest due point is ever told, so an older
    one never comes back.
    """

    box = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="notices", verbose_name=_("casella"))
    expiry = models.DateField(_("scadenza"))
    kind = models.SmallIntegerField(_("giorni dalla scadenza"), help_text=_("prima della scadenza con il segno meno"))
    sent_at = models.DateTimeField(_("inviato il"), null=True, blank=True)  # empty: no address to write to
    created_at = models.DateTimeField(_("creato il"), auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("avviso di scadenza")
        verbose_name_plural = _("avvisi di scadenza")
        constraints = [models.UniqueConstraint(fields=["box", "expiry", "kind"], name="notice_told_once")]

    def __str__(self) -> str:
        return f"{self.box_id} {self.expiry} {self.kind:+}"
