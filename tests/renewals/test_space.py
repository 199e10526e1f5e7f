"""Space bought in the middle of a term, and its meeting with a renewal (R9)."""

from datetime import timedelta
from decimal import Decimal as D

import pytest

from payments.models import Case
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import flows, pricing
from renewals.models import Order
from renewals.space import place_space
from tests.helpers import pay_transfer, place

pytestmark = pytest.mark.django_db(transaction=True)


def more(box, user, mailbox_gb: int, archive_gb: int = 0, **changes) -> Order:
    months = pricing.months_left(clock.today(), box.expires_on)
    net = pricing.space_net(extra_gb=mailbox_gb - box.mailbox_gb, price_a_year=D("3.00"), months=months)
    net += pricing.space_net(extra_gb=archive_gb - box.archive_gb, price_a_year=D("2.00"), months=months)
    facts = {
        "email": "ordine@posta.example", "method": "transfer", "terms_version": "2026-11", "terms_ip": None,
        "shown_total": pricing.totals([net], D("0.22")).total,
    }  # fmt: skip
    return place_space(box_id=box.pk, user=user, mailbox_gb=mailbox_gb, archive_gb=archive_gb, **{**facts, **changes})


def test_space_is_in_force_when_paid_and_moves_no_date(box, alice, dario):
    expiry = box.expires_on
    order = more(box, alice, 2)
    assert (order.kind, order.years, order.total) == ("space", None, D("0.61"))  # 40 days: 2 months of € 3 a year
    assert pay_transfer(order, dario).paid
    box.refresh_from_db()
    assert (box.mailbox_gb, box.expires_on, box.periods.count()) == (2, expiry, 1)


@pytest.mark.parametrize(("mailbox_gb", "archive_gb"), [(1, 0), (0, 0), (3, 0), (2, 1)])
def test_space_that_is_none_or_outside_the_plan_is_refused(box, alice, mailbox_gb, archive_gb):
    with pytest.raises((RefusedError, ValueError)):
        more(box, alice, mailbox_gb, archive_gb, shown_total=D("1.00"))
    assert Order.objects.count() == 0


def test_one_open_space_order_at_a_time(make_box, alice):
    box = make_box(alice, "pro", plan="pro")
    more(box, alice, 3, 3)
    with pytest.raises(RefusedError, match="già un ordine aperto"):
        more(box, alice, 4, 3)


def test_a_renewal_that_downgrades_waits_for_the_open_space_order(make_box, alice, plans):
    box = make_box(alice, "pro", plan="pro")
    more(box, alice, 3, 3)
    with pytest.raises(flows.ChoiceError) as refused:
        place(box, alice, plan=plans.standard)
    assert [p.code for p in refused.value.problems] == ["space_order_open"]
    assert place(box, alice).status == "awaiting_payment"  # the same plan again takes nothing away


def test_space_overtaken_by_a_renewal_is_a_case(make_box, alice, dario):
    box = make_box(alice, "pro", plan="pro")
    space = more(box, alice, 3, 3)
    pay_transfer(place(box, alice), dario, reference="A")
    pay_transfer(space, dario, reference="B")
    space.refresh_from_db()
    assert (space.status, space.lines.get().status) == ("attention", "attention")
    assert [(c.kind, c.order, c.box) for c in Case.objects.all()] == [("space", space, box)]
    box.refresh_from_db()
    assert box.mailbox_gb == 2


def test_an_expired_box_buys_no_space(make_box, alice):
    box = make_box(alice, "scaduta", plan="pro", expires_in=-1)
    with pytest.raises(RefusedError, match="casella attiva"):
        place_space(
            box_id=box.pk, user=alice, mailbox_gb=3, archive_gb=3, email="a@posta.example", method="transfer",
            terms_version="2026-11", terms_ip=None, shown_total=D("1.00"),
        )  # fmt: skip
    assert box.expires_on == clock.today() - timedelta(days=1)


def test_the_email_of_a_space_order_may_not_be_hosted_here_either(box, alice):
    with pytest.raises(RefusedError, match="non può essere una casella PEC"):
        more(box, alice, 2, email="altra@pec.example")
    assert Order.objects.count() == 0


def test_no_space_while_a_smaller_plan_waits_for_its_day(make_box, alice, dario, plans):
    """The order would raise what waits, and give the larger plan away until the new expiry (§4 Capacity)."""
    box = make_box(alice, "pro", plan="pro")
    pay_transfer(place(box, alice, plan=plans.standard), dario)
    box.refresh_from_db()
    with pytest.raises(RefusedError, match="spazio già scelto con il rinnovo"):
        more(box, alice, 3, 3)
    assert box.next_plan == plans.standard


@pytest.mark.parametrize(("mailbox_gb", "archive_gb"), [(-1, 0), (10**9, 0), (2, -5), (2, 10**9)])
def test_absurd_space_is_a_sentence(box, alice, mailbox_gb, archive_gb):
    with pytest.raises(RefusedError):
        more(box, alice, mailbox_gb, archive_gb, shown_total=D("1.00"))
