"""Steps 1 and 2 of a domain's renewal, and its live summary. Step 3 is payments.domain_confirm."""

from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts import drafts
from mailboxes.catalogue import shown_on
from mailboxes.models import Domain
from mailboxes.rules import MAX_YEARS
from pecportal import clock
from renewals import domain_wizard, domains
from renewals.answers import load_domain, save
from renewals.domain_wizard import EmailForm, YearsForm
from renewals.forms import looks_certified, years_shown

FEW = 10  # from how many boxes on the lines are folded away under their sum


@require_http_methods(["GET", "HEAD", "POST"])
@domain_wizard.step
def lines(request: HttpRequest, domain: Domain) -> HttpResponse:
    """What hangs on the domain, a line each, and for how many years. "Aggiorna" is for browsers without JavaScript."""
    domain_wizard.require_offer(domain)
    answers = load_domain(request, domain)
    if request.method == "POST" and "aggiorna" not in request.POST:
        form = YearsForm(request.POST)
        if form.is_valid():
            answers.years = form.cleaned_data["years"]
            save(request, domain, answers)
            return redirect("renewals:domain_holder", domain.public_id)
    elif request.method == "POST":
        form = YearsForm(initial=request.POST.dict())
    else:
        form = YearsForm(drafts.take(request), initial={"years": answers.years or 1})
    return render(request, "renewals/domain_lines.html", _context(domain, form))


@login_not_required  # see renewals.views.summary
@require_POST
def summary(request: HttpRequest, domain_id: UUID, section: str = "") -> HttpResponse:
    """Lines and summary for the years as they stand: fragments that htmx puts in their places."""
    if not request.user.is_authenticated:
        return HttpResponse(status=204)
    return _live(request, domain_id=domain_id)


@domain_wizard.step
def _live(request: HttpRequest, domain: Domain) -> HttpResponse:
    domain_wizard.require_offer(domain)
    return render(request, "renewals/domain_live.html", _context(domain, YearsForm(initial=request.POST.dict())))


def _context(domain: Domain, form: YearsForm) -> dict[str, object]:
    boxes, today = list(domains.boxes_of(domain)), clock.today()
    prices = shown_on(today).prices
    quotes = [domains.quote(domain=domain, boxes=len(boxes), years=n, prices=prices) for n in range(1, MAX_YEARS + 1)]
    quote = quotes[years_shown(form, 1) - 1]
    return {
        **domain_wizard.frame(domain, current=1, quote=quote),
        "form": form,
        "quotes": quotes,
        "boxes": boxes,
        "few": len(boxes) <= FEW,
        "avvisi": domain_wizard.avvisi(domain, boxes=len(boxes), today=today),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@domain_wizard.step
def holder(request: HttpRequest, domain: Domain) -> HttpResponse:
    """Dati intestatario: the account itself holds a domain; where the confirmation goes, and who is invoiced (R12)."""
    domain_wizard.require_offer(domain)
    answers = domain_wizard.require_years(request, domain)
    billing = getattr(domain.owner, "billing", None)
    typed = request.POST if request.method == "POST" else drafts.take(request)
    form = EmailForm(typed, initial={"email": answers.email or domain.owner.email})
    if request.method == "POST" and billing is not None and form.is_valid():
        answers.email = form.cleaned_data["email"]
        save(request, domain, answers)
        return redirect("payments:domain_confirm", domain.public_id)
    count = domains.boxes_of(domain).count()
    quote = domains.quote(domain=domain, boxes=count, years=answers.years, prices=shown_on(clock.today()).prices)
    context = {
        **domain_wizard.frame(domain, current=2, quote=quote),
        "form": form,
        "billing": billing,
        "asks_billing": billing is None,
        "certified": looks_certified(str(form["email"].value() or "")),
    }
    return render(request, "renewals/domain_holder.html", context)
