"""The stories of boxes and domains: opening, the paid periods, and the space that holds.

With domains.py and reversals.py the only writer of `expires_on`, `delete_from`, the anchors, the capacity in force and
the paid periods (R15). Functions that take a box expect its row locked by the caller, inside a transaction.
"""

import hashlib
import hmac
import uuid
from datetime import date, timedelta
from enum import StrEnum

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes import rules
from mailboxes.models import Address, BoxEvent, Domain, Holder, Mailbox, PaidPeriod, Plan
from mailboxes.models.boxes import Phase
from mailboxes.platform.base import Usage, get_platform
from pecportal import clock, mail
from pecportal.errors import RefusedError


def tombstone_hash(fiscal_key: str) -> str:
    """The keyed hash by which a deleted address remembers its holder (R30)."""
    return hmac.new(settings.TOMBSTONE_KEY.encode(), fiscal_key.encode(), hashlib.sha256).hexdigest()


def limits(plan: Plan) -> rules.PlanLimits:
    return rules.PlanLimits(
        rank=plan.rank,
        base_mailbox_gb=plan.base_mailbox_gb,
        max_mailbox_gb=plan.max_mailbox_gb,
        base_archive_gb=plan.base_archive_gb,
        max_archive_gb=plan.max_archive_gb,
    )


# --- Opening ----------------------------------------------------------------------------------------------------------


def mailbox_login(address: str) -> User:
    """The login of a new life of an address: the same User, with a password that opens nothing (§4 Logins)."""
    login, _created = User.objects.get_or_create(username=address, defaults={"kind": User.Kind.MAILBOX})
    if login.kind != User.Kind.MAILBOX:
        raise RefusedError(_("Esiste un account con questo username: %(address)s.") % {"address": address})
    login.set_unusable_password()
    login.save(update_fields=["password"])
    return login


def _check_year(expires_on: date) -> None:
    if not 2000 <= expires_on.year <= 2100:
        raise RefusedError(_("Controlla l'anno della scadenza: è %(year)s.") % {"year": expires_on.year})


def _first_day(expires_on: date) -> date:
    return rules.clamp(expires_on.year - 1, expires_on.month, expires_on.day) + timedelta(days=1)


def open_box(
    *,
    address: str,
    owner: User,
    holder: Holder,
    plan: Plan,
    expires_on: date | None = None,
    domain: Domain | None = None,
    mailbox_gb: int | None = None,
    archive_gb: int | None = None,
) -> Mailbox:
    """Open a box that exists already elsewhere (import, staff): active, with its opening period.

    `expires_on` is the last day of service of a standalone box; a box on a domain takes the domain's dates and gives
    none. Spaces are total GB, the plan's base when not given.
    Raises RefusedError with the reason: taken address, another holder's tombstone, space outside the plan's limits.
    """
    name = address.strip().lower()
    mailbox_gb = plan.base_mailbox_gb if mailbox_gb is None else mailbox_gb
    archive_gb = plan.base_archive_gb if archive_gb is None else archive_gb
    if not limits(plan).allows(mailbox_gb, archive_gb):
        raise RefusedError(_("Lo spazio indicato non è possibile con la tipologia %(plan)s.") % {"plan": plan})
    if holder.owner_id != owner.pk:
        raise RefusedError(_("Il titolare appartiene a un altro account."))
    if (domain is None) == (expires_on is None):
        raise RefusedError(_("Indica la scadenza, oppure il dominio da cui la casella la prende."))
    if expires_on is not None:
        _check_year(expires_on)
    try:
        with transaction.atomic():
            if domain is not None:
                # Locked before its box (lock order), so that a renewal of the domain cannot pass by unseen (R17).
                domain = Domain.objects.select_for_update(no_key=True, of=("self",)).get(pk=domain.pk)
                if domain.owner_id != owner.pk:
                    raise RefusedError(_("Il dominio appartiene a un altro account."))
                if domain.phase != Phase.LIVE:
                    raise RefusedError(_("Il dominio non è attivo: non vi si possono aprire caselle."))
                expires_on = domain.expires_on
            if expires_on is None:
                raise RefusedError(_("Il dominio non ha ancora una scadenza."))
            grace = settings.GRACE_DAYS
            delete_from = domain.delete_from if domain else rules.deletion_day(expires_on, grace_days=grace)
            certified, _created = Address.objects.get_or_create(name=name)
            if certified.tombstone and not hmac.compare_digest(certified.tombstone, tombstone_hash(holder.fiscal_key)):
                raise RefusedError(_("L'indirizzo è appartenuto a un altro titolare e non può essere riassegnato."))
            box = Mailbox.objects.create(
                address=certified,
                kind=Mailbox.Kind.ON_DOMAIN if domain else Mailbox.Kind.STANDALONE,
                domain=domain,
                owner=owner,
                holder=holder,
                login=mailbox_login(name),
                plan=plan,
                mailbox_gb=mailbox_gb,
                archive_gb=archive_gb,
                phase=Phase.LIVE,
                expires_on=expires_on,
                delete_from=delete_from,
                anchor_month=None if domain else expires_on.month,
                anchor_day=None if domain else expires_on.day,
                platform_due_at=clock.now(),
            )
            if domain is None:
                PaidPeriod.objects.create(
                    box=box,
                    starts=_first_day(expires_on),
                    ends=expires_on,
                    plan=plan,
                    mailbox_gb=mailbox_gb,
                    archive_gb=archive_gb,
                )
            BoxEvent.objects.create(box=box, day=clock.today(), kind=BoxEvent.Kind.OPENED)
    except IntegrityError as error:
        raise RefusedError(_("La casella %(address)s esiste già.") % {"address": name}) from error
    return box


