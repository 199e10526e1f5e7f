"""A statement as CSV, for banks without CAMT.053: only credits, a header, one line each.

Columns, in any order: conto (our IBAN), riferimento, data valuta (31/05/2027), importo (1.234,50), causale; and, if
they are there, ordinante and valuta (EUR where it is missing). Separated by ; or by ,; UTF-8.
"""

import csv
import io
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import IO

from django.conf import settings
from django.utils.translation import gettext as _

from payments.statements.reading import Credit, Read, StatementError, complete, our_account, squeezed

NEEDED = ("conto", "riferimento", "data valuta", "importo", "causale")
OPTIONAL = ("ordinante", "valuta")
AMOUNT = re.compile(r"-?(\d{1,3}(\.\d{3})+|\d{1,9})(,\d{1,2})?", re.ASCII)
DAY = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})", re.ASCII)


def read(file: IO[bytes]) -> Read:
    """All credits of a CSV file. Raises StatementError, naming the line, when one cannot be read."""
    raw = file.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise StatementError(
            _("Riga %(line)s: le lettere accentate non si leggono. Salva il file come CSV UTF-8.") % {"line": line}
        ) from error
    first = text.split("\n", 1)[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",", strict=True)
    account: list[str] = []
    try:
        credits = list(_credits(rows, _columns(next(rows, [])), account))
    except csv.Error as error:
        raise StatementError(_("Riga %(line)s: le virgolette non si chiudono.") % {"line": rows.line_num}) from error
    return complete(account[0] if account else "", credits)


def _columns(header: list[str]) -> dict[str, int]:
    names = [" ".join(name.replace("_", " ").lower().split()) for name in header]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise StatementError(
            _("Riga 1: mancano le colonne %(missing)s. La prima riga deve essere: %(header)s")
            % {"missing": ", ".join(missing), "header": ";".join(NEEDED + OPTIONAL)}
        )
    twice = [name for name in (*NEEDED, *OPTIONAL) if names.count(name) > 1]
    if twice:
        raise StatementError(_("Riga 1: la colonna %(name)s c'è due volte.") % {"name": twice[0]})
    return {name: names.index(name) for name in (*NEEDED, *OPTIONAL) if name in names}


def _credits(rows: Iterator[list[str]], columns: dict[str, int], account: list[str]) -> Iterator[Credit]:
    width = max(columns.values()) + 1
    for cells in rows:
        where = _("Riga %(line)s") % {"line": rows.line_num}  # type: ignore[attr-defined]
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) < width:
            raise StatementError(
                _("%(where)s: ci sono %(n)s colonne, ne servono %(width)s.")
                % {"where": where, "n": len(cells), "width": width}
            )
        cell = {name: cells[index].strip() for name, index in columns.items()}
        ours = our_account(cell["conto"], where=where)
        if account and account[0] != ours:
            raise StatementError(
                _("%(where)s: il file riguarda più conti, caricane uno alla volta.") % {"where": where}
            )
        account[:] = [ours]
        yield Credit(
            where=where,
            bank_reference=squeezed(cell["riferimento"].upper(), 61),
            amount=_amount(cell["importo"], where),
            currency=cell.get("valuta", "").upper() or settings.CURRENCY,
            value_date=_day(cell["data valuta"], where),
            payer=squeezed(cell.get("ordinante", ""), 140),
            remittance=squeezed(cell["causale"], 500),
        )


def _amount(text: str, where: str) -> Decimal:
    if not AMOUNT.fullmatch(text):
        raise StatementError(
            _("%(where)s: l'importo «%(text)s» non si legge. Scrivilo come 12,08 oppure 1.234,50.")
            % {"where": where, "text": text[:20]}
        )
    return Decimal(text.replace(".", "").replace(",", "."))


def _day(text: str, where: str) -> date:
    found = DAY.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        return date(int(found[3]), int(found[2]), int(found[1]))
    except ValueError as error:
        raise StatementError(
            _("%(where)s: la data «%(text)s» non si legge. Scrivila come 31/05/2027.")
            % {"where": where, "text": text[:20]}
        ) from error
