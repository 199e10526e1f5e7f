"""Recesso within 14 days: what goes back, what is taken back, who may, once (R26b; §4 PaidPeriod)."""

from datetime import date, datetime, timedelta
from decimal import Decimal as D
from html import unescape

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from post_office.models import Email

from mailboxes.models import BoxEvent, Mailbox, PaidPeriod
from payments import cases, giving_back, reconciliation, recording, refunds, withdrawal
from payments.models import AutoRenewal, Case, Difference, Payment, Refund, Withdrawal
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import Order, OrderLine
from tests.area.conftest import words
from tests.helpers import pay_card, pay_transfer, place
from tests.payments.money import money_adds_up
from tests.renewals.test_space import more

pytestmark = pytest.mark.django_db
IBAN = "IT60X0542811101000000123456"


def leave(order, user, *, shown=None, iban="", email="mario@posta.example"):
    order = Order.objects.get(pk=order.pk)
    shown = withdrawal.offer(order, today=clock.today()).amount if shown is None else D(shown)
    return withdrawal.withdraw(order_id=order.pk, user=user, name="Alice Rossi", email=email, iban=iban, shown=shown)


def paid(order, alice, commits, **changes):
    with commits():
        pay_card(order, alice, **changes)
    order.refresh_from_db()
    assert order.status == "fulfilled"
    return order


# --- Money and dates --------------------------------------------------------------------------------------------------


def test_before_the_new_term_everything_goes_back_and_the_box_is_as_before(box, alice, commits):
    order = paid(place(box, alice, immediate_start=True), alice, commits)
    money_adds_up()
    with commits():
        done = leave(order, alice)
    refunds.send_due()
    order.refresh_from_db()
    found, payment = Mailbox.objects.get(), Payment.objects.get()
    assert (done.amount, done.kept, order.status) == (D("12.08"), D("0.00"), "reversed")
    assert [line.status for line in order.lines.all()] == ["reversed"]
    assert (found.expires_on, found.delete_from, found.anchor_month, found.anchor_day) == (
        box.expires_on, box.delete_from, box.anchor_month, box.anchor_day,
    )  # fmt: skip
    assert (found.expiry_recorded_for, found.auto_renews) == (None, False)
    assert [(r.amount, r.status, r.order_id) for r in Refund.objects.all()] == [(D("12.08"), "done", order.pk)]
    assert payment.status == "refunded"
    ended = AutoRenewal.objects.get()
    assert (ended.ended_why, ended.ended_at is not None) == ("customer", True)
    assert PaidPeriod.objects.filter(reverses__isnull=False).values_list("reverses_id", flat=True)[0] == (
        order.lines.get().period_id
    )
    assert BoxEvent.objects.filter(kind="reversed").count() == 1
    money_adds_up()


@pytest.mark.parametrize("lowered", ["before the renewal", "after it"])
@pytest.mark.parametrize("expires_in", [-10, 200])
def test_a_withdrawal_brings_no_earlier_deletion_whatever_became_of_the_days_of_grace(
    make_box, alice, dario, settings, expires_in, lowered
):
    """R13: once lowered, GRACE_DAYS counts for what is renewed from then on, and leaves what a box had before."""
    box = make_box(alice, "vecchia", expires_in=expires_in)
    settings.GRACE_DAYS = 30 if lowered == "before the renewal" else 90
    order = place(box, alice)
    pay_transfer(order, dario)
    recording.after_paid(order.pk)
    settings.GRACE_DAYS = 30
    giving_back.reverse_order(order_id=order.pk, amount=D(0), actor=dario, why="recesso")
    found = Mailbox.objects.get()
    assert found.expires_on == max(box.expires_on, clock.today())  # a term that began counts through today
    assert found.delete_from == box.delete_from


