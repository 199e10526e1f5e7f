"""What is ordered: orders, a line per box, domain or address, and the rows that tell every move (R8–R10)."""

import secrets
import uuid
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import FiscalIdentity, InvoiceAddressee, User
from mailboxes.models import Address, Domain, Mailbox, PaidPeriod, Plan
from renewals import words

HALF_CENT = Decimal("0.005")
NUMBER_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # nothing that reads like something else; 32 letters, six of them


class Kind(models.TextChoices):
    RENEWAL = "renewal", _("Rinnovo")
    SPACE = "space", _("Spazio aggiuntivo")
    PURCHASE = "purchase", _("Acquisto")
    DOMAIN_RENEWAL = "domain_renewal", _("Rinnovo dominio")


NUMBER_PREFIX = {Kind.RENEWAL: "R", Kind.SPACE: "S", Kind.PURCHASE: "A", Kind.DOMAIN_RENEWAL: "D"}


def new_number(kind: str) -> str:
    """An order number such as R-7KQ4M2: opaque, short enough to type from a bank form."""
    return f"{NUMBER_PREFIX[Kind(kind)]}-" + "".join(secrets.choice(NUMBER_ALPHABET) for _ in range(6))


class OrderQuerySet(models.QuerySet["Order"]):
    def visible_to(self, user: User) -> Self:
        """Orders of the account; for a mailbox login those whose every line is its own box's (R1)."""
        if not user.is_mailbox:
            return self.filter(owner=user)
        foreign = OrderLine.objects.filter(order=models.OuterRef("pk")).exclude(mailbox__login=user)
        mine = OrderLine.objects.filter(order=models.OuterRef("pk"), mailbox__login=user)
        return self.filter(models.Exists(mine) & ~models.Exists(foreign))

    def locked(self) -> Self:
        return self.select_for_update(no_key=True, of=("self",))


