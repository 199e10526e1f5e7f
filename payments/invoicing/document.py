"""What an e-invoice says, before it is written as XML: plain facts, frozen. EUR; rates in percent, 22.00.

Pure: no query, no clock. A document whose sums do not hold cannot be made (R26).
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from accounts.fiscal import NO_SDI_CODE
from accounts.models import FiscalIdentity, InvoiceAddressee
from renewals import pricing

Subject = FiscalIdentity.Subject
BODIES = frozenset({Subject.COMPANY, Subject.PUBLIC_BODY})
HUNDRED = Decimal(100)


class Kind(StrEnum):
    """TipoDocumento."""

    INVOICE = "TD01"
    CREDIT_NOTE = "TD04"


class Means(StrEnum):
    """ModalitaPagamento. PayPal has no code of its own: it is paid like a card."""

    TRANSFER = "MP05"
    CARD = "MP08"
    POSTAL = "MP18"


@dataclass(frozen=True)
class Rea:
    """Registro imprese: what a registered seller must write on its invoices (art. 2250 c.c.)."""

    office: str
    number: str
    capital: Decimal | None = None
    sole_shareholder: bool | None = None
    in_liquidation: bool = False


@dataclass(frozen=True)
class Seller:
    """Cedente: the provider. `transmitter_code`: the fiscal code of who sends the file, if it is another."""

    name: str
    partita_iva: str
    codice_fiscale: str
    address: str
    postal_code: str
    city: str
    province: str
    regime: str = "RF01"
    rea: Rea | None = None
    iban: str = ""
    bank: str = ""
    transmitter_code: str = ""


@dataclass(frozen=True)
class Buyer:
    """Cessionario: the account's billing data (seed; R8). `company_name` or both names, never all three."""

    subject: str
    company_name: str
    first_name: str
    last_name: str
    codice_fiscale: str
    partita_iva: str
    address: str
    postal_code: str
    city: str
    province: str
    country: str
    sdi_code: str
    sdi_pec: str

    @property
    def is_public_body(self) -> bool:
        return self.subject == Subject.PUBLIC_BODY


def buyer_of(data: InvoiceAddressee) -> Buyer:
    """The buyer of a billing profile or snapshot. Of a company or body the names are its representative's: left out."""
    trades = data.subject == Subject.SOLE_TRADER and bool(data.company_name)
    by_company = trades or data.subject in BODIES or not (data.first_name or data.last_name)
    return Buyer(
        subject=data.subject,
        company_name=data.company_name if by_company else "",
        first_name="" if by_company else data.first_name,
        last_name="" if by_company else data.last_name,
        codice_fiscale=data.codice_fiscale, partita_iva=data.partita_iva, address=data.address,
        postal_code=data.postal_code, city=data.city, province=data.province, country=data.country,
        sdi_code=data.sdi_code or NO_SDI_CODE, sdi_pec=data.sdi_pec,
    )  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line: what was given, its net, and the first and last day of the term where there is one."""

    description: str
    net: Decimal
    starts: date | None = None
    ends: date | None = None


@dataclass(frozen=True)
class Paid:
    """How (part of) an invoice was paid, or by when it is to be: exactly one of the two days."""

    means: Means
    amount: Decimal
    paid_on: date | None = None
    due_on: date | None = None

    def __post_init__(self) -> None:
        if (self.paid_on is None) == (self.due_on is None):
            raise ValueError("either paid_on or due_on")


@dataclass(frozen=True)
class Purchase:
    """A public body's own reference: the number of its commitment, its day, CIG and CUP."""

    number: str
    on: date | None = None
    cig: str = ""
    cup: str = ""


@dataclass(frozen=True)
class Corrected:
    """The invoice that a credit note corrects, as it was sent."""

    number: str
    on: date


