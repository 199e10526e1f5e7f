"""Steps 1 and 2 of the wizard, its live summary, and the general terms. Step 3 is payments.confirm."""

from uuid import UUID

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import drafts
from mailboxes.catalogue import shown_on
from mailboxes.models import Mailbox
from pecportal import clock
from renewals import wizard
from renewals.forms import HolderForm, PlanForm, looks_certified
from renewals.notices import loses_archive
from renewals.terms import VERSION, VERSIONS
from renewals.wizard import RENEWAL, Road

# --- Step 1: plan and space -------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@wizard.step
def plan(request: HttpRequest, box: Mailbox, road: Road = RENEWAL) -> HttpResponse:
    """Tipologia e spazio, priced for one year. "Aggiorna il riepilogo" is for browsers without JavaScript."""
    road.require_offer(box)
    answers = wizard.load(request, box)
    make = road.plan_form(box)
    if request.method == "POST":
        form = make(request.POST)
        if "aggiorna" in request.POST:
            return _plan_page(request, form, road, shown=make(initial=request.POST.dict()))
        if form.is_valid() and form.choice:
            chosen = form.choice
            answers.plan, answers.archive_loss_accepted = chosen.plan.code, chosen.archive_loss_accepted
            answers.mailbox_gb, answers.archive_gb = chosen.mailbox_gb, chosen.archive_gb
            wizard.save(request, box, answers)
            return redirect(road.url("holder", box))
        return _plan_page(request, form, road)
    empty = make()
    typed = drafts.take(request) or empty.answered(answers)
    if typed:
        return _plan_page(request, make(typed), road)
    start = empty.start()
    return _plan_page(request, make(start), road, shown=make(initial=start))


@login_not_required  # a late one must not end the page: the POST of the whole form comes after, and is kept (R5)
@require_POST
def summary(request: HttpRequest, box_id: UUID, section: str = "", road: Road = RENEWAL) -> HttpResponse:
    """The summary and the Avvisi for the choices as they stand: fragments that htmx puts in their places."""
    if not request.user.is_authenticated:
        return HttpResponse(status=204)
    return _live(request, box_id=box_id, road=road)


@wizard.step
def _live(request: HttpRequest, box: Mailbox, road: Road) -> HttpResponse:
    road.require_offer(box)
    make = road.plan_form(box)
    shown = make(initial=request.POST.dict())  # nobody has pressed the button yet: no errors
    return render(request, "renewals/plan_live.html", _plan_context(make(request.POST), shown, road))


def _plan_page(request: HttpRequest, form: PlanForm, road: Road, *, shown: PlanForm | None = None) -> HttpResponse:
    return render(request, "renewals/plan.html", _plan_context(form, shown or form, road))


def _plan_context(form: PlanForm, shown: PlanForm, road: Road) -> dict[str, object]:
    """`form` was cleaned and knows the choice; `shown` is what the screen renders, without errors when unbound."""
    form.is_valid()
    choice, box, today = form.choice, form.box, clock.today()
    quote = road.quote(box, choice=choice, years=1, prices=form.prices) if choice else None
    return {
        **wizard.frame(box, current=1, choice=choice, quote=quote, road=road),
        "form": shown,
        "avvisi": road.avvisi(form, choice, today=today) if choice else [],
        "asks_tick": bool(choice and not road.buys and loses_archive(box, choice)),
        "for_one_year": True,
    }


# --- Step 2: Dati intestatario ----------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@wizard.step
def holder(request: HttpRequest, box: Mailbox, road: Road = RENEWAL) -> HttpResponse:
    """Dati intestatario: e-mail and address for this order; who is invoiced, to an account login only (R1, R12)."""
    road.require_offer(box)
    answers = wizard.load(request, box)
    choice = road.require_choice(box, answers)
    user = wizard.signed_in(request)
    billing = None if user.is_mailbox else getattr(box.owner, "billing", None)
    typed = request.POST if request.method == "POST" else drafts.take(request) or answers.holder
    form = HolderForm(typed or None, box=box)
    may_go_on = user.is_mailbox or billing is not None
    if request.method == "POST" and may_go_on and form.is_valid():
        answers.holder = {name: str(form.cleaned_data[name]) for name in form.fields}
        wizard.save(request, box, answers)
        return redirect(road.url("confirm", box))
    quote = road.quote(box, choice=choice, years=answers.years, prices=shown_on(clock.today()).prices)
    context = {
        **wizard.frame(box, current=2, choice=choice, quote=quote, road=road),
        "for_one_year": answers.years == 1,
        "form": form,
        "billing": billing,
        "asks_billing": not may_go_on,
        "certified": looks_certified(str(form["email"].value() or "")),
    }
    return render(request, "renewals/holder.html", context)


# --- General terms ----------------------------------------------------------------------------------------------------


@login_not_required
@require_safe
def terms(request: HttpRequest, version: str = VERSION) -> HttpResponse:
    """The general terms in force, or an older text that an order names (R8)."""
    if version not in VERSIONS:
        raise Http404
    return render(request, f"terms/{version}.html", {"version": version, "in_force": version == VERSION})
