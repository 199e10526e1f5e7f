"""Short words for what tests of purchases do: a box that was deleted, its address bought again, activated."""

from mailboxes.flows import tombstone_hash
from mailboxes.models import Address, Mailbox, Plan
from mailboxes.models.boxes import Phase
from payments import auto_renewal
from pecportal import clock
from renewals import activation, purchase
from renewals import flows as orders
from renewals.models import Order


def deleted(box: Mailbox) -> Mailbox:
    """The box as R29 leaves it: Cancellata, no login, the holder's tombstone on its address."""
    Mailbox.objects.filter(pk=box.pk).update(phase=Phase.DELETED, login=None, platform_due_at=None)
    Address.objects.filter(pk=box.address_id).update(tombstone=tombstone_hash(box.holder.fiscal_key))
    return Mailbox.objects.select_related("address", "holder", "owner", "plan").get(pk=box.pk)


def buy(
    box: Mailbox, user, *, plan: Plan | None = None, gb: tuple[int, int] | None = None, years: int = 1, **changes
) -> Order:
    """A confirmed purchase of the address of a deleted box, at the price of today."""
    from mailboxes.catalogue import prices_on

    plan = plan or box.plan
    choice = orders.Choice(plan, *(gb or (plan.base_mailbox_gb, plan.base_archive_gb)))
    facts: dict[str, object] = {
        "holder": {}, "email": "ordine@posta.example", "method": "transfer", "terms_version": "2026-11",
        "terms_ip": "127.0.0.1", "immediate_start": False,
    }  # fmt: skip
    if "shown_total" not in changes:
        today = clock.today()
        quote = purchase.quote(choice=choice, years=years, prices=prices_on(today), today=today)
        facts["shown_total"] = quote.totals.total
    return purchase.place_purchase(box=box, user=user, choice=choice, years=years, **{**facts, **changes})


def activate() -> int:
    """What the worker does every minute."""
    return activation.activate_due(on_active=auto_renewal.after_activation)


def new_life(box: Mailbox) -> Mailbox:
    return Mailbox.objects.exclude(pk=box.pk).select_related("plan", "login").get(address=box.address_id)
