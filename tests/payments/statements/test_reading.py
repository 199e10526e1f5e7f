"""Statements read whole or refused whole: CAMT.053 and CSV (R21b, R31)."""

from datetime import timedelta
from decimal import Decimal as D
from io import BytesIO

import pytest

from payments.models import Receipt, Statement, StatementRow
from payments.statements import flow
from payments.statements.reading import StatementError
from tests.statement_files import HEADER, OURS, camt, csv, entry, line, part

pytestmark = pytest.mark.django_db
LAUGHS = '<!DOCTYPE Document [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'


@pytest.fixture
def take(dario, settings):
    """take(bytes) → the statement, taken."""
    settings.BANK_IBAN = OURS

    def call(content, name="estratto"):
        return flow.take(BytesIO(content), name=name, size=len(content), actor=dario)

    return call


def rows(statement):
    return [
        (r.line, r.bank_reference, r.amount, r.currency, r.payer, r.remittance)
        for r in statement.rows.order_by("line")
    ]  # fmt: skip


@pytest.mark.parametrize("version", ["02", "08"])
def test_camt_credits_are_read_with_what_names_the_order(take, today, version):
    yesterday = today - timedelta(1)
    batch = part("10.00", "uno", version=version) + part("20.00", "due", reference="OWN", version=version)
    content = camt(
        [
            entry("A1", "12.08", "saldo", structured="RF45R7KQ4M2", end_to_end="E2E-1", day=yesterday, version=version),
            entry("A2", "99.00", "commissioni", side="DBIT", version=version),
            entry("A3", "7.00", "in arrivo", status="PDNG", version=version),
            entry("", "5.00", "senza riferimento della banca", end_to_end="E2E-9", version=version),
            entry("B1", "30.00", inside=batch),
        ],
        version=version,
    )
    statement = take(content, "c:/estratto.xml")
    assert (statement.format, statement.bank_account, statement.applied_at) == ("camt053", OURS, None)
    assert rows(statement) == [
        (1, "A1", D("12.08"), "EUR", "Alice Rossi", "RF45R7KQ4M2 saldo E2E-1"),
        (2, "E2E-9", D("5.00"), "EUR", "Alice Rossi", "senza riferimento della banca E2E-9"),
        (3, "B1/1", D("10.00"), "EUR", "", "uno"),
        (4, "OWN", D("20.00"), "EUR", "", "due"),
    ]
    assert statement.rows.get(line=1).value_date == yesterday
    assert Receipt.objects.count() == 0  # taking registers nothing


@pytest.mark.parametrize("separator", [";", ","])
def test_csv_credits_are_read_as_italians_write_them(take, today, separator):
    lines = [
        separator.join([OURS, "cro 1", f"{today:%d/%m/%Y}", '"1.234,50"', "R-7KQ4M2", "Città di Forlì", ""]),
        separator.join([f"{OURS[:4]} {OURS[4:]}", "cro 2", f"{today:%d-%m-%Y}", "12", "perché", "", "usd"]),
        "",
    ]
    statement = take(b"\xef\xbb\xbf" + csv(*lines, header=HEADER.replace(";", separator)))
    assert (statement.format, statement.bank_account) == ("csv", OURS)
    assert rows(statement) == [
        (1, "CRO 1", D("1234.50"), "EUR", "Città di Forlì", "R-7KQ4M2"),
        (2, "CRO 2", D("12.00"), "USD", "", "perché"),
    ]


