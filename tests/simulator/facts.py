"""The facts of a box's life, as the simulator draws them and the oracle reads them: plain, nothing of the product.

Amounts of space are GB, usage is thousandths of a GB, so that nothing is rounded.
"""

from dataclasses import dataclass
from datetime import date

GRACE = 90  # days after the expiry on which a box can still be renewed (R13)
RANK = {"domain": 0, "standard": 1, "pro": 2, "premium": 3}
MAX_MAILBOX = {"domain": 1, "standard": 2}  # R6: the others have no end
HAS_ARCHIVE = {"pro", "premium"}


@dataclass(frozen=True)
class Space:
    plan: str
    mailbox: int
    archive: int

    def joined(self, other: "Space") -> "Space":
        """The larger of both, space by space, and the plan of the higher rank (§4)."""
        plan = max(self.plan, other.plan, key=RANK.__getitem__)
        return Space(plan, max(self.mailbox, other.mailbox), max(self.archive, other.archive))


@dataclass(frozen=True)
class Renewal:
    """An order for `years` fulfilled on `day`; its money was begun on `begun`. Space is None for a domain's (R6).

    `ordered`: confirmed on the screens on the day it was begun, after the job, so that R4 and R7's guard may refuse it.
    """

    day: date
    begun: date
    years: int
    space: Space | None
    late: bool = False  # after that day's job; always, where it was ordered
    ordered: bool = False


@dataclass(frozen=True)
class OnDay:
    """So much of both spaces, from a day on."""

    day: date
    mailbox: int
    archive: int


@dataclass(frozen=True)
class Extra(OnDay):
    """A space order fulfilled: GB more."""

    late: bool = False


@dataclass(frozen=True)
class Usage(OnDay):
    """What is in the box; never more than it can hold."""


@dataclass(frozen=True)
class Automatic:
    """The automatic renewal on or off, or (`over`) its charge given up for the expiry of that day."""

    day: date
    on: bool
    over: bool = False


@dataclass(frozen=True)
class Span:
    """Both days are inside."""

    first: date
    last: date

    def holds(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass(frozen=True)
class Money(Span):
    """Money begun and ended at night that became no renewal. `by_staff`: an order in attention until they decide."""

    by_staff: bool = False


@dataclass(frozen=True)
class History:
    opened: date
    expires_on: date
    space: Space
    renewals: tuple[Renewal, ...] = ()
    extras: tuple[Extra, ...] = ()
    usage: tuple[Usage, ...] = ()
    automatic: tuple[Automatic, ...] = ()
    holds: tuple[Span, ...] = ()
    money: tuple[Money, ...] = ()
    readable: bool = True  # there is an address to write to, not hosted here
    dead_contact: tuple[Span, ...] = ()  # the relay accepts nothing for it
    deletion_days: int = GRACE  # a domain may have its own (R17)
