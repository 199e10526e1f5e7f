"""The holder of a box, as its page lists it."""

from django.utils.translation import gettext as _

from mailboxes.models import Holder


def rows(holder: Holder) -> list[dict[str, str]]:
    """Terms and values for partials/summary_list.html; what is not known is left out."""
    town = " ".join(part for part in (holder.postal_code, holder.city) if part)
    if holder.province:
        town = f"{town} ({holder.province})"
    facts = [
        (_("Nome o denominazione"), holder.display_name),
        (_("Codice fiscale"), holder.codice_fiscale),
        (_("Partita IVA"), holder.partita_iva),
        (_("E-mail di contatto"), holder.contact_email),
        (_("Telefono"), holder.phone),
        (_("Indirizzo"), ", ".join(part for part in (holder.address, town) if part)),
    ]
    return [{"term": term, "value": value} for term, value in facts if value]
