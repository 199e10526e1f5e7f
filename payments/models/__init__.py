"""How it is paid: attempts, bank money and what it pays, saved methods, automatic renewals, invoices, cases."""

from .attempts import Payment, PaymentEvent, PaymentQuerySet, ProviderEvent
from .automatic import AutoRenewal, ScheduledCharge
from .bank import Allocation, Commitment, Receipt, Statement, StatementRow
from .cases import Case
from .invoices import Invoice, InvoiceBuyer, InvoiceCounter, InvoiceEvent
from .methods import MethodSetup, ProviderCustomer, StoredMethod
from .reconciliation import Difference, Reconciliation
from .refunds import Refund, Withdrawal
from .sdi import SdiReceipt, Transmission

__all__ = [
    "Allocation", "AutoRenewal", "Case", "Commitment", "Difference", "Invoice", "InvoiceBuyer", "InvoiceCounter",
    "InvoiceEvent", "MethodSetup", "Payment", "PaymentEvent", "PaymentQuerySet", "ProviderCustomer", "ProviderEvent",
    "Receipt", "Reconciliation", "Refund", "ScheduledCharge", "SdiReceipt", "Statement", "StatementRow", "StoredMethod",
    "Transmission", "Withdrawal",
]  # fmt: skip
