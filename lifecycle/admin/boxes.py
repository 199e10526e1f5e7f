"""The box's page with its notices and what keeps it from deletion: a hold is placed and lifted here, a box that nobody
could be warned of is let go here (R29). Registered in the place of the page without, which mailboxes may not add to."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from lifecycle import deletion_facts, holds
from lifecycle.models import HandRelease, Notice, StaffHold
from mailboxes.admin.base import Done, ReadOnlyInline, admin_url, posted, who
from mailboxes.admin.boxes import MailboxAdmin
from mailboxes.admin.shown import shown, written
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.rules import State
from payments.admin.forms import ConfirmForm, ReasonForm
from pecportal import clock

from .explained import WHY, ExplainedMixin
from .notices import OutcomeMixin


class HoldInline(ReadOnlyInline):
    model = StaffHold
    fields = ("why", "by", "since", "lifted_by", "until")
    related = ("placed_by", "released_by")
    by = shown("placed_by", gettext_lazy("Messo da"))
    since = shown("placed_at", gettext_lazy("Messo il"))
    lifted_by = shown("released_by", gettext_lazy("Tolto da"))
    until = shown("released_at", gettext_lazy("Tolto il"))


class HandReleaseInline(ReadOnlyInline):
    model = HandRelease
    fields = ("of_expiry", "why", "by", "at")
    related = ("released_by",)
    of_expiry = shown("expiry", gettext_lazy("Scadenza"))
    by = shown("released_by", gettext_lazy("Deciso da"))
    at = shown("released_at", gettext_lazy("Deciso il"))


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
class DeletableMailboxAdmin(ExplainedMixin, MailboxAdmin):
    fieldsets: Any = (*MailboxAdmin.fieldsets, WHY)
    inlines: Any = (*MailboxAdmin.inlines, NoticeInline, HoldInline, HandReleaseInline)
    actions_detail = ("hold", "lift", "let_go")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list:
        """Buttons only where they can do something."""
        box = self.get_object(request, object_id)
        wanted = self._buttons_of(box) if box else set()
        return [a for a in super().get_actions_detail(request, object_id) if a.method.__name__ in wanted]

    def _buttons_of(self, box: Mailbox) -> set[str]:
        if box.phase != Phase.LIVE:
            return set()
        wanted = {"lift"} if box.holds.filter(released_at=None).exists() else {"hold"}
        if box.state(clock.today()) is State.AWAITING_DELETION and not holds.refusal_to_release(box):
            wanted.add("let_go")
        return wanted

    def has_hold_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("lifecycle.add_staffhold")

    def has_lift_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("lifecycle.change_staffhold")

    def has_let_go_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("lifecycle.add_handrelease")

    @action(
        description=gettext_lazy("Blocca la cancellazione"), url_path="blocca", permissions=["hold"], icon="front_hand"
    )
    def hold(self, request: HttpRequest, object_id: str) -> HttpResponse:
        box = self.found(request, object_id)

        def flow(typed: dict[str, Any]) -> Done:
            holds.place_hold(box_id=box.pk, actor=who(request), why=typed["reason"])
            return Done(admin_url(box), _("La casella non si cancella finché qualcuno non toglie il blocco."))

        return self.flow_page(
            request, form=ReasonForm(posted(request)), flow=flow, title=_("Blocca la cancellazione"),
            submit=_("Blocca la cancellazione"), obj=box,
            intro=_(
                "Finché c'è il blocco la casella non viene cancellata, anche dopo il suo giorno. Tutto il resto non "
                "cambia: la scadenza, gli avvisi, quello che il cliente può fare."
            ),
            facts=self._facts(box),
        )  # fmt: skip

    @action(description=gettext_lazy("Togli il blocco"), url_path="sblocca", permissions=["lift"], icon="lock_open")
    def lift(self, request: HttpRequest, object_id: str) -> HttpResponse:
        box = self.found(request, object_id)

        def flow(_typed: dict[str, Any]) -> Done:
            holds.lift_hold(box_id=box.pk, actor=who(request))
            return Done(admin_url(box), _("Blocco tolto."))

        return self.flow_page(
            request, form=ConfirmForm(posted(request)), flow=flow, title=_("Togli il blocco"),
            submit=_("Togli il blocco"), obj=box, danger=True,
            intro=_("Se il suo giorno è passato e nient'altro la trattiene, il prossimo giro la cancella per sempre."),
            facts=self._facts(box),
        )  # fmt: skip

    @action(
        description=gettext_lazy("Cancella senza avvisi"), url_path="cancella", permissions=["let_go"],
        icon="delete_forever",
    )  # fmt: skip
    def let_go(self, request: HttpRequest, object_id: str) -> HttpResponse:
        box = self.found(request, object_id)

        def flow(typed: dict[str, Any]) -> Done:
            holds.release_by_hand(box_id=box.pk, actor=who(request), why=typed["reason"])
            return Done(admin_url(box), _("Deciso: il prossimo giro la cancella."), messages.WARNING)

        intro = _(
            "Nessuno ha potuto avvisare il cliente con due messaggi accettati. Se decidi di cancellarla lo stesso, "
            "il contenuto va perso per sempre. Scrivi come hai raggiunto il cliente, o perché non si può."
        )
        return self.flow_page(
            request, form=ReasonForm(posted(request)), flow=flow, title=_("Cancella senza avvisi"),
            submit=_("Cancella la casella"), obj=box,
            intro=intro, facts=self._facts(box), danger=True,
        )  # fmt: skip

    def _facts(self, box: Mailbox) -> list[tuple[str, object]]:
        warned = deletion_facts.of([box])[box.pk].warned_on if box.expires_on else ()
        return [
            (_("Casella"), box.address.name),
            (_("Titolare"), box.holder),
            (_("Scade il"), written(box.expires_on)),
            (_("Si cancella dal"), written(box.delete_from)),
            (_("Avvisi accettati dopo la scadenza"), ", ".join(str(written(day)) for day in warned) or _("nessuno")),
        ]