@pytest.mark.parametrize(
    ("immediate", "kept"),
    [(True, D("0.10")), (False, D("0.00"))],  # three days of 365 of € 12.08: 0.0993
)
def test_after_the_term_began_pro_rata_if_it_was_asked_for(make_box, alice, commits, immediate, kept):
    box = make_box(alice, "scaduta", expires_in=-40)
    order = paid(place(box, alice, immediate_start=immediate), alice, commits, agreed=False)
    with time_machine.travel(clock.now() + timedelta(days=2), tick=False):
        done = leave(order, alice)
        today = clock.today()
    found = Mailbox.objects.get()
    whole = (order.lines.get().period.ends - box.expires_on).days
    assert kept == 0 or kept == (D("12.08") * 3 / whole).quantize(D("0.01"))
    assert (done.kept, done.amount) == (kept, D("12.08") - kept)
    assert (found.expires_on, found.anchor_month, found.anchor_day) == (today, today.month, today.day)
    assert found.delete_from == today + timedelta(days=91)
    money_adds_up()


@given(
    paid=st.decimals("0.01", "9999.99", places=2),
    days=st.integers(1, 2000),
    used_from=st.integers(-100, 2100),
    today=st.integers(-100, 2100),
)
def test_what_is_kept_and_what_goes_back_are_what_was_paid(paid, days, used_from, today):
    starts = date(2026, 1, 1)
    kept = withdrawal.pro_rata(
        paid, starts=starts, ends=starts + timedelta(days=days - 1), used_from=starts + timedelta(days=used_from),
        today=starts + timedelta(days=today),
    )  # fmt: skip
    assert 0 <= kept <= paid
    assert kept == kept.quantize(D("0.01"))
    assert kept + (paid - kept) == paid
    if today < max(0, used_from):
        assert kept == 0


def test_an_upgrade_goes_back_after_the_guard(make_box, alice, plans, commits, platform):
    box = make_box(alice, "cresce")
    order = paid(place(box, alice, plan=plans.pro), alice, commits)
    assert Mailbox.objects.get().plan.code == "pro"
    with commits():
        leave(order, alice)
    found = Mailbox.objects.get()
    assert (found.plan.code, found.mailbox_gb, found.archive_gb, found.change_on) == ("standard", 1, 0, None)


def test_a_box_too_full_for_what_was_before_keeps_its_space(make_box, alice, plans, commits, platform):
    from mailboxes.rules import GB

    box = make_box(alice, "piena")
    order = paid(place(box, alice, plan=plans.pro), alice, commits)
    platform.set_usage("piena@pec.example", mailbox_bytes=int(1.5 * GB), archive_bytes=0)
    with commits():
        leave(order, alice)
    found = Mailbox.objects.get()
    assert (found.plan.code, found.next_plan.code, found.change_on) == ("pro", "standard", clock.today())
    assert found.change_refused_on == clock.today()


def test_a_smaller_plan_that_waited_because_of_the_order_is_dropped(make_box, alice, plans, commits):
    box = make_box(alice, "scende", plan="pro")
    order = paid(place(box, alice, plan=plans.standard), alice, commits)
    assert Mailbox.objects.get().next_plan.code == "standard"
    leave(order, alice)
    found = Mailbox.objects.get()
    assert (found.plan.code, found.next_plan, found.change_on) == ("pro", None, None)


def test_a_paid_order_not_yet_fulfilled_is_refunded(order, alice, dario):
    pay_card(order, alice)  # no commit: nothing is fulfilled
    done = leave(order, alice)
    order.refresh_from_db()
    assert (order.status, done.amount, [line.status for line in order.lines.all()]) == (
        "refunded", D("12.08"), ["refunded"],
    )  # fmt: skip
    money_adds_up()


@pytest.mark.parametrize(
    ("immediate", "kept", "reason"),
    [
        (True, D("0.04"), "tratteniamo €\u00a00,04 per i giorni goduti (3 di 41)"),  # € 0.61 for 41 days: 0.0446
        (False, D("0.00"), "non avevi chiesto che il servizio cominciasse subito"),
    ],
)
def test_space_goes_back_and_its_days_are_kept_if_it_was_to_start_at_once(
    box, alice, dario, commits, immediate, kept, reason
):
    with commits():
        order = more(box, alice, 2, immediate_start=immediate)
        pay_transfer(order, dario)
    assert Mailbox.objects.get().mailbox_gb == 2
    with time_machine.travel(clock.now() + timedelta(days=2), tick=False):
        assert reason in withdrawal.offer(Order.objects.get(), today=clock.today()).reason
        with commits():
            done = leave(order, alice, iban=IBAN)
    order.refresh_from_db()
    found = Mailbox.objects.get()
    assert (done.kept, done.amount, order.status) == (kept, D("0.61") - kept, "reversed")
    assert (found.mailbox_gb, found.plan_id, found.expires_on, found.periods.count()) == (
        1, box.plan_id, box.expires_on, 1,
    )  # fmt: skip
    assert BoxEvent.objects.filter(kind="capacity").last().detail.endswith("Standard 1+0 GB")
    money_adds_up()


