"""Money that goes back, for staff: the list of refunds, and the pages that ask for one (R21). Each calls one flow."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from accounts.models import User
from mailboxes.admin.base import Done, ReadOnlyAdmin, admin_url, posted, who
from mailboxes.admin.fields import AmountField
from mailboxes.admin.shown import badge, link, shown
from payments import giving_back
from payments.invoicing import notes
from payments.models import Case, Invoice, Receipt, Refund
from pecportal.errors import RefusedError
from pecportal.formats import euro, money
from renewals.models import Kind, Order

from .forms import AllocateForm, ConfirmForm, ReasonForm, text
from .receipts import result

COLOURS = {
    Refund.Status.CREATED: "info",
    Refund.Status.PENDING: "info",
    Refund.Status.UNKNOWN: "warning",
    Refund.Status.DONE: "success",
    Refund.Status.FAILED: "danger",
}
BY_BANK = Case.Kind.REFUND_BY_BANK


class AmountForm(ReasonForm):
    """How much goes back, and why."""

    amount = AmountField(label=gettext_lazy("Importo da restituire, €"))
    field_order = ("amount", "reference", "reason")


class TransferForm(AmountForm):
    """Bank money goes back with a transfer that staff have made."""

    reference = forms.CharField(
        label=gettext_lazy("CRO o TRN del bonifico"),
        max_length=60,
        widget=text(),
        help_text=gettext_lazy("Del bonifico con cui hai già restituito il denaro."),
        error_messages={"required": gettext_lazy("Scrivi il CRO o TRN del bonifico.")},
    )


def is_bank_money(case: Case) -> bool:
    return case.kind == BY_BANK or case.receipt_id is not None


class CaseActions(ReadOnlyAdmin):
    """Rimborsa and Attribuisci of a case."""

    def buttons_of(self, case: Case) -> set[str]:
        """The actions that can do something for a case."""
        if case.closed_at is not None:
            return set()
        found = {"close"}
        if giving_back.left_of_case(case) > 0:
            found.add("refund")
            if case.kind != BY_BANK:
                found.add("attribute")
        return found

    def has_refund_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_refund")

    def has_attribute_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_allocation")

    def case_facts(self, case: Case) -> list[tuple[str, object]]:
        facts: list[tuple[str, object]] = [
            (_("Che cosa è successo"), case.detail),
            (_("Si può restituire"), money(giving_back.left_of_case(case), case.currency)),
            (_("Ordine"), case.order or "-"),
        ]
        withdrawal = getattr(case.order, "withdrawal", None) if case.order else None
        if case.kind == BY_BANK and withdrawal is not None:
            facts += [(_("Intestatario"), withdrawal.name), (_("IBAN"), withdrawal.iban or "-")]
        return facts

    @action(description=gettext_lazy("Rimborsa"), url_path="rimborsa", permissions=["refund"], icon="undo")
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        case = self.found(request, object_id)
        initial = {"amount": giving_back.left_of_case(case), "reason": case.detail[:200]}
        form_class = TransferForm if is_bank_money(case) else AmountForm

        def flow(typed: dict[str, Any]) -> Done:
            giving_back.refund_case(
                case_id=case.pk, amount=typed["amount"], actor=who(request), reference=typed.get("reference", ""),
                why=typed["reason"],
            )  # fmt: skip
            told = _("Rimborso di %(amount)s registrato: il caso è chiuso.")
            return Done(admin_url(case), told % {"amount": euro(typed["amount"])})

        return self.flow_page(
            request, form=form_class(posted(request), initial=initial), flow=flow, title=_("Rimborsa"),
            submit=_("Rimborsa"), obj=case, facts=self.case_facts(case), danger=True,
            intro=_("Il denaro arrivato in banca lo restituisci prima con un bonifico, poi lo registri qui.")
            if is_bank_money(case) else _("Il denaro torna sul metodo con cui era stato pagato."),
        )  # fmt: skip

    @action(
        description=gettext_lazy("Attribuisci a un altro ordine"), url_path="attribuisci", permissions=["attribute"],
        icon="link",
    )  # fmt: skip
    def attribute(self, request: HttpRequest, object_id: str) -> HttpResponse:
        case = self.found(request, object_id)

        def flow(typed: dict[str, Any]) -> Done:
            order = typed["order"]
            allocated = giving_back.attribute_case(case_id=case.pk, order_id=order.pk, actor=who(request))
            return Done(admin_url(case), *result(allocated, order))

        return self.flow_page(
            request, form=AllocateForm(posted(request)), flow=flow, title=_("Attribuisci a un altro ordine"),
            submit=_("Attribuisci"), obj=case, facts=self.case_facts(case),
            intro=_("Solo a un ordine dello stesso account, che aspetta il pagamento."),
        )  # fmt: skip


class OrderActions(ReadOnlyAdmin):
    """Evadi di nuovo, Rimborsa la riga, Rimborsa, Storna of an order."""

    def buttons_of(self, order: Order) -> set[str]:
        """The actions that can do something for an order as it stands."""
        if order.awaits_collection:  # fulfilled on a promise: there is no money to give back yet
            return {"record_transfer"}
        if order.kind == Kind.PURCHASE and order.status == Order.Status.PAID:  # its box waits for the mail system
            return {"refund_lines"}
        return {
            Order.Status.AWAITING_PAYMENT: {"record_transfer", "commit", "cancel"},
            Order.Status.ATTENTION: {"try_again", "refund_lines"},
            Order.Status.FULFILLED: {"refund_goodwill", "take_back"},
            Order.Status.REVERSED: {"refund_goodwill"} if giving_back.held_for(order) > 0 else set(),
        }.get(Order.Status(order.status), set())

    def has_refund_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_refund")

    def _order_page(
        self, request: HttpRequest, object_id: str, *, title: str, intro: str, form_class: type[ReasonForm],
        flow: Callable[..., object],
    ) -> HttpResponse:  # fmt: skip
        order = self.found(request, object_id)
        left = giving_back.held_for(order) - giving_back.promised(order)

        def move(typed: dict[str, Any]) -> Done:
            why = typed.pop("reason")
            flow(order_id=order.pk, actor=who(request), why=why, **typed)
            return Done(admin_url(order), _("Fatto: %(what)s.") % {"what": title.lower()})

        facts: list[tuple[str, object]] = [
            (_("Stato"), order.get_status_display()),
            (_("Account"), order.owner),
            (_("Si può restituire"), euro(left)),
        ]
        return self.flow_page(
            request, form=form_class(posted(request), initial={"amount": left}), flow=move, title=title, submit=title,
            obj=order, intro=intro, facts=facts, danger=True,
        )  # fmt: skip

    @action(description=gettext_lazy("Evadi di nuovo"), url_path="evadi", permissions=["refund"], icon="replay")
    def try_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._order_page(
            request, object_id, title=_("Evadi di nuovo"), form_class=ReasonForm, flow=giving_back.try_again,
            intro=_("Dopo aver tolto l'ostacolo. Se non si può ancora evadere, l'ordine torna da verificare."),
        )  # fmt: skip

    @action(description=gettext_lazy("Rimborsa la riga"), url_path="rimborsa-riga", permissions=["refund"], icon="undo")
    def refund_lines(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def flow(*, order_id: int, actor: User, why: str) -> None:
            for line in giving_back.lines_to_give_up(Order.objects.get(pk=order_id)):
                giving_back.refund_line(line_id=line.pk, actor=actor, why=why)

        return self._order_page(
            request, object_id, title=_("Rimborsa la riga"), form_class=ReasonForm, flow=flow,
            intro=_("Quello che non si può evadere viene restituito, e la casella si può rinnovare di nuovo."),
        )  # fmt: skip

    @action(description=gettext_lazy("Rimborsa"), url_path="rimborsa", permissions=["refund"], icon="undo")
    def refund_goodwill(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._order_page(
            request, object_id, title=_("Rimborsa"), form_class=AmountForm, flow=giving_back.refund_order,
            intro=_("Il denaro torna indietro e la casella resta com'è. Il denaro arrivato in banca diventa un caso."),
        )  # fmt: skip

    @action(description=gettext_lazy("Storna e rimborsa"), url_path="storna", permissions=["refund"], icon="delete")
    def take_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._order_page(
            request, object_id, title=_("Storna e rimborsa"), form_class=AmountForm, flow=giving_back.reverse_order,
            intro=_("Il periodo di questo ordine viene tolto: scadenza e spazio tornano quelli di prima."),
        )  # fmt: skip


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ("on", "state", "amount_in_euro", "order", "source", "remote_id", "why", "asked_by")
    list_filter = ("status",)
    list_select_related = ("order", "payment__order", "receipt", "asked_by")
    search_fields = ("order__number__exact", "remote_id__exact")
    search_help_text = gettext_lazy("Numero d'ordine, o id del rimborso o CRO per intero")
    ordering = ("-id",)
    actions_detail = ("credit",)
    fields = (("state", "amount_in_euro"), ("order", "source"), ("remote_id", "reason"), ("why", "asked_by"),
              ("on", "done"), "note")  # fmt: skip
    on = shown("created_at", gettext_lazy("Chiesto il"))
    done = shown("done_at", gettext_lazy("Fatto il"))
    amount_in_euro = shown("amount", gettext_lazy("Importo"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Refund]:
        return super().get_queryset(request).select_related("order", "payment__order", "receipt", "asked_by")

    @display(description=gettext_lazy("Stato"))
    def state(self, refund: Refund) -> SafeString:
        return badge(COLOURS[Refund.Status(refund.status)], refund.get_status_display())

    @display(description=gettext_lazy("Da che cosa"))
    def source(self, refund: Refund) -> SafeString | str:
        source: Any = refund.receipt or refund.payment
        return f"{source}" if isinstance(source, Receipt) else link(source)

    @display(description=gettext_lazy("Nota di credito"))
    def note(self, refund: Refund) -> SafeString | str:
        return link(_note_of(refund))

    def has_credit_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_invoice")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list:
        """The note of a refund is made by itself within minutes: the button is for who does not wait."""
        refund = self.get_object(request, object_id)
        owes = refund is not None and refund.status == Refund.Status.DONE and _note_of(refund) is None
        return super().get_actions_detail(request, object_id) if owes else []

    @action(
        description=gettext_lazy("Emetti la nota di credito"), url_path="nota", permissions=["credit"], icon="note_add"
    )
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        refund = self.found(request, object_id)

        def flow(_typed: dict[str, Any]) -> Done:
            made = notes.issue_note(refund.pk)
            if made is None:
                raise RefusedError(
                    _("SdI non ha ancora una fattura di questo ordine, o non c'è più nulla da stornare.")
                )
            return Done(admin_url(made), _("Nota di credito %(note)s fatta.") % {"note": made})

        return self.flow_page(
            request, form=ConfirmForm(posted(request)), flow=flow,
            title=_("Emetti la nota di credito"), submit=_("Emetti"), obj=refund,
            intro=_("Storna dalla fattura dell'ordine il denaro che è tornato indietro."),
            facts=[(_("Rimborso"), euro(refund.amount)), (_("Ordine"), refund.order or "-")],
        )  # fmt: skip


def _note_of(refund: Refund) -> Invoice | None:
    return Invoice.objects.live().filter(refund=refund).defer("xml", "detail").first()
