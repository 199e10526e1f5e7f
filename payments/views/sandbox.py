"""The page of the bank that does not exist: it pays, refuses or keeps silent, on command. Never in production."""

from decimal import Decimal

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from payments.forms import CodeForm
from payments.providers import sandbox as bank

STILL_OPEN = (bank.OPEN, bank.PENDING, bank.TIMEOUT)
ACTIONS = {  # what each button makes the bank say
    "paga": {"status": bank.PAID},
    "rifiuta": {"status": bank.REFUSED, "reason": "carta rifiutata"},
    "sospeso": {"status": bank.PENDING},
    "silenzio": {"status": bank.TIMEOUT},
    "annulla": {"status": bank.CANCELLED},
    "autenticazione": {"step": "code"},
    "nega": {"status": bank.REFUSED, "reason": "autenticazione negata", "step": ""},
}


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def sandbox(request: HttpRequest, remote_id: str, **kwargs: object) -> HttpResponse:
    """The customer in front of the bank: whoever has the address, as at a real one; it shows an amount and no name."""
    attempt = _attempt_or_404(remote_id)
    action = request.POST.get("azione", "")
    form = CodeForm(request.POST if action == "conferma" else None)
    if request.method == "POST" and attempt["status"] in STILL_OPEN:
        if action == "conferma" and attempt.get("step") == "code" and form.is_valid():
            action = "paga"
        if action in ACTIONS:
            card = bank.CARDS[1] if request.POST.get("carta") == "nuova" else attempt.get("card_label", bank.CARDS[0])
            bank.write(remote_id, **ACTIONS[action], card=attempt.get("card") or bank.new_card(), card_label=card)
            if action == "autenticazione":
                return redirect("payments:sandbox", remote_id=remote_id)
            return redirect(attempt["cancel_url"] if action == "annulla" else attempt["return_url"])
    context = {
        "attempt": attempt, "amount": Decimal(attempt["amount"]), "form": form, "cards": bank.CARDS,
        "is_open": attempt["status"] in STILL_OPEN, "wants_code": attempt.get("step") == "code",
        "code": CodeForm.expected,
    }  # fmt: skip
    return render(request, "payments/sandbox.html", context)


def _attempt_or_404(remote_id: str) -> dict[str, str]:
    if "sandbox" not in settings.PAYMENT_PROVIDERS:
        raise Http404
    try:
        return bank.read(remote_id)
    except FileNotFoundError as error:
        raise Http404 from error
