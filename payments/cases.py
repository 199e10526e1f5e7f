"""Opening and closing what staff must decide. A case is never edited, only closed with a reason (R21).

`closed_by` is empty where no person decided: what a case was about has come right by itself.
"""

import logging
from collections.abc import Collection, Mapping
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes.models import Mailbox
from payments.models import Case, Payment, Receipt
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import euro
from renewals.models import Order, OrderLine

log = logging.getLogger(__name__)

# Money that pays no order. Of a receipt at most one is open, and its amount is what of the receipt pays no order.
LEFT_OF_MONEY = (
    Case.Kind.RECEIPT_UNMATCHED, Case.Kind.RECEIPT_OVER, Case.Kind.MONEY_TOO_LATE, Case.Kind.MONEY_MISMATCH,
)  # fmt: skip
# Of it what came for an order: while it stands, the customer is asked not to pay again.
CAME_FOR_ORDER = (Case.Kind.MONEY_MISMATCH, Case.Kind.MONEY_TOO_LATE, Case.Kind.RECEIPT_OVER)


def held() -> QuerySet[Case]:
    """Money that came for an order, pays nothing yet, and waits for a decision of staff (R21)."""
    return Case.objects.filter(closed_at=None, kind__in=CAME_FOR_ORDER, amount__gt=0)


def open_case(
    kind: Case.Kind,
    *,
    detail: str,
    order: Order | None = None,
    payment: Payment | None = None,
    receipt: Receipt | None = None,
    box: Mailbox | None = None,
    amount: Decimal | None = None,
    currency: str = "",
) -> None:
    """Open a case inside the caller's transaction; the same open case twice is one (constraints of the model).

    `currency`: of the amount; if empty the receipt's, else euro.
    """
    currency = currency or (receipt.currency if receipt else settings.CURRENCY)
    try:
        with transaction.atomic():
            case = Case.objects.create(
                kind=kind, detail=detail[:300], order=order, payment=payment, receipt=receipt, box=box, amount=amount,
                currency=currency,
            )  # fmt: skip
    except IntegrityError:
        return
    log.warning("case opened: %s %s", case.kind, case.pk)


def open_for_boxes(kind: Case.Kind, *, details: Mapping[Mailbox, str]) -> None:
    """Open a case a box inside the caller's transaction, with one insert; where one is open already, it stands."""
    opened = [Case(kind=kind, box=box, detail=detail[:300]) for box, detail in details.items()]
    Case.objects.bulk_create(opened, ignore_conflicts=True)
    if opened:
        log.warning("cases opened: %s %s", len(opened), kind)


def close_of_box(kind: Case.Kind, *, box: Mailbox, actor: User | None, resolution: str) -> None:
    """What a case was about a box is decided, or is over."""
    _close(Case.objects.filter(kind=kind, box=box), actor=actor, resolution=resolution)


def close_case(*, case_id: int, actor: User, resolution: str) -> None:
    """Close a case with what was decided. Raises RefusedError without a reason or when it is closed already."""
    if not resolution.strip():
        raise RefusedError(_("Scrivi che cosa è stato deciso."))
    closed = Case.objects.filter(pk=case_id, closed_at=None).update(
        closed_at=clock.now(), closed_by=actor, resolution=resolution.strip()[:300]
    )
    if not closed:
        raise RefusedError(_("Il caso è già chiuso."))


def open_for_attention(order_id: int) -> None:
    """A case for each line in attention that has none (after fulfilment, and from the sweep)."""
    lines = OrderLine.objects.filter(order_id=order_id, status=OrderLine.Status.ATTENTION).select_related("order")
    for line in lines:
        kind = Case.Kind.SPACE_OVERTAKEN if line.kind == "space" else Case.Kind.LINE_ATTENTION
        if Case.objects.filter(kind=kind, order=line.order, box=line.mailbox, closed_at=None).exists():
            continue
        last = line.events.order_by("-id").first()
        open_case(kind, order=line.order, box=line.mailbox, amount=line.net, detail=last.why if last else "")


