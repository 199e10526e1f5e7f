"""The three screens of a domain's renewal as a browser sends them (R5, R9, R11, R17, R31)."""

from datetime import date

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mailboxes.models import Domain, Mailbox, Price
from payments.models import AutoRenewal, Payment
from payments.providers import sandbox
from renewals.models import Order
from tests.domains import domain_of, on_domain, place_domain
from tests.helpers import pay_transfer
from tests.renewals import wizard_walk
from tests.renewals.wizard_walk import errors, said

pytestmark = pytest.mark.django_db(transaction=True)
CONFIRM = {"method": "transfer", "terms": "on", "shown_total": "43.92"}


def text(response) -> str:
    """What a person reads; an address that may break before its @ reads as one."""
    return wizard_walk.text(response).replace(" @", "@")


@pytest.fixture
def domain(alice):
    return domain_of(alice)


@pytest.fixture
def three(make_box, domain):
    return on_domain(make_box, domain, "info", "ufficio", "vendite")


class Walk:
    """One browser, signed in, and one domain."""

    def __init__(self, domain: Domain, user) -> None:
        self.domain, self.client = domain, Client()
        self.client.force_login(user, backend="accounts.backends.AccountBackend")

    def url(self, step: str) -> str:
        name = "payments:domain_confirm" if step == "confirm" else f"renewals:domain_{step}"
        return reverse(name, args=[self.domain.public_id])

    def get(self, step: str):
        return self.client.get(self.url(step))

    def post(self, step: str, **data: str):
        return self.client.post(self.url(step), {k: v for k, v in data.items() if v != ""})

    def to_confirm(self, years: str = "1") -> "Walk":
        assert self.post("lines", years=years).url == self.url("holder")
        assert self.post("holder", email="ordine@posta.example").url == self.url("confirm")
        return self

    def confirm(self, **changes: str):
        return self.post("confirm", **{**CONFIRM, **changes})


@pytest.fixture
def walk(domain, three, alice) -> Walk:
    return Walk(domain, alice)


def test_from_the_lines_to_the_moved_expiry_by_card_which_switches_nothing_on(walk, domain, alice):
    page = text(walk.get("lines"))
    for words in ("rossi.example", "info@pec.rossi.example", "Rinnovi anche le 3 caselle del dominio", "€ 43,92"):
        assert words in page
    walk.to_confirm(years="2")
    page = text(walk.get("confirm"))
    assert "€ 87,84" in page and "ordine@posta.example" in page
    assert "innovo automatico" not in page  # of a domain nothing is said of it (R23)
    bank = walk.confirm(method="sandbox", shown_total="87.84")
    order, payment = Order.objects.get(), Payment.objects.get()
    assert (order.kind, order.years, str(order.total), order.placed_by) == ("domain_renewal", 2, "87.84", alice)
    assert bank.url == f"/sandbox/{payment.remote_id}/"
    sandbox.write(payment.remote_id, status=sandbox.PAID)
    walk.client.get(f"/pagamenti/{payment.public_id}/ritorno/")
    assert Domain.objects.get().expires_on.year == domain.expires_on.year + 2
    assert AutoRenewal.objects.count() == 0
    page = text(walk.client.get(f"/area-clienti/ordini/{order.number}/esito/"))
    assert "Rinnovato fino al" in page or "Rinnovato fino all'" in page
    assert "il dominio e le sue caselle sono rinnovati" in page
    assert "la casella" not in page.lower() and "innovo automatico" not in page
    page = text(walk.client.get(f"/area-clienti/ordini/{order.number}/"))
    assert page.count("Intestatario") == 1  # the account's; not one for each box
    for box in Mailbox.objects.all():
        assert str(box) in page


def test_the_confirmation_freezes_where_it_came_from_and_what_a_consumer_asked(walk):
    walk.to_confirm().confirm(immediate_start="on")
    order = Order.objects.get()
    assert (order.immediate_start, order.terms_version, order.terms_ip) == (True, "2026-12", "127.0.0.1")
    assert order.email == "ordine@posta.example"


def test_years_change_the_summary_and_the_lines_without_an_order(walk):
    page = text(walk.post("summary", years="3"))
    assert "€ 131,76" in page and "3 anni" in page and "€ 24,00" in page
    assert "€ 131,76" in text(walk.post("lines", years="3", aggiorna="1"))  # who has no JavaScript
    assert walk.post("lines", years="9", aggiorna="1").status_code == 200
    assert Client().post(walk.url("summary"), {"years": "3"}).status_code == 204
    assert Order.objects.count() == 0


