"""The free way out after a notice that went late or never (R25, art. 65-bis): who, until when, how much, where said."""

from datetime import date, timedelta
from decimal import Decimal as D

import pytest
from post_office.models import Email

from mailboxes.models import PaidPeriod
from payments import auto_renewal, refunds, sync, withdrawal
from payments.models import AutoRenewal, Case, Payment, Refund, ScheduledCharge, Withdrawal
from pecportal import clock
from pecportal.errors import RefusedError
from pecportal.formats import fino, il
from renewals.models import Order
from tests.area.conftest import page_of, words
from tests.helpers import pay_card, place
from tests.payments.charging_helpers import automatic, beat, card, forget_mails, fresh, on
from tests.payments.money import money_adds_up
from tests.renewals.test_space import more

pytestmark = pytest.mark.django_db
IN_TIME, LATE = 30, 29
SAID = "puoi recedere in ogni momento senza costi"
IBAN = "IT60X0542811101000000123456"


def days(n: int) -> timedelta:
    return timedelta(days=n)


@pytest.fixture(autouse=True)
def _a_term_of_365_days():
    """Days and cents below are of this year; the term that begins in January 2027 has no 29 February."""
    with on(date(2026, 11, 26)):
        yield


@pytest.fixture
def method(alice):
    return card(alice)


@pytest.fixture
def auto(make_box, alice, method):
    """Expires in 60 days, renewing by itself since E−60."""
    return automatic(make_box(alice, "alice", expires_in=60), alice, method, days_before=60)


def renewed(box, *, told: int) -> Order:
    """Announced so many days before the expiry, charged on E−7."""
    beat(box.expires_on - days(told))
    forget_mails()
    beat(box.expires_on - days(7))
    order = Order.objects.filter(placed_by=None).latest("id")
    assert order.status == "fulfilled"
    return order


def leave(order, user, *, shown=None):
    order = Order.objects.get(pk=order.pk)
    amount = withdrawal.offer(order, today=clock.today()).amount if shown is None else D(shown)
    return withdrawal.withdraw(
        order_id=order.pk, user=user, name="Alice Rossi", email="mario@posta.example", iban=IBAN, shown=amount
    )


def refusal(order, user, day):
    with on(day):
        return withdrawal.refusal(Order.objects.get(pk=order.pk), user=user, today=day)


def seen(browser_of, user, path):
    return words(browser_of(user).get(path).content.decode())


def order_page(order):
    return f"/area-clienti/ordini/{order.number}/"


# --- In time, late, never ---------------------------------------------------------------------------------------------


def test_in_time_there_is_no_free_way_out(auto, alice, browser_of):
    e = auto.expires_on
    order = renewed(auto, told=IN_TIME)
    assert SAID not in Email.objects.filter(subject__contains="rinnovata")[0].message
    with on(e - days(6)):  # the 14 days are there all the same, and say nothing of it
        for path in (page_of(auto), order_page(order)):
            assert SAID not in seen(browser_of, alice, path)
    with on(e + days(100)):
        assert "Recedere dal contratto qui" not in seen(browser_of, alice, order_page(order))
        assert "Recedi" not in seen(browser_of, alice, page_of(auto))
    assert "I 14 giorni per recedere sono finiti" in refusal(order, alice, e + days(100))
    with on(e + days(100)), pytest.raises(RefusedError, match="14 giorni"):
        leave(order, alice, shown="8.76")
    assert (Withdrawal.objects.count(), Refund.objects.count()) == (0, 0)


def never_sent():
    ScheduledCharge.objects.update(notice_sent_at=None, notice_in_time=None)


@pytest.mark.parametrize("never", [False, True])
def test_late_or_never_sent_it_is_there_until_the_next_expiry(auto, alice, browser_of, never):
    e = auto.expires_on
    order = renewed(auto, told=LATE)
    if never:
        never_sent()
    ends = fresh(auto).expires_on
    assert ends == order.lines.get().period.ends > e + days(360)
    for day in (e - days(6), e + days(8), e + days(100), ends):
        assert refusal(order, alice, day) == ""
        with on(day):
            for path in (page_of(auto), order_page(order)):
                page = seen(browser_of, alice, path)
                assert f"{SAID} {fino(ends)}" in page and "Recedere dal contratto qui" in page
    for path in (page_of(auto), order_page(order)):
        with on(ends + days(1)):
            page = seen(browser_of, alice, path)
            assert SAID not in page and "Recedere dal contratto qui" not in page
    assert refusal(order, alice, ends + days(1)) == f"Potevi recedere senza costi {fino(ends)}: quel periodo è finito."


def test_the_mail_of_the_renewal_says_it_with_the_day(auto, alice):
    renewed(auto, told=LATE)
    sent = Email.objects.filter(subject__contains="rinnovata")
    assert sent.count() == 1
    for text in (sent[0].message, sent[0].html_message.replace("&#x27;", "'")):
        assert f"{SAID} {fino(fresh(auto).expires_on)}" in text and "65-bis" in text


