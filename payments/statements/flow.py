"""A bank statement in two steps: taken (read whole, rows kept), then applied once, in batches (R21, R21b, R28).

Lock order: statement → orders by id → receipts by reference. A batch is one transaction; one that was killed half-way
leaves whole batches behind, and applying again goes on from there. Fulfilment is the worker's, after the commits.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import IO

from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Subquery, Sum
from django.utils.translation import gettext as _

from accounts.models import User
from payments import cases, scheduled
from payments.allotment import Standing, cases_of
from payments.models import Allocation, Case, Receipt, Statement, StatementRow
from payments.statements import camt, csv
from payments.statements.matching import Fate, Verdict, fate
from payments.statements.reading import StatementError
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import settle
from renewals.models import Order, targets_of
from renewals.references import numbers_in

BATCH = 500
MOST_BYTES = 32 * 1024 * 1024
TRIES = 3


class AlreadyTakenError(RefusedError):
    """This very file was uploaded before: `statement` is what became of it."""

    def __init__(self, statement: Statement) -> None:
        super().__init__(_("Questo file è già stato caricato: eccolo. Non ne abbiamo creato un altro."))
        self.statement = statement


def take(file: IO[bytes], *, name: str, size: int, actor: User) -> Statement:
    """Read a file to its end and keep its credits; nothing is registered yet.

    Raises StatementError (nothing is kept, the sentence names line and reason), AlreadyTakenError.
    """
    if size > MOST_BYTES:
        raise StatementError(_("Il file supera i 32 MB: dividilo per giorni e carica i pezzi uno alla volta."))
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    _refuse_twice(digest)
    file.seek(0)
    start = file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        raise StatementError(_("Il file è vuoto."))
    file.seek(0)
    is_xml = start.startswith((b"<", b"\xff\xfe<", b"\xfe\xff\x00<")) or name.lower().endswith(".xml")
    form = Statement.Format.CAMT053 if is_xml else Statement.Format.CSV
    read = (camt if is_xml else csv).read(file)
    try:
        with transaction.atomic(durable=True):
            statement = Statement.objects.create(
                sha256=digest, name=name[-120:], format=form, bank_account=read.bank_account, uploaded_by=actor
            )
            StatementRow.objects.bulk_create(
                (
                    StatementRow(
                        statement=statement, line=line, bank_reference=credit.bank_reference, amount=credit.amount,
                        currency=credit.currency, value_date=credit.value_date, payer=credit.payer,
                        remittance=credit.remittance,
                    )
                    for line, credit in enumerate(read.credits, 1)
                ),
                batch_size=1000,
            )  # fmt: skip
    except IntegrityError:
        _refuse_twice(digest)  # a second click was quicker
        raise
    return statement


def _refuse_twice(digest: str) -> None:
    known = Statement.objects.filter(sha256=digest).first()
    if known is not None:
        raise AlreadyTakenError(known)


@dataclass(frozen=True)
class Judged:
    """A row, what becomes of it, and the orders its causale names."""

    row: StatementRow
    fate: Fate
    orders: list[Order] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        return self.fate.verdict

    @property
    def why(self) -> str:
        """What the verdict alone does not say."""
        return self.fate.why if self.verdict not in (Verdict.NO_ORDER, Verdict.CURRENCY) or self.orders else ""


def preview(statement: Statement) -> list[Judged]:
    """A verdict for each row, as things stand now; nothing is locked or written."""
    judged: list[Judged] = []
    rows = list(statement.rows.select_related("receipt").order_by("line"))
    ledger: dict[str, Standing] = {}
    for batch in _batches(rows):
        _load(ledger, batch, lock=False)
        known = _known(statement, batch)
        for row in batch:
            if row.receipt_id:
                judged.append(Judged(row, Fate(Verdict.DONE)))
            elif row.bank_reference in known:
                judged.append(Judged(row, Fate(Verdict.KNOWN)))
            else:
                named = _named(row, ledger)
                decided = fate(row, named, today=clock.today())
                judged.append(Judged(row, decided, [standing.order for standing in named]))
    return judged


def apply(*, statement_id: int, actor: User) -> int:
    """Register what a statement tells: receipts, what they pay, a case for the rest. Returns the receipts made now.

    Once, whoever asks and however often: a receipt that is there already, by this file or another, is passed over.
    Raises RefusedError when the statement is applied already.
    """
    after = made = 0
    tries = TRIES
    while True:
        try:
            with transaction.atomic(durable=True):
                statement = Statement.objects.select_for_update(no_key=True, of=("self",)).get(pk=statement_id)
                if statement.applied_at is not None:
                    if made:
                        return made  # somebody else did the rest meanwhile
                    raise RefusedError(_("Questo estratto conto è già registrato."))
                rows = list(statement.rows.filter(receipt=None, line__gt=after).order_by("line")[:BATCH])
                if not rows:
                    statement.applied_at, statement.applied_by = clock.now(), actor
                    statement.save(update_fields=["applied_at", "applied_by"])
                    return made
                count = _apply(statement, rows, actor)
                transaction.on_commit(nudge, robust=True)
        except IntegrityError:
            # The same movement was registered by hand, or from another file, since we looked: look again.
            tries -= 1
            if not tries:
                raise
            continue
        after, made, tries = rows[-1].line, made + count, TRIES


def nudge() -> None:
    from payments.tasks import fulfil_due

    fulfil_due.delay()


def _batches(rows: Sequence[StatementRow]) -> Iterator[Sequence[StatementRow]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _known(statement: Statement, rows: Iterable[StatementRow]) -> set[str]:
    """The bank references of these rows that are receipts already, from whatever file."""
    receipts = Receipt.objects.filter(bank_account=statement.bank_account)
    found = receipts.filter(bank_reference__in=[row.bank_reference for row in rows])
    return set(found.values_list("bank_reference", flat=True))


def _load(ledger: dict[str, Standing], rows: Iterable[StatementRow], *, lock: bool) -> None:
    """Add the orders that these rows name and the ledger does not have: in four queries, locked by id."""
    numbers = {number for row in rows for number in numbers_in(row.remittance)} - ledger.keys()
    if not numbers:
        return
    orders = Order.objects.locked() if lock else Order.objects.all()
    found = list(
        orders.filter(number__in=numbers)
        .select_related("owner__billing", "billing")
        .prefetch_related("lines__mailbox", "lines__domain")
        .order_by("pk")
    )
    given = dict(
        Allocation.objects.filter(order__in=[order.pk for order in found])
        .values_list("order").annotate(total=Sum("amount"))
    )  # fmt: skip
    for order in found:
        targets = targets_of(order.lines.all())
        ledger[order.number] = Standing(order, targets, order.amount_due - given.get(order.pk, Decimal(0)))


def _named(row: StatementRow, ledger: dict[str, Standing]) -> list[Standing]:
    return [ledger[number] for number in sorted(numbers_in(row.remittance)) if number in ledger]


def _apply(statement: Statement, rows: Sequence[StatementRow], actor: User) -> int:
    """One batch, in the caller's transaction: everything is decided in memory and written in sets."""
    ledger: dict[str, Standing] = {}
    _load(ledger, rows, lock=True)
    known = _known(statement, rows)
    new = [row for row in rows if row.bank_reference not in known]
    receipts = {
        row.bank_reference: Receipt(
            bank_account=statement.bank_account, bank_reference=row.bank_reference, amount=row.amount,
            currency=row.currency, value_date=row.value_date, payer=row.payer, remittance=row.remittance,
            recorded_by=actor,
        )
        for row in new
    }  # fmt: skip
    # By reference: two files that hold the same movements never wait for one another crosswise.
    Receipt.objects.bulk_create(receipts[reference] for reference in sorted(receipts))
    allocations: list[Allocation] = []
    opened: list[Case] = []
    shorts: dict[int, Case] = {}
    for row in new:
        receipt = receipts[row.bank_reference]
        decided = fate(row, _named(row, ledger), today=clock.today())
        if not decided.parts:
            opened.append(
                Case(
                    kind=Case.Kind.RECEIPT_UNMATCHED,
                    receipt=receipt,
                    amount=row.amount,
                    currency=row.currency,
                    detail=decided.why[:300],
                )
            )
        for standing, result in decided.parts:
            order = standing.order
            if result.given:
                allocations.append(Allocation(order=order, amount=result.given, receipt=receipt, made_by=actor))
                shorts.pop(order.pk, None)  # another case says what is missing now, or nothing is
            for facts in cases_of(result, order):
                case = Case(
                    order=order,
                    receipt=receipt,
                    currency=receipt.currency,
                    **{**facts, "detail": facts["detail"][:300]},
                )
                if case.kind == Case.Kind.RECEIPT_SHORT:
                    shorts[order.pk] = case
                else:
                    opened.append(case)
    touched = {allocation.order_id for allocation in allocations}
    Allocation.objects.bulk_create(allocations)
    if touched:
        cases.close_shorts(order_ids=touched, actor=actor, resolution=_("è arrivato altro denaro"))
    Case.objects.bulk_create([*opened, *shorts.values()])
    _paid([standing.order for standing in ledger.values() if standing.paid], actor)
    mine = Receipt.objects.filter(bank_account=statement.bank_account, bank_reference=OuterRef("bank_reference"))
    StatementRow.objects.filter(pk__in=[row.pk for row in new]).update(receipt=Subquery(mine.values("pk")[:1]))
    return len(new)


def _paid(orders: Sequence[Order], actor: User) -> None:
    """The orders whose money is complete: paid, or collected where they were fulfilled on a promise (R26c)."""
    for order in orders:
        if order.awaits_collection:
            settle.mark_collected(order, why=_("impegno incassato"), actor=actor)
    paying: list[Order] = [order for order in orders if order.is_awaiting_payment]
    if paying:
        settle.mark_all_paid(paying, why=_("bonifico registrato"), actor=actor)
        scheduled.orders_moved(paying)


def counts(judged: Iterable[Judged]) -> dict[Verdict, int]:
    """How many rows of each verdict, all verdicts in their order."""
    found: dict[Verdict, int] = dict.fromkeys(Verdict, 0)
    for one in judged:
        found[one.verdict] += 1
    return found