class Order(models.Model):
    """An order as confirmed: what it froze is never edited (R8). Status: renewals.flows and renewals.settle only."""

    Kind = Kind

    class Status(models.TextChoices):
        AWAITING_PAYMENT = "awaiting_payment", _("In attesa di pagamento")
        PAID = "paid", _("Pagato")
        FULFILLED = "fulfilled", _("Evaso")
        ATTENTION = "attention", _("Da verificare")
        CANCELLED = "cancelled", _("Annullato")
        LAPSED = "lapsed", _("Decaduto")
        REFUNDED = "refunded", _("Rimborsato")
        REVERSED = "reversed", _("Stornato")

    # The one table of moves (R10); awaiting_payment → fulfilled only for a public body's commitment (R26c).
    MOVES: dict[str, frozenset[str]] = {
        "": frozenset({Status.AWAITING_PAYMENT}),
        Status.AWAITING_PAYMENT: frozenset({Status.PAID, Status.CANCELLED, Status.LAPSED, Status.FULFILLED}),
        Status.PAID: frozenset({Status.FULFILLED, Status.ATTENTION, Status.REFUNDED}),
        Status.ATTENTION: frozenset({Status.PAID, Status.FULFILLED, Status.REFUNDED}),
        Status.FULFILLED: frozenset({Status.REVERSED}),
        Status.CANCELLED: frozenset(),
        Status.LAPSED: frozenset(),
        Status.REFUNDED: frozenset(),
        Status.REVERSED: frozenset(),
    }

    number = models.CharField(_("numero"), max_length=8, unique=True, editable=False)
    kind = models.CharField(_("tipo"), max_length=14, choices=Kind.choices)
    status = models.CharField(_("stato"), max_length=16, choices=Status.choices, default=Status.AWAITING_PAYMENT)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="orders", verbose_name=_("account"))
    placed_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", null=True, verbose_name=_("confermato da")
    )
    years = models.PositiveSmallIntegerField(_("frequenza di rinnovo"), null=True, blank=True)
    email = models.EmailField(_("e-mail dell'ordine"))
    method = models.CharField(_("metodo scelto"), max_length=12, blank=True)
    transfer_declared_on = models.DateField(_("bonifico dichiarato il"), null=True, blank=True)
    # Money: EUR; VAT once on the taxable sum, half-up (R26). amount_due is what the customer pays us.
    vat_rate = models.DecimalField(_("aliquota IVA"), max_digits=5, decimal_places=4)
    taxable = models.DecimalField(_("imponibile"), max_digits=9, decimal_places=2)
    vat = models.DecimalField(_("IVA"), max_digits=9, decimal_places=2)
    total = models.DecimalField(_("totale"), max_digits=9, decimal_places=2)
    amount_due = models.DecimalField(_("da pagare"), max_digits=9, decimal_places=2)
    # The contract: which text, when, from where (R8); what a consumer asked for (R26b).
    terms_version = models.CharField(_("condizioni, versione"), max_length=20)
    terms_accepted_at = models.DateTimeField(_("condizioni accettate il"))
    terms_ip = models.GenericIPAddressField(_("da indirizzo IP"), null=True)
    is_consumer = models.BooleanField(_("consumatore"), default=False)
    immediate_start = models.BooleanField(_("inizio immediato richiesto"), default=False)
    lapses_on = models.DateField(_("pagabile fino al"), help_text=_("ultimo giorno"))
    confirmed_at = models.DateTimeField(_("confermato il"))
    paid_at = models.DateTimeField(_("pagato il"), null=True, blank=True)
    fulfilled_at = models.DateTimeField(_("evaso il"), null=True, blank=True)
    collected_at = models.DateTimeField(_("incassato il"), null=True, blank=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        ordering = ["-confirmed_at", "-id"]
        verbose_name = _("ordine")
        verbose_name_plural = _("ordini")
        constraints = [
            # To the cent; SQLite keeps decimals as floats, whose sums are not equal to the last bit.
            models.CheckConstraint(
                condition=Q(total__gt=F("taxable") + F("vat") - HALF_CENT)
                & Q(total__lt=F("taxable") + F("vat") + HALF_CENT),
                name="order_total_is_the_sum",
            ),
            models.CheckConstraint(
                condition=Q(taxable__gt=0, vat__gte=0, amount_due__gt=0), name="order_amounts_positive"
            ),
            models.CheckConstraint(condition=Q(amount_due__lte=F("total")), name="order_due_at_most_total"),
            models.CheckConstraint(condition=Q(years=None) | Q(years__gte=1, years__lte=5), name="order_years_1_to_5"),
            models.CheckConstraint(
                condition=Q(kind="space", years=None) | ~Q(kind="space") & Q(years__isnull=False),
                name="order_years_unless_space",
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-confirmed_at"], name="order_list_of_owner"),
            models.Index(
                fields=["lapses_on", "id"], condition=Q(status="awaiting_payment"), name="order_awaiting_by_lapse"
            ),
            models.Index(fields=["paid_at", "id"], condition=Q(status="paid"), name="order_paid_to_fulfil"),
            # Fulfilled on a public body's word, the money still to come (R26c).
            models.Index(
                fields=["fulfilled_at", "id"],
                condition=Q(status="fulfilled", collected_at=None),
                name="order_to_collect",
            ),
            # What was given lately, for who makes its invoice.
            models.Index(fields=["fulfilled_at"], condition=Q(fulfilled_at__isnull=False), name="order_given_lately"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def is_awaiting_payment(self) -> bool:
        return self.status == self.Status.AWAITING_PAYMENT

    @property
    def awaits_collection(self) -> bool:
        """Fulfilled on a public body's commitment, the money still to come: evaso, da incassare (R26c)."""
        return self.status == self.Status.FULFILLED and self.collected_at is None

    @property
    def state_in_words(self) -> str:
        """The status for whoever ordered; staff read `get_status_display`."""
        return words.order_state(status=self.status, kind=self.kind, to_collect=self.awaits_collection)

    @property
    def payable_until(self) -> date:
        """The last day to pay this order: its own lapse, or the last renewable day of its boxes (R12b)."""
        days = [target.last_renewable_day for target in targets_of(self.lines.all())]
        return min([self.lapses_on, *(day for day in days if day)])


class OrderLine(models.Model):
    """One box, domain or address of an order, with the prices it was confirmed at.

    Net prices a year: the line's net is `years` × (plan + GB above the plan's base × price of a GB).
    """

    class Status(models.TextChoices):
        WAITING = "waiting", _("In attesa")
        ATTENTION = "attention", _("Da verificare")
        FULFILLED = "fulfilled", _("Evasa")
        CLOSED = "closed", _("Chiusa")
        REFUNDED = "refunded", _("Rimborsata")
        REVERSED = "reversed", _("Stornata")

    MOVES: dict[str, frozenset[str]] = {
        Status.WAITING: frozenset({Status.ATTENTION, Status.FULFILLED, Status.REFUNDED, Status.CLOSED}),
        Status.ATTENTION: frozenset({Status.WAITING, Status.FULFILLED, Status.REFUNDED}),
        Status.FULFILLED: frozenset({Status.REVERSED}),
        Status.CLOSED: frozenset(),
        Status.REFUNDED: frozenset(),
        Status.REVERSED: frozenset(),
    }
    OPEN = frozenset({Status.WAITING, Status.ATTENTION})

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="lines", verbose_name=_("ordine"))
    kind = models.CharField(_("tipo"), max_length=14, choices=Kind.choices)
    status = models.CharField(_("stato"), max_length=10, choices=Status.choices, default=Status.WAITING)
    is_open = models.BooleanField(default=True, editable=False)
    mailbox = models.ForeignKey(Mailbox, on_delete=models.PROTECT, null=True, blank=True, related_name="order_lines")
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, null=True, blank=True, related_name="order_lines")
    address = models.ForeignKey(Address, on_delete=models.PROTECT, null=True, blank=True, related_name="order_lines")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, blank=True, verbose_name=_("tipologia"))
    mailbox_gb = models.PositiveSmallIntegerField(_("GB di casella"), null=True, blank=True)
    archive_gb = models.PositiveSmallIntegerField(_("GB di archivio"), null=True, blank=True)
    base_price = models.DecimalField(_("prezzo della tipologia"), max_digits=9, decimal_places=2, default=Decimal(0))
    billed_mailbox_gb = models.PositiveSmallIntegerField(_("GB di casella a pagamento"), default=0)
    mailbox_gb_price = models.DecimalField(
        _("prezzo del GB di casella"), max_digits=9, decimal_places=2, default=Decimal(0)
    )
    billed_archive_gb = models.PositiveSmallIntegerField(_("GB di archivio a pagamento"), default=0)
    archive_gb_price = models.DecimalField(
        _("prezzo del GB di archivio"), max_digits=9, decimal_places=2, default=Decimal(0)
    )
    net = models.DecimalField(_("netto"), max_digits=9, decimal_places=2)
    archive_loss_accepted = models.BooleanField(_("perdita dell'archivio accettata"), default=False)  # R7
    old_expiry = models.DateField(_("scadenza alla conferma"), null=True, blank=True)
    period = models.OneToOneField(
        PaidPeriod, on_delete=models.PROTECT, null=True, blank=True, related_name="order_line"
    )

    class Meta:
        ordering = ["id"]
        verbose_name = _("riga d'ordine")
        verbose_name_plural = _("righe d'ordine")
        constraints = [
            models.CheckConstraint(
                condition=Q(mailbox__isnull=False, domain=None, address=None)
                | Q(mailbox=None, domain__isnull=False, address=None)
                | Q(mailbox=None, domain=None, address__isnull=False),
                name="line_points_at_one_thing",
            ),
            # R9: two tabs make one order. is_open is written with the status.
            models.UniqueConstraint(
                fields=["mailbox", "kind"], condition=Q(is_open=True), name="line_one_open_per_box"
            ),
            models.UniqueConstraint(
                fields=["domain", "kind"], condition=Q(is_open=True), name="line_one_open_per_domain"
            ),
            models.UniqueConstraint(
                fields=["address", "kind"], condition=Q(is_open=True), name="line_one_open_per_address"
            ),
            models.CheckConstraint(
                condition=Q(is_open=True, status__in=["waiting", "attention"])
                | Q(is_open=False) & ~Q(status__in=["waiting", "attention"]),
                name="line_open_as_its_status",
            ),
            models.CheckConstraint(condition=Q(net__gt=0), name="line_net_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.order} · {self.target}"

    @property
    def box(self) -> Mailbox | None:
        """The box that it is about: the one it points at, or the one that a purchase brought to life."""
        if self.mailbox_id is not None or self.period is None:
            return self.mailbox
        return self.period.box

    @property
    def box_id(self) -> int | None:
        if self.mailbox_id is not None or self.period is None:
            return self.mailbox_id
        return self.period.box_id

    @property
    def target(self) -> Mailbox | Domain | Address:
        return self.mailbox or self.domain or self.address  # type: ignore[return-value]

    @property
    def follows_domain(self) -> bool:
        """The line of a box in a domain's renewal: the domain's own line makes the period and the dates (§4, R17)."""
        return self.kind == Kind.DOMAIN_RENEWAL and self.mailbox_id is not None


def targets_of(lines: Iterable[OrderLine]) -> list[Mailbox | Domain]:
    """What the days of an order hang on: its boxes; of a domain's renewal the domain, which its boxes follow (R17).

    A box of a domain that is no longer there takes nothing from the others: its line alone is to be decided.
    """
    found = [line.mailbox if line.mailbox_id else line.domain for line in lines if not line.follows_domain]
    return [target for target in found if target is not None]


class HolderSnapshot(FiscalIdentity):
    """The holder's data as confirmed with the order line (R8, step 2 of the wizard)."""

    line = models.OneToOneField(OrderLine, on_delete=models.PROTECT, related_name="holder")

    class Meta:
        verbose_name = _("intestatario dell'ordine")
        verbose_name_plural = _("intestatari degli ordini")


class BillingSnapshot(InvoiceAddressee):
    """The account's billing data: as at confirmation, until registration fixes them (`fixed_at`, R8)."""

    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="billing")
    fixed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("dati di fatturazione dell'ordine")
        verbose_name_plural = _("dati di fatturazione degli ordini")


class OrderEvent(models.Model):
    """A move of an order or of one of its lines: who, when, why (R10, R32). Append-only."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="events", verbose_name=_("ordine"))
    line = models.ForeignKey(OrderLine, on_delete=models.PROTECT, null=True, blank=True, related_name="events")
    before = models.CharField(_("da"), max_length=16, blank=True)
    after = models.CharField(_("a"), max_length=16, blank=True)
    actor = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("chi")
    )
    why = models.CharField(_("perché"), max_length=200, blank=True)
    at = models.DateTimeField(_("quando"), auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = _("evento dell'ordine")
        verbose_name_plural = _("eventi degli ordini")

    def __str__(self) -> str:
        return f"{self.order_id}: {self.before} → {self.after}"
