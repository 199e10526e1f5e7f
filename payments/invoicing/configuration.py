"""What an installation says of its invoices: since when, in whose name, in which series (README, *Settings*)."""

import re
from datetime import date
from decimal import Decimal, InvalidOperation

from django.conf import settings

from payments.invoicing.document import Rea, Seller

SERIES = re.compile(r"[A-Z][A-Z0-9]{0,5}", re.ASCII)
REA = re.compile(r"([A-Z]{2})-([0-9]{1,20})", re.ASCII)
SOLE_SHAREHOLDER = {"": None, "yes": True, "no": False}


class SettingsError(Exception):
    """A setting of the seller that cannot be read; the message names it."""


def invoiced_here(day: date) -> bool:
    """Whether money of `day` is invoiced from here: INVOICES_FROM, nothing where it is `never`."""
    return settings.INVOICES_FROM is not None and day >= settings.INVOICES_FROM


def split_payment_holds(day: date) -> bool:
    """Whether the split of payments (art. 17-ter DPR 633/1972) is in force for an operation of `day` (R26)."""
    return settings.SPLIT_PAYMENT_UNTIL is None or day <= settings.SPLIT_PAYMENT_UNTIL


def seller() -> Seller:
    """The provider as it stands on invoices. Raises SettingsError."""
    return Seller(
        name=settings.SELLER_NAME, partita_iva=settings.SELLER_PARTITA_IVA,
        codice_fiscale=settings.SELLER_CODICE_FISCALE, address=settings.SELLER_ADDRESS,
        postal_code=settings.SELLER_POSTAL_CODE, city=settings.SELLER_CITY, province=settings.SELLER_PROVINCE,
        regime=settings.SELLER_REGIME, rea=_rea(), iban=settings.BANK_IBAN.replace(" ", ""), bank=settings.BANK_NAME,
        transmitter_code=settings.SDI_TRANSMITTER,
    )  # fmt: skip


def transmitter() -> str:
    """The fiscal code that names of files begin with: of who sends them."""
    return settings.SDI_TRANSMITTER or settings.SELLER_CODICE_FISCALE


def _rea() -> Rea | None:
    if not settings.SELLER_REA:
        return None
    written = REA.fullmatch(settings.SELLER_REA)
    if written is None:
        raise SettingsError("SELLER_REA is an office and a number, such as MI-1234567")
    if settings.SELLER_SOLE_SHAREHOLDER not in SOLE_SHAREHOLDER:
        raise SettingsError("SELLER_SOLE_SHAREHOLDER is yes, no, or empty")
    try:
        capital = Decimal(settings.SELLER_CAPITAL) if settings.SELLER_CAPITAL else None
    except InvalidOperation as error:
        raise SettingsError("SELLER_CAPITAL is an amount in euro, such as 1000000.00") from error
    return Rea(
        written[1], written[2], capital, SOLE_SHAREHOLDER[settings.SELLER_SOLE_SHAREHOLDER],
        settings.SELLER_IN_LIQUIDATION,
    )  # fmt: skip
