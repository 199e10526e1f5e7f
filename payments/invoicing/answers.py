"""What SdI's receipts do to invoices: each is kept once, as it came; what is not understood is for staff."""

import hashlib
import logging
import time
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts.models import User
from payments.invoicing import receipts, states
from payments.invoicing.receipts import Said, UnreadableError
from payments.invoicing.sdi import folder
from payments.models import Invoice, SdiReceipt, Transmission
from pecportal import clock, mail
from pecportal.errors import RefusedError

log = logging.getLogger(__name__)
State, Kind = Invoice.State, SdiReceipt.Kind
DAYS_TO_CORRECT = timedelta(days=5)  # from the rejection (provv. 89757/2018, point 6; circ. 13/E 2018)
DUPLICATE = {"00002", "00404", "00409"}  # SdI has this name, or this document, already
TO = {
    Kind.DELIVERED: State.DELIVERED,
    Kind.UNDELIVERED: State.UNDELIVERED,
    Kind.REJECTED: State.REJECTED,
    Kind.TERMS_OVER: State.ACCEPTED,  # the body said nothing for fifteen days
    Kind.IMPOSSIBLE: State.IMPOSSIBLE,
}
BODYS = {"EC01": State.ACCEPTED, "EC02": State.REFUSED}
# Receipts may overtake each other: one that says less than is known already changes nothing.
KNOWN_BETTER = {
    State.DELIVERED: {State.DELIVERED, State.ACCEPTED, State.REFUSED},
    State.UNDELIVERED: {State.UNDELIVERED, State.DELIVERED, State.ACCEPTED, State.REFUSED, State.IMPOSSIBLE},
    State.REJECTED: {State.REJECTED, State.REPLACED},
    State.ACCEPTED: {State.ACCEPTED},
    State.REFUSED: {State.REFUSED},
    State.IMPOSSIBLE: {State.IMPOSSIBLE},
}


def take(*, name: str, content: bytes, actor: User | None = None) -> SdiReceipt:
    """Keep a receipt and do what it says; the same again changes nothing and returns the first.

    A receipt that is none of SdI's, or about no file of ours, is kept for staff (`understood` is False).
    """
    sha256 = hashlib.sha256(content).hexdigest()
    if known := SdiReceipt.objects.filter(sha256=sha256).first():
        return known
    facts: dict[str, object] = {"name": name[:120], "content": content[: receipts.MOST], "sha256": sha256}
    try:
        said = receipts.read(content)
    except UnreadableError as error:
        return _keep(None, detail=str(error), **facts)
    same = SdiReceipt.objects.filter(kind=said.kind, sdi_id=said.sdi_id, message_id=said.message_id)
    if said.message_id and (first := same.first()):
        return first
    with transaction.atomic(durable=True):
        invoice_id = _whose(said.of_file)
        invoice = Invoice.objects.locked().get(pk=invoice_id) if invoice_id else None
        receipt = _keep(
            invoice, kind=said.kind, of_file=said.of_file, sdi_id=said.sdi_id, message_id=said.message_id,
            answer=said.answer, happened_at=said.happened_at, codes=", ".join(said.codes)[:200], detail=said.detail,
            **facts,
        )  # fmt: skip
        if invoice is not None and _apply(invoice, said, actor=actor):
            receipt.understood = True
            receipt.save(update_fields=["understood"])
    return receipt


def _keep(invoice: Invoice | None, **facts: object) -> SdiReceipt:
    """Insert it, or return the one that somebody else inserted meanwhile."""
    try:
        with transaction.atomic():
            return SdiReceipt.objects.create(invoice=invoice, **facts)
    except IntegrityError:
        return SdiReceipt.objects.get(sha256=facts["sha256"])


def _whose(file_name: str) -> int | None:
    sent = Transmission.objects.filter(file_name=file_name).values_list("invoice_id", flat=True).last()
    return sent or Invoice.objects.filter(file_name=file_name).values_list("pk", flat=True).first()


