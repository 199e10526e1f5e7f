"""What staff can do about an invoice: each page calls one flow, and says in a sentence what came of it."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.widgets import UnfoldBooleanWidget

from accounts.models import User
from mailboxes.admin.base import Done, ReadOnlyAdmin, admin_url, posted, who
from payments.invoicing import corrections, notes, rows, sending, waiting
from payments.invoicing.pdf import courtesy_copy
from payments.models import Invoice
from payments.views.invoices import xml_response
from payments.views.paper import as_pdf
from pecportal.errors import RefusedError
from pecportal.formats import euro

from .forms import ConfirmForm, text
from .giving_back import AmountForm
from .invoice_rows import advice

State = Invoice.State


class DataForm(forms.Form):
    """To whom the corrected document is made out."""

    with_todays_data = forms.BooleanField(
        label=gettext_lazy("Con i dati di fatturazione che l'account ha oggi"),
        required=False,
        initial=True,
        widget=UnfoldBooleanWidget,
        help_text=gettext_lazy("Senza la spunta restano quelli di prima: se l'errore era altrove."),
    )


class ElsewhereForm(forms.Form):
    reference = forms.CharField(
        label=gettext_lazy("Numero e data del documento"),
        max_length=120,
        widget=text(),
        error_messages={"required": gettext_lazy("Scrivi numero e data del documento emesso altrove.")},
    )


class InvoiceActions(ReadOnlyAdmin):
    """Buttons of an invoice, only where they can do something."""

    actions_detail = (
        "courtesy_pdf", "xml_file", "reconsider", "elsewhere", "it_went", "it_did_not_go", "correct", "replace",
        "credit",
    )  # fmt: skip

    def buttons_of(self, invoice: Invoice) -> set[str]:
        found = {"courtesy_pdf", "xml_file"} if invoice.file_name else set()
        if invoice.state == State.WAITING:
            found.add("reconsider")
            if invoice.number is None:
                found.add("elsewhere")
        if invoice.state == State.UNKNOWN:
            found |= {"it_went", "it_did_not_go"}
        if sending.is_unanswered(invoice):
            found.add("it_did_not_go")
        if invoice.state in (State.REJECTED, State.REFUSED):
            found.add("correct")
        if invoice.state == State.REJECTED:
            found.add("replace")
        if invoice.kind == Invoice.Kind.INVOICE and invoice.state in Invoice.ISSUED and self._left(invoice) > 0:
            found.add("credit")
        return found

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list:
        invoice = self.get_object(request, object_id)
        wanted = self.buttons_of(invoice) if invoice else set()
        return [a for a in super().get_actions_detail(request, object_id) if a.method.__name__ in wanted]

    def has_move_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.change_invoice")

    def has_credit_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.add_invoice")

    def has_read_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("payments.view_invoice")

    def _left(self, invoice: Invoice) -> Any:
        return invoice.due - rows.credited(invoice)

    def _page(
        self, request: HttpRequest, object_id: str, *, name: str, title: str, done: str, intro: str,
        flow: Callable[..., Invoice | None], form_class: type[forms.Form] = ConfirmForm,
        danger: bool = False, initial: dict[str, Any] | None = None,
    ) -> HttpResponse:  # fmt: skip
        """A form, the flow that gets what was typed, and where it leads: to the document that came of it, or back."""
        invoice = self.found(request, object_id)
        if name not in self.buttons_of(invoice):
            self.message_user(request, _("Non si può più: lo stato è cambiato."), messages.WARNING)
            return redirect(admin_url(invoice))

        def move(typed: dict[str, Any]) -> Done:
            return Done(admin_url(flow(invoice_id=invoice.pk, actor=who(request), **typed) or invoice), done)

        return self.flow_page(
            request, form=form_class(posted(request), initial=initial), flow=move,
            title=title, submit=title, obj=invoice, intro=intro, facts=self._facts(invoice), danger=danger,
        )  # fmt: skip

    def _facts(self, invoice: Invoice) -> Sequence[tuple[str, object]]:
        facts: list[tuple[str, object]] = [
            (_("Stato"), invoice.get_state_display()),
            (_("Ordine"), invoice.order),
            (_("Account"), invoice.order.owner),
            (_("Totale"), euro(invoice.total)),
        ]
        if invoice.detail:
            facts.append((_("Che cosa non va"), invoice.detail))
        return facts

    # --- Files --------------------------------------------------------------------------------------------------------

    @action(description=gettext_lazy("PDF"), url_path="copia.pdf", permissions=["read"], icon="picture_as_pdf")
    def courtesy_pdf(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = self.found(request, object_id)
        if invoice.xml is None:
            return redirect(admin_url(invoice))
        content, file_name, key = bytes(invoice.xml), invoice.file_name, str(invoice.public_id)
        return as_pdf(
            request, lambda: courtesy_copy(content, file_name=file_name, key=key), name=f"{invoice.number_text}.pdf",
            back=admin_url(invoice),
        )  # fmt: skip

    @action(description=gettext_lazy("XML"), url_path="fattura.xml", permissions=["read"], icon="download")
    def xml_file(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = self.found(request, object_id)
        if invoice.xml is None:
            return redirect(admin_url(invoice))
        return xml_response(bytes(invoice.xml), invoice.file_name)

    # --- Moves --------------------------------------------------------------------------------------------------------

    @action(description=gettext_lazy("Riesamina"), url_path="riesamina", permissions=["move"], icon="refresh")
    def reconsider(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def flow(*, invoice_id: int, actor: User) -> None:
            after = waiting.reconsider(invoice_id, actor=actor)
            if after.state == State.WAITING:
                raise RefusedError(_("Aspetta ancora: %(why)s") % {"why": after.detail or advice(after)})

        return self._page(
            request, object_id, name="reconsider", title=_("Riesamina"), flow=flow,
            done=_("Ora va bene: ha il suo numero e parte da sola."),
            intro=_("Prima con i dati dell'ordine; se non vanno bene, con quelli che l'account ha oggi."),
        )  # fmt: skip

    @action(description=gettext_lazy("Emessa fuori da qui"), url_path="altrove", permissions=["move"], icon="logout")
    def elsewhere(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(
            request, object_id, name="elsewhere", title=_("Emessa fuori da qui"), form_class=ElsewhereForm,
            done=_("Annotato: qui non prende un numero."),
            intro=_("Solo se l'hai già emessa con un altro programma: qui non ne nascerà un'altra."),
            flow=waiting.close_elsewhere,
        )  # fmt: skip

    @action(description=gettext_lazy("È partita"), url_path="partita", permissions=["move"], icon="check")
    def it_went(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(
            request, object_id, name="it_went", title=_("È partita"), flow=sending.it_went,
            done=_("Annotato: si aspetta la ricevuta di SdI."),
            intro=_("Hai visto il file fra i messaggi inviati, o dall'intermediario."),
        )  # fmt: skip

    @action(description=gettext_lazy("Non è partita"), url_path="non-partita", permissions=["move"], icon="send")
    def it_did_not_go(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(
            request, object_id, name="it_did_not_go", title=_("Non è partita: reinvia"), flow=sending.it_did_not_go,
            danger=True, done=_("Si reinvia da sola entro pochi minuti, con lo stesso nome."),
            intro=_("Hai controllato che il file non è arrivato da nessuna parte. Se invece era partito, SdI scarta il "
                    "secondo come duplicato."),
        )  # fmt: skip

    @action(description=gettext_lazy("Correggi e reinvia"), url_path="correggi", permissions=["move"], icon="edit")
    def correct(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(
            request, object_id, name="correct", title=_("Correggi e reinvia"), flow=corrections.correct,
            form_class=DataForm, done=_("Corretta: parte da sola con lo stesso numero e la stessa data."),
            intro=_("Con lo stesso numero e la stessa data, in un file nuovo."),
        )  # fmt: skip

    @action(
        description=gettext_lazy("Sostituisci con un documento nuovo"), url_path="sostituisci", permissions=["move"],
        icon="note_add",
    )  # fmt: skip
    def replace(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(
            request, object_id, name="replace", title=_("Sostituisci con un documento nuovo"),
            flow=corrections.replace, form_class=DataForm, danger=True,
            done=_("Sostituita: il documento nuovo ha numero e data di oggi."),
            intro=_("Quando i cinque giorni per correggerla sono passati: numero e data nuovi."),
        )  # fmt: skip

    @action(description=gettext_lazy("Nota di credito"), url_path="storna", permissions=["credit"], icon="undo")
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        left = self._left(self.found(request, object_id))
        return self._page(
            request, object_id, name="credit", title=_("Nota di credito"), form_class=CreditForm, danger=True,
            done=_("Nota di credito fatta: parte da sola."), initial={"amount": left},
            intro=_("I rimborsi fanno da soli la loro: questa serve quando nessun rimborso la fa. Non muove denaro. "
                    "Restano %(left)s da stornare.") % {"left": euro(left)},
            flow=lambda *, reason, **facts: notes.credit(why=reason, **facts),
        )  # fmt: skip


class CreditForm(AmountForm):
    """How much of the invoice is credited, and why."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["amount"].label = _("Importo da stornare, €")