OK = entry("A1", "12.08", "saldo")
NO_DAY = OK.replace("<ValDt>", "<ValDt><Dt>2026-02-31</Dt></ValDt><ValDt>")
TEN = part("10", "a")
OTHER = "IT40S0542811101000000123457"
BAD_CAMT = {
    "not xml": (b"<questo non", "non è un XML valido"),
    "cut": (camt([OK])[:-40], "non è un XML valido"),
    "dtd": (camt([OK], prolog="<!DOCTYPE Document>\n"), "contiene una DTD"),
    "laughs": (camt([OK], prolog=LAUGHS).replace(b"saldo", b"&b;"), "contiene una DTD"),
    "outside entity": (camt([OK], prolog='<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x">\n'), "contiene una DTD"),
    "other xml": (b"<html/>", "Riga 1: il file non è un CAMT.053"),
    "other version": (camt([OK], version="99"), "non è un CAMT.053"),
    "account in dollars": (camt([OK], currency="USD"), "Riga 2: il conto è in USD, si leggono solo conti in euro."),
    "not ours": (camt([OK], account=OTHER), "il conto " + OTHER + " non è nostro"),
    "no account": (camt([OK], account=""), "manca l'IBAN del conto"),
    "nothing": (camt([]), "non c'è nessun accredito"),
    "debits only": (camt([entry("A", "1.00", side="DBIT")]), "non c'è nessun accredito"),
    "amount": (camt([OK, entry("A2", "12,08")]), "Riga 4: l'importo «12,08» non è un numero."),
    "zero": (camt([entry("A2", "0.00")]), "Riga 3: l'importo deve essere maggiore di zero."),
    "negative": (camt([entry("A2", "-5.00")]), "Riga 3: l'importo deve essere maggiore di zero."),
    "not finite": (camt([entry("A2", "NaN")]), "Riga 3: l'importo deve essere maggiore di zero."),
    "thirds": (camt([entry("A2", "12.085")]), "Riga 3: l'importo ha più di due decimali."),
    "huge": (camt([entry("A2", "1e30")]), "Riga 3: l'importo è troppo grande."),
    "date": (camt([NO_DAY]), "Riga 3: la data «2026-02-31» non esiste."),
    "no side": (camt([OK.replace("CRDT", "")]), "Riga 3: manca se è un accredito o un addebito"),
    "no reference": (camt([entry("", "1.00")]), "Riga 3: manca il riferimento della banca."),
    "twice": (camt([OK, OK]), "Riga 4: il riferimento A1 è già a Riga 3."),
    "batch sum": (
        camt([entry("B", "30.00", inside=TEN + part("10", "b"))]),
        "Riga 3: i 2 accrediti contenuti fanno 20 e non 30.00.",
    ),
    "batch currency": (
        camt([entry("B", "20.00", inside=TEN + part("10", "b", currency="USD"))]),
        "Riga 3, 2: la valuta non è quella",
    ),
    "empty": (b"", "Il file è vuoto."),
    "blank": (b" \n\n", "Il file è vuoto."),
}
BAD_CSV = {
    "bytes": (b"\x89PNG\r\n\x1a\n\x00", "le lettere accentate non si leggono"),
    "latin-1": (
        csv(line("A", "1,00", "x")).replace(b"Alice", "Nicolò".encode("latin-1")),
        "Riga 2: le lettere accentate non si leggono.",
    ),
    "columns": (
        csv(line("A", "1,00", "x"), header="conto;importo"),
        "Riga 1: mancano le colonne riferimento, data valuta, causale.",
    ),
    "column twice": (csv(line("A", "1,00", "x"), header=HEADER + ";conto"), "Riga 1: la colonna conto c'è due volte."),
    "short row": (csv(line("A", "1,00", "x"), "a;b"), "Riga 3: ci sono 2 colonne, ne servono 7."),
    "amount": (csv(line("A", "1,00", "x"), line("B", "12.08", "x")), "Riga 3: l'importo «12.08» non si legge."),
    "words": (csv(line("A", "dodici", "x")), "Riga 2: l'importo «dodici» non si legge."),
    "zero": (csv(line("A", "0,00", "x")), "Riga 2: l'importo deve essere maggiore di zero."),
    "negative": (csv(line("A", "-12,08", "x")), "Riga 2: l'importo deve essere maggiore di zero."),
    "date": (csv(line("A", "1,00", "x").replace("/20", "/99/20", 1)), "Riga 2: la data «"),
    "not ours": (csv(line("A", "1,00", "x", account=OTHER)), "Riga 2: il conto " + OTHER + " non è nostro."),
    "currency": (csv(line("A", "1,00", "x", end="euro")), "Riga 2: la valuta si scrive con tre lettere, come EUR."),
    "twice": (csv(line("a 1", "1,00", "x"), line("A  1", "2,00", "y")), "Riga 3: il riferimento A 1 è già a Riga 2."),
    "long reference": (csv(line("A" * 61, "1,00", "x")), "Riga 2: il riferimento della banca ha più di 60 caratteri."),
    "quotes": (csv(line("A", "1,00", '"aperte')), "le virgolette non si chiudono"),
    "header only": (csv(), "non c'è nessun accredito"),
}


@pytest.mark.parametrize(("content", "sentence"), [*BAD_CAMT.values(), *BAD_CSV.values()], ids=[*BAD_CAMT, *BAD_CSV])
def test_a_bad_file_is_refused_whole_with_line_and_reason(take, content, sentence):
    with pytest.raises(StatementError) as refusal:
        take(content)
    assert sentence in str(refusal.value)
    assert (Statement.objects.count(), StatementRow.objects.count()) == (0, 0)


@pytest.mark.parametrize(("days", "sentence"), [(6, "troppo avanti"), (-367, "di più di un anno fa")])
def test_value_dates_that_cannot_be(take, today, days, sentence):
    with pytest.raises(StatementError, match=sentence):
        take(camt([entry("A1", "1.00", day=today + timedelta(days))]))


def test_fifty_megabytes_are_refused_before_they_are_read(dario):
    class Unread(BytesIO):
        def read(self, *args):
            raise AssertionError("was read")

    with pytest.raises(StatementError, match="32 MB"):
        flow.take(Unread(), name="x.xml", size=50 * 1024 * 1024, actor=dario)


def test_the_same_file_twice_is_the_same_statement(take):
    first = take(camt([OK]), "lunedì.xml")
    with pytest.raises(flow.AlreadyTakenError) as again:
        take(camt([OK]), "martedì.xml")
    assert (again.value.statement, Statement.objects.count()) == (first, 1)


def test_a_statement_of_our_postal_account_is_ours(take, settings):
    settings.POSTAL_ACCOUNT = "000000123456"
    from schwifty import IBAN

    account = str(IBAN.generate("IT", bank_code="07601", branch_code="03200", account_code="000000123456"))
    assert take(camt([OK], account=account)).bank_account == account
    settings.POSTAL_ACCOUNT = "000000123457"
    with pytest.raises(StatementError, match="non è nostro"):
        take(camt([entry("A2", "1.00")], account=account))