def _apply(invoice: Invoice, said: Said, *, actor: User | None) -> bool:
    """Do what a receipt says of an invoice (locked); whether it is understood, or staff must look at it."""
    to = BODYS.get(said.answer) if said.kind == Kind.BODYS_ANSWER else TO.get(Kind(said.kind))
    if to is None:
        return False
    if said.of_file != invoice.file_name:  # of an earlier file: a correction has taken its place
        return said.kind == Kind.REJECTED
    if said.kind == Kind.REJECTED and set(said.codes) & DUPLICATE and _times(invoice) > 1:
        return False  # it went twice: the answer to the first counts, and this one tells staff so
    _it_went(invoice)
    if invoice.state in KNOWN_BETTER[to]:
        return True
    if to not in Invoice.MOVES[invoice.state]:
        return False
    facts: dict[str, object] = {"sdi_id": said.sdi_id, "answered_at": said.happened_at or clock.now()}
    if to == State.REJECTED:
        day = clock.rome_date(said.happened_at or clock.now())
        facts["due_on"] = day + DAYS_TO_CORRECT
    if to in (State.REJECTED, State.REFUSED):
        facts["detail"] = said.detail
    states.move(invoice, to, why=f"{said.kind} {said.answer}".strip(), actor=actor, **facts)
    if to == State.UNDELIVERED and invoice.format == Invoice.Format.PRIVATE:
        _say_where_it_is(invoice)
    return True


def _times(invoice: Invoice) -> int:
    """How often its file may have gone; files that a correction took the place of are others."""
    return invoice.transmissions.filter(file_name=invoice.file_name).count()


def _say_where_it_is(invoice: Invoice) -> None:
    """SdI reached nobody (most people have neither code nor PEC): the seller says where the original is.

    Provv. Agenzia delle Entrate 89757/2018, point 3.4. In the transaction of the move, so once.
    """
    owner = invoice.order.owner
    mail.send("invoice_issued", to=[owner.email], context={"invoice": invoice, "order": invoice.order, "box": None})


def _it_went(invoice: Invoice) -> None:
    """An answer proves that SdI has the file, whatever we thought of the attempt."""
    unsure = Transmission.objects.filter(invoice=invoice, file_name=invoice.file_name).exclude(
        outcome=Transmission.Outcome.SENT
    )
    newest = unsure.order_by("-id").first()
    if newest is not None and newest.outcome == Transmission.Outcome.UNKNOWN:
        newest.outcome, newest.detail = Transmission.Outcome.SENT, _("lo dice la ricevuta di SdI")
        newest.ended_at = newest.ended_at or clock.now()
        newest.save(update_fields=["outcome", "detail", "ended_at"])


def take_all(*, seconds: float = 200) -> int:
    """Take what lies in the folder of receipts; returns how many files were read (beat)."""
    stop_at, count = time.monotonic() + seconds, 0
    for path in folder.received():
        if time.monotonic() >= stop_at:
            break
        try:
            with path.open("rb") as opened:
                content = opened.read(receipts.MOST + 1)
            receipt = take(name=path.name, content=content)
            folder.put_away(path, where="done" if receipt.kind else "refused")
            count += 1
        except OSError as error:
            log.error("receipt %s could not be read or moved: %s", path.name, error.strerror)
        except Exception:  # one bad file must not keep the others waiting
            log.exception("receipt %s could not be taken; it stays and is tried again", path.name)
    return count


def seen(*, receipt_id: int, actor: User) -> None:
    """Staff looked at a receipt that was not understood. Raises RefusedError: somebody did already."""
    waiting = SdiReceipt.objects.filter(pk=receipt_id, seen_at=None, understood=False)
    if not waiting.update(seen_by=actor, seen_at=clock.now()):
        raise RefusedError(_("Qualcuno ha già guardato questa ricevuta."))
