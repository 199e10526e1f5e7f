"""Rinnovo automatico: consent given, switched off, switched on (R23, R24, R24b).

The writer of AutoRenewal and of the copies on the box, under the box lock. The charge job is payments.charging.
"""

import logging
from collections.abc import Collection
from datetime import date, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes import rules as boxes
from mailboxes.catalogue import prices_on
from mailboxes.flows import contacts
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from payments import scheduled
from payments.charge_days import charge_day, charge_day_from, coming_day
from payments.models import AutoRenewal, Payment, ScheduledCharge, StoredMethod
from payments.providers.base import SavedMethod
from pecportal import clock, mail
from pecportal.errors import RefusedError
from renewals import flows as orders
from renewals.models import Kind, Order, OrderLine

__all__ = ["charge_day", "charge_day_from", "coming_day"]  # asked of this module by the screens
CONSENT_TEXT_VERSION = "2026-11"  # of templates/payments/_auto_renewal_consent.html
PURCHASE_TEXT_VERSION = "2026-11-acquisto"  # of the same, where the day follows from the activation
TOLD = ("address", "holder", "owner")  # what a mail about a box names, and where it goes
log = logging.getLogger(__name__)


def next_choice(box: Mailbox) -> orders.Choice:
    """Plan and GB of the next period: those that wait for their day, else those in force (§4 Capacity)."""
    return orders.Choice(
        plan=box.next_plan or box.plan,
        mailbox_gb=box.mailbox_gb if box.next_mailbox_gb is None else box.next_mailbox_gb,
        archive_gb=box.archive_gb if box.next_archive_gb is None else box.next_archive_gb,
    )


def amount_of(box: Mailbox, *, years: int, day: date) -> Decimal:
    """What a charge for the plan and GB of the next period costs at the prices of `day`, VAT included, EUR."""
    return orders.quote(box=box, choice=next_choice(box), years=years, prices=prices_on(day)).totals.total


def after_payment(*, order: Order, payment: Payment, saved: SavedMethod) -> None:
    """A card paid while signed in, with the consent given beside it: switch automatic renewal on (R23).

    Called in the transaction that registers the payment, order and payment locked. Only renewals and purchases do this.
    """
    if order.kind not in (Kind.RENEWAL, Kind.PURCHASE) or order.years is None or payment.started_by is None:
        return
    method = keep_method(login=payment.started_by, provider=payment.provider, saved=saved)
    if method.login_id != payment.started_by_id:
        return  # R24b: the provider named a method that another login gave
    payment.method = method
    payment.save(update_fields=["method"])
    # Of a purchase the box may be yet to come: after_activation finds the method on the payment.
    lines = {line.box_id: line for line in order.lines.select_related("period") if line.box_id is not None}
    live = Mailbox.objects.locked().select_related(*TOLD).filter(pk__in=lines, phase=Phase.LIVE)
    for box in live.order_by("pk"):
        if _decided_since(box, payment):
            continue
        given = lines[box.pk].status == OrderLine.Status.FULFILLED  # the method was kept after the years were given
        next_expiry = box.expires_on if given and box.expires_on else _expiry_after(box, order.years)
        _switch_on(
            box=box, method=method, years=order.years, amount=order.total, user=payment.started_by,
            text_version=payment.consent_text_version, order=order, next_expiry=next_expiry,
        )  # fmt: skip


def after_activation(order: Order, box: Mailbox) -> None:
    """The consent given with a purchase's payment, now that its box lives (R23).

    In the transaction that brings the box to life, order and box locked. What goes wrong here never undoes that life.
    """
    agreed = Payment.objects.filter(
        order=order, status=Payment.Status.REGISTERED, auto_renewal_agreed=True, started_by__isnull=False
    )
    payment = agreed.exclude(method=None).select_related("started_by").order_by("-registered_at", "-id").first()
    if payment is None or payment.started_by is None or payment.method_id is None:
        return
    if order.years is None or box.expires_on is None:
        return
    try:
        with transaction.atomic():
            # Held, so that it is not taken away between this look and the consent.
            saved = StoredMethod.objects.select_for_update(no_key=True).filter(pk=payment.method_id, removed_at=None)
            if method := saved.first():
                _switch_on(
                    box=box, method=method, years=order.years, amount=order.total, user=payment.started_by,
                    text_version=payment.consent_text_version, order=order, next_expiry=box.expires_on,
                )  # fmt: skip
    except Exception:  # the box lives and is paid for: that stands whatever becomes of the consent
        log.exception("automatic renewal could not be switched on by payment %s", payment.pk)


