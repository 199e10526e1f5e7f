"""A document written as FatturaPA 1.2, with a38: the same document gives the same bytes.

What a38 0.1.8 lacks is done here or elsewhere: the root keeps the customary prefix, which its builder would number;
texts are brought into the letters and lengths of the format, which it does not look at; and its own validation, which
refuses private customers without a PEC and does not know RF20, TD28 and TD29, is not asked: checks are.
"""

from decimal import Decimal

from a38 import fattura
from lxml import etree

from payments.invoicing.document import Buyer, Document, Paid, Rea, Seller
from payments.invoicing.latin import HIGHEST_BASIC, UnwritableError, in_pieces, latin, shortened

NAMESPACE = fattura.NS
SPLIT_PAYMENT = "Scissione dei pagamenti, art. 17-ter DPR 633/1972"
BY_LAW = "Art. 17-ter DPR 633/1972"
NAME, PERSON, PLACE, DESCRIPTION, CAUSE, NUMBER = 80, 60, 60, 1000, 200, 20

__all__ = ["NAMESPACE", "UnwritableError", "numbered", "write"]
OWN_NUMBER = "FatturaElettronicaBody/DatiGenerali/DatiGeneraliDocumento/Numero"
OWN_FILE = "FatturaElettronicaHeader/DatiTrasmissione/ProgressivoInvio"


