"""Moves of an order, a payment or an invoice as rows of its page: when, from which state to which, by whom, why."""

from typing import Any

from django.utils.translation import gettext_lazy
from unfold.decorators import display

from mailboxes.admin.base import ReadOnlyInline
from mailboxes.admin.shown import NOTHING, shown


class MoveInline(ReadOnlyInline):
    fields: tuple[str, ...] = ("on", "from_state", "to_state", "by", "why")
    related: tuple[str, ...] = ("actor",)
    states: dict[str, Any]  # what each code is called
    on = shown("at", gettext_lazy("Quando"))
    by = shown("actor", gettext_lazy("Chi"))

    @display(description=gettext_lazy("Da"))
    def from_state(self, event: Any) -> str:
        return self.states.get(event.before, NOTHING)

    @display(description=gettext_lazy("A"))
    def to_state(self, event: Any) -> str:
        return self.states.get(event.after, NOTHING)