@pytest.mark.parametrize(
    ("step", "data", "field", "sentence"),
    [
        ("lines", {"years": ""}, "years", "Scegli da 1 a 5 anni."),
        ("lines", {"years": "6"}, "years", "Scegli da 1 a 5 anni."),
        ("lines", {"years": "uno"}, "years", "Scegli da 1 a 5 anni."),
        ("holder", {"email": ""}, "email", "Scrivi l'e-mail a cui mandare la conferma dell'ordine."),
        ("holder", {"email": "ordine@"}, "email", "Scrivi un'e-mail completa, come nome@esempio.it."),
        ("holder", {"email": "x@pec.rossi.example"}, "email", "Questa è una casella gestita da noi"),
        ("confirm", {**CONFIRM, "terms": ""}, "terms", "accetta le condizioni generali"),
        ("confirm", {**CONFIRM, "method": ""}, "method", "Scegli come pagare."),
        ("confirm", {**CONFIRM, "method": "oro"}, "method", "Questo metodo di pagamento non c'è"),
        ("confirm", {**CONFIRM, "shown_total": "0.01"}, "__all__", "Il prezzo è cambiato"),
    ],
)
def test_bad_input_has_its_sentence_and_orders_nothing(walk, step, data, field, sentence):
    walk.to_confirm()
    page = walk.post(step, **data)
    assert page.status_code == 200
    assert sentence in str(errors(page)[field])
    assert sentence in text(page)
    assert Order.objects.count() == 0


def test_a_price_that_rises_meanwhile_is_shown_before_it_is_charged(walk):
    walk.to_confirm()
    walk.get("confirm")
    Price.objects.filter(item="domain").update(net="20.00")
    page = walk.confirm()
    assert "Il prezzo è cambiato da quando hai aperto la pagina: controlla il nuovo totale." in text(page)
    assert "€ 53,68" in text(page)
    assert Order.objects.count() == 0
    walk.confirm(shown_total="53.68")
    assert str(Order.objects.get().total) == "53.68"


def test_each_step_needs_those_before_it(walk):
    assert walk.get("holder").url == walk.url("lines")
    assert walk.get("confirm").url == walk.url("lines")
    walk.post("lines", years="1")
    assert walk.get("confirm").url == walk.url("holder")


def test_without_data_to_invoice_there_is_no_order(walk, alice):
    alice.billing.delete()
    walk.post("lines", years="1")
    page = walk.post("holder", email="ordine@posta.example")
    assert "Prima servono i dati di fatturazione" in text(page)
    assert walk.get("confirm").url == walk.url("holder")


def test_two_tabs_make_one_order(walk, domain, alice):
    other = Walk(domain, alice)
    walk.to_confirm(), other.to_confirm()
    walk.confirm()
    order = Order.objects.get()
    second = other.confirm()
    assert second.url == f"/area-clienti/ordini/{order.number}/"
    assert said(second) == ["Per questo dominio c'è già un ordine di rinnovo: è questo. Non ne abbiamo creati altri."]
    assert Order.objects.count() == 1
    assert other.get("lines").url == second.url


@pytest.mark.parametrize(
    ("phase", "expires_in", "sentence"),
    [
        ("live", -91, "Il dominio è in attesa di cancellazione: l'ultimo giorno per rinnovarlo era"),
        ("deleting", 5, "Il dominio è in cancellazione e non si può più rinnovare."),
        ("deleted", 5, "Il dominio è cancellato e non si può rinnovare."),
        ("activating", 5, "Il dominio è in attivazione"),
    ],
)
def test_a_domain_that_cannot_be_renewed_says_why(alice, phase, expires_in, sentence):
    domain = domain_of(alice, expires_in=expires_in)
    Domain.objects.filter(pk=domain.pk).update(phase=phase)
    for step in ("lines", "holder", "confirm"):
        reply = Walk(domain, alice).get(step)
        assert reply.url == f"/area-clienti/domini/{domain.public_id}/"
        assert sentence in said(reply)[0]


@pytest.mark.parametrize(("expires_in", "open_"), [(-74, True), (-76, False)])
def test_no_transfer_in_the_last_fifteen_days(alice, expires_in, open_):
    domain = domain_of(alice, expires_in=expires_in)
    walk = Walk(domain, alice).to_confirm()
    assert ("un bonifico potrebbe arrivare tardi" in text(walk.get("confirm"))) is not open_
    page = walk.confirm(shown_total="14.64")
    assert Order.objects.count() == int(open_)
    if not open_:
        assert "Il dominio si cancella dal" in str(errors(page)["method"])


def test_its_own_deletion_day_closes_the_transfer_earlier(alice):
    domain = domain_of(alice, expires_in=-20, deletion_days=30)
    assert "un bonifico potrebbe arrivare tardi" in text(Walk(domain, alice).to_confirm().get("confirm"))


def test_an_expired_domain_is_told_what_comes_back(alice, make_box):
    domain = domain_of(alice, expires_in=-3)
    on_domain(make_box, domain, "info")
    page = text(Walk(domain, alice).get("lines"))
    assert "Il dominio è scaduto Le sue caselle tornano a inviare e ricevere appena il pagamento è registrato." in page
    assert "Rinnovi anche la casella del dominio" in page


