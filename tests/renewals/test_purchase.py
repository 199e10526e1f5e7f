"""Buying a deleted address again: who may, what is frozen, once (R30, R8, R9)."""

from datetime import date, timedelta
from decimal import Decimal as D
from itertools import product

import pytest
import time_machine
from post_office.models import Email

from mailboxes.catalogue import MissingPriceError
from mailboxes.flows import open_box
from mailboxes.models import Address, Mailbox, Price
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import again, flows, purchase
from renewals.again import Again, AgainFacts
from renewals.models import BillingSnapshot, HolderSnapshot, Order
from tests.buying import buy, deleted
from tests.conftest import CODES, holder_of
from tests.payments.charging_helpers import at

pytestmark = pytest.mark.django_db


@pytest.fixture
def gone(make_box, alice):
    return deleted(make_box(alice, "persa", expires_in=-150))


# --- The rule, and nothing but it -------------------------------------------------------------------------------------

FREE = AgainFacts(
    deleted=True, on_domain=False, lives_again=False, same_holder=True, order_awaits_payment=None, order_is_ours=False
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Again.BUY),
        ({"deleted": False}, Again.NOT_DELETED),
        ({"lives_again": True}, Again.ALIVE),
        ({"lives_again": True, "order_awaits_payment": False, "order_is_ours": True}, Again.ALIVE),
        ({"on_domain": True}, Again.ON_DOMAIN),
        ({"same_holder": False}, Again.OTHER_HOLDER),
        # Another holder is told the same whether or not somebody is buying: nothing of the others' orders.
        ({"same_holder": False, "order_awaits_payment": True}, Again.OTHER_HOLDER),
        ({"order_awaits_payment": True, "order_is_ours": True}, Again.ORDER_TO_PAY),
        ({"order_awaits_payment": False, "order_is_ours": True}, Again.ORDER_AT_WORK),
        ({"order_awaits_payment": True}, Again.ORDERED_ELSEWHERE),
        ({"order_awaits_payment": False}, Again.ORDERED_ELSEWHERE),
    ],
)
def test_why_it_can_or_cannot_be_bought(changes, reason):
    assert again.offer(AgainFacts(**{**vars(FREE), **changes})) is reason


def test_an_order_goes_through_in_one_case_only():
    names = [name for name in vars(FREE) if name != "order_awaits_payment"]
    found = [
        AgainFacts(**dict(zip(names, values, strict=True)), order_awaits_payment=awaits)
        for values in product([True, False], repeat=len(names))
        for awaits in (None, True, False)
    ]
    assert [f for f in found if again.offer(f) is Again.BUY] == [
        AgainFacts(**{**vars(FREE), "order_is_ours": ours}) for ours in (True, False)
    ]


# --- What is frozen ---------------------------------------------------------------------------------------------------


def test_an_order_freezes_what_was_confirmed_and_moves_nothing(gone, alice, today):
    order = buy(gone, alice, years=2, holder={"phone": "333 1234567"})
    assert (order.kind, order.status, order.years, order.number[:2]) == ("purchase", "awaiting_payment", 2, "A-")
    assert (order.taxable, order.vat, order.total, order.amount_due) == (D("19.80"), D("4.36"), D("24.16"), D("24.16"))
    assert (order.owner, order.placed_by, order.lapses_on) == (alice, alice, today + timedelta(days=90))
    assert order.payable_until == order.lapses_on  # not the last day of the old life
    line = order.lines.get()
    assert (line.address, line.mailbox, line.domain, line.kind) == (gone.address, None, None, "purchase")
    assert (line.plan.code, line.mailbox_gb, line.archive_gb, line.net) == ("standard", 1, 0, D("19.80"))
    assert (line.old_expiry, line.period, line.is_open) == (None, None, True)
    typed = HolderSnapshot.objects.get(line=line)
    assert (typed.phone, typed.last_name, typed.codice_fiscale) == ("333 1234567", "Rossi", CODES["alice"])
    assert gone.holder.phone == "0612345678"
    assert BillingSnapshot.objects.get(order=order).codice_fiscale == CODES["alice"]
    assert Mailbox.objects.filter(address=gone.address).count() == 1


@pytest.mark.parametrize(
    ("plan", "gb", "years", "total"),
    [
        ("standard", (1, 0), 1, "12.08"),
        ("standard", (2, 0), 1, "15.74"),  # 9.90 + 3.00
        ("pro", (2, 3), 1, "24.28"),
        ("premium", (5, 10), 3, "157.01"),  # 3 × (29.90 + 3 × 3.00 + 2 × 2.00) = 128.70
    ],
)
def test_prices_are_those_of_a_renewal(make_box, alice, plans, plan, gb, years, total):
    from mailboxes.catalogue import prices_on

    living = make_box(alice, "viva", plan=plan, mailbox_gb=gb[0], archive_gb=gb[1])
    choice = flows.Choice(getattr(plans, plan), *gb)
    renewal = flows.quote(box=living, choice=choice, years=years, prices=prices_on(clock.today()))
    order = buy(deleted(make_box(alice, "persa")), alice, plan=getattr(plans, plan), gb=gb, years=years)
    assert order.total == renewal.totals.total
    assert order.total == D(total)
    assert order.lines.get().net == renewal.line.net


def test_the_confirmation_promises_no_day(gone, alice):
    order = buy(gone, alice, years=2)
    mails = list(Email.objects.order_by("id"))
    assert sorted(m.to[0] for m in mails) == ["alice@posta.example", "ordine@posta.example"]
    for mail in mails:
        for body in (mail.message, mail.html_message):
            assert "2 anni dopo l" in body
            assert "Attiviamo la casella, vuota, appena registriamo il pagamento" in body
            assert "Nuova scadenza" not in body and "resta com" not in body
            assert str(order.lapses_on.year) in body
        assert mail.subject.startswith(f"persa@pec.example: ordine {order.number} da pagare")


