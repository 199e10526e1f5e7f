"""What a customer reads of an order's state: plain words for every status and kind."""

import pytest

from renewals import words
from renewals.models import Kind, Order
from tests.helpers import pay_card, place

JARGON = ("evas", "stornat", "decadut", "da verificare", "incassare")


@pytest.mark.parametrize("kind", Kind.values)
@pytest.mark.parametrize("status", Order.Status.values)
def test_every_status_of_every_kind_has_plain_words(status, kind):
    for to_collect in (False, True):
        said = words.order_state(status=status, kind=kind, to_collect=to_collect)
        assert said and not any(word in said.lower() for word in JARGON), said


@pytest.mark.parametrize(
    ("kind", "done", "taken"),
    [
        ("renewal", "Rinnovo completato", "Rinnovo tolto"),
        ("space", "Spazio attivato", "Spazio tolto"),
        ("purchase", "Acquisto completato", "Acquisto annullato"),
        ("domain_renewal", "Rinnovo completato", "Rinnovo tolto"),
    ],
)
def test_done_and_taken_back(kind, done, taken):
    assert words.order_state(status="fulfilled", kind=kind, to_collect=False) == done
    assert words.order_state(status="fulfilled", kind=kind, to_collect=True) == f"{done}, da pagare"
    assert words.order_state(status="reversed", kind=kind, to_collect=False) == taken


@pytest.mark.django_db
def test_the_lists_and_the_page_of_an_order(client, box, alice, django_capture_on_commit_callbacks):
    order = place(box, alice)
    with django_capture_on_commit_callbacks(execute=True):
        pay_card(order, alice)
    client.force_login(alice, backend="accounts.backends.AccountBackend")
    pages = (
        "/area-clienti/pec/", f"/area-clienti/pec/{box.public_id}/", "/area-clienti/ordini/",
        f"/area-clienti/ordini/{order.number}/",
    )  # fmt: skip
    for page in pages:
        text = client.get(page).content.decode()
        assert "Rinnovo completato" in text and "Evaso" not in text, page
