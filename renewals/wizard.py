"""What the three screens of a renewal have in common: the answers so far, and the guards each step begins with (R5).

Each guard re-validates the steps before its own and sends back to the first that is not complete. What a purchase does
otherwise on the same screens is renewals.purchase_road.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial, wraps
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRedirect

from accounts.models import User
from mailboxes.catalogue import MissingPriceError, PriceList, shown_on
from mailboxes.models import Domain, Mailbox
from pecportal import clock
from renewals import flows, rules, standing, words
from renewals.answers import Answers, drop, load, save, signed_in
from renewals.forms import ConfirmedHolderForm, PlanForm
from renewals.models import Order
from renewals.notices import Avviso, avvisi

__all__ = [
    "RENEWAL", "Answers", "ElsewhereError", "OrderStandsError", "Road", "drop", "guarded", "load", "save", "signed_in",
    "step",
]  # fmt: skip


class ElsewhereError(Exception):
    """This step cannot be shown now: go to `url`, which says `sentence`."""

    def __init__(self, url: str, sentence: str = "") -> None:
        super().__init__(url)
        self.url, self.sentence = url, sentence


class OrderStandsError(ElsewhereError):
    """The box has an open order already: the way to it (R9)."""


Found = TypeVar("Found", Mailbox, Domain)


def guarded(
    find: Callable[[User, UUID], Found], home: Callable[[Found], str]
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Screens of a wizard about what `find` finds: signed in, one's own or 404 (R1), a redirect where it cannot be.

    `home`: the page of the thing, where a screen leads that has no price to show. A route may say which `road`.
    """

    def step(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @never_cache  # back after confirming asks again, and is led to the order
        @login_required
        @wraps(view)
        def shown(request: HttpRequest, section: str = "", road: "Road | None" = None, **named: UUID) -> HttpResponse:
            found = find(signed_in(request), *named.values())
            try:
                return view(request, found) if road is None else view(request, found, road=road)
            except MissingPriceError:
                elsewhere = ElsewhereError(home(found), str(words.NO_PRICE))
            except OrderStandsError as error:
                if request.headers.get("HX-Request"):
                    # The live summary, overtaken by its own page's button: that page is on its way to the outcome.
                    return HttpResponse(status=204)
                elsewhere = error
            except ElsewhereError as error:
                elsewhere = error
            if elsewhere.sentence:
                messages.warning(request, elsewhere.sentence)
            if request.headers.get("HX-Request"):
                return HttpResponseClientRedirect(elsewhere.url)
            return redirect(elsewhere.url)

        return shown

    return step


def find(user: User, box_id: UUID) -> Mailbox:
    related = ("address", "plan", "next_plan", "holder", "owner__billing")
    box = Mailbox.objects.visible_to(user).select_related(*related).filter(public_id=box_id).first()
    if box is None:
        raise Http404
    return box


step = guarded(find, lambda box: reverse("area:box", args=[box.public_id]))


# --- Guards, price and addresses --------------------------------------------------------------------------------------


class Road:
    """What the three screens ask of what they order: here a renewal. `buys`: the box is yet to come (R30)."""

    buys: ClassVar[bool] = False
    already_ordered: ClassVar[Any] = words.ALREADY_ORDERED
    names: ClassVar[dict[str, str]] = {
        "plan": "renewals:plan", "summary": "renewals:summary", "holder": "renewals:holder",
        "confirm": "payments:confirm", "confirm_summary": "payments:confirm_summary",
    }  # fmt: skip

    def url(self, name: str, box: Mailbox) -> str:
        return reverse(self.names[name], args=[box.public_id])

    def require_no_open_order(self, user: User, box: Mailbox) -> None:
        """Two tabs, or back after confirming: go to the order that stands (R9)."""
        order = self.open_order(box)
        if order is not None:
            raise OrderStandsError(way_to(user, box, order), str(self.already_ordered))

    def open_order(self, box: Mailbox) -> Order | None:
        return standing.open_renewal(box)

    def require_offer(self, box: Mailbox) -> None:
        """Rinnova is offered today, or the way out with its reason (R4)."""
        order = self.open_order(box)
        reason = rules.offer(flows.facts(box), clock.today())
        if reason is not rules.Reason.RENEW:
            sentence = words.not_offered(reason, box, order.number if order else "")
            raise ElsewhereError(reverse("area:box", args=[box.public_id]), sentence)

    def plan_form(self, box: Mailbox) -> Callable[..., PlanForm]:
        """The first step's form with the facts of a box: read once, also where a page needs two of it."""
        shown = shown_on(clock.today())
        return partial(PlanForm, box=box, plans=shown.plans, prices=shown.prices, used=standing.usage_of(box))

    def problems_of(self, box: Mailbox, choice: flows.Choice) -> list[rules.Problem]:
        return standing.problems(box, choice, standing.usage_of(box))

    def avvisi(self, form: PlanForm, choice: flows.Choice, *, today: date) -> list[Avviso]:
        return avvisi(box=form.box, choice=choice, problems=form.problems, used=form.used, today=today)

    def quote(self, box: Mailbox, *, choice: flows.Choice, years: int, prices: PriceList) -> flows.Quote:
        return flows.quote(box=box, choice=choice, years=years, prices=prices)

    def place(self, **confirmed: Any) -> Order:
        return flows.place_renewal(**confirmed)

    def require_choice(self, box: Mailbox, answers: Answers) -> flows.Choice:
        """The first step as it was answered, still possible today; else back to it, where its problems show (R7)."""
        back = ElsewhereError(self.url("plan", box))
        chosen = next((p for p in shown_on(clock.today()).plans if p.code == answers.plan), None)
        if chosen is None:
            raise back
        choice = flows.Choice(chosen, answers.mailbox_gb, answers.archive_gb, answers.archive_loss_accepted)
        if self.problems_of(box, choice):
            raise back
        return choice

    def require_holder(self, box: Mailbox, answers: Answers) -> ConfirmedHolderForm:
        """The second step as it was answered, still valid; else back to it, where what is wrong shows."""
        form = ConfirmedHolderForm(answers.holder, box=box)
        if not answers.holder or not form.is_valid():
            raise ElsewhereError(self.url("holder", box))
        return form


RENEWAL = Road()


def way_to(user: User, box: Mailbox, order: Order | None) -> str:
    """The page of an order where this login may see it, else the page of the box (R1)."""
    if order is not None and Order.objects.visible_to(user).filter(pk=order.pk).exists():
        return reverse("payments:order", args=[order.number])
    return reverse("area:box", args=[box.public_id])


# --- What every step shows --------------------------------------------------------------------------------------------


def frame(
    box: Mailbox, *, current: int, choice: flows.Choice | None, quote: flows.Quote | None, road: Road
) -> dict[str, object]:
    """Context of the steps at the top and of the summary that stays in view. Without a price the summary says so."""
    urls = {name: road.url(name, box) for name in road.names}
    steps = [
        {"label": _("Tipologia e spazio"), "url": urls["plan"]},
        {"label": _("Dati intestatario"), "url": urls["holder"]},
        {"label": _("Pagamento e conferma"), "url": ""},
    ]
    return {
        "box": box,
        "urls": urls,
        "buys": road.buys,
        "steps": steps,
        "current": current,
        "step_name": steps[current - 1]["label"],
        "choice": choice,
        "quote": quote,
        "space": words.space(choice.mailbox_gb, choice.archive_gb) if choice else "",
        "vat_percent": percent(quote.totals.vat_rate) if quote else "",
    }


def percent(rate: Decimal) -> str:
    """A VAT rate as pages say it: 22, or 5.5."""
    return f"{rate * 100:f}".rstrip("0").rstrip(".")
