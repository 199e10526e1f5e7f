"""System checks of the settings of e-invoices: a wrong one stops the start where invoices are made here."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from payments.invoicing import configuration, signing
from payments.invoicing.sdi import mail


@register(Tags.security)
def invoices_can_be_made(app_configs: object, **kwargs: Any) -> list[CheckMessage]:
    """Nothing is looked at with INVOICES_FROM=never; production has to say one or the other."""
    if settings.PRODUCTION and not settings.INVOICES_DECIDED:
        return [
            Error(
                "INVOICES_FROM is not set: money would come in that nobody invoices, or that two systems invoice.",
                hint="Set it to the day from which money is invoiced from here, or to never if another system does it.",
                id="pecportal.E040",
            )
        ]
    return list(_errors()) if settings.INVOICES_FROM is not None else []


def _errors() -> Iterator[Error]:
    if settings.PRODUCTION:  # a document is written and checked: half a second that development is spared
        for what in _wrong_seller():
            yield Error(
                f"{what}: SdI would reject every invoice.",
                hint="Set SELLER_… to the provider's data as the tax office has them; README.md explains each.",
                id="pecportal.E041",
            )
    if not configuration.SERIES.fullmatch(settings.INVOICE_SERIES):
        yield Error(
            f"INVOICE_SERIES is {settings.INVOICE_SERIES!r}: numbers could not be told from those of other programs.",
            hint="Set it to one to six capitals and digits, a letter first, that no other program of yours uses.",
            id="pecportal.E042",
        )
    if lacks := _no_road():
        yield Error(
            f"{lacks}: no invoice would reach SdI.",
            hint="Set SDI_ROAD to mail, with SDI_MAIL_…, or to folder, with SDI_FOLDER.",
            id="pecportal.E043",
        )
    if signing.is_configured():
        try:
            signing.certificate()
        except signing.SigningError as error:  # its message names the setting
            yield Error(
                f"{error}: invoices to public bodies could not be signed.",
                hint="Set SIGNING_KEY to a PKCS#12 file and SIGNING_PASSWORD to its passphrase, or remove both.",
                id="pecportal.E044",
            )


def _no_road() -> str:
    """What the road to SdI lacks; "" if nothing."""
    if settings.SDI_ROAD != "mail":
        return "" if settings.SDI_ROAD == "folder" else f"SDI_ROAD is {settings.SDI_ROAD!r}"
    if not (settings.SDI_MAIL_FROM and settings.SDI_MAIL_TO):
        return "SDI_ROAD is mail without SDI_MAIL_FROM and SDI_MAIL_TO"
    try:
        mail.address()
    except ValueError as error:
        return str(error)
    return ""


def _wrong_seller() -> Iterator[str]:
    """What is wrong with the seller, found by the controls of SdI on a document to nobody in particular."""
    from payments.invoicing import checks
    from payments.invoicing.document import Buyer, Document, Kind, Line

    day, one = date(2026, 1, 1), Decimal("1.00")
    nobody = Buyer(
        "person", "", "Mario", "Rossi", "RSSMRA80A01H501U", "", "via Roma 1", "00184", "Roma", "RM", "IT", "0000000", ""
    )
    try:
        document = Document(
            kind=Kind.INVOICE, number="X-1", issued_on=day, progressive="1", seller=configuration.seller(),
            buyer=nobody, lines=(Line("x", one),), vat_rate=Decimal("22.00"), taxable=one, vat=Decimal("0.22"),
            reason="x",
        )  # fmt: skip
        found = checks.review(document, today=day)
    except configuration.SettingsError as error:
        yield str(error)
        return
    for finding in found:
        yield f"The seller's data are wrong ({finding.field.rpartition('/')[2] or finding.code})"