def open_domain(
    *, name: str, mail_host: str, owner: User, expires_on: date, deletion_days: int | None = None
) -> Domain:
    """Open a hosting domain with its opening period; its boxes take its dates. Raises RefusedError when it is there.

    A deleted one of the same name is no obstacle: this is another, and who may have its addresses open_box says (R30).
    """
    grace = settings.GRACE_DAYS if deletion_days is None else deletion_days
    _check_year(expires_on)
    try:
        with transaction.atomic():
            domain = Domain.objects.create(
                name=name.strip().lower(),
                mail_host=mail_host.strip().lower(),
                owner=owner,
                deletion_days=deletion_days,
                expires_on=expires_on,
                delete_from=rules.deletion_day(expires_on, grace_days=grace),
                anchor_month=expires_on.month,
                anchor_day=expires_on.day,
            )
            PaidPeriod.objects.create(domain=domain, starts=_first_day(expires_on), ends=expires_on)
    except IntegrityError as error:
        raise RefusedError(_("Il dominio %(name)s esiste già.") % {"name": name}) from error
    return domain


# --- Paid time --------------------------------------------------------------------------------------------------------


def extend(
    *, box: Mailbox, years: int, source: uuid.UUID, plan: Plan, mailbox_gb: int, archive_gb: int, today: date
) -> PaidPeriod:
    """Add a paid term to a standalone box: period, dates, and the order to tell the platform (R14, R15).

    `source` is the order line's public id: a second call with it raises IntegrityError and changes nothing.
    """
    if box.expires_on is None or box.anchor_month is None or box.anchor_day is None:
        raise ValueError("only a live standalone box can be extended")
    new_expiry = rules.add_years(box.expires_on, years, anchor_month=box.anchor_month, anchor_day=box.anchor_day)
    period = PaidPeriod.objects.create(
        box=box,
        starts=box.expires_on + timedelta(days=1),
        ends=new_expiry,
        plan=plan,
        mailbox_gb=mailbox_gb,
        archive_gb=archive_gb,
        source=source,
        moved_delete_from=box.delete_from,
    )
    box.expires_on = new_expiry
    box.delete_from = rules.deletion_day(new_expiry, grace_days=settings.GRACE_DAYS, not_before=box.delete_from)
    box.platform_due_at = clock.now()
    box.save(update_fields=["expires_on", "delete_from", "platform_due_at"])
    BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.RENEWED, detail=f"{period.starts} – {period.ends}")
    return period


# --- Space ------------------------------------------------------------------------------------------------------------


