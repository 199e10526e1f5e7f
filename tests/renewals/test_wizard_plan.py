"""Step 1 of the wizard: what is chosen at first, what it costs, is warned of, is refused (R4, R6, R7, R11)."""

from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.urls import reverse
from django.utils.text import capfirst

from mailboxes import flows as box_flows
from mailboxes.models import Mailbox, Price
from mailboxes.rules import GB
from pecportal.formats import dal, day, fino, il
from renewals.models import Kind, Order, OrderLine
from tests.helpers import place
from tests.renewals.wizard_walk import STANDARD, Walk, errors, said, text, url

pytestmark = pytest.mark.django_db

EXTRA_1 = "Scrivi quanti GB in più vuoi con un numero intero da 0 a 1."
EXTRA_48 = "Scrivi quanti GB in più vuoi con un numero intero da 0 a 48."
PREMIUM = {"plan": "premium", "extra_mailbox_premium": "0", "extra_archive_premium": "0"}
PRO = {"plan": "pro", "extra_mailbox_pro": "0", "extra_archive_pro": "0"}


def checked(response) -> list[str]:
    return [card.plan.code for card in response.context["form"].cards() if card.checked]


def headings(response) -> list[str]:
    return [avviso.heading for avviso in response.context["avvisi"]]


# --- At first ---------------------------------------------------------------------------------------------------------


def test_the_plan_and_gb_of_today_are_chosen_and_nothing_is_ticked(make_box, alice):
    walk = Walk(make_box(alice, "a", plan="pro", mailbox_gb=4, archive_gb=5), alice)
    page = walk.get("plan")
    assert page.context["form"].errors == {}
    assert checked(page) == ["pro"]
    filled = {name: page.context["form"][name].value() for name in page.context["form"].fields}
    assert filled == {
        "plan": "pro", "archive_loss": None,
        "extra_mailbox_standard": 1, "extra_archive_standard": 0,
        "extra_mailbox_pro": 2, "extra_archive_pro": 2,
        "extra_mailbox_premium": 2, "extra_archive_premium": 0,
    }  # fmt: skip
    assert page.content.decode().count("checked") == 1
    assert "<title>Passo 1 di 3 · Tipologia e spazio" in page.content.decode()
    assert "Passo 1 di 3 · Tipologia e spazio" in text(page)


def test_a_change_that_waits_is_what_is_chosen(make_box, alice, plans, today):
    box = make_box(alice, "a", plan="premium", mailbox_gb=3)
    box.next_plan, box.next_mailbox_gb, box.next_archive_gb = plans.pro, 3, 4
    box.change_on = today + timedelta(days=41)
    box.save()
    page = Walk(box, alice).get("plan")
    assert checked(page) == ["pro"]
    assert (page.context["choice"].mailbox_gb, page.context["choice"].archive_gb) == (3, 4)


def test_a_downgrade_never_comes_with_gb_that_nobody_asked_for(make_box, alice):
    """Premium holds 8 GB of archive in its price: on Pro they would be five paid extras (R11)."""
    page = Walk(make_box(alice, "a", plan="premium"), alice).get("plan")
    assert page.context["form"]["extra_archive_pro"].value() == 0


# --- Prices: for one year ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "taxable", "vat", "total", "space"),
    [
        (STANDARD, "9.90", "2.18", "12.08", "1 GB di casella"),
        ({**STANDARD, "extra_mailbox_standard": "1"}, "12.90", "2.84", "15.74", "2 GB di casella"),
        ({**STANDARD, "extra_mailbox_standard": ""}, "9.90", "2.18", "12.08", "1 GB di casella"),
        (PRO, "19.90", "4.38", "24.28", "2 GB di casella e 3 GB di archivio"),
        ({**PREMIUM, "extra_mailbox_premium": "1", "extra_archive_premium": "2"}, "36.90", "8.12", "45.02",
         "3 GB di casella e 10 GB di archivio"),
        # GB typed under a plan that is not the chosen one count for nothing, whatever they are
        ({**STANDARD, "extra_mailbox_pro": "-4", "extra_archive_premium": "molti"}, "9.90", "2.18", "12.08",
         "1 GB di casella"),
    ],
)  # fmt: skip
def test_the_summary_follows_the_choice(box, alice, typed, taxable, vat, total, space):
    page = Walk(box, alice).post("summary", typed, HX_Request="true")
    totals = page.context["quote"].totals
    assert (totals.taxable, totals.vat, totals.total) == (D(taxable), D(vat), D(total))
    assert page.context["space"] == space
    euros = total.replace(".", ",")
    assert f"Totale per un anno € {euros}" in text(page)
    new = day(page.context["quote"].new_expiry)
    assert f'data-announce="Totale per un anno €\u00a0{euros}, nuova scadenza {new}.' in page.content.decode()
    assert page.content.decode().count('hx-swap-oob="true"') == 2
    assert Order.objects.count() == 0


