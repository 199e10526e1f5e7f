"""Opening a box that exists already elsewhere: impossible dates, other people's domains, a second life (R17, R30)."""

from datetime import date, timedelta

import pytest

from mailboxes import flows
from mailboxes.hosting import is_hosted
from mailboxes.models import Domain, Mailbox
from mailboxes.models.boxes import Phase
from pecportal.errors import RefusedError
from tests.buying import deleted
from tests.conftest import PASSWORD, holder_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("day", [date(1, 1, 1), date(1999, 12, 31), date(2101, 1, 1), date(9999, 12, 31)])
def test_a_year_that_cannot_be_is_a_sentence(alice, plans, day):
    with pytest.raises(RefusedError, match="Controlla l'anno"):
        flows.open_box(
            address="a@pec.example", owner=alice, holder=holder_of(alice, "alice"), plan=plans.standard, expires_on=day
        )
    with pytest.raises(RefusedError, match="Controlla l'anno"):
        flows.open_domain(name="a.example", mail_host="pec.a.example", owner=alice, expires_on=day)
    assert Mailbox.objects.count() == 0


def test_a_box_takes_the_dates_that_its_domain_has_now(make_box, alice, today):
    domain = flows.open_domain(
        name="a.example", mail_host="pec.a.example", owner=alice, expires_on=today + timedelta(days=9)
    )
    renewed = today + timedelta(days=374)
    type(domain).objects.update(expires_on=renewed, delete_from=renewed + timedelta(days=91))
    box = make_box(alice, "info", plan="domain", domain=domain, host="pec.a.example")  # `domain` was read before
    assert (box.expires_on, box.delete_from) == (renewed, renewed + timedelta(days=91))


def test_a_box_on_another_accounts_domain_is_refused(make_box, alice, carla, today):
    domain = flows.open_domain(
        name="a.example", mail_host="pec.a.example", owner=carla, expires_on=today + timedelta(days=9)
    )
    with pytest.raises(RefusedError, match="un altro account"):
        make_box(alice, "info", plan="domain", domain=domain, host="pec.a.example")
    assert Mailbox.objects.count() == 0


def test_a_new_life_does_not_open_with_the_password_of_the_one_before(box, alice, plans, today):
    Mailbox.objects.filter(pk=box.pk).update(phase=Phase.DELETED, login=None)
    again = flows.open_box(
        address="alice@pec.example", owner=alice, holder=box.holder, plan=plans.standard,
        expires_on=today + timedelta(days=365),
    )  # fmt: skip
    assert again.login_id == box.login_id
    assert not again.login.check_password(PASSWORD)


def test_a_deleted_domain_is_opened_again_and_its_addresses_stay_their_holders(make_box, alice, carla, plans, today):
    facts = {"name": "a.example", "mail_host": "pec.a.example", "expires_on": today + timedelta(days=365)}
    gone = flows.open_domain(owner=alice, **facts)
    box = deleted(make_box(alice, "info", plan="domain", domain=gone, host="pec.a.example"))
    with pytest.raises(RefusedError, match=r"Il dominio a\.example esiste già"):
        flows.open_domain(owner=alice, **facts)
    Domain.objects.update(phase=Phase.DELETED)
    again = flows.open_domain(owner=carla, **facts)
    assert (again.pk != gone.pk, again.phase, again.boxes.count()) == (True, "live", 0)
    for changes in ({"name": "b.example"}, {"mail_host": "pec.b.example"}):
        with pytest.raises(RefusedError, match="esiste già"):
            flows.open_domain(owner=alice, **{**facts, **changes})
    info = {"address": "info@pec.a.example", "owner": carla, "plan": plans.domain, "domain": again}
    with pytest.raises(RefusedError, match="appartenuto a un altro titolare"):
        flows.open_box(holder=holder_of(carla, "carla"), **info)
    life = flows.open_box(holder=holder_of(carla, "alice"), **info)  # the holder has changed accounts
    assert (life.address_id, life.pk != box.pk, life.expires_on) == (box.address_id, True, again.expires_on)
    assert is_hosted("chi@pec.a.example")
