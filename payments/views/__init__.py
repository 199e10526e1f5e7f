"""The pages of paying: thin edges around payments.flows, a module a theme."""

from .automatic import auto_renewal, auto_renewal_off
from .card import card, card_setup
from .orders import cancel, order, outcome
from .paying import come_back, pay, transfer
from .sandbox import sandbox
from .webhooks import webhook

__all__ = [
    "auto_renewal", "auto_renewal_off", "cancel", "card", "card_setup", "come_back", "order", "outcome", "pay",
    "sandbox", "transfer", "webhook",
]  # fmt: skip
