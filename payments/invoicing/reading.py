"""A FatturaPA file as its checks read it: texts, days and amounts by path, and which billing field a path is."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from lxml import etree

# Where the buyer's data are, and the field of the billing profile that they come from.
FIELDS = {
    "FatturaElettronicaHeader/" + path: field
    for path, field in {
        "DatiTrasmissione/CodiceDestinatario": "sdi_code",
        "DatiTrasmissione/PECDestinatario": "sdi_pec",
        "CessionarioCommittente/DatiAnagrafici": "codice_fiscale",
        "CessionarioCommittente/DatiAnagrafici/IdFiscaleIVA/IdCodice": "partita_iva",
        "CessionarioCommittente/DatiAnagrafici/CodiceFiscale": "codice_fiscale",
        "CessionarioCommittente/DatiAnagrafici/Anagrafica/Denominazione": "company_name",
        "CessionarioCommittente/DatiAnagrafici/Anagrafica/Nome": "first_name",
        "CessionarioCommittente/DatiAnagrafici/Anagrafica/Cognome": "last_name",
        "CessionarioCommittente/Sede/Indirizzo": "address",
        "CessionarioCommittente/Sede/CAP": "postal_code",
        "CessionarioCommittente/Sede/Comune": "city",
        "CessionarioCommittente/Sede/Provincia": "province",
        "CessionarioCommittente/Sede/Nazione": "country",
    }.items()
}


def text(element: etree._Element, path: str) -> str:
    """The text at a path, or ""."""
    return (element.findtext(path) or "").strip()


def day(element: etree._Element, path: str) -> date | None:
    """The date at a path; a time zone, which the schema allows, is left off."""
    written = text(element, path)
    return date.fromisoformat(written[:10]) if written else None


def amount(element: etree._Element, path: str) -> Decimal:
    """The number at a path, or zero where there is none."""
    return Decimal(text(element, path) or 0)


@dataclass(frozen=True)
class Amounts:
    """What the summaries of a document come to, EUR: with its VAT, and without that which the buyer pays the state."""

    total: Decimal = Decimal(0)
    due: Decimal = Decimal(0)

    def plus(self, taxable: Decimal, vat: Decimal, *, to_the_state: bool) -> "Amounts":
        return Amounts(self.total + taxable + vat, self.due + taxable + (Decimal(0) if to_the_state else vat))
