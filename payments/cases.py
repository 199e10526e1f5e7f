"""Opening and closing what staff must decide. A case is never edited, only closed with a reason (R21)."""

import logging
from decimal import Decimal

from django.db import IntegrityError, transaction

from accounts.models import User
from mailboxes.models import Mailbox
from payments.models import Case, Payment, Receipt
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order, OrderLine

log = logging.getLogger(__name__)


def open_case(
    kind: Case.Kind,
    *,
    detail: str,
    order: Order | None = None,
    payment: Payment | None = None,
    receipt: Receipt | None = None,
    box: Mailbox | None = None,
    amount: Decimal | None = None,
) -> None:
    """Open a case inside the caller's transaction; the same open case twice is one (constraints of the model)."""
    try:
        with transaction.atomic():
            case = Case.objects.create(
                kind=kind, detail=detail, order=order, payment=payment, receipt=receipt, box=box, amount=amount
            )
    except IntegrityError:
        return
    log.warning("case opened: %s %s", case.kind, case.pk)


def close_case(*, case_id: int, actor: User, resolution: str) -> None:
    """Close a case with what was decided. Raises RefusedError without a reason or when it is closed already."""
    if not resolution.strip():
        raise RefusedError("Scrivi che cosa è stato deciso.")
    closed = Case.objects.filter(pk=case_id, closed_at=None).update(
        closed_at=clock.now(), closed_by=actor, resolution=resolution.strip()[:300]
    )
    if not closed:
        raise RefusedError("Il caso è già chiuso.")


def open_for_attention(order_id: int) -> None:
    """A case for each line in attention that has none (after fulfilment, and from the sweep)."""
    lines = OrderLine.objects.filter(order_id=order_id, status=OrderLine.Status.ATTENTION).select_related("order")
    for line in lines:
        kind = Case.Kind.SPACE_OVERTAKEN if line.kind == "space" else Case.Kind.LINE_ATTENTION
        if Case.objects.filter(kind=kind, order=line.order, box=line.mailbox).exists():
            continue
        last = line.events.order_by("-id").first()
        open_case(kind, order=line.order, box=line.mailbox, amount=line.net, detail=last.why if last else "")


def close_matched(*, receipt: Receipt, actor: User, order: Order) -> None:
    """A receipt that waited to be matched was allocated: its case is decided."""
    Case.objects.filter(kind=Case.Kind.RECEIPT_UNMATCHED, receipt=receipt, closed_at=None).update(
        closed_at=clock.now(), closed_by=actor, resolution=f"attribuito all'ordine {order}"
    )


def close_short(*, order: Order, actor: User) -> None:
    """What was missing of an order has arrived."""
    Case.objects.filter(kind=Case.Kind.RECEIPT_SHORT, order=order, closed_at=None).update(
        closed_at=clock.now(), closed_by=actor, resolution="saldato"
    )
