"""Paga, the instructions for a transfer, and the way back from a provider's page."""

import logging

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import drafts
from mailboxes.rules import add_years
from payments import cases, flows, recording, visitors
from payments.begin import start_online
from payments.consent import NextCharge, next_charge
from payments.forms import PayForm
from payments.methods import methods_of, switches_on
from payments.models import Payment
from payments.screens import expiry_of, order_or_404, user_of
from payments.transfer import BY_BANK, instructions, pdf
from payments.views.paper import as_pdf
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import settle
from renewals.models import Kind, Order

log = logging.getLogger(__name__)


def _next_charge(order: Order) -> NextCharge | None:
    """The charge to announce beside a card (R23); None where paying switches nothing on."""
    expiry = expiry_of(order)
    if order.kind == Kind.PURCHASE and order.years is not None:  # as if it came to life today: the sentence says so
        today = clock.today()
        expiry = add_years(today, order.years, anchor_month=today.month, anchor_day=today.day)
    if not switches_on(order) or expiry is None or order.years is None:
        return None
    return next_charge(new_expiry=expiry, amount=order.total, years=order.years, today=clock.today())


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def pay(request: HttpRequest, number: str, **kwargs: object) -> HttpResponse:
    """Paga: choose a method, go and pay. A live attempt is closed at its provider first (R20)."""
    order = order_or_404(request, number)
    if not settle.is_payable(order, clock.today()) or cases.held().filter(order=order).exists():
        return redirect("payments:outcome", number=order.number)  # which says why
    offered = methods_of(order, today=clock.today())
    possible = [method.code for method in offered if not method.refusal]
    first = order.method if order.method in possible else next(iter(possible), "")
    typed = request.POST if request.method == "POST" else drafts.take(request)
    form = PayForm(typed, methods=offered, initial={"method": first})
    live = next((attempt for attempt in order.payments.all() if attempt.is_live), None)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(_begin(request, order, form))
        except RefusedError:  # paid, closed or unknown meanwhile: the outcome page says which
            pass
        except Exception:  # the attempt is recorded: the sync asks the provider what became of it (R19)
            log.exception("a payment of order %s could not be started", order.number)
        return redirect("payments:outcome", number=order.number)
    context = {
        "order": order, "form": form, "methods": offered, "chosen": form["method"].value(),
        "charge": _next_charge(order), "charge_from_activation": order.kind == Kind.PURCHASE,
        "live": live, "unknown": _unknown(live),
        "missing": recording.missing(order), "opted_out": form["no_auto_renewal"].value() or [],
    }  # fmt: skip
    return render(request, "payments/pay.html", context)


def _unknown(live: Payment | None) -> str:
    """The sentence in place of the form while nobody knows what became of an attempt (R19)."""
    return str(flows.UnknownPaymentError()) if live and live.status == Payment.Status.UNKNOWN else ""


def _begin(request: HttpRequest, order: Order, form: PayForm) -> str:
    method = form.cleaned_data["method"]
    if method in BY_BANK:
        flows.choose_transfer(order.pk, method=method)
        return reverse(f"payments:{method}", args=[order.number])
    opted_out = method in form.cleaned_data["no_auto_renewal"] or _next_charge(order) is None
    return start_online(request, order=order, user=user_of(request), provider=method, opted_out=opted_out)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def transfer(request: HttpRequest, number: str, method: str = "transfer", **kwargs: object) -> HttpResponse:
    """Instructions for the transfer, or the slip; POST is «Ho fatto il bonifico», «Ho pagato il bollettino» (R12b).

    Not after the last day to pay: money that leaves then renews nothing, and the outcome page says so.
    """
    order = order_or_404(request, number)
    payable = order.method == method and settle.is_payable(order, clock.today())
    if not payable or cases.held().filter(order=order).exists():
        return redirect("payments:outcome", number=order.number)
    if request.method == "POST":
        try:
            flows.declare_transfer(order_id=order.pk, actor=user_of(request))
        except RefusedError as error:
            messages.warning(request, str(error))
        return redirect("payments:outcome", number=order.number)
    context = {
        "order": order, "transfer": instructions(order, amount=recording.missing(order)),
        "pdf": f"payments:{method}_pdf",
    }  # fmt: skip
    return render(request, "payments/transfer.html", context)


@login_required
@require_safe
@never_cache
def transfer_pdf(request: HttpRequest, number: str, method: str = "transfer", **kwargs: object) -> HttpResponse:
    """The same instructions on paper."""
    order = order_or_404(request, number)
    if not order.is_awaiting_payment or order.method != method:
        return redirect("payments:outcome", number=order.number)
    return as_pdf(
        request, lambda: pdf(order, instructions(order, amount=recording.missing(order))), name=f"{order.number}.pdf",
        back=reverse(f"payments:{method}", args=[order.number]),
    )  # fmt: skip


@require_safe
@never_cache
def come_back(request: HttpRequest, payment_id: object, **kwargs: object) -> HttpResponse:
    """Back from the provider: ask it, record, show how it came out (R18).

    A browser that lost its session signs in first and lands here again; nothing of the order is told before (R1).
    """
    payment = get_object_or_404(Payment.objects.select_related("order"), public_id=payment_id)
    if payment.started_by_id is None and visitors.may_pay(request, payment):  # begun at /paga/
        flows.fetch_and_record(payment.pk)
        return redirect("payments:visitor_outcome")
    if (
        request.user.is_authenticated
        and not Order.objects.visible_to(user_of(request)).filter(pk=payment.order_id).exists()
    ):
        raise Http404
    if payment.is_live:
        flows.fetch_and_record(payment.pk)
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    return redirect("payments:outcome", number=payment.order.number)
