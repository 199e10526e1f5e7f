"""Documents on paper: HTML of ours as PDF/A-3a, tagged, drawn on demand and kept for a while.

Slow (tenths of a second): never inside a transaction or under a lock of the database. Nothing here decides who may see
a document: views do, before they ask for it (R1).
"""

import atexit
import hashlib
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.template.loader import render_to_string

CSS_FOLDER = settings.BASE_DIR / "static" / "css"
STYLES = ("tokens.css", "pdf.css")
# Threads share the fonts, which Pango does not promise to bear; and drawing holds the interpreter anyway.
_drawing = Lock()


@dataclass(frozen=True)
class Attached:
    """A file inside a PDF: that of which the page is a copy."""

    name: str
    content: bytes
    description: str


def page(template: str, context: dict[str, Any]) -> str:
    """The HTML of a document, in the active language, with the provider's name."""
    return render_to_string(template, {**context, "provider": settings.PROVIDER_NAME})


def kept(key: str, html: str, attached: Attached | None = None) -> bytes:
    """The PDF of a page, drawn unless it was drawn lately. `key` says whose it is (a public id or number).

    What is in it is part of the key too, and so is how it looks: who sees less than another gets another file, and a
    document that changed is drawn anew.
    """
    content = hashlib.sha256(html.encode())
    content.update(_looks())
    if attached is not None:
        content.update(attached.content)
    found: bytes | None = caches["papers"].get(name := f"{key}:{content.hexdigest()}")
    if found is None:
        found = draw(html, attached)
        caches["papers"].set(name, found)
    return found


def draw(html: str, attached: Attached | None = None) -> bytes:
    """HTML as PDF/A-3a (ISO 19005-3), with a file attached as its source where there is one."""
    from weasyprint import HTML, Attachment
    from weasyprint.urls import URLFetcher

    attachments = [
        Attachment(string=a.content, name=a.name, description=a.description, relationship="Source")
        for a in ([attached] if attached else [])
    ]
    with _drawing:
        fonts, styles = _dress()
        # Only pictures that are in the page itself: a document never fetches anything.
        fetch = URLFetcher(allowed_protocols={"data"})
        made = HTML(string=html, url_fetcher=fetch, media_type="screen").write_pdf(
            stylesheets=styles, font_config=fonts, pdf_variant="pdf/a-3a", attachments=attachments
        )
    return bytes(made)


@cache
def _dress() -> tuple[Any, list[Any]]:
    """The fonts and the style sheets, read once a process: tokens as on the screen, in their light colours."""
    from weasyprint import CSS
    from weasyprint.text.fonts import FontConfiguration

    atexit.register(_dress.cache_clear)  # fonts that outlive the interpreter's modules complain as they go
    fonts = FontConfiguration()
    return fonts, [CSS(filename=CSS_FOLDER / name, font_config=fonts, media_type="screen") for name in STYLES]


@cache
def _looks() -> bytes:
    return b"".join((CSS_FOLDER / name).read_bytes() for name in STYLES)
