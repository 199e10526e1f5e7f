"""Bank statements as a bank would send them, for tests and for the benchmark."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from io import BytesIO
from xml.sax.saxutils import escape

OURS = "IT60X0542811101000000123456"
HEADER = "conto;riferimento;data valuta;importo;causale;ordinante;valuta"


def entry(
    reference: str, amount: object, words: str = "", *, day: date | None = None, currency: str = "EUR",
    side: str = "CRDT", status: str = "BOOK", version: str = "02", structured: str = "",
    end_to_end: str = "NOTPROVIDED", inside: str = "", payer: str = "Alice Rossi",
) -> str:  # fmt: skip
    """A movement; `inside` replaces its details (a batch booking)."""
    debtor = f"<Nm>{escape(payer)}</Nm>" if version == "02" else f"<Pty><Nm>{escape(payer)}</Nm></Pty>"
    state = status if version == "02" else f"<Cd>{status}</Cd>"
    remittance = f"<Strd><CdtrRefInf><Ref>{structured}</Ref></CdtrRefInf></Strd>" if structured else ""
    remittance += f"<Ustrd>{escape(words)}</Ustrd>" if words else ""
    details = inside or (
        f"<TxDtls><Refs><EndToEndId>{end_to_end}</EndToEndId></Refs><RltdPties><Dbtr>{debtor}</Dbtr></RltdPties>"
        f"<RmtInf>{remittance}</RmtInf></TxDtls>"
    )
    value = f"<ValDt><Dt>{day or date.today()}</Dt></ValDt>"
    account_reference = f"<AcctSvcrRef>{reference}</AcctSvcrRef>" if reference else ""
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd><Sts>{state}</Sts>{value}'
        f"{account_reference}<NtryDtls>{details}</NtryDtls></Ntry>\n"
    )


def part(amount: object, words: str, *, reference: str = "", version: str = "02", currency: str = "EUR") -> str:
    """One of the payments inside a batch booking."""
    money = f'<Amt Ccy="{currency}">{amount}</Amt>'
    money = money if version == "08" else f"<AmtDtls><TxAmt>{money}</TxAmt></AmtDtls>"
    own = f"<AcctSvcrRef>{reference}</AcctSvcrRef>" if reference else ""
    return f"<TxDtls><Refs>{own}</Refs>{money}<RmtInf><Ustrd>{words}</Ustrd></RmtInf></TxDtls>"


def camt(
    entries: Iterable[str], *, account: str = OURS, currency: str = "EUR", version: str = "02", prolog: str = ""
) -> bytes:
    """A whole CAMT.053 file."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{prolog}'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>'
        "<GrpHdr><MsgId>1</MsgId></GrpHdr><Stmt><Id>1</Id>"
        f"<Acct><Id><IBAN>{account}</IBAN></Id><Ccy>{currency}</Ccy></Acct>\n{''.join(entries)}"
        "</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def line(
    reference: str, amount: str, words: str, *, day: date | None = None, account: str = OURS, end: str = ""
) -> str:
    """A line of the CSV, of today."""
    return f"{account};{reference};{day or date.today():%d/%m/%Y};{amount};{words};Alice Rossi;{end}"


def csv(*lines: str, header: str = HEADER) -> bytes:
    return "\r\n".join([header, *lines]).encode()


def upload(content: bytes, name: str = "") -> BytesIO:
    file = BytesIO(content)
    file.name = name
    return file


def cents(amount: Decimal) -> str:
    return f"{amount:.2f}".replace(".", ",")
