"""Fields for what staff type: Italian amounts, dates, percentages, accounts; each with a sentence when it is wrong."""

import re
from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSingleDateWidget, UnfoldAdminTextInputWidget

from accounts.models import User

AMOUNT = re.compile(r"-?[0-9]{1,9}(,[0-9]{1,2})?", re.ASCII)
MOST = Decimal("9999999.99")


def parse_amount(text: str) -> Decimal:
    """12,08 · 1.234,50 · € 12 · 12.08 → Decimal. Raises ValidationError on what could be read in two ways.

    A dot groups thousands when exactly three digits follow each and a comma is there as well; one dot with one or two
    digits behind it is a decimal point, as banks print it.
    """
    bare = re.sub(r"[\s\u00a0€]|EUR", "", text.upper())
    if re.fullmatch(r"-?[0-9]{1,3}(\.[0-9]{3})+,[0-9]{1,2}", bare, re.ASCII):
        bare = bare.replace(".", "")
    elif re.fullmatch(r"-?[0-9]+\.[0-9]{1,2}", bare, re.ASCII):
        bare = bare.replace(".", ",")
    if not AMOUNT.fullmatch(bare):
        raise ValidationError(_("Scrivi l'importo in euro come 12,08 oppure 1234,50."))
    return Decimal(bare.replace(",", ".")).quantize(Decimal("0.01"))


class AmountField(forms.CharField):
    """Euro, above zero, at most two decimals."""

    widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"})
    default_error_messages = {"required": gettext_lazy("Scrivi l'importo.")}

    def prepare_value(self, value: Any) -> Any:
        return number_format(value, 2) if isinstance(value, Decimal) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        if not text:
            return None
        amount = parse_amount(text)
        if amount <= 0:
            raise ValidationError(_("L'importo deve essere maggiore di zero."))
        if amount > MOST:
            raise ValidationError(_("L'importo è troppo grande: controlla le cifre."))
        return amount

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class PercentField(forms.CharField):
    """A rate typed as a percentage (22 or 22,5), kept as a fraction (0.2200)."""

    widget = UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "autocomplete": "off"})
    default_error_messages = {"required": gettext_lazy("Scrivi l'aliquota.")}

    def prepare_value(self, value: Any) -> Any:
        return number_format((value * 100).normalize() + 0) if isinstance(value, Decimal) else value

    def to_python(self, value: Any) -> Any:
        text = re.sub(r"[\s%]", "", super().to_python(value) or "").replace(".", ",")
        if not re.fullmatch(r"[0-9]{1,2}(,[0-9]{1,2})?", text, re.ASCII):
            raise ValidationError(_("Scrivi l'aliquota in per cento, come 22 oppure 22,5: da 0 a 99,99."))
        return Decimal(text.replace(",", ".")) / 100


class DayField(forms.DateField):
    """A date as Italians write it: 31/05/2027, 31-5-2027, 31.5.2027; 2027-05-31 too."""

    FIRST_YEAR = 2000
    widget = UnfoldAdminSingleDateWidget(format="%d/%m/%Y", attrs={"autocomplete": "off"})
    default_error_messages = {
        "required": gettext_lazy("Scrivi la data."),
        "invalid": gettext_lazy("Scrivi la data come 31/05/2027."),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(input_formats=["%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%Y-%m-%d"], **kwargs)

    def to_python(self, value: Any) -> date | None:
        day = super().to_python(value)
        if day is not None and not self.FIRST_YEAR <= day.year <= 2100:
            raise ValidationError(_("Controlla l'anno: è %(year)s."), params={"year": day.year})
        return day


class BirthDateField(DayField):
    FIRST_YEAR = 1900


class AccountField(forms.CharField):
    """An account by its username or its e-mail: never a list of nine million to choose from."""

    widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"})
    default_error_messages = {"required": gettext_lazy("Scrivi lo username o l'e-mail dell'account.")}

    def prepare_value(self, value: Any) -> Any:
        return value.username if isinstance(value, User) else value

    def to_python(self, value: Any) -> Any:
        text = (super().to_python(value) or "").lower()
        if not text:
            return None
        accounts = User.objects.filter(kind=User.Kind.ACCOUNT)
        found = list(accounts.filter(username=text)) or list(accounts.filter(email__iexact=text)[:2])
        if len(found) == 1:
            return found[0]
        if found:
            raise ValidationError(_("Più account hanno questa e-mail: scrivi lo username."))
        raise ValidationError(_("Nessun account ha questo username o questa e-mail: controlla come è scritto."))
