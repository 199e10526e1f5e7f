from datetime import timedelta

import pytest

from mailboxes import flows
from mailboxes.models import Mailbox
from tests.helpers import place

HOME = "/area-clienti/"
CALM = "Nessuna casella scade nei prossimi 30 giorni e non ci sono ordini da pagare."


def test_nothing_yet(see, alice):
    text = see(alice, HOME)
    assert "Nessuna casella PEC." in text
    assert "Nessun dominio." in text
    assert "Nessun ordine da pagare." in text
    assert CALM not in text


def test_nothing_to_do(see, alice, make_box):
    make_box(alice, "lontana", expires_in=31)
    text = see(alice, HOME)
    assert CALM in text
    assert "Caselle 1 Scadono entro 30 giorni 0 Scadute 0" in text


@pytest.mark.django_db(transaction=True)
def test_things_to_do_come_first_and_lead_where_they_are_done(see, signed_in, alice, make_box, carla):
    for n in (0, 10, 30):
        box = make_box(alice, f"scade{n}", expires_in=n)
    make_box(alice, "lontana", expires_in=31)
    make_box(alice, "scaduta", expires_in=-1)
    make_box(alice, "bruno", holder="bruno", expires_in=3)
    deleted = make_box(alice, "cancellata", expires_in=-100)
    Mailbox.objects.filter(pk=deleted.pk).update(phase="deleted", login=None)
    make_box(carla, "carla", expires_in=3)
    place(box, alice)
    text = see(alice, HOME)
    for sentence in (
        "1 casella è scaduta e si può ancora rinnovare",
        "3 caselle scadono entro 30 giorni",
        "1 casella di altri titolari scade entro 30 giorni",
        "1 ordine da pagare · Vedi e paga",
    ):
        assert sentence in text.split("Gestisci")[0]
    assert "Caselle 7 Scadono entro 30 giorni 4 Scadute 1" in text
    page = signed_in(alice).get(HOME).content.decode()
    for url in ("?scheda=mie&amp;stato=scaduta", "?scheda=mie&amp;stato=entro_30", "?scheda=altri&amp;stato=entro_30"):
        assert f'href="/area-clienti/pec/{url}"' in page
    assert 'href="/area-clienti/ordini/?stato=da_pagare"' in page


def test_who_only_has_boxes_of_others_is_told_plainly(see, alice, make_box):
    for n in range(3):
        make_box(alice, f"bruno{n}", holder="bruno", expires_in=n)
    assert "3 caselle scadono entro 30 giorni" in see(alice, HOME)


def test_a_box_that_cannot_be_renewed_any_more_is_counted_but_not_to_do(see, alice, make_box):
    make_box(alice, "tardi", expires_in=-91)
    text = see(alice, HOME)
    assert "Scadute 1" in text
    assert "si può ancora rinnovare" not in text


def test_the_areas(see, signed_in, alice, today):
    flows.open_domain(name="a.example", mail_host="a.example", owner=alice, expires_on=today + timedelta(days=9))
    text = see(alice, HOME)
    assert "Domini con caselle PEC 1" in text
    page = signed_in(alice).get(HOME).content.decode()
    for path in ("/area-clienti/pec/", "/area-clienti/domini/", "/area-clienti/ordini/", "/area-clienti/dati/"):
        assert f'class="btn btn--primary" href="{path}"' in page or f'class="btn btn--secondary" href="{path}"' in page
    assert text.count("Gestisci") == 4
