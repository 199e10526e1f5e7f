"""Holders, addresses, domains and boxes."""

import uuid
from datetime import date
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from accounts.models import FiscalIdentity, User
from mailboxes import rules

from .catalogue import Plan


class Holder(FiscalIdentity):
    """Titolare: the legal owner of a box, in the address book of one account."""

    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="holders", verbose_name=_("account"))
    contact_email = models.EmailField(_("e-mail di contatto"))
    fiscal_key = models.CharField(max_length=16, editable=False)

    class Meta:
        verbose_name = _("titolare")
        verbose_name_plural = _("titolari")
        constraints = [
            models.UniqueConstraint(fields=["owner", "fiscal_key"], name="holder_unique_per_owner"),
            models.CheckConstraint(condition=~Q(fiscal_key=""), name="holder_fiscal_key_present"),
        ]
        indexes = [
            models.Index(fields=["owner", "last_name"], name="holder_by_name"),
            models.Index(fields=["fiscal_key"], name="holder_by_fiscal_key"),
        ]

    def save(self, *args: object, **kwargs: object) -> None:
        self.fiscal_key = self.own_fiscal_key()
        super().save(*args, **kwargs)  # type: ignore[arg-type]


class Address(models.Model):
    """A certified address: the name itself, unique for ever. What is left of a deleted box is its tombstone (R30)."""

    name = models.EmailField(_("indirizzo"), max_length=254, unique=True)
    host = models.CharField(max_length=253, editable=False, db_index=True)
    tombstone = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        verbose_name = _("indirizzo")
        verbose_name_plural = _("indirizzi")
        constraints = [models.CheckConstraint(condition=Q(name=Lower("name")), name="address_lower_case")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: object, **kwargs: object) -> None:
        self.host = self.name.rpartition("@")[2]
        super().save(*args, **kwargs)  # type: ignore[arg-type]


class Phase(models.TextChoices):
    """What is recorded of a life; Attiva and Scaduta are derived from dates (R16)."""

    ACTIVATING = "activating", _("In attivazione")
    LIVE = "live", _("In vita")
    DELETING = "deleting", _("In cancellazione")
    DELETED = "deleted", _("Cancellata")


class Lifespan(models.Model):
    """The dates that a box and a domain have in common. `expires_on` and `delete_from` are written together (R13)."""

    Phase = Phase
    phase = models.CharField(_("fase"), max_length=10, choices=Phase.choices, default=Phase.LIVE, editable=False)
    expires_on = models.DateField(_("scade il"), null=True, blank=True, editable=False)
    delete_from = models.DateField(_("si cancella dal"), null=True, blank=True, editable=False)
    anchor_month = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    anchor_day = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    @property
    def last_renewable_day(self) -> date | None:
        """E+90: the day before `delete_from`, the last on which an order can be made and paid (R4, R12b, R13)."""
        return rules.last_renewable_day(self.delete_from) if self.delete_from else None


class DomainQuerySet(models.QuerySet["Domain"]):
    def visible_to(self, user: User) -> Self:
        """The domains of an account; a mailbox login has none, not even that of its own box. The only door (R1)."""
        return self.filter(owner=user)

    def locked(self) -> Self:
        return self.select_for_update(no_key=True, of=("self",))


