"""What the wizard says: why a box cannot be renewed now, what to do about a choice that does not hold (R4, R7, R31)."""

from decimal import ROUND_UP, Decimal

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from mailboxes.models import Mailbox, Plan
from mailboxes.platform.base import Usage
from pecportal.formats import GB, gigabytes, il
from renewals.again import Again
from renewals.rules import Code, Problem, Reason

NO_PRICE = gettext_lazy(
    "Il listino è in aggiornamento e ora non possiamo calcolare il prezzo. Non abbiamo ordinato niente: riprova "
    "fra un'ora."
)
ALREADY_ORDERED = gettext_lazy(
    "Per questa casella c'è già un ordine di rinnovo: è questo. Non ne abbiamo creati altri."
)


def order_state(*, status: str, kind: str, to_collect: bool) -> str:
    """Where an order stands, as a customer says it; the names of Order.Status are the staff's."""
    if status == "fulfilled":
        done = {
            "space": _("Spazio attivato"),
            "purchase": _("Acquisto completato"),
        }.get(kind, _("Rinnovo completato"))
        return _("%(done)s, da pagare") % {"done": done} if to_collect else done
    if status == "reversed":
        return {"space": _("Spazio tolto"), "purchase": _("Acquisto annullato")}.get(kind, _("Rinnovo tolto"))
    return {
        "awaiting_payment": _("In attesa di pagamento"),
        "paid": _("Pagato, lo stiamo completando"),
        "attention": _("Pagato, lo sta guardando una persona"),
        "cancelled": _("Annullato"),
        "lapsed": _("Non pagato in tempo"),
        "refunded": _("Rimborsato"),
    }[status]


def not_offered(reason: Reason, box: Mailbox, number: str = "") -> str:
    """Why Rinnova is not offered, and the way out (R4)."""
    if box.domain_id is not None and reason in (Reason.DELETING, Reason.DELETED):
        return not_again(Again.ON_DOMAIN)
    sentences = {
        Reason.ORDER_TO_PAY: _("C'è già un ordine di rinnovo (%(number)s) in attesa di pagamento: pagalo o annullalo."),
        Reason.ORDER_AT_WORK: _("C'è già un ordine di rinnovo (%(number)s) in lavorazione: non serve farne un altro."),
        Reason.AUTO_RENEWAL: _("Il rinnovo automatico è attivo: per rinnovare a mano, prima disattivalo."),
        Reason.ON_DOMAIN: _("Questa casella si rinnova con il suo dominio e ne segue la scadenza."),
        Reason.ACTIVATING: _("La casella è in attivazione: potrai rinnovarla quando sarà attiva."),
        Reason.AWAITING_DELETION: _(
            "La casella è in attesa di cancellazione: l'ultimo giorno per rinnovarla era %(day)s."
        ),
        Reason.DELETING: _("La casella è in cancellazione. Potrai acquistarla di nuovo quando sarà cancellata."),
        Reason.DELETED: _("La casella è cancellata e non si può rinnovare. Puoi acquistarla di nuovo."),
    }
    return sentences[reason] % {"number": number, "day": il(box.last_renewable_day)}


ALREADY_BOUGHT = gettext_lazy(
    "Per questo indirizzo c'è già un ordine di acquisto: è questo. Non ne abbiamo creati altri."
)

EMPTY_HEADING = gettext_lazy("La casella sarà vuota")
EMPTY_SENTENCE = gettext_lazy(
    "Torna tuo l'indirizzo, non quello che c'era dentro: i messaggi, l'archivio e la password di prima non si "
    "recuperano. La attiviamo appena il pagamento è registrato e ti scriviamo come impostare la password."
)


def not_again(reason: Again) -> str:
    """Why an address cannot be bought again, in words that tell nothing of who had it (R30)."""
    sentences = {
        Again.NOT_DELETED: _("La casella non è cancellata: non c'è niente da acquistare di nuovo."),
        Again.ALIVE: _("Questo indirizzo è già stato acquistato di nuovo."),
        Again.ON_DOMAIN: _("Le caselle su dominio si aprono con il dominio: per riaverla scrivi all'assistenza."),
        Again.OTHER_HOLDER: _(
            "Solo il titolare di allora può acquistare di nuovo questo indirizzo, e fra i titolari del tuo account non "
            "c'è il suo codice fiscale. Se è un errore, scrivi all'assistenza."
        ),
        Again.ORDER_TO_PAY: _("C'è già un ordine di acquisto in attesa di pagamento: pagalo o annullalo."),
        Again.ORDER_AT_WORK: _("C'è già un ordine di acquisto in lavorazione: non serve farne un altro."),
        Again.ORDERED_ELSEWHERE: _("Lo stesso titolare ha già un ordine di acquisto per questo indirizzo."),
    }
    return sentences[reason]


def space(mailbox_gb: int, archive_gb: int) -> str:
    """2 GB di casella e 3 GB di archivio."""
    if archive_gb:
        return _("%(mailbox)s GB di casella e %(archive)s GB di archivio") % {
            "mailbox": mailbox_gb,
            "archive": archive_gb,
        }
    return _("%(mailbox)s GB di casella") % {"mailbox": mailbox_gb}


