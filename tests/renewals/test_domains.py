"""A domain renewed with its boxes, from confirmation to the new dates, without screens (R17)."""

from calendar import isleap
from datetime import date, timedelta
from decimal import Decimal as D
from itertools import count

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from post_office.models import Email

from mailboxes.catalogue import MissingPriceError
from mailboxes.models import BoxEvent, Domain, Mailbox, PaidPeriod, Price
from payments import bank, cases, giving_back, withdrawal
from payments.models import AutoRenewal, Case, Payment
from pecportal import clock
from pecportal.errors import RefusedError
from renewals import domains, flows, giving, rules, undoing
from renewals.models import HolderSnapshot, Order, OrderLine
from tests.conftest import CODES
from tests.domains import domain_of, on_domain, place_domain, price_of, set_dates
from tests.helpers import pay_card, pay_transfer, years_later
from tests.payments.money import money_adds_up

pytestmark = pytest.mark.django_db(transaction=True)
LEAP = next(year for year in count(clock.today().year + 1) if isleap(year))  # still to come, whenever this runs


def reload(obj):
    return type(obj).objects.get(pk=obj.pk)


@pytest.fixture
def domain(alice):
    return domain_of(alice)


@pytest.fixture
def three(make_box, domain):
    return on_domain(make_box, domain, "info", "ufficio", "vendite")


# --- Money that is paid is given, to all, once -----------------------------------------------------------------------


def test_the_whole_road_moves_domain_and_boxes_together_by_one_period(domain, three, alice, dario):
    order = place_domain(domain, alice, years=2)
    assert (order.status, order.kind, order.years, order.number[0]) == ("awaiting_payment", "domain_renewal", 2, "D")
    assert reload(domain).expires_on == domain.expires_on  # nothing moves before registration
    assert pay_transfer(order, dario).paid
    renewed, order = reload(domain), reload(order)
    end = years_later(domain.expires_on, 2)
    assert (renewed.expires_on, renewed.delete_from) == (end, end + timedelta(days=91))
    boxes = list(Mailbox.objects.order_by("pk"))
    assert [(b.expires_on, b.delete_from) for b in boxes] == [(end, end + timedelta(days=91))] * 3
    assert all(b.platform_due_at is not None and b.anchor_month is None for b in boxes)
    period = PaidPeriod.objects.get(source=order.lines.get(domain=domain).public_id)
    assert (period.domain, period.box, period.starts, period.ends) == (
        domain, None, domain.expires_on + timedelta(days=1), end,
    )  # fmt: skip
    assert PaidPeriod.objects.filter(box__in=boxes).count() == 0
    assert order.status == "fulfilled"
    assert {line.status for line in order.lines.all()} == {"fulfilled"}
    assert [line.period for line in order.lines.order_by("id")] == [period, None, None, None]
    assert BoxEvent.objects.filter(kind="renewed").count() == 3
    money_adds_up()


def test_fulfilling_twice_adds_nothing(domain, three, alice, dario):
    order = place_domain(domain, alice)
    pay_transfer(order, dario)
    end = reload(domain).expires_on
    assert giving.fulfil(order.pk) is False
    assert reload(domain).expires_on == end
    assert domain.periods.count() == 2  # the opening and this one
    assert BoxEvent.objects.filter(kind="renewed").count() == 3


@pytest.mark.parametrize(
    ("expiry", "years", "after"),
    [
        (date(LEAP, 2, 29), 1, date(LEAP + 1, 2, 28)),
        (date(LEAP, 2, 29), 4, date(LEAP + 4, 2, 29)),
        (date(LEAP + 3, 2, 28), 1, date(LEAP + 4, 2, 28)),
        (date(LEAP, 12, 31), 5, date(LEAP + 5, 12, 31)),
    ],
)
def test_the_anchor_keeps_the_day(domain, three, alice, dario, expiry, years, after):
    set_dates(domain, expiry)
    assert domains.new_expiry(reload(domain), years) == after
    pay_transfer(place_domain(domain, alice, years=years), dario)
    assert reload(domain).expires_on == after
    assert set(Mailbox.objects.values_list("expires_on", flat=True)) == {after}


def test_the_29th_comes_back_after_three_years_on_the_28th(domain, three, alice, dario):
    set_dates(domain, date(LEAP, 2, 29))
    ends = *(date(LEAP + n, 2, 28) for n in (1, 2, 3)), date(LEAP + 4, 2, 29)
    for n, after in enumerate(ends):
        pay_transfer(place_domain(domain, alice), dario, reference=f"R{n}")
        assert reload(domain).expires_on == after
    assert set(Mailbox.objects.values_list("expires_on", flat=True)) == {ends[-1]}


