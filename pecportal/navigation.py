"""The rail (on phones the bar) of the four areas, the same on thousands of pages: a template tag that keeps it."""

from django import template
from django.template.context import Context
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from pecportal.formats import kept

register = template.Library()
FRONT = {"gestisci", "domini", "ordini", "dati"}  # the first page of each area, by the name of its address


@register.simple_tag(takes_context=True)
def nav(context: Context) -> SafeString:
    """With the area of the page marked; of a page that is not the first of its area, as where it belongs."""
    match = getattr(context.get("request"), "resolver_match", None)
    return _nav(context.get("section", ""), match is not None and match.url_name in FRONT)


@kept
def _nav(section: str, front: bool) -> SafeString:
    current = ' aria-current="page"' if front else ' aria-current="true"'
    return render_to_string("partials/nav.html", {"section": section, "current": SafeString(current)})