def difference(box: Mailbox, plan: Plan, mailbox_gb: int, archive_gb: int) -> str:
    """What changes against today: "+1 GB di casella, archivio di 3 GB"; "Come oggi: …" when nothing does."""
    found = []
    if mailbox_gb != box.mailbox_gb:
        found.append(_("%(n)s GB di casella") % {"n": _signed(mailbox_gb - box.mailbox_gb)})
    if archive_gb and not box.archive_gb:
        found.append(_("archivio di %(n)s GB") % {"n": archive_gb})
    elif box.archive_gb and not archive_gb:
        found.append(_("senza archivio"))
    elif archive_gb != box.archive_gb:
        found.append(_("%(n)s GB di archivio") % {"n": _signed(archive_gb - box.archive_gb)})
    if found:
        return _("Rispetto a oggi: %(changes)s") % {"changes": ", ".join(found)}
    if plan.pk == box.plan_id:
        return _("Come oggi: %(space)s") % {"space": space(mailbox_gb, archive_gb)}
    return _("Lo stesso spazio di oggi")


def _signed(number: int) -> str:
    return f"+{number}" if number > 0 else f"−{-number}"


def at_least(size: int) -> str:
    """Bytes to delete as GB, rounded up: who deletes what it says has deleted enough."""
    return formats.number_format((Decimal(size) / GB).quantize(Decimal("0.01"), rounding=ROUND_UP), decimal_pos=2)


def problem(found: Problem, plan: Plan, used: Usage, *, asked_mailbox_gb: int = 0, asked_archive_gb: int = 0) -> str:
    """The sentence of a problem: what to do, with its numbers."""
    numbers = found.numbers
    match found.code:
        case Code.PLAN_NOT_SELECTABLE:
            return _("Questa tipologia non si può più scegliere: scegline una di quelle elencate.")
        case Code.MAILBOX_GB_OUTSIDE:
            return extra_gb(numbers["most"] - numbers["least"])
        case Code.ARCHIVE_GB_OUTSIDE:
            return extra_gb(numbers["most"] - numbers["least"])
        case Code.ARCHIVE_NOT_IN_PLAN:
            return _("%(plan)s non ha archivio: togli i GB di archivio, o scegli una tipologia che lo ha.") % {
                "plan": plan
            }
        case Code.NEEDS_MORE_MAILBOX:
            return _needs_more_mailbox(numbers["needed"], asked_mailbox_gb, plan, used)
        case Code.NEEDS_MORE_ARCHIVE:
            return _needs_more_archive(numbers["needed"], asked_archive_gb, plan, used)
        case Code.TOO_FULL:
            return too_full(plan, numbers["mailbox"], numbers["archive"])
        case Code.ARCHIVE_LOSS_NOT_ACCEPTED:
            return _("Conferma con la spunta che l'archivio sarà cancellato, oppure scegli una tipologia con archivio.")
        case Code.SPACE_ORDER_OPEN:
            return SPACE_ORDER % {"plan": plan}
    raise ValueError(found.code)


SPACE_ORDER = gettext_lazy(
    "C'è un ordine di spazio aggiuntivo ancora aperto: pagalo o annullalo, poi potrai passare a %(plan)s con meno "
    "spazio."
)


def no_price_of_plan() -> str:
    return _("Il prezzo è in aggiornamento: riprova fra un'ora, o scegli un'altra tipologia.")


def extra_gb(most: int) -> str:
    """For anything typed as GB that is not a number one may ask for."""
    return _("Scrivi quanti GB in più vuoi con un numero intero da 0 a %(most)s.") % {"most": most}


def _needs_more_mailbox(needed: int, asked: int, plan: Plan, used: Usage) -> str:
    numbers = {
        "used": gigabytes(used.mailbox_bytes), "plan": plan, "asked": asked, "extra": needed - plan.base_mailbox_gb,
        "free": at_least(used.mailbox_bytes - asked * GB),
    }  # fmt: skip
    return (
        _(
            "Nella casella ci sono %(used)s GB di messaggi e con questa scelta ne avresti %(asked)s: scrivi %(extra)s "
            "GB in più, oppure elimina almeno %(free)s GB di messaggi."
        )
        % numbers
    )


def _needs_more_archive(needed: int, asked: int, plan: Plan, used: Usage) -> str:
    numbers = {
        "used": gigabytes(used.archive_bytes), "plan": plan, "asked": asked, "extra": needed - plan.base_archive_gb,
        "free": at_least(used.archive_bytes - asked * GB),
    }  # fmt: skip
    return (
        _(
            "Nell'archivio ci sono %(used)s GB di messaggi e con questa scelta ne avresti %(asked)s: scrivi %(extra)s "
            "GB in più, oppure elimina almeno %(free)s GB di messaggi."
        )
        % numbers
    )


def too_full(plan: Plan, mailbox_bytes: int, archive_bytes: int) -> str:
    """What is to be deleted before this plan is possible."""
    parts = []
    if mailbox_bytes:
        parts.append(
            _("%(plan)s arriva a %(most)s GB di casella: elimina almeno %(free)s GB di messaggi")
            % {"plan": plan, "most": plan.max_mailbox_gb, "free": at_least(mailbox_bytes)}
        )
    if archive_bytes:
        parts.append(
            _("%(plan)s arriva a %(most)s GB di archivio: elimina dall'archivio almeno %(free)s GB di messaggi")
            % {"plan": plan, "most": plan.max_archive_gb, "free": at_least(archive_bytes)}
        )
    return _("%(what)s, poi torna qui.") % {"what": "; ".join(parts)}


def years_chosen(years: int) -> str:
    """The years were changed after the total on the page was made, as without JavaScript."""
    return ngettext(
        "Hai scelto %(n)s anno: il totale qui sotto ora è questo. Controllalo e conferma.",
        "Hai scelto %(n)s anni: il totale qui sotto ora è per %(n)s anni. Controllalo e conferma.",
        years,
    ) % {"n": years}
