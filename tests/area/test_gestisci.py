"""Gestisci: tabs of R2, search, filters, order, pages."""

import re
from datetime import timedelta

import pytest

from mailboxes.models import Holder, Mailbox
from renewals.models import Order
from tests.helpers import place

LIST = "/area-clienti/pec/"


@pytest.fixture
def addresses(signed_in):
    """The boxes a page lists, top to bottom."""

    def look(user, query=""):
        page = signed_in(user).get(LIST + query).content.decode()
        return re.findall(r'class="box__name"[^>]*><a [^>]*>([^<@]+)@', page)

    return look


@pytest.fixture
def many(alice, make_box):
    """Alice's own boxes in each state, and two of Bruno's."""
    make_box(alice, "lontana", expires_in=400)
    make_box(alice, "novanta", expires_in=90)
    make_box(alice, "novantuno", expires_in=91)
    make_box(alice, "trenta", expires_in=30)
    make_box(alice, "trentuno", expires_in=31)
    make_box(alice, "oggi", expires_in=0)
    make_box(alice, "scaduta", expires_in=-1)
    make_box(alice, "attesa", expires_in=-91)
    for name, phase in (("incancellazione", "deleting"), ("cancellata", "deleted")):
        box = make_box(alice, name, expires_in=-200)
        Mailbox.objects.filter(pk=box.pk).update(phase=phase, login=None)
    new = make_box(alice, "nuova")
    Mailbox.objects.filter(pk=new.pk).update(
        phase="activating", expires_on=None, delete_from=None, anchor_month=None, anchor_day=None
    )
    make_box(alice, "bruno", holder="bruno", expires_in=5)
    make_box(alice, "bruno.studio", holder="bruno", expires_in=500)


def test_tabs_split_by_holder(see, alice, many, addresses):
    text = see(alice, LIST)
    assert "Le mie caselle PEC 11 PEC di altri titolari 2" in text
    assert addresses(alice, "?scheda=altri") == ["bruno", "bruno.studio"]
    assert not {"bruno", "bruno.studio"} & set(addresses(alice))
    assert "Titolare: Bruno Bianchi" in see(alice, LIST + "?scheda=altri")


def test_first_to_expire_on_top_and_the_gone_last(alice, many, addresses):
    alive = ["attesa", "scaduta", "oggi", "trenta", "trentuno", "novanta", "novantuno", "lontana"]
    assert addresses(alice) == [*alive, "nuova", "incancellazione", "cancellata"]
    assert addresses(alice, "?ordine=ultima") == [*reversed(alive), "nuova", "cancellata", "incancellazione"]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("attiva", ["oggi", "trenta", "trentuno", "novanta", "novantuno", "lontana"]),
        ("entro_30", ["oggi", "trenta"]),
        ("in_scadenza", ["oggi", "trenta", "trentuno", "novanta"]),
        ("scaduta", ["attesa", "scaduta"]),
        ("in_attivazione", ["nuova"]),
        ("in_cancellazione", ["incancellazione"]),
        ("cancellata", ["cancellata"]),
    ],
)
def test_filter_by_state(alice, many, addresses, state, found):
    assert addresses(alice, f"?stato={state}") == found


def test_the_line_of_what_expires_soon_counts_its_tab(see, alice, many):
    assert "2 scadono entro 30 giorni." in see(alice, LIST)
    assert "1 scade entro 30 giorni." in see(alice, LIST + "?scheda=altri")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("trent", ["trenta", "trentuno"]),
        ("TRENTA", ["trenta"]),
        ("trenta@pec", ["trenta"]),
        ("alice+trenta", ["trenta"]),  # holder and address
        ("rossi+alice+trentuno", ["trentuno"]),
        ("RSSLCA80+trenta", ["trenta"]),  # the holder's codice fiscale
        ("bruno", []),  # on the other tab
        ("%25", []),
        ("_", []),
        ("'", []),
        ("a%00", None),
        ("%F0%9F%93%A7", []),
    ],
)
def test_search(alice, many, addresses, words, found):
    if found is None:
        assert addresses(alice, f"?q={words}") == addresses(alice, "?q=a")
    else:
        assert addresses(alice, f"?q={words}") == found