@pytest.mark.parametrize(("days", "last"), [(None, 90), (30, 30), (120, 120), (0, 0)])
def test_its_own_deletion_day_counts(alice, make_box, dario, days, last):
    domain = domain_of(alice, deletion_days=days)
    (box,) = on_domain(make_box, domain, "info")
    pay_transfer(place_domain(domain, alice), dario)
    domain, box = reload(domain), reload(box)
    assert domain.delete_from == domain.expires_on + timedelta(days=last + 1)
    assert (box.expires_on, box.delete_from) == (domain.expires_on, domain.delete_from)


def test_a_box_opened_after_the_order_has_the_dates_too(domain, three, alice, make_box, dario):
    order = place_domain(domain, alice)
    (late,) = on_domain(make_box, domain, "tardi")
    pay_transfer(order, dario)
    late, renewed = reload(late), reload(domain)
    assert (late.expires_on, late.delete_from) == (renewed.expires_on, renewed.delete_from)
    assert renewed.expires_on > domain.expires_on
    assert order.lines.filter(mailbox=late).count() == 0
    letter = Email.objects.filter(subject__contains="è rinnovato").first()
    assert "- tardi@pec.rossi.example" in letter.message


def test_a_box_in_activation_keeps_no_date_and_one_being_deleted_keeps_its_own(domain, three, alice, make_box, dario):
    order = place_domain(domain, alice)
    new, going = on_domain(make_box, domain, "nuova", "ultima")
    Mailbox.objects.filter(pk=new.pk).update(phase="activating", expires_on=None, delete_from=None)
    Mailbox.objects.filter(pk=going.pk).update(phase="deleting", login=None)
    pay_transfer(order, dario)
    assert (reload(new).expires_on, reload(going).expires_on) == (None, domain.expires_on)


# --- A box that is gone: its money goes back, the rest is given -------------------------------------------------------


def gone(box):
    Mailbox.objects.filter(pk=box.pk).update(phase="deleted", login=None)


def test_a_box_that_is_gone_is_to_be_decided_and_the_rest_is_given(domain, three, alice, dario):
    order = place_domain(domain, alice)
    gone(three[1])
    assert pay_transfer(order, dario).paid  # one box of three does not turn the money away
    renewed = reload(domain)
    assert renewed.expires_on > domain.expires_on
    assert [reload(b).expires_on == renewed.expires_on for b in three] == [True, False, True]
    assert reload(order).status == "attention"
    lines = {str(line.target): line.status for line in order.lines.all()}
    assert lines == {
        "rossi.example": "fulfilled", "info@pec.rossi.example": "fulfilled", "ufficio@pec.rossi.example": "attention",
        "vendite@pec.rossi.example": "fulfilled",
    }  # fmt: skip
    case = Case.objects.get(closed_at=None)
    assert (case.kind, case.box, case.amount) == ("line", three[1], D("8.00"))
    letter = Email.objects.filter(subject__contains="lo stiamo verificando").first()
    assert "Il dominio rossi.example e le caselle che ci sono ancora sono rinnovati" in letter.message
    line = order.lines.get(mailbox=three[1])
    by_bank = giving_back.refund_line(line_id=line.pk, actor=dario, why="la casella non c'è più")
    assert by_bank == D("9.76")  # 8.00 + 22 %
    assert (reload(order).status, reload(line).status) == ("fulfilled", "refunded")
    assert reload(domain).expires_on == renewed.expires_on
    money_adds_up()


def test_tried_again_once_it_is_back_it_follows_without_a_second_period(domain, three, alice, dario):
    order = place_domain(domain, alice)
    Mailbox.objects.filter(pk=three[1].pk).update(domain=domain_of(alice, "altro.example"))
    pay_transfer(order, dario)
    now = reload(domain)
    end = now.expires_on
    Mailbox.objects.filter(pk=three[1].pk).update(domain=domain, expires_on=end, delete_from=now.delete_from)
    giving_back.try_again(order_id=order.pk, actor=dario, why="è tornata")
    assert (reload(order).status, reload(domain).expires_on) == ("fulfilled", end)
    assert domain.periods.count() == 2
    assert Case.objects.filter(closed_at=None).count() == 0


def test_money_for_a_domain_that_is_gone_renews_nothing_and_is_a_case(domain, three, alice, dario):
    order = place_domain(domain, alice)
    Domain.objects.filter(pk=domain.pk).update(phase="deleting")
    assert not pay_transfer(order, dario).paid
    assert [c.kind for c in Case.objects.filter(closed_at=None)] == ["too_late"]
    assert (reload(order).status, reload(domain).expires_on) == ("awaiting_payment", domain.expires_on)
    money_adds_up()


