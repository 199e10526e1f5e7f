"""What the three screens of a renewal have in common: the answers so far, and the guards each step begins with (R5).

Each guard re-validates the steps before its own and sends back to the first that is not complete.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import wraps
from typing import TypeVar
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
from mailboxes.catalogue import MissingPriceError, shown_on
from mailboxes.models import Domain, Mailbox
from pecportal import clock
from renewals import flows, rules, standing, words
from renewals.answers import Answers, drop, load, save, signed_in
from renewals.forms import ConfirmedHolderForm
from renewals.models import Order

__all__ = ["Answers", "ElsewhereError", "OrderStandsError", "drop", "guarded", "load", "save", "signed_in", "step"]


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
) -> Callable[[Callable[[HttpRequest, Found], HttpResponse]], Callable[..., HttpResponse]]:
    """Screens of a wizard about what `find` finds: signed in, one's own or 404 (R1), a redirect where it cannot be.

    `home`: the page of the thing, where a screen leads that has no price to show.
    """

    def step(view: Callable[[HttpRequest, Found], HttpResponse]) -> Callable[..., HttpResponse]:
        @never_cache  # back after confirming asks again, and is led to the order
        @login_required
        @wraps(view)
        def shown(request: HttpRequest, section: str = "", **named: UUID) -> HttpResponse:
            found = find(signed_in(request), *named.values())
            try:
                return view(request, found)
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


# --- Guards -----------------------------------------------------------------------------------------------------------


def require_no_open_order(user: User, box: Mailbox) -> None:
    """Two tabs, or back after confirming: go to the order that stands (R9)."""
    order = standing.open_renewal(box)
    if order is not None:
        raise OrderStandsError(way_to(user, box, order), str(words.ALREADY_ORDERED))


def way_to(user: User, box: Mailbox, order: Order | None) -> str:
    """The page of an order where this login may see it, else the page of the box (R1)."""
    if order is not None and Order.objects.visible_to(user).filter(pk=order.pk).exists():
        return reverse("payments:order", args=[order.number])
    return reverse("area:box", args=[box.public_id])


def require_offer(box: Mailbox) -> None:
    """Rinnova is offered today, or the way out with its reason (R4)."""
    order = standing.open_renewal(box)
    reason = rules.offer(flows.facts(box), clock.today())
    if reason is not rules.Reason.RENEW:
        sentence = words.not_offered(reason, box, order.number if order else "")
        raise ElsewhereError(reverse("area:box", args=[box.public_id]), sentence)


def require_choice(box: Mailbox, answers: Answers) -> flows.Choice:
    """The first step as it was answered, still possible today; else back to it, where its problems show (R7)."""
    back = ElsewhereError(reverse("renewals:plan", args=[box.public_id]))
    chosen = next((p for p in shown_on(clock.today()).plans if p.code == answers.plan), None)
    if chosen is None:
        raise back
    choice = flows.Choice(chosen, answers.mailbox_gb, answers.archive_gb, answers.archive_loss_accepted)
    if standing.problems(box, choice, standing.usage_of(box)):
        raise back
    return choice


def require_holder(box: Mailbox, answers: Answers) -> ConfirmedHolderForm:
    """The second step as it was answered, still valid; else back to it, where what is wrong shows."""
    form = ConfirmedHolderForm(answers.holder, box=box)
    if not answers.holder or not form.is_valid():
        raise ElsewhereError(reverse("renewals:holder", args=[box.public_id]))
    return form


# --- What every step shows --------------------------------------------------------------------------------------------


def frame(box: Mailbox, *, current: int, choice: flows.Choice | None, quote: flows.Quote | None) -> dict[str, object]:
    """Context of the steps at the top and of the summary that stays in view. Without a price the summary says so."""
    steps = [
        {"label": _("Tipologia e spazio"), "url": reverse("renewals:plan", args=[box.public_id])},
        {"label": _("Dati intestatario"), "url": reverse("renewals:holder", args=[box.public_id])},
        {"label": _("Pagamento e conferma"), "url": ""},
    ]
    return {
        "box": box,
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
