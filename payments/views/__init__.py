"""The pages of paying: thin edges around the flows of payments, a module a theme."""

from .automatic import auto_renewal, auto_renewal_agree, auto_renewal_off
from .card import card, card_setup
from .invoices import invoice_pdf, invoice_xml
from .orders import cancel, order, order_pdf, outcome
from .paying import come_back, pay, transfer, transfer_pdf
from .sandbox import sandbox
from .visitors import find as visitor_find
from .visitors import outcome as visitor_outcome
from .visitors import pay as visitor_pay
from .wallet import method_add, method_default, method_remove, method_return, methods
from .webhooks import webhook
from .withdrawal import withdraw, withdraw_confirm

__all__ = [
    "auto_renewal", "auto_renewal_agree", "auto_renewal_off", "cancel", "card", "card_setup", "come_back",
    "invoice_pdf", "invoice_xml",
    "method_add", "method_default", "method_remove", "method_return", "methods", "order", "order_pdf", "outcome", "pay",
    "sandbox", "transfer", "transfer_pdf", "visitor_find", "visitor_outcome", "visitor_pay", "webhook", "withdraw",
    "withdraw_confirm",
]  # fmt: skip