def _decided_since(box: Mailbox, payment: Payment) -> bool:
    """Whether somebody switched automatic renewal on or off by hand after this payment was registered: that holds."""
    since = payment.registered_at
    hers = AutoRenewal.objects.filter(box=box)
    return since is not None and hers.filter(Q(agreed_at__gt=since) | Q(ended_at__gt=since)).exists()


def _expiry_after(box: Mailbox, years: int) -> date:
    if box.expires_on is None or box.anchor_month is None or box.anchor_day is None:
        raise ValueError("only a live standalone box renews by itself")
    return boxes.add_years(box.expires_on, years, anchor_month=box.anchor_month, anchor_day=box.anchor_day)


def keep_method(*, login: User, provider: str, saved: SavedMethod) -> StoredMethod:
    """Keep a method the provider saved, of the login that gave it; the same method again is the same row."""
    method, created = StoredMethod.objects.get_or_create(
        provider=provider,
        remote_id=saved.remote_id,
        defaults={
            "login": login,
            "label": saved.label,
            "expires_month": saved.expires_month,
            "expires_year": saved.expires_year,
        },
    )
    if method.removed_at is not None and method.login_id == login.pk:
        method.removed_at = method.forgotten_at = None  # given once more by whoever took it away
        method.save(update_fields=["removed_at", "forgotten_at"])
    elif not created:
        return method
    if (
        method.login_id == login.pk
        and not StoredMethod.objects.filter(login=login, removed_at=None, is_default=True).exists()
    ):
        try:
            with transaction.atomic():
                method.is_default = True
                method.save(update_fields=["is_default"])
        except IntegrityError:  # stored_method_one_default: another tab saved the first one
            method.is_default = False
    return method


def _switch_on(
    *, box: Mailbox, method: StoredMethod, years: int, amount: Decimal, user: User, text_version: str,
    next_expiry: date, order: Order | None = None,
) -> None:  # fmt: skip
    now = clock.now()
    AutoRenewal.objects.filter(box=box, ended_at=None).update(ended_at=now, ended_why=AutoRenewal.Ended.REPLACED)
    consent = AutoRenewal.objects.create(
        box=box, method=method, years=years, amount=amount, consent_text_version=text_version, agreed_by=user,
        agreed_at=now, order=order,
    )  # fmt: skip
    box.auto_renews = True
    box.auto_over_for = None
    box.save(update_fields=["auto_renews", "auto_over_for"])
    today = clock.today()
    charge_on = charge_day_from(next_expiry, today=today)
    # For the expiry being paid right now there is no charge to come.
    told = scheduled.agreed(box=box, consent=consent, today=today) if box.expires_on == next_expiry else None
    _tell(
        "auto_renewal_on", box=box, years=years, amount=amount, method=method, charge_on=charge_on,
        cancel_by=charge_on - timedelta(days=1) if told and charge_on else None,
        free_exit=told is not None and scheduled.is_consumer(box) and told.notice_in_time is False,
    )  # fmt: skip


def refusal_to_turn_on(box: Mailbox, *, today: date) -> str:
    """Why automatic renewal cannot be switched on by hand, in a sentence, or "" when it can (R24)."""
    if box.phase != Phase.LIVE or box.kind == Mailbox.Kind.ON_DOMAIN or box.expires_on is None:
        return _("Questa casella non può avere il rinnovo automatico.")
    if orders.open_renewal_lines().filter(mailbox=box).exists():
        return _("C'è un ordine di rinnovo aperto: pagalo o annullalo, poi attiva il rinnovo automatico.")
    if charge_day_from(box.expires_on, today=today) is None:
        return _("È troppo tardi per un addebito automatico: rinnova adesso la casella.")
    return ""


def turn_on(*, box_id: int, user: User, method_id: int, years: int) -> None:
    """Switch it on by hand with a saved method of the same login (R24, R24b).

    Refused, with the sentence: open renewal order, another login's method, on the expiry day or later, on-domain box.
    """
    if not 1 <= years <= boxes.MAX_YEARS:
        raise RefusedError(_("Scegli da 1 a 5 anni."))
    today = clock.today()
    with transaction.atomic(durable=True):
        # Held, so that it is not taken away between this look and the consent. Lock order: method → mailbox.
        mine = StoredMethod.objects.select_for_update(no_key=True).filter(login=user, removed_at=None)
        method = mine.filter(pk=method_id).first()
        related = ("plan", "next_plan", *TOLD)
        box = Mailbox.objects.visible_to(user).locked().select_related(*related).get(pk=box_id)
        if method is None:
            raise RefusedError(_("Scegli uno dei tuoi metodi di pagamento."))
        if refusal := refusal_to_turn_on(box, today=today):
            raise RefusedError(refusal)
        assert box.expires_on is not None  # of a live box
        amount = amount_of(box, years=years, day=today)
        _switch_on(
            box=box, method=method, years=years, amount=amount, user=user, text_version=CONSENT_TEXT_VERSION,
            next_expiry=box.expires_on,
        )  # fmt: skip


