"""Whether the address of a deleted box may be bought again: a pure function of plain facts (R30)."""

from dataclasses import dataclass
from enum import StrEnum


class Again(StrEnum):
    """Why *Acquista di nuovo* shows or does not. BUY is the only one that lets an order through."""

    BUY = "buy"
    NOT_DELETED = "not_deleted"
    ALIVE = "alive"
    ON_DOMAIN = "on_domain"
    OTHER_HOLDER = "other_holder"
    ORDER_TO_PAY = "order_to_pay"
    ORDER_AT_WORK = "order_at_work"
    ORDERED_ELSEWHERE = "ordered_elsewhere"


@dataclass(frozen=True)
class AgainFacts:
    """What R30 looks at. `lives_again`: the address has a life, or this account had a later one of it.

    `order_awaits_payment` is None when no purchase of the address is open; `order_is_ours`: of this account.
    """

    deleted: bool
    on_domain: bool
    lives_again: bool
    same_holder: bool
    order_awaits_payment: bool | None
    order_is_ours: bool


def offer(facts: AgainFacts) -> Again:
    """Whether it can be bought again, else the reason why not, the one that explains most first."""
    if not facts.deleted:
        return Again.NOT_DELETED
    if facts.lives_again:
        return Again.ALIVE
    if facts.order_awaits_payment is not None and facts.order_is_ours:
        return Again.ORDER_TO_PAY if facts.order_awaits_payment else Again.ORDER_AT_WORK
    if facts.on_domain:
        return Again.ON_DOMAIN
    if not facts.same_holder:
        return Again.OTHER_HOLDER
    if facts.order_awaits_payment is not None:
        return Again.ORDERED_ELSEWHERE
    return Again.BUY
