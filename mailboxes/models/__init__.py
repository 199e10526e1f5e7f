"""What is owned: plans and prices, holders, addresses, boxes, domains and the periods that were paid."""

from .boxes import Address, BoxEvent, Domain, Holder, Mailbox
from .catalogue import Plan, Price, VatRate
from .periods import PaidPeriod
from .space import SpaceUsed

__all__ = ["Address", "BoxEvent", "Domain", "Holder", "Mailbox", "PaidPeriod", "Plan", "Price", "SpaceUsed", "VatRate"]
