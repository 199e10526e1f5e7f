"""«Che cosa succede adesso»: at most three dated lines for each situation of an order (UI.md)."""

from dataclasses import dataclass
from datetime import date, timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from mailboxes.rules import State
from payments import domain_words, purchase_words
from payments.auto_renewal import charge_day
from payments.domain_words import domain_of, is_of_domain
from payments.models import AutoRenewal
from pecportal import clock
from pecportal.formats import day, distance, euro, fino, il, years
from renewals.models import Kind, Order
from renewals.references import creditor_reference, customer_code

MOST = 3


@dataclass(frozen=True)
class Next:
    """When, and what happens then."""

    when: str
    what: str
    done: bool = False  # it has happened: said once on the outcome page, not for years on the order's


def after(
    order: Order, where: str, *, expiry: date | None, auto: AutoRenewal | None, today: date, email: str
) -> list[Next]:
    """The lines of an order in a situation (payments.outcome.Situation). `email` is empty where it may not be shown."""
    writers = {
        "transfer": _transfer, "to_pay": _to_pay, "failed": _to_pay, "stopped": _to_pay, "verifying": _verifying,
        "paid": _paid, "attention": _attention, "matching": _matching, "cancelled": _closed, "lapsed": _closed,
        "too_late": _closed, "reversed": _closed, "refunded": _closed,
    }  # fmt: skip
    if where == "to_collect":
        told = _("Fai il bonifico con la causale %(reference)s.") % {"reference": creditor_reference(order)}
        return [
            *_fulfilled(order, expiry=expiry, auto=auto, today=today, email=email),
            Next(_("Alla scadenza dell'impegno"), told),
        ][:MOST]
    if where == "fulfilled":
        return _fulfilled(order, expiry=expiry, auto=auto, today=today, email=email)[:MOST]
    writer = writers.get(where)
    return writer(order, expiry, today)[:MOST] if writer else []


def _postal(order: Order, expiry: date | None, today: date) -> list[Next]:
    lines = []
    if not order.transfer_declared_on:
        told = _("Paga il bollettino con il codice cliente %(code)s.") % {"code": customer_code(order)}
        lines.append(Next(_("Entro %(day)s") % {"day": il(order.payable_until)}, told))
    days = _("In 5–7 giorni lavorativi") if order.transfer_declared_on else _("5–7 giorni lavorativi dopo")
    return [*lines, Next(days, _("Il bollettino arriva e lo registriamo.")), _renewed(order, expiry)]


def _transfer(order: Order, expiry: date | None, today: date) -> list[Next]:
    if order.method == "postal":
        return _postal(order, expiry, today)
    lines = []
    if not order.transfer_declared_on:
        lines.append(
            Next(
                _("Entro %(day)s") % {"day": il(order.payable_until)},
                _("Fai il bonifico con la causale %(reference)s.") % {"reference": creditor_reference(order)},
            )
        )
    days = _("In 1–5 giorni lavorativi") if order.transfer_declared_on else _("1–5 giorni lavorativi dopo")
    lines.append(Next(days, _("Il bonifico arriva e lo registriamo.")))
    return [*lines, _renewed(order, expiry)]


def _to_pay(order: Order, expiry: date | None, today: date) -> list[Next]:
    lines = [
        Next(
            _("Entro %(day)s") % {"day": il(order.payable_until)},
            _("Paga l'ordine. Dopo questo giorno l'ordine non vale più."),
        ),
        _renewed(order, expiry),
    ]
    return [*lines, *_box_line(order, today)]


def _verifying(order: Order, expiry: date | None, today: date) -> list[Next]:
    return [
        Next(_("Entro pochi minuti"), _("Di solito la banca risponde.")),
        _renewed(order, expiry),
        Next(_("Entro 4 giorni"), _("Se la banca non ha ancora risposto, se ne occupa una persona.")),
    ]


def _paid(order: Order, expiry: date | None, today: date) -> list[Next]:
    if order.kind == Kind.PURCHASE:
        return [Next(*purchase_words.being_activated())]
    return [_renewed(order, expiry)]


