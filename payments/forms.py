"""The few things a customer types or ticks to pay, to cancel and to be renewed automatically."""

from collections.abc import Iterable, Sequence
from datetime import date

from django import forms
from django.utils.translation import gettext_lazy as _
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from mailboxes.hosting import is_hosted
from payments.methods import Method
from payments.models import StoredMethod
from renewals.forms import years_field

NO_AUTO_RENEWAL = _("Non attivare il rinnovo automatico")  # R23: the words of the unticked box


class PayForm(forms.Form):
    """Paga: one of the methods offered, and the tick against automatic renewal (R23)."""

    method = forms.ChoiceField(
        label=_("Come vuoi pagare"),
        widget=forms.RadioSelect,
        error_messages=dict.fromkeys(("required", "invalid_choice"), _("Scegli uno dei modi di pagare elencati.")),
    )
    # One tick under each method that saves itself; only the chosen method's counts.
    no_auto_renewal = forms.MultipleChoiceField(label=NO_AUTO_RENEWAL, required=False)

    def __init__(self, *args: object, methods: Sequence[Method], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.offered = methods
        for field in self.fields.values():
            assert isinstance(field, forms.ChoiceField)
            field.choices = [(method.code, method.name) for method in methods]

    def clean_method(self) -> str:
        code = str(self.cleaned_data["method"])
        refusal = next((method.refusal for method in self.offered if method.code == code), "")
        if refusal:
            raise forms.ValidationError(refusal)
        return code


class CancelForm(forms.Form):
    """Annulla: a second tick where a transfer was declared (R12b)."""

    despite_transfer = forms.BooleanField(
        label=_("Annulla lo stesso: il denaro non è partito, oppure chiederò di riaverlo."),
        error_messages={"required": _("Hai dichiarato un pagamento: spunta la casella se vuoi annullare lo stesso.")},
    )

    def __init__(self, *args: object, transfer_declared: bool, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if not transfer_declared:
            del self.fields["despite_transfer"]


class AutoRenewalForm(forms.Form):
    """Rinnovo automatico by hand: a saved method of the same login and 1 to 5 years (R24, R24b)."""

    method = forms.ChoiceField(
        label=_("Con quale metodo"),
        widget=forms.RadioSelect,
        error_messages=dict.fromkeys(("required", "invalid_choice"), _("Scegli uno dei tuoi metodi di pagamento.")),
    )
    years = years_field()

    def __init__(self, *args: object, methods: Sequence[StoredMethod], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.methods = {str(method.public_id): method for method in methods}
        field = self.fields["method"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(public_id, method.label) for public_id, method in self.methods.items()]

    def clean_method(self) -> StoredMethod:
        return self.methods[str(self.cleaned_data["method"])]


class AddMethodForm(forms.Form):
    """Aggiungi un metodo: with which provider."""

    provider = forms.ChoiceField(
        label=_("Che cosa vuoi aggiungere"),
        widget=forms.RadioSelect,
        error_messages=dict.fromkeys(("required", "invalid_choice"), _("Scegli uno dei metodi elencati.")),
    )

    def __init__(self, *args: object, choices: Sequence[tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        field = self.fields["provider"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = list(choices)


class AmountForm(forms.Form):
    """The higher amount as it was shown: what is agreed to is what was read (R24)."""

    shown = forms.DecimalField(max_digits=9, decimal_places=2, widget=forms.HiddenInput)


class CodeForm(forms.Form):
    """The code of the sandbox's strong authentication."""

    code = forms.CharField(
        label=_("Codice ricevuto"), max_length=12,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
        error_messages={"required": _("Scrivi il codice a sei cifre.")},
    )  # fmt: skip
    expected = "123456"

    def clean_code(self) -> str:
        code = str(self.cleaned_data["code"]).replace(" ", "")
        if code != self.expected:
            raise forms.ValidationError(_("Il codice non è giusto: controlla le sei cifre e riprova."))
        return code


def usable(methods: Iterable[StoredMethod], *, on: date) -> list[StoredMethod]:
    """Those that will not have expired on the day of the charge; a card is good through the end of its month."""
    return [m for m in methods if not m.expires_year or (m.expires_year, m.expires_month or 12) >= (on.year, on.month)]


class WithdrawalForm(forms.Form):
    """Recesso (art. 54-bis cod. consumo): who leaves, where the receipt goes, an IBAN for money that came by bank."""

    name = forms.CharField(
        label=_("Nome e cognome"),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
        error_messages={"required": _("Scrivi il nome di chi recede.")},
    )
    email = forms.EmailField(
        label=_("E-mail per la ricevuta"),
        help_text=_("Ti mandiamo subito la ricevuta con la data e l'ora."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        error_messages={
            "required": _("Scrivi l'e-mail a cui mandare la ricevuta."),
            "invalid": _("L'indirizzo e-mail non è completo: controlla che abbia la forma nome@esempio.it."),
        },
    )
    iban = forms.CharField(
        label=_("IBAN per il rimborso"),
        max_length=60,
        help_text=_("Avevi pagato con un bonifico: scrivi un conto intestato a te."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": _("Scrivi l'IBAN su cui rimborsarti: avevi pagato con un bonifico.")},
    )

    def __init__(self, *args: object, needs_iban: bool, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if not needs_iban:
            del self.fields["iban"]

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"])
        if is_hosted(email):
            raise forms.ValidationError(_("Scrivi un'altra e-mail: questa è una casella PEC gestita qui."))
        return email

    def clean_iban(self) -> str:
        try:
            return str(IBAN(self.cleaned_data["iban"], validate_bban=True).compact)
        except SchwiftyException as error:
            raise forms.ValidationError(_("L'IBAN contiene un errore: ricontrolla tutti i caratteri.")) from error
