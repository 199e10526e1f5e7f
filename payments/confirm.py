"""Step 3 of the wizard: method, years, the whole summary, terms, and the button with the duty to pay (R5, R11)."""

import logging
from typing import Any
from uuid import UUID

from allauth.account.adapter import get_adapter
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from accounts import drafts
from mailboxes.catalogue import forget_shown, shown_on
from mailboxes.models import Mailbox
from mailboxes.rules import MAX_YEARS
from payments import begin, methods
from payments.consent import next_charge_of
from payments.invoicing import early
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import flows, wizard
from renewals.forms import looks_certified, years_field, years_shown
from renewals.models import Kind, Order
from renewals.terms import VERSION
from renewals.wizard import RENEWAL, Road
from renewals.words import years_chosen

log = logging.getLogger(__name__)

PRICE_CHANGED = gettext_lazy("Il prezzo è cambiato da quando hai aperto la pagina: controlla il nuovo totale.")


class OrderForm(forms.Form):
    """What every order asks at its end: how to pay, the terms, and the total that was on the page. The price of today
    is what is ordered, and a page that showed another is shown again. Nothing is ticked beforehand (R11)."""

    method = forms.ChoiceField(
        label=gettext_lazy("Metodo di pagamento"),
        widget=forms.RadioSelect,
        error_messages={
            "required": gettext_lazy("Scegli come pagare."),
            "invalid_choice": gettext_lazy("Questo metodo di pagamento non c'è: scegline uno di quelli elencati."),
        },
    )
    terms = forms.BooleanField(
        error_messages={"required": gettext_lazy("Per ordinare, accetta le condizioni generali con la spunta.")}
    )
    shown_total = forms.DecimalField(
        max_digits=9,
        decimal_places=2,
        widget=forms.HiddenInput,
        error_messages=dict.fromkeys(
            ("required", "invalid", "max_digits", "max_decimal_places", "max_whole_digits"), PRICE_CHANGED
        ),
    )

    def __init__(self, *args: Any, choices: list[methods.Method], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.methods = {method.code: method for method in choices}
        self.fields["method"].choices = [(m.code, m.name) for m in choices]  # type: ignore[attr-defined]

    def clean_method(self) -> str:
        code = str(self.cleaned_data["method"])
        if self.methods[code].refusal:
            raise forms.ValidationError(self.methods[code].refusal)
        return code


class ConfirmForm(OrderForm):
    """A renewal's, or a purchase's: also the years, and what a consumer may ask for."""

    field_order = ("method", "years", "terms", "immediate_start")
    years = years_field()
    immediate_start = forms.BooleanField(
        label=gettext_lazy(
            "Chiedo che il rinnovo sia eseguito subito, senza aspettare i 14 giorni del recesso. So che, se recedo a "
            "periodo iniziato, pago la parte già goduta."
        ),
        required=False,
    )
    shown_years = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, choices: list[methods.Method], buys: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, choices=choices, **kwargs)
        if buys:
            self.fields["immediate_start"].label = _(
                "Chiedo che la casella sia attivata subito, senza aspettare i 14 giorni del recesso. So che, se "
                "recedo, pago i giorni già goduti."
            )
        for method in choices:
            if method.saves:
                self.fields[f"opt_out_{method.code}"] = forms.BooleanField(
                    label=_("Non attivare il rinnovo automatico"), required=False
                )

    def clean(self) -> dict[str, Any]:
        years, shown = self.cleaned_data.get("years"), self.cleaned_data.get("shown_years")
        if years and shown is not None and shown != years:
            self.add_error(None, years_chosen(years))
        return self.cleaned_data

    @property
    def opted_out(self) -> bool:
        """The tick "Non attivare il rinnovo automatico" beside the method that was chosen (R23)."""
        return bool(self.cleaned_data.get(f"opt_out_{self.cleaned_data.get('method')}"))

    def cards(self) -> list[dict[str, Any]]:
        chosen = str(self["method"].value() or "")
        return [
            {
                "method": method,
                "checked": method.code == chosen and not method.refusal,
                "opt_out": self[f"opt_out_{method.code}"] if method.saves else None,
            }
            for method in self.methods.values()
        ]


@require_http_methods(["GET", "HEAD", "POST"])
@wizard.step
def confirm(request: HttpRequest, box: Mailbox, road: Road = RENEWAL) -> HttpResponse:
    """The last page before an order, and the confirmation. "Aggiorna il riepilogo" is for who has no JavaScript."""
    step = _Step(request, box, road)
    if request.method == "POST" and "aggiorna" not in request.POST:
        form = step.form(request.POST)
        if form.is_valid() and (done := step.place(form)):
            return done
        return render(request, "payments/confirm.html", step.context(form))
    if request.method == "POST":
        return render(request, "payments/confirm.html", step.context(step.updated()))
    initial = {"years": step.answers.years, "method": step.answers.method}
    return render(request, "payments/confirm.html", step.context(step.form(drafts.take(request), initial=initial)))


@login_not_required  # see renewals.views.summary
@require_POST
def confirm_summary(request: HttpRequest, box_id: UUID, section: str = "", road: Road = RENEWAL) -> HttpResponse:
    """Totals, expiry and the next automatic charge for the years as they stand: fragments for htmx."""
    if not request.user.is_authenticated:
        return HttpResponse(status=204)
    return _live(request, box_id=box_id, road=road)


