"""How values read on staff pages: dates and amounts as customers see them, states in colour, objects as links."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Model
from django.template.loader import render_to_string
from django.urls import NoReverseMatch
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from unfold.decorators import display

from pecportal import clock
from pecportal.formats import euro, short_day

from .base import admin_url

NOTHING = "-"


def link(obj: Model | None) -> SafeString | str:
    """An object's name, leading to its page where it has one."""
    if obj is None:
        return NOTHING
    try:
        return format_html('<a href="{}" class="text-link">{}</a>', admin_url(obj), obj)
    except NoReverseMatch:
        return str(obj)


def badge(colour: str | None, words: str) -> SafeString:
    """A state in a colour and in words: success, warning, danger, info, or none."""
    return SafeString(render_to_string("unfold/helpers/label.html", {"type": colour, "text": words}))


def written(value: object) -> SafeString | str:
    """A value in words; a date and its month never part at the end of a line."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return _("sì") if value else _("no")
    if isinstance(value, datetime):
        local = value.astimezone(clock.ROME)
        return short_day(local.date()).replace(" ", "\u00a0") + f", {local:%H:%M}"
    if isinstance(value, date):
        return short_day(value).replace(" ", "\u00a0")
    if isinstance(value, Decimal):
        return euro(value)
    return link(value) if isinstance(value, Model) else str(value)


def shown(path: str, words: str | Promise) -> Callable[[Any, Any], SafeString | str]:
    """A column or field called `words`: the attribute at `path` (order.owner), or what a choice's value is called."""

    @display(description=words)
    def show(self: Any, obj: Any) -> SafeString | str:
        value = obj
        for name in path.split("."):
            label = getattr(value, f"get_{name}_display", None)
            value = label() if label else getattr(value, name, None)
        return written(value)

    return show
