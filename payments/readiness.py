"""Whether the next automatic charge of a box can go well, and what to do where not (R24): pure, no query, no clock."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from django.utils.translation import gettext as _

from pecportal.formats import euro, fino, il


class Code(StrEnum):
    """What stands against the charge, or is under way."""

    NO_METHOD = "no_method"
    CONSENT = "consent"
    RETRY = "retry"
    ORDER_OPEN = "order_open"
    CARD_EXPIRES = "card_expires"
    NO_SPACE = "no_space"
    FAILED = "failed"


@dataclass(frozen=True)
class Facts:
    """What is known of a box that renews by itself. `charge_on`: the day of the charge, None where none comes.

    `status` is ScheduledCharge's, "" before the notice; `why` its reason. Card expiry as month and year, None for a
    method without one. `lacks_space`: what is used does not fit the next period.
    """

    has_method: bool
    charge_on: date | None
    expires_on: date
    card_month: int | None = None
    card_year: int | None = None
    status: str = ""
    retry_on: date | None = None
    amount: Decimal | None = None
    agreed: Decimal | None = None
    why: str = ""
    order_open: bool = False
    lacks_space: bool = False


@dataclass(frozen=True)
class Finding:
    """A code and its sentence: what happened, and what to do."""

    code: Code
    sentence: str


def findings(facts: Facts) -> list[Finding]:
    """Most serious first; empty when the charge can go well."""
    if not facts.has_method:
        return [Finding(Code.NO_METHOD, _("Non c'è più un metodo di pagamento: aggiungine uno, o rinnova tu."))]
    if facts.status == "consent":
        return [Finding(Code.CONSENT, _consent(facts))]
    if facts.status == "failed":
        return [Finding(Code.FAILED, _failed(facts))]
    if facts.status == "trying":
        return [Finding(Code.RETRY, _retry(facts))]
    if facts.order_open:
        return [Finding(Code.ORDER_OPEN, _("C'è un ordine di rinnovo aperto: pagalo o annullalo."))]
    found = []
    if facts.lacks_space and facts.charge_on:
        sentence = _(
            "Lo spazio del prossimo periodo non basta a quello che contiene la casella: elimina messaggi prima "
            "dell'addebito, o non verrà rinnovata da sola."
        )
        found.append(Finding(Code.NO_SPACE, sentence))
    if facts.charge_on and _expires_before(facts):
        sentence = _("La carta scade prima dell'addebito: sostituiscila entro %(day)s.") % {"day": il(facts.charge_on)}
        found.append(Finding(Code.CARD_EXPIRES, sentence))
    return found


def _expires_before(facts: Facts) -> bool:
    assert facts.charge_on is not None
    if facts.card_year is None:
        return False
    return (facts.card_year, facts.card_month or 12) < (facts.charge_on.year, facts.charge_on.month)


def _consent(facts: Facts) -> str:
    return _("L'importo è cambiato: da %(old)s a %(new)s. Non addebitiamo nulla finché non lo accetti.") % {
        "old": euro(facts.agreed), "new": euro(facts.amount),
    }  # fmt: skip


def _retry(facts: Facts) -> str:
    if facts.retry_on is None:
        return _("Stiamo verificando l'addebito con la banca. Non pagare di nuovo: ti scriviamo appena è certo.")
    return _("L'addebito non è riuscito: riproviamo %(day)s. Se preferisci, paga adesso l'ordine.") % {
        "day": il(facts.retry_on)
    }


def _failed(facts: Facts) -> str:
    if facts.order_open:
        return _(
            "L'addebito automatico non è riuscito: paga l'ordine, o annullalo. La casella resta attiva %(fino)s."
        ) % {"fino": fino(facts.expires_on)}
    return _("L'addebito automatico non è riuscito (%(why)s): rinnova tu la casella.") % {
        "why": facts.why.rstrip(".") or _("la banca non ha risposto")
    }
