"""The three screens of the wizard for a purchase: what they ask of an address that is bought again (R5, R30)."""

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any, ClassVar

from django.urls import reverse

from mailboxes.catalogue import PriceList, shown_on
from mailboxes.models import Mailbox, Plan
from mailboxes.platform.base import Usage
from pecportal import clock
from renewals import flows, purchase, rules, words
from renewals.again import Again
from renewals.forms import PlanForm
from renewals.models import Order
from renewals.notices import Avviso
from renewals.wizard import ElsewhereError, Road


class PurchasePlanForm(PlanForm):
    """Plan and space of a box that is yet to come: empty, so that nothing of the old one stands against a choice."""

    def extras(self, plan: Plan) -> tuple[int, int]:
        return 0, 0  # R11: no GB that nobody asked for

    def difference(self, plan: Plan, mailbox_gb: int, archive_gb: int) -> str:
        return ""

    def impossible(self, plan: Plan) -> str:
        return "" if plan.code in self.prices.plans else words.no_price_of_plan()

    def problems_of(self, choice: flows.Choice) -> list[rules.Problem]:
        return purchase.problems_of(choice)


class PurchaseRoad(Road):
    """`box` is the deleted one; its `holder` is, for these screens, the account's holder that the tombstone names."""

    buys: ClassVar[bool] = True
    already_ordered: ClassVar[Any] = words.ALREADY_BOUGHT
    names: ClassVar[dict[str, str]] = {
        "plan": "renewals:buy_plan", "summary": "renewals:buy_summary", "holder": "renewals:buy_holder",
        "confirm": "payments:buy_confirm", "confirm_summary": "payments:buy_confirm_summary",
    }  # fmt: skip

    def open_order(self, box: Mailbox) -> Order | None:
        standing = _standing(box)
        return standing.line.order if standing is not None and standing.line is not None else None

    def require_offer(self, box: Mailbox) -> None:
        """Acquista di nuovo is offered, or back to the box with the reason (R30)."""
        standing = _standing(box)
        if standing is None or standing.reason is not Again.BUY or standing.holder is None:
            reason = standing.reason if standing is not None else Again.NOT_DELETED
            raise ElsewhereError(reverse("area:box", args=[box.public_id]), words.not_again(reason))
        box.holder = standing.holder

    def plan_form(self, box: Mailbox) -> Callable[..., PlanForm]:
        shown = shown_on(clock.today())
        return partial(
            PurchasePlanForm, box=box, plans=shown.plans, prices=shown.prices, used=Usage(0, 0, None)
        )  # fmt: skip

    def problems_of(self, box: Mailbox, choice: flows.Choice) -> list[rules.Problem]:
        return purchase.problems_of(choice)

    def avvisi(self, form: PlanForm, choice: flows.Choice, *, today: date) -> list[Avviso]:
        return [Avviso(str(words.EMPTY_HEADING), str(words.EMPTY_SENTENCE), tone="warn")]

    def quote(self, box: Mailbox, *, choice: flows.Choice, years: int, prices: PriceList) -> flows.Quote:
        return purchase.quote(choice=choice, years=years, prices=prices, today=clock.today())

    def place(self, **confirmed: Any) -> Order:
        return purchase.place_purchase(**confirmed)


PURCHASE = PurchaseRoad()


def _standing(box: Mailbox) -> purchase.Standing | None:
    """Read once a request. The order looks again, under its lock, when it is placed."""
    if not hasattr(box, "standing_again"):
        box.standing_again = purchase.standing_of([box]).get(box.pk)  # type: ignore[attr-defined]
    found: purchase.Standing | None = box.standing_again  # type: ignore[attr-defined]
    return found
