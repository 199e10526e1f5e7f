"""CAMT.053, the statement of ISO 20022 (versions 001.02 and 001.08): the booked credits of one account in euro.

https://www.iso20022.org/iso-20022-message-definitions. No DTD, no entities, no network; a pass that keeps one movement
in memory at a time.
"""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from lxml import etree

from payments.statements.reading import Credit, Read, StatementError, complete, our_account, squeezed
from pecportal import clock

NAMESPACES = tuple(f"urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}" for version in ("02", "08"))
NONE_GIVEN = {"", "NOTPROVIDED", "NOT PROVIDED", "NONREF"}


def read(file: IO[bytes]) -> Read:
    """All booked credits of a CAMT.053 file. Raises StatementError, naming the line, for anything else."""
    try:
        reader = _Reader(file)
        credits = list(reader.credits())
    except etree.XMLSyntaxError as error:
        line = error.lineno or 1
        raise StatementError(_("Riga %(line)s: il file non è un XML valido.") % {"line": line}) from error
    if not reader.account:
        raise StatementError(_("Nel file non c'è nessun estratto conto (BkToCstmrStmt/Stmt)."))
    return complete(reader.account, credits)


class _Reader:
    def __init__(self, file: IO[bytes]) -> None:
        self.events = etree.iterparse(
            file, events=("start", "end"), load_dtd=False, no_network=True, resolve_entities=False, huge_tree=False,
            remove_comments=True, remove_pis=True,
        )  # fmt: skip
        self.account = ""
        self.ns = ""

    def credits(self) -> Iterator[Credit]:
        seen = 0
        for event, node in self.events:
            if not self.ns:
                self._check_root(node)
            if event == "start":
                continue
            name = node.tag.removeprefix(self.ns)
            parent = node.getparent()
            inside = parent.tag.removeprefix(self.ns) if parent is not None else ""
            if name == "Acct" and inside == "Stmt":
                self._account(node)
            elif name == "Ntry" and inside == "Stmt":
                seen += 1
                yield from self._entry(node, _("Riga %(line)s") % {"line": node.sourceline})
                node.clear()
                while node.getprevious() is not None and node.getprevious().tag == node.tag:
                    del parent[parent.index(node) - 1]

    def _check_root(self, root: Any) -> None:
        if root.getroottree().docinfo.doctype:
            raise StatementError(
                _("Riga 1: il file contiene una DTD, che un estratto conto non ha. Non l'abbiamo letto.")
            )
        namespace, _brace, name = root.tag.removeprefix("{").partition("}")
        if name != "Document" or namespace not in NAMESPACES:
            raise StatementError(
                _("Riga %(line)s: il file non è un CAMT.053 (001.02 o 001.08).") % {"line": root.sourceline}
            )
        self.ns = f"{{{namespace}}}"

    def _find(self, node: Any, path: str) -> Any:
        return node.find("/".join(self.ns + step for step in path.split("/")))

    def _text(self, node: Any, path: str) -> str:
        found = self._find(node, path)
        return (found.text or "").strip() if found is not None else ""

    def _texts(self, node: Any, path: str) -> list[str]:
        found = node.findall("/".join(self.ns + step for step in path.split("/")))
        return [text for text in ((one.text or "").strip() for one in found) if text]

    def _account(self, node: Any) -> None:
        where = _("Riga %(line)s") % {"line": node.sourceline}
        currency = self._text(node, "Ccy")
        if currency and currency != settings.CURRENCY:
            raise StatementError(
                _("%(where)s: il conto è in %(currency)s, si leggono solo conti in euro.")
                % {"where": where, "currency": currency[:3]}
            )
        account = our_account(self._text(node, "Id/IBAN"), where=where)
        if self.account and account != self.account:
            raise StatementError(
                _("%(where)s: il file riguarda più conti, caricane uno alla volta.") % {"where": where}
            )
        self.account = account

    def _entry(self, entry: Any, where: str) -> Iterator[Credit]:
        """The credits of a movement: one, or as many as a batch booking tells apart."""
        side = self._text(entry, "CdtDbtInd")
        if side not in ("CRDT", "DBIT"):
            raise StatementError(_("%(where)s: manca se è un accredito o un addebito (CdtDbtInd).") % {"where": where})
        status = self._text(entry, "Sts/Cd") or self._text(entry, "Sts")
        if side == "DBIT" or status != "BOOK":
            return
        if not self.account:
            raise StatementError(_("%(where)s: il movimento viene prima del conto (Acct).") % {"where": where})
        day = self._day(entry, where)
        amount, currency = self._money(self._find(entry, "Amt"), where)
        reference = self._text(entry, "AcctSvcrRef")
        details = entry.findall(f"{self.ns}NtryDtls/{self.ns}TxDtls")
        if len(details) <= 1:
            detail = details[0] if details else None
            yield self._credit(entry, detail, where, self._reference(entry, detail), amount, currency, day)
            return
        total = Decimal(0)
        for number, detail in enumerate(details, 1):
            place = f"{where}, {number}"
            money = self._find(detail, "Amt")
            if money is None:
                money = self._find(detail, "AmtDtls/TxAmt/Amt")
            part, part_currency = self._money(money, place)
            if part_currency != currency:
                raise StatementError(
                    _("%(where)s: la valuta non è quella del movimento che lo contiene.") % {"where": place}
                )
            total += part
            own = self._text(detail, "Refs/AcctSvcrRef")
            bank_reference = own if own and own != reference else f"{reference}/{number}" if reference else ""
            yield self._credit(entry, detail, place, bank_reference, part, currency, day)
        if total != amount:
            raise StatementError(
                _("%(where)s: i %(n)s accrediti contenuti fanno %(total)s e non %(amount)s.")
                % {"where": where, "n": len(details), "total": total, "amount": amount}
            )

    def _money(self, node: Any, where: str) -> tuple[Decimal, str]:
        text = (node.text or "").strip() if node is not None else ""
        try:
            if not text.isascii() or "_" in text:
                raise InvalidOperation
            return Decimal(text), node.get("Ccy", "")
        except InvalidOperation as error:
            raise StatementError(
                _("%(where)s: l'importo «%(text)s» non è un numero.") % {"where": where, "text": text[:20]}
            ) from error

    def _day(self, entry: Any, where: str) -> date:
        """Value date; where the bank gives none, the day of booking (R21b)."""
        for path in ("ValDt/Dt", "ValDt/DtTm", "BookgDt/Dt", "BookgDt/DtTm"):
            if text := self._text(entry, path):
                try:
                    if not path.endswith("DtTm"):
                        return date.fromisoformat(text[:10])
                    moment = datetime.fromisoformat(text)
                    return clock.rome_date(moment) if moment.tzinfo else moment.date()
                except ValueError as error:
                    raise StatementError(
                        _("%(where)s: la data «%(text)s» non esiste.") % {"where": where, "text": text[:20]}
                    ) from error
        raise StatementError(_("%(where)s: manca la data valuta.") % {"where": where})

    def _reference(self, entry: Any, detail: Any) -> str:
        """How the bank calls a movement: its own reference, else what comes with the payment."""
        found = [self._text(entry, "AcctSvcrRef")]
        if detail is not None:
            found += [self._text(detail, f"Refs/{name}") for name in ("AcctSvcrRef", "TxId", "EndToEndId")]
        found.append(self._text(entry, "NtryRef"))
        return next((text for text in found if text.upper() not in NONE_GIVEN), "")

    def _credit(
        self, entry: Any, detail: Any, where: str, reference: str, amount: Decimal, currency: str, day: date
    ) -> Credit:
        payer, words = "", []
        if detail is not None:
            payer = self._text(detail, "RltdPties/Dbtr/Nm") or self._text(detail, "RltdPties/Dbtr/Pty/Nm")
            words = self._texts(detail, "RmtInf/Strd/CdtrRefInf/Ref") + self._texts(detail, "RmtInf/Ustrd")
            own = self._text(detail, "Refs/EndToEndId")
            words += [own] if own.upper() not in NONE_GIVEN else []
            words += [] if words else self._texts(detail, "AddtlTxInf")
        words += [] if words else self._texts(entry, "AddtlNtryInf")
        return Credit(
            where=where, bank_reference=squeezed(reference.upper(), 61), amount=amount, currency=currency,
            value_date=day, payer=squeezed(payer, 140), remittance=squeezed(" ".join(words), 500),
        )  # fmt: skip
