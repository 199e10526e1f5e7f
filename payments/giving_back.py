"""Money of an order that goes back: out of which payment or receipt, and what becomes of the order (R21, R26, R26b).

Stories for staff and for the withdrawal. On-line money is asked back at its provider (payments.refunds); bank money is
a case until staff have sent it and written its CRO. Lock order: order → receipt → payment → mailbox.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from itertools import accumulate

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import User
from mailboxes import flows as box_flows
from mailboxes.models import Mailbox
from payments import bank, cases, refunds, scheduled
from payments.models import Allocation, Case, Payment, Receipt, Refund
from payments.recording import after_paid
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import euro
from renewals import undoing
from renewals.models import Kind, Order, OrderLine

CENT = Decimal("0.01")
Source = Payment | Receipt


@dataclass(frozen=True)
class Part:
    """EUR of one payment or receipt."""

    source: Source
    amount: Decimal


def money_of(order: Order) -> list[Part]:
    """What pays an order and has not gone back, newest first: money given last goes back first."""
    found: list[Part] = []
    for given in order.allocations.select_related("payment", "receipt").order_by("-id"):
        source = given.payment or given.receipt
        if source is None or any(part.source == source for part in found):
            continue  # a receipt may have given twice: `applied` counts both
        left = refunds.applied(source, order)
        if left > 0:
            found.append(Part(source, left))
    return found


def held_for(order: Order) -> Decimal:
    """EUR that pay an order and have not gone back."""
    return sum((part.amount for part in money_of(order)), Decimal(0))


def split(parts: list[Part], amount: Decimal) -> list[Part]:
    """An amount taken out of sources in their order; the last one partly. It never takes more than there is."""
    taken = []
    for part in parts:
        take = min(amount, part.amount)
        if take > 0:
            taken.append(Part(part.source, take))
            amount -= take
    return taken


def lock_money(order: Order) -> None:
    """Lock what pays an order (locked): receipts, then payments."""
    ids = list(Allocation.objects.filter(order=order).values_list("receipt_id", "payment_id"))
    receipts = Receipt.objects.select_for_update(no_key=True, of=("self",))
    list(receipts.filter(pk__in=[r for r, _p in ids if r]).order_by("pk"))
    list(Payment.objects.locked().filter(pk__in=[p for _r, p in ids if p]).order_by("pk"))


def give_back(order: Order, *, amount: Decimal, actor: User | None, why: str) -> Decimal:
    """Ask money of an order (locked) back; returns what of it must go by bank transfer: a case that staff work off.

    Raises RefusedError when there is not so much of it.
    """
    lock_money(order)
    parts = money_of(order)
    most = sum((part.amount for part in parts), Decimal(0))
    if not amount.is_finite() or amount < 0 or amount > refunds.MOST or amount != amount.quantize(CENT):
        raise RefusedError(_("Scrivi l'importo in euro, maggiore di zero e con al massimo due decimali."))
    # Bank money that is already promised back waits in a case: it is not promised twice.
    if amount > most - promised(order):
        raise RefusedError(_("Si possono restituire al massimo %(most)s.") % {"most": euro(most - promised(order))})
    by_bank = Decimal(0)
    for part in split(parts, amount):
        if isinstance(part.source, Payment):
            refunds.ask(payment=part.source, amount=part.amount, actor=actor, why=why, order=order)
        else:
            by_bank += part.amount
    if by_bank:
        cases.open_case(Case.Kind.REFUND_BY_BANK, order=order, amount=by_bank, detail=why)
    return by_bank


def promised(order: Order) -> Decimal:
    """EUR of an order that open cases say are to go back by bank transfer."""
    open_cases = Case.objects.filter(kind=Case.Kind.REFUND_BY_BANK, order=order, closed_at=None)
    return refunds.total_of(open_cases)


# --- Staff: an order --------------------------------------------------------------------------------------------------


def refund_order(*, order_id: int, amount: Decimal, actor: User, why: str) -> Decimal:
    """Goodwill: money of a fulfilled order goes back, what it gave stays. Returns what must go by bank transfer."""
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        if order.status not in (Order.Status.FULFILLED, Order.Status.REVERSED):
            raise RefusedError(_("Si restituisce denaro solo di un ordine completato o stornato."))
        if amount <= 0:
            raise RefusedError(_("Scrivi l'importo in euro, maggiore di zero e con al massimo due decimali."))
        return give_back(order, amount=amount, actor=actor, why=why)


def reverse_order(*, order_id: int, amount: Decimal, actor: User, why: str) -> Decimal:
    """A fulfilled order is taken back, its period with it, and `amount` (zero: nothing) of its money goes back."""
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        if order.status != Order.Status.FULFILLED:
            raise RefusedError(_("Si può stornare solo un ordine completato."))
        by_bank = give_back(order, amount=amount, actor=actor, why=why)
        take_back(order, why=why, actor=actor)
        return by_bank


def take_back(order: Order, *, why: str, actor: User) -> None:
    """What a fulfilled order (locked) gave is taken back, with the automatic charge of the expiry that returns."""
    _start_changes_later(undoing.reverse(order, why=why[:200], actor=actor))
    ids = order.lines.exclude(period=None).values("period__box")
    for box in Mailbox.objects.locked().filter(pk__in=ids).order_by("pk"):
        scheduled.expiry_came_back(box)


def _start_changes_later(box_ids: list[int]) -> None:
    """After the commit: a smaller space starts today if what is used fits (R7); else the sweep asks again."""

    def start() -> None:
        for box_id in box_ids:
            box_flows.start_change(box_id=box_id, today=clock.today())

    transaction.on_commit(start, robust=True)


def try_again(*, order_id: int, actor: User, why: str) -> None:
    """Evadi di nuovo: what stood in the way of an order in attention was put right."""
    with transaction.atomic(durable=True):
        order = Order.objects.locked().get(pk=order_id)
        if order.status != Order.Status.ATTENTION:
            raise RefusedError(_("L'ordine non è da verificare: non c'è niente da rifare."))
        undoing.try_again(order, why=why[:200], actor=actor)
        cases.close_lines(order=order, actor=actor, resolution=why)
        transaction.on_commit(lambda: after_paid(order_id), robust=True)


def refund_line(*, line_id: int, actor: User, why: str) -> Decimal:
    """Rimborsa la riga: one of lines_to_give_up is given up, and its part of the money goes back."""
    order_id = OrderLine.objects.values_list("order_id", flat=True).get(pk=line_id)
    with transaction.atomic(durable=True):
        order = Order.objects.locked().select_related("owner").get(pk=order_id)
        line = order.lines.get(pk=line_id)
        if line not in lines_to_give_up(order):
            raise RefusedError(_("La riga non è più da verificare."))
        amount = min(gross_of(line), held_for(order) - promised(order))
        by_bank = give_back(order, amount=amount, actor=actor, why=why)
        line.order = order
        undoing.give_up_line(line, why=why[:200], actor=actor)
        cases.close_line(line=line, actor=actor, resolution=why)
        return by_bank


def lines_to_give_up(order: Order) -> list[OrderLine]:
    """Lines that staff may refund: those in attention, and of a paid purchase what waits for the mail system (R30)."""
    found = Q(status=OrderLine.Status.ATTENTION)
    if order.status == Order.Status.PAID:
        found |= Q(kind=Kind.PURCHASE, status=OrderLine.Status.WAITING)
    return list(order.lines.filter(found).order_by("id"))


def gross_of(line: OrderLine) -> Decimal:
    """What the customer paid for a line, EUR: its share of the amount due by its net (R26).

    Each is the difference of two rounded running sums: they add up to what was paid, and none is more than a cent off,
    however many lines there are (a domain with two hundred boxes).
    """
    order = line.order
    nets = dict(order.lines.order_by("id").values_list("pk", "net"))
    whole, sums = sum(nets.values(), Decimal(0)), dict(zip(nets, accumulate(nets.values()), strict=True))
    upto = [
        (order.amount_due * s / whole).quantize(CENT, ROUND_HALF_UP) for s in (sums[line.pk] - line.net, sums[line.pk])
    ]
    return upto[1] - upto[0]


# --- Staff: a case ----------------------------------------------------------------------------------------------------


def left_of_case(case: Case) -> Decimal:
    """EUR that Rimborsa of a case proposes, at most what there is: its order's bank money, or what pays no order."""
    if case.kind == Case.Kind.REFUND_BY_BANK:
        return min(case.amount or Decimal(0), _bank_money(case))
    if source := case.receipt or case.payment:
        left = refunds.unapplied(source)
        if case.kind == Case.Kind.REFUND_FAILED and case.order and left <= 0:
            return min(case.amount or Decimal(0), refunds.applied(source, case.order))
        return max(left, Decimal(0))
    return Decimal(0)