def order_capacity(
    *, box: Mailbox, plan: Plan, mailbox_gb: int, archive_gb: int, old_expiry: date, today: date
) -> None:
    """Put in force what an order bought: the larger of old and new now, what is smaller on its day (§4, R7)."""
    waiting = None
    if box.next_plan is not None and box.next_mailbox_gb is not None and box.next_archive_gb is not None:
        waiting = rules.Capacity(box.next_plan.rank, box.next_mailbox_gb, box.next_archive_gb)
    result = rules.change(
        current=box.capacity,
        ordered=rules.Capacity(plan.rank, mailbox_gb, archive_gb),
        old_expiry=old_expiry,
        today=today,
        waiting=waiting,
        waiting_on=box.change_on,
    )
    before = f"{box.plan} {box.mailbox_gb}+{box.archive_gb} GB"
    plans = {p.rank: p for p in (box.plan, plan, *([box.next_plan] if box.next_plan else []))}
    box.plan = plans[result.now.rank]
    box.mailbox_gb, box.archive_gb = result.now.mailbox_gb, result.now.archive_gb
    later = result.later
    if (later, result.change_on) != (waiting, box.change_on):
        box.change_refused_on = None  # another change: it may be refused, and told, once more (R7)
    box.next_plan = plans[later.rank] if later else None
    box.next_mailbox_gb = later.mailbox_gb if later else None
    box.next_archive_gb = later.archive_gb if later else None
    box.change_on = result.change_on
    box.platform_due_at = clock.now()
    box.save(
        update_fields=[
            "plan", "mailbox_gb", "archive_gb", "next_plan", "next_mailbox_gb", "next_archive_gb", "change_on",
            "change_refused_on", "platform_due_at",
        ]
    )  # fmt: skip
    after = f"{box.plan} {box.mailbox_gb}+{box.archive_gb} GB"
    if after != before:
        BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.CAPACITY, detail=f"{before} → {after}")


class Change(StrEnum):
    """What start_change found."""

    STARTED = "started"
    REFUSED = "refused"
    NOTHING = "nothing"


def measured(addresses: list[str]) -> dict[str, Usage]:
    """Real usage from the mail system; what it does not know counts as empty."""
    found = get_platform().usage(addresses)
    return {a: found.get(a, Usage(0, 0, None)) for a in addresses}


def start_change(*, box_id: int, today: date) -> Change:
    """Start the smaller plan or space whose day has come, if what is used still fits (R7).

    If it does not fit the old capacity stays and the customer is told once; the years are untouched. Safe to repeat.
    """
    box = Mailbox.objects.select_related("address").get(pk=box_id)
    used = measured([box.address.name])[box.address.name]  # asked before the lock: nothing slow under it
    with transaction.atomic(durable=True):
        box = Mailbox.objects.locked().select_related("plan", "next_plan", "address", "holder", "owner").get(pk=box_id)
        if box.phase != Phase.LIVE or box.change_on is None or box.change_on > today:
            return Change.NOTHING
        plan, mailbox_gb, archive_gb = box.next_plan, box.next_mailbox_gb, box.next_archive_gb
        if plan is None or mailbox_gb is None or archive_gb is None:
            return Change.NOTHING  # the constraint mailbox_change_whole makes this unreachable
        fit = rules.fits(
            limits=limits(plan),
            mailbox_gb=mailbox_gb,
            archive_gb=archive_gb,
            mailbox_used=used.mailbox_bytes,
            archive_used=used.archive_bytes,
            drop_archive=not plan.has_archive,
        )
        if fit.fit is not rules.Fit.FITS:
            if box.change_refused_on is None:
                box.change_refused_on = today
                box.save(update_fields=["change_refused_on"])
                BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.CHANGE_REFUSED, detail=str(plan))
                mail.send(
                    "change_refused",
                    to=contacts(box),
                    context={
                        "box": box,
                        "plan": plan,
                        "mailbox_gb": mailbox_gb,
                        "archive_gb": archive_gb,
                        "used": used,
                    },
                )
            return Change.REFUSED
        before = f"{box.plan} {box.mailbox_gb}+{box.archive_gb} GB"
        box.plan, box.mailbox_gb, box.archive_gb = plan, mailbox_gb, archive_gb
        box.next_plan = box.next_mailbox_gb = box.next_archive_gb = box.change_on = box.change_refused_on = None
        box.platform_due_at = clock.now()
        box.save(
            update_fields=[
                "plan", "mailbox_gb", "archive_gb", "next_plan", "next_mailbox_gb", "next_archive_gb", "change_on",
                "change_refused_on", "platform_due_at",
            ]
        )  # fmt: skip
        detail = f"{before} → {plan} {mailbox_gb}+{archive_gb} GB"
        BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.CAPACITY, detail=detail)
    return Change.STARTED


def contacts(box: Mailbox) -> list[str]:
    """Who is told about a box: its holder's contact and its account's e-mail, once each. Never the box itself."""
    return list(dict.fromkeys(a for a in (box.holder.contact_email, box.owner.email) if a))