def test_a_domain_that_went_between_payment_and_fulfilment_gives_nothing_and_loses_nothing(
    domain, three, alice, dario, monkeypatch
):
    order = place_domain(domain, alice)
    with monkeypatch.context() as patch:
        patch.setattr(bank, "after_paid", lambda order_id: None)
        pay_transfer(order, dario)
    Domain.objects.filter(pk=domain.pk).update(phase="deleting")
    giving.fulfil(order.pk, on_attention=cases.open_for_attention)
    assert reload(order).status == "attention"
    assert set(order.lines.values_list("status", flat=True)) == {"attention"}
    assert {b.expires_on for b in Mailbox.objects.all()} == {domain.expires_on}
    assert sorted(c.amount for c in Case.objects.filter(kind="line", closed_at=None)) == [D(8), D(8), D(8), D(12)]
    giving_back.refund_line(line_id=order.lines.get(domain=domain).pk, actor=dario, why="non c'è più")
    # the other three are still to be decided, and somebody sees that
    assert Case.objects.filter(kind="line", closed_at=None).count() == 3


def test_a_declared_order_past_e_plus_90_still_renews_when_begun_in_time(alice, make_box, dario):
    domain = domain_of(alice, expires_in=-80)
    on_domain(make_box, domain, "info")
    order = place_domain(domain, alice)
    set_dates(domain, clock.today() - timedelta(days=95))
    on_time = clock.today() - timedelta(days=6)
    receipt = bank.record_receipt(
        bank_account="IT60", bank_reference="T1", amount=order.amount_due, value_date=on_time, actor=dario
    )
    assert bank.allocate(receipt_id=receipt.pk, order_id=order.pk, actor=dario).paid
    assert reload(domain).expires_on > clock.today()


# --- Prices (R26) -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "years", "taxable", "vat", "total"),
    [
        (0, 1, "12.00", "2.64", "14.64"),
        (1, 1, "20.00", "4.40", "24.40"),
        (3, 2, "72.00", "15.84", "87.84"),
        (200, 5, "8060.00", "1773.20", "9833.20"),
    ],
)
def test_prices_to_the_cent(domain, boxes, years, taxable, vat, total):
    from mailboxes.catalogue import prices_on

    found = domains.quote(domain=domain, boxes=boxes, years=years, prices=prices_on(clock.today())).totals
    assert (found.taxable, found.vat, found.total) == (D(taxable), D(vat), D(total))


def test_vat_is_taken_once_on_the_sum(domain, three, alice):
    """Line by line 22 % of 9.99 and of three times 3.33 would be 2.20 + 2.19 = 4.39; on the sum of 19.98 it is 4.40."""
    Price.objects.filter(item="domain").update(net=D("9.99"))
    Price.objects.filter(item="domain_box").update(net=D("3.33"))
    order = place_domain(domain, alice)
    assert (order.taxable, order.vat, order.total) == (D("19.98"), D("4.40"), D("24.38"))
    assert [line.net for line in order.lines.order_by("id")] == [D("9.99"), D("3.33"), D("3.33"), D("3.33")]


def test_a_price_on_the_page_that_is_not_todays_is_refused(domain, three, alice, make_box):
    shown = price_of(domain).totals.total
    on_domain(make_box, domain, "quarta")
    with pytest.raises(flows.PriceChangedError):
        place_domain(domain, alice, shown_total=shown)
    with pytest.raises(flows.PriceChangedError):
        place_domain(domain, alice, shown_total=D("0.01"))
    assert Order.objects.count() == 0


@pytest.mark.parametrize("item", ["domain", "domain_box"])
def test_a_missing_price_stops_the_order(domain, three, alice, item):
    shown = price_of(domain).totals.total
    Price.objects.filter(item=item).delete()
    with pytest.raises(MissingPriceError):
        place_domain(domain, alice, shown_total=shown)
    assert Order.objects.count() == 0


# --- One order, frozen (R8, R9, R12) ----------------------------------------------------------------------------------


def test_a_line_each_frozen_as_confirmed(domain, alice, make_box):
    (hers,) = on_domain(make_box, domain, "info")
    (of_bruno,) = on_domain(make_box, domain, "bruno", holder="bruno")
    order = place_domain(domain, alice, years=3)
    Price.objects.filter(item__in=["domain", "domain_box"]).update(net=D("99.00"))
    found = [
        (str(line.target), line.kind, line.net, line.base_price, line.old_expiry, line.holder.codice_fiscale)
        for line in order.lines.order_by("id")
    ]
    day = domain.expires_on
    assert found == [
        ("rossi.example", "domain_renewal", D("36.00"), D("12.00"), day, CODES["alice"]),
        (str(of_bruno), "domain_renewal", D("24.00"), D("8.00"), day, CODES["bruno"]),
        (str(hers), "domain_renewal", D("24.00"), D("8.00"), day, CODES["alice"]),
    ]
    assert order.billing.codice_fiscale == CODES["alice"]
    assert HolderSnapshot.objects.count() == 3
    assert order.payable_until == clock.today() + timedelta(days=90)