def agree_to_amount(*, box_id: int, user: User, shown: Decimal) -> None:
    """Consent to the higher amount shown, EUR: replaces the one that stood, and the charge goes on (R24, R24b).

    Refused, with the sentence: nothing is asked, another login's method, an open order, on E, another price by now.
    """
    today = clock.today()
    with transaction.atomic(durable=True):
        related = ("plan", "next_plan", *TOLD)
        box = Mailbox.objects.visible_to(user).locked().select_related(*related).get(pk=box_id)
        asked, standing = scheduled.of(box), scheduled.consent_of(box)
        if asked is None or standing is None or asked.status != ScheduledCharge.Status.CONSENT:
            raise RefusedError(_("Non c'è più niente da accettare per questa casella."))
        if standing.method.login_id != user.pk:
            raise RefusedError(_("Il nuovo importo lo accetta chi ha dato il metodo di pagamento."))
        if refusal := refusal_to_turn_on(box, today=today):
            raise RefusedError(refusal)
        assert box.expires_on is not None  # of a live box
        amount = amount_of(box, years=standing.years, day=today)
        if amount != shown:
            raise RefusedError(_("L'importo è cambiato ancora da quando hai aperto la pagina: controlla quello nuovo."))
        _switch_on(
            box=box, method=standing.method, years=standing.years, amount=amount, user=user,
            text_version=CONSENT_TEXT_VERSION, next_expiry=box.expires_on,
        )  # fmt: skip


def end_with_method(method: StoredMethod) -> list[Mailbox]:
    """The method is taken away (its row locked): the automatic renewals it pays end; their boxes (R24).

    In the caller's transaction; boxes are locked here, by id.
    """
    paid_by = AutoRenewal.objects.filter(method=method, ended_at=None).values("box_id")
    boxes_of = list(Mailbox.objects.locked().select_related(*TOLD).filter(pk__in=paid_by).order_by("pk"))
    for box in boxes_of:
        ended = AutoRenewal.objects.filter(box=box, method=method, ended_at=None)
        if ended.update(ended_at=clock.now(), ended_why=AutoRenewal.Ended.METHOD_REMOVED):
            box.auto_renews = False
            box.save(update_fields=["auto_renews"])
            scheduled.cancel(box, why=_("metodo di pagamento rimosso"))
    return boxes_of


def turn_off(*, box_id: int, user: User) -> None:
    """One click off, always allowed to whoever sees the box (R23, R24b). Twice is the same as once.

    What was announced is not charged any more; a charge already sent to the bank takes its course, an order placed
    for it stays open (R24).
    """
    with transaction.atomic(durable=True):
        box = Mailbox.objects.visible_to(user).locked().select_related(*TOLD).get(pk=box_id)
        ended = AutoRenewal.objects.filter(box=box, ended_at=None).update(
            ended_at=clock.now(), ended_why=AutoRenewal.Ended.BY_CUSTOMER
        )
        if not ended and not box.auto_renews:
            return
        box.auto_renews = False
        box.save(update_fields=["auto_renews"])
        scheduled.cancel(box, why=_("disattivato dal cliente"))
        _tell("auto_renewal_off", box=box)


def end_with_box(box: Mailbox) -> None:
    """The deletion of a box begins (box locked): its consent ends, nothing is charged for it any more (R29)."""
    AutoRenewal.objects.filter(box=box, ended_at=None).update(
        ended_at=clock.now(), ended_why=AutoRenewal.Ended.BOX_GONE
    )
    box.auto_renews = False
    box.save(update_fields=["auto_renews"])
    scheduled.cancel(box, why=_("casella cancellata"))


def end_with_order(*, consents: Collection[int], boxes: list[Mailbox]) -> list[Mailbox]:
    """These consents end with the order that is withdrawn from (its boxes locked).

    What was announced under it is not charged any more. Returns the boxes that no longer renew by themselves; whoever
    tells of the withdrawal tells of this.
    """
    ended = []
    for box in boxes:
        found = AutoRenewal.objects.filter(box=box, pk__in=consents, ended_at=None)
        if found.update(ended_at=clock.now(), ended_why=AutoRenewal.Ended.BY_CUSTOMER):
            box.auto_renews = False
            box.save(update_fields=["auto_renews"])
            scheduled.cancel(box, why=_("recesso dall'ordine"))
            ended.append(box)
    return ended


def _tell(template: str, *, box: Mailbox, **facts: object) -> None:
    mail.send(template, to=contacts(box), context={"box": box, **facts})
