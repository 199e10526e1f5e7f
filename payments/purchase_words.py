"""What the pages of an order say of a purchase, where a renewal would speak of a box that is there already (R30)."""

from datetime import date

from django.utils.translation import gettext as _

from payments.transfer import POSTAL
from renewals.models import Order


def panel_texts(order: Order, where: str, *, expiry: date | None) -> tuple[str, str] | None:
    """Title and sentence for a situation (payments.outcome.Situation), or None where the usual ones are true.

    They take the numbers of payments.outcome: due, until, total, new_fino, declared.
    """
    if where == "transfer":
        return _by_bank(order)
    if where == "fulfilled":
        return _active() if expiry is not None else None
    found = {
        "to_pay": (_("Ordine in attesa di pagamento"), _("Mancano %(due)s. La casella si attiva appena paghi.")),
        "too_late": (
            _("Questo ordine non si può più pagare"),
            _("L'ultimo giorno utile era %(until)s. Non pagare adesso: il denaro non attiverebbe la casella."),
        ),
        "paid": (
            _("In attivazione"),
            _("Abbiamo ricevuto %(total)s e stiamo attivando la casella: di solito bastano pochi minuti."),
        ),
        "reversed": (_("Ordine stornato"), _("Quello che questo ordine aveva dato alla casella è stato tolto.")),
    }
    return found.get(where)


def _active() -> tuple[str, str]:
    return _("Attiva %(new_fino)s"), _("Abbiamo ricevuto %(total)s e la casella è attiva, vuota e senza password.")


def _by_bank(order: Order) -> tuple[str, str]:
    slip, declared = order.method == POSTAL, order.transfer_declared_on is not None
    if declared:
        sentence = _("Ce lo hai detto %(declared)s. Appena arriva attiviamo la casella e ti scriviamo.")
        return (_("Aspettiamo il tuo bollettino") if slip else _("Aspettiamo il tuo bonifico")), sentence
    if slip:
        return _("Ordine confermato: manca il bollettino"), _(
            "Paga un bollettino postale di %(due)s entro %(until)s. La casella si attiva appena arriva."
        )
    return _("Ordine confermato: manca il bonifico"), _(
        "Fai un bonifico di %(due)s entro %(until)s. La casella si attiva appena arriva."
    )


def to_come() -> tuple[str, str]:
    """When, and what happens then: of a purchase that is not fulfilled yet."""
    return _("Appena è registrato"), _("Attiviamo la casella e ti scriviamo come impostare la password.")


def being_activated() -> tuple[str, str]:
    return _("In pochi minuti"), _("La casella è attiva e ti scriviamo come impostare la password.")


def first_password() -> tuple[str, str]:
    return _("Per usarla"), _(
        "Imposta la password: nella pagina di accesso scegli la scheda Casella, poi «Non ricordo la password»."
    )