def test_a_summary_shows_no_errors_and_no_price_for_what_is_no_number(box, alice):
    page = Walk(box, alice).post("summary", {**STANDARD, "extra_mailbox_standard": "due"}, HX_Request="true")
    assert page.context["quote"] is None
    assert "€" not in text(page)
    assert "field__error" not in page.content.decode()


def test_without_javascript_a_button_does_the_same(box, alice):
    walk = Walk(box, alice)
    page = walk.post("plan", {**PRO, "extra_mailbox_pro": "3", "aggiorna": "1"})
    assert page.status_code == 200
    assert "Totale per un anno € 35,26" in text(page)
    assert checked(page) == ["pro"]
    assert page.context["form"]["extra_mailbox_pro"].value() == "3"
    assert walk.get("holder").url == url("plan", box)  # nothing was answered yet


# --- Avvisi -----------------------------------------------------------------------------------------------------------


def test_a_downgrade_says_when_it_starts_and_what_is_lost(make_box, alice, today, platform):
    box = make_box(alice, "a", plan="pro")
    platform.set_usage("a@pec.example", GB // 2, GB // 4)
    page = Walk(box, alice).post("summary", STANDARD)
    starts = today + timedelta(days=41)
    assert headings(page) == ["L'archivio sarà cancellato", f"{capfirst(dal(starts))} avrai meno spazio"]
    gone, less = page.context["avvisi"]
    assert (gone.tone, gone.tick, less.tone, less.tick) == ("danger", True, "warn", False)
    assert gone.sentence == (
        f"Standard non ha archivio. {capfirst(il(starts))} i messaggi dell'archivio (oggi 0,25 GB) sono cancellati per "
        "sempre: prima di quel giorno, scarica quelli che ti servono."
    )
    assert less.sentence == (
        f"{capfirst(fino(box.expires_on))} resta Pro: 2 GB di casella e 3 GB di archivio, già pagati. "
        f"{capfirst(dal(starts))} passi a Standard: 1 GB di casella. Se i tuoi messaggi non ci stanno, lo spazio di "
        "prima resta e ti scriviamo: il rinnovo vale lo stesso."
    )
    assert 'name="archive_loss"' in page.content.decode()


def test_a_downgrade_of_an_expired_box_is_immediate_and_says_so(make_box, alice):
    box = make_box(alice, "a", plan="premium", expires_in=-10)
    page = Walk(box, alice).post("summary", PRO)
    assert headings(page) == ["Avrai meno spazio appena il pagamento è registrato", "La casella è scaduta"]
    assert f"Il rinnovo si conta dalla vecchia scadenza, {il(box.expires_on)}." in text(page)


@pytest.mark.parametrize(("typed", "expected"), [(STANDARD, []), (PRO, ["Lo spazio in più è subito tuo"])])
def test_nothing_is_warned_of_where_nothing_is_lost(box, alice, typed, expected):
    assert headings(Walk(box, alice).post("summary", typed)) == expected


def test_gb_are_proposed_where_the_messages_need_them(make_box, alice, platform):
    box = make_box(alice, "a", plan="pro")
    platform.set_usage("a@pec.example", 3 * GB // 2, 0)
    page = Walk(box, alice).post("summary", STANDARD)
    sentence = (
        "Nella casella ci sono 1,50 GB di messaggi e con questa scelta ne avresti 1: scrivi 1 GB in più, oppure "
        "elimina almeno 0,50 GB di messaggi."
    )
    assert [a.sentence for a in page.context["avvisi"] if a.heading == "I tuoi messaggi non ci stanno"] == [sentence]


def test_an_impossible_plan_is_seen_disabled_with_what_to_delete(make_box, alice, platform):
    box = make_box(alice, "a", plan="premium", mailbox_gb=6)
    platform.set_usage("a@pec.example", 4 * GB + 1, 7 * GB)
    page = Walk(box, alice).get("plan")
    reasons = {card.plan.code: card.reason for card in page.context["form"].cards()}
    # one byte more than 4 GB: what is said to delete is rounded up, so that deleting it is enough
    standard = "Standard arriva a 2 GB di casella: elimina almeno 2,01 GB di messaggi, poi torna qui."
    assert reasons == {"standard": standard, "pro": "", "premium": ""}
    assert page.content.decode().count(" disabled>") == 1


def test_a_plan_of_today_that_no_longer_fits_is_not_chosen(box, alice, platform):
    platform.set_usage("alice@pec.example", 3 * GB, 0)
    walk = Walk(box, alice)
    first, sent = walk.get("plan"), walk.plan()
    sentence = "Standard arriva a 2 GB di casella: elimina almeno 1,00 GB di messaggi, poi torna qui."
    assert first.context["quote"] is None
    assert errors(sent) == {"plan": [sentence]}
    for page in (first, sent):
        assert checked(page) == []
        assert page.context["form"].cards()[0].reason == sentence


def test_a_plan_without_a_price_is_seen_disabled(box, alice, plans):
    Price.objects.filter(plan=plans.premium).delete()
    page = Walk(box, alice).get("plan")
    reason = "Il prezzo è in aggiornamento: riprova fra un'ora, o scegli un'altra tipologia."
    assert [c.reason for c in page.context["form"].cards()] == ["", "", reason]


# --- Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "name", "sentence"),
    [
        ({"plan": ""}, "plan", "Scegli una tipologia."),
        ({"plan": "oro"}, "plan", "Questa tipologia non si può scegliere: scegline una di quelle elencate."),
        ({"plan": "domain"}, "plan", "Questa tipologia non si può scegliere: scegline una di quelle elencate."),
        ({**STANDARD, "extra_mailbox_standard": "-1"}, "extra_mailbox_standard", EXTRA_1),
        ({**STANDARD, "extra_mailbox_standard": "2"}, "extra_mailbox_standard", EXTRA_1),
        ({**STANDARD, "extra_mailbox_standard": "1,5"}, "extra_mailbox_standard", EXTRA_1),
        ({**STANDARD, "extra_mailbox_standard": "tanti"}, "extra_mailbox_standard", EXTRA_1),
        ({**STANDARD, "extra_archive_standard": "2"}, "plan",
         "Standard non ha archivio: togli i GB di archivio, o scegli una tipologia che lo ha."),
        ({**PRO, "extra_mailbox_pro": "999999999999999999999999"}, "extra_mailbox_pro", EXTRA_48),
        ({**PRO, "extra_archive_pro": "-3"}, "extra_archive_pro",
         "Scrivi quanti GB in più vuoi con un numero intero da 0 a 97."),
    ],
)  # fmt: skip
def test_bad_input_of_step_1(box, alice, typed, name, sentence):
    walk = Walk(box, alice)
    page = walk.post("plan", typed)
    assert page.status_code == 200
    assert errors(page) == {name: [sentence]}
    assert text(page).count(sentence) == 2  # in the summary on top, and beside the field
    assert {n: page.context["form"][n].value() for n in typed} == typed  # what was typed stays (R31)
    assert walk.get("holder").url == url("plan", box)


def test_a_downgrade_that_loses_the_archive_needs_its_tick(make_box, alice):
    walk = Walk(make_box(alice, "a", plan="pro"), alice)
    page = walk.plan()
    sentence = "Conferma con la spunta che l'archivio sarà cancellato, oppure scegli una tipologia con archivio."
    assert errors(page) == {"archive_loss": [sentence]}
    assert walk.plan(archive_loss="on").url == url("holder", walk.box)


@pytest.mark.parametrize(
    ("typed", "used", "name", "sentence"),
    [
        (STANDARD, (2 * GB + 1, 0), "plan",
         "Standard arriva a 2 GB di casella: elimina almeno 0,01 GB di messaggi, poi torna qui."),
        (STANDARD, (GB + GB // 4, 0), "extra_mailbox_standard",
         "Nella casella ci sono 1,25 GB di messaggi e con questa scelta ne avresti 1: scrivi 1 GB in più, oppure "
         "elimina almeno 0,25 GB di messaggi."),
        (PRO, (0, 5 * GB), "extra_archive_pro",
         "Nell'archivio ci sono 5,00 GB di messaggi e con questa scelta ne avresti 3: scrivi 2 GB in più, oppure "
         "elimina almeno 2,00 GB di messaggi."),
    ],
)  # fmt: skip
def test_a_downgrade_that_does_not_fit(make_box, alice, platform, typed, used, name, sentence):
    box = make_box(alice, "a", plan="premium")
    platform.set_usage("a@pec.example", *used)
    page = Walk(box, alice).post("plan", {**typed, "archive_loss": "on"})
    assert errors(page) == {name: [sentence]}


def test_a_downgrade_waits_for_an_open_space_order(make_box, alice, plans):
    box = make_box(alice, "a", plan="pro")
    order = place(make_box(alice, "altra"), alice)
    OrderLine.objects.create(order=order, kind=Kind.SPACE, mailbox=box, plan=plans.pro, net=D(3))
    page = Walk(box, alice).plan(archive_loss="on")
    sentence = (
        "C'è un ordine di spazio aggiuntivo ancora aperto: pagalo o annullalo, poi potrai passare a Standard con meno "
        "spazio."
    )
    assert errors(page) == {"plan": [sentence]}
    assert [card.reason for card in page.context["form"].cards()] == [sentence, "", ""]


def test_answers_that_no_longer_hold_come_back_with_their_problem(make_box, alice, platform):
    walk = Walk(make_box(alice, "a", plan="pro"), alice)
    walk.plan(archive_loss="on")
    platform.set_usage("a@pec.example", 5 * GB // 4, 0)
    assert walk.get("holder").url == url("plan", walk.box)
    page = walk.get("plan")
    assert list(errors(page)) == ["extra_mailbox_standard"]
    assert checked(page) == ["standard"]
    assert page.context["form"]["archive_loss"].value() is True


# --- Not offered (R4) -------------------------------------------------------------------------------------------------


def on_domain(make_box, alice, today) -> Mailbox:
    name = "rossi.example"
    domain = box_flows.open_domain(
        name=name, mail_host=f"pec.{name}", owner=alice, expires_on=today + timedelta(days=9)
    )
    return make_box(alice, "info", plan="domain", domain=domain, host=f"pec.{name}")


def with_order(make_box, alice, today) -> Mailbox:
    box = make_box(alice, "a")
    place(box, alice)
    return box


def at_work(make_box, alice, today) -> Mailbox:
    box = with_order(make_box, alice, today)
    Order.objects.update(status="paid")
    return box


def automatic(make_box, alice, today) -> Mailbox:
    box = make_box(alice, "a")
    Mailbox.objects.update(auto_renews=True)
    return box


def too_late(make_box, alice, today) -> Mailbox:
    return make_box(alice, "a", expires_in=-91)


def in_phase(phase: str):
    def make(make_box, alice, today) -> Mailbox:
        box = make_box(alice, "a")
        Mailbox.objects.update(phase=phase, login=None)
        return box

    return make


def gone_with_its_domain(make_box, alice, today) -> Mailbox:
    box = on_domain(make_box, alice, today)
    Mailbox.objects.update(phase="deleted", login=None)
    return box


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (with_order, "C'è già un ordine di rinnovo ({number}) in attesa di pagamento: pagalo o annullalo."),
        (at_work, "C'è già un ordine di rinnovo ({number}) in lavorazione: non serve farne un altro."),
        (automatic, "Il rinnovo automatico è attivo: per rinnovare a mano, prima disattivalo."),
        (on_domain, "Questa casella si rinnova con il suo dominio e ne segue la scadenza."),
        (gone_with_its_domain, "Le caselle su dominio si aprono con il dominio: per riaverla scrivi all'assistenza."),
        (too_late, "La casella è in attesa di cancellazione: l'ultimo giorno per rinnovarla era {last}."),
        (in_phase("deleting"), "La casella è in cancellazione. Potrai acquistarla di nuovo quando sarà cancellata."),
        (in_phase("deleted"), "La casella è cancellata e non si può rinnovare. Puoi acquistarla di nuovo."),
    ],
)
@pytest.mark.parametrize("send", ["get", "post", "summary", "holder"])
def test_where_rinnova_is_not_offered_the_wizard_gives_the_reason(make_box, alice, today, make, sentence, send):
    box = make(make_box, alice, today)
    before = Order.objects.count()
    walk = Walk(box, alice)
    answer = {
        "get": lambda: walk.get("plan"),
        "post": walk.plan,
        "summary": lambda: walk.post("summary", STANDARD),
        "holder": walk.holder,
    }[send]()
    assert (answer.status_code, answer.url) == (302, reverse("area:box", args=[box.public_id]))
    number = Order.objects.values_list("number", flat=True).first()
    assert said(answer) == [sentence.format(number=number, last=il(today - timedelta(days=1)))]
    assert Order.objects.count() == before


def test_on_the_last_day_it_is_offered(make_box, alice):
    assert Walk(make_box(alice, "a", expires_in=-90), alice).get("plan").status_code == 200


def test_a_price_list_without_gb_stops_the_wizard_with_a_sentence(box, alice):
    Price.objects.filter(item="mailbox_gb").delete()
    answer = Walk(box, alice).get("plan")
    assert answer.url == reverse("area:box", args=[box.public_id])
    assert said(answer) == [
        "Il listino è in aggiornamento e ora non possiamo calcolare il prezzo. Non abbiamo ordinato niente: riprova "
        "fra un'ora."
    ]
