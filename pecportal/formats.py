"""How money, dates and spaces are written on screens and in mails. Template built-ins; pure functions for code."""

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal

from django import template
from django.utils import formats
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from pecportal import clock

register = template.Library()
GB = 1024**3


@register.filter
def euro(amount: Decimal | None) -> str:
    """€ 12,08: euro and cents, thousands grouped, a space that does not break."""
    if amount is None:
        return ""
    return "€\u00a0" + formats.number_format(amount, decimal_pos=2, use_l10n=True, force_grouping=True)


@register.filter
def day(value: date | None) -> str:
    """31 maggio 2027."""
    return _written(value, "j F Y")


@register.filter
def short_day(value: date | None) -> str:
    """31 mag 2027."""
    return _written(value, "j M Y")


def _written(value: date | None, form: str) -> str:
    """Italian writes months small, English does not; Django's are capital in both. A moment is its day in Rome."""
    if isinstance(value, datetime):
        value = clock.rome_date(value)
    text = formats.date_format(value, form) if value else ""
    return text.lower() if (get_language() or "").startswith("it") else text


@register.filter
def gigabytes(size: int | None) -> str:
    """Bytes as GB with two decimals, rounded: 0,62. (Django's number_format would cut.)"""
    rounded = (Decimal(size or 0) / GB).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return formats.number_format(rounded, decimal_pos=2, use_l10n=True)


@register.filter
def distance(days: int | None) -> str:
    """tra 40 giorni, domani, oggi, ieri, 12 giorni fa."""
    if days is None:
        return ""
    if days == 0:
        return _("oggi")
    if days == 1:
        return _("domani")
    if days == -1:
        return _("ieri")
    if days > 0:
        return ngettext("tra %(n)s giorno", "tra %(n)s giorni", days) % {"n": days}
    return ngettext("%(n)s giorno fa", "%(n)s giorni fa", -days) % {"n": -days}


@register.filter
def years(count: int | None) -> str:
    """1 anno, 3 anni."""
    return ngettext("%(n)s anno", "%(n)s anni", count or 0) % {"n": count or 0}
