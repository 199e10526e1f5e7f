"""Short words for what tests of domains do: open one with boxes, place its order."""

from datetime import date, timedelta

from django.conf import settings

from mailboxes import flows as box_flows
from mailboxes.catalogue import prices_on
from mailboxes.models import Domain, Mailbox
from pecportal import clock
from renewals import domains
from renewals.models import Order


def domain_of(owner, name: str = "rossi.example", *, expires_in: int = 40, deletion_days: int | None = None) -> Domain:
    return box_flows.open_domain(
        name=name, mail_host=f"pec.{name}", owner=owner, expires_on=clock.today() + timedelta(days=expires_in),
        deletion_days=deletion_days,
    )  # fmt: skip


def on_domain(make_box, domain: Domain, *names: str, holder: str = "") -> list[Mailbox]:
    return [
        make_box(domain.owner, name, plan="domain", domain=domain, host=domain.mail_host, holder=holder)
        for name in names
    ]


def price_of(domain: Domain, years: int = 1) -> domains.DomainQuote:
    prices, boxes = prices_on(clock.today()), domains.boxes_of(domain).count()
    return domains.quote(domain=domain, boxes=boxes, years=years, prices=prices)


def place_domain(domain: Domain, user, *, years: int = 1, **changes) -> Order:
    """A confirmed renewal of the domain with its boxes, at the price of today."""
    facts = {
        "years": years, "email": "ordine@posta.example", "method": "transfer", "terms_version": "2026-11",
        "terms_ip": "127.0.0.1", "immediate_start": False,
    }  # fmt: skip
    if "shown_total" not in changes:
        facts["shown_total"] = price_of(Domain.objects.get(pk=domain.pk), years).totals.total
    return domains.place_domain_renewal(domain_id=domain.pk, user=user, **{**facts, **changes})


def set_dates(domain: Domain, expires_on: date) -> None:
    """An expiry on any day, anchor included, on the domain and on its boxes; the opening period with it."""
    delete_from = expires_on + timedelta(days=1 + (domain.deletion_days or settings.GRACE_DAYS))
    Domain.objects.filter(pk=domain.pk).update(
        expires_on=expires_on, delete_from=delete_from, anchor_month=expires_on.month, anchor_day=expires_on.day
    )
    Mailbox.objects.filter(domain=domain).update(expires_on=expires_on, delete_from=delete_from)
    domain.periods.update(starts=expires_on - timedelta(days=364), ends=expires_on)
