"""What both formats have in common: the credit that is read, and how a file is refused."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from django.conf import settings
from django.utils.translation import gettext as _
from stdnum import iban

from payments.refunds import MOST
from pecportal import clock
from pecportal.errors import RefusedError

MOST_ROWS = 50_000
OLDEST = timedelta(days=366)
AHEAD = timedelta(days=5)


class StatementError(RefusedError):
    """The file is not taken, and nothing of it: the sentence names the line and what is wrong there."""


@dataclass(frozen=True)
class Credit:
    """Money that arrived, as the bank tells it: `amount` > 0 in `currency`; `where` names its place in the file."""

    where: str
    bank_reference: str
    amount: Decimal
    currency: str
    value_date: date
    payer: str
    remittance: str


@dataclass
class Read:
    """A file that was read to its end."""

    bank_account: str = ""
    credits: list[Credit] = field(default_factory=list)


def squeezed(text: str | None, most: int) -> str:
    """What a bank wrote, blanks made one, as far as it fits; the database takes no NUL."""
    return " ".join((text or "").replace("\x00", "").split())[:most]


def our_account(typed: str, *, where: str) -> str:
    """The account of a statement, compact. Raises StatementError unless it is one of ours."""
    account = re.sub(r"\s", "", typed).upper()
    ours = {iban.compact(settings.BANK_IBAN)} - {""}
    if account in ours or is_postal(account):
        return account
    if not account:
        raise StatementError(_("%(where)s: manca l'IBAN del conto.") % {"where": where})
    raise StatementError(
        _("%(where)s: il conto %(account)s non è nostro. Gli accrediti si leggono solo dal conto %(ours)s.")
        % {"where": where, "account": account[:34], "ours": ", ".join(sorted(ours)) or "-"}
    )


def is_postal(account: str) -> bool:
    """Whether an IBAN is that of our postal account (BancoPosta: bank code 07601, account of twelve digits)."""
    postal = settings.POSTAL_ACCOUNT
    return bool(postal) and account[5:10] == "07601" and account.endswith(postal) and iban.is_valid(account)


def check(credit: Credit) -> Credit:
    """The credit, if it can become a receipt. Raises StatementError naming its place."""
    today = clock.today()
    amount = credit.amount
    problem = ""
    if not amount.is_finite() or amount <= 0:
        problem = _("l'importo deve essere maggiore di zero")
    elif amount > MOST:
        problem = _("l'importo è troppo grande")
    elif amount != amount.quantize(Decimal("0.01")):
        problem = _("l'importo ha più di due decimali")
    elif not re.fullmatch(r"[A-Z]{3}", credit.currency):
        problem = _("la valuta si scrive con tre lettere, come EUR")
    elif credit.value_date > today + AHEAD:
        problem = _("la data valuta è troppo avanti nel tempo")
    elif credit.value_date < today - OLDEST:
        problem = _("la data valuta è di più di un anno fa")
    elif not credit.bank_reference:
        problem = _("manca il riferimento della banca")
    elif len(credit.bank_reference) > 60:
        problem = _("il riferimento della banca ha più di 60 caratteri")
    if problem:
        raise StatementError(f"{credit.where}: {problem}.")
    return credit


def complete(account: str, credits: Iterable[Credit]) -> Read:
    """A whole file. Raises StatementError: no credits, too many, the same bank reference on two of them."""
    seen: dict[str, str] = {}
    read = Read(account)
    for credit in credits:
        if credit.bank_reference in seen:
            raise StatementError(
                _("%(where)s: il riferimento %(reference)s è già a %(first)s.")
                % {"where": credit.where, "reference": credit.bank_reference, "first": seen[credit.bank_reference]}
            )
        seen[credit.bank_reference] = credit.where
        read.credits.append(check(credit))
        if len(read.credits) > MOST_ROWS:
            raise StatementError(
                _("Il file ha più di %(most)s accrediti: dividilo in file più piccoli.") % {"most": MOST_ROWS}
            )
    if not read.credits:
        raise StatementError(_("Nel file non c'è nessun accredito contabilizzato."))
    return read
