"""Rinnovo automatico: switched on with a saved method, off with one click (R23, R24, R24b)."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import drafts
from accounts.models import User
from mailboxes.catalogue import MissingPriceError
from mailboxes.models import Mailbox
from mailboxes.rules import MAX_YEARS
from payments import auto_renewal as automatic
from payments import scheduled, wallet
from payments.consent import NextCharge
from payments.forms import AmountForm, AutoRenewalForm, usable
from payments.models import AutoRenewal, Payment, ScheduledCharge
from payments.screens import box_or_404, user_of
from pecportal import clock
from pecportal.errors import RefusedError

NO_PRICE = gettext_lazy("In questo momento non possiamo calcolare il prezzo. Riprova più tardi.")


def _charges(box: Mailbox) -> list[NextCharge]:
    """The next charge for each number of years of a box that may be switched on. Raises MissingPriceError."""
    today = clock.today()
    day = automatic.charge_day_from(box.expires_on, today=today) if box.expires_on else None
    assert day is not None  # refusal_to_turn_on was asked first
    return [NextCharge(day, automatic.amount_of(box, years=n, day=today), n) for n in range(1, MAX_YEARS + 1)]


def _offer(box: Mailbox) -> tuple[list[NextCharge], str]:
    """The charges that can be agreed to, or why none can (R24)."""
    if refusal := automatic.refusal_to_turn_on(box, today=clock.today()):
        return [], refusal
    try:
        return _charges(box), ""
    except MissingPriceError:  # the alarm is in the log (R26)
        return [], str(NO_PRICE)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def auto_renewal(request: HttpRequest, box_id: object, **kwargs: object) -> HttpResponse:
    """Switch automatic renewal on with a saved method of this login, after saying day, amount and years."""
    box, user = box_or_404(request, box_id), user_of(request)
    charges, refusal = _offer(box)
    saved = wallet.mine(user).order_by("-is_default", "-id")
    mine = usable(saved, on=charges[0].charge_on) if charges else []
    initial = {"method": mine[0].public_id if mine else None, "years": 1}
    typed = request.POST if request.method == "POST" else drafts.take(request)
    form = AutoRenewalForm(typed, methods=mine, initial=initial)
    if charges and request.method == "POST" and form.is_valid():
        try:
            automatic.turn_on(
                box_id=box.pk, user=user, method_id=form.cleaned_data["method"].pk, years=form.cleaned_data["years"]
            )
        except RefusedError as error:  # something changed since the page was asked for
            refusal = str(error)
        else:
            messages.success(request, _("Rinnovo automatico attivato."))
            return redirect("area:box", box_id=box.public_id)
    current = AutoRenewal.objects.filter(box=box, ended_at=None).select_related("method").first()
    context = {
        "box": box, "form": form, "charges": charges, "methods": mine, "current": current, "refusal": refusal,
        "expired": box.expires_on is not None and box.expires_on < clock.today(),
        "chosen_method": str(form["method"].value() or ""), "chosen_years": str(form["years"].value() or ""),
        **_asked(box, current, user),
        "current_label": current.method.label if current and current.method.login_id == user.pk else "",
    }  # fmt: skip
    return render(request, "payments/auto_renewal.html", context)


def _asked(box: Mailbox, current: AutoRenewal | None, user: User) -> dict[str, object]:
    """The higher amount that waits for consent, priced today (R24); nothing where none does."""
    charge = scheduled.of(box)
    if charge is None or current is None or charge.status != ScheduledCharge.Status.CONSENT:
        return {"asked": None}
    try:
        amount = automatic.amount_of(box, years=current.years, day=clock.today())
    except MissingPriceError:
        return {"asked": None}
    day = automatic.charge_day_from(charge.expiry, today=clock.today())
    is_mine = current.method.login_id == user.pk
    return {
        "asked": amount,
        "asked_day": day,
        "asked_form": AmountForm(initial={"shown": amount}),
        "may_agree": is_mine,
    }


@login_required
@require_POST
def auto_renewal_agree(request: HttpRequest, box_id: object, **kwargs: object) -> HttpResponse:
    """Consent to the higher amount that was shown (R24)."""
    box = box_or_404(request, box_id)
    form = AmountForm(request.POST)
    if not form.is_valid():
        return redirect("payments:auto_renewal", box_id=box.public_id)
    try:
        automatic.agree_to_amount(box_id=box.pk, user=user_of(request), shown=form.cleaned_data["shown"])
    except (RefusedError, MissingPriceError) as error:
        messages.warning(request, str(error) if isinstance(error, RefusedError) else str(NO_PRICE))
        return redirect("payments:auto_renewal", box_id=box.public_id)
    messages.success(request, _("Nuovo importo accettato: il rinnovo automatico va avanti."))
    return redirect("area:box", box_id=box.public_id)


@login_required
@require_POST
def auto_renewal_off(request: HttpRequest, box_id: object, **kwargs: object) -> HttpResponse:
    """One click off (R23); a second click changes nothing."""
    box = box_or_404(request, box_id)
    automatic.turn_off(box_id=box.pk, user=user_of(request))
    sent = Payment.objects.live().filter(order__lines__mailbox=box, method__isnull=False, started_by=None)
    if sent.exists():  # R19: what the bank has already is not called back
        messages.warning(
            request,
            _(
                "Rinnovo automatico disattivato. Un addebito era già partito e lo stiamo verificando con la banca: "
                "se riesce, la casella si rinnova. Ti scriviamo appena è certo."
            ),
        )
    elif box.expires_on is not None and box.expires_on < clock.today():
        messages.success(request, _("Rinnovo automatico disattivato: non addebiteremo nulla."))
    else:
        messages.success(
            request, _("Rinnovo automatico disattivato: non addebiteremo nulla. Prima della scadenza ti avvisiamo.")
        )
    return redirect("area:box", box_id=box.public_id)