def test_a_second_order_is_refused_and_names_the_first(domain, three, alice):
    order = place_domain(domain, alice)
    with pytest.raises(flows.AlreadyOrderedError) as refused:
        place_domain(domain, alice)
    assert refused.value.order == order
    assert Order.objects.count() == 1


def test_cancelled_it_can_be_ordered_again(domain, three, alice):
    order = place_domain(domain, alice)
    undoing.cancel(order, why="cambiato idea", actor=alice)
    assert set(order.lines.values_list("status", "is_open")) == {("closed", False)}
    assert order.events.filter(line__isnull=False, after="closed").count() == 4
    assert place_domain(domain, alice).pk != order.pk
    letter = Email.objects.filter(subject__contains="annullato").first()
    assert "Il dominio rossi.example e le sue caselle non sono stati rinnovati." in letter.message


def test_a_box_line_still_to_be_decided_stops_the_next_order_while_the_box_lives(domain, three, alice, dario):
    order = place_domain(domain, alice)
    Mailbox.objects.filter(pk=three[0].pk).update(domain=domain_of(alice, "altro.example"))
    pay_transfer(order, dario)
    assert domains.open_order(domain) is None
    Mailbox.objects.filter(pk=three[0].pk).update(domain=domain)
    assert domains.open_order(domain) == order
    with pytest.raises(flows.AlreadyOrderedError):
        place_domain(domain, alice)


def test_the_mails_name_the_domain_and_its_boxes(domain, three, alice, dario):
    order = place_domain(domain, alice)
    pay_transfer(order, dario)
    mails = list(Email.objects.order_by("id"))
    assert {m.to[0] for m in mails} == {"alice@posta.example", "ordine@posta.example"}
    assert {m.subject for m in mails} == {
        f"rossi.example: ordine {order.number} da pagare, € 43,92",
        f"rossi.example è rinnovato fino al {mails[-1].subject.partition('fino al ')[2]}",
    }
    for m in mails:
        for name in ("rossi.example", *map(str, three)):
            assert name in m.message and name in m.html_message
        assert "La casella" not in m.message
        assert CODES["alice"] not in m.message + m.html_message


@pytest.mark.parametrize("email", ["info@pec.rossi.example", "chiunque@pec.example"])
def test_the_orders_email_may_not_be_hosted_here(domain, three, alice, email):
    with pytest.raises(RefusedError, match="non può essere una casella PEC"):
        place_domain(domain, alice, email=email)
    assert Order.objects.count() == 0


# --- Who, and when (R1, R4) -------------------------------------------------------------------------------------------


def test_only_the_account_places_and_sees_it(domain, three, alice, carla):
    for stranger in (carla, three[0].login):
        with pytest.raises(Domain.DoesNotExist):
            place_domain(domain, stranger)
    order = place_domain(domain, alice)
    assert list(Order.objects.visible_to(alice)) == [order]
    assert list(Order.objects.visible_to(carla)) == []
    assert list(Order.objects.visible_to(three[0].login)) == []


def test_with_one_box_its_login_still_does_not_see_the_domains_order(domain, alice, make_box):
    (only,) = on_domain(make_box, domain, "info")
    place_domain(domain, alice)
    assert list(Order.objects.visible_to(only.login)) == []


@pytest.mark.parametrize(
    ("expires_in", "phase", "reason"),
    [
        (10, "live", "renew"), (0, "live", "renew"), (-1, "live", "renew"), (-90, "live", "renew"),
        (-91, "live", "awaiting_deletion"), (10, "deleting", "deleting"), (10, "deleted", "deleted"),
        (10, "activating", "activating"),
    ],
)  # fmt: skip
def test_when_it_can_be_renewed(alice, today, expires_in, phase, reason):
    domain = domain_of(alice, expires_in=expires_in)
    Domain.objects.filter(pk=domain.pk).update(phase=phase)
    domain = reload(domain)
    assert domains.offer(domain, None, today) == rules.Reason(reason)
    if reason == "renew":
        assert place_domain(domain, alice).total == D("14.64")
    else:
        with pytest.raises(RefusedError):
            place_domain(domain, alice, shown_total=D("14.64"))