def test_search_by_holder_on_the_other_tab(alice, many, addresses):
    assert addresses(alice, "?scheda=altri&q=bianchi") == ["bruno", "bruno.studio"]
    assert addresses(alice, "?scheda=altri&q=bianchi+studio") == ["bruno.studio"]
    assert addresses(alice, "?scheda=altri&q=rossi") == []


def test_search_by_company(alice, many, addresses):
    Holder.objects.filter(last_name="Bianchi").update(subject="company", company_name="Officine Garibaldi S.r.l.")
    assert addresses(alice, "?scheda=altri&q=garibaldi") == ["bruno", "bruno.studio"]


def test_nothing_found_says_so_and_keeps_what_was_asked(signed_in, see, alice, many):
    text = see(alice, LIST + "?q=zzz&stato=scaduta")
    assert "Nessuna casella trovata" in text
    assert "Togli i filtri" in text
    page = signed_in(alice).get(LIST + "?q=zzz&stato=scaduta").content.decode()
    assert 'value="zzz"' in page
    assert '<option value="scaduta" selected>' in page
    assert 'href="/area-clienti/pec/?scheda=altri&amp;q=zzz&amp;stato=scaduta"' in page


@pytest.mark.parametrize(
    "query",
    [
        "?scheda=x", "?stato=x", "?ordine=x", "?page=x", "?page=-1", "?page=0", "?page=99999999999999999999",
        "?page=1&page=2", "?page=%00", "?q=%00", "?q=%ED%A0%80", "?q=" + "a+" * 200, "?scheda[]=altri", "?=&&&",
    ],
)  # fmt: skip
def test_nonsense_parameters_show_the_list(signed_in, alice, box, query):
    assert signed_in(alice).get(LIST + query).status_code == 200


def test_what_was_typed_is_escaped(signed_in, alice, many):
    page = signed_in(alice).get(LIST + "?q=<script>alert(1)</script>").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_an_accountant_without_boxes_of_his_own_starts_on_the_tab_that_has_some(alice, make_box, see, addresses):
    make_box(alice, "bruno", holder="bruno", expires_in=5)
    text = see(alice, LIST)
    assert "Le mie caselle PEC 0 PEC di altri titolari 1" in text
    assert addresses(alice) == ["bruno"]
    assert "1 scade entro 30 giorni." in text
    assert "Nessuna casella intestata a te" in see(alice, LIST + "?scheda=mie")


def test_pages_of_25_keep_the_filters(alice, make_box, addresses, signed_in):
    for n in range(27):
        make_box(alice, f"casella{n:02}", expires_in=n)
    for n in range(2):
        make_box(alice, f"scaduta{n}", expires_in=-5)
    first = addresses(alice, "?stato=attiva")
    assert first == [f"casella{n:02}" for n in range(25)]
    assert addresses(alice, "?stato=attiva&page=2") == ["casella25", "casella26"]
    assert addresses(alice, "?stato=attiva&page=999") == ["casella25", "casella26"]
    assert addresses(alice, "?stato=attiva&page=niente") == first
    page = signed_in(alice).get(LIST + "?stato=attiva&q=casella&scheda=mie").content.decode()
    assert 'href="?scheda=mie&amp;q=casella&amp;stato=attiva&amp;page=2"' in page
    assert "1–25 di 27" in page


def test_a_long_list_has_a_line_each(signed_in, alice, make_box):
    for n in range(10):
        make_box(alice, f"casella{n}")
    assert "boxes--compact" not in signed_in(alice).get(LIST).content.decode()
    make_box(alice, "casella10")
    page = signed_in(alice).get(LIST).content.decode()
    assert "boxes--compact" in page
    assert "Spazio 0,00 di 1 GB" in page
    assert 'class="strip"' not in page


