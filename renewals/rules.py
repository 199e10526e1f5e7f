"""When a box can be renewed, and what may be chosen: pure functions of plain facts (R4, R6, R7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import date
from enum import StrEnum

from mailboxes import rules as boxes


class Reason(StrEnum):
    """Why Rinnova shows or does not. RENEW is the only one that lets an order through."""

    RENEW = "renew"
    ORDER_TO_PAY = "order_to_pay"
    ORDER_AT_WORK = "order_at_work"
    AUTO_RENEWAL = "auto_renewal"
    ON_DOMAIN = "on_domain"
    ACTIVATING = "activating"
    AWAITING_DELETION = "awaiting_deletion"
    DELETING = "deleting"
    DELETED = "deleted"


@dataclass(frozen=True)
class BoxFacts:
    """What R4 looks at. `open_renewal_awaits_payment` is None when no renewal order is open."""

    phase: str
    on_domain: bool
    expires_on: date | None
    delete_from: date | None
    auto_renews: bool
    auto_over_for: date | None
    open_renewal_awaits_payment: bool | None


def offer(facts: BoxFacts, today: date) -> Reason:
    """Whether Rinnova shows, else the reason why not (R4)."""
    state = boxes.state(phase=facts.phase, expires_on=facts.expires_on, delete_from=facts.delete_from, today=today)
    by_state = {
        boxes.State.DELETED: Reason.DELETED,
        boxes.State.DELETING: Reason.DELETING,
        boxes.State.ACTIVATING: Reason.ACTIVATING,
    }
    if state in by_state:
        return by_state[state]
    if facts.on_domain:
        return Reason.ON_DOMAIN
    if state is boxes.State.AWAITING_DELETION:
        return Reason.AWAITING_DELETION
    if facts.open_renewal_awaits_payment is not None:
        return Reason.ORDER_TO_PAY if facts.open_renewal_awaits_payment else Reason.ORDER_AT_WORK
    if facts.auto_renews and facts.auto_over_for != facts.expires_on and state is boxes.State.ACTIVE:
        return Reason.AUTO_RENEWAL
    return Reason.RENEW


class Code(StrEnum):
    """What is wrong with a choice of plan and space."""

    PLAN_NOT_SELECTABLE = "plan_not_selectable"
    MAILBOX_GB_OUTSIDE = "mailbox_gb_outside"
    ARCHIVE_NOT_IN_PLAN = "archive_not_in_plan"
    ARCHIVE_GB_OUTSIDE = "archive_gb_outside"
    NEEDS_MORE_MAILBOX = "needs_more_mailbox"
    NEEDS_MORE_ARCHIVE = "needs_more_archive"
    TOO_FULL = "too_full"
    ARCHIVE_LOSS_NOT_ACCEPTED = "archive_loss_not_accepted"
    SPACE_ORDER_OPEN = "space_order_open"


@dataclass(frozen=True)
class Problem:
    """A code, the field it belongs to, and the numbers its sentence names."""

    code: Code
    field: str
    numbers: dict[str, int] = dataclass_field(default_factory=dict)


def choice_problems(
    *,
    current: boxes.Capacity,
    limits: boxes.PlanLimits,
    selectable: bool,
    mailbox_gb: int,
    archive_gb: int,
    mailbox_used: int,
    archive_used: int,
    archive_loss_accepted: bool,
    space_order_open: bool,
) -> Sequence[Problem]:
    """What stands against renewing with this plan and these total GB; empty when nothing does (R6, R7, R9).

    `*_used` in bytes. Dropping the archive needs its explicit tick; its messages then do not count as used.
    """
    if not selectable:
        return [Problem(Code.PLAN_NOT_SELECTABLE, "plan")]
    found: list[Problem] = []
    if not limits.base_mailbox_gb <= mailbox_gb <= limits.max_mailbox_gb:
        numbers = {"least": limits.base_mailbox_gb, "most": limits.max_mailbox_gb}
        found.append(Problem(Code.MAILBOX_GB_OUTSIDE, "mailbox_gb", numbers))
    if limits.max_archive_gb == 0 and archive_gb != 0:
        found.append(Problem(Code.ARCHIVE_NOT_IN_PLAN, "archive_gb"))
    elif not limits.base_archive_gb <= archive_gb <= limits.max_archive_gb:
        numbers = {"least": limits.base_archive_gb, "most": limits.max_archive_gb}
        found.append(Problem(Code.ARCHIVE_GB_OUTSIDE, "archive_gb", numbers))
    if found:
        return found
    drops_archive = current.archive_gb > 0 and limits.max_archive_gb == 0
    if drops_archive and not archive_loss_accepted:
        found.append(Problem(Code.ARCHIVE_LOSS_NOT_ACCEPTED, "archive_loss"))
    if space_order_open and not boxes.Capacity(limits.rank, mailbox_gb, archive_gb).covers(current):
        found.append(Problem(Code.SPACE_ORDER_OPEN, "plan"))
    found.extend(_space_problems(limits, mailbox_gb, archive_gb, mailbox_used, archive_used, drops_archive))
    return found


def _space_problems(
    limits: boxes.PlanLimits,
    mailbox_gb: int,
    archive_gb: int,
    mailbox_used: int,
    archive_used: int,
    drops_archive: bool,
) -> list[Problem]:
    result = boxes.fits(
        limits=limits,
        mailbox_gb=mailbox_gb,
        archive_gb=archive_gb,
        mailbox_used=mailbox_used,
        archive_used=archive_used,
        drop_archive=drops_archive,
    )
    if result.fit is boxes.Fit.TOO_FULL:
        numbers = {"mailbox": result.free_mailbox_bytes, "archive": result.free_archive_bytes}
        return [Problem(Code.TOO_FULL, "plan", numbers)]
    found = []
    if result.fit is boxes.Fit.FITS_WITH_MORE and result.needed_mailbox_gb > mailbox_gb:
        found.append(Problem(Code.NEEDS_MORE_MAILBOX, "mailbox_gb", {"needed": result.needed_mailbox_gb}))
    if result.fit is boxes.Fit.FITS_WITH_MORE and result.needed_archive_gb > archive_gb:
        found.append(Problem(Code.NEEDS_MORE_ARCHIVE, "archive_gb", {"needed": result.needed_archive_gb}))
    return found
