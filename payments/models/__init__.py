"""How it is paid: attempts, bank money and what it pays, saved methods, automatic renewals, what staff must decide."""

from .attempts import Payment, PaymentEvent, PaymentQuerySet, ProviderEvent
from .automatic import AutoRenewal, ScheduledCharge
from .bank import Allocation, Commitment, Receipt, Statement, StatementRow
from .cases import Case
from .methods import MethodSetup, ProviderCustomer, StoredMethod
from .reconciliation import Difference, Reconciliation
from .refunds import Refund, Withdrawal

__all__ = [
    "Allocation", "AutoRenewal", "Case", "Commitment", "Difference", "MethodSetup", "Payment", "PaymentEvent",
    "PaymentQuerySet", "ProviderCustomer", "ProviderEvent", "Receipt", "Reconciliation", "Refund", "ScheduledCharge",
    "Statement", "StatementRow", "StoredMethod", "Withdrawal",
]  # fmt: skip
