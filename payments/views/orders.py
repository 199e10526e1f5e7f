"""An order: its page, how it came out, Annulla."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import drafts
from payments import auto_renewal as automatic
from payments import flows, papers, withdrawal
from payments.domain_words import domain_of
from payments.forms import CancelForm
from payments.invoicing import shown as invoices
from payments.models import AutoRenewal
from payments.outcome import Panel, panel
from payments.screens import (
    STATE_LOOKS,
    identity_rows,
    movements,
    new_expiry,
    order_or_404,
    order_rows,
    shows_email,
    user_of,
)
from payments.transfer import instructions
from payments.views.paper import as_pdf
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order

LOOKS = 24  # how often the outcome page looks again by itself before it asks the customer to


def _switched_on(order: Order) -> AutoRenewal | None:
    """The automatic renewal that this order's payment switched on, or that placed it, while it stands (R23, R24)."""
    standing = AutoRenewal.objects.filter(ended_at=None).select_related("box__address")
    if order.placed_by_id is None:
        return standing.filter(box__scheduled_charges__order=order).first()
    return standing.filter(order=order).first() if order.paid_at is not None else None


def _where(request: HttpRequest, order: Order) -> tuple[Panel, AutoRenewal | None]:
    auto = _switched_on(order)
    return panel(order, user=user_of(request), auto=auto, today=clock.today()), auto


def _looked(typed: str) -> int:
    """How often the page has looked again; anything that is not a small number counts as enough."""
    return int(typed or "0") if len(typed) <= 2 and (not typed or typed.isdecimal()) else LOOKS


@login_required
@require_safe
@never_cache
def order(request: HttpRequest, number: str, **kwargs: object) -> HttpResponse:
    """The order as it stands, to read and to print."""
    found = order_or_404(request, number)
    user = user_of(request)
    shown = _shown(request, found)
    context = {
        **shown, "next": [line for line in shown["panel"].next if not line.done],
        "state_look": STATE_LOOKS.get(found.status, "cancellata"), "invoices": invoices.of_order(found, user),
        "withdraw_until": withdrawal.until(found, user=user, today=clock.today()),
        "free_until": withdrawal.free_until(found, user=user, today=clock.today()),
    }  # fmt: skip
    return render(request, "payments/order.html", context)


def _shown(request: HttpRequest, found: Order) -> dict[str, Any]:
    """What the order's page and its summary on paper say; billing data for the account only (R1)."""
    user = user_of(request)
    where, _auto = _where(request, found)
    billing = None if user.is_mailbox else getattr(found, "billing", None)
    lines = [
        {
            "line": line, "new_expiry": new_expiry(found, line),
            # of a domain with two hundred boxes the account alone: the boxes' holders stay as they are
            "holder": [] if line.follows_domain else identity_rows(getattr(line, "holder", None)),
        }
        for line in found.lines.all()
    ]  # fmt: skip
    return {
        "order": found, "panel": where, "lines": lines, "movements": movements(found),
        "billing": billing, "billing_rows": identity_rows(billing),
        "facts": order_rows(found, email=found.email if shows_email(found, user) else ""),
        "vat_percent": (found.vat_rate * 100).normalize(),
    }  # fmt: skip


@login_required
@require_safe
@never_cache
def order_pdf(request: HttpRequest, number: str, **kwargs: object) -> HttpResponse:
    """The same on paper: what this login may see of it."""
    found = order_or_404(request, number)
    html = papers.page("payments/order_pdf.html", {**_shown(request, found), "today": clock.today()})
    return as_pdf(
        request, lambda: papers.kept(found.number, html), name=f"{found.number}.pdf",
        back=reverse("payments:order", args=[found.number]),
    )  # fmt: skip


@login_required
@require_safe
@never_cache
def outcome(request: HttpRequest, number: str, **kwargs: object) -> HttpResponse:
    """What happened, what is still missing, what happens next; `?verifica` asks the provider first (R18)."""
    found = order_or_404(request, number)
    if "verifica" in request.GET:  # back from a provider's page by its own «annulla»
        for attempt in found.payments.all():
            if attempt.is_live:
                flows.fetch_and_record(attempt.pk)
        return redirect("payments:outcome", number=found.number)
    where, auto = _where(request, found)
    looked = _looked(request.GET.get("giro", ""))
    context = {
        "order": found, "panel": where, "auto": auto,
        "transfer": instructions(found, amount=where.missing) if where.asks_for_transfer else None,
        "charge_on": automatic.charge_day(auto.box.expires_on) if auto and auto.box.expires_on else None,
        "look_again": "?" + urlencode({"giro": looked + 1}) if where.is_changing and looked < LOOKS else "",
        "box": next((line.box for line in found.lines.all() if line.box), None),
        "domain": domain_of(found),
        "withdraw_until": withdrawal.until(found, user=user_of(request), today=clock.today()),
        "free_until": withdrawal.free_until(found, user=user_of(request), today=clock.today()),
    }  # fmt: skip
    return render(request, "payments/outcome.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def cancel(request: HttpRequest, number: str, **kwargs: object) -> HttpResponse:
    """Annulla: asks once, twice where a transfer was declared; money that was captured meanwhile wins (R12b)."""
    found = order_or_404(request, number)
    if not found.is_awaiting_payment:
        return redirect("payments:outcome", number=found.number)
    typed = request.POST if request.method == "POST" else drafts.take(request)
    form = CancelForm(typed, transfer_declared=found.transfer_declared_on is not None)
    refusal = ""
    if request.method == "POST" and form.is_valid():
        try:
            flows.cancel_order(
                order_id=found.pk,
                actor=user_of(request),
                despite_transfer=form.cleaned_data.get("despite_transfer", False),
            )
        except flows.NotPayableError as error:
            messages.info(request, str(error))
            return redirect("payments:outcome", number=found.number)
        except RefusedError as error:
            refusal = str(error)
        else:
            return redirect("payments:outcome", number=found.number)
    where, _auto = _where(request, found)
    context = {
        "order": found, "form": form, "refusal": refusal, "panel": where, "arrived": found.amount_due - where.missing,
    }  # fmt: skip
    return render(request, "payments/cancel.html", context)
