"""How a document is written: to the byte, in the letters of the format; what cannot be written is refused, not cut."""

from dataclasses import fields, replace
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.invoicing import checks, schema_check
from payments.invoicing.document import Buyer, Line, Means, Paid, credit_note
from payments.invoicing.latin import UnwritableError, in_pieces, latin, shortened
from payments.invoicing.xml import NAMESPACE, write
from tests.payments.invoicing.documents import BODY, ROSSI, invoice, note
from tests.payments.invoicing.population import DAY, SELLER


def test_an_invoice_to_a_private_person_to_the_byte():
    document = invoice(payments=(Paid(Means.CARD, D("24.16"), paid_on=DAY),))
    assert write(document).decode() == (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        f'<p:FatturaElettronica xmlns:p="{NAMESPACE}" versione="FPR12"><FatturaElettronicaHeader>'
        "<DatiTrasmissione><IdTrasmittente><IdPaese>IT</IdPaese><IdCodice>01234560157</IdCodice></IdTrasmittente>"
        "<ProgressivoInvio>00017</ProgressivoInvio><FormatoTrasmissione>FPR12</FormatoTrasmissione>"
        "<CodiceDestinatario>0000000</CodiceDestinatario></DatiTrasmissione>"
        "<CedentePrestatore><DatiAnagrafici><IdFiscaleIVA><IdPaese>IT</IdPaese><IdCodice>01234560157</IdCodice>"
        "</IdFiscaleIVA><CodiceFiscale>01234560157</CodiceFiscale><Anagrafica><Denominazione>Posta Esempio S.p.A."
        "</Denominazione></Anagrafica><RegimeFiscale>RF01</RegimeFiscale></DatiAnagrafici><Sede><Indirizzo>via "
        "dell'Industria 7</Indirizzo><CAP>20121</CAP><Comune>Milano</Comune><Provincia>MI</Provincia><Nazione>IT"
        "</Nazione></Sede><IscrizioneREA><Ufficio>MI</Ufficio><NumeroREA>1234567</NumeroREA><CapitaleSociale>1000000.00"
        "</CapitaleSociale><SocioUnico>SM</SocioUnico><StatoLiquidazione>LN</StatoLiquidazione></IscrizioneREA>"
        "</CedentePrestatore><CessionarioCommittente><DatiAnagrafici><CodiceFiscale>RSSLCA80A41H501U</CodiceFiscale>"
        "<Anagrafica><Nome>Alice</Nome><Cognome>Rossi</Cognome></Anagrafica></DatiAnagrafici><Sede><Indirizzo>"
        "via Roma 1</Indirizzo><CAP>00184</CAP><Comune>Roma</Comune><Provincia>RM</Provincia><Nazione>IT</Nazione>"
        "</Sede></CessionarioCommittente></FatturaElettronicaHeader><FatturaElettronicaBody><DatiGenerali>"
        "<DatiGeneraliDocumento><TipoDocumento>TD01</TipoDocumento><Divisa>EUR</Divisa><Data>2026-11-20</Data>"
        "<Numero>2026/17</Numero><ImportoTotaleDocumento>24.16</ImportoTotaleDocumento><Causale>Ordine R-7KQ4M2 del "
        "17/11/2026</Causale></DatiGeneraliDocumento></DatiGenerali><DatiBeniServizi><DettaglioLinee><NumeroLinea>1"
        "</NumeroLinea><Descrizione>Rinnovo per 1 anno della casella PEC a@pec.example</Descrizione>"
        "<DataInizioPeriodo>2026-11-20</DataInizioPeriodo><DataFinePeriodo>2027-11-19</DataFinePeriodo><PrezzoUnitario>"
        "9.90</PrezzoUnitario><PrezzoTotale>9.90</PrezzoTotale><AliquotaIVA>22.00</AliquotaIVA></DettaglioLinee>"
        "<DettaglioLinee><NumeroLinea>2</NumeroLinea><Descrizione>Rinnovo per 1 anno della casella PEC b@pec.example"
        "</Descrizione><PrezzoUnitario>9.90</PrezzoUnitario><PrezzoTotale>9.90</PrezzoTotale><AliquotaIVA>22.00"
        "</AliquotaIVA></DettaglioLinee><DatiRiepilogo><AliquotaIVA>22.00</AliquotaIVA><ImponibileImporto>19.80"
        "</ImponibileImporto><Imposta>4.36</Imposta><EsigibilitaIVA>I</EsigibilitaIVA></DatiRiepilogo></DatiBeniServizi>"
        "<DatiPagamento><CondizioniPagamento>TP02</CondizioniPagamento><DettaglioPagamento><ModalitaPagamento>MP08"
        "</ModalitaPagamento><DataScadenzaPagamento>2026-11-20</DataScadenzaPagamento><ImportoPagamento>24.16"
        "</ImportoPagamento></DettaglioPagamento></DatiPagamento></FatturaElettronicaBody></p:FatturaElettronica>"
    )


