"""The pages of paying: thin edges around payments.flows, a module a theme."""

from .automatic import auto_renewal, auto_renewal_off
from .orders import cancel, order, outcome
from .paying import come_back, pay, transfer
from .sandbox import sandbox
from .webhooks import webhook
from .withdrawal import withdraw, withdraw_confirm

__all__ = [
    "auto_renewal", "auto_renewal_off", "cancel", "come_back", "order", "outcome", "pay", "sandbox", "transfer",
    "webhook", "withdraw", "withdraw_confirm",
]  # fmt: skip
