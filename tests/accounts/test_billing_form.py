"""The five kinds of subject: what each must give, and what contradicts itself."""

import pytest

from accounts.billing_forms import BillingForm, OwnBillingForm
from accounts.fiscal_forms import FiscalIdentityForm
from accounts.models import BillingProfile, FiscalIdentity
from accounts.views.profile import GROUPS
from mailboxes.models import Holder

ADDRESS = {
    "address": "via Roma 1", "postal_code": "00184", "city": "Roma", "province": "RM", "country": "IT",
    "phone": "0612345678",
}  # fmt: skip
PERSON = {"first_name": "Mario", "last_name": "Rossi", "codice_fiscale": "RSSMRA85T10A562S", **ADDRESS}
VAT = {"partita_iva": "00743110157"}
BODY = {
    "company_name": "Verdi srl",
    "codice_fiscale": "00743110157",
    "first_name": "Mario",
    "last_name": "Rossi",
    **ADDRESS,
}
COMPLETE = {
    "person": {**PERSON, "subject": "person", "is_consumer": "True"},
    "sole_trader": {**PERSON, **VAT, "subject": "sole_trader", "company_name": "Rossi di Mario Rossi"},
    "professional": {**PERSON, **VAT, "subject": "professional"},
    "company": {**BODY, **VAT, "subject": "company", "sdi_code": "M5UXCR1"},
    "public_body": {**BODY, "subject": "public_body", "sdi_code": "UF1X2Y"},
}
ALWAYS = {"address", "postal_code", "city", "province", "country", "phone", "first_name", "last_name", "codice_fiscale"}
REQUIRED = {
    "person": ALWAYS | {"is_consumer"},
    "sole_trader": ALWAYS | {"company_name", "partita_iva"},
    "professional": ALWAYS | {"partita_iva"},
    "company": ALWAYS | {"company_name"},
    "public_body": ALWAYS | {"company_name", "sdi_code"},
}

REPRESENTATIVE = "representative_codice_fiscale"

pytestmark = pytest.mark.django_db


def own(data: dict, **kwargs) -> OwnBillingForm:
    return OwnBillingForm(data, **kwargs)


@pytest.mark.parametrize("kind", COMPLETE)
def test_a_complete_form_of_each_kind_is_accepted(kind):
    form = own(COMPLETE[kind])
    assert form.errors == {}
    assert form.instance.is_consumer is (kind == "person")


@pytest.mark.parametrize("kind", COMPLETE)
def test_each_kind_requires_its_fields_and_no_others(kind):
    form = own({"subject": kind})
    assert {name for name in form.fields if form.fields[name].required} - {"subject"} == REQUIRED[kind]
    assert set(form.errors) == REQUIRED[kind]


@pytest.mark.parametrize("missing", sorted(REQUIRED["sole_trader"]))
def test_a_missing_field_is_named(missing):
    form = own({**COMPLETE["sole_trader"], missing: ""})
    assert set(form.errors) == {missing}
    assert form.errors[missing][0].startswith(("Scrivi ", "Scegli "))


@pytest.mark.parametrize(
    ("kind", "change", "field", "beginning"),
    [
        ("person", {"last_name": "Bianchi"}, "codice_fiscale", "Il codice fiscale non corrisponde al cognome indicato"),
        ("person", {"first_name": "Luca"}, "codice_fiscale", "Il codice fiscale non corrisponde al nome indicato"),
        ("person", {"birth_date": "1985-12-11"}, "codice_fiscale", "Il codice fiscale non corrisponde alla data"),
        ("person", {"birth_date": "2985-12-10"}, "birth_date", "La data di nascita è nel futuro"),
        ("person", {"codice_fiscale": "00743110157"}, "codice_fiscale", "Il codice fiscale di una persona ha 16"),
        ("company", {"codice_fiscale": "RSSMRA85T10A562S"}, "codice_fiscale", "Questo è il codice fiscale di una"),
        ("company", {REPRESENTATIVE: "BNCBRN75H12F205E"}, REPRESENTATIVE, "Il codice fiscale non corrisponde al"),
        ("company", {"partita_iva": "00743110158"}, "partita_iva", "La partita IVA contiene un errore"),
        ("company", {"sdi_code": "UF1X2Y"}, "sdi_code", "Il codice destinatario ha 7 caratteri"),
        ("company", {"sdi_pec": "fatture@pec.verdi.example"}, "sdi_pec", "Indica il codice destinatario o la PEC"),
        ("public_body", {"sdi_code": "M5UXCR1"}, "sdi_code", "Il codice univoco ufficio ha 6 caratteri"),
        ("person", {"postal_code": "99999"}, "postal_code", "Nessun comune ha il CAP 99999"),
        ("person", {"postal_code": "SW1A 1AA"}, "postal_code", "Il CAP ha 5 cifre. Se fuori dall'Italia"),
        ("person", {"province": "EE"}, "province", "Scrivi la sigla di una provincia italiana"),
        ("person", {"country": "XX"}, "country", "Scegli la nazione dall'elenco"),
        ("person", {"phone": "boh"}, "phone", "Scrivi il numero di telefono"),
        ("person", {"first_name": "Ma\x07rio"}, "first_name", "C'è un carattere invisibile"),
        ("person", {"city": "Łódź"}, "city", "Il carattere «Ł»"),
        ("person", {"first_name": "M" * 61}, "first_name", "Assicurati che questo valore non contenga più di 60"),
    ],
)  # fmt: skip
def test_what_contradicts_is_told_beside_its_field(kind, change, field, beginning):
    form = own({**COMPLETE[kind], **change})
    assert set(form.errors) == {field}
    assert form.errors[field][0].startswith(beginning)


