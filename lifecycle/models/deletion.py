"""What keeps a box from being deleted, what was deleted on which day and why, and the cap on a day's run (R29)."""

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from mailboxes.models import Mailbox


class StaffHold(models.Model):
    """Somebody of staff keeps a box from deletion, until somebody releases it (R29)."""

    box = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="holds", verbose_name=_("casella"))
    why = models.CharField(_("perché"), max_length=200)
    placed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("messo da"))
    placed_at = models.DateTimeField(_("messo il"))
    released_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("tolto da")
    )
    released_at = models.DateTimeField(_("tolto il"), null=True, blank=True)

    class Meta:
        ordering = ["-placed_at"]
        verbose_name = _("blocco della cancellazione")
        verbose_name_plural = _("blocchi della cancellazione")
        constraints = [
            models.UniqueConstraint(fields=["box"], condition=Q(released_at=None), name="hold_one_open_per_box"),
            models.CheckConstraint(condition=~Q(why=""), name="hold_has_a_reason"),
            models.CheckConstraint(
                condition=Q(released_at=None, released_by=None)
                | Q(released_at__isnull=False, released_by__isnull=False),
                name="hold_released_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.box_id} {self.why}"


class HandRelease(models.Model):
    """Somebody of staff lets a box go that could not be warned: once an expiry, with the reason (R29)."""

    box = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="hand_releases", verbose_name=_("casella"))
    expiry = models.DateField(_("scadenza"))
    why = models.CharField(_("perché"), max_length=200)
    released_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("deciso da"))
    released_at = models.DateTimeField(_("deciso il"))

    class Meta:
        ordering = ["-released_at"]
        verbose_name = _("cancellazione decisa a mano")
        verbose_name_plural = _("cancellazioni decise a mano")
        constraints = [
            models.UniqueConstraint(fields=["box", "expiry"], name="hand_release_once_an_expiry"),
            models.CheckConstraint(condition=~Q(why=""), name="hand_release_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.box_id} {self.expiry}"


class ManifestLine(models.Model):
    """The day's manifest: a box due for deletion, what is to become of it, and why (R29).

    Nothing removes a line: it alone proves why an address went, and it names nobody (R33, docs/operations.md).
    """

    class Verdict(models.TextChoices):
        DELETE = "delete", _("Da cancellare")
        HELD = "held", _("Trattenuta")

    class Why(models.TextChoices):
        WARNED = "warned", _("Avvisata e non rinnovata")
        RELEASED = "released", _("Decisa a mano, senza avvisi accettati")
        MONEY_PAID = "paid", _("Ordine pagato o da verificare")
        MONEY_ON_ITS_WAY = "money", _("Denaro in arrivo")
        STAFF_HOLD = "staff", _("Blocco del personale")
        NOT_WARNED = "not_warned", _("Mancano due avvisi accettati")
        NO_ADDRESS = "no_address", _("Nessun indirizzo funzionante")
        NOT_DUE = "not_due", _("Non è più da cancellare")

    day = models.DateField(_("giorno"))
    box = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="+", verbose_name=_("casella"))
    verdict = models.CharField(_("esito"), max_length=6, choices=Verdict.choices)
    why = models.CharField(_("perché"), max_length=10, choices=Why.choices)
    detail = models.CharField(_("dettaglio"), max_length=200, blank=True)
    begun_at = models.DateTimeField(_("cancellata dal"), null=True, blank=True)

    class Meta:
        ordering = ["-day", "id"]
        verbose_name = _("riga del registro cancellazioni")
        verbose_name_plural = _("registro cancellazioni")
        constraints = [
            models.UniqueConstraint(fields=["day", "box"], name="manifest_box_once_a_day"),
            models.CheckConstraint(
                condition=Q(begun_at=None) | Q(verdict="delete"), name="manifest_begins_only_what_it_deletes"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.box_id} {self.get_verdict_display()}"


class DeletionStop(models.Model):
    """A day's run that the cap stopped: more boxes than both limits. Two people release it: one asks, another does."""

    day = models.DateField(_("giorno"), unique=True)
    boxes = models.PositiveIntegerField(_("caselle da cancellare"))
    of_boxes = models.PositiveIntegerField(_("caselle in vita"))
    stopped_at = models.DateTimeField(_("fermata il"))
    asked_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("sblocco chiesto da")
    )
    asked_at = models.DateTimeField(_("chiesto il"), null=True, blank=True)
    asked_why = models.CharField(_("perché"), max_length=200, blank=True)
    released_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("sbloccata da")
    )
    released_at = models.DateTimeField(_("sbloccata il"), null=True, blank=True)

    class Meta:
        ordering = ["-day"]
        verbose_name = _("cancellazione fermata dal limite")
        verbose_name_plural = _("cancellazioni fermate dal limite")
        permissions = [
            ("ask_deletion_release", "Can ask that a stopped deletion goes on"),
            ("release_deletion", "Can release a stopped deletion that somebody else asked for"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(asked_at=None, asked_by=None, asked_why="")
                | Q(asked_at__isnull=False, asked_by__isnull=False) & ~Q(asked_why=""),
                name="stop_asked_with_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(released_at=None, released_by=None)
                | Q(released_at__isnull=False, released_by__isnull=False, asked_by__isnull=False),
                name="stop_released_after_it_was_asked",
            ),
            models.CheckConstraint(
                condition=Q(released_by=None) | ~Q(released_by=F("asked_by")), name="stop_released_by_another"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.boxes}"