def test_many_boxes_are_folded_under_their_sum(alice, make_box):
    domain = domain_of(alice)
    on_domain(make_box, domain, *[f"b{n:02}" for n in range(12)])
    page = text(Walk(domain, alice).get("lines"))
    assert "12 caselle € 96,00" in page and "all'anno € 12,00 il dominio e € 8,00 ogni casella" in page
    assert "Vedi le 12 caselle" in page and "b11@pec.rossi.example" in page


def test_paying_a_domains_order_later_by_card_switches_nothing_on(walk, domain, alice):
    order = place_domain(domain, alice)
    page = text(walk.client.get(f"/area-clienti/ordini/{order.number}/paga/"))
    assert "Non attivare il rinnovo automatico" not in page
    assert "il dominio e le sue caselle si rinnovano in pochi minuti" in page
    walk.client.post(f"/area-clienti/ordini/{order.number}/paga/", {"method": "sandbox"})
    assert not Payment.objects.get().auto_renewal_agreed


@pytest.mark.parametrize("who", ["alice", "bruno"])
def test_a_visitor_pays_it_with_the_accounts_code_only(alice, make_box, who):
    """R1: who holds one of its boxes is not told of the others."""
    from tests.conftest import CODES

    domain = domain_of(alice)
    on_domain(make_box, domain, "segreta")
    on_domain(make_box, domain, "bruno", holder="bruno")
    order, client = place_domain(domain, alice), Client()
    client.post("/paga/", {"number": order.number, "code": CODES[who]})
    page = text(client.get("/paga/ordine/", follow=True))
    assert ("rossi.example" in page) == (who == "alice")
    assert "segreta@" not in page and "bruno@" not in page


def test_one_box_or_fifty_ask_the_same_of_the_database(alice, make_box):
    found = []
    for n in (1, 50):
        domain = domain_of(alice, f"d{n}.example")
        on_domain(make_box, domain, *[f"b{i}" for i in range(n)])
        walk, spent = Walk(domain, alice), {}
        walk.to_confirm()
        walk.get("lines")  # the price list is read once a minute
        order = None
        for step in ("lines", "holder", "confirm", "place", "page", "outcome", "pay", "cancel", "withdraw"):
            with CaptureQueriesContext(connection) as captured:
                if step in ("lines", "holder", "confirm"):
                    assert walk.get(step).status_code == 200
                elif step == "place":
                    shown = {1: "24.40", 50: "502.64"}[n]
                    assert walk.confirm(shown_total=shown).status_code == 302
                    order = Order.objects.latest("id")
                else:
                    path = {"page": "", "outcome": "esito/", "pay": "paga/", "cancel": "annulla/"}.get(step, "recesso/")
                    walk.client.get(f"/area-clienti/ordini/{order.number}/{path}")
            spent[step] = len(captured)
        if connection.vendor == "sqlite":
            del spent["place"]  # it splits the insert of fifty lines by their number of parameters
        found.append(spent)
    assert found[0] == found[1]


def pages_of(walk, order) -> str:
    paths = ("", "esito/", "annulla/", "recesso/", "bonifico/")
    return " ".join(text(walk.client.get(f"/area-clienti/ordini/{order.number}/{path}", follow=True)) for path in paths)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "sandbox"}, "Mancano € 43,92. Dominio e caselle restano come sono finché non paghi."),
        ({}, "Fai un bonifico di € 43,92 entro"),
        ({"transfer_declared_on": date(2026, 11, 20)}, "Fino ad allora dominio e caselle restano come sono."),
        (
            {"method": "sandbox", "lapses_on": date(2026, 1, 1)},
            "Non pagare adesso: il denaro non rinnoverebbe il dominio",
        ),
        ({"status": "paid"}, "Dominio e caselle sono rinnovati fino"),
        ({"status": "attention"}, "Nessuna casella del dominio viene cancellata."),
        ({"status": "cancelled"}, "Il dominio e le sue caselle scadono, tra 40 giorni."),
    ],
)
def test_an_order_speaks_of_its_domain_wherever_it_stands(walk, domain, alice, changes, sentence):
    order = place_domain(domain, alice)
    Order.objects.filter(pk=order.pk).update(**changes)
    page = pages_of(walk, order)
    assert sentence in page
    for word in ("La casella", "la casella", "Rinnova la"):
        assert word not in page


def test_a_box_that_is_gone_is_told_beside_what_was_renewed(walk, domain, three, alice, dario):
    order = place_domain(domain, alice)
    Mailbox.objects.filter(pk=three[0].pk).update(phase="deleted", login=None)
    pay_transfer(order, dario)
    page = pages_of(walk, order)
    assert "una casella da verificare Abbiamo ricevuto € 43,92 e il dominio è rinnovato" in page
    assert "Il rinnovo è pagato e lo stiamo verificando" not in text(walk.client.get("/area-clienti/domini/"))
    assert "Rinnova rossi.example" in text(walk.client.get("/area-clienti/domini/"))
