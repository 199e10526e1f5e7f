"""Short words for what many tests do: place an order, pay it."""

from datetime import date
from decimal import Decimal

from mailboxes.models import Mailbox, Plan
from payments import bank, flows
from payments.models import Payment
from payments.providers import sandbox
from pecportal import clock
from renewals import flows as orders
from renewals.models import Order


def years_later(day: date, years: int = 1) -> date:
    """The expiry that so many years make of `day`, itself the anchor: of 29 February the 28th."""
    leap = (day.month, day.day) == (2, 29)
    return date(day.year + years, day.month, 28 if leap and (day.year + years) % 4 else day.day)


def place(
    box: Mailbox, user, *, plan: Plan | None = None, gb: tuple[int, int] | None = None, years: int = 1, **changes
):
    """A confirmed renewal of `box`, at the price of today."""
    kept = (box.mailbox_gb, box.archive_gb)
    mailbox_gb, archive_gb = gb or (kept if plan is None else (plan.base_mailbox_gb, plan.base_archive_gb))
    plan = plan or box.plan
    choice = orders.Choice(plan, mailbox_gb, archive_gb, archive_loss_accepted=True)
    facts: dict[str, object] = {
        "holder": {}, "email": "ordine@posta.example", "method": "transfer", "terms_version": "2026-11",
        "terms_ip": "127.0.0.1", "immediate_start": False,
    }  # fmt: skip
    if "shown_total" not in changes:
        from mailboxes.catalogue import prices_on

        quote = orders.quote(box=box, choice=choice, years=years, prices=prices_on(clock.today()))
        facts["shown_total"] = quote.totals.total
    return orders.place_renewal(box=box, user=user, choice=choice, years=years, **{**facts, **changes})


def start_card(order: Order, user, *, agreed: bool = True) -> Payment:
    """Begin a sandbox attempt and return it."""
    flows.start(
        order_id=order.pk, provider="sandbox", user=user, auto_renewal_agreed=agreed,
        consent_text_version="2026-11", return_url=lambda p: "/", cancel_url="/",
    )  # fmt: skip
    return Payment.objects.filter(order=order).latest("id")


def pay_card(order: Order, user, *, agreed: bool = True) -> Payment:
    """Pay with the sandbox card; consequences run when the test lets commits happen."""
    payment = start_card(order, user, agreed=agreed)
    sandbox.write(payment.remote_id, status=sandbox.PAID)
    return flows.fetch_and_record(payment.pk)


def pay_transfer(order: Order, staff, *, amount: Decimal | None = None, reference: str = "REF-1", value_date=None):
    """A receipt recorded by staff and allocated to the order."""
    _receipt, allocated = bank.record_and_match(
        actor=staff, order=order, bank_account="IT60", bank_reference=reference,
        amount=order.amount_due if amount is None else amount, value_date=value_date or clock.today(),
    )  # fmt: skip
    return allocated
