"""Whether the next automatic charge can go well: a table of facts and sentences (R24)."""

from datetime import date
from decimal import Decimal as D

import pytest

from payments.readiness import Code, Facts, findings

E = date(2027, 3, 9)
CHARGE = date(2027, 3, 2)


def facts(**changes) -> Facts:
    known = {"has_method": True, "charge_on": CHARGE, "expires_on": E, "card_month": 3, "card_year": 2027}
    return Facts(**{**known, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"status": "announced"}, []),
        ({"card_month": None, "card_year": None}, []),
        ({"card_month": 2}, [Code.CARD_EXPIRES]),
        ({"card_month": 12, "card_year": 2026}, [Code.CARD_EXPIRES]),
        ({"lacks_space": True}, [Code.NO_SPACE]),
        ({"lacks_space": True, "card_month": 2}, [Code.NO_SPACE, Code.CARD_EXPIRES]),
        ({"has_method": False, "lacks_space": True}, [Code.NO_METHOD]),
        ({"status": "consent", "amount": D(2), "agreed": D(1), "charge_on": None}, [Code.CONSENT]),
        ({"status": "trying", "retry_on": date(2027, 3, 4), "order_open": True}, [Code.RETRY]),
        ({"status": "failed", "order_open": True, "charge_on": None}, [Code.FAILED]),
        ({"status": "failed", "why": "carta bloccata", "charge_on": None}, [Code.FAILED]),
        ({"order_open": True, "charge_on": None}, [Code.ORDER_OPEN]),
        ({"charge_on": None, "card_month": 2, "lacks_space": True}, []),  # no charge comes: nothing to say of it
    ],
)
def test_what_is_found(changes, expected):
    assert [found.code for found in findings(facts(**changes))] == expected


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"card_month": 2}, "La carta scade prima dell'addebito: sostituiscila entro il 2 marzo 2027."),
        (
            {"status": "trying", "retry_on": date(2027, 3, 8)},
            "L'addebito non è riuscito: riproviamo l'8 marzo 2027. Se preferisci, paga adesso l'ordine.",
        ),
        (
            {"status": "trying"},
            "Stiamo verificando l'addebito con la banca. Non pagare di nuovo: ti scriviamo appena è certo.",
        ),
        (
            {"status": "failed", "order_open": True},
            "L'addebito automatico non è riuscito: paga l'ordine, o annullalo. La casella resta attiva fino al 9 marzo "
            "2027.",
        ),
        (
            {"status": "failed", "why": "carta bloccata."},
            "L'addebito automatico non è riuscito (carta bloccata): rinnova tu la casella.",
        ),
    ],
)
def test_how_it_is_said(changes, sentence):
    assert [found.sentence for found in findings(facts(**changes))] == [sentence]
