"""What the screens of a domain's renewal have in common: guards, frame, words (R4, R5, R17). As wizard.py for a box."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from mailboxes.models import Domain
from pecportal import clock
from pecportal.formats import il
from renewals import domains
from renewals.answers import DomainAnswers, load_domain
from renewals.domains import DomainQuote
from renewals.forms import check_order_email, order_email_field, years_field
from renewals.notices import Avviso
from renewals.rules import Reason
from renewals.wizard import ElsewhereError, OrderStandsError, guarded, percent

ALREADY_ORDERED = gettext_lazy(
    "Per questo dominio c'è già un ordine di rinnovo: è questo. Non ne abbiamo creati altri."
)


class YearsForm(forms.Form):
    """For how many years."""

    years = years_field()


class EmailForm(forms.Form):
    """Where the confirmation of this order goes (R12)."""

    email = order_email_field(
        gettext_lazy(
            "Qui arriva la conferma dell'ordine. Usa un'e-mail normale che leggi spesso: quella dell'account resta "
            "com'è."
        )
    )

    def clean_email(self) -> str:
        return check_order_email(str(self.cleaned_data["email"]))


def page_of(domain: Domain) -> str:
    return reverse("area:dominio", args=[domain.public_id])


def find(user: User, domain_id: UUID) -> Domain:
    domain = Domain.objects.visible_to(user).select_related("owner__billing").filter(public_id=domain_id).first()
    if domain is None:
        raise Http404
    return domain


step = guarded(find, page_of)


# --- Guards -----------------------------------------------------------------------------------------------------------


def require_offer(domain: Domain) -> None:
    """Rinnova is offered today; else the order that stands (R9), or the reason and the way out (R4)."""
    order = domains.open_order(domain)
    reason = domains.offer(domain, order, clock.today())
    if order is not None and reason in (Reason.ORDER_TO_PAY, Reason.ORDER_AT_WORK):
        raise OrderStandsError(reverse("payments:order", args=[order.number]), str(ALREADY_ORDERED))
    if reason is not Reason.RENEW:
        raise ElsewhereError(page_of(domain), not_offered(reason, domain))


def require_years(request: HttpRequest, domain: Domain) -> DomainAnswers:
    """The first screen as it was answered; else back to it."""
    answers = load_domain(request, domain)
    if not answers.years:
        raise ElsewhereError(reverse("renewals:domain_lines", args=[domain.public_id]))
    return answers


def require_email(request: HttpRequest, domain: Domain) -> DomainAnswers:
    """The first two screens as they were answered, and data to make an invoice from; else back to the one that lacks.

    That the e-mail is not hosted here the order asks again.
    """
    answers = require_years(request, domain)
    if not answers.email or getattr(domain.owner, "billing", None) is None:
        raise ElsewhereError(reverse("renewals:domain_holder", args=[domain.public_id]))
    return answers


def not_offered(reason: Reason, domain: Domain) -> str:
    """Why a domain cannot be renewed now, in a sentence (R4)."""
    sentences = {
        Reason.ACTIVATING: _("Il dominio è in attivazione: potrai rinnovarlo quando sarà attivo."),
        Reason.AWAITING_DELETION: _(
            "Il dominio è in attesa di cancellazione: l'ultimo giorno per rinnovarlo era %(day)s."
        ),
        Reason.DELETING: _("Il dominio è in cancellazione e non si può più rinnovare."),
        Reason.DELETED: _("Il dominio è cancellato e non si può rinnovare."),
    }
    return sentences[reason] % {"day": il(domain.last_renewable_day)}


# --- What the steps show ----------------------------------------------------------------------------------------------


def avvisi(domain: Domain, *, boxes: int, today: date) -> Sequence[Avviso]:
    """What must be read before going on: what an expired domain comes back to, and that no box can be left out."""
    found = []
    if domain.expires_on is not None and domain.expires_on < today:
        sentence = _(
            "Le sue caselle tornano a inviare e ricevere appena il pagamento è registrato. Il rinnovo si conta dalla "
            "vecchia scadenza, %(day)s."
        )
        found.append(Avviso(_("Il dominio è scaduto"), sentence % {"day": il(domain.expires_on)}, tone="warn"))
    if boxes:
        heading = ngettext(
            "Rinnovi anche la casella del dominio", "Rinnovi anche le %(n)s caselle del dominio", boxes
        ) % {"n": boxes}
        sentence = _(
            "Dominio e caselle hanno la stessa scadenza: non si rinnova l'uno senza le altre. Una casella che aggiungi "
            "prima di pagare prende la nuova scadenza con loro."
        )
        found.append(Avviso(heading, sentence))
    return found


def frame(domain: Domain, *, current: int, quote: DomainQuote) -> dict[str, object]:
    """Context of the steps at the top and of the summary that stays in view. `box`: what the summary dates are of."""
    steps = [
        {"label": _("Dominio e caselle"), "url": reverse("renewals:domain_lines", args=[domain.public_id])},
        {"label": _("Dati intestatario"), "url": reverse("renewals:domain_holder", args=[domain.public_id])},
        {"label": _("Pagamento e conferma"), "url": ""},
    ]
    return {
        "domain": domain,
        "box": domain,
        "steps": steps,
        "current": current,
        "step_name": steps[current - 1]["label"],
        "quote": quote,
        "vat_percent": percent(quote.totals.vat_rate),
        "expiry_said": capfirst(il(domain.expires_on)),
    }
