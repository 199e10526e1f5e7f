"""Delivery reports: what a mail server writes when it could not, or not yet, deliver a mail (RFC 3464). Pure."""

import re
from dataclasses import dataclass
from email import message_from_bytes, message_from_string
from email.message import Message

HEADERS = ("text/rfc822-headers", "message/rfc822")


class NotAReportError(ValueError):
    """It is no delivery report, or one that does not say about which mail. Its text is a sentence for ops."""


@dataclass(frozen=True)
class Report:
    """What became of a mail. `action`: failed, delayed, delivered, relayed or expanded."""

    message_id: str
    action: str
    detail: str


def read(raw: bytes) -> Report:
    """Read a report as it came in, headers and all. Raises NotAReportError."""
    whole = message_from_bytes(raw)
    parts = list(whole.walk())
    status = next((p for p in parts if p.get_content_type() == "message/delivery-status"), None)
    if whole.get_content_type() != "multipart/report" or status is None:
        raise NotAReportError("This is not a delivery report (multipart/report with a message/delivery-status).")
    recipients = [block for block in _blocks(status) if block["Action"]]
    if not recipients:
        raise NotAReportError("The report names no recipient with an Action.")
    # Our mails have one recipient; where a report has more (an alias of theirs), one that failed decides.
    worst = min(recipients, key=lambda block: ORDER.get(_word(block), len(ORDER)))
    message_id = next((found for part in parts if (found := _original_id(part))), "")
    if not message_id:
        raise NotAReportError(
            "The report does not hold the headers of the mail it is about, or they have no Message-ID."
        )
    return Report(message_id, _word(worst), _said(worst))


ORDER = {"failed": 0, "delayed": 1}


def _blocks(status: Message) -> list[Message]:
    payload = status.get_payload()
    return [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []


def _word(block: Message) -> str:
    return str(block["Action"]).split("(")[0].strip().lower()


def _said(block: Message) -> str:
    """The status and the words of the server that refused: "5.1.1 550 5.1.1 User unknown"."""
    diagnostic = re.sub(r"^\s*[\w.-]+\s*;", "", str(block["Diagnostic-Code"] or ""))
    return " ".join(f"{block['Status'] or ''} {diagnostic}".split())


def _original_id(part: Message) -> str:
    """The Message-ID of the mail that comes back in this part, "" when it is another kind of part."""
    if part.get_content_type() not in HEADERS:
        return ""
    payload = part.get_payload()
    if isinstance(payload, list):
        original = payload[0] if payload else None
    else:
        original = message_from_string(str(payload))
    words = "".join(str(original["Message-ID"] or "").split()) if isinstance(original, Message) else ""
    whole = re.search(r"<[^<>]+>", words)  # cut off, it would be another mail's
    return whole[0] if whole else ""
