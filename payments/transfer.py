"""What a customer needs to make a bank transfer for an order."""

from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings

from payments.bank import creditor_reference
from renewals.models import Order


@dataclass(frozen=True)
class Instructions:
    """The rows of templates/payments/_transfer_details.html; `iban` in groups of four, `amount` in EUR."""

    amount: Decimal
    beneficiary: str
    iban: str
    bank: str
    reference: str

    @property
    def iban_bare(self) -> str:
        return self.iban.replace(" ", "")


def instructions(order: Order, *, amount: Decimal) -> Instructions:
    """Instructions for what `order` still lacks."""
    bare = settings.BANK_IBAN.replace(" ", "")
    return Instructions(
        amount=amount,
        beneficiary=settings.BANK_BENEFICIARY,
        iban=" ".join(bare[i : i + 4] for i in range(0, len(bare), 4)),
        bank=settings.BANK_NAME,
        reference=creditor_reference(order),
    )
