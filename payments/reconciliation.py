"""The nightly reconciliation: what does not add up between money, orders and boxes, and the repair of each (Build 10).

Each check is one query over the whole table, and finds nothing on a healthy installation. A difference is opened by the
run that finds it first and closed by the first that finds it no more; nothing is repaired without a person.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import transaction
from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Greatest
from django.utils.translation import gettext as _

from mailboxes import domains, reversals
from mailboxes.models import Domain, Mailbox, PaidPeriod
from payments import flows, recording, sync
from payments.invoicing import issue, notes, watching
from payments.models import (
    Allocation,
    Commitment,
    Difference,
    Invoice,
    InvoiceCounter,
    Payment,
    ProviderEvent,
    Receipt,
    Reconciliation,
    Refund,
)  # fmt: skip
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import HALF_CENT, Kind, Order, OrderLine

log = logging.getLogger(__name__)
Check = Difference.Check
Found = Iterator[tuple[int, str]]
LONG_AGO = date(1, 1, 1)
SETTLING = timedelta(hours=1)  # what a sweep repeated every minute has had time for
STUCK = timedelta(days=1)
RECEIPT_DAYS = timedelta(days=2)
COMMITMENT_DAYS = timedelta(days=30)  # D.Lgs. 231/2002: public bodies pay within 30 days


def _paid_without_period() -> Found:
    """Fulfilled lines that must have a period and have none, and paid orders that nobody fulfilled."""
    moves = (
        Q(kind=Kind.RENEWAL, mailbox__kind=Mailbox.Kind.STANDALONE)
        | Q(kind=Kind.PURCHASE)
        | Q(kind=Kind.DOMAIN_RENEWAL, domain__isnull=False)
    )
    # A box In attivazione waits for the mail system, which has an alarm of its own within the day.
    waits = Q(status=OrderLine.Status.WAITING, order__status=Order.Status.PAID)
    late = waits & (
        ~Q(kind=Kind.PURCHASE) & Q(order__paid_at__lt=clock.now() - SETTLING)
        | Q(kind=Kind.PURCHASE, order__paid_at__lt=clock.now() - STUCK)
    )
    found = OrderLine.objects.filter(late | Q(moves, status=OrderLine.Status.FULFILLED, period=None))
    for line in found.select_related("order"):
        yield line.pk, _("ordine %(order)s, riga %(line)s") % {"order": line.order, "line": line.pk}


def _period_without_payment() -> Found:
    """Periods in force whose order has not collected what it was due, and that no commitment covers."""
    paid = Allocation.objects.filter(order=OuterRef("order_line__order")).values("order").annotate(s=Sum("amount"))
    found = PaidPeriod.objects.filter(
        order_line__isnull=False, reversed_on=None, order_line__order__commitment=None
    ).annotate(paid=Coalesce(Subquery(paid.values("s")), Value(0), output_field=Allocation._meta.get_field("amount")))
    for period in found.filter(paid__lt=F("order_line__order__amount_due") - HALF_CENT).select_related(
        "order_line__order"
    ):
        yield (
            period.pk,
            _("ordine %(order)s, periodo %(period)s") % {"order": period.order_line.order, "period": period},
        )


def _payment_not_final() -> Found:
    for payment in Payment.objects.live().filter(created_at__lt=clock.now() - STUCK).select_related("order"):
        yield payment.pk, str(payment)


def _event_unseen() -> Found:
    late = ProviderEvent.objects.filter(processed_at=None, received_at__lt=clock.now() - SETTLING)
    for event in late:
        yield event.pk, str(event)


def _away_from_periods(found: QuerySet, of: str) -> QuerySet:
    """Those whose expiry is not the one that their paid periods give (R15); `of`: the period's field for them."""
    mine = PaidPeriod.objects.filter(**{of: OuterRef("pk")}, reverses=None).values(of)
    ends = mine.filter(reversed_on=None).annotate(day=Max("ends")).values("day")
    cut = mine.filter(reversed_on__gte=F("starts")).annotate(day=Max("reversed_on")).values("day")
    return found.annotate(
        paid_until=Greatest(Coalesce(Subquery(ends), Value(LONG_AGO)), Coalesce(Subquery(cut), Value(LONG_AGO)))
    ).exclude(expires_on=F("paid_until"))