def texts(document) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for element in schema_check.parse(write(document)).iter():
        if element.text:
            found.setdefault(element.tag, []).append(element.text)
    return found


def test_split_payment_asks_the_body_for_the_taxable_sum_alone():
    found = texts(invoice(BODY, split=True))
    assert (found["EsigibilitaIVA"], found["RiferimentoNormativo"]) == (["S"], ["Art. 17-ter DPR 633/1972"])
    assert (found["ImportoTotaleDocumento"], found["ImportoPagamento"]) == (["24.16"], ["19.80"])
    assert found["Causale"][1] == "Scissione dei pagamenti, art. 17-ter DPR 633/1972"
    assert (found["IBAN"], found["IstitutoFinanziario"]) == ([SELLER.iban], [SELLER.bank])
    assert (found["IdDocumento"], found["CodiceCIG"], found["CodiceCUP"]) == (
        ["Det. 12/2026"], ["Z1A2B3C4D5"], ["J31B24000010001"],
    )  # fmt: skip


def test_a_credit_note_says_which_invoice_and_is_positive():
    found = texts(note(BODY))
    assert (found["TipoDocumento"], found["IdDocumento"][1]) == (["TD04"], "2026/17")
    assert (found["ImponibileImporto"], found["Imposta"]) == (["9.90"], ["2.18"])
    assert found["CodiceCIG"] == ["Z1A2B3C4D5"]
    assert "ImportoPagamento" not in found


def test_an_association_has_its_fiscal_code_and_no_partita_iva():
    association = replace(BODY, subject="company", company_name="Circolo", partita_iva="", sdi_code="0000000")
    document = invoice(association)
    assert checks.review(document, today=DAY) == []
    found = texts(document)
    assert found["CodiceFiscale"] == [SELLER.codice_fiscale, "00514490010"]
    assert found["IdCodice"] == [SELLER.codice_fiscale, SELLER.partita_iva]


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Müller & Söhne", "Müller & Söhne"),
        ("Žižek", "Zizek"),
        ("Łódź", "Lódz"),
        ("Œuvre", "OEuvre"),
        ("L’Isola  “che – c’è”…", "L'Isola \"che - c'è\"..."),
        ("50 €", "50 EUR"),
        ("zero\u200bwidth", "zerowidth"),
        ("e\u0301", "é"),
    ],
)
def test_odd_characters_become_those_of_the_format(typed, written):
    document = invoice(replace(ROSSI, first_name=typed))
    assert checks.review(document, today=DAY) == []
    assert texts(document)["Nome"] == [written]


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("first_name", "Алиса", "Il carattere «А»"),
        ("last_name", "李", "Il carattere «李»"),
        ("address", "via Roma 1 🙂", "Il carattere «🙂»"),
        ("city", "Ro\x07ma", "carattere invisibile"),
        ("last_name", "Œ" * 31, "al massimo 60 caratteri, e ne ha 62"),
        ("first_name", " ", "Manca un dato"),
    ],
)
def test_what_cannot_be_written_is_said_beside_its_field(field, typed, said):
    (found,) = checks.review(invoice(replace(ROSSI, **{field: typed})), today=DAY)
    assert (found.code, found.field) == ("00200", field)
    assert said in found.sentence


@pytest.mark.parametrize(("field", "typed"), [("sdi_pec", "fatture@società.it"), ("sdi_code", "ABC123É")])
def test_an_address_is_never_changed_into_another_one(field, typed):
    with pytest.raises(UnwritableError) as error:
        write(invoice(replace(ROSSI, **{field: typed})))
    assert error.value.field == field


