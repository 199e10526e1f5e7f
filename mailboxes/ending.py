"""The end of a box: deletion begun, deletion done, and what stays of it for ever (R29, R30).

The only writer of the phases DELETING and DELETED. Rows come locked, in a transaction; lifecycle.deletion says when.
"""

from datetime import date

from mailboxes.flows import tombstone_hash
from mailboxes.models import Address, BoxEvent, Domain, Mailbox
from mailboxes.models.boxes import Phase
from pecportal import clock


def begin(box: Mailbox, *, today: date, why: str) -> None:
    """Record DELETING, the point of no return (box locked, live): its login is gone with its password (§4, R29).

    The sessions of the login end with that: they hang on the password's hash, and on a box that has the login. `why`
    is written in the box's diary. Raises ValueError on a box that is not live.
    """
    if box.phase != Phase.LIVE:
        raise ValueError(f"box {box.pk} is {box.phase}: only a live one can be deleted")
    login, now = box.login, clock.now()
    box.phase, box.login = Phase.DELETING, None
    # Nothing waits to be told to the mail system any more. A mark ahead of us says that somebody is telling it now: it
    # stays, and the purge waits until it is over, or the mail system would be told of a box that is gone.
    if box.platform_due_at is not None and box.platform_due_at <= now:
        box.platform_due_at = None
    box.save(update_fields=["phase", "login", "platform_due_at"])
    if login is not None:
        login.set_unusable_password()
        login.save(update_fields=["password"])
    BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.DELETING, detail=why[:200])


def finish(box: Mailbox, *, today: date) -> None:
    """Record DELETED (box locked, deleting): its content is confirmed gone. The address keeps its tombstone (R30)."""
    if box.phase != Phase.DELETING:
        raise ValueError(f"box {box.pk} is {box.phase}: its deletion has not begun")
    box.phase, box.platform_due_at = Phase.DELETED, None
    box.save(update_fields=["phase", "platform_due_at"])
    Address.objects.filter(pk=box.address_id).update(tombstone=tombstone_hash(box.holder.fiscal_key))
    BoxEvent.objects.create(box=box, day=today, kind=BoxEvent.Kind.DELETED)


def finish_domain(domain: Domain) -> None:
    """Record a domain as DELETED (locked, live, its boxes all gone): it has no content of its own to purge (R17)."""
    if domain.phase != Phase.LIVE or domain.boxes.exclude(phase=Phase.DELETED).exists():
        raise ValueError(f"domain {domain.pk} still has boxes, or is gone")
    domain.phase = Phase.DELETED
    domain.save(update_fields=["phase"])