# --- Who may not ------------------------------------------------------------------------------------------------------


def test_another_holder_is_refused_and_learns_nothing_of_the_old_one(gone, carla, make_box):
    """Carla had the address before Alice's tombstone: an older life of hers is still in her list."""
    older = make_box(carla, "altra")
    Mailbox.objects.filter(pk=older.pk).update(address=gone.address, phase="deleted", login=None)
    older = Mailbox.objects.select_related("address", "holder", "owner", "plan").get(pk=older.pk)
    with pytest.raises(RefusedError) as refused:
        buy(older, carla)
    sentence = str(refused.value)
    assert sentence == (
        "Solo il titolare di allora può acquistare di nuovo questo indirizzo, e fra i titolari del tuo account non c'è "
        "il suo codice fiscale. Se è un errore, scrivi all'assistenza."
    )
    assert not [
        s for s in ("Alice", "Rossi", CODES["alice"], "alice.contatto", gone.address.tombstone) if s in sentence
    ]
    assert Order.objects.count() == 0


def test_another_of_the_accounts_holders_with_the_key_may(gone, alice):
    """The box's own holder was corrected since; the account still has the holder of the tombstone."""
    bruno = holder_of(alice, "bruno")
    Address.objects.filter(pk=gone.address_id).update(tombstone=purchase.tombstone_hash(bruno.fiscal_key))
    gone.address.refresh_from_db()
    order = buy(gone, alice)
    assert order.lines.get().holder.codice_fiscale == CODES["bruno"]


def test_an_address_without_a_tombstone_is_nobodys(gone, alice):
    Address.objects.update(tombstone="")
    gone.address.refresh_from_db()
    with pytest.raises(RefusedError, match="Solo il titolare di allora"):
        buy(gone, alice)


def test_a_strangers_box_does_not_exist(gone, carla):
    with pytest.raises(Mailbox.DoesNotExist):
        buy(gone, carla)


@pytest.mark.parametrize("phase", ["live", "deleting"])
def test_only_a_deleted_box(make_box, alice, phase):
    box = make_box(alice, "viva")
    Mailbox.objects.filter(pk=box.pk).update(phase=phase, login=None)
    with pytest.raises(RefusedError, match="non è cancellata"):
        buy(box, alice)


def test_not_while_the_address_lives(gone, alice, plans, today):
    open_box(
        address="persa@pec.example", owner=alice, holder=gone.holder, plan=plans.standard,
        expires_on=today + timedelta(days=100),
    )  # fmt: skip
    with pytest.raises(RefusedError, match="già stato acquistato di nuovo"):
        buy(gone, alice)


def test_not_on_a_domain(make_box, alice, today):
    from mailboxes.flows import open_domain

    domain = open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(days=150)
    )
    box = deleted(make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example"))
    with pytest.raises(RefusedError, match="si aprono con il dominio"):
        buy(box, alice, plan=box.plan.__class__.objects.get(code="standard"))


def test_the_second_confirmation_is_led_to_the_first(gone, alice):
    order = buy(gone, alice)
    with pytest.raises(flows.AlreadyOrderedError) as refused:
        buy(gone, alice)
    assert refused.value.order == order
    assert Order.objects.count() == 1


def test_a_changed_price_is_refused_not_charged(gone, alice, plans):
    with pytest.raises(flows.PriceChangedError):
        buy(gone, alice, shown_total=D("12.07"))
    Price.objects.create(item="plan", plan=plans.standard, net=D("10.90"), valid_from=clock.today())
    with pytest.raises(flows.PriceChangedError):
        buy(gone, alice, shown_total=D("12.08"))
    assert Order.objects.count() == 0
    Price.objects.filter(plan=plans.standard).delete()
    with pytest.raises(MissingPriceError):
        buy(gone, alice, shown_total=D("12.08"))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"years": 6, "shown_total": D(1)}, RefusedError),
        ({"years": 0, "shown_total": D(1)}, RefusedError),
        ({"email": "persa@pec.example"}, flows.HostedEmailError),
        ({"gb": (3, 0)}, flows.ChoiceError),  # more than Standard sells
    ],
)
def test_nonsense_is_refused_under_the_lock_too(gone, alice, changes, error):
    with pytest.raises(error):
        buy(gone, alice, **changes)
    assert Order.objects.count() == 0


def test_years_count_from_the_day_of_the_activation():
    from mailboxes.catalogue import PriceList

    prices = PriceList(date(2028, 2, 29), {"x": D(1)}, {"mailbox_gb": D(1), "archive_gb": D(1)}, D("0.22"), {})
    plan = type("P", (), {"code": "x", "base_mailbox_gb": 1, "base_archive_gb": 0})()
    found = [
        purchase.quote(choice=flows.Choice(plan, 1, 0), years=n, prices=prices, today=date(2028, 2, 29)).new_expiry
        for n in (1, 4)
    ]
    assert found == [date(2029, 2, 28), date(2032, 2, 29)]


def test_a_lapsed_order_lets_it_be_bought_again(gone, alice):
    from lifecycle.flows import run_day

    order = buy(gone, alice)
    with time_machine.travel(at(clock.today() + timedelta(days=91)), tick=False):
        run_day()
        order.refresh_from_db()
        assert (order.status, order.lines.get().status) == ("lapsed", "closed")
        closed = Email.objects.filter(subject__contains="non vale più")
        assert closed.count() == 2
        assert all("non viene attivata" in m.message and "None" not in m.message + m.subject for m in closed)
        assert buy(gone, alice).number != order.number