def _bank_money(case: Case) -> Decimal:
    if case.order is None:
        return Decimal(0)
    return sum((p.amount for p in money_of(case.order) if isinstance(p.source, Receipt)), Decimal(0))


def refund_case(*, case_id: int, amount: Decimal, reference: str, actor: User, why: str) -> None:
    """Rimborsa: money of a case goes back, at the provider or (with its CRO) by bank, and the case closes with it.

    What is left of the money is a case anew. Raises RefusedError: closed meanwhile, more than there is.
    """
    facts = Case.objects.values("order_id", "receipt_id", "payment_id").get(pk=case_id)
    with transaction.atomic(durable=True):
        if facts["order_id"]:
            Order.objects.locked().get(pk=facts["order_id"])
        receipt = refunds.lock_receipt(facts["receipt_id"]) if facts["receipt_id"] else None
        payment = Payment.objects.locked().get(pk=facts["payment_id"]) if facts["payment_id"] else None
        case = _open_case_locked(case_id)
        told = _("restituiti %(amount)s: %(why)s") % {"amount": euro(amount), "why": why}
        if case.kind == Case.Kind.REFUND_BY_BANK and case.order is not None:
            _sent_by_bank(case.order, amount=amount, reference=reference, actor=actor, why=why)
            _close(case, actor=actor, resolution=told)
            if case.amount is not None and amount < case.amount:
                left = case.amount - amount
                cases.open_case(case.kind, order=case.order, amount=left, detail=case.detail)  # type: ignore[arg-type]
            return
        source: Source | None = receipt or payment
        if source is None:
            raise RefusedError(_("Il caso non riguarda denaro arrivato: non c'è niente da restituire."))
        order = case.order if case.kind == Case.Kind.REFUND_FAILED and refunds.unapplied(source) <= 0 else None
        if receipt is not None:
            refunds.by_bank(
                receipt_id=receipt.pk, amount=amount, reference=reference, actor=actor, why=why, order=order
            )
        elif payment is not None:
            refunds.ask(payment=payment, amount=amount, actor=actor, why=why, order=order)
        _close(case, actor=actor, resolution=told)
        _say_what_is_left(source, case, actor=actor, told=told)