def settle_source(*, source: Receipt | Payment, actor: User | None, resolution: str) -> None:
    """It was decided about a receipt or payment (locked): what was open about its money is closed, and what is left is
    said anew."""
    of = {"receipt": source} if isinstance(source, Receipt) else {"payment": source}
    _close(Case.objects.filter(kind__in=LEFT_OF_MONEY, **of), actor=actor, resolution=resolution)


def close_lines(*, order: Order, actor: User, resolution: str) -> None:
    """What was to be decided about the lines of an order (locked) is decided."""
    _close(_of_lines(order), actor=actor, resolution=resolution)


def close_line(*, line: OrderLine, actor: User, resolution: str) -> None:
    """The same of one line of an order (locked): of a domain's order the others may still wait for it (R17)."""
    of = {"box": line.mailbox_id} if line.mailbox_id else {"box__isnull": True}
    _close(_of_lines(line.order).filter(**of), actor=actor, resolution=resolution)


def _of_lines(order: Order) -> QuerySet[Case]:
    return Case.objects.filter(kind__in=(Case.Kind.LINE_ATTENTION, Case.Kind.SPACE_OVERTAKEN), order=order)


def close_by_itself(kind: Case.Kind, *, payment: Payment, resolution: str) -> None:
    """What a case was about has come right, or is another case now."""
    _close(Case.objects.filter(kind=kind, payment=payment), actor=None, resolution=resolution)


def close_short(*, order: Order, actor: User | None, resolution: str) -> None:
    """What was missing of an order (locked) has arrived, or another case says what is missing now."""
    _close(Case.objects.filter(kind=Case.Kind.RECEIPT_SHORT, order=order), actor=actor, resolution=resolution)


def close_shorts(*, order_ids: Collection[int], actor: User | None, resolution: str) -> None:
    """close_short for many locked orders."""
    found = Case.objects.filter(kind=Case.Kind.RECEIPT_SHORT, order__in=order_ids)
    _close(found, actor=actor, resolution=resolution)


def _close(found: QuerySet[Case], *, actor: User | None, resolution: str) -> None:
    found.filter(closed_at=None).update(closed_at=clock.now(), closed_by=actor, resolution=resolution[:300])


def release_money(*, order: Order) -> list[str]:
    """The order (locked) ends unpaid: money it had been given goes back to where it came from, a case each (R21).

    Returns what was released, in words, for the order's events.
    """
    told = []
    given = list(order.allocations.order_by("receipt_id", "payment_id", "id"))
    receipts = Receipt.objects.select_for_update(no_key=True, of=("self",))
    sources: list[Receipt | Payment] = [
        *receipts.filter(pk__in=[a.receipt_id for a in given if a.receipt_id]).order_by("pk"),
        *Payment.objects.locked().filter(pk__in=[a.payment_id for a in given if a.payment_id]).order_by("pk"),
    ]
    for source in sources:
        is_bank = isinstance(source, Receipt)
        mine = [a for a in given if (a.receipt_id if is_bank else a.payment_id) == source.pk]
        order.allocations.filter(pk__in=[a.pk for a in mine]).delete()
        amount = sum((a.amount for a in mine), Decimal(0))
        reference = source.bank_reference if isinstance(source, Receipt) else source.remote_id
        told.append(
            _("liberati %(amount)s dell'accredito %(reference)s") % {"amount": euro(amount), "reference": reference}
        )
        open_case(
            Case.Kind.MONEY_TOO_LATE, order=order, amount=amount,
            receipt=source if isinstance(source, Receipt) else None,
            payment=source if isinstance(source, Payment) else None,
            detail=_("l'ordine è stato chiuso: sono da restituire o attribuire"),
        )  # fmt: skip
    close_short(order=order, actor=None, resolution=_("l'ordine non aspetta più denaro"))
    return told
