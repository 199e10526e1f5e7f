"""What a customer needs to pay at the bank or at the post office: what to write, a QR code, a page to print."""

from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from segno import helpers

from payments import papers
from renewals.models import Order
from renewals.references import creditor_reference, customer_code

POSTAL = "postal"
BY_BANK = ("transfer", POSTAL)  # methods whose money comes as a receipt, days later


@dataclass(frozen=True)
class Instructions:
    """`amount` in EUR; `iban` in groups of four; `reference` is what finds the order: causale, or codice cliente."""

    method: str
    amount: Decimal
    beneficiary: str
    iban: str
    bank: str
    reference: str
    account: str = ""

    @property
    def is_postal(self) -> bool:
        return self.method == POSTAL

    @property
    def page(self) -> str:
        """The URL name of the page that shows them."""
        return f"payments:{self.method}"

    @property
    def iban_bare(self) -> str:
        return self.iban.replace(" ", "")

    def qr(self) -> str:
        """The transfer as an EPC QR code, which bank apps read: SVG as a data address; "" where none can be made.

        https://www.europeanpaymentscouncil.eu, EPC069-12.
        """
        if self.is_postal:
            return ""
        try:
            code = helpers.make_epc_qr(
                name=self.beneficiary, iban=self.iban_bare, amount=self.amount,
                reference=self.reference.replace(" ", ""), encoding="utf-8",
            )  # fmt: skip
        except ValueError:
            return ""
        return str(code.svg_data_uri(scale=4, light="#fff", dark="#000", svgclass=None, lineclass=None))


def instructions(order: Order, *, amount: Decimal) -> Instructions:
    """Instructions for what `order` still lacks, by the method it was given."""
    bare = settings.BANK_IBAN.replace(" ", "")
    postal = order.method == POSTAL
    return Instructions(
        method=POSTAL if postal else "transfer",
        amount=amount,
        beneficiary=settings.BANK_BENEFICIARY,
        iban=" ".join(bare[i : i + 4] for i in range(0, len(bare), 4)),
        bank=settings.BANK_NAME,
        reference=customer_code(order) if postal else creditor_reference(order),
        account=settings.POSTAL_ACCOUNT,
    )


def pdf(order: Order, shown: Instructions) -> bytes:
    """The instructions on one page of A4. Slow: never inside a transaction."""
    return papers.kept(order.number, papers.page("payments/instructions_pdf.html", {"order": order, "transfer": shown}))