def test_what_is_typed_is_normalised_before_it_is_measured():
    form = own({**COMPLETE["sole_trader"], "codice_fiscale": "rss mra 85t10 a562s", "partita_iva": "IT 007.43.110.157"})
    assert form.errors == {}
    assert form.cleaned_data["codice_fiscale"] == "RSSMRA85T10A562S"
    assert form.cleaned_data["partita_iva"] == "00743110157"


def test_a_woman_born_on_the_1st_matches_day_41():
    form = own(
        {
            **COMPLETE["person"],
            "first_name": "Chiara",
            "last_name": "Conti",
            "codice_fiscale": "CNTCHR83T41D969D",
            "birth_date": "1983-12-01",
        }
    )
    assert form.errors == {}


def test_an_association_has_no_partita_iva():
    form = own({**COMPLETE["company"], "partita_iva": ""})
    assert form.errors == {}


def test_seven_zeros_mean_no_code_and_may_stand_beside_a_pec():
    form = own({**COMPLETE["company"], "sdi_code": "0000000", "sdi_pec": "fatture@pec.verdi.example"})
    assert form.errors == {}


def test_an_address_abroad_has_no_province_and_its_own_post_code():
    form = own({**COMPLETE["person"], "country": "CH", "province": "", "postal_code": "6900", "city": "Lugano"})
    assert form.errors == {}
    form = own({**COMPLETE["person"], "country": "CH", "postal_code": "6900"})
    assert form.errors == {"province": ["Per un indirizzo fuori dall'Italia lascia vuota la provincia."]}


def test_a_legal_representatives_code_is_never_the_fiscal_key():
    form = own({**COMPLETE["company"], "representative_codice_fiscale": "RSSMRA85T10A562S"})
    assert form.errors == {}
    assert form.instance.own_fiscal_key() == "00743110157"


def test_staff_sees_all_fields_and_is_told_which_do_not_belong():
    form = BillingForm({**COMPLETE["person"], "user": "", **VAT, "company_name": "Rossi"})
    sentence = "Questo dato non riguarda il tipo «Persona fisica»: lascialo vuoto o cambia tipo di soggetto."
    assert form.errors == {"partita_iva": [sentence], "company_name": [sentence]}
    form = BillingForm({**COMPLETE["company"], "is_consumer": "on"})
    assert set(form.errors) == {"is_consumer"}


def test_a_code_in_use_is_refused_without_saying_whose(alice):
    taken = {**COMPLETE["person"], "first_name": "Alice", "codice_fiscale": alice.billing.codice_fiscale}
    form = own(taken)
    assert form.errors == {"codice_fiscale": [str(BillingForm.TAKEN)]}
    assert alice.username not in str(form.errors)


def test_a_customer_cannot_change_the_code_and_hears_the_same_whether_or_not_it_is_in_use(alice, carla):
    mine = {name: getattr(alice.billing, name) or "" for name in FiscalIdentity.COPIED} | {"is_consumer": "True"}
    free = own({**mine, **COMPLETE["person"]}, instance=BillingProfile.objects.get(user=alice))
    hers = own(
        {**mine, "first_name": "Carla", "last_name": "Verdi", "codice_fiscale": carla.billing.codice_fiscale},
        instance=BillingProfile.objects.get(user=alice),
    )
    assert free.errors == hers.errors == {"codice_fiscale": [str(OwnBillingForm.LOCKED)]}


def test_changing_kind_empties_what_the_new_kind_has_not(alice):
    profile = BillingProfile.objects.get(user=alice)
    profile.subject, profile.partita_iva, profile.sdi_code = "professional", "00743110157", "M5UXCR1"
    profile.save()
    data = {**ADDRESS, "subject": "person", "first_name": "Alice", "last_name": "Rossi", "is_consumer": "False"}
    form = own({**data, "codice_fiscale": profile.codice_fiscale}, instance=profile)
    assert form.errors == {}
    form.save()
    profile.refresh_from_db()
    assert (profile.subject, profile.partita_iva, profile.sdi_code, profile.is_consumer) == ("person", "", "", False)


class WizardForm(FiscalIdentityForm):
    read_only = FiscalIdentityForm.IDENTITY

    class Meta(FiscalIdentityForm.Meta):
        model = Holder


def test_the_wizard_shows_names_and_codes_and_ignores_what_is_posted_for_them(box):
    holder = box.holder
    holder.codice_fiscale = "ZZZZZZ80A41H501Q"  # old data with a fault that the customer cannot mend here
    form = WizardForm({**COMPLETE["person"], "city": "Milano", "province": "MI"}, instance=holder)
    assert form.errors == {}
    assert (form.cleaned_data["last_name"], form.cleaned_data["codice_fiscale"]) == ("Rossi", "ZZZZZZ80A41H501Q")
    assert form.cleaned_data["first_name"] == "Alice"
    assert form.cleaned_data["city"] == "Milano"
    form = WizardForm({**ADDRESS, "phone": ""}, instance=holder)
    assert form.errors == {"phone": ["Scrivi un numero di telefono."]}


@pytest.mark.parametrize("kind", COMPLETE)
def test_errors_are_summed_up_in_the_order_of_the_page(kind):
    shown = [name for group in GROUPS for name in group]
    found = [shown.index(name) for name in own({"subject": kind, "country": "IT"}).errors]
    assert found == sorted(found)
