"""The first days of a box that was bought: In attivazione when it is paid, alive when the mail system has it (R30).

With flows.py and reversals.py the only writer of dates and periods. Called with the order and the address, or the order
and the box, locked.
"""

import uuid
from datetime import date

from django.conf import settings

from accounts.models import User
from mailboxes import rules
from mailboxes.flows import mailbox_login
from mailboxes.models import Address, BoxEvent, Holder, Mailbox, PaidPeriod, Plan
from mailboxes.models.boxes import Phase
from pecportal import clock


def prepare(
    *, address: Address, owner: User, holder: Holder, plan: Plan, mailbox_gb: int, archive_gb: int
) -> Mailbox:  # fmt: skip
    """A new life of an address (locked), In attivazione: no dates, no login, nothing in it; the mail system is due.

    Raises IntegrityError where the address has a life already (mailbox_one_life_at_a_time).
    """
    return Mailbox.objects.create(
        address=address, owner=owner, holder=holder, plan=plan, mailbox_gb=mailbox_gb, archive_gb=archive_gb,
        phase=Phase.ACTIVATING, platform_due_at=clock.now(),
    )  # fmt: skip


def begin_life(*, box: Mailbox, years: int, source: uuid.UUID, today: date) -> PaidPeriod:
    """The mail system has the box (locked, In attivazione): it lives from today, for `years` (R14: E = D + n years).

    `source` is the order line's public id: a second call with it raises IntegrityError. The login is the address's own,
    with a password that opens nothing until its holder sets one.
    """
    if box.phase != Phase.ACTIVATING:
        raise ValueError("only a box that is being activated begins its life")
    expires_on = rules.add_years(today, years, anchor_month=today.month, anchor_day=today.day)
    period = PaidPeriod.objects.create(
        box=box, starts=today, ends=expires_on, plan=box.plan, mailbox_gb=box.mailbox_gb, archive_gb=box.archive_gb,
        source=source,
    )  # fmt: skip
    box.phase, box.login = Phase.LIVE, mailbox_login(box.address.name)
    box.expires_on, box.delete_from = expires_on, rules.deletion_day(expires_on, grace_days=settings.GRACE_DAYS)
    box.anchor_month, box.anchor_day = today.month, today.day
    box.platform_due_at = clock.now()
    box.save(
        update_fields=[
            "phase", "login", "expires_on", "delete_from", "anchor_month", "anchor_day", "platform_due_at",
        ]
    )  # fmt: skip
    BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.OPENED, detail=f"{period.starts} – {period.ends}")
    return period


def give_up(*, box: Mailbox) -> None:
    """A box (locked) that never came to life, and that the mail system has no more: its row goes, with no date to show.

    The order that paid it tells the story; the address keeps its tombstone, and may be bought again (R30).
    """
    if box.phase != Phase.ACTIVATING:
        raise ValueError("a box that has lived is deleted as R29 says")
    box.delete()
