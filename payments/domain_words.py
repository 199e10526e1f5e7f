"""What is said of the order of a domain where the words for a box would not be true (R17, UI.md)."""

from datetime import date

from django.utils.translation import gettext as _

from mailboxes.models import Domain
from mailboxes.rules import State
from pecportal.formats import distance
from renewals.models import Kind, Order


def is_of_domain(order: Order) -> bool:
    return order.kind == Kind.DOMAIN_RENEWAL


def domain_of(order: Order) -> Domain | None:
    """The domain of an order whose lines are at hand."""
    return next((line.domain for line in order.lines.all() if line.domain), None)


def texts(where: str) -> tuple[str, str] | None:
    """Title and sentence of a situation (payments.outcome.Situation) with its placeholders; None: as for a box."""
    found = {
        "transfer": (
            _("Ordine confermato: manca il bonifico"),
            _("Fai un bonifico di %(due)s entro %(until)s. Dominio e caselle restano come sono finché non arriva."),
        ),
        "to_pay": (
            _("Ordine in attesa di pagamento"),
            _("Mancano %(due)s. Dominio e caselle restano come sono finché non paghi."),
        ),
        "too_late": (
            _("Questo ordine non si può più pagare"),
            _("L'ultimo giorno utile era %(until)s. Non pagare adesso: il denaro non rinnoverebbe il dominio."),
        ),
        "fulfilled": (
            _("Rinnovato %(new_fino)s"),
            _("Abbiamo ricevuto %(total)s: il dominio e le sue caselle sono rinnovati."),
        ),
        "to_collect": (
            _("Rinnovato %(new_fino)s: evaso, da incassare"),
            _(
                "Il dominio e le sue caselle sono rinnovati sulla base dell'impegno di pagamento. "
                "Aspettiamo il bonifico di %(due)s."
            ),
        ),
    }
    return found.get(where)


def transfer_declared() -> tuple[str, str]:
    return _("Aspettiamo il tuo bonifico"), _(
        "Hai dichiarato il bonifico %(declared)s. Appena arriva lo registriamo e ti scriviamo. "
        "Fino ad allora dominio e caselle restano come sono."
    )


def postal(*, declared: bool) -> tuple[str, str]:
    if declared:
        return _("Aspettiamo il tuo bollettino"), _(
            "Hai dichiarato il bollettino %(declared)s. Appena arriva lo registriamo e ti scriviamo. "
            "Fino ad allora dominio e caselle restano come sono."
        )
    return _("Ordine confermato: manca il bollettino"), _(
        "Paga un bollettino postale di %(due)s entro %(until)s. Dominio e caselle restano come sono finché non arriva."
    )


def partly() -> tuple[str, str]:
    """Some of the boxes could not follow: the domain and the others are renewed all the same."""
    return _("Rinnovato %(new_fino)s, una casella da verificare"), _(
        "Abbiamo ricevuto %(total)s e il dominio è rinnovato, ma una sua casella non c'è più. Non pagare di nuovo: "
        "se ne occupa una persona e ti rispondiamo entro un giorno lavorativo."
    )


def renewed(fino: str) -> str:
    return _("Dominio e caselle sono rinnovati %(fino)s e ti scriviamo la conferma.") % {"fino": fino}


def expires(domain: Domain, today: date) -> str:
    """The domain's expiry, for who does nothing more; "" once it is past."""
    if domain.expires_on is None or domain.state(today) is not State.ACTIVE:
        return ""
    return _("Il dominio e le sue caselle scadono, %(distance)s.") % {
        "distance": distance((domain.expires_on - today).days)
    }


def save_it() -> str:
    return _("Rinnova il dominio: dopo le sue caselle saranno cancellate con tutto il contenuto.")


def kept() -> str:
    return _("Nessuna casella del dominio viene cancellata.")
