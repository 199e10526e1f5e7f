"""The pages of paying: thin edges around payments.flows, a module a theme."""

from .automatic import auto_renewal, auto_renewal_off
from .orders import cancel, order, outcome
from .paying import come_back, pay, transfer, transfer_pdf
from .sandbox import sandbox
from .webhooks import webhook

__all__ = [
    "auto_renewal", "auto_renewal_off", "cancel", "come_back", "order", "outcome", "pay", "sandbox", "transfer",
    "transfer_pdf", "webhook",
]  # fmt: skip
