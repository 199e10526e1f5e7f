"""The box's page, with what only this app knows of it."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from lifecycle.models import Notice
from mailboxes.admin.base import ReadOnlyInline
from mailboxes.admin.boxes import MailboxAdmin
from mailboxes.models import Mailbox

from .notices import OutcomeMixin


class NoticeInline(OutcomeMixin, ReadOnlyInline):
    model = Notice
    verbose_name_plural = gettext_lazy("Avvisi di scadenza")
    fields = ("of_expiry", "point", "outcome", "told", "by_letters")
    ordering = ("-id",)
    per_page = 20

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notice]:
        return super().get_queryset(request).prefetch_related("letters")


admin.site.unregister(Mailbox)


@admin.register(Mailbox)
class BoxAdmin(MailboxAdmin):
    """The same page: imports go only leftwards, so what hangs on a box from the right is added here."""

    inlines = (*MailboxAdmin.inlines, NoticeInline)  # type: ignore[assignment]
