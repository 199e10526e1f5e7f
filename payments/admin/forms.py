"""Forms of staff's own pages for money. What they refuse they refuse with a sentence (R31)."""

import re
from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from stdnum import iban
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from mailboxes.admin.fields import AmountField, DayField
from payments import bank, commitments
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order


def text(**attrs: str) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false", **attrs})


class OrderField(forms.CharField):
    """An order by its number or by the reference of its transfer, however they were typed."""

    default_error_messages = {"required": gettext_lazy("Scrivi il numero dell'ordine.")}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(widget=text(), **kwargs)

    def to_python(self, value: Any) -> Any:
        typed = super().to_python(value) or ""
        if not typed:
            return None
        bare = re.sub(r"[^0-9A-Z]", "", typed.upper())
        order = Order.objects.filter(number=f"{bare[:1]}-{bare[1:]}").first() or bank.find_order(typed)
        if order is None:
            raise ValidationError(
                _("Nessun ordine ha il numero %(typed)s: controllalo. Ha la forma R-7KQ4M2."), params={"typed": typed}
            )
        return order


class ReceiptForm(forms.Form):
    """Registra un accredito: what the bank statement says, and the order it pays if it is known."""

    bank_account = forms.CharField(
        label=gettext_lazy("Conto"),
        max_length=42,
        widget=text(),
        help_text=gettext_lazy("IBAN del nostro conto su cui è arrivato."),
        error_messages={"required": gettext_lazy("Scrivi l'IBAN del conto su cui è arrivato l'accredito.")},
    )
    bank_reference = forms.CharField(
        label=gettext_lazy("Riferimento della banca"),
        max_length=60,
        widget=text(),
        help_text=gettext_lazy("CRO, TRN o numero dell'operazione: lo stesso non si registra due volte."),
        error_messages={"required": gettext_lazy("Scrivi il riferimento della banca (CRO o TRN).")},
    )
    amount = AmountField(label=gettext_lazy("Importo, €"))
    value_date = DayField(label=gettext_lazy("Data valuta"))
    payer = forms.CharField(label=gettext_lazy("Ordinante"), max_length=140, required=False, widget=text())
    remittance = forms.CharField(
        label=gettext_lazy("Causale"),
        max_length=200,
        required=False,
        widget=text(),
        help_text=gettext_lazy("Com'è sull'estratto conto: se nomina l'ordine, l'accredito va a quello."),
    )
    order = OrderField(
        label=gettext_lazy("Ordine"),
        required=False,
        help_text=gettext_lazy("Solo se la causale non lo nomina o ne nomina un altro."),
    )

    def clean_bank_account(self) -> str:
        account = iban.compact(self.cleaned_data["bank_account"])
        ours = iban.compact(settings.BANK_IBAN)
        if account != ours and not iban.is_valid(account):
            raise ValidationError(_("L'IBAN contiene un errore: ricontrolla tutti i caratteri."))
        return str(account)

    def clean_bank_reference(self) -> str:
        return " ".join(self.cleaned_data["bank_reference"].upper().split())


class CommitmentForm(forms.Form):
    """Registra un impegno: what the public body's paper says (R26c)."""

    reference = forms.CharField(
        label=gettext_lazy("Numero o protocollo dell'impegno"),
        max_length=60,
        widget=text(),
        error_messages={"required": gettext_lazy("Scrivi il numero o protocollo dell'impegno.")},
    )
    on = DayField(label=gettext_lazy("Data dell'impegno"))
    cig = forms.CharField(label="CIG", required=False, widget=text(), help_text=gettext_lazy("10 caratteri."))
    cup = forms.CharField(label="CUP", required=False, widget=text(), help_text=gettext_lazy("15 caratteri, se c'è."))
    split_payment = forms.BooleanField(
        label=gettext_lazy("Scissione dei pagamenti: l'ente paga a noi solo l'imponibile"),
        required=False,
        widget=UnfoldBooleanWidget,
    )

    def clean_on(self) -> Any:
        if self.cleaned_data["on"] > clock.today():
            raise ValidationError(_("La data dell'impegno è nel futuro: controllala."))
        return self.cleaned_data["on"]

    def clean_cig(self) -> str:
        return self._code(commitments.check_cig, "cig")

    def clean_cup(self) -> str:
        return self._code(commitments.check_cup, "cup")

    def _code(self, check: Callable[[str], str], name: str) -> str:
        try:
            return check(self.cleaned_data[name])
        except RefusedError as refusal:
            raise ValidationError(str(refusal)) from refusal


class AllocateForm(forms.Form):
    """Attribuisci a un ordine."""

    order = OrderField(label=gettext_lazy("Numero d'ordine"), help_text=gettext_lazy("Per esempio R-7KQ4M2."))


class ReasonForm(forms.Form):
    """Why staff decided so: kept with the decision."""

    reason = forms.CharField(
        label=gettext_lazy("Che cosa è stato deciso, e perché"),
        max_length=200,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Scrivi che cosa è stato deciso.")},
    )


class CancelForm(ReasonForm):
    """Annulla l'ordine; one more tick where the customer said that a transfer is on its way (R12b)."""

    despite_transfer = forms.BooleanField(
        label=gettext_lazy("Il cliente ha dichiarato un bonifico: annulla lo stesso"),
        widget=UnfoldBooleanWidget,
        error_messages={
            "required": gettext_lazy(
                "Il cliente ha dichiarato di aver pagato: conferma che l'ordine va annullato lo stesso."
            )
        },
    )

    def __init__(self, *args: Any, order: Order, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if order.transfer_declared_on is None:
            del self.fields["despite_transfer"]


class ConfirmForm(forms.Form):
    """A button alone: what is to be known stands beside it."""
