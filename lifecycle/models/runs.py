"""What time did: a row a stage and day, so that a run can be told to the last box (R28)."""

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

# Finished, and not begun again since: a day's run is repeated, and is no less finished while that goes on.
AT_REST = Q(finished_at__gte=F("claimed_at"))


class LifecycleRunQuerySet(models.QuerySet["LifecycleRun"]):
    def begun(self) -> Self:
        """Runs that somebody began: not those that a wrong clock kept from beginning, whose day may be a wrong one.

        Every run that came to an end, whatever end, has its seconds.
        """
        return self.exclude(claimed_at=None, finished_at=None, seconds=0)


class LifecycleRun(models.Model):
    """One stage of the lifecycle for one day: how many were expected, how many done."""

    class Stage(models.TextChoices):
        EXPIRIES = "expiries", _("Scadenze")
        CHANGES = "changes", _("Cambi di tipologia")
        LAPSES = "lapses", _("Ordini decaduti")
        NOTICES = "notices", _("Avvisi dovuti")
        LETTERS = "letters", _("Avvisi inviati")
        DELETIONS = "deletions", _("Cancellazioni")

    stage = models.CharField(_("fase"), max_length=10, choices=Stage.choices)
    day = models.DateField(_("giorno"))
    claimed_at = models.DateTimeField(_("presa in carico"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finita"), null=True, blank=True)
    expected = models.PositiveIntegerField(_("attesi"), default=0)
    done = models.PositiveIntegerField(_("fatti"), default=0)
    failed = models.PositiveIntegerField(_("falliti"), default=0)
    seconds = models.FloatField(_("secondi"), default=0)

    objects = LifecycleRunQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "stage"]
        verbose_name = _("giro giornaliero")
        verbose_name_plural = _("giri giornalieri")
        constraints = [models.UniqueConstraint(fields=["stage", "day"], name="lifecycle_run_once")]

    def __str__(self) -> str:
        return f"{self.get_stage_display()} {self.day}"

    @property
    def at_rest(self) -> bool:
        """Finished, and not begun again since."""
        return self.finished_at is not None and self.claimed_at is not None and self.finished_at >= self.claimed_at

    @property
    def left(self) -> int:
        """What was due and is still to do: refused changes, boxes somebody held, deletions that something stops."""
        return max(0, self.expected - self.done - self.failed)