def _attention(order: Order, expiry: date | None, today: date) -> list[Next]:
    decided = Next(_("Entro un giorno lavorativo"), _("Ti scriviamo che cosa abbiamo deciso."))
    if order.kind == Kind.PURCHASE:
        return [decided]
    kept = domain_words.kept() if is_of_domain(order) else _("La casella non viene cancellata.")
    return [decided, Next(_("Fino ad allora"), kept)]


def _matching(order: Order, expiry: date | None, today: date) -> list[Next]:
    return [Next(_("Entro un giorno lavorativo"), _("Ti scriviamo che cosa abbiamo deciso.")), *_box_line(order, today)]


def _closed(order: Order, expiry: date | None, today: date) -> list[Next]:
    return _box_line(order, today)


def _renewed(order: Order, expiry: date | None) -> Next:
    if order.kind == Kind.PURCHASE:
        return Next(*purchase_words.to_come())
    if expiry is None:
        return Next(_("Appena è registrato"), _("Completiamo l'ordine e ti scriviamo."))
    if is_of_domain(order):
        return Next(_("Appena è registrato"), domain_words.renewed(fino(expiry)))
    return Next(
        _("Appena è registrato"),
        _("La casella è rinnovata %(fino)s e ti scriviamo la conferma.") % {"fino": fino(expiry)},
    )


def _box_line(order: Order, today: date) -> list[Next]:
    """What becomes of the box, or of the domain, if nothing more is done."""
    if is_of_domain(order):
        return _domain_line(order, today)
    box = next((line.box for line in order.lines.all() if line.box), None)
    if box is None or box.expires_on is None or box.delete_from is None:
        return []
    state = box.state(today)
    if state is State.ACTIVE:
        return [
            Next(
                day(box.expires_on),
                _("La casella scade, %(distance)s.") % {"distance": distance((box.expires_on - today).days)},
            )
        ]
    if state is State.EXPIRED:
        return [
            Next(
                _("Entro %(day)s") % {"day": il(box.last_renewable_day)},
                _("Rinnova la casella: dopo sarà cancellata con tutto il contenuto."),
            )
        ]
    return []


def _domain_line(order: Order, today: date) -> list[Next]:
    domain = domain_of(order)
    if domain is None:
        return []
    if sentence := domain_words.expires(domain, today):
        return [Next(day(domain.expires_on), sentence)]
    if domain.state(today) is State.EXPIRED:
        return [Next(_("Entro %(day)s") % {"day": il(domain.last_renewable_day)}, domain_words.save_it())]
    return []


def _fulfilled(order: Order, *, expiry: date | None, auto: AutoRenewal | None, today: date, email: str) -> list[Next]:
    done = clock.rome_date(order.fulfilled_at) if order.fulfilled_at else today
    told = (
        _("Ti abbiamo scritto la conferma a %(email)s.") % {"email": email}
        if email
        else _("Abbiamo inviato la conferma per e-mail.")
    )
    lines = [Next(day(done), told, done=True)]
    if order.kind == Kind.PURCHASE and expiry is not None:
        lines.append(Next(*purchase_words.first_password(), done=True))
    box = next((line.box for line in order.lines.all() if line.box), None)
    if box is not None and box.change_on is not None and box.next_plan is not None:
        lines.append(Next(day(box.change_on), _("La casella passa a %(plan)s.") % {"plan": box.next_plan}))
    dated = domain_of(order) or box
    if expiry is None or dated is None or dated.expires_on != expiry:  # moved since: another order's page tells of it
        return lines
    if auto is not None:
        on = charge_day(expiry)
        what = _("Rinnovo automatico: addebitiamo %(amount)s e rinnoviamo per %(years)s.") % {
            "amount": euro(auto.amount),
            "years": years(auto.years),
        }
    elif settings.NOTICE_DAYS and settings.NOTICE_DAYS[0] < 0:  # R27: the first notice of the new expiry
        on, what = expiry + timedelta(days=settings.NOTICE_DAYS[0]), _("Ti scriviamo che la scadenza si avvicina.")
    else:
        return lines
    return [*lines, Next(day(on), what)] if on >= today else lines
