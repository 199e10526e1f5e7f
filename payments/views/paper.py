"""A document to read or print; where it cannot be drawn, a page that says so: nothing else waits for it."""

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

log = logging.getLogger(__name__)


def as_pdf(request: HttpRequest, make: Callable[[], bytes], *, name: str, back: str) -> HttpResponse:
    """The PDF that `make` draws, to be saved as `name`; else 503 and a page to try again from, with a way `back`."""
    try:
        content = make()
    except Exception:  # whatever the fonts or the disk of this machine have: the money and the document are safe
        log.exception("a document could not be drawn")
        return render(request, "payments/paper_failed.html", {"back": back}, status=503)
    headers = {"Content-Disposition": f'inline; filename="{name}"'}
    return HttpResponse(content, content_type="application/pdf", headers=headers)
