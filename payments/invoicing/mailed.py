"""SdI's receipts out of a mail that it sent to the provider's PEC: pure, bytes in, files out."""

import email
import email.policy
from dataclasses import dataclass

from payments.invoicing.receipts import NAME, ZIP_NAME


@dataclass(frozen=True)
class Attached:
    name: str
    content: bytes


def receipts_in(raw: bytes) -> list[Attached]:
    """Attachments that are named as SdI names its receipts, however deep (a PEC has the message inside another).

    Empty for all other mail: the PEC system's own receipts, and whatever else comes to that mailbox.
    """
    message = email.message_from_bytes(raw, policy=email.policy.default)
    found = []
    for part in message.walk():
        name = part.get_filename() or ""
        if part.is_multipart() or not (NAME.fullmatch(name) or ZIP_NAME.fullmatch(name)):
            continue
        content = part.get_payload(decode=True)
        if isinstance(content, bytes) and content:
            found.append(Attached(name, content))
    return found