def test_an_order_paid_by_hand_is_no_automatic_renewal(auto, alice, commits):
    """Announced late, then renewed by the customer before the charge: they did it themselves."""
    e = auto.expires_on
    beat(e - days(20))
    with on(e - days(10)):
        auto_renewal.turn_off(box_id=auto.pk, user=alice)
        with commits():
            pay_card(place(fresh(auto), alice), alice, agreed=False)
    order = Order.objects.get()
    assert order.status == "fulfilled"
    assert "I 14 giorni per recedere sono finiti" in refusal(order, alice, e + days(20))


# --- How much ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "kept"),
    [(1, "0.03"), (100, "3.31"), (364, "12.05"), (365, "12.08")],  # € 12.08 over 365 days, half-up
)
def test_what_is_kept_is_the_days_enjoyed_to_the_cent(make_box, alice, method, commits, after, kept):
    """The new term is of 365 days: what is kept and what goes back are what was paid."""
    box = automatic(make_box(alice, "alice", expires_in=60), alice, method, days_before=60)
    e = box.expires_on
    order = renewed(box, told=LATE)
    assert (order.lines.get().period.ends - e).days == 365
    Order.objects.update(confirmed_at=clock.now() - days(3000))  # the 14 days are long over
    with on(e + days(after)):
        offer = withdrawal.offer(Order.objects.get(), today=clock.today())
        assert "Recedi senza costi" in offer.reason and f"({after} di 365), oggi compreso" in offer.reason
        with commits():
            done = leave(order, alice)
        refunds.send_due()
    assert (done.kept, done.amount) == (D(kept), D("12.08") - D(kept))
    assert [(r.amount, r.status) for r in Refund.objects.all()] == (
        [(D("12.08") - D(kept), "done")] if done.amount else []
    )
    found = fresh(box)
    assert (found.expires_on, found.auto_renews) == (e + days(after), False)
    assert found.delete_from >= e + days(after + 90)
    assert AutoRenewal.objects.filter(ended_at=None).count() == 0
    money_adds_up()


def test_before_the_new_term_everything_goes_back_even_after_the_14_days(auto, alice, commits):
    e = auto.expires_on
    order = renewed(auto, told=LATE)
    Order.objects.update(confirmed_at=clock.now() - days(3000))
    with on(e - days(1)), commits():
        done = leave(order, alice)
    assert (done.kept, done.amount, fresh(auto).expires_on) == (D("0.00"), D("12.08"), e)
    money_adds_up()


def test_within_the_14_days_the_better_right_holds_and_the_automatic_renewal_ends(auto, alice, commits):
    """Immediate start was not asked for: all of it goes back, though the term began a day ago."""
    e = auto.expires_on
    order = renewed(auto, told=LATE)
    with on(e + days(1)), commits():
        assert withdrawal.offer(Order.objects.get(), today=clock.today()).ends_auto
        done = leave(order, alice)
    assert (done.kept, done.amount, fresh(auto).auto_renews) == (D("0.00"), D("12.08"), False)


def test_nothing_renews_or_charges_a_box_that_was_left(auto, alice):
    e = auto.expires_on
    order = renewed(auto, told=LATE)
    with on(e + days(50)):
        leave(order, alice)
    for day in (51, 58, 70, 140, 366):
        beat(e + days(day))
    assert (Order.objects.count(), Payment.objects.count()) == (1, 1)
    assert PaidPeriod.objects.filter(reverses=None, reversed_on=None).count() == 1
    money_adds_up()


def test_the_receipt_says_what_and_why(auto, alice):
    e = auto.expires_on
    order = renewed(auto, told=LATE)
    forget_mails()
    with on(e + days(100), hour=9, minute=5):
        leave(order, alice)
    sent = Email.objects.filter(subject__contains="recesso")
    assert sorted(letter.to[0] for letter in sent) == ["alice@posta.example", "mario@posta.example"]
    for letter in sent:
        assert "Ti rimborsiamo €\u00a08,77. Recedi senza costi" in letter.message
        assert "alle 09:05 (ora italiana)" in letter.message
        assert f"scade ora {il(e + days(100))}" in letter.message
        assert "Il rinnovo automatico della casella è finito" in letter.message
    whys = set(Order.objects.get().events.filter(after="reversed").values_list("why", flat=True))
    assert whys == {"recesso senza costi: avviso del rinnovo non in tempo"}


# --- Who --------------------------------------------------------------------------------------------------------------


def test_a_business_has_no_free_way_out(auto, alice, browser_of):
    alice.billing.is_consumer = False
    alice.billing.save()
    e = auto.expires_on
    order = renewed(auto, told=LATE)
    assert SAID not in Email.objects.filter(subject__contains="rinnovata")[0].message
    with on(e + days(100)):
        for path in (page_of(auto), order_page(order)):
            page = seen(browser_of, alice, path)
            assert SAID not in page and "Reced" not in page
    assert "è per i consumatori" in refusal(order, alice, e + days(100))


def test_a_mailbox_login_leaves_what_its_own_method_paid(make_box, alice, browser_of):
    box = make_box(alice, "sua", expires_in=60)
    hers = automatic(box, box.login, card(box.login, remote_id="sua"), days_before=60)
    e = hers.expires_on
    order = renewed(hers, told=LATE)
    with on(e + days(100)):
        for path in (page_of(box), order_page(order)):
            assert SAID in seen(browser_of, box.login, path)
        assert leave(order, box.login).amount == D("8.77")
    assert Withdrawal.objects.get().declared_by == box.login


