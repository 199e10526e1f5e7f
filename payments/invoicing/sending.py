"""Sending files to SdI: a row first, then the road, then what became of it. Nothing goes twice by itself (R19).

Whoever moves an invoice from ready to sending, under its lock, has it: nobody else sends it. Where nobody can say
whether a file went, staff look (their mailbox, the intermediary's program) and say so; a receipt of SdI says it too.
"""

import logging
import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Exists, Max, OuterRef, Q
from django.utils.translation import gettext as _

from accounts.models import User
from payments.invoicing import states
from payments.invoicing.sdi import get_road
from payments.invoicing.sdi.base import NotSentError, PerhapsSentError, Road
from payments.models import Invoice, Transmission
from payments.timing import wait
from pecportal import clock
from pecportal.errors import RefusedError

log = logging.getLogger(__name__)
State, Outcome = Invoice.State, Transmission.Outcome
AT_MOST = timedelta(hours=1)  # between two attempts: the law counts days
UNANSWERED = timedelta(days=7)  # SdI answers within five, whatever it has to say
ABANDONED = timedelta(minutes=15)  # longer than any attempt lives: whoever made it is dead


def send_due(*, seconds: float = 200) -> int:
    """Send what is ready, the most urgent first; returns how many were tried (beat, every minute)."""
    stop_at = time.monotonic() + seconds
    give_up_abandoned()
    road = get_road()
    if road is None:
        return 0
    tried = 0
    for invoice_id in _due():
        if time.monotonic() >= stop_at:
            break
        try:
            tried += send(invoice_id, road)
        except Exception:  # one invoice that cannot be sent keeps no other waiting
            log.exception("invoice %s could not be sent; staff see what became of it", invoice_id)
    return tried


def _due() -> list[int]:
    """Ready ones, not those whose last attempt failed a moment ago: each failure waits longer."""
    failed = Q(transmissions__outcome=Outcome.FAILED)
    ready = Invoice.objects.filter(state=State.READY).annotate(
        failures=Count("transmissions", filter=failed), failed_at=Max("transmissions__ended_at", filter=failed)
    )
    now = clock.now()
    rows = ready.order_by("due_on", "id").values_list("pk", "failures", "failed_at")[:2000]
    return [
        pk for pk, failures, failed_at in rows if failed_at is None or failed_at + min(wait(failures), AT_MOST) <= now
    ]


def send(invoice_id: int, road: Road) -> bool:
    """Send one file if it is still ready; whether it was tried."""
    with transaction.atomic(durable=True):
        invoice = Invoice.objects.locked().get(pk=invoice_id)
        if invoice.state != State.READY or invoice.file_name is None or invoice.xml is None:
            return False
        attempt = Transmission.objects.create(
            invoice=invoice, file_name=invoice.file_name, road=road.name, begun_at=clock.now()
        )
        states.move(invoice, State.SENDING, why=attempt.get_road_display())
        content = bytes(invoice.xml)
    try:
        said, outcome = road.send(attempt.file_name, content), Outcome.SENT
    except NotSentError as error:
        said, outcome = str(error), Outcome.FAILED
    except PerhapsSentError as error:
        said, outcome = str(error), Outcome.UNKNOWN
    except Exception as error:  # it may have left before the error: staff decide, it is never sent twice by itself
        log.exception("attempt %s ended in an error", attempt.pk)
        said, outcome = type(error).__name__, Outcome.UNKNOWN
    _end(attempt, outcome, said=said)
    return True


TO = {Outcome.SENT: State.SENT, Outcome.FAILED: State.READY, Outcome.UNKNOWN: State.UNKNOWN}


def _end(attempt: Transmission, outcome: str, *, said: str, actor: User | None = None) -> None:
    """Write down what became of an attempt, once. A receipt may have been quicker, and said that it went."""
    with transaction.atomic(durable=True):
        invoice = Invoice.objects.locked().get(pk=attempt.invoice_id)
        still = Transmission.objects.filter(pk=attempt.pk, outcome=Outcome.UNKNOWN)
        if not still.update(outcome=outcome, detail=said[:300], ended_at=clock.now()):
            return
        states.move(invoice, TO[Outcome(outcome)], why=said, actor=actor)


def give_up_abandoned() -> None:
    """Attempts whose worker died: nobody knows what became of them."""
    old = Transmission.objects.filter(outcome=Outcome.UNKNOWN, ended_at=None, begun_at__lt=clock.now() - ABANDONED)
    for attempt in old.filter(invoice__state=State.SENDING):
        _end(attempt, Outcome.UNKNOWN, said=_("chi la inviava si è fermato a metà"))


def it_went(*, invoice_id: int, actor: User) -> None:
    """Staff looked: the file of an unknown attempt did go. Raises RefusedError."""
    _end(_unknown(invoice_id), Outcome.SENT, said=_("è partita: verificato a mano"), actor=actor)


def unanswered(now: datetime) -> Q:
    """Invoices that were sent, and of which SdI has said nothing for days: lost on the way, or their receipt was."""
    attempts, since = Transmission.objects.filter(invoice=OuterRef("pk")), now - UNANSWERED
    before, lately = Exists(attempts.filter(begun_at__lt=since)), Exists(attempts.filter(begun_at__gte=since))
    return Q(before, ~lately, state=State.SENT)


def is_unanswered(invoice: Invoice) -> bool:
    return invoice.state == State.SENT and Invoice.objects.filter(unanswered(clock.now()), pk=invoice.pk).exists()


def it_did_not_go(*, invoice_id: int, actor: User) -> None:
    """Staff looked: it did not go, and is sent again under the same name, so SdI would refuse a second one (00002).

    Of an attempt that nobody knows of, or of one that SdI has not answered for days. Raises RefusedError.
    """
    with transaction.atomic(durable=True):
        invoice = Invoice.objects.locked().get(pk=invoice_id)
        if is_unanswered(invoice):
            said = _("SdI non l'ha ricevuta: verificato a mano")
            newest = invoice.transmissions.last()
            assert newest is not None
            newest.outcome, newest.detail = Outcome.FAILED, said
            newest.save(update_fields=["outcome", "detail"])
            states.move(invoice, State.READY, why=said, actor=actor)
            return
    _end(_unknown(invoice_id), Outcome.FAILED, said=_("non è partita: verificato a mano"), actor=actor)


def _unknown(invoice_id: int) -> Transmission:
    found = Transmission.objects.filter(invoice=invoice_id, outcome=Outcome.UNKNOWN, invoice__state=State.UNKNOWN)
    attempt = found.last()
    if attempt is None:
        raise RefusedError(_("Di questo documento si sa già se è partito: ricarica la pagina."))
    return attempt
