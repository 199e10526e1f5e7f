"""Paid time of a domain, and the copies of its dates that its boxes carry (R17).

With flows.py and reversals.py the only writer of dates and periods. Domain and boxes come locked, the domain first, in
the caller's transaction.
"""

import uuid
from collections.abc import Sequence
from datetime import date, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from mailboxes import rules
from mailboxes.models import BoxEvent, Domain, Mailbox, PaidPeriod
from mailboxes.models.boxes import Phase
from pecportal import clock
from pecportal.errors import RefusedError


def lock_boxes(domain: Domain) -> list[Mailbox]:
    """The live boxes of a domain, whoever owns them, locked in the order of their ids. The domain is locked already."""
    return list(
        Mailbox.objects.locked()
        .filter(domain=domain, phase=Phase.LIVE)
        .select_related("address", "plan", "holder", "owner")
        .order_by("pk")
    )


def extend_domain(
    *, domain: Domain, boxes: Sequence[Mailbox], years: int, source: uuid.UUID, today: date
) -> PaidPeriod:
    """Add a paid term to a domain: its period, its dates, and the same dates on each of its live boxes (R14, R15, R17).

    `boxes`: lock_boxes of it. `source` is the public id of the domain's order line: a second call with it raises
    IntegrityError and changes nothing. However many boxes there are, the statements are the same.
    """
    if domain.expires_on is None or domain.anchor_month is None or domain.anchor_day is None:
        raise ValueError("only a live domain can be extended")
    new_expiry = rules.add_years(
        domain.expires_on, years, anchor_month=domain.anchor_month, anchor_day=domain.anchor_day
    )
    period = PaidPeriod.objects.create(
        domain=domain,
        starts=domain.expires_on + timedelta(days=1),
        ends=new_expiry,
        source=source,
        moved_delete_from=domain.delete_from,
    )
    delete_from = rules.deletion_day(new_expiry, grace_days=domain.grace_days, not_before=domain.delete_from)
    domain.expires_on, domain.delete_from = new_expiry, delete_from
    domain.save(update_fields=["expires_on", "delete_from"])
    _copy_dates(domain, boxes, today=today, kind=BoxEvent.Kind.RENEWED, detail=f"{period.starts} – {period.ends}")
    return period


def _copy_dates(domain: Domain, boxes: Sequence[Mailbox], *, today: date, kind: str, detail: str) -> None:
    told = {"expires_on": domain.expires_on, "delete_from": domain.delete_from, "platform_due_at": clock.now()}
    Mailbox.objects.filter(pk__in=[box.pk for box in boxes]).update(**told)
    for box in boxes:
        for name, value in told.items():
            setattr(box, name, value)
    BoxEvent.objects.bulk_create(
        [BoxEvent(box=box, day=today, kind=kind, detail=detail) for box in boxes], batch_size=1000
    )


def restore_dates(*, domain_id: int, today: date) -> None:
    """Write the dates of a live domain anew from its paid periods, and its boxes' from it (R15, R17).

    For the reconciliation, when something else has written them. Nothing comes nearer to its deletion than GRACE_DAYS
    from today. Raises RefusedError when there is no period to go by.
    """
    with transaction.atomic(durable=True):
        domain = Domain.objects.locked().get(pk=domain_id)
        if domain.phase != Phase.LIVE or domain.expires_on is None:
            return
        terms = [rules.Term(p.starts, p.ends, p.reversed_on) for p in domain.periods.filter(reverses=None)]
        expiry = rules.expiry_of(terms)
        if expiry is None:
            raise RefusedError(_("Il dominio non ha periodi pagati da cui riprendere la scadenza."))
        if expiry == domain.expires_on:
            return
        before = domain.expires_on
        least = today + timedelta(days=settings.GRACE_DAYS)
        if domain.delete_from is not None and expiry > domain.expires_on:  # whatever became of GRACE_DAYS (R13)
            least = max(least, domain.delete_from)
        delete_from = rules.deletion_day(expiry, grace_days=domain.grace_days, not_before=least)
        domain.expires_on, domain.delete_from = expiry, delete_from
        domain.save(update_fields=["expires_on", "delete_from"])
        boxes = lock_boxes(domain)
        detail = _("scadenza riscritta dai periodi: %(before)s → %(after)s") % {"before": before, "after": expiry}
        _copy_dates(domain, boxes, today=today, kind=BoxEvent.Kind.REVERSED, detail=detail[:200])
        # An expiry that comes back is recorded anew on its day.
        Mailbox.objects.filter(pk__in=[box.pk for box in boxes]).update(expiry_recorded_for=None)