def _dates_disagree() -> Found:
    """Standalone boxes whose expiry is not the one their periods give (R15), boxes that left their domain's (R17)."""
    live = Mailbox.objects.filter(phase="live")
    standalone = _away_from_periods(live.filter(kind=Mailbox.Kind.STANDALONE), "box")
    on_domain = live.filter(kind=Mailbox.Kind.ON_DOMAIN).exclude(
        expires_on=F("domain__expires_on"), delete_from=F("domain__delete_from")
    )
    for found in (standalone, on_domain):
        for pk, expires_on in found.values_list("pk", "expires_on"):
            yield pk, _("casella %(box)s, scadenza scritta %(day)s") % {"box": pk, "day": expires_on}


def _domain_dates_disagree() -> Found:
    """The same of domains, which own the periods of their boxes (R17)."""
    found = _away_from_periods(Domain.objects.filter(phase="live"), "domain")
    for pk, expires_on in found.values_list("pk", "expires_on"):
        yield pk, _("dominio %(domain)s, scadenza scritta %(day)s") % {"domain": pk, "day": expires_on}


def _receipt_unmatched() -> Found:
    def total(rows: QuerySet) -> Coalesce:
        summed = rows.filter(receipt=OuterRef("pk")).values("receipt").annotate(s=Sum("amount")).values("s")
        return Coalesce(Subquery(summed), Value(0), output_field=Receipt._meta.get_field("amount"))

    found = Receipt.objects.filter(recorded_at__lt=clock.now() - RECEIPT_DAYS).annotate(
        left=F("amount") - total(Allocation.objects.all()) - total(Refund.objects.counted().filter(order=None))
    )
    for receipt in found.filter(left__gt=HALF_CENT):
        yield receipt.pk, str(receipt)


def _commitment_uncollected() -> Found:
    late = Commitment.objects.filter(order__collected_at=None, registered_at__lt=clock.now() - COMMITMENT_DAYS)
    for commitment in late.select_related("order"):
        yield commitment.pk, str(commitment)


def _order_without_invoice() -> Found:
    for order in watching.without_invoice(clock.now()):
        yield order.pk, _("ordine %(order)s, %(status)s") % {"order": order, "status": order.get_status_display()}


def _refund_without_note() -> Found:
    for refund in watching.without_note(clock.now()):
        yield refund.pk, _("ordine %(order)s, rimborso %(refund)s") % {"order": refund.order, "refund": refund.pk}


def _invoice_late() -> Found:
    late = Invoice.objects.to_send().filter(due_on__lt=clock.today()).select_related("order")
    for invoice in late:
        facts = {"invoice": invoice, "state": invoice.get_state_display(), "day": invoice.due_on}
        yield invoice.pk, _("%(invoice)s, %(state)s, da inviare entro il %(day)s") % facts


def _number_missing() -> Found:
    for counter, gone in watching.missing_numbers():
        yield counter.pk, f"{counter.series}-{counter.year}: {', '.join(map(str, gone[:20]))}"


def _fulfil(line_id: int) -> None:
    recording.after_paid(OrderLine.objects.values_list("order_id", flat=True).get(pk=line_id))


def _ask(payment_id: int) -> None:
    flows.fetch_and_record(payment_id)


def _restore_dates(box_id: int) -> None:
    reversals.restore_dates(box_id=box_id, today=clock.today())


def _issue(order_id: int) -> None:
    issue.issue(order_id)


def _issue_note(refund_id: int) -> None:
    notes.issue_note(refund_id)


def _restore_domain_dates(domain_id: int) -> None:
    domains.restore_dates(domain_id=domain_id, today=clock.today())


@dataclass(frozen=True)
class Rule:
    """A check: what it finds, the model its ids are of, the repair a person can start, and in words what to do."""

    find: Callable[[], Found]
    model: type
    repair: Callable[[int], None] | None
    advice: str