def test_a_line_says_what_a_card_does_and_escapes_it(signed_in, alice, make_box, plans):
    boxes = [make_box(alice, f"casella{n}", holder="bruno") for n in range(11)]
    Holder.objects.filter(pk=boxes[0].holder_id).update(first_name="{id}", last_name="<b>Rossi</b>")
    change_on = boxes[0].expires_on + timedelta(days=1)
    waits = {"next_plan": plans.pro, "next_mailbox_gb": 2, "next_archive_gb": 3, "change_on": change_on}
    Mailbox.objects.filter(pk=boxes[0].pk).update(**waits)
    page = " ".join(signed_in(alice).get(LIST + "?scheda=altri").content.decode().split())
    line = next(line for line in page.split("<li><article") if "casella0@" in line)
    at = f"/area-clienti/pec/{boxes[0].public_id}/"
    assert f'id="casella-{boxes[0].public_id}"><a href="{at}">casella0@pec.example</a>' in line
    assert f'href="{at}rinnova/">Rinnova' in line
    assert "</span>{id} &lt;b&gt;Rossi&lt;/b&gt;</p>" in line
    assert ": Pro · 2 GB · archivio 3 GB </p>" in line
    assert line.count("<p") == line.count("</p>")


def test_no_boxes(see, alice):
    text = see(alice, LIST)
    assert "Nessuna casella PEC" in text
    assert "Cerca" not in text


@pytest.mark.parametrize("account_without_billing", [True])
def test_an_account_without_billing_data_holds_nothing_itself(see, alice, box, account_without_billing):
    alice.billing.delete()
    alice.refresh_from_db()
    assert "Le mie caselle PEC 0 PEC di altri titolari 1" in see(alice, LIST)


def test_the_longest_address(signed_in, alice, make_box):
    name, host = "a" * 64, ".".join(["b" * 60] * 3) + ".example"[:7]
    box = make_box(alice, name, host=host)
    assert len(box.address.name) > 250
    assert box.address.name in signed_in(alice).get(LIST).content.decode()


# --- Orders at the foot -----------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_orders_of_the_boxes_on_the_page(see, alice, make_box, carla, today):
    mine, bruno, stranger = make_box(alice, "mia"), make_box(alice, "bruno", holder="bruno"), make_box(carla, "carla")
    first, second, foreign = place(mine, alice), place(bruno, alice), place(stranger, carla)
    text = see(alice, LIST)
    assert "Ordini associati al prodotto" in text
    foot = text.split("Ordini associati al prodotto")[1]
    assert foot.startswith(" Numero Tipo Casella Data Importo Stato Azioni")
    assert f"{first.number} Rinnovo mia@pec.example" in foot
    assert second.number not in text  # its box is on the other tab
    assert foreign.number not in text
    assert second.number in see(alice, LIST + "?scheda=altri")
    Order.objects.filter(pk=first.pk).update(status=Order.Status.CANCELLED)
    foot = see(alice, LIST).split("Ordini associati al prodotto")[1]
    assert "Annullato" in foot
    assert "Paga" not in foot


@pytest.mark.django_db(transaction=True)
def test_the_orders_to_pay_come_first(see, alice, make_box, today):
    old, new = make_box(alice, "vecchio"), make_box(alice, "nuovo")
    to_pay, paid = place(old, alice), place(new, alice)
    Order.objects.filter(pk=paid.pk).update(status=Order.Status.FULFILLED)
    Order.objects.filter(pk=to_pay.pk).update(confirmed_at=to_pay.confirmed_at - timedelta(days=9))
    foot = see(alice, LIST).split("Ordini associati al prodotto")[1]
    assert foot.index(to_pay.number) < foot.index(paid.number)