def test_more_space_bought_once_more_keeps_the_first(make_box, alice, dario, commits):
    box = make_box(alice, "grande", plan="pro")
    with commits():
        pay_transfer(more(box, alice, 4, 3), dario, reference="A")
    with commits():
        second = more(Mailbox.objects.get(), alice, 5, 4)
        pay_transfer(second, dario, reference="B")
    with commits():
        leave(second, alice, iban=IBAN)
    found = Mailbox.objects.get()
    assert (found.mailbox_gb, found.archive_gb) == (4, 3)
    money_adds_up()


@pytest.mark.parametrize("days", [0, 10])
def test_the_reconciliation_stays_at_zero_after_withdrawals(make_box, alice, dario, commits, settings, days):
    """Card, transfer and space; before the term and in its middle; two terms of a box; then a later renewal stands."""
    settings.INVOICES_FROM = None  # no worker makes them here; what the reconciliation says of them has its own tests
    early, begun, wide = make_box(alice, "presto"), make_box(alice, "tardi", expires_in=-40), make_box(alice, "largo")
    first = paid(place(early, alice), alice, commits, agreed=False)
    second = paid(place(Mailbox.objects.get(pk=early.pk), alice), alice, commits, agreed=False)
    pro_rata = paid(place(begun, alice, immediate_start=True), alice, commits, agreed=False)
    with commits():
        space = more(wide, alice, 2, immediate_start=True)
        pay_transfer(space, dario)
    with time_machine.travel(clock.now() + timedelta(days=days), tick=False):
        for order in (second, first, pro_rata, space):
            with commits():
                leave(order, alice, iban=IBAN)
        refunds.send_due()
        assert found_by_reconciliation() == []
        with commits():
            pay_card(place(Mailbox.objects.get(pk=begun.pk), alice), alice, agreed=False)
        money_adds_up()
    with time_machine.travel(clock.now() + timedelta(days=days + 3), tick=False):
        assert found_by_reconciliation() == []
    assert Refund.objects.filter(status="done").count() == 3
    Mailbox.objects.filter(pk=early.pk).update(expires_on=early.expires_on + timedelta(days=1))
    assert found_by_reconciliation() == ["dates"]  # it looks


def found_by_reconciliation() -> list[str]:
    reconciliation.run()
    return sorted(Difference.objects.filter(closed_on=None).values_list("about", flat=True))


# --- Bank money -------------------------------------------------------------------------------------------------------


def test_bank_money_is_a_case_until_staff_have_sent_it(order, alice, dario, commits):
    with commits():
        pay_transfer(order, dario)
    with pytest.raises(RefusedError, match="IBAN"):
        leave(order, alice)
    assert (Withdrawal.objects.count(), Order.objects.get().status) == (0, "fulfilled")
    done = leave(order, alice, iban=IBAN)
    case = Case.objects.get(closed_at=None)
    assert (case.kind, case.amount, case.order, done.iban) == ("by_bank", D("12.08"), order, IBAN)
    money_adds_up()
    facts = {"case_id": case.pk, "actor": dario, "why": "recesso"}
    with pytest.raises(RefusedError, match="al massimo €\u00a012,08"):
        giving_back.refund_case(amount=D("12.09"), reference="CRO 1", **facts)
    with pytest.raises(RefusedError, match="CRO o TRN"):
        giving_back.refund_case(amount=D("12.08"), reference=" ", **facts)
    giving_back.refund_case(amount=D("12.08"), reference="CRO 1", **facts)
    with pytest.raises(RefusedError, match="già chiuso"):
        giving_back.refund_case(amount=D("12.08"), reference="CRO 1", **facts)
    assert [(r.amount, r.status, r.remote_id, r.asked_by) for r in Refund.objects.all()] == [
        (D("12.08"), "done", "CRO 1", dario)
    ]
    assert Case.objects.filter(closed_at=None).count() == 0
    money_adds_up()


