"""Where an order stands, in words: what happened, what is still missing, what happens next (UI.md, outcome)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from django.conf import settings
from django.utils.html import format_html
from django.utils.translation import gettext as _

from accounts.models import User
from payments import cases, domain_words, next_lines, purchase_words, withdrawal
from payments.domain_words import is_of_domain
from payments.models import AutoRenewal, Payment
from payments.next_lines import Next
from payments.recording import missing
from payments.screens import Row, expiry_of, main_line, shows_email
from payments.transfer import BY_BANK, POSTAL
from pecportal.formats import day, euro, fino, il, money
from renewals import settle
from renewals.models import Kind, Order
from renewals.references import creditor_reference


class Situation(StrEnum):
    """One for each thing that the outcome page can say."""

    TRANSFER = "transfer"
    TO_PAY = "to_pay"
    VERIFYING = "verifying"
    MATCHING = "matching"
    FAILED = "failed"
    STOPPED = "stopped"
    TOO_LATE = "too_late"
    PAID = "paid"
    FULFILLED = "fulfilled"
    TO_COLLECT = "to_collect"  # fulfilled on a public body's commitment, the money to come (R26c)
    ATTENTION = "attention"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"
    REFUNDED = "refunded"
    REVERSED = "reversed"


TONES = {
    Situation.FULFILLED: "ok",
    Situation.PAID: "ok",
    Situation.TO_COLLECT: "ok",
    Situation.REFUNDED: "ok",
    Situation.FAILED: "danger",
    Situation.TOO_LATE: "danger",
    # nothing is awaited any more
    Situation.CANCELLED: "info",
    Situation.LAPSED: "info",
    Situation.REVERSED: "info",
}
CHANGING = (Situation.VERIFYING, Situation.PAID)  # pages that look again by themselves


@dataclass(frozen=True)
class Panel:
    """What templates/payments/outcome.html shows. `missing` in EUR, what the order still lacks."""

    situation: Situation
    title: str
    sentence: str
    missing: Decimal
    payable: bool
    facts: list[Row] = field(default_factory=list)
    next: list[Next] = field(default_factory=list)
    money_notice: str = ""
    in_doubt: bool = False  # an attempt is in an unknown state: neither pay nor cancel (R12b, R19)

    @property
    def tone(self) -> str:
        return TONES.get(self.situation, "wait")

    @property
    def may_pay(self) -> bool:
        """Paga and Annulla beside the panel: not while money is being verified, nor while some waits to be matched."""
        return self.situation in (Situation.TO_PAY, Situation.FAILED, Situation.STOPPED)

    @property
    def asks_for_transfer(self) -> bool:
        """The instructions inline: not after the last day, when a transfer that leaves now would come in vain."""
        return self.situation is Situation.TRANSFER and self.payable

    @property
    def is_changing(self) -> bool:
        return self.situation in CHANGING


def situation(order: Order, *, attempts: Iterable[Payment], payable: bool, held: bool) -> Situation:
    """Where an order stands; for one that awaits payment its live or last attempt says it."""
    if order.awaits_collection:
        return Situation.TO_COLLECT
    if not order.is_awaiting_payment:
        return Situation(order.status)
    tried = list(attempts)
    if any(attempt.is_live for attempt in tried):
        return Situation.VERIFYING
    if held:
        return Situation.MATCHING
    if order.method in BY_BANK and (payable or order.transfer_declared_on):
        return Situation.TRANSFER
    if not payable:
        return Situation.TOO_LATE
    last = tried[-1].status if tried else ""
    return {Payment.Status.FAILED: Situation.FAILED, Payment.Status.CANCELLED: Situation.STOPPED}.get(
        last,
        Situation.TO_PAY,  # type: ignore[call-overload]
    )


def panel(order: Order, *, user: User, auto: AutoRenewal | None, today: date) -> Panel:
    """The panel of an order loaded by payments.screens.order_or_404. `auto`: the automatic renewal it switched on."""
    attempts = list(order.payments.all())
    payable = settle.is_payable(order, today)
    waits = order.is_awaiting_payment or order.awaits_collection
    due, held = missing(order) if waits else Decimal(0), _held(order)
    where = situation(order, attempts=attempts, payable=payable, held=bool(held))
    expiry = expiry_of(order)
    title, sentence = _words(order, where, expiry=expiry, due=due, held=held, last=attempts[-1] if attempts else None)
    if where in (Situation.REVERSED, Situation.REFUNDED):
        title, sentence = withdrawal.told(order) or (title, sentence)
    return Panel(
        situation=where,
        title=title,
        sentence=sentence,
        missing=due,
        payable=payable,
        facts=_facts(order, where, expiry=expiry, due=due),
        next=next_lines.after(
            order, where, expiry=expiry, auto=auto, today=today, email=order.email if shows_email(order, user) else ""
        ),
        money_notice="" if where is Situation.MATCHING else _money_notice(order, due=due, held=held),
        in_doubt=any(attempt.status == Payment.Status.UNKNOWN for attempt in attempts),
    )


def _words(
    order: Order, where: Situation, *, expiry: date | None, due: Decimal, held: str, last: Payment | None
) -> tuple[str, str]:
    numbers = {
        "due": euro(due), "held": held, "total": euro(order.amount_due), "until": il(order.payable_until),
        "fino": fino(order.payable_until), "new_fino": fino(expiry),
        "reason": last.reason.rstrip(".") if last else "", "declared": il(order.transfer_declared_on),
    }  # fmt: skip
    title, sentence = _texts(order, where, expiry=expiry, reason=numbers["reason"])
    return title % numbers, sentence % numbers


def _texts(order: Order, where: Situation, *, expiry: date | None, reason: str) -> tuple[str, str]:
    if is_of_domain(order) and (found := _of_domain(order, where, expiry=expiry)):
        return found
    if order.kind == Kind.PURCHASE and (told := purchase_words.panel_texts(order, where, expiry=expiry)):
        return told
    if where is Situation.TRANSFER and order.method == POSTAL:
        return _postal_texts(declared=order.transfer_declared_on is not None)
    if where is Situation.TRANSFER and order.transfer_declared_on:
        return _("Aspettiamo il tuo bonifico"), _(
            "Hai dichiarato il bonifico %(declared)s. Appena arriva lo registriamo e ti scriviamo. "
            "Fino ad allora la casella resta com'è."
        )
    if where is Situation.FULFILLED and (order.kind != Kind.RENEWAL or expiry is None):
        return _("Ordine completato"), _("Abbiamo ricevuto %(total)s e abbiamo attivato quello che hai ordinato.")
    if where is Situation.REVERSED and order.kind != Kind.RENEWAL:
        return order.state_in_words, _("Quello che questo ordine aveva dato alla casella è stato tolto.")
    if where is Situation.TO_COLLECT and expiry is None:
        return _("Ordine completato, da pagare"), _(
            "Abbiamo attivato quello che hai ordinato sulla base dell'impegno di pagamento. Aspettiamo %(due)s."
        )
    if where is Situation.FAILED and reason:
        return _("Pagamento non riuscito"), _(
            "La banca ha risposto: %(reason)s. Non ti è stato addebitato nulla. Riprova, o scegli un altro metodo."
        )
    return _plain_texts()[where]


def _of_domain(order: Order, where: Situation, *, expiry: date | None) -> tuple[str, str] | None:
    """The words of a domain's order where those of a box would not be true (R17)."""
    declared = order.transfer_declared_on is not None
    if where is Situation.TRANSFER and order.method == POSTAL:
        return domain_words.postal(declared=declared)
    if where is Situation.TRANSFER and declared:
        return domain_words.transfer_declared()
    if where is Situation.ATTENTION and expiry is not None and any(line.period for line in order.lines.all()):
        return domain_words.partly()
    if where in (Situation.FULFILLED, Situation.TO_COLLECT) and expiry is None:
        return None
    return domain_words.texts(where)


