"""R1 on every page of the area: strangers, mailbox logins, nobody."""

import pytest
from django.test import Client

from renewals.models import Order, OrderLine
from tests.area.conftest import page_of
from tests.helpers import place

PATHS = ["/area-clienti/", "/area-clienti/pec/", "/area-clienti/domini/", "/area-clienti/ordini/"]


@pytest.mark.parametrize("path", [*PATHS, "/area-clienti/pec/6f9f4d0e-2b0c-4c0e-9a49-0d8a2f7c1b11/"])
def test_nobody_is_sent_to_sign_in(db, path):
    response = Client().get(path)
    assert (response.status_code, response.url) == (302, f"/accesso/?next={path}")


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
@pytest.mark.parametrize("path", PATHS)
def test_pages_only_read(signed_in, alice, path, method):
    assert getattr(signed_in(alice), method)(path).status_code == 405


@pytest.mark.django_db(transaction=True)
def test_a_stranger_finds_nothing(see, signed_in, alice, carla, box, make_box):
    order, hers = place(box, alice), make_box(carla, "carla")
    for path in [*PATHS, "/area-clienti/pec/?scheda=altri", "/area-clienti/pec/?q=alice", page_of(hers)]:
        page = signed_in(carla).get(path).content.decode()
        for secret in ("alice@pec.example", order.number, str(box.public_id), "Alice", "RSSLCA80A41H501U"):
            assert secret not in page, path
    assert signed_in(carla).get(page_of(box)).status_code == 404
    assert order.number in see(alice, page_of(box))
    assert "alice@pec.example" in see(alice, "/area-clienti/pec/")


@pytest.mark.django_db(transaction=True)
def test_a_mailbox_login_has_its_box_only(see, signed_in, alice, box, make_box):
    other = make_box(alice, "segreta", holder="bruno")
    mine, foreign = place(box, alice), place(other, alice)
    client = signed_in(box.login)
    for path in ("/area-clienti/", "/area-clienti/pec/", "/area-clienti/pec/?scheda=altri"):
        response = client.get(path)
        assert (response.status_code, response.url) == (302, page_of(box))
    for path in ("/area-clienti/domini/", "/area-clienti/ordini/", page_of(other)):
        assert client.get(path).status_code == 404
    page = client.get(page_of(box)).content.decode()
    assert mine.number in page
    for secret in ("segreta", foreign.number, "alice@posta.example", alice.username, "Le mie caselle", 'class="nav"'):
        assert secret not in page


@pytest.mark.django_db(transaction=True)
def test_a_mailbox_login_never_sees_an_order_with_other_boxes(see, signed_in, alice, box, make_box):
    """R1: neither number nor total, on the card and at the foot; it is told who can act."""
    order = place(box, alice)
    OrderLine.objects.create(order=order, kind="space", mailbox=make_box(alice, "segreta"), net=99)
    Order.objects.filter(pk=order.pk).update(taxable=700, vat=77, total=777, amount_due=777)
    page = signed_in(box.login).get(page_of(box)).content.decode()
    for secret in (order.number, "777", "segreta"):
        assert secret not in page
    text = see(box.login, page_of(box))
    assert "C'è già un ordine di rinnovo, insieme ad altre caselle dell'account" in text
    assert "Paga" not in text.replace("Pagamenti", "")
    assert "Nessun ordine per questa casella." in text
    assert order.number in see(alice, page_of(box))
    assert "777" in see(alice, page_of(box))


def test_a_mailbox_login_never_sees_whose_card_pays(see, alice, box):
    """R24b: the method belongs to the login that gave it."""
    from payments.models import AutoRenewal, StoredMethod
    from pecportal import clock

    method = StoredMethod.objects.create(
        login=alice, provider="sandbox", remote_id="x", label="Visa che finisce per 4242"
    )
    AutoRenewal.objects.create(
        box=box,
        method=method,
        years=2,
        amount="24.16",
        consent_text_version="1",
        agreed_by=alice,
        agreed_at=clock.now(),
    )
    box.auto_renews = True
    box.save(update_fields=["auto_renews"])
    assert "Paghi con Visa che finisce per 4242." in see(alice, page_of(box))
    text = see(box.login, page_of(box))
    assert "4242" not in text
    assert "si rinnova per 2 anni" in text


@pytest.mark.parametrize("wrong", ["1", "x", "00000000-0000-0000-0000-000000000000", "../pec"])
def test_ids_that_are_not(signed_in, alice, box, wrong):
    assert signed_in(alice).get(f"/area-clienti/pec/{wrong}/").status_code == 404
    assert signed_in(alice).get(f"/area-clienti/pec/{box.pk}/").status_code == 404