def test_a_mailbox_login_may_not_leave_what_the_account_pays(auto, alice, carla, browser_of):
    e = auto.expires_on
    order = renewed(auto, told=LATE)
    with on(e + days(100)):
        for path in (page_of(auto), order_page(order)):
            page = seen(browser_of, auto.login, path)
            assert SAID not in page and "Recedere dal contratto qui" not in page and "Recedi" not in page
        assert browser_of(carla).get(order_page(order) + "recesso/").status_code == 404
    assert "solo chi lo ha fatto" in refusal(order, auto.login, e + days(100))


# --- After the next renewal -------------------------------------------------------------------------------------------


def test_after_the_next_renewal_in_time_it_is_over(auto, alice, browser_of):
    first = renewed(auto, told=LATE)
    again = fresh(auto)
    second = renewed(again, told=IN_TIME)
    ends = fresh(auto).expires_on
    assert f"recedi prima dall'ordine {second.number}" in refusal(first, alice, again.expires_on)
    with on(again.expires_on + days(20)):
        assert SAID not in seen(browser_of, alice, page_of(auto))
        for order in (first, second):
            assert "Recedere dal contratto qui" not in seen(browser_of, alice, order_page(order))
    assert "Potevi recedere senza costi" in refusal(first, alice, again.expires_on + days(20))
    assert "I 14 giorni per recedere sono finiti" in refusal(second, alice, ends)


def test_one_renewed_by_hand_long_ago_is_for_a_person(auto, alice, commits):
    """The free term is not the last one, and the last one cannot be left here any more: no dead end without a word."""
    e = auto.expires_on
    order = renewed(auto, told=LATE)
    with on(e + days(30)):
        auto_renewal.turn_off(box_id=auto.pk, user=alice)
        with commits():
            pay_card(place(fresh(auto), alice), alice, agreed=False)
    later = Order.objects.latest("id")
    assert f"recedi prima dall'ordine {later.number}" in refusal(order, alice, e + days(40))
    assert refusal(order, alice, e + days(60)).endswith(
        f"con l'ordine {later.number}, da cui qui non puoi più recedere: scrivi all'assistenza."
    )


# --- Space on top -----------------------------------------------------------------------------------------------------


def test_space_bought_in_that_term_goes_first_and_its_money_comes_back_too(auto, alice, commits):
    e = auto.expires_on
    renewal = renewed(auto, told=LATE)
    with on(e + days(20)):
        with commits():
            space = more(fresh(auto), alice, 2)
            pay_card(space, alice, agreed=False)
        sync.fulfil_due()
    space.refresh_from_db()
    assert (space.status, fresh(auto).mailbox_gb) == ("fulfilled", 2)
    with on(e + days(100)):
        assert f"spazio aggiunto con l'ordine {space.number}: recedi prima da quello" in refusal(
            renewal, alice, e + days(100)
        )
        paid, whole = space.amount_due, (fresh(auto).expires_on - (e + days(20))).days + 1
        with commits():
            done = leave(space, alice)
        assert done.kept == (paid * 81 / whole).quantize(D("0.01")) and done.amount == paid - done.kept
        assert fresh(auto).auto_renews  # the contract goes on
        with commits():
            assert leave(renewal, alice).amount == D("8.77")
        refunds.send_due()
    assert {order.status for order in Order.objects.all()} == {"reversed"}
    assert Case.objects.count() == 0
    money_adds_up()


# --- The pages --------------------------------------------------------------------------------------------------------


def test_the_two_steps(auto, alice, browser_of):
    e = auto.expires_on
    order = renewed(auto, told=LATE)
    with on(e + days(100)):
        page, base = browser_of(alice), order_page(order)
        first = words(page.get(base + "recesso/").content.decode())
        assert "Rimborso € 8,77" in first and "Tratteniamo € 3,31" in first
        assert f"La casella scadrà {il(e + days(100))}" in first
        assert "Finisce anche il rinnovo automatico della casella" in first
        assert f"Puoi recedere {fino(fresh(auto).expires_on)}, senza costi e senza dire perché" in first
        typed = {"name": "Alice R.", "email": "io@posta.example"}
        assert "Conferma il recesso qui" in page.post(base + "recesso/", typed).content.decode()
        assert Withdrawal.objects.count() == 0
        done = page.post(base + "recesso/conferma/", {**typed, "shown": "8.77"}, follow=True).content.decode()
        assert "Recesso registrato: ti rimborsiamo €\u00a08,77" in done
        assert "Abbiamo trattenuto €\u00a03,31 per i giorni goduti" in done
    assert Order.objects.get().status == "reversed"


def test_an_amount_of_yesterday_is_shown_anew(auto, alice):
    order = renewed(auto, told=LATE)
    with on(auto.expires_on + days(101)), pytest.raises(withdrawal.ChangedError):
        leave(order, alice, shown="8.77")
    assert Withdrawal.objects.count() == 0