def _postal_texts(*, declared: bool) -> tuple[str, str]:
    if declared:
        return _("Aspettiamo il tuo bollettino"), _(
            "Hai dichiarato il bollettino %(declared)s. Appena arriva lo registriamo e ti scriviamo. "
            "Fino ad allora la casella resta com'è."
        )
    return _("Ordine confermato: manca il bollettino"), _(
        "Paga un bollettino postale di %(due)s entro %(until)s. La casella resta com'è finché non arriva."
    )


def _plain_texts() -> dict[Situation, tuple[str, str]]:
    return {
        Situation.TRANSFER: (
            _("Ordine confermato: manca il bonifico"),
            _("Fai un bonifico di %(due)s entro %(until)s. La casella resta com'è finché non arriva."),
        ),
        Situation.TO_PAY: (
            _("Ordine in attesa di pagamento"),
            _("Mancano %(due)s. La casella resta com'è finché non paghi."),
        ),
        Situation.VERIFYING: (
            _("Pagamento in verifica"),
            _("Stiamo verificando il pagamento con la banca. Non pagare di nuovo: ti scriviamo appena è certo."),
        ),
        Situation.MATCHING: (
            _("Pagamento da abbinare"),
            _(
                "Abbiamo ricevuto %(held)s che non riusciamo ad abbinare: ti rispondiamo entro un giorno lavorativo. "
                "Non pagare di nuovo."
            ),
        ),
        Situation.FAILED: (
            _("Pagamento non riuscito"),
            _(
                "La banca non ha accettato il pagamento. Non ti è stato addebitato nulla. "
                "Riprova, o scegli un altro metodo."
            ),
        ),
        Situation.STOPPED: (
            _("Pagamento interrotto"),
            _("Non ti è stato addebitato nulla. L'ordine aspetta ancora %(due)s: puoi pagarlo %(fino)s."),
        ),
        Situation.TOO_LATE: (
            _("Questo ordine non si può più pagare"),
            _("L'ultimo giorno utile era %(until)s. Non pagare adesso: il denaro non rinnoverebbe la casella."),
        ),
        Situation.PAID: (
            _("Pagamento registrato"),
            _("Abbiamo ricevuto %(total)s. Stiamo completando l'ordine: di solito bastano pochi minuti."),
        ),
        Situation.FULFILLED: (
            _("Rinnovata %(new_fino)s"),
            _("Abbiamo ricevuto %(total)s e la casella è rinnovata."),
        ),
        Situation.TO_COLLECT: (
            _("Rinnovata %(new_fino)s, da pagare"),
            _("La casella è rinnovata sulla base dell'impegno di pagamento. Aspettiamo il bonifico di %(due)s."),
        ),
        Situation.ATTENTION: (
            _("Ordine da verificare"),
            _(
                "Abbiamo ricevuto %(total)s, ma l'ordine non si è completato da solo. Non pagare di nuovo: "
                "se ne occupa una persona e ti rispondiamo entro un giorno lavorativo."
            ),
        ),
        Situation.CANCELLED: (_("Ordine annullato"), _("Non devi pagare nulla per questo ordine.")),
        Situation.LAPSED: (
            _("Ordine non pagato in tempo"),
            _("Il pagamento non è arrivato in tempo. Non pagare questo ordine: se ti serve, fanne uno nuovo."),
        ),
        Situation.REFUNDED: (_("Ordine rimborsato"), _("Ti abbiamo restituito quanto avevi pagato per questo ordine.")),
        Situation.REVERSED: (
            _("Rinnovo tolto"),
            _("Il rinnovo di questo ordine è stato tolto e la scadenza è tornata indietro."),
        ),
    }


