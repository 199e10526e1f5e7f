"""Forms of staff's own pages for boxes, domains and holders. What they refuse they refuse with a sentence (R31)."""

import re
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
)

from accounts import fiscal
from accounts.fiscal_forms import COUNTRIES, PROVINCES, FiscalIdentityForm
from mailboxes.hosting import is_hosted
from mailboxes.models import Domain, Holder, Plan

from .fields import AccountField, BirthDateField, DayField


class HolderForm(FiscalIdentityForm):
    """A holder as staff write it. The contact e-mail is given once: later it changes only with a code (R12)."""

    account = AccountField(
        label=gettext_lazy("Account"),
        help_text=gettext_lazy("Username o e-mail dell'account che gestisce le sue caselle."),
    )

    class Meta(FiscalIdentityForm.Meta):
        model = Holder
        fields = (*FiscalIdentityForm.Meta.fields, "contact_email")
        widgets = {
            **dict.fromkeys(FiscalIdentityForm.Meta.fields, UnfoldAdminTextInputWidget),
            "subject": UnfoldAdminSelectWidget,
            "birth_date": UnfoldAdminSingleDateWidget(format="%d/%m/%Y"),
            "province": UnfoldAdminSelectWidget(choices=PROVINCES),
            "country": UnfoldAdminSelectWidget(choices=COUNTRIES),
            "contact_email": UnfoldAdminEmailInputWidget,
        }
        field_classes: Any = {**FiscalIdentityForm.Meta.field_classes, "birth_date": BirthDateField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["account"]

    def clean_contact_email(self) -> str:
        email = self.cleaned_data["contact_email"].strip().lower()
        if is_hosted(email):
            raise ValidationError(
                _("L'e-mail di contatto non può essere una casella PEC gestita qui: scadrebbe con lei.")
            )
        return email

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if not self.instance.pk and data.get("account"):
            self.instance.owner = data["account"]
        key = data.get("codice_fiscale") or data.get("partita_iva")
        if not key and "codice_fiscale" not in self.errors and "partita_iva" not in self.errors:
            self.add_error("codice_fiscale", _("Serve il codice fiscale, o almeno la partita IVA."))
        elif key and self.instance.owner_id:
            same = Holder.objects.filter(owner=self.instance.owner_id, fiscal_key=key).exclude(pk=self.instance.pk)
            if same.exists():
                self.add_error("codice_fiscale", _("L'account ha già un titolare con questo codice: usa quello."))
        return data


def text(**attrs: str) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false", **attrs})


class OpenBoxForm(forms.Form):
    """Apri una casella: one that exists already elsewhere, active, with its opening period."""

    INCLUDED = gettext_lazy("In tutto. Vuoto: quelli compresi nella tipologia.")

    address = forms.EmailField(
        label=gettext_lazy("Indirizzo PEC"),
        max_length=254,
        widget=UnfoldAdminEmailInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={
            "required": gettext_lazy("Scrivi l'indirizzo PEC."),
            "invalid": gettext_lazy("Scrivi l'indirizzo come nome@dominio.it."),
        },
    )
    owner = AccountField(label=gettext_lazy("Account"), help_text=gettext_lazy("Username o e-mail."))
    holder = forms.CharField(
        label=gettext_lazy("Titolare"),
        help_text=gettext_lazy("Codice fiscale o partita IVA di un titolare dell'account."),
        widget=text(),
        error_messages={"required": gettext_lazy("Scrivi il codice fiscale o la partita IVA del titolare.")},
    )
    plan = forms.ModelChoiceField(
        Plan.objects.all(),
        label=gettext_lazy("Tipologia"),
        widget=UnfoldAdminSelectWidget,
        empty_label=gettext_lazy("Scegli"),
        error_messages={
            "required": gettext_lazy("Scegli la tipologia."),
            "invalid_choice": gettext_lazy("Scegli la tipologia dall'elenco."),
        },
    )
    expires_on = DayField(
        label=gettext_lazy("Scade il"),
        required=False,
        help_text=gettext_lazy(
            "L'ultimo giorno di servizio. Vuoto se la casella è su un dominio: ne prende la scadenza."
        ),
    )
    domain = forms.CharField(
        label=gettext_lazy("Dominio"),
        required=False,
        widget=text(),
        help_text=gettext_lazy("Solo per una casella su dominio, come rossi.it."),
    )
    mailbox_gb = forms.IntegerField(
        label=gettext_lazy("GB di casella"),
        required=False,
        min_value=1,
        max_value=1000,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=INCLUDED,
    )
    archive_gb = forms.IntegerField(
        label=gettext_lazy("GB di archivio"),
        required=False,
        min_value=0,
        max_value=1000,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=INCLUDED,
    )

    def clean_domain(self) -> Domain | None:
        name = self.cleaned_data["domain"].strip().lower()
        if not name:
            return None
        domain = Domain.objects.filter(name=name).order_by("pk").last()  # the life of today: the others are over
        if domain is None:
            raise ValidationError(_("Nessun dominio si chiama così: controlla il nome, oppure apri prima il dominio."))
        return domain

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        owner, typed = data.get("owner"), data.get("holder")
        if owner and typed:
            data["holder"] = Holder.objects.filter(owner=owner, fiscal_key=fiscal.compact(typed)).first()
            if data["holder"] is None:
                sentence = _(
                    "L'account non ha un titolare con questo codice: controllalo, o aggiungi prima il titolare."
                )
                self.add_error("holder", sentence)
        domain, address = data.get("domain"), data.get("address")
        if domain is not None and owner and domain.owner_id != owner.pk:
            self.add_error("domain", _("Il dominio è di un altro account."))
        if domain is not None and address and address.rpartition("@")[2].lower() != domain.mail_host:
            self.add_error("address", _("L'indirizzo deve finire con @%(hosts)s.") % {"hosts": domain.mail_host})
        hosts = [host.lower() for host in settings.PEC_DOMAINS]
        if (
            domain is None
            and "domain" not in self.errors
            and address
            and address.rpartition("@")[2].lower() not in hosts
        ):
            self.add_error("address", _("L'indirizzo deve finire con @%(hosts)s.") % {"hosts": ", @".join(hosts)})
        both_right = "expires_on" not in self.errors and "domain" not in self.errors
        if both_right and (domain is None) == (data.get("expires_on") is None):
            sentence = _("Indica la scadenza, oppure il dominio da cui la casella la prende: uno dei due.")
            self.add_error("expires_on", sentence)
        return data


class OpenDomainForm(forms.Form):
    """Apri un dominio: with its opening period; its boxes take its dates (R17)."""

    HOST = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}", re.ASCII)

    name = forms.CharField(
        label=gettext_lazy("Nome del dominio"),
        widget=text(),
        help_text=gettext_lazy("Come rossi.it."),
        error_messages={"required": gettext_lazy("Scrivi il nome del dominio.")},
    )
    mail_host = forms.CharField(
        label=gettext_lazy("Parte dopo la chiocciola"),
        widget=text(),
        help_text=gettext_lazy("Come pec.rossi.it."),
        error_messages={"required": gettext_lazy("Scrivi la parte dopo la chiocciola.")},
    )
    owner = AccountField(label=gettext_lazy("Account"), help_text=gettext_lazy("Username o e-mail."))
    expires_on = DayField(label=gettext_lazy("Scade il"), help_text=gettext_lazy("L'ultimo giorno di servizio."))
    deletion_days = forms.IntegerField(
        label=gettext_lazy("Giorni prima della cancellazione"),
        required=False,
        min_value=1,
        max_value=3650,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("Dopo la scadenza. Vuoto: quelli di tutte le caselle."),
    )

    def clean_name(self) -> str:
        return self._host("name")

    def clean_mail_host(self) -> str:
        host = self._host("mail_host")
        if Domain.objects.filter(mail_host=host).exclude(phase=Domain.Phase.DELETED).exists():
            raise ValidationError(_("Un altro dominio usa già questa parte dopo la chiocciola."))
        return host

    def _host(self, name: str) -> str:
        host = self.cleaned_data[name].strip().lower().removesuffix(".")
        if not self.HOST.fullmatch(host):
            raise ValidationError(_("Non è il nome di un dominio: scrivilo come rossi.it."))
        return host
