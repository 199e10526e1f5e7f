"""What SdI says of a file, read from its receipt (the agency's messages 1.0 and 1.1). Pure: bytes in, facts out.

Two families of messages say the same with other names: one for private customers, one for public bodies. They are read
by the local names of their elements; their signature is not looked at, because who may bring a receipt is known: the
provider's own mailbox, folder, or staff.
"""

import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from payments.models import SdiReceipt
from pecportal import clock

Kind = SdiReceipt.Kind
MOST = 1_000_000  # bytes
ROOTS = {
    "RicevutaConsegna": Kind.DELIVERED,
    "NotificaScarto": Kind.REJECTED,
    "RicevutaScarto": Kind.REJECTED,
    "NotificaMancataConsegna": Kind.UNDELIVERED,
    "RicevutaImpossibilitaRecapito": Kind.UNDELIVERED,
    "NotificaEsito": Kind.BODYS_ANSWER,
    "NotificaDecorrenzaTermini": Kind.TERMS_OVER,
    "AttestazioneTrasmissioneFattura": Kind.IMPOSSIBLE,
}
NAME = re.compile(r"[A-Z]{2}[A-Z0-9]{2,28}_[A-Za-z0-9]{1,5}_(RC|NS|MC|NE|DT|AT|MT|EC|SE)_[A-Za-z0-9]{1,3}\.xml(\.p7m)?")
# An AT comes in a ZIP with the invoice beside it (specifications of the format, annex B-1, 1.8.4).
ZIP_NAME = re.compile(r"[A-Z]{2}[A-Z0-9]{2,28}_[A-Za-z0-9]{1,5}_AT_[A-Za-z0-9]{1,3}\.zip")
ZIP = b"PK\x03\x04"
ANSWERS = {"EC01": "accettata", "EC02": "rifiutata"}


class UnreadableError(Exception):
    """No receipt of SdI; the message says why, for staff."""


@dataclass(frozen=True)
class Said:
    """A receipt: its kind, which file it is about, SdI's id of it, and what it says in words.

    `happened_at`: SdI's moment, aware, None where it gives none. `codes`: of errors. `answer`: EC01 or EC02 of a body.
    """

    kind: str
    of_file: str
    sdi_id: str = ""
    message_id: str = ""
    happened_at: datetime | None = None
    codes: tuple[str, ...] = ()
    answer: str = ""
    detail: str = ""


def read(content: bytes) -> Said:
    """Read a receipt. Raises UnreadableError: too large, no XML, with a DTD, another kind of message, no file named."""
    if len(content) > MOST:
        raise UnreadableError("è più grande di 1 MB")
    if content.startswith(ZIP):
        content = _out_of_zip(content)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableError("non è un XML leggibile") from error
    if root.getroottree().docinfo.doctype:
        raise UnreadableError("contiene una DTD: le ricevute di SdI non ne hanno")
    kind = ROOTS.get(etree.QName(root).localname)
    if kind is None:
        raise UnreadableError(
            f"«{etree.QName(root).localname[:40]}» non è una ricevuta che riguarda una fattura inviata"
        )
    of_file = _first(root, "NomeFile")
    if not of_file:
        raise UnreadableError("non dice di quale file parla")
    errors = [(_first(e, "Codice"), _first(e, "Descrizione")) for e in _all(root, "Errore")]
    answer = _first(root, "Esito") if kind == Kind.BODYS_ANSWER else ""
    return Said(
        kind=kind, of_file=of_file[:60], sdi_id=_first(root, "IdentificativoSdI")[:36],
        message_id=_first(root, "MessageId")[:36], happened_at=_moment(root),
        codes=tuple(code[:10] for code, _text in errors if code), answer=answer[:4],
        detail=_detail(root, errors, answer),
    )  # fmt: skip


def _out_of_zip(content: bytes) -> bytes:
    """The receipt in a ZIP, by its name; no more of it is unpacked than a receipt may have."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                if NAME.fullmatch(entry.filename) and entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    with archive.open(entry) as opened:
                        found = opened.read(MOST + 1)
                    if len(found) > MOST:
                        raise UnreadableError("è più grande di 1 MB")
                    return found
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise UnreadableError("non è uno ZIP leggibile") from error
    raise UnreadableError("è uno ZIP senza una ricevuta di SdI")


def _all(root: etree._Element, name: str) -> list[etree._Element]:
    return [e for e in root.iter(etree.Element) if etree.QName(e).localname == name]


def _first(root: etree._Element, name: str) -> str:
    """The text of the first element of that name, in any namespace, or ""."""
    return next((" ".join((e.text or "").split()) for e in _all(root, name) if e.text), "")


def _moment(root: etree._Element) -> datetime | None:
    """SdI writes no time zone where it means Rome."""
    for name in ("DataOraConsegna", "DataOraRicezione", "DataMessaADisposizione"):
        try:
            moment = datetime.fromisoformat(_first(root, name))
        except ValueError:
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=clock.ROME)
    return None


def _detail(root: etree._Element, errors: list[tuple[str, str]], answer: str) -> str:
    if errors:
        return "\n".join(f"{code} {text}".strip() for code, text in errors)[:4000]
    said = _first(root, "Descrizione")
    return f"{ANSWERS.get(answer, answer)}: {said}".strip(": ")[:4000] if answer else _first(root, "Note")[:4000] or ""