def test_several_sources_go_back_newest_first_partial_by_difference(make_box, alice, dario, commits):
    box = make_box(alice, "mista", expires_in=-40)
    order = place(box, alice, immediate_start=True)
    pay_transfer(order, dario, amount=D("5.00"), reference="A")
    pay_transfer(order, dario, amount=D("2.00"), reference="B")
    paid(order, alice, commits, agreed=False)
    assert Payment.objects.get().amount == D("5.08")
    with time_machine.travel(clock.now() + timedelta(days=9), tick=False):
        done = leave(order, alice, iban=IBAN)
    assert done.kept == (D("12.08") * 10 / (order.lines.get().period.ends - box.expires_on).days).quantize(D("0.01"))
    assert [(r.amount, r.payment_id) for r in Refund.objects.all()] == [(D("5.08"), Payment.objects.get().pk)]
    case = Case.objects.get(closed_at=None)
    assert (case.kind, case.amount) == ("by_bank", D("7.00") - done.kept)
    money_adds_up()
    giving_back.refund_case(case_id=case.pk, amount=case.amount, reference="CRO 2", actor=dario, why="recesso")
    by_bank = [(r.receipt.bank_reference, r.amount) for r in Refund.objects.exclude(receipt=None)]
    assert by_bank == [("B", D("2.00")), ("A", D("5.00") - done.kept)]
    money_adds_up()


# --- Who and when -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "allowed"), [(0, True), (14, True), (15, False)])
def test_fourteen_days_in_rome(order, alice, commits, days, allowed):
    order = paid(order, alice, commits)
    Order.objects.update(confirmed_at=datetime(2026, 11, 20, 22, 59, tzinfo=clock.ROME))
    order.refresh_from_db()
    why = withdrawal.refusal(order, user=alice, today=date(2026, 11, 20) + timedelta(days=days))
    assert why == ("" if allowed else "I 14 giorni per recedere sono finiti il 4 dicembre 2026. Se c'è un problema, "
                   "scrivi all'assistenza.")  # fmt: skip


def test_who_may_not(order, box, alice, commits):
    order = paid(order, alice, commits)
    today = clock.today()
    assert "chi lo ha fatto" in withdrawal.refusal(order, user=box.login, today=today)
    order.is_consumer = False
    assert "consumatori" in withdrawal.refusal(order, user=alice, today=today)


def test_a_mailbox_login_withdraws_from_what_it_placed(box, alice, commits):
    order = paid(place(box, box.login), alice, commits, agreed=False)
    leave(order, box.login)
    order.refresh_from_db()
    assert order.status == "reversed"


def test_twice_is_once(order, alice, commits):
    order = paid(order, alice, commits)
    leave(order, alice)
    with pytest.raises(RefusedError, match="già receduto"):
        leave(order, alice, shown="12.08")
    assert (Withdrawal.objects.count(), Refund.objects.count()) == (1, 1)


def test_the_later_order_first(box, alice, commits):
    first = paid(place(box, alice), alice, commits, agreed=False)
    later = paid(place(Mailbox.objects.get(), alice), alice, commits, agreed=False)
    why = f"recedi prima dall'ordine {later.number}"
    with pytest.raises(RefusedError, match=why):
        leave(first, alice, shown="12.08")
    leave(later, alice)
    leave(first, alice)
    assert Mailbox.objects.get().expires_on == box.expires_on
    assert {order.status for order in Order.objects.all()} == {"reversed"}
    money_adds_up()


def test_an_amount_that_is_not_the_promised_one_is_shown_anew(order, alice, commits):
    order = paid(order, alice, commits)
    with pytest.raises(withdrawal.ChangedError):
        leave(order, alice, shown="12.07")
    assert Withdrawal.objects.count() == 0