def _facts(order: Order, where: Situation, *, expiry: date | None, due: Decimal) -> list[Row]:
    facts = [Row(_("Numero d'ordine"), order.number)]
    if (line := main_line(order)) is not None:
        term = _("Dominio") if line.domain_id else _("Casella")
        facts.append(Row(term, format_html('<span class="address">{}</span>', line.target)))
    if is_of_domain(order):
        facts.append(Row(_("Caselle"), str(len(order.lines.all()) - 1)))
    if where in (Situation.VERIFYING, Situation.MATCHING):
        facts.append(Row(_("Importo dell'ordine"), euro(due)))  # not «da pagare»: they are asked not to
    elif order.is_awaiting_payment and where is not Situation.TOO_LATE:
        facts.append(Row(_("Da pagare"), euro(due)))
    if order.is_awaiting_payment and where not in (Situation.TOO_LATE, Situation.VERIFYING, Situation.MATCHING):
        facts.append(Row(_("Pagabile fino al"), day(order.payable_until)))
    if where is Situation.TO_COLLECT:
        facts += [
            Row(_("Da pagare"), euro(due)),
            Row(_("IBAN"), settings.BANK_IBAN),
            Row(_("Causale"), creditor_reference(order)),
        ]
    if expiry is not None and where in (Situation.FULFILLED, Situation.TO_COLLECT):
        facts.append(Row(_("Scadenza") if order.kind == Kind.PURCHASE else _("Nuova scadenza"), day(expiry)))
    return facts


def _held(order: Order) -> str:
    """Money of this order that staff must still decide about, each currency by itself; "" where there is none (R21)."""
    sums: dict[str, Decimal] = {}
    for currency, amount in cases.held().filter(order=order).order_by("currency").values_list("currency", "amount"):
        sums[currency] = sums.get(currency, Decimal(0)) + (amount or 0)
    return " + ".join(money(amount, currency) for currency, amount in sums.items())


def _money_notice(order: Order, *, due: Decimal, held: str) -> str:
    """What is said of money that waits for a decision, or of a part that arrived (R21, R21b)."""
    if held:
        return _(
            "Abbiamo ricevuto %(amount)s che non riusciamo ad abbinare: ti rispondiamo entro un giorno lavorativo."
        ) % {"amount": held}
    arrived = order.amount_due - due
    if (order.is_awaiting_payment or order.awaits_collection) and arrived > 0:
        return _("Abbiamo ricevuto %(arrived)s: mancano ancora %(due)s.") % {"arrived": euro(arrived), "due": euro(due)}
    return ""
