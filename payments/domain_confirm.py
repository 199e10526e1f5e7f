"""Step 3 of a domain's renewal: method, the whole summary, terms, and the button with the duty to pay (R11, R17)."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts import drafts
from mailboxes.catalogue import forget_shown, shown_on
from mailboxes.models import Domain
from payments import methods
from payments.confirm import OrderForm, go_and_pay, ip_of
from payments.invoicing import early
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import domain_wizard, domains, wizard
from renewals.answers import DomainAnswers
from renewals.flows import AlreadyOrderedError
from renewals.forms import looks_certified
from renewals.models import Kind
from renewals.terms import VERSION


class DomainForm(OrderForm):
    """What every order asks, and what a consumer may ask for. Nothing here renews by itself (R23)."""

    field_order = ("method", "terms", "immediate_start")
    immediate_start = forms.BooleanField(
        label=gettext_lazy(
            "Chiedo che il rinnovo sia eseguito subito, senza aspettare i 14 giorni del recesso. So che, se recedo a "
            "periodo iniziato, pago la parte già goduta."
        ),
        required=False,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@domain_wizard.step
def confirm(request: HttpRequest, domain: Domain) -> HttpResponse:
    """The last page before an order, and the confirmation."""
    domain_wizard.require_offer(domain)
    answers = domain_wizard.require_email(request, domain)
    typed = request.POST if request.method == "POST" else drafts.take(request)
    form = _form(domain, typed)
    if request.method == "POST" and form.is_valid() and (done := _place(request, domain, answers, form)):
        return done
    return render(request, "payments/domain_confirm.html", _context(domain, answers, form))


def _quote(domain: Domain, answers: DomainAnswers) -> domains.DomainQuote:
    count, prices = domains.boxes_of(domain).count(), shown_on(clock.today()).prices
    return domains.quote(domain=domain, boxes=count, years=answers.years, prices=prices)


def _form(domain: Domain, typed: Any) -> DomainForm:
    offered = methods.methods(delete_from=domain.delete_from, today=clock.today(), kind=Kind.DOMAIN_RENEWAL)
    return DomainForm(typed, choices=offered)


def _context(domain: Domain, answers: DomainAnswers, form: DomainForm) -> dict[str, object]:
    quote = _quote(domain, answers)
    billing = getattr(domain.owner, "billing", None)
    return {
        **domain_wizard.frame(domain, current=3, quote=quote),
        "form": form,
        "chosen": str(form["method"].value() or ""),
        "email": answers.email,
        "certified": looks_certified(answers.email),
        "billing": billing,
        "is_consumer": bool(billing and billing.is_consumer),
        "terms_version": VERSION,
    }


def _place(request: HttpRequest, domain: Domain, answers: DomainAnswers, form: DomainForm) -> HttpResponse | None:
    """Place the order and go on to pay it; None when the page has to be shown again, with its sentence."""
    data = form.cleaned_data
    totals = _quote(domain, answers).totals
    if found := early.problems(domain.owner, totals, back=request.path):
        early.show(form, found)
        drafts.save(request, str(wizard.signed_in(request).pk), request.path)
        return None
    try:
        order = domains.place_domain_renewal(
            domain_id=domain.pk, user=wizard.signed_in(request), years=answers.years, email=answers.email,
            method=data["method"], terms_version=VERSION, terms_ip=ip_of(request),
            immediate_start=data["immediate_start"], shown_total=data["shown_total"],
        )  # fmt: skip
    except AlreadyOrderedError as error:
        messages.warning(request, str(domain_wizard.ALREADY_ORDERED))
        return (
            redirect("payments:order", error.order.number) if error.order else redirect(domain_wizard.page_of(domain))
        )
    except RefusedError as error:
        forget_shown(clock.today())  # the page comes again with the prices of this moment
        form.add_error(None, str(error))
        return None
    wizard.drop(request, domain)
    return go_and_pay(request, order, method=form.methods[data["method"]], opted_out=True)
