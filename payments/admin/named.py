"""Ways to pay and providers by the name that people give them, on staff pages too: never a code."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from mailboxes.admin.shown import NOTHING
from payments.methods import NAMES, name_of
from payments.providers import PROVIDERS


def named(field: str, words: str | Promise) -> Callable[[Any, Any], str]:
    """A column or field called `words`: the name of the method or provider whose code is in `field`."""

    @display(description=words)
    def show(self: Any, obj: Any) -> str:
        code = getattr(obj, field)
        return name_of(code) if code else NOTHING

    return show


class MethodFilter(admin.SimpleListFilter):
    """By the way to pay of an order. The choices are those there are: a DISTINCT would read every order."""

    title = gettext_lazy("metodo")
    parameter_name = "metodo"
    field = "method"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, str(name)) for code, name in NAMES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(**{self.field: self.value()}) if self.value() in NAMES else queryset


class ProviderFilter(MethodFilter):
    """By the provider of an attempt, a saved method or an event: those that are called on-line."""

    title = gettext_lazy("gestore")
    parameter_name = "gestore"
    field = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, name) for code, name in super().lookups(request, model_admin) if code in PROVIDERS]