@dataclass(frozen=True)
class Document:
    """An invoice (TD01) or a credit note (TD04): amounts are positive in both.

    `number` and `issued_on` are the document's, `progressive` the file's. `vat_rate` percent, once on `taxable`; with
    `split_payment` (art. 17-ter DPR 633/1972) the buyer pays `taxable` to us and `vat` to the state. Raises ValueError
    where lines or payments do not add up, or a credit note corrects nothing.
    """

    kind: Kind
    number: str
    issued_on: date
    progressive: str
    seller: Seller
    buyer: Buyer
    lines: tuple[Line, ...]
    vat_rate: Decimal
    taxable: Decimal
    vat: Decimal
    reason: str
    split_payment: bool = False
    payments: tuple[Paid, ...] = ()
    purchase: Purchase | None = None
    corrected: Corrected | None = None

    def __post_init__(self) -> None:
        if sum((line.net for line in self.lines), Decimal(0)) != self.taxable or not self.lines:
            raise ValueError("the lines do not add up to the taxable sum")
        if self.payments and sum(p.amount for p in self.payments) != self.due:
            raise ValueError("the payments do not add up to what is due")
        if (self.kind == Kind.CREDIT_NOTE) != (self.corrected is not None):
            raise ValueError("a credit note, and nothing else, corrects an invoice")
        amounts = [self.taxable, self.vat, *(p.amount for p in self.payments), *(line.net for line in self.lines)]
        if any(a < 0 or a != a.quantize(pricing.CENT) for a in amounts) or self.taxable + self.vat <= 0:
            raise ValueError("amounts are cents, and not negative")

    @property
    def total(self) -> Decimal:
        return self.taxable + self.vat

    @property
    def due(self) -> Decimal:
        """What the buyer pays to the seller."""
        return self.taxable if self.split_payment else self.total

    @property
    def format(self) -> str:
        """FormatoTrasmissione: FPA12 to public bodies, FPR12 to everybody else."""
        return "FPA12" if self.buyer.is_public_body else "FPR12"


def credit_note(
    invoice: Document, *, number: str, issued_on: date, progressive: str, amount: Decimal,
    before: Decimal = Decimal(0), order_number: str,
) -> Document:  # fmt: skip
    """The credit note of `amount` EUR that goes back on an invoice, of which `before` was credited already (R26).

    Amounts are what the customer paid: with split payment, of the taxable sum. Taxable and VAT are the differences of
    two rounded running parts, so that the notes of a whole invoice add up to it, to the cent. Raises ValueError on an
    amount that is no cents, not positive, or more than is left.
    """
    if amount <= 0 or before < 0 or amount + before > invoice.due or amount != amount.quantize(pricing.CENT):
        raise ValueError("a credit note is of cents, and of no more than is left of its invoice")
    taxable, vat = (
        after - upto for after, upto in zip(_part(invoice, before + amount), _part(invoice, before), strict=True)
    )
    whole = "totale" if amount == invoice.due else "parziale"
    said = f"Storno {whole} della fattura {invoice.number} del {invoice.issued_on:%d/%m/%Y}, ordine {order_number}"
    return Document(
        kind=Kind.CREDIT_NOTE, number=number, issued_on=issued_on, progressive=progressive, seller=invoice.seller,
        buyer=invoice.buyer, lines=(Line(said, taxable),), vat_rate=invoice.vat_rate, taxable=taxable, vat=vat,
        reason=said, split_payment=invoice.split_payment, purchase=invoice.purchase,
        corrected=Corrected(invoice.number, invoice.issued_on),
    )  # fmt: skip


def _part(invoice: Document, due: Decimal) -> tuple[Decimal, Decimal]:
    """Taxable and VAT of the first `due` EUR of an invoice."""
    rate = invoice.vat_rate / HUNDRED
    if due == invoice.due:
        return invoice.taxable, invoice.vat
    if invoice.split_payment:
        return due, pricing.cents(due * rate)
    parts = pricing.resplit(due, rate)
    return parts.taxable, parts.vat
