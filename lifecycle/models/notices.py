"""Notices of an expiry, one a point of the calendar (R27), and the letters by which they were told."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from post_office.models import Email

from accounts.models import User
from mailboxes.models import Mailbox


class Letter(models.Model):
    """One mail to one address about one or many notices, and what the relay said of it. lifecycle.letters writes it."""

    class State(models.TextChoices):
        QUEUED = "queued", _("In coda")
        DEFERRED = "deferred", _("Rinviata dal relay")
        ACCEPTED = "accepted", _("Accettata dal relay")
        REFUSED = "refused", _("Rifiutata dal relay")
        BOUNCED = "bounced", _("Tornata indietro")
        REPLACED = "replaced", _("Ripresa e riscritta")

    WAITING = frozenset({State.QUEUED, State.DEFERRED})
    LOST = frozenset({State.REFUSED, State.BOUNCED})

    to = models.EmailField(_("a"))
    state = models.CharField(_("stato"), max_length=8, choices=State.choices, default=State.QUEUED)
    # The queue forgets its mails after a while; what became of them stays here.
    mail = models.OneToOneField(Email, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    message_id = models.CharField(max_length=255, blank=True, editable=False)
    queued_at = models.DateTimeField(_("in coda dal"))
    # The relay took it, then said that its next stop did not yet (a "delayed" report); still deferred until it is told
    # otherwise, or for as long as a mail server tries.
    delayed_at = models.DateTimeField(_("in ritardo dal"), null=True, blank=True)
    settled_at = models.DateTimeField(_("esito del"), null=True, blank=True)
    detail = models.CharField(_("parole del relay"), max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = _("lettera")
        verbose_name_plural = _("lettere")
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "deferred"], settled_at=None)
                | ~Q(state__in=["queued", "deferred"]) & Q(settled_at__isnull=False),
                name="letter_settled_with_its_state",
            ),
        ]
        indexes = [
            models.Index(
                fields=["queued_at"], condition=Q(state__in=["queued", "deferred"]), name="letter_waiting_by_age"
            ),
            models.Index(
                fields=["settled_at"], condition=Q(state__in=["refused", "bounced"]), name="letter_lost_by_time"
            ),
            models.Index(fields=["message_id"], condition=~Q(message_id=""), name="letter_by_message_id"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.get_state_display()}"


class Notice(models.Model):
    """A notice of an expiry, of one point of the calendar: written when it falls due, told once (R27).

    Written before it is sent, so that what is due and unsent can be counted. A point that passed untold (an outage, a
    box opened late) has no row: only the latest due point is ever told, so an older one never comes back.
    """

    class State(models.TextChoices):
        DUE = "due", _("Da inviare")
        TOLD = "told", _("Inviato")
        NO_ADDRESS = "no_address", _("Nessun indirizzo")
        MOOT = "moot", _("Superato")

    box = models.ForeignKey(
        Mailbox,
        on_delete=models.PROTECT,
        related_name="notices",
        verbose_name=_("casella"),
        db_index=False,  # notice_told_once begins with it
    )
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("account"))
    expiry = models.DateField(_("scadenza"))
    kind = models.SmallIntegerField(_("giorni dalla scadenza"), help_text=_("prima della scadenza con il segno meno"))
    state = models.CharField(_("stato"), max_length=10, choices=State.choices, default=State.DUE)
    created_at = models.DateTimeField(_("creato il"))
    told_at = models.DateTimeField(_("inviato il"), null=True, blank=True)
    letters = models.ManyToManyField(Letter, related_name="notices", verbose_name=_("lettere"))

    class Meta:
        ordering = ["-id"]
        verbose_name = _("avviso di scadenza")
        verbose_name_plural = _("avvisi di scadenza")
        constraints = [
            models.UniqueConstraint(fields=["box", "expiry", "kind"], name="notice_told_once"),
            models.CheckConstraint(
                condition=Q(state="told", told_at__isnull=False) | ~Q(state="told") & Q(told_at=None),
                name="notice_told_with_its_time",
            ),
        ]
        indexes = [
            # By account, so that one account's boxes of a day make one mail.
            models.Index(fields=["owner", "id"], condition=Q(state="due"), name="notice_due_by_owner"),
            models.Index(fields=["id"], condition=Q(state="no_address"), name="notice_without_address"),
            # In the order in which the sweep reads boxes: both are read side by side, once (lifecycle.notices.due).
            models.Index(fields=["expiry", "box", "kind"], condition=~Q(state="moot"), name="notice_written_by_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.box_id} {self.expiry} {self.kind:+}"
