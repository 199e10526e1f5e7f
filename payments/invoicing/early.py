"""Before money moves: would the invoice of this order be rejected? Asked where an account confirms an order.

What would be is a problem of its billing data, said on the page with the way to the field. Other roads (a mailbox
login, who pays with the order's number, automatic renewal) go on: the account is told when the invoice waits.
"""

import logging
from dataclasses import dataclass

from django.conf import settings
from django.forms import BaseForm
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.models import BillingProfile, User
from payments.invoicing import checks, configuration, issue, rows
from payments.invoicing.checks import Finding
from payments.invoicing.document import HUNDRED, Document, Kind, Line, buyer_of
from pecportal import clock
from renewals.pricing import Totals

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Problem:
    """What an account has to mend: a sentence with the name of its field, and where that is."""

    sentence: str
    url: str


def problems(owner: User, totals: Totals, *, back: str) -> list[Problem]:
    """Why no invoice of an order of `owner` could be sent today; empty: it could, or it is not made here.

    No query where the owner's billing profile is at hand. `back`: the page to come back to when the data are mended.
    """
    today = clock.today()
    if not configuration.invoiced_here(today):
        return []
    profile: BillingProfile | None = getattr(owner, "billing", None)
    if profile is None:
        return [_problem(Finding("", _("Per ordinare servono i dati a cui intestare la fattura."), ""), back)]
    try:
        seller = configuration.seller()
    except configuration.SettingsError as error:
        log.error("invoices cannot be made: %s", error)
        return []
    said = _("Ordine")
    document = Document(
        kind=Kind.INVOICE, number=rows.longest_number(today), issued_on=today, progressive=issue.PROGRESSIVE,
        seller=seller, buyer=buyer_of(profile), lines=(Line(said, totals.taxable),),
        vat_rate=totals.vat_rate * HUNDRED, taxable=totals.taxable, vat=totals.vat, reason=said,
    )  # fmt: skip
    found = checks.review(document, today=today)
    if any(f.code == checks.ABROAD for f in found):
        return [
            Problem(_("Gli ordini di chi ha sede o residenza fuori dall'Italia li prepara l'assistenza."), _support())
        ]
    theirs = [f for f in found if f.field in BillingProfile.COPIED]
    if ours := [f.code for f in found if f not in theirs]:  # never the customer's to mend: the order goes on
        log.error("invoices cannot be sent: %s; see the settings of the seller", ", ".join(ours))
    return [_problem(finding, back) for finding in theirs]


def _support() -> str:
    return settings.PROVIDER_SUPPORT_URL or f"mailto:{settings.PROVIDER_SUPPORT_EMAIL}"


def _problem(finding: Finding, back: str) -> Problem:
    url = f"{reverse('accounts:dati')}?{urlencode({'next': back})}"
    return Problem(issue.in_words(finding), f"{url}#id_{finding.field}" if finding.field else url)


def show(form: BaseForm, found: list[Problem]) -> None:
    """Say them at the top of a form, each leading to its field, and keep them for the page (`invoice_problems`)."""
    form.invoice_problems = found  # type: ignore[attr-defined]
    for problem in found:
        form.add_error(None, format_html('<a href="{}">{}</a>', problem.url, problem.sentence))