class Domain(Lifespan):
    """One life of a hosting domain that on-domain boxes hang on; it owns anchor, expiry and periods (R17)."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(_("nome"), max_length=253, db_index=True)
    mail_host = models.CharField(_("parte dopo la chiocciola"), max_length=253, db_index=True)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="domains", verbose_name=_("account"))
    deletion_days = models.PositiveSmallIntegerField(_("giorni prima della cancellazione"), null=True, blank=True)

    objects = DomainQuerySet.as_manager()

    class Meta:
        verbose_name = _("dominio")
        verbose_name_plural = _("domini")
        constraints = [
            # Support opens a deleted one anew, for whoever has the name then; its addresses keep tombstones (R30).
            models.UniqueConstraint(fields=["name"], condition=~Q(phase="deleted"), name="domain_one_life_of_name"),
            models.UniqueConstraint(
                fields=["mail_host"], condition=~Q(phase="deleted"), name="domain_one_life_of_host"
            ),
            models.CheckConstraint(
                condition=Q(name=Lower("name"), mail_host=Lower("mail_host")), name="domain_lower_case"
            ),
            models.CheckConstraint(
                condition=Q(phase="activating")
                | Q(
                    expires_on__isnull=False,
                    delete_from__isnull=False,
                    anchor_month__isnull=False,
                    anchor_day__isnull=False,
                ),
                name="domain_dates_present",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def state(self, today: date) -> rules.State:
        """Attivo, Scaduto …: what its card says; its live boxes say the same (R17)."""
        return rules.state(phase=self.phase, expires_on=self.expires_on, delete_from=self.delete_from, today=today)

    @property
    def grace_days(self) -> int:
        """Days from the expiry in which it can still be renewed: its own, else those of every box (R13, R17)."""
        return settings.GRACE_DAYS if self.deletion_days is None else self.deletion_days


def held_by(user: User) -> Q:
    """Boxes whose holder is the account itself (R2)."""
    billing = getattr(user, "billing", None)
    return Q(holder__fiscal_key=billing.fiscal_key if billing else "")


class MailboxQuerySet(models.QuerySet["Mailbox"]):
    def visible_to(self, user: User) -> Self:
        """The boxes `user` may see: all those of an account, the one of a mailbox login. The only door (R1).

        By the kind of login, so that an index serves each: an account is no box's login, a mailbox login owns none.
        """
        return self.filter(login=user) if user.is_mailbox else self.filter(owner=user)

    def own(self, user: User) -> Self:
        """Le mie caselle PEC (R2)."""
        return self.filter(held_by(user))

    def of_others(self, user: User) -> Self:
        """PEC di altri titolari (R2)."""
        return self.exclude(held_by(user))

    def locked(self) -> Self:
        return self.select_for_update(no_key=True, of=("self",))


# Live boxes whose present expiry the sweep has not recorded. One condition for the sweep and for its index: PostgreSQL
# uses the index only for a query that says the same.
EXPIRY_NOT_RECORDED = Q(phase="live") & (
    Q(expiry_recorded_for=None)
    | Q(expiry_recorded_for__lt=F("expires_on"))
    | Q(expiry_recorded_for__gt=F("expires_on"))
)


class Mailbox(Lifespan):
    """One life of one certified address."""

    class Kind(models.TextChoices):
        STANDALONE = "standalone", _("Casella PEC")
        ON_DOMAIN = "on_domain", _("PEC su dominio")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    address = models.ForeignKey(Address, on_delete=models.PROTECT, related_name="lives", verbose_name=_("indirizzo"))
    kind = models.CharField(_("tipo"), max_length=10, choices=Kind.choices, default=Kind.STANDALONE, editable=False)
    domain = models.ForeignKey(
        Domain, on_delete=models.PROTECT, null=True, blank=True, related_name="boxes", verbose_name=_("dominio")
    )
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="boxes", verbose_name=_("account"))
    holder = models.ForeignKey(Holder, on_delete=models.PROTECT, related_name="boxes", verbose_name=_("titolare"))
    login = models.OneToOneField(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="mailbox",
        verbose_name=_("login della casella"),
    )
    # In force now; both spaces in whole GB, the plan's base included.
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+", verbose_name=_("tipologia"))
    mailbox_gb = models.PositiveSmallIntegerField(_("GB di casella"))
    archive_gb = models.PositiveSmallIntegerField(_("GB di archivio"), default=0)
    # What holds from `change_on` (R7): all empty, or all set.
    next_plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, null=True, blank=True, related_name="+", editable=False
    )
    next_mailbox_gb = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    next_archive_gb = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    change_on = models.DateField(_("cambia il"), null=True, blank=True, editable=False)
    change_refused_on = models.DateField(null=True, blank=True, editable=False)  # R7: the day the customer was told
    # Copies kept by payments.auto_renewal and payments.scheduled under the box lock (R4).
    auto_renews = models.BooleanField(_("rinnovo automatico"), default=False, editable=False)
    auto_over_for = models.DateField(null=True, blank=True, editable=False)
    expiry_recorded_for = models.DateField(null=True, blank=True, editable=False)  # R16, R28
    # What the mail system still has to be told: a time from which to tell it, empty when it knows (mailboxes.tasks).
    platform_due_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MailboxQuerySet.as_manager()

    class Meta:
        verbose_name = _("casella PEC")
        verbose_name_plural = _("caselle PEC")
        constraints = [
            models.UniqueConstraint(
                fields=["address"], condition=~Q(phase="deleted"), name="mailbox_one_life_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(phase="activating", expires_on=None, delete_from=None)
                | ~Q(phase="activating") & Q(expires_on__isnull=False, delete_from__isnull=False),
                name="mailbox_dates_unless_activating",
            ),
            models.CheckConstraint(
                condition=Q(kind="on_domain", domain__isnull=False, anchor_month=None, anchor_day=None)
                | Q(kind="standalone", domain=None),
                name="mailbox_on_domain_has_no_anchor",
            ),
            models.CheckConstraint(
                condition=~Q(kind="standalone")
                | Q(phase="activating")
                | Q(anchor_month__isnull=False, anchor_day__isnull=False),
                name="mailbox_standalone_has_anchor",
            ),
            models.CheckConstraint(
                condition=Q(next_plan=None, next_mailbox_gb=None, next_archive_gb=None, change_on=None)
                | Q(
                    next_plan__isnull=False,
                    next_mailbox_gb__isnull=False,
                    next_archive_gb__isnull=False,
                    change_on__isnull=False,
                ),
                name="mailbox_change_whole",
            ),
            models.CheckConstraint(condition=Q(mailbox_gb__gt=0), name="mailbox_gb_positive"),
            models.CheckConstraint(
                condition=Q(expires_on=None) | Q(delete_from__gt=F("expires_on")),
                name="mailbox_deleted_after_expiry",
            ),
            models.CheckConstraint(
                condition=Q(login=None) | Q(phase__in=["activating", "live"]), name="mailbox_login_ends_at_deleting"
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "expires_on", "id"], name="mailbox_list_of_owner"),
            # With what a day's notices ask of each: half of all boxes are read for them, and none from the table (R27).
            models.Index(
                fields=["expires_on", "id"],
                include=["delete_from", "auto_renews", "auto_over_for"],
                condition=Q(phase="live"),
                name="mailbox_live_by_expiry",
            ),
            # Only the boxes that the sweep has not recorded yet: not each Scaduta box, each day (R28).
            models.Index(fields=["expires_on", "id"], condition=EXPIRY_NOT_RECORDED, name="mailbox_expiry_to_record"),
            models.Index(fields=["delete_from", "id"], condition=Q(phase="live"), name="mailbox_live_by_deletion"),
            models.Index(fields=["expires_on", "id"], condition=Q(auto_renews=True), name="mailbox_auto_by_expiry"),
            # Whoever purges them, and the alarm, look every few minutes: never at nine million others.
            models.Index(fields=["id"], condition=Q(phase="deleting"), name="mailbox_deleting"),
            models.Index(fields=["change_on"], condition=Q(change_on__isnull=False), name="mailbox_change_waiting"),
            models.Index(
                fields=["platform_due_at"], condition=Q(platform_due_at__isnull=False), name="mailbox_platform_due"
            ),
        ]

    def __str__(self) -> str:
        return self.address.name

    def state(self, today: date) -> rules.State:
        """Attiva, Scaduta …: what the card says (R13, R16)."""
        return rules.state(phase=self.phase, expires_on=self.expires_on, delete_from=self.delete_from, today=today)

    @property
    def capacity(self) -> rules.Capacity:
        return rules.Capacity(rank=self.plan.rank, mailbox_gb=self.mailbox_gb, archive_gb=self.archive_gb)


class BoxEvent(models.Model):
    """Something that time or a flow did to a box: the box's own diary, append-only."""

    class Kind(models.TextChoices):
        OPENED = "opened", _("Aperta")
        EXPIRED = "expired", _("Scaduta")
        RENEWED = "renewed", _("Rinnovata")
        REVERSED = "reversed", _("Periodo stornato")
        CAPACITY = "capacity", _("Spazio o tipologia cambiati")
        CHANGE_REFUSED = "change_refused", _("Cambio di tipologia rinviato")
        DELETING = "deleting", _("Cancellazione iniziata")
        DELETED = "deleted", _("Cancellata")
        ACTIVATED = "activated", _("Attivata di nuovo")

    box = models.ForeignKey(Mailbox, on_delete=models.PROTECT, related_name="events", verbose_name=_("casella"))
    day = models.DateField(_("giorno"))
    kind = models.CharField(_("che cosa"), max_length=16, choices=Kind.choices)
    detail = models.CharField(_("dettaglio"), max_length=200, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("evento della casella")
        verbose_name_plural = _("eventi delle caselle")
        indexes = [models.Index(fields=["box", "day"], name="boxevent_by_day")]
        constraints = [
            # An expiry is recorded once, however often the sweep runs (R28).
            models.UniqueConstraint(fields=["box", "day"], condition=Q(kind="expired"), name="boxevent_expired_once")
        ]

    def __str__(self) -> str:
        return f"{self.box_id} {self.get_kind_display()} {self.day}"
