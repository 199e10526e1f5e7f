"""Dati di fatturazione, as staff and as the account itself fill them in."""

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import fiscal
from accounts.fiscal_forms import INDIVIDUALS, NOT_ASKED, FiscalIdentityForm, Subject
from accounts.models import BillingProfile

EMPTY: dict[str, Any] = {"birth_date": None, "is_consumer": False}  # of the others, ""


class BillingForm(FiscalIdentityForm):
    """Dati di fatturazione with everything an invoice needs; one account per fiscal key (R2)."""

    TAKEN = gettext_lazy(
        "Con questo codice c'è già un account: se è il tuo, esci e recupera l'accesso con «Non ricordo lo username», "
        "altrimenti scrivi all'assistenza."
    )

    class Meta(FiscalIdentityForm.Meta):
        model = BillingProfile
        fields = BillingProfile.COPIED

    def clean(self) -> dict[str, Any]:
        super().clean()
        for name in ("first_name", "last_name", "company_name", "address", "city"):
            try:
                fiscal.check_invoice_words(self.cleaned_data.get(name) or "")
            except ValidationError as error:
                self._refuse(name, error)
        key = self.cleaned_data.get("codice_fiscale") or self.cleaned_data.get("partita_iva")
        if key and "codice_fiscale" not in self.errors:
            self.check_key(key)
        return self.cleaned_data

    def check_key(self, key: str) -> None:
        """Refuse a fiscal key that another account has, without a word about whose it is."""
        if BillingProfile.objects.filter(fiscal_key=key).exclude(pk=self.instance.pk).exists():
            self.refuse_key()

    def refuse_key(self) -> None:
        """Also for the view, when the database says that two asked for one key at once."""
        self._refuse("codice_fiscale", str(self.TAKEN))


class OwnBillingForm(BillingForm):
    """The billing form as the account itself fills it: only the fields of its kind; its fiscal key stays what it is.

    A customer cannot change the fiscal key: it says which boxes are its own (R2), and being a box's holder opens the
    way to that box's contact e-mail and password (R3, R12). Support changes it, after looking at papers.
    """

    LOCKED = gettext_lazy(
        "Il codice con cui sei registrato non si cambia da qui, perché dice quali caselle sono tue: "
        "scrivi all'assistenza."
    )
    field_order = ("subject", "company_name")  # as the page shows them, and the summary of errors above it
    is_consumer = forms.TypedChoiceField(
        label=gettext_lazy("Come usi il servizio"),
        choices=[
            ("True", gettext_lazy("Per uso personale: sono un consumatore")),
            ("False", gettext_lazy("Per la mia attività o professione")),
        ],
        coerce=lambda answer: answer == "True",
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Di' se usi il servizio per te o per la tua attività.")},
        help_text=gettext_lazy("I consumatori hanno in più il diritto di recesso e gli avvisi sul rinnovo automatico."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in NOT_ASKED[self.kind]:
            del self.fields[name]
        if self.kind not in INDIVIDUALS:
            self.fields["first_name"].label = _("Nome del legale rappresentante")
            self.fields["last_name"].label = _("Cognome del legale rappresentante")
        if self.kind == Subject.COMPANY:
            self.fields["partita_iva"].help_text = _("Le associazioni senza partita IVA la lasciano vuota.")
        if self.kind == Subject.PUBLIC_BODY:
            self.fields["sdi_code"].label = _("Codice univoco ufficio")
            self.fields["sdi_code"].help_text = _("Sei caratteri: lo trovi su indicepa.gov.it.")
        elif "sdi_code" in self.fields:
            self.fields["sdi_code"].help_text = _("Sette caratteri. Se non l'hai, indica la PEC o lascia vuoto.")
        if self.instance.pk is None and self.initial.get("is_consumer") is False:
            self.initial.pop("is_consumer")  # nothing was answered yet: no answer is given for them
        if self.instance.pk is not None:
            self._hold_to_its_code()

    def _hold_to_its_code(self) -> None:
        """Show that the code stays, and offer only the kinds of subject that have such a code."""
        code, subject = self.fields["codice_fiscale"], cast(forms.ChoiceField, self.fields["subject"])
        code.help_text = _("Non si cambia da qui: se è sbagliato, scrivi all'assistenza.")
        code.widget.attrs["readonly"] = True
        person = self.instance.subject in INDIVIDUALS
        subject.choices = [(kind.value, kind.label) for kind in Subject if (kind in INDIVIDUALS) is person]
        subject.error_messages["invalid_choice"] = _("Da persona a società o ente si passa con l'assistenza: scrivile.")

    def clean(self) -> dict[str, Any]:
        for name in NOT_ASKED[self.kind]:
            setattr(self.instance, name, EMPTY.get(name, ""))
        return super().clean()

    def check_key(self, key: str) -> None:
        if self.instance.pk and key != self.instance.fiscal_key:
            self._refuse("codice_fiscale", str(self.LOCKED))
        else:
            super().check_key(key)