def rules() -> dict[str, Rule]:
    return {
        Check.PAID_WITHOUT_PERIOD: Rule(
            _paid_without_period, OrderLine, _fulfil,
            _("Ripara: evade l'ordine di nuovo; quello che non si può dare diventa un caso."),
        ),
        Check.PERIOD_WITHOUT_PAYMENT: Rule(
            _period_without_payment, PaidPeriod, None,
            _("Apri l'ordine: attribuisci l'accredito che manca, oppure rimborsa e storna il periodo."),
        ),
        Check.PAYMENT_NOT_FINAL: Rule(
            _payment_not_final, Payment, _ask, _("Ripara: chiede di nuovo al gestore che fine ha fatto il pagamento.")
        ),
        Check.EVENT_UNSEEN: Rule(
            _event_unseen, ProviderEvent, sync.work_off_event, _("Ripara: lavora l'evento adesso.")
        ),
        Check.DATES_DISAGREE: Rule(
            _dates_disagree, Mailbox, _restore_dates,
            _("Ripara: riscrive la scadenza dai periodi pagati; la cancellazione non si avvicina."),
        ),
        Check.DOMAIN_DATES_DISAGREE: Rule(
            _domain_dates_disagree, Domain, _restore_domain_dates,
            _("Ripara: riscrive la scadenza del dominio dai periodi pagati, e quella delle sue caselle."),
        ),
        Check.RECEIPT_UNMATCHED: Rule(
            _receipt_unmatched, Receipt, None, _("Apri l'accredito: attribuiscilo a un ordine, oppure restituiscilo.")
        ),
        Check.COMMITMENT_UNCOLLECTED: Rule(
            _commitment_uncollected, Commitment, None,
            _("Apri l'ordine: sollecita l'ente, oppure registra l'accredito che è arrivato."),
        ),
        Check.ORDER_WITHOUT_INVOICE: Rule(
            _order_without_invoice, Order, _issue,
            _("Ripara: emette la fattura. Un ordine da verificare va prima deciso: ha al massimo dodici giorni."),
        ),
        Check.REFUND_WITHOUT_NOTE: Rule(
            _refund_without_note, Refund, _issue_note, _("Ripara: emette la nota di credito del rimborso.")
        ),
        Check.INVOICE_LATE: Rule(
            _invoice_late, Invoice, None, _("Apri la fattura: correggi quello che manca e inviala subito.")
        ),
        Check.NUMBER_MISSING: Rule(
            _number_missing, InvoiceCounter, None,
            _("Qualcuno ha tolto delle righe dal database: recuperale da una copia di sicurezza."),
        ),
    }  # fmt: skip


def run(*, day: date | None = None) -> Reconciliation:
    """Look at everything and write what does not add up. Twice or at once: the same rows (constraint of the model)."""
    night, _created = Reconciliation.objects.get_or_create(
        day=day or clock.today(), defaults={"started_at": clock.now()}
    )
    new = 0
    for about, rule in rules().items():
        found = dict(rule.find())
        with transaction.atomic(durable=True):
            standing = Difference.objects.filter(about=about, closed_on=None)
            standing.exclude(object_id__in=list(found)).update(closed_on=night)
            known = set(standing.values_list("object_id", flat=True))
            rows = [
                Difference(about=about, object_id=pk, detail=detail[:300], found_on=night)
                for pk, detail in found.items()
                if pk not in known
            ]
            Difference.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
            new += len(rows)
    Reconciliation.objects.filter(pk=night.pk).update(finished_at=clock.now())
    night.refresh_from_db()
    left = Difference.objects.filter(closed_on=None).count()
    (log.error if left else log.info)("reconciliation %s: differences=%s new=%s", night.day, left, new)
    return night


def repair(difference_id: int) -> None:
    """Start the repair of a difference; the next run closes it. Raises RefusedError: closed, or only a person can."""
    difference = Difference.objects.get(pk=difference_id)
    if difference.closed_on_id is not None:
        raise RefusedError(_("La differenza è già chiusa: non c'è niente da riparare."))
    rule = rules()[difference.about]
    if rule.repair is None:
        raise RefusedError(rule.advice)
    rule.repair(difference.object_id)
