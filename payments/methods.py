"""The ways to pay that a customer is shown: what each does to the renewal, and why one is closed."""

from dataclasses import dataclass, replace
from datetime import date, timedelta

from django.conf import settings
from django.utils.translation import gettext_lazy

from payments.providers import offered
from payments.transfer import BY_BANK, POSTAL
from pecportal.formats import dal
from renewals.models import Kind, Order, targets_of

# What the customer calls a provider, wherever its code is stored (Order.method, Payment.provider).
NAMES = {
    "sandbox": gettext_lazy("Carta di prova"),
    "stripe": gettext_lazy("Carta"),
    "paypal": gettext_lazy("PayPal"),
    "transfer": gettext_lazy("Bonifico"),
    "postal": gettext_lazy("Bollettino postale"),
}
ICONS = {"sandbox": "card", "stripe": "card", "paypal": "paypal", "transfer": "bank", "postal": "bank"}


@dataclass(frozen=True)
class Method:
    """A way to pay. `refusal`: why it cannot be chosen now; `saves`: it can switch automatic renewal on."""

    code: str
    name: str
    icon: str
    note: str
    refusal: str = ""
    saves: bool = False


def name_of(code: str) -> str:
    """The name of a method or provider on a screen."""
    return str(NAMES.get(code, code))


@dataclass(frozen=True)
class Words:
    """What the methods say of the thing that is ordered."""

    online: object
    transfer: object
    transfer_late: object
    slip: object
    slip_late: object


OF_BOX = Words(
    gettext_lazy("Registrato subito: la casella si rinnova in pochi minuti."),
    gettext_lazy("1–5 giorni lavorativi. La casella resta com'è finché non arriva."),
    gettext_lazy("La casella si cancella %(dal)s: un bonifico potrebbe arrivare tardi. Paga con un altro metodo."),
    gettext_lazy("5–7 giorni lavorativi. La casella resta com'è finché il pagamento non arriva."),
    gettext_lazy("La casella si cancella %(dal)s: un bollettino potrebbe arrivare tardi. Paga con un altro metodo."),
)
OF_DOMAIN = Words(
    gettext_lazy("Registrato subito: il dominio e le sue caselle si rinnovano in pochi minuti."),
    gettext_lazy("1–5 giorni lavorativi. Dominio e caselle restano come sono finché non arriva."),
    gettext_lazy("Il dominio si cancella %(dal)s: un bonifico potrebbe arrivare tardi. Paga con un altro metodo."),
    gettext_lazy("5–7 giorni lavorativi. Dominio e caselle restano come sono finché il pagamento non arriva."),
    gettext_lazy("Il dominio si cancella %(dal)s: un bollettino potrebbe arrivare tardi. Paga con un altro metodo."),
)
OF_PURCHASE = replace(
    OF_BOX,
    online=gettext_lazy("Registrato subito: la casella si attiva in pochi minuti."),
    transfer=gettext_lazy("1–5 giorni lavorativi. La casella si attiva appena il pagamento arriva."),
    slip=gettext_lazy("5–7 giorni lavorativi. La casella si attiva appena il pagamento arriva."),
)
OF_SPACE = replace(OF_BOX, online=gettext_lazy("Registrato subito: lo spazio è attivo in pochi minuti."))
WORDS = {Kind.DOMAIN_RENEWAL: OF_DOMAIN, Kind.PURCHASE: OF_PURCHASE, Kind.SPACE: OF_SPACE}


def methods(*, delete_from: date | None, today: date, kind: str = Kind.RENEWAL) -> list[Method]:
    """What this installation offers, in its order, for something that is deleted from `delete_from` (R29)."""
    found: list[Method] = []
    words = WORDS.get(Kind(kind), OF_BOX)
    for code in offered():
        found.append(_by_bank(code, delete_from, today, words) if code in BY_BANK else _online(code, words))
    if settings.POSTAL_ACCOUNT:
        found.append(_by_bank(POSTAL, delete_from, today, words))
    return found


def methods_of(order: Order, *, today: date) -> list[Method]:
    """The same for an order: the first of its boxes and domains to be deleted counts."""
    targets = targets_of(order.lines.all())
    days = [target.delete_from for target in targets if target.delete_from]
    return methods(delete_from=min(days, default=None), today=today, kind=order.kind)


def refusal_of(order: Order, code: str, *, today: date) -> str:
    """Why this way to pay cannot be chosen now for an order, in a sentence, or "" when it can (R29)."""
    return next((m.refusal for m in methods_of(order, today=today) if m.code == code), "")


def transfer_closes_on(delete_from: date) -> date:
    """The first day on which transfer and slip are not offered: it could arrive after the deletion (R29)."""
    return delete_from - timedelta(days=settings.TRANSFER_BLACKOUT_DAYS)


def switches_on(order: Order) -> bool:
    """Whether paying this order by card while signed in may switch automatic renewal on (R23)."""
    return order.kind in (Kind.RENEWAL, Kind.PURCHASE)


def _online(code: str, words: Words) -> Method:
    return Method(code, name_of(code), ICONS.get(code, "card"), str(words.online), saves=True)


def _by_bank(code: str, delete_from: date | None, today: date, words: Words) -> Method:
    """Transfer and postal slip: the money takes days, and could arrive after the deletion."""
    postal = code == POSTAL
    note, late = (words.slip, words.slip_late) if postal else (words.transfer, words.transfer_late)
    refusal = ""
    if delete_from is not None and today >= transfer_closes_on(delete_from):
        refusal = str(late) % {"dal": dal(delete_from)}
    return Method(code, name_of(code), ICONS[code], str(note), refusal)
