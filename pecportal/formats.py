"""How money, dates and spaces are written on screens and in mails. Template built-ins; pure functions for code."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache, wraps
from typing import TypeVar

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils import formats
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from pecportal import clock

register = template.Library()
GB = 1024**3
T = TypeVar("T")


def kept(words: Callable[..., T]) -> Callable[..., T]:
    """Keep what a pure function answers, by the language that is active: lists say the same thing many times."""
    answers = lru_cache(maxsize=8192)(lambda language, *arguments: words(*arguments))

    @wraps(words)
    def said(*arguments: object) -> T:
        return answers(get_language(), *arguments)

    return said


@register.simple_tag
def icon(name: str) -> SafeString:
    """An id of static/icons.svg. Decorative: the words beside it carry the meaning."""
    markup = '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>'
    return format_html(markup, static("icons.svg"), name)


@register.filter
def euro(amount: Decimal | None) -> str:
    """€ 12,08: euro and cents, thousands grouped, a space that does not break; in English €12.08."""
    if amount is None:
        return ""
    sign = "€\u00a0" if _writes_italian() else "€"
    return sign + formats.number_format(amount, decimal_pos=2, use_l10n=True, force_grouping=True)


def money(amount: Decimal | None, currency: str) -> str:
    """€ 12,08, and of another currency 12,08 USD: money that came in dollars is no euro."""
    if amount is None or currency == settings.CURRENCY:
        return euro(amount)
    return f"{formats.number_format(amount, decimal_pos=2, use_l10n=True, force_grouping=True)}\u00a0{currency}"


@register.filter
def day(value: date | None) -> str:
    """31 maggio 2027."""
    return _written(value, "j F Y")


@register.filter
def short_day(value: date | None) -> str:
    """31 mag 2027."""
    return _written(value, "j M Y")


def elides(value: date) -> bool:
    """Italian elides the article before 8 (otto) and 11 (undici): l'8 febbraio, dall'11 marzo."""
    return value.day in (8, 11)


def with_il(value: date, written: str) -> str:
    """`written` is how the date reads: "l'8 febbraio", "il 9 febbraio"; where it begins a sentence, capfirst it."""
    return (_("l'%(day)s") if elides(value) else _("il %(day)s")) % {"day": written}


def with_dal(value: date, written: str) -> str:
    """dall'8 febbraio, dal 9 febbraio."""
    return (_("dall'%(day)s") if elides(value) else _("dal %(day)s")) % {"day": written}


def with_fino(value: date, written: str) -> str:
    """fino all'8 febbraio, fino al 9 febbraio."""
    return (_("fino all'%(day)s") if elides(value) else _("fino al %(day)s")) % {"day": written}


def al(value: date | None) -> str:
    """all'8 febbraio 2027, al 9 febbraio 2027."""
    if value is None:
        return ""
    return (_("all'%(day)s") if elides(value) else _("al %(day)s")) % {"day": day(value)}


@register.filter
def il(value: date | None) -> str:
    """l'8 febbraio 2027, il 9 febbraio 2027."""
    return with_il(_in_rome(value), day(value)) if value else ""


@register.filter
def dal(value: date | None) -> str:
    """dall'8 febbraio 2027, dal 9 febbraio 2027."""
    return with_dal(_in_rome(value), day(value)) if value else ""


@register.filter
def fino(value: date | None) -> str:
    """fino all'8 febbraio 2027, fino al 9 febbraio 2027."""
    return with_fino(_in_rome(value), day(value)) if value else ""


def _in_rome(value: date) -> date:
    return clock.rome_date(value) if isinstance(value, datetime) else value


def _written(value: date | None, form: str) -> str:
    """Italian writes months small, English does not; Django's are capital in both. A moment is its day in Rome."""
    return in_words(_in_rome(value), form) if value else ""


@kept
def in_words(value: date, form: str) -> str:
    """A day as `form` writes it."""
    text = formats.date_format(value, form)
    return text.lower() if _writes_italian() else text


def _writes_italian() -> bool:
    return (get_language() or "").startswith("it")


@register.filter
def gigabytes(size: int | None) -> str:
    """Bytes as GB with two decimals, rounded: 0,62. (Django's number_format would cut.)"""
    rounded = (Decimal(size or 0) / GB).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return _two_decimals(rounded)


@kept
def _two_decimals(number: Decimal) -> str:
    return formats.number_format(number, decimal_pos=2, use_l10n=True)


@register.filter
def breakable(address: object) -> str:
    """An address, or a domain's name, that where it is too long breaks before its @ rather than within a word."""
    local, at, host = str(address).partition("@")
    return format_html("{}<wbr>{}{}", local, at, host) if at else local


@register.filter
@kept
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
def card_month(method: object) -> str:
    """gennaio 2027: the month through whose end a saved card is good."""
    month, year = getattr(method, "expires_month", None) or 12, getattr(method, "expires_year", None)
    return _written(date(year, month, 1), "F Y") if year else ""


@register.filter
def years(count: int | None) -> str:
    """1 anno, 3 anni."""
    return ngettext("%(n)s anno", "%(n)s anni", count or 0) % {"n": count or 0}