def _say_what_is_left(source: Source, case: Case, *, actor: User, told: str) -> None:
    cases.settle_source(source=source, actor=actor, resolution=told)
    left = refunds.unapplied(source)
    if left > 0:
        cases.open_case(
            Case.Kind.RECEIPT_OVER, order=case.order, amount=left, detail=_("avanzano %(left)s") % {"left": euro(left)},
            receipt=source if isinstance(source, Receipt) else None,
            payment=source if isinstance(source, Payment) else None,
        )  # fmt: skip


def _sent_by_bank(order: Order, *, amount: Decimal, reference: str, actor: User, why: str) -> None:
    """One transfer that staff sent, out of the receipts of an order (locked)."""
    lock_money(order)
    parts = [part for part in money_of(order) if isinstance(part.source, Receipt)]
    most = sum((part.amount for part in parts), Decimal(0))
    if not amount.is_finite() or amount <= 0 or amount > refunds.MOST or amount != amount.quantize(CENT):
        raise RefusedError(_("Scrivi l'importo in euro, maggiore di zero e con al massimo due decimali."))
    if amount > most:
        raise RefusedError(_("Si possono restituire al massimo %(most)s.") % {"most": euro(most)})
    for part in split(parts, amount):
        refunds.by_bank(
            receipt_id=part.source.pk, amount=part.amount, reference=reference, actor=actor, why=why, order=order
        )


def attribute_case(*, case_id: int, order_id: int, actor: User) -> bank.Allocated:
    """Attribuisci a un altro ordine: the money of a case pays another order of the same account (R21)."""
    case = Case.objects.select_related("order").get(pk=case_id)
    if case.closed_at is not None:
        raise RefusedError(_("Il caso è già chiuso."))
    if case.order is not None and not Order.objects.filter(pk=order_id, owner=case.order.owner_id).exists():
        raise RefusedError(_("L'ordine è di un altro account: questo denaro si può solo restituire."))
    if case.receipt_id is not None:
        done = bank.allocate(receipt_id=case.receipt_id, order_id=order_id, actor=actor)
    elif case.payment_id is not None:
        done = bank.allocate_payment(payment_id=case.payment_id, order_id=order_id, actor=actor)
    else:
        raise RefusedError(_("Il caso non riguarda denaro arrivato: non c'è niente da attribuire."))
    if done.given:  # the kinds that bank.allocate does not close by itself
        resolution = _("attribuiti %(given)s a un altro ordine") % {"given": euro(done.given)}
        Case.objects.filter(pk=case_id, closed_at=None).update(
            closed_at=clock.now(), closed_by=actor, resolution=resolution
        )
    return done


def _open_case_locked(case_id: int) -> Case:
    case = Case.objects.select_for_update(no_key=True, of=("self",)).select_related("order__owner").get(pk=case_id)
    if case.closed_at is not None:
        raise RefusedError(_("Il caso è già chiuso."))
    return case


def _close(case: Case, *, actor: User, resolution: str) -> None:
    cases.close_case(case_id=case.pk, actor=actor, resolution=resolution)


def refunds_of(order: Order) -> list[Refund]:
    """Money of an order that went or goes back, for its page."""
    return list(Refund.objects.counted().filter(order=order).order_by("id"))