def write(document: Document) -> bytes:
    """The XML file of a document, UTF-8, neither indented nor signed.

    Raises UnwritableError on a character or a length that the format does not take; its `field` is one of the billing
    profile where the buyer's data are meant, else the name of an element.
    """
    made = (fattura.FatturaPA12 if document.format == "FPA12" else fattura.FatturaPrivati12)(
        fattura_elettronica_header=_header(document), fattura_elettronica_body=[_body(document)]
    )
    tree = made.build_etree(lxml=True).getroot()
    root = etree.Element(tree.tag, nsmap={"p": NAMESPACE}, versione=document.format)
    root.extend(list(tree))
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def numbered(xml: bytes, *, number: str, progressive: str) -> bytes:
    """A file of `write` with another number and progressive: what `write` would give, much quicker."""
    root = etree.fromstring(xml, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    for path, text in ((OWN_NUMBER, number), (OWN_FILE, progressive)):
        element = root.find(path)
        assert element is not None
        element.text = text
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _header(document: Document) -> fattura.FatturaElettronicaHeader:
    seller, buyer = document.seller, document.buyer
    return fattura.FatturaElettronicaHeader(
        dati_trasmissione=fattura.DatiTrasmissione(
            id_trasmittente=fattura.IdTrasmittente(
                id_paese="IT", id_codice=seller.transmitter_code or seller.codice_fiscale or seller.partita_iva
            ),
            progressivo_invio=_basic(document.progressive, "ProgressivoInvio", 10),
            codice_destinatario=_basic(buyer.sdi_code, "sdi_code", 7),
            pec_destinatario=_if_any(buyer.sdi_pec, "sdi_pec", 256),
        ),
        cedente_prestatore=_seller(seller),
        cessionario_committente=_buyer(buyer),
    )


def _seller(seller: Seller) -> fattura.CedentePrestatore:
    return fattura.CedentePrestatore(
        dati_anagrafici=fattura.DatiAnagraficiCedentePrestatore(
            id_fiscale_iva=fattura.IdFiscaleIVA(id_paese="IT", id_codice=seller.partita_iva),
            codice_fiscale=seller.codice_fiscale or None,
            anagrafica=fattura.Anagrafica(denominazione=latin(seller.name, field="Denominazione", longest=NAME)),
            regime_fiscale=seller.regime,
        ),
        sede=fattura.Sede(
            indirizzo=latin(seller.address, field="Indirizzo", longest=PLACE),
            cap=seller.postal_code,
            comune=latin(seller.city, field="Comune", longest=PLACE),
            provincia=seller.province or None,
            nazione="IT",
        ),
        iscrizione_rea=_rea(seller.rea) if seller.rea else None,
    )


def _rea(rea: Rea) -> fattura.IscrizioneREA:
    alone = None if rea.sole_shareholder is None else "SU" if rea.sole_shareholder else "SM"
    return fattura.IscrizioneREA(
        ufficio=rea.office, numero_rea=_basic(rea.number, "NumeroREA", NUMBER),
        capitale_sociale=None if rea.capital is None else f"{rea.capital:.2f}",
        socio_unico=alone, stato_liquidazione="LS" if rea.in_liquidation else "LN",
    )  # fmt: skip


def _buyer(buyer: Buyer) -> fattura.CessionarioCommittente:
    if buyer.first_name or buyer.last_name:
        named = fattura.Anagrafica(
            nome=latin(buyer.first_name, field="first_name", longest=PERSON),
            cognome=latin(buyer.last_name, field="last_name", longest=PERSON),
        )
    else:
        named = fattura.Anagrafica(denominazione=latin(buyer.company_name, field="company_name", longest=NAME))
    number = _if_any(buyer.partita_iva, "partita_iva", 11)
    return fattura.CessionarioCommittente(
        dati_anagrafici=fattura.DatiAnagraficiCessionarioCommittente(
            id_fiscale_iva=fattura.IdFiscaleIVA(id_paese="IT", id_codice=number) if number else None,
            codice_fiscale=_if_any(buyer.codice_fiscale, "codice_fiscale", 16),
            anagrafica=named,
        ),
        sede=fattura.Sede(
            indirizzo=latin(buyer.address, field="address", longest=PLACE),
            cap=_basic(buyer.postal_code, "postal_code", 5),
            comune=latin(buyer.city, field="city", longest=PLACE),
            provincia=_if_any(buyer.province, "province", 2),
            nazione=_basic(buyer.country, "country", 2),
        ),
    )


def _body(document: Document) -> fattura.FatturaElettronicaBody:
    causes = in_pieces(document.reason, field="Causale", longest=CAUSE)
    if document.split_payment:
        causes.append(SPLIT_PAYMENT)
    order, linked = document.purchase, document.corrected
    general = fattura.DatiGenerali(
        dati_generali_documento=fattura.DatiGeneraliDocumento(
            tipo_documento=document.kind.value, divisa="EUR", data=document.issued_on,
            numero=_basic(document.number, "Numero", NUMBER), importo_totale_documento=document.total, causale=causes,
        ),
        dati_ordine_acquisto=[
            fattura.DatiOrdineAcquisto(
                id_documento=_basic(order.number, "IdDocumento", NUMBER), data=order.on,
                codice_cup=order.cup or None, codice_cig=order.cig or None,
            )
        ] if order else None,
        dati_fatture_collegate=[
            fattura.DatiFattureCollegate(id_documento=_basic(linked.number, "IdDocumento", NUMBER), data=linked.on)
        ] if linked else None,
    )  # fmt: skip
    return fattura.FatturaElettronicaBody(
        dati_generali=general, dati_beni_servizi=_goods(document), dati_pagamento=_payments(document)
    )


def _goods(document: Document) -> fattura.DatiBeniServizi:
    lines = [
        fattura.DettaglioLinee(
            numero_linea=number, descrizione=shortened(line.description, field="Descrizione", longest=DESCRIPTION),
            data_inizio_periodo=line.starts, data_fine_periodo=line.ends, prezzo_unitario=_cents(line.net),
            prezzo_totale=_cents(line.net), aliquota_iva=document.vat_rate,
        )
        for number, line in enumerate(document.lines, 1)
    ]  # fmt: skip
    summary = fattura.DatiRiepilogo(
        aliquota_iva=document.vat_rate, imponibile_importo=_cents(document.taxable), imposta=_cents(document.vat),
        esigibilita_iva="S" if document.split_payment else "I",
        riferimento_normativo=BY_LAW if document.split_payment else None,
    )  # fmt: skip
    return fattura.DatiBeniServizi(dettaglio_linee=lines, dati_riepilogo=[summary])


def _payments(document: Document) -> list[fattura.DatiPagamento] | None:
    if not document.payments:
        return None
    return [
        fattura.DatiPagamento(
            condizioni_pagamento="TP02" if len(document.payments) == 1 else "TP01",  # whole, or in parts
            dettaglio_pagamento=[_payment(paid, document.seller) for paid in document.payments],
        )
    ]


def _payment(paid: Paid, seller: Seller) -> fattura.DettaglioPagamento:
    """Where to pay is said only where money is still to come by bank."""
    to_bank = paid.due_on is not None and paid.means == "MP05"
    return fattura.DettaglioPagamento(
        modalita_pagamento=paid.means.value,
        data_scadenza_pagamento=paid.due_on or paid.paid_on,
        importo_pagamento=_cents(paid.amount),
        istituto_finanziario=latin(seller.bank, field="IstitutoFinanziario", longest=NAME)
        if to_bank and seller.bank
        else None,
        iban=seller.iban or None if to_bank else None,
    )


def _basic(text: str, field: str, longest: int) -> str:
    """A code, a number or an address of a PEC: with another letter in it, it would be another one."""
    if odd := next((character for character in text if not character.isascii()), ""):
        raise UnwritableError(
            field, f"Il carattere «{odd}» non si può scrivere in una fattura elettronica: usane uno semplice."
        )
    return latin(text, field=field, longest=longest, highest=HIGHEST_BASIC)


def _if_any(text: str, field: str, longest: int) -> str | None:
    return _basic(text, field, longest) if text else None


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))
