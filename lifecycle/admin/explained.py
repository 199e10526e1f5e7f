"""Why an expiry is what it is, on the pages of boxes and domains, in the words of the customer's own page (R15)."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from mailboxes.admin.boxes import DomainAdmin
from mailboxes.admin.shown import NOTHING, written
from mailboxes.models import Domain, Mailbox
from renewals.history import history

WHY = (gettext_lazy("Da dove viene la scadenza"), {"fields": ("explained",)})


class ExplainedMixin:
    """The history, newest first: the expiry that holds is on top. A box on a domain has the domain's."""

    @display(description=gettext_lazy("Scadenza"))
    def explained(self, obj: Mailbox | Domain) -> SafeString | str:
        of = obj.domain or obj if isinstance(obj, Mailbox) else obj
        said = [
            (written(step.expiry) if step.expiry else _("nessuna"), _("perché %(why)s") % {"why": step.why})
            for step in history(of, reader=None)
        ]
        return format_html_join(mark_safe("<br>"), "{} {}", said) if said else NOTHING


admin.site.unregister(Domain)


@admin.register(Domain)
class ExplainedDomainAdmin(ExplainedMixin, DomainAdmin):
    fieldsets: Any = (*DomainAdmin.fieldsets, WHY)
