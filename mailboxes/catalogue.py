"""The price list as code reads it, and the rows a new installation starts from."""

import logging
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.conf import settings
from django.core.cache import cache

from mailboxes.models import Plan, Price, VatRate

log = logging.getLogger(__name__)


class MissingPriceError(Exception):
    """A price or VAT rate that an order needs is not in the list: the order stops, it never costs zero (R26)."""


@dataclass(frozen=True)
class PriceList:
    """Net prices a year in force on one day, EUR, and the VAT rate of that day."""

    day: date
    plans: dict[str, Decimal]  # by plan code
    items: dict[str, Decimal]  # by Price.Item, without plans
    rate: Decimal | None
    rows: dict[str, Plan]  # the priced plans themselves, by code

    def plan(self, code: str) -> Decimal:
        return self._need(self.plans.get(code), f"plan {code}")

    def row(self, code: str) -> Plan:
        """The plan as it stands with these prices."""
        self.plan(code)
        return self.rows[code]

    def item(self, item: str) -> Decimal:
        return self._need(self.items.get(item), item)

    @property
    def vat_rate(self) -> Decimal:
        return self._need(self.rate, "VAT rate")

    def _need(self, value: Decimal | None, what: str) -> Decimal:
        if value is None:
            log.critical("price list: nothing in force on %s for %s", self.day, what)
            raise MissingPriceError(f"no price in force on {self.day} for {what}")
        return value


def prices_on(day: date) -> PriceList:
    """The price list in force on `day`: for each item the last row whose `valid_from` has come. Two queries."""
    plans: dict[str, Decimal] = {}
    items: dict[str, Decimal] = {}
    rows: dict[str, Plan] = {}
    for price in Price.objects.filter(valid_from__lte=day).select_related("plan").order_by("valid_from"):
        if price.plan is not None:
            plans[price.plan.code] = price.net
            rows[price.plan.code] = price.plan
        else:
            items[price.item] = price.net
    return PriceList(day=day, plans=plans, items=items, rate=vat_rate_on(day), rows=rows)


def vat_rate_on(day: date) -> Decimal | None:
    """The VAT rate in force on `day`; None where there is none."""
    return VatRate.objects.filter(valid_from__lte=day).order_by("-valid_from").values_list("rate", flat=True).first()


@dataclass(frozen=True)
class Catalogue:
    """What screens show: the plans that can be chosen, lowest first, and the price list."""

    plans: list[Plan]
    prices: PriceList


SHOWN_SECONDS = 60


def _shown_key(day: date) -> str:
    return f"catalogue:{day.isoformat()}"


def shown_on(day: date) -> Catalogue:
    """Plans and prices for screens, at most a minute old. An order reads its own again, and refuses another total."""
    found = cache.get(_shown_key(day))
    if not isinstance(found, Catalogue):
        found = Catalogue(plans=list(Plan.objects.filter(selectable=True)), prices=prices_on(day))
        cache.set(_shown_key(day), found, SHOWN_SECONDS)
    return found


def forget_shown(day: date) -> None:
    """A customer was shown a price that is no longer true: show the next one the list as it stands."""
    cache.delete(_shown_key(day))


PLANS = (
    # code, name, rank, base and most mailbox GB, base and most archive GB, selectable
    ("domain", "PEC su dominio", 0, 1, 1, 0, 0, False),
    ("standard", "Standard", 1, 1, 2, 0, 0, True),
    ("pro", "Pro", 2, 2, 50, 3, 100, True),
    ("premium", "Premium", 3, 2, 50, 8, 100, True),
)
PRICES = {"standard": "9.90", "pro": "19.90", "premium": "29.90"}
ITEM_PRICES = {"mailbox_gb": "3.00", "archive_gb": "2.00", "domain": "12.00", "domain_box": "8.00"}
FIRST_DAY = date(2020, 1, 1)


def install() -> None:
    """Make the plans, an example price list and the VAT rate where they are missing; change nothing that is there."""
    for code, name, rank, base, most, archive, most_archive, selectable in PLANS:
        plan, _ = Plan.objects.get_or_create(
            code=code,
            defaults={
                "name": name, "rank": rank, "base_mailbox_gb": base, "max_mailbox_gb": most,
                "base_archive_gb": archive, "max_archive_gb": most_archive, "selectable": selectable,
            },
        )  # fmt: skip
        if code in PRICES and not Price.objects.filter(plan=plan).exists():
            Price.objects.create(item=Price.Item.PLAN, plan=plan, net=Decimal(PRICES[code]), valid_from=FIRST_DAY)
    for item, net in ITEM_PRICES.items():
        if not Price.objects.filter(item=item).exists():
            Price.objects.create(item=item, net=Decimal(net), valid_from=FIRST_DAY)
    if not VatRate.objects.exists():
        VatRate.objects.create(rate=settings.VAT_RATE, valid_from=FIRST_DAY)
