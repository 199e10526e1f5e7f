"""Forms over a FiscalIdentity: what a kind of subject must give, and that it agrees with itself (DOMAIN §8)."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import fiscal, places
from accounts.models import FiscalIdentity
from pecportal import clock

Subject = FiscalIdentity.Subject
INDIVIDUALS = frozenset({Subject.PERSON, Subject.SOLE_TRADER, Subject.PROFESSIONAL})
ADDRESS = ("address", "postal_code", "city", "province", "country", "phone")
REQUIRED: dict[str, tuple[str, ...]] = {
    Subject.PERSON: ("first_name", "last_name", "codice_fiscale", *ADDRESS),
    Subject.SOLE_TRADER: ("company_name", "first_name", "last_name", "codice_fiscale", "partita_iva", *ADDRESS),
    Subject.PROFESSIONAL: ("first_name", "last_name", "codice_fiscale", "partita_iva", *ADDRESS),
    # Associations are legal persons without a partita IVA, so it cannot be asked of all of them.
    Subject.COMPANY: ("company_name", "codice_fiscale", "first_name", "last_name", *ADDRESS),
    Subject.PUBLIC_BODY: ("company_name", "codice_fiscale", "sdi_code", "first_name", "last_name", *ADDRESS),
}
NOT_ASKED: dict[str, tuple[str, ...]] = {
    Subject.PERSON: ("company_name", "partita_iva", "representative_codice_fiscale", "sdi_code", "sdi_pec"),
    Subject.SOLE_TRADER: ("representative_codice_fiscale", "is_consumer"),
    Subject.PROFESSIONAL: ("representative_codice_fiscale", "is_consumer"),
    Subject.COMPANY: ("birth_date", "is_consumer"),
    Subject.PUBLIC_BODY: ("birth_date", "is_consumer", "sdi_pec"),
}
MISSING: dict[str, Any] = {
    "company_name": gettext_lazy("Scrivi la ragione sociale o la denominazione."),
    "first_name": gettext_lazy("Scrivi il nome."),
    "last_name": gettext_lazy("Scrivi il cognome."),
    "codice_fiscale": gettext_lazy("Scrivi il codice fiscale."),
    "partita_iva": gettext_lazy("Scrivi la partita IVA."),
    "address": gettext_lazy("Scrivi l'indirizzo con il numero civico."),
    "postal_code": gettext_lazy("Scrivi il CAP."),
    "city": gettext_lazy("Scrivi il comune."),
    "province": gettext_lazy("Scegli la provincia."),
    "country": gettext_lazy("Scegli la nazione."),
    "phone": gettext_lazy("Scrivi un numero di telefono."),
    "sdi_code": gettext_lazy("Scrivi il codice univoco ufficio: senza, la fattura non si può inviare."),
}


class CodeField(forms.CharField):
    """A code: spaces, dots and hyphens go, letters become capitals, before the length is looked at."""

    def to_python(self, value: Any) -> str:
        return fiscal.compact(super().to_python(value) or "")

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        attrs = super().widget_attrs(widget)
        attrs.pop("maxlength", None)  # the browser must not cut a code that was pasted with spaces
        return {**attrs, "autocapitalize": "characters", "spellcheck": "false"}


class PartitaIvaField(CodeField):
    def to_python(self, value: Any) -> str:
        return fiscal.without_country(super().to_python(value))


class WordsField(forms.CharField):
    """A name or an address in one line."""

    def to_python(self, value: Any) -> str:
        return fiscal.check_words(super().to_python(value) or "")


# Callables, so that each page has the names in its language.
PROVINCES: Any = places.province_choices
COUNTRIES: Any = places.country_choices


class FiscalIdentityForm(forms.ModelForm):
    """The shared fields of billing profiles and holders, required and checked by kind of subject.

    For the billing page, for staff and for the wizard's *Dati intestatario*. A subclass gives `Meta(…Meta)` with its
    model; `read_only` names what it only shows: posted values of those are ignored, and faults that old data may have
    in them are not held against who cannot mend them (the wizard: `read_only = FiscalIdentityForm.IDENTITY`).
    """

    IDENTITY = (
        "subject", "first_name", "last_name", "company_name", "codice_fiscale", "partita_iva", "birth_date",
        "representative_codice_fiscale",
    )  # fmt: skip
    read_only: tuple[str, ...] = ()

    class Meta:
        fields: tuple[str, ...] = FiscalIdentity.COPIED
        field_classes = {
            **dict.fromkeys(("first_name", "last_name", "company_name", "address", "city"), WordsField),
            **dict.fromkeys(("codice_fiscale", "representative_codice_fiscale", "postal_code", "sdi_code"), CodeField),
            "partita_iva": PartitaIvaField,
        }
        error_messages = {
            "postal_code": {
                "max_length": gettext_lazy(
                    "Il CAP ha 5 cifre. Se fuori dall'Italia il codice è più lungo, scrivi 00000."
                )
            },
        }
        widgets = {
            "subject": forms.RadioSelect,
            "birth_date": forms.DateInput(format="%Y-%m-%d", attrs={"type": "date", "autocomplete": "bday"}),
            "province": forms.Select(choices=PROVINCES, attrs={"autocomplete": "address-level1"}),
            "country": forms.Select(choices=COUNTRIES, attrs={"autocomplete": "country"}),
            "first_name": forms.TextInput(attrs={"autocomplete": "given-name"}),
            "last_name": forms.TextInput(attrs={"autocomplete": "family-name"}),
            "company_name": forms.TextInput(attrs={"autocomplete": "organization"}),
            "address": forms.TextInput(attrs={"autocomplete": "street-address"}),
            "postal_code": forms.TextInput(attrs={"autocomplete": "postal-code", "inputmode": "numeric"}),
            "partita_iva": forms.TextInput(attrs={"inputmode": "numeric"}),
            "city": forms.TextInput(attrs={"autocomplete": "address-level2"}),
            "phone": forms.TextInput(attrs={"autocomplete": "tel", "type": "tel"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if name in self.read_only:
                field.disabled = True
                field.required = False
            elif name in MISSING or name in REQUIRED[self.kind]:
                field.required = name in REQUIRED[self.kind]
                field.error_messages["required"] = MISSING.get(name, field.error_messages["required"])
        if "province" in self.fields and self._given("country") not in (None, "", places.ITALY):
            self.fields["province"].required = False

    @property
    def kind(self) -> str:
        """The kind of subject that this form is about: what was posted, else what is stored or initial."""
        for kind in (self._given("subject"), self.instance.subject):
            if kind in Subject.values:
                return str(kind)
        return Subject.PERSON

    def _given(self, name: str) -> Any:
        """What was posted for a field that may be posted, else what the form shows."""
        if self.is_bound and name not in self.read_only:
            return self.data.get(self.add_prefix(name))
        return self.get_initial_for_field(self.fields[name], name) if name in self.fields else None

    # --- One field at a time ----------------------------------------------------------------------------------------

    def clean_codice_fiscale(self) -> str:
        check = fiscal.check_personal_code if self.kind in INDIVIDUALS else fiscal.check_body_code
        return self._checked("codice_fiscale", check)

    def clean_partita_iva(self) -> str:
        return self._checked("partita_iva", fiscal.check_partita_iva)

    def clean_representative_codice_fiscale(self) -> str:
        return self._checked("representative_codice_fiscale", fiscal.check_personal_code)

    def clean_phone(self) -> str:
        return self._checked("phone", fiscal.check_phone)

    def clean_country(self) -> str:
        country = str(self.cleaned_data["country"]).strip().upper()
        if "country" not in self.read_only and not places.is_country(country):
            raise ValidationError(_("Scegli la nazione dall'elenco."))
        return country

    def clean_birth_date(self) -> Any:
        born = self.cleaned_data["birth_date"]
        if born and "birth_date" not in self.read_only and born >= clock.today():
            raise ValidationError(_("La data di nascita è nel futuro: controlla l'anno."))
        return born

    def clean_sdi_code(self) -> str:
        public = self.kind == Subject.PUBLIC_BODY
        return self._checked("sdi_code", fiscal.check_public_sdi_code if public else fiscal.check_private_sdi_code)

    def _checked(self, name: str, check: Any) -> str:
        typed = str(self.cleaned_data[name] or "")
        return check(typed) if typed and name not in self.read_only else typed

    # --- One field against the others -------------------------------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        super().clean()
        self._refuse_what_is_not_asked()
        self._check_code_against_person()
        self._check_place()
        self._check_invoice_road()
        return self.cleaned_data

    def _refuse_what_is_not_asked(self) -> None:
        kind = Subject(self.kind)
        for name in NOT_ASKED[kind]:
            if self.cleaned_data.get(name):
                self._refuse(
                    name,
                    _("Questo dato non riguarda il tipo «%(kind)s»: lascialo vuoto o cambia tipo di soggetto.")
                    % {"kind": kind.label},
                )

    def _check_code_against_person(self) -> None:
        """Surname, name and birth are those in the subject's own code, or in the legal representative's."""
        code_name = "codice_fiscale" if self.kind in INDIVIDUALS else "representative_codice_fiscale"
        code = self.cleaned_data.get(code_name)
        if not code or len(code) != 16:
            return
        for name, check in (
            ("last_name", fiscal.check_surname),
            ("first_name", fiscal.check_first_name),
            ("birth_date", fiscal.check_birth_date),
        ):
            value = self.cleaned_data.get(name)
            if value and name not in NOT_ASKED[self.kind]:
                try:
                    check(code, value)
                except ValidationError as error:
                    self._refuse(code_name, error)
                    return  # one wrong letter in the code often breaks more than one check: say one thing

    def _check_place(self) -> None:
        country = self.cleaned_data.get("country")
        if country is None or "country" in self.errors:
            return
        for name, check in (("postal_code", fiscal.check_cap), ("province", fiscal.check_province)):
            value = self.cleaned_data.get(name)
            if value and country == places.ITALY:
                try:
                    self.cleaned_data[name] = check(value)
                except ValidationError as error:
                    self._refuse(name, error)
        if country != places.ITALY and self.cleaned_data.get("province"):
            self._refuse("province", _("Per un indirizzo fuori dall'Italia lascia vuota la provincia."))

    def _check_invoice_road(self) -> None:
        code = self.cleaned_data.get("sdi_code")
        if code and code != fiscal.NO_SDI_CODE and self.cleaned_data.get("sdi_pec"):
            self._refuse("sdi_pec", _("Indica il codice destinatario o la PEC per le fatture, non tutti e due."))

    def _refuse(self, name: str, error: str | ValidationError) -> None:
        if name not in self.read_only:
            self.add_error(name if name in self.fields else None, error)
