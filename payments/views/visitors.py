"""/paga/: an order is paid by whoever knows its number and a code of its holder, without signing in (R24, R33).

It shows the amount and the boxes, nothing else; it never turns automatic renewal on.
"""

import logging

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts import limits
from payments import cases, flows, recording, visitors
from payments.forms import PayForm
from payments.methods import methods_of
from payments.models import Payment
from payments.transfer import BY_BANK, instructions
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import settle
from renewals.models import Order

log = logging.getLogger(__name__)


class FindForm(forms.Form):
    """The number on the order and a code of the holder; the same answer whichever of the two is wrong."""

    number = forms.CharField(
        label=gettext_lazy("Numero dell'ordine"), max_length=20,
        help_text=gettext_lazy("Lo trovi nella mail di conferma, per esempio R-7KQ4M2."),
        widget=forms.TextInput(attrs={"autocapitalize": "characters", "spellcheck": "false", "autocomplete": "off"}),
    )  # fmt: skip
    code = forms.CharField(
        label=gettext_lazy("Codice fiscale o partita IVA del titolare"), max_length=30,
        help_text=gettext_lazy("Il titolare è la persona, l'impresa o l'ente a cui la casella è intestata."),
        widget=forms.TextInput(attrs={"autocapitalize": "characters", "spellcheck": "false", "autocomplete": "off"}),
    )  # fmt: skip


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def find(request: HttpRequest) -> HttpResponse:
    form = FindForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        number, code = form.cleaned_data["number"], form.cleaned_data["code"]
        if not (
            limits.allow("paga", limits.network(request), limit=20, seconds=600)
            and limits.allow("paga-order", number.strip().upper(), limit=10, seconds=600)
        ):
            form.add_error(None, _("Troppi tentativi: riprova fra dieci minuti."))
            return render(request, "payments/visitor_find.html", {"form": form}, status=429)
        order = visitors.find(number, code)
        if order is not None:
            visitors.let_in(request, order)
            return redirect("payments:visitor_pay")
        form.add_error(
            None,
            _("Numero d'ordine e codice non corrispondono: controllali tutti e due, sulla mail di conferma."),
        )
    return render(request, "payments/visitor_find.html", {"form": form})


def _again(request: HttpRequest) -> HttpResponse:
    messages.info(request, _("È passata mezz'ora: scrivi di nuovo numero d'ordine e codice."))
    return redirect("payments:visitor_find")


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def pay(request: HttpRequest) -> HttpResponse:
    """Amount, boxes and the ways to pay."""
    order = visitors.order_of(request)
    if order is None:
        return _again(request)
    live = Payment.objects.live().filter(order=order).first()
    unknown = (live and live.status == Payment.Status.UNKNOWN) or cases.held().filter(order=order).exists()
    if unknown or not settle.is_payable(order, clock.today()):
        return redirect("payments:visitor_outcome")
    offered = methods_of(order, today=clock.today())
    form = PayForm(request.POST or None, methods=offered)
    if request.method == "POST" and form.is_valid():
        method = form.cleaned_data["method"]
        try:
            return redirect(_begin(request, order, method))
        except RefusedError:  # paid, closed or unknown meanwhile: the next page says which
            pass
        except Exception:  # the attempt is recorded: the sync asks what became of it (R19)
            log.exception("a payment of order %s could not be started", order.number)
        return redirect("payments:visitor_outcome")
    context = {
        "shown": visitors.shown(order), "form": form, "methods": offered, "live": live,
        "missing": recording.missing(order), "chosen": form["method"].value(),
    }  # fmt: skip
    return render(request, "payments/visitor_pay.html", context)


def _begin(request: HttpRequest, order: Order, method: str) -> str:
    outcome = reverse("payments:visitor_outcome")
    if method in BY_BANK:
        flows.choose_transfer(order.pk, method=method)
        return outcome
    return flows.start(
        order_id=order.pk, provider=method, user=None, auto_renewal_agreed=False,
        return_url=lambda p: request.build_absolute_uri(reverse("payments:return", args=[p.public_id])),
        cancel_url=request.build_absolute_uri(outcome + "?verifica"),
    )  # fmt: skip


@login_not_required
@require_safe
@never_cache
def outcome(request: HttpRequest) -> HttpResponse:
    """How it came out, in the words that a stranger to the account may read."""
    order = visitors.order_of(request)
    if order is None:
        return _again(request)
    if "verifica" in request.GET:  # back from a provider's page by its own «annulla»
        for attempt in Payment.objects.live().filter(order=order):
            flows.fetch_and_record(attempt.pk)
        return redirect("payments:visitor_outcome")
    last = Payment.objects.filter(order=order).order_by("-id").first()
    payable = settle.is_payable(order, clock.today())
    held = order.is_awaiting_payment and cases.held().filter(order=order).exists()
    by_transfer = order.is_awaiting_payment and order.method in BY_BANK and payable
    missing = recording.missing(order)
    context = {
        "shown": visitors.shown(order), "order": order, "missing": missing, "payable": payable,
        "verifying": held or (last is not None and last.is_live),
        "failed": last is not None and last.status == Payment.Status.FAILED,
        "transfer": instructions(order, amount=missing) if by_transfer else None,
    }  # fmt: skip
    return render(request, "payments/visitor_outcome.html", context)