@wizard.step
def _live(request: HttpRequest, box: Mailbox, road: Road) -> HttpResponse:
    step = _Step(request, box, road)
    return render(request, "payments/confirm_live.html", step.context(step.updated()))


class _Step:
    """What the third screen knows of its box, after making sure that the first two still hold (R5)."""

    def __init__(self, request: HttpRequest, box: Mailbox, road: Road) -> None:
        self.request, self.box, self.road, self.user = request, box, road, wizard.signed_in(request)
        road.require_no_open_order(self.user, box)
        road.require_offer(box)
        self.answers = wizard.load(request, box)
        self.choice = road.require_choice(box, self.answers)
        self.holder = road.require_holder(box, self.answers)
        self.today = clock.today()

    def form(self, typed: Any = None, initial: Any = None) -> ConfirmForm:
        if self.road.buys:
            offered = methods.methods(delete_from=None, today=self.today, kind=Kind.PURCHASE)
        else:
            offered = methods.methods(delete_from=self.box.delete_from, today=self.today)
        return ConfirmForm(typed, initial=initial, choices=offered, buys=self.road.buys)

    def updated(self) -> ConfirmForm:
        """The page for other years or another method, which going back to an earlier step does not lose."""
        form = self.form(initial=self.request.POST.dict())
        self.answers.years, self.answers.method = years_shown(form, 1), str(form["method"].value() or "")
        wizard.save(self.request, self.box, self.answers)
        return form

    def context(self, form: ConfirmForm) -> dict[str, object]:
        prices, years = shown_on(self.today).prices, years_shown(form, self.answers.years)
        quotes = [
            self.road.quote(self.box, choice=self.choice, years=n, prices=prices) for n in range(1, MAX_YEARS + 1)
        ]
        quote, email = quotes[years - 1], self.answers.holder["email"]
        billing = getattr(self.box.owner, "billing", None)
        return {
            **wizard.frame(self.box, current=3, choice=self.choice, quote=quote, road=self.road),
            "form": form,
            "quotes": quotes,
            "next_charge": next_charge_of(quote, today=self.today),
            "email": email,
            "certified": looks_certified(email),
            "billing": None if self.user.is_mailbox else billing,
            "is_consumer": bool(billing and billing.is_consumer),
            "terms_version": VERSION,
        }

    def place(self, form: ConfirmForm) -> HttpResponse | None:
        """Place the order and go on to pay it; None when the page has to be shown again, with its sentence."""
        data = form.cleaned_data
        if not self._invoice_possible(form):
            return None
        try:
            order = self.road.place(
                box=self.box,
                user=self.user,
                choice=self.choice,
                years=data["years"],
                holder=self.holder.holder_data(),
                email=self.holder.cleaned_data["email"],
                method=data["method"],
                terms_version=VERSION,
                terms_ip=ip_of(self.request),
                immediate_start=data["immediate_start"],
                shown_total=data["shown_total"],
            )
        except flows.AlreadyOrderedError as error:
            messages.warning(self.request, str(self.road.already_ordered))
            return redirect(wizard.way_to(self.user, self.box, error.order))
        except flows.ChoiceError as error:
            self.answers.years, self.answers.method = data["years"], data["method"]
            wizard.save(self.request, self.box, self.answers)
            messages.warning(self.request, str(error))
            return redirect(self.road.url("plan", self.box))
        except RefusedError as error:
            forget_shown(self.today)  # the page comes again with the prices of this moment
            form.add_error(None, str(error))
            return None
        wizard.drop(self.request, self.box)
        method = form.methods[data["method"]]
        return go_and_pay(self.request, order, method=method, opted_out=form.opted_out)

    def _invoice_possible(self, form: ConfirmForm) -> bool:
        """Whether SdI would take the invoice; else the form says what the account has to mend, and keeps what it has.

        A mailbox login cannot mend the account's data, nor see them (R1): its order goes on.
        """
        if self.user.is_mailbox:
            return True
        data, prices = form.cleaned_data, shown_on(self.today).prices
        quote = self.road.quote(self.box, choice=self.choice, years=data["years"], prices=prices)
        found = early.problems(self.box.owner, quote.totals, back=self.request.path)
        early.show(form, found)
        if found:
            drafts.save(self.request, str(self.user.pk), self.request.path)
        return not found


def go_and_pay(request: HttpRequest, order: Order, *, method: methods.Method, opted_out: bool) -> HttpResponse:
    """From here on the order stands: whatever happens, the customer sees it, never an error page."""
    outcome = redirect("payments:outcome", order.number)
    if not method.saves:
        return outcome
    try:
        url = begin.start_online(
            request, order=order, user=wizard.signed_in(request), provider=method.code, opted_out=opted_out
        )
    except RefusedError as error:
        messages.warning(request, str(error))
        return outcome
    except Exception:  # the order stands: its page says what became of the payment
        log.exception("order %s was placed, but its payment could not be started", order.number)
        return outcome
    return redirect(url)


def ip_of(request: HttpRequest) -> str | None:
    """The address the terms were accepted from (R8), behind TRUSTED_PROXIES proxies; None where it cannot be known."""
    try:
        return str(get_adapter(request).get_client_ip(request))
    except PermissionDenied:
        return None
