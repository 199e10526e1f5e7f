"""Price list, plans, VAT, holders, boxes and domains by staff (R6, R12, R13, R26, R32)."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from auditlog.models import LogEntry
from django.contrib.messages import get_messages
from django.urls import reverse

from mailboxes.catalogue import prices_on
from mailboxes.models import BoxEvent, Domain, Holder, Mailbox, PaidPeriod, Plan, Price, VatRate
from tests.conftest import ADDRESS, holder_of
from tests.domains import domain_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client, dario, plans):
    client.force_login(dario, backend="accounts.backends.AccountBackend")
    return client


def said(response) -> list[tuple[str, str]]:
    return [(m.level_tag, m.message) for m in get_messages(response.wsgi_request)]


def errors(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    form = response.context["adminform"].form if "adminform" in response.context else response.context["form"]
    return {k: list(v) for k, v in form.errors.items()}


def written(day) -> str:
    return f"{day:%d/%m/%Y}"


# --- Prices and VAT ---------------------------------------------------------------------------------------------------
ADD_PRICE = "/admin/mailboxes/price/add/"
PAST = "Può valere da oggi in poi: nel passato ci sono ordini già fatti."


def test_a_price_is_superseded_from_its_day(staff, plans, today, dario):
    tomorrow = today + timedelta(days=1)
    price = {"item": "plan", "plan": plans.standard.pk, "net": "11,50", "valid_from": written(tomorrow)}
    assert staff.post(ADD_PRICE, price).status_code == 302
    assert prices_on(today).plan("standard") == Decimal("9.90")
    assert prices_on(tomorrow).plan("standard") == Decimal("11.50")
    entry = LogEntry.objects.get_for_model(Price).latest("timestamp")
    assert (entry.actor, entry.action, entry.changes["net"]) == (dario, LogEntry.Action.CREATE, ["None", "11.50"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"valid_from": "-1"}, {"valid_from": [PAST]}),
        ({"valid_from": ""}, {"valid_from": ["Scrivi la data."]}),
        ({"net": "0"}, {"net": ["L'importo deve essere maggiore di zero."]}),
        ({"net": "-9,90"}, {"net": ["L'importo deve essere maggiore di zero."]}),
        ({"net": "gratis"}, {"net": ["Scrivi l'importo in euro come 12,08 oppure 1234,50."]}),
        ({"plan": ""}, {"plan": ["Scegli la tipologia di cui è il prezzo."]}),
        ({"item": "mailbox_gb"}, {"plan": ["Questa voce vale per tutte le tipologie: lascia vuota la tipologia."]}),
    ],
)
def test_bad_prices_get_their_sentence(staff, plans, today, changes, expected):
    price = {"item": "plan", "plan": plans.standard.pk, "net": "11,50", "valid_from": written(today), **changes}
    if price["valid_from"] == "-1":
        price["valid_from"] = written(today - timedelta(days=1))
    before = Price.objects.count()
    assert errors(staff.post(ADD_PRICE, price)) == expected
    assert Price.objects.count() == before


def test_two_prices_of_one_item_and_day_are_refused(staff, plans, today):
    price = {"item": "plan", "plan": plans.standard.pk, "net": "11,50", "valid_from": written(today)}
    assert staff.post(ADD_PRICE, price).status_code == 302
    same = {"valid_from": ["Per quel giorno c'è già un prezzo di questa voce: modifica quello."]}
    assert errors(staff.post(ADD_PRICE, price)) == same
    gb = {"item": "mailbox_gb", "plan": "", "net": "4", "valid_from": written(today)}
    assert staff.post(ADD_PRICE, gb).status_code == 302
    assert errors(staff.post(ADD_PRICE, gb)) == same


def test_a_price_of_the_past_is_not_edited_and_says_what_to_do(staff, plans):
    price = Price.objects.get(plan=plans.standard)
    page = reverse("admin:mailboxes_price_change", args=[price.pk])
    sentence = (
        "In vigore dal 1 gennaio 2020: non si modifica. Aggiungi una riga che valga da oggi o da un giorno futuro."
    )
    shown = staff.get(page).content.decode()
    assert sentence in shown and 'name="net"' not in shown
    answer = staff.post(page, {"item": "plan", "plan": plans.standard.pk, "net": "1,00", "valid_from": "01/01/2020"})
    assert answer.status_code == 302 and said(answer) == [("error", sentence)]
    price.refresh_from_db()
    assert price.net == Decimal("9.90")
    assert staff.post(reverse("admin:mailboxes_price_delete", args=[price.pk]), {"post": "yes"}).status_code == 403


def test_a_price_of_the_future_may_be_corrected_and_taken_back(staff, plans, today, dario):
    day = today + timedelta(days=30)
    price = Price.objects.create(item="plan", plan=plans.standard, net=Decimal("11.50"), valid_from=day)
    page = reverse("admin:mailboxes_price_change", args=[price.pk])
    assert 'value="11,50"' in staff.get(page).content.decode()
    changed = {"item": "plan", "plan": plans.standard.pk, "net": "12", "valid_from": written(day)}
    assert staff.post(page, changed).status_code == 302
    price.refresh_from_db()
    assert price.net == Decimal("12.00")
    entry = LogEntry.objects.get_for_object(price).latest("timestamp")
    assert (entry.actor, entry.changes) == (dario, {"net": ["11.50", "12.00"]})
    assert staff.post(reverse("admin:mailboxes_price_delete", args=[price.pk]), {"post": "yes"}).status_code == 302
    assert not Price.objects.filter(pk=price.pk).exists()


def test_the_list_says_which_price_is_in_force(staff, plans, today):
    Price.objects.create(item="plan", plan=plans.standard, net=Decimal("11.50"), valid_from=today)
    Price.objects.create(item="plan", plan=plans.standard, net=Decimal("12.50"), valid_from=today + timedelta(days=1))
    page = staff.get("/admin/mailboxes/price/?item__exact=plan").content.decode()
    assert (page.count("Sostituito"), page.count("In vigore\n"), page.count("Non ancora")) == (1, 3, 1)


@pytest.mark.parametrize(
    ("text", "rate"), [("22", "0.22"), ("22,5", "0.225"), ("22.5 %", "0.225"), ("4", "0.04"), ("0", "0")]
)
def test_vat_rates_are_typed_in_per_cent(staff, today, text, rate):
    assert staff.post("/admin/mailboxes/vatrate/add/", {"rate": text, "valid_from": written(today)}).status_code == 302
    assert prices_on(today).vat_rate == Decimal(rate)
    assert f"{text.replace('.', ',').replace(' %', '')} %" in staff.get("/admin/mailboxes/vatrate/").content.decode()


@pytest.mark.parametrize("text", ["", "-1", "100", "0.22.1", "ventidue", "22,555"])
def test_bad_vat_rates_get_a_sentence(staff, today, text):
    found = errors(staff.post("/admin/mailboxes/vatrate/add/", {"rate": text, "valid_from": written(today)}))
    assert found["rate"][0].startswith("Scrivi l'aliquota")
    assert VatRate.objects.count() == 1


# --- Plans ------------------------------------------------------------------------------------------------------------


def plan_fields(plan, **changes) -> dict[str, object]:
    names = ("name", "rank", "base_mailbox_gb", "max_mailbox_gb", "base_archive_gb", "max_archive_gb")
    return {**{n: getattr(plan, n) for n in names}, "selectable": "on", **changes}


def test_a_plan_is_edited_under_the_eye_of_auditlog_and_keeps_its_code(staff, plans, dario):
    page = reverse("admin:mailboxes_plan_change", args=[plans.pro.pk])
    assert staff.post(page, plan_fields(plans.pro, max_mailbox_gb=60, code="altro")).status_code == 302
    plan = Plan.objects.get(pk=plans.pro.pk)
    assert (plan.max_mailbox_gb, plan.code) == (60, "pro")
    entry = LogEntry.objects.get_for_object(plan).latest("timestamp")
    assert (entry.actor, entry.changes) == (dario, {"max_mailbox_gb": ["50", "60"]})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"max_mailbox_gb": 1}, "max_mailbox_gb"),
        ({"max_archive_gb": 2}, "max_archive_gb"),
        ({"base_mailbox_gb": 0}, "base_mailbox_gb"),
        ({"base_mailbox_gb": -1}, "base_mailbox_gb"),
        ({"rank": 1}, "rank"),
        ({"name": ""}, "name"),
    ],
)
def test_bad_plans_get_their_sentence(staff, plans, changes, field):
    page = reverse("admin:mailboxes_plan_change", args=[plans.pro.pk])
    assert list(errors(staff.post(page, plan_fields(plans.pro, **changes)))) == [field]


# --- Holders ----------------------------------------------------------------------------------------------------------
NEW = {
    "account": "2000001@pecportal.example", "contact_email": "bruno@posta.example", "subject": "person",
    "first_name": "Bruno", "last_name": "Bianchi", "codice_fiscale": "bnc brn 75h12 f205e", "country": "IT", **ADDRESS,
}  # fmt: skip
ADD_HOLDER = "/admin/mailboxes/holder/add/"


@pytest.mark.parametrize("account", ["2000001@pecportal.example", "ALICE@posta.example"])
def test_a_holder_is_added_to_an_account(staff, alice, dario, account):
    assert staff.post(ADD_HOLDER, {**NEW, "account": account}).status_code == 302
    holder = Holder.objects.get()
    assert (holder.owner, holder.fiscal_key, holder.contact_email) == (alice, "BNCBRN75H12F205E", "bruno@posta.example")
    assert LogEntry.objects.get_for_object(holder).get().actor == dario


def test_a_holder_may_be_born_before_2000(staff, alice):
    assert staff.post(ADD_HOLDER, {**NEW, "birth_date": "12/06/1975"}).status_code == 302
    assert Holder.objects.get().birth_date == date(1975, 6, 12)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"account": ""}, "account"),
        ({"account": "nessuno@pecportal.example"}, "account"),
        ({"account": "alice@pec.example"}, "account"),  # a mailbox login is not an account
        ({"codice_fiscale": "BNCBRN75H12F205X"}, "codice_fiscale"),
        ({"codice_fiscale": ""}, "codice_fiscale"),
        (
            {"codice_fiscale": "RSSLCA80A41H501U", "first_name": "Alice", "last_name": "Rossi"},
            "codice_fiscale",
        ),  # hers already
        ({"last_name": "Verdi"}, "codice_fiscale"),
        ({"contact_email": "bruno@pec.example"}, "contact_email"),
        ({"contact_email": "bruno"}, "contact_email"),
        ({"postal_code": "1"}, "postal_code"),
        ({"province": "ZZ"}, "province"),
        ({"birth_date": "12/06/0075"}, "birth_date"),
    ],
)
def test_bad_holders_get_a_sentence(staff, box, changes, field):
    found = errors(staff.post(ADD_HOLDER, {**NEW, **changes}))
    assert list(found) == [field] and len(found[field]) == 1
    assert Holder.objects.count() == 1


def test_a_holder_is_edited_but_for_account_and_contact_email(staff, alice, carla, dario):
    holder = holder_of(alice, "bruno")
    page = reverse("admin:mailboxes_holder_change", args=[holder.pk])
    shown = staff.get(page).content.decode()
    assert 'name="contact_email"' not in shown and "solo con un codice mandato al nuovo indirizzo" in shown
    changed = {
        **NEW,
        "account": carla.username,
        "owner": carla.pk,
        "contact_email": "ladro@posta.example",
        "phone": "0299999999",
    }
    assert staff.post(page, changed).status_code == 302
    holder = Holder.objects.get(pk=holder.pk)
    assert (holder.owner, holder.contact_email, holder.phone) == (alice, "bruno.contatto@posta.example", "0299999999")
    entry = LogEntry.objects.get_for_object(holder).latest("timestamp")
    assert (entry.actor, entry.changes["phone"]) == (dario, ["0612345678", "0299999999"])


# --- Boxes and domains ------------------------------------------------------------------------------------------------
OPEN = "/admin/mailboxes/mailbox/apri/"


@pytest.fixture
def opening(alice, plans, today):
    """What a clerk types to open nuova@pec.example for Bruno."""
    holder_of(alice, "bruno")
    return {
        "address": " Nuova@PEC.example ", "owner": alice.username, "holder": "bnc brn75h12f205e", "plan": plans.pro.pk,
        "expires_on": written(today + timedelta(days=100)), "domain": "", "mailbox_gb": "", "archive_gb": "",
    }  # fmt: skip


def test_a_box_is_opened_by_the_flow(staff, opening, alice, today):
    assert "Apri una casella" in staff.get("/admin/mailboxes/mailbox/").content.decode()
    answer = staff.post(OPEN, opening)
    box = Mailbox.objects.get()
    assert answer["Location"] == reverse("admin:mailboxes_mailbox_change", args=[box.pk])
    assert said(answer)[0][1].startswith("Casella nuova@pec.example aperta: scade il ")
    assert (box.address.name, box.owner, box.holder.fiscal_key, box.plan.code) == (
        "nuova@pec.example", alice, "BNCBRN75H12F205E", "pro",
    )  # fmt: skip
    assert (box.mailbox_gb, box.archive_gb, box.phase) == (2, 3, "live")
    assert (box.expires_on, box.delete_from) == (today + timedelta(days=100), today + timedelta(days=191))
    assert PaidPeriod.objects.get().ends == box.expires_on and BoxEvent.objects.get().kind == "opened"
    again = errors(staff.post(OPEN, opening))
    assert again == {"__all__": ["La casella nuova@pec.example esiste già."]}
    assert Mailbox.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"address": ""}, "address"),
        ({"address": "nuova"}, "address"),
        ({"address": "nuova@altrove.example"}, "address"),
        ({"address": "x" * 250 + "@pec.example"}, "address"),
        ({"owner": "nessuno"}, "owner"),
        ({"owner": "carla@posta.example"}, "holder"),  # Bruno is no holder of hers
        ({"holder": "RSSMRA80A01H501U"}, "holder"),
        ({"holder": ""}, "holder"),
        ({"plan": ""}, "plan"),
        ({"plan": "999"}, "plan"),
        ({"expires_on": ""}, "expires_on"),
        ({"expires_on": "30/02/2027"}, "expires_on"),
        ({"domain": "nessuno.example"}, "domain"),
        ({"mailbox_gb": "-1"}, "mailbox_gb"),
        ({"mailbox_gb": "0"}, "mailbox_gb"),
        ({"mailbox_gb": "due"}, "mailbox_gb"),
        ({"mailbox_gb": "999"}, "__all__"),
        ({"archive_gb": "1"}, "__all__"),  # below what Pro includes
    ],
)
def test_bad_openings_get_a_sentence_and_open_nothing(staff, opening, carla, changes, field):
    found = errors(staff.post(OPEN, {**opening, **changes}))
    assert list(found) == [field] and len(found[field]) == 1
    assert not Mailbox.objects.exists()


def test_a_domain_and_its_box_are_opened(staff, opening, alice, carla, plans, today):
    typed = {"name": "Rossi.example", "mail_host": "pec.rossi.example", "owner": alice.username, "deletion_days": "30"}
    day = today + timedelta(days=50)
    answer = staff.post("/admin/mailboxes/domain/apri/", {**typed, "expires_on": written(day)})
    domain = Domain.objects.get()
    assert answer["Location"] == reverse("admin:mailboxes_domain_change", args=[domain.pk])
    assert (domain.name, domain.expires_on, domain.delete_from) == ("rossi.example", day, day + timedelta(days=31))
    on_it = {
        **opening,
        "plan": plans.domain.pk,
        "domain": "ROSSI.example",
        "expires_on": "",
        "address": "info@pec.rossi.example",
    }
    assert list(errors(staff.post(OPEN, {**on_it, "address": "info@pec.example"}))) == ["address"]
    assert list(errors(staff.post(OPEN, {**on_it, "expires_on": written(day)}))) == ["expires_on"]
    assert staff.post(OPEN, on_it).status_code == 302
    box = Mailbox.objects.get()
    assert (box.domain, box.expires_on, box.kind) == (domain, day, "on_domain")
    holder_of(carla, "bruno")
    assert list(errors(staff.post(OPEN, {**on_it, "owner": carla.username, "address": "b@pec.rossi.example"}))) == [
        "domain"
    ]


def test_a_domain_that_was_deleted_is_opened_again_with_its_box(staff, opening, alice, plans, today):
    gone = domain_of(alice)
    Domain.objects.update(phase="deleted")
    day = written(today + timedelta(days=50))
    on_it = {
        **opening, "plan": plans.domain.pk, "domain": gone.name, "expires_on": "", "address": "info@pec.rossi.example",
    }  # fmt: skip
    assert list(errors(staff.post(OPEN, on_it))) == ["__all__"]  # it is not active
    typed = {"name": gone.name, "mail_host": gone.mail_host, "owner": alice.username, "expires_on": day}
    assert staff.post("/admin/mailboxes/domain/apri/", typed).status_code == 302
    assert staff.post(OPEN, on_it).status_code == 302
    assert Mailbox.objects.get().domain == Domain.objects.get(phase="live") != gone


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "rossi"}, "name"),
        ({"name": "http://rossi.example"}, "name"),
        ({"mail_host": "pec rossi.example"}, "mail_host"),
        ({"mail_host": "a@rossi.example"}, "mail_host"),
        ({"name": "gia.example"}, "name"),
        ({"mail_host": "pec.gia.example"}, "mail_host"),
        ({"owner": ""}, "owner"),
        ({"expires_on": "domani"}, "expires_on"),
        ({"deletion_days": "0"}, "deletion_days"),
    ],
)
def test_bad_domains_get_a_sentence(staff, alice, today, changes, field):
    from mailboxes.flows import open_domain

    open_domain(name="gia.example", mail_host="pec.gia.example", owner=alice, expires_on=today)
    typed = {
        "name": "rossi.example",
        "mail_host": "pec.rossi.example",
        "owner": alice.username,
        "expires_on": written(today),
    }
    found = errors(staff.post("/admin/mailboxes/domain/apri/", {**typed, **changes}))
    assert list(found) == [field] and len(found[field]) == 1
    assert Domain.objects.count() == 1
