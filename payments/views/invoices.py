"""The files of an invoice: the XML as it was sent, and its courtesy copy. For the account alone (R1)."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from payments.invoicing.pdf import courtesy_copy
from payments.models import Invoice
from payments.screens import user_of
from payments.views.paper import as_pdf


def _file_of(request: HttpRequest, invoice_id: object) -> tuple[Invoice, bytes, str]:
    found = get_object_or_404(Invoice.objects.visible_to(user_of(request)).live(), public_id=invoice_id)
    if found.xml is None or found.file_name is None:
        raise Http404  # it has a number, and its file is not written yet
    return found, bytes(found.xml), found.file_name


@login_required
@require_safe
@never_cache
def invoice_pdf(request: HttpRequest, invoice_id: object, **kwargs: object) -> HttpResponse:
    """The courtesy copy."""
    invoice, content, name = _file_of(request, invoice_id)
    return as_pdf(
        request, lambda: courtesy_copy(content, file_name=name, key=str(invoice.public_id)),
        name=f"{invoice.number_text}.pdf", back=reverse("area:fatture"),
    )  # fmt: skip


@login_required
@require_safe
@never_cache
def invoice_xml(request: HttpRequest, invoice_id: object, **kwargs: object) -> HttpResponse:
    """The file itself, under the name it was sent with: what an accountant's program takes in."""
    _invoice, content, name = _file_of(request, invoice_id)
    return xml_response(content, name)


def xml_response(content: bytes, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type="application/xml", headers=headers)