def test_years_outside_one_to_five_are_refused(domain, alice):
    for years in (0, 6, -1):
        with pytest.raises(RefusedError, match="da 1 a 5 anni"):
            place_domain(domain, alice, years=years, shown_total=D("14.64"))


def test_a_card_switches_nothing_on(domain, three, alice):
    payment = pay_card(place_domain(domain, alice), alice, agreed=True)
    assert payment.status == Payment.Status.REGISTERED
    assert reload(domain).expires_on > domain.expires_on
    assert AutoRenewal.objects.count() == 0
    assert not Mailbox.objects.filter(auto_renews=True).exists()


# --- Withdrawal (R26b) ------------------------------------------------------------------------------------------------


def leave(order, alice, **changes):
    offer = withdrawal.offer(reload(order), today=clock.today())
    facts = {"name": "Alice", "email": "alice@posta.example", "iban": "", "shown": offer.amount}
    return withdrawal.withdraw(order_id=order.pk, user=alice, **{**facts, **changes})


def test_a_consumer_leaves_and_domain_and_boxes_go_back(domain, three, alice):
    order = place_domain(domain, alice)
    pay_card(order, alice)
    done = leave(order, alice)
    assert (done.amount, done.kept) == (D("43.92"), D(0))
    assert (reload(order).status, reload(domain).expires_on) == ("reversed", domain.expires_on)
    assert set(order.lines.values_list("status", flat=True)) == {"reversed"}
    assert set(Mailbox.objects.values_list("expires_on", flat=True)) == {domain.expires_on}
    letter = Email.objects.filter(subject__icontains="recesso").first()
    assert "Il dominio rossi.example e le sue caselle scadono ora" in letter.message
    money_adds_up()


def test_pro_rata_counts_the_days_of_the_domains_period(alice, make_box):
    domain = domain_of(alice, expires_in=-10)
    on_domain(make_box, domain, "info")
    order = place_domain(domain, alice, immediate_start=True)
    pay_card(order, alice)
    offer = withdrawal.offer(reload(order), today=clock.today())
    days = (reload(domain).expires_on - domain.expires_on).days
    assert offer.kept == (D("24.40") / days).quantize(D("0.01"))
    leave(order, alice)
    back = reload(domain)
    assert back.expires_on == clock.today()
    assert back.delete_from >= clock.today() + timedelta(days=90)
    assert set(Mailbox.objects.values_list("expires_on", "delete_from")) == {(back.expires_on, back.delete_from)}


def test_the_later_renewal_is_left_first(domain, three, alice):
    first = place_domain(domain, alice)
    pay_card(first, alice)
    second = place_domain(domain, alice)
    pay_card(second, alice)
    with pytest.raises(RefusedError, match=f"il dominio è stato rinnovato ancora: recedi prima dall'ordine {second}"):
        leave(first, alice)
    leave(second, alice)
    leave(first, alice)
    assert reload(domain).expires_on == domain.expires_on


# --- As many boxes as there are ---------------------------------------------------------------------------------------


def statements(story) -> int:
    with CaptureQueriesContext(connection) as captured:
        story()
    return len(captured)


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite splits an insert by its number of parameters")
def test_sixty_boxes_cost_the_statements_of_two(alice, make_box, dario, monkeypatch):
    spent = {}
    for n in (2, 60):
        domain = domain_of(alice, f"d{n}.example")
        on_domain(make_box, domain, *[f"b{i}" for i in range(n)])
        placed = []
        shown = price_of(domain).totals.total
        first = statements(lambda d=domain, t=shown, p=placed: p.append(place_domain(d, alice, shown_total=t)))
        with monkeypatch.context() as patch:
            patch.setattr(bank, "after_paid", lambda order_id: None)
            pay_transfer(placed[0], dario, reference=f"B{n}")
        spent[n] = (first, statements(lambda o=placed[0]: giving.fulfil(o.pk)))
    assert spent[2] == spent[60]
    assert OrderLine.objects.filter(status="fulfilled").count() == 64


def test_the_shares_of_many_lines_add_up_and_none_is_more_than_a_cent_off(alice, make_box):
    Price.objects.filter(item="domain_box").update(net=D("3.33"))
    domain = domain_of(alice)
    on_domain(make_box, domain, *[f"b{n:02}" for n in range(30)])
    order = place_domain(domain, alice)
    shares = [giving_back.gross_of(line) for line in order.lines.order_by("id")]
    assert sum(shares) == order.amount_due == D("136.52")
    assert shares[0] == D("14.64")
    assert all(abs(share - D("4.0626")) < D("0.01") for share in shares[1:])
