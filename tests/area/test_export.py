"""The file of everything that is held about an account (R33)."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lifecycle import flows as lifecycle
from payments.models import Payment
from tests.helpers import pay_card, pay_transfer, place
from tests.payments.invoicing.invoice_rows import issued

pytestmark = pytest.mark.django_db(transaction=True)
FILE = "/area-clienti/dati/scarica/"


def test_what_the_file_says(signed_in, alice, carla, make_box, dario, today):
    mine, other = make_box(alice, "mia", expires_in=30), make_box(alice, "sua", holder="bruno")
    order = place(mine, alice, years=2)
    pay_transfer(order, dario)
    issued(order, number=7)
    pay_card(place(other, alice), alice)
    make_box(alice, "avvisata", expires_in=30)
    pay_card(place(make_box(carla, "estranea"), carla), carla)
    lifecycle.run_for(today)
    answer = signed_in(alice).get(FILE)
    assert answer["Content-Disposition"] == 'attachment; filename="i-miei-dati.json"'
    told = json.loads(answer.content)
    assert told["account"]["username"] == alice.username and told["account"]["e-mail"] == "alice@posta.example"
    assert told["dati di fatturazione"][0]["codice fiscale"] == "RSSLCA80A41H501U"
    assert {one["nome"] for one in told["titolari"]} == {"Alice", "Bruno"}
    assert [one["indirizzo"] for one in told["caselle"]] == [
        "mia@pec.example",
        "sua@pec.example",
        "avvisata@pec.example",
    ]
    mine.refresh_from_db()
    assert told["caselle"][0]["scade il"] == mine.expires_on.isoformat()
    assert len(told["caselle"][0]["periodi pagati"]) == 2
    first = told["ordini"][0]
    assert (first["numero"], first["stato"], first["frequenza di rinnovo"]) == (order.number, "Evaso", 2)
    assert first["righe"][0]["riguarda"] == "mia@pec.example"
    assert told["ordini"][1]["pagamenti"][0]["stato"] == Payment.Status.REGISTERED.label
    assert told["accrediti"][0]["importo"] == str(order.total) and told["fatture"][0]["numero"] == 7
    assert told["metodi di pagamento"] and told["consensi al rinnovo automatico"][0]["casella"] == "sua@pec.example"
    assert told["avvisi di scadenza"][0]["lettere"][0]["a"] == "alice.contatto@posta.example"
    text = answer.content.decode()
    assert "carla" not in text and "estranea" not in text and "password" not in text.lower()


def test_as_many_queries_for_many_boxes(signed_in, alice, make_box, today):
    client = signed_in(alice)

    def queries() -> int:
        client.get(FILE)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(FILE).status_code == 200
        return len(captured)

    def more(names: str) -> None:
        for name in names:
            place(make_box(alice, name, expires_in=30), alice)

    more("ab")
    lifecycle.run_for(today)
    few = queries()
    more("cdefg")
    lifecycle.run_for(today)
    assert queries() == few <= 20


def test_not_without_end(signed_in, alice):
    client = signed_in(alice)
    assert {client.get(FILE).status_code for _time in range(10)} == {200}
    assert client.get(FILE).url == "/area-clienti/dati/"