def test_the_receipt_has_date_and_time(order, alice, commits):
    with time_machine.travel(datetime(2026, 11, 25, 23, 30, tzinfo=clock.ROME), tick=False):
        Order.objects.update(confirmed_at=clock.now())
        order = paid(order, alice, commits)
        Email.objects.all().delete()
        leave(order, alice)
    letters = list(Email.objects.filter(subject__contains="recesso"))
    assert sorted(letter.to[0] for letter in letters) == ["alice@posta.example", "mario@posta.example"]
    for letter in letters:
        for text in (letter.message, letter.html_message):
            assert "Il 25 novembre 2026 alle 23:30 (ora italiana)" in text
            assert "12,08" in text and order.number in text and "Il rinnovo automatico attivato" in text


def test_italian_elides_before_the_8th(box, alice, commits):
    with time_machine.travel(datetime(2027, 2, 8, 9, 30, tzinfo=clock.ROME), tick=False):
        leave(paid(place(box, alice), alice, commits), alice)
    assert Email.objects.filter(subject__contains="recesso").count() == 2
    for letter in Email.objects.filter(subject__contains="recesso"):
        for text in (letter.message, letter.html_message):
            assert "L'8 febbraio 2027 alle 09:30" in unescape(text)


# --- Pages ------------------------------------------------------------------------------------------------------------


def test_the_pages(order, box, alice, commits, browser_of, carla):
    order = paid(order, alice, commits)
    page, base = browser_of(alice), f"/area-clienti/ordini/{order.number}/"
    for shown in (base, base + "esito/"):
        assert "Recedere dal contratto qui" in page.get(shown).content.decode()
    first = page.get(base + "recesso/").content.decode()
    assert 'value="Alice Rossi"' in first and 'value="ordine@posta.example"' in first and 'name="iban"' not in first
    wrong = page.post(base + "recesso/", {"name": "", "email": "alice@pec.example"}).content.decode()
    assert "Scrivi il nome di chi recede." in wrong and "casella PEC gestita qui" in wrong
    assert 'value="alice@pec.example"' in wrong
    typed = {"name": "Alice R.", "email": "io@posta.example"}
    second = page.post(base + "recesso/", typed).content.decode()
    assert "Conferma il recesso qui" in second and 'value="Alice R."' in second and 'value="12.08"' in second
    read = words(second)
    assert "Chi recede Alice R." in read and "Ricevuta a io@posta.example" in read and "IBAN" not in read
    assert Withdrawal.objects.count() == 0
    back = page.post(base + "recesso/conferma/", {**typed, "shown": "12.08", "modifica": "1"}).content.decode()
    assert "Continua" in back and 'value="io@posta.example"' in back
    for odd in ("x", "NaN", "sNaN", "Infinity"):
        assert "ricontrollalo" in page.post(base + "recesso/conferma/", {**typed, "shown": odd}).content.decode()
    done = page.post(base + "recesso/conferma/", {**typed, "shown": "12.08"}, follow=True).content.decode()
    assert "Recesso registrato" in done and "Recedere dal contratto qui" not in done
    again = page.post(base + "recesso/conferma/", {**typed, "shown": "12.08"}).content.decode()
    assert "già receduto" in again
    stranger = browser_of(carla)
    assert stranger.get(base + "recesso/").status_code == 404
    assert stranger.post(base + "recesso/conferma/", typed).status_code == 404


def test_the_order_page_says_that_it_was_withdrawn_when_and_what_comes_back(order, box, alice, commits, browser_of):
    order = paid(order, alice, commits)
    page, base = browser_of(alice), f"/area-clienti/ordini/{order.number}/"
    expiry = f'<time datetime="{order.lines.get().period.ends}"'
    assert expiry in page.get(base).content.decode()
    with time_machine.travel(datetime(2026, 11, 25, 23, 30, tzinfo=clock.ROME), tick=False):
        Order.objects.update(confirmed_at=clock.now())
        leave(order, alice)
        page = browser_of(alice)  # hours have gone by
        asked = words(page.get(base).content.decode())
        shown = page.get(base).content.decode()
        outcome = words(page.get(base + "esito/").content.decode())
        refunds.send_due()
        done = words(page.get(base).content.decode())
    told = "Il recesso è arrivato il 25 novembre 2026 alle 23:30 (ora italiana). "
    assert told + "Ti rimborsiamo € 12,08 entro il 9 dicembre 2026." in asked
    assert expiry not in shown  # the day it gave is taken back: no date on the screen that is not true
    assert "Recesso registrato" in outcome and told in outcome and "La casella scade, " in outcome
    assert "Rimborso Da inviare € -12,08" in asked
    assert told + "Ti abbiamo restituito € 12,08." in done
    assert "Rimborso Rimborsato € -12,08" in done