def test_a_customer_abroad_is_for_staff():
    (found,) = checks.review(invoice(replace(ROSSI, country="GB", postal_code="SW1A 1AA")), today=DAY)
    assert (found.code, found.field) == ("ESTERO", "country")


BUYERS_DATA = [f.name for f in fields(Buyer) if f.name not in ("subject", "company_name", "first_name", "last_name")]


MARK = "ZQX"  # in none of our sentences: one that has it repeats what was typed
TYPED = st.text(max_size=12) | st.text(max_size=9).map(lambda text: text + MARK)


@pytest.mark.parametrize("field", BUYERS_DATA)
@given(typed=TYPED)
def test_whatever_the_data_say_is_a_finding_beside_them_and_never_a_crash(field, typed):
    for found in checks.review(invoice(replace(ROSSI, **{field: typed})), today=DAY):
        assert found.field in (field, "sdi_code", "sdi_pec", "codice_fiscale")
        assert MARK not in found.sentence


@pytest.mark.parametrize(
    "changes", [{"vat": D("4.365")}, {"taxable": D("19.81")}, {"payments": (Paid(Means.CARD, D(1), DAY),)}]
)
def test_a_document_that_does_not_add_up_cannot_be_made(changes):
    with pytest.raises(ValueError, match=r"add up|cents"):
        invoice(**changes)


@pytest.mark.parametrize(
    ("amount", "before"), [("0.00", "0"), ("24.17", "0"), ("0.01", "24.16"), ("0.005", "0"), ("-1", "2")]
)
def test_no_more_than_an_invoice_can_be_credited(amount, before):
    with pytest.raises(ValueError, match="no more than is left"):
        credit_note(
            invoice(),
            number="NC/1",
            issued_on=DAY,
            progressive="1",
            amount=D(amount),
            before=D(before),
            order_number="R-1",
        )


def cent_by_cent(document):
    """The credit notes of a whole invoice, a cent at a time."""
    cents = range(int(document.due * 100))
    return [
        credit_note(
            document, number=f"NC/{n}", issued_on=DAY, progressive=str(n), amount=D("0.01"), before=D(n) / 100,
            order_number="R-1",
        )
        for n in cents
    ]  # fmt: skip


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("taxable", "vat"), [("0.01", "0.00"), ("0.07", "0.01"), ("0.11", "0.03"), ("9.90", "2.18")])
def test_an_invoice_credited_cent_by_cent_is_credited_whole(split, taxable, vat):
    """0.07 and 0.01, 0.11 and 0.03: totals that stayed when the rate changed; 22 % of them is 0.02 (§4)."""
    line, due = Line("Rinnovo", D(taxable)), D(taxable) if split else D(taxable) + D(vat)
    document = invoice(
        BODY, split=split, lines=(line,), taxable=D(taxable), vat=D(vat), payments=(Paid(Means.CARD, due, paid_on=DAY),)
    )
    notes = cent_by_cent(document)
    assert len(notes) == due * 100
    assert (sum(n.taxable for n in notes), sum(n.vat for n in notes)) == (D(taxable), D(vat))
    assert [checks.review(n, today=DAY) for n in (document, notes[0], notes[-1])] == [[], [], []]


@given(st.text(max_size=80))
def test_whatever_is_typed_is_written_as_the_schema_takes_it_or_refused(typed):
    try:
        written = latin(typed, field="f", longest=60)
    except UnwritableError as error:
        assert error.field == "f" and str(error)
        return
    assert 0 < len(written) <= 60 and written == written.strip()
    assert all(0x20 <= ord(c) <= 0x7E or 0xA0 <= ord(c) <= 0xFF for c in written)
    assert latin(written, field="f", longest=60) == written
    assert checks.review(invoice(replace(ROSSI, last_name=typed)), today=DAY) == []


@given(st.lists(st.text("abc", min_size=1, max_size=25), min_size=1, max_size=60))
def test_a_long_text_of_ours_is_shortened_or_goes_on_in_pieces(some):
    text = " ".join(some)
    pieces = in_pieces(text, field="f", longest=20)
    assert all(0 < len(piece) <= 20 for piece in pieces)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    short = shortened(text, field="f", longest=20)
    assert len(short) <= 20 and (short == text or (short.endswith("...") and text.startswith(short[:-3])))
