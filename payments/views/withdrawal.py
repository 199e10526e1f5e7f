"""Recedere dal contratto qui: two steps, then the receipt (R25, R26b; art. 54-bis cod. consumo)."""

from decimal import Decimal, InvalidOperation

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import drafts
from payments import withdrawal
from payments.domain_words import domain_of
from payments.forms import WithdrawalForm
from payments.screens import Row, order_or_404, shows_email, user_of
from payments.withdrawal import Offer
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import day, euro
from renewals.models import Order


def _rows(order: Order, offer: Offer) -> list[Row]:
    if domain := domain_of(order):
        of_it = len(order.lines.all()) - 1
        what = Row(_("Dominio"), ngettext("%(name)s e %(n)s casella", "%(name)s e %(n)s caselle", of_it))
        what = Row(what.term, what.value % {"name": domain, "n": of_it})
    else:
        what = Row(_("Casella"), ", ".join(str(line.target) for line in order.lines.all()))
    rows = [
        Row(_("Contratto"), _("ordine %(number)s") % {"number": order.number}),
        what,
        Row(_("Confermato il"), day(order.confirmed_at)),
        Row(_("Rimborso"), euro(offer.amount)),
    ]
    return [*rows, Row(_("Tratteniamo"), euro(offer.kept))] if offer.kept else rows


def _typed(form: WithdrawalForm) -> list[Row]:
    """What was typed, to be read once more before it is confirmed (art. 54-bis)."""
    facts = form.cleaned_data
    rows = [Row(_("Chi recede"), facts["name"]), Row(_("Ricevuta a"), facts["email"])]
    return [*rows, Row(_("Bonifico sull'IBAN"), facts["iban"])] if facts.get("iban") else rows


def _page(
    request: HttpRequest, order: Order, form: WithdrawalForm | None, offer: Offer | None, *, refusal: str = "",
    notice: str = "", confirming: bool = False,
) -> HttpResponse:  # fmt: skip
    rows = _rows(order, offer) if offer else []
    if form is not None and offer is not None and confirming:
        rows += _typed(form)
        shown = {key: form.cleaned_data[key] for key in form.fields if form.cleaned_data.get(key)}
        form = WithdrawalForm(initial=shown, needs_iban="iban" in form.fields, auto_id="%s")
    context = {
        "order": order, "form": form, "offer": offer, "refusal": refusal, "notice": notice, "confirming": confirming,
        "rows": rows, "shown": str(offer.amount) if offer else "",
        "last_day": withdrawal.until(order, user=user_of(request), today=clock.today()),
        "free_until": withdrawal.free_until(order, user=user_of(request), today=clock.today()),
        "loses_archive": bool(offer) and withdrawal.loses_archive(order),
        "after": withdrawal.dates_if_left(order, today=clock.today()) if offer else None,
    }  # fmt: skip
    return render(request, "payments/withdraw.html", context)


def _initial(order: Order, request: HttpRequest) -> dict[str, str]:
    user = user_of(request)
    billing = None if user.is_mailbox else getattr(user, "billing", None)
    name = f"{billing.first_name} {billing.last_name}".strip() if billing else ""
    return {"name": name, "email": order.email if shows_email(order, user) else ""}


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def withdraw(request: HttpRequest, number: str, **kwargs: object) -> HttpResponse:
    """First step: who leaves, and what goes back; an order that awaits its money is simply cancelled."""
    found = order_or_404(request, number)
    if found.is_awaiting_payment:
        return redirect("payments:cancel", number=found.number)
    today = clock.today()
    if refusal := withdrawal.refusal(found, user=user_of(request), today=today):
        return _page(request, found, None, None, refusal=refusal)
    offer = withdrawal.offer(found, today=today)
    typed = request.POST if request.method == "POST" else drafts.take(request)
    form = WithdrawalForm(typed, initial=_initial(found, request), needs_iban=bool(offer.by_bank))
    confirming = request.method == "POST" and "modifica" not in request.POST and form.is_valid()
    return _page(request, found, form, offer, confirming=confirming)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def withdraw_confirm(request: HttpRequest, number: str, **kwargs: object) -> HttpResponse:
    """Second step: what was typed is checked again, then it is done once; a second tab is told that it is done."""
    found = order_or_404(request, number)
    if request.method != "POST":  # asked for again after a new sign-in: from the first step
        return redirect("payments:withdraw", number=found.number)
    user, today = user_of(request), clock.today()
    if refusal := withdrawal.refusal(found, user=user, today=today):
        return _page(request, found, None, None, refusal=refusal)
    offer = withdrawal.offer(found, today=today)
    form = WithdrawalForm(request.POST, needs_iban=bool(offer.by_bank))
    if "modifica" in request.POST or not form.is_valid():
        return _page(request, found, form, offer)
    try:
        done = withdrawal.withdraw(
            order_id=found.pk, user=user, name=form.cleaned_data["name"], email=form.cleaned_data["email"],
            iban=form.cleaned_data.get("iban", ""), shown=_shown(request),
        )  # fmt: skip
    except withdrawal.ChangedError as error:
        found = order_or_404(request, number)
        return _page(
            request, found, form, withdrawal.offer(found, today=clock.today()), notice=str(error), confirming=True
        )
    except RefusedError as error:
        return _page(request, found, None, None, refusal=str(error))
    messages.success(
        request,
        _("Recesso registrato: ti rimborsiamo %(amount)s. Ti abbiamo mandato la ricevuta per e-mail.")
        % {"amount": euro(done.amount)},
    )
    return redirect("payments:order", number=found.number)


def _shown(request: HttpRequest) -> Decimal:
    """What the page before promised; anything else is no promise, and is shown anew."""
    try:
        shown = Decimal(request.POST.get("shown", ""))
    except InvalidOperation:
        return Decimal(-1)
    return shown if shown.is_finite() else Decimal(-1)  # a signalling NaN raises where it is compared