def test_who_reads_of_a_withdrawal_and_what_stays_with_who_asked(make_box, alice, commits, browser_of):
    """A mailbox login sees its order, when it was left and how much; never the IBAN or the name that was declared."""
    box = make_box(alice, "sua")
    order = paid(place(box, alice, immediate_start=True), alice, commits, agreed=False)
    leave(order, alice, email="segreta@posta.example")
    Withdrawal.objects.update(iban=IBAN, kept=D("0.10"))
    seen = browser_of(box.login).get(f"/area-clienti/ordini/{order.number}/").content.decode()
    assert "Il recesso è arrivato" in seen and "Abbiamo trattenuto €\u00a00,10" in seen
    for secret in (IBAN, "che finisce con", "segreta@posta.example"):
        assert secret not in seen


def test_an_order_reversed_by_staff_is_no_withdrawal(order, alice, dario, commits, browser_of):
    order = paid(order, alice, commits)
    giving_back.reverse_order(order_id=order.pk, amount=D("0"), actor=dario, why="errore")
    page = browser_of(alice).get(f"/area-clienti/ordini/{order.number}/").content.decode()
    assert "Il rinnovo di questo ordine è stato tolto" in page and "recesso è arrivato" not in page


def test_an_order_given_in_part_is_left_whole(order, alice, commits):
    """What is still to decide is given up, what was given is taken back: nothing stays with the money gone."""
    order = paid(order, alice, commits)
    Order.objects.update(status="attention")
    line = order.lines.get()
    OrderLine.objects.create(
        order=order, kind="space", mailbox=line.mailbox, plan=line.plan, mailbox_gb=2, archive_gb=0, net=D("1"),
        status="attention", is_open=True, old_expiry=line.old_expiry,
    )  # fmt: skip
    cases.open_for_attention(order.pk)
    assert Case.objects.filter(closed_at=None).count() == 1
    leave(order, alice)
    order.refresh_from_db()
    assert (order.status, [one.status for one in order.lines.order_by("id")]) == ("reversed", ["reversed", "refunded"])
    assert Case.objects.filter(closed_at=None).count() == 0
    assert Mailbox.objects.get().periods.filter(reversed_on=None, reverses=None).count() == 1


def test_an_awaiting_order_is_cancelled_instead(order, alice, browser_of):
    answer = browser_of(alice).get(f"/area-clienti/ordini/{order.number}/recesso/")
    assert answer.headers["Location"] == f"/area-clienti/ordini/{order.number}/annulla/"


def test_the_iban_is_checked(order, alice, dario, commits, browser_of):
    with commits():
        pay_transfer(order, dario)
    typed = {"name": "Alice", "email": "io@posta.example", "iban": IBAN[:-1] + "7"}
    path = f"/area-clienti/ordini/{order.number}/recesso/"
    wrong = browser_of(alice).post(path, typed).content.decode()
    assert "contiene un errore" in wrong and typed["iban"] in wrong
    good = browser_of(alice).post(path, {**typed, "iban": "it60 x054 2811 1010 0000 0123 456"}).content.decode()
    assert "Conferma il recesso qui" in good and f"Bonifico sull'IBAN {IBAN}" in words(good)


def test_a_chargeback_shortens_no_box(order, alice, commits):
    from payments import sync
    from payments.models import ProviderEvent

    order = paid(order, alice, commits)
    before = Mailbox.objects.get().expires_on
    payment = Payment.objects.get()
    event = ProviderEvent.objects.create(
        provider="sandbox", event_id="e1", remote_id=payment.remote_id, kind="dispute", detail="fraudulent"
    )
    sync.work_off_event(event.pk)
    assert (Mailbox.objects.get().expires_on, Case.objects.get().kind, Case.objects.get().detail) == (
        before, "dispute", "fraudulent",
    )  # fmt: skip
    assert OrderLine.objects.get().status == "fulfilled"
    assert recording.missing(order) == 0
