"""Who is told of an expiry, when, in which words, and never twice (R27)."""

import html
import re
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.db import IntegrityError
from hypothesis import given
from hypothesis import strategies as st
from post_office.models import Email

from accounts.models import User
from lifecycle import flows, notices, rules, stages
from lifecycle.models import LifecycleRun, Notice
from mailboxes.flows import extend, open_box, open_domain
from mailboxes.models import Holder, Mailbox
from mailboxes.models.boxes import Phase
from payments import cases, recording
from payments.models import Case, Payment
from payments.providers.base import Outcome, Result
from pecportal import clock
from renewals.models import Order
from tests.conftest import holder_of
from tests.helpers import place, start_card

pytestmark = pytest.mark.django_db
OFFSETS = [-90, -60, -30, -15, -7, -1, 1, 30, 60, 83, 89]
E = date(2027, 1, 1)
ALICES = ["alice.contatto@posta.example", "alice@posta.example"]


@pytest.fixture(autouse=True)
def _calendar(settings):
    settings.NOTICE_DAYS = OFFSETS


def at(day: date, hour: int = 12):
    """A clock that stands on a day in Rome."""
    return time_machine.travel(datetime(day.year, day.month, day.day, hour, tzinfo=UTC), tick=False)


def told() -> list[tuple[str, int]]:
    """Not the further warnings that deletion owes to boxes past their day (R29): they are due, nobody sent them."""
    notices = Notice.objects.exclude(state="due").select_related("box__address")
    return sorted((n.box.address.name, n.kind) for n in notices)


def subjects() -> list[tuple[str, str]]:
    """What was queued about expiries: to whom, and the subject."""
    letters = Email.objects.order_by("id")
    found = [(to, letter.subject) for letter in letters for to in letter.to]
    return [(to, subject) for to, subject in found if " scade " in subject or " è scaduta" in subject]


def numbers(day: date, stage: str = "notices") -> tuple[int, int, int, int]:
    run = LifecycleRun.objects.get(stage=stage, day=day)
    return run.expected, run.done, run.failed, run.left


# --- The calendar -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "kind"),
    [
        (-91, None), (-90, -90), (-61, -90), (-60, -60), (-30, -30), (-16, -30), (-15, -15), (-7, -7), (-2, -7),
        (-1, -1), (0, -1), (1, 1), (29, 1), (30, 30), (60, 60), (82, 60), (83, 83), (88, 83), (89, 89), (400, 89),
    ],
)  # fmt: skip
def test_due_kind_is_the_last_point_whose_day_has_come(days, kind):
    assert rules.due_kind(E, E + timedelta(days=days), OFFSETS) == kind


@pytest.mark.parametrize(
    ("kind", "day"), [(-90, date(2026, 10, 3)), (-1, date(2026, 12, 31)), (1, date(2027, 1, 2)), (60, date(2027, 3, 2))]
)
def test_notice_day(kind, day):
    assert rules.notice_day(E, kind) == day


def test_no_points_no_notices():
    assert rules.due_kind(E, E, []) is None
    assert list(rules.windows(E, [], day=E)) == []


@given(
    offsets=st.sets(st.integers(-200, 200), max_size=12),
    ahead=st.integers(-300, 300),
    missed=st.integers(-5, 40),
)
def test_windows_are_due_kind_turned_round(offsets, ahead, missed):
    """An expiry is in the window of its latest due kind and in no other, unless that is old or was not due by `day`."""
    today = date(2026, 11, 22)
    expires_on, day = today + timedelta(days=ahead), today - timedelta(days=missed)
    kind = rules.due_kind(expires_on, today, offsets)
    found = [w.kind for w in rules.windows(today, offsets, day=day) if w.first <= expires_on <= w.last]
    if kind is None:
        assert found == []
    else:
        owed = rules.notice_day(expires_on, kind)
        assert found == ([kind] if today - timedelta(days=31) <= owed <= day else [])


# --- Each point -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OFFSETS)
def test_each_point_is_told_on_its_day_to_holder_and_account(make_box, alice, carla, today, kind):
    box = make_box(alice, "alice", expires_in=-kind)
    make_box(carla, "carla", expires_in=300)
    flows.run_day()
    assert told() == [(box.address.name, kind)]
    notice = Notice.objects.get()
    assert (notice.expiry, notice.state, notice.told_at is not None) == (box.expires_on, "told", True)
    assert [to for to, _subject in subjects()] == ALICES
    assert sorted(notice.letters.values_list("to", "state")) == [(to, "queued") for to in ALICES]
    assert numbers(today) == numbers(today, "letters") == (1, 1, 0, 0)
    flows.run_day()  # the same day again
    assert len(subjects()) == 2 and Notice.objects.count() == 1
    assert numbers(today) == numbers(today, "letters") == (1, 1, 0, 0)


def test_a_whole_life_is_told_eleven_times_each_on_its_day(plans, alice):
    with at(E - timedelta(days=200)):
        open_box(
            address="vita@pec.example", owner=alice, holder=holder_of(alice, "alice"), plan=plans.standard, expires_on=E
        )
    days = []
    for n in range(-95, 100):
        with at(E + timedelta(days=n)):
            before = Notice.objects.exclude(state="due").count()
            flows.run_day()
            if Notice.objects.exclude(state="due").count() > before:
                days.append(n)
    # No relay took any of them: the deletion goes on warning, a week after the last (R29).
    assert days == [*OFFSETS, 97]
    assert [n.kind for n in Notice.objects.exclude(state="due").order_by("id")] == [*OFFSETS, 96]


@pytest.mark.parametrize(
    ("moment", "kinds"),
    [
        (datetime(2026, 12, 1, 22, 59, tzinfo=UTC), []),  # 23:59 in Rome on the day before E−30
        (datetime(2026, 12, 1, 23, 0, tzinfo=UTC), [-30]),  # midnight in Rome, while UTC says the 1st
    ],
)
def test_midnight_is_romes(plans, alice, moment, kinds, settings):
    settings.NOTICE_DAYS = [-30, -15]
    with time_machine.travel(moment, tick=False):
        open_box(
            address="mezzanotte@pec.example", owner=alice, holder=holder_of(alice, "alice"), plan=plans.standard,
            expires_on=E,
        )  # fmt: skip
        flows.run_day()
    assert [n.kind for n in Notice.objects.all()] == kinds


def test_a_run_that_midnight_overtakes_stops_before_it_says_yesterdays_words(make_box, alice, today):
    make_box(alice, "alice", expires_in=1)
    run = LifecycleRun.objects.create(stage="notices", day=today)
    with at(today + timedelta(days=1)), pytest.raises(stages.OutOfTimeError):
        stages.owe_notices(stages.Work(run, today=today))
    assert told() == []
    stages.owe_notices(stages.Work(run, today=today))
    run = LifecycleRun.objects.create(stage="letters", day=today)
    with at(today + timedelta(days=1)), pytest.raises(stages.OutOfTimeError):
        stages.send_letters(stages.Work(run, today=today))
    assert [n.state for n in Notice.objects.all()] == ["due"] and subjects() == []


# --- Late: an outage, a box opened late, a renewal in between ---------------------------------------------------------


def test_after_an_outage_one_mail_with_the_truth(plans, alice):
    with at(E - timedelta(days=31)):
        open_box(
            address="guasto@pec.example", owner=alice, holder=holder_of(alice, "alice"), plan=plans.standard,
            expires_on=E,
        )  # fmt: skip
        flows.run_day()
    assert told() == [("guasto@pec.example", -60)]
    with at(E - timedelta(days=11)):  # twenty days later: E−30 and E−15 have passed
        done = [(d.day, d.run.done) for d in flows.run_day() if d.stage == "notices" and d.run.done]
        assert done == [(E - timedelta(days=15), 1)], "in the run of the day on which it was due"
        assert told() == [("guasto@pec.example", -60), ("guasto@pec.example", -15)]
        assert len(subjects()) == 4
        assert "scade il 1 gennaio 2027, tra 11 giorni." in Email.objects.latest("id").message
        flows.run_day()
        flows.run_for(E - timedelta(days=25))  # by hand, a day on which E−30 was the last: it is not told any more
        flows.run_for(E - timedelta(days=31))
    assert len(subjects()) == 4


def test_a_box_opened_between_two_points_is_told_the_last_one_that_is_not_old(make_box, alice, settings, today):
    settings.NOTICE_DAYS = [-90, -30, 1]
    make_box(alice, "trentuno", expires_in=59)  # E−90 was 31 days ago
    make_box(alice, "trentadue", expires_in=58)  # and 32: E−30 comes
    flows.run_day()
    assert told() == [("trentuno@pec.example", -90)]


def test_nothing_for_the_old_expiry_of_a_box_that_was_renewed(make_box, alice, plans, today):
    box = make_box(alice, "rinnovata", expires_in=16)
    flows.run_day()
    assert told() == [("rinnovata@pec.example", -30)]
    extend(
        box=Mailbox.objects.get(pk=box.pk), years=1, source=box.public_id, plan=plans.standard, mailbox_gb=1,
        archive_gb=0, today=today,
    )  # fmt: skip
    renewed = Mailbox.objects.get(pk=box.pk).expires_on
    for days in (1, 9, 15, 17, 46):
        with at(today + timedelta(days=days)):
            flows.run_day()
    assert told() == [("rinnovata@pec.example", -30)]
    with at(renewed - timedelta(days=90)):
        flows.run_day()
    assert [(n.expiry, n.kind) for n in Notice.objects.order_by("id")] == [(box.expires_on, -30), (renewed, -90)]


def test_a_renewal_between_reading_and_writing_wins(make_box, alice, today, monkeypatch):
    box = make_box(alice, "gara", expires_in=30)
    real = notices.owe

    def owe(ids, **days):
        Mailbox.objects.filter(pk=box.pk).update(expires_on=today + timedelta(395), delete_from=today + timedelta(486))
        return real(ids, **days)

    monkeypatch.setattr(notices, "owe", owe)
    flows.run_day()
    assert told() == [] and subjects() == []
    assert numbers(today) == (1, 0, 0, 1)


# --- Not these --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires_in", "over_for_it", "kinds"),
    [
        (30, False, []),  # a charge will come
        (0, False, []),  # through its last day
        (30, True, [-30]),  # the charge was cancelled, failed, or waits for consent
        (-1, False, [1]),  # Scaduta: none will come any more
        (-1, True, [1]),
    ],
)
def test_a_box_that_renews_by_itself(make_box, alice, today, expires_in, over_for_it, kinds):
    box = make_box(alice, "automatica", expires_in=expires_in)
    control = make_box(alice, "controllo", expires_in=expires_in)
    Mailbox.objects.filter(pk=box.pk).update(auto_renews=True, auto_over_for=box.expires_on if over_for_it else None)
    flows.run_day()
    assert [kind for name, kind in told() if name == "automatica@pec.example"] == kinds
    assert [name for name, _kind in told() if name == control.address.name] == [control.address.name]


def test_a_charge_that_was_over_for_an_earlier_expiry_comes_for_this_one(make_box, alice, today):
    make_box(alice, "automatica", expires_in=30)
    Mailbox.objects.update(auto_renews=True, auto_over_for=today - timedelta(days=335))
    flows.run_day()
    assert told() == []


def test_the_screens_promise_what_is_sent(make_box, alice, today):
    """With an open renewal order no charge comes: the box page promises the notices, and they are sent."""
    box = make_box(alice, "ordinata", expires_in=30)
    place(box, alice)
    Mailbox.objects.filter(pk=box.pk).update(auto_renews=True)
    flows.run_day()
    assert told() == [("ordinata@pec.example", -30)]


def test_none_from_the_day_of_deletion(make_box, alice, settings, today):
    settings.NOTICE_DAYS = [89, 91, 92]
    for days in (90, 91, 92, 100):
        make_box(alice, f"giorni{days}", expires_in=-days)
    flows.run_day()
    assert told() == [("giorni90@pec.example", 89)]


@pytest.mark.parametrize("phase", [Phase.DELETING, Phase.DELETED])
def test_none_for_a_box_on_its_way_out(make_box, alice, today, phase):
    box = make_box(alice, "via", expires_in=-30)
    Mailbox.objects.filter(pk=box.pk).update(phase=phase, login=None)
    flows.run_day()
    assert told() == [] and subjects() == [] and numbers(today) == (0, 0, 0, 0)


# --- To whom ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", ["alice@posta.example", "Alice@Posta.Example"])
def test_holder_and_account_with_one_address_get_one_mail(make_box, alice, shared):
    make_box(alice, "alice", expires_in=30)
    Holder.objects.update(contact_email=shared)
    flows.run_day()
    assert [to for to, _subject in subjects()] == ["alice@posta.example"]


def test_never_to_the_box_nor_to_another_certified_address_here(make_box, alice, today):
    box = make_box(alice, "alice", expires_in=30)
    for contact in (box.address.name, "ALTRA@PEC.EXAMPLE"):
        Holder.objects.update(contact_email=contact)
        Notice.objects.all().delete()
        Email.objects.all().delete()
        flows.run_day()
        assert [to for to, _subject in subjects()] == ["alice@posta.example"]


def test_a_box_with_nobody_to_write_to_is_seen_as_such(make_box, alice, today):
    make_box(alice, "alice", expires_in=30)
    Holder.objects.update(contact_email="")
    User.objects.filter(pk=alice.pk).update(email="")
    flows.run_day()
    assert [(n.kind, n.state, n.told_at) for n in Notice.objects.all()] == [(-30, "no_address", None)]
    assert subjects() == [] and numbers(today, "letters") == (1, 0, 0, 1)
    flows.run_day()
    assert Notice.objects.count() == 1 and numbers(today, "letters") == (0, 0, 0, 0)


def test_a_stranger_is_told_nothing(make_box, alice, carla):
    make_box(alice, "alice", expires_in=30, holder="bruno")
    make_box(carla, "carla", expires_in=60)
    flows.run_day()
    by_address = {to: subject.split()[0] for to, subject in subjects()}
    assert by_address == {
        "bruno.contatto@posta.example": "alice@pec.example", "alice@posta.example": "alice@pec.example",
        "carla.contatto@posta.example": "carla@pec.example", "carla@posta.example": "carla@pec.example",
    }  # fmt: skip
    assert len(subjects()) == 4


# --- Words ------------------------------------------------------------------------------------------------------------


def words(letter: Email) -> tuple[str, str]:
    """The text part, and the same out of the HTML, each on one line."""
    body = letter.html_message.split("<h1")[1].split(">", 1)[1].split("<a href")[0]
    plain = html.unescape(re.sub(r"<[^>]+>", " ", body))
    text = letter.message.split("Accedi all'area clienti")[0]
    return " ".join(text.split()), " ".join(plain.split())


def letter_on(day: date) -> Email:
    with at(day):
        flows.run_day()
    return Email.objects.filter(to=["alice@posta.example"]).latest("id")


RULE_BEFORE = (
    "Dal giorno dopo puoi leggere i messaggi ma non inviarne né riceverne. Puoi rinnovarla fino al 1 aprile 2027: dopo "
    "sarà cancellata con tutto il contenuto."
)


def open_alices(plans, alice) -> Mailbox:
    with at(E - timedelta(days=100)):
        return open_box(
            address="alice@pec.example", owner=alice, holder=holder_of(alice, "alice"), plan=plans.standard,
            expires_on=E,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("days", "distance"), [(-90, "tra 90 giorni"), (-30, "tra 30 giorni"), (-1, "domani"), (0, "oggi")]
)
def test_before(plans, alice, days, distance):
    open_alices(plans, alice)
    letter = letter_on(E + timedelta(days=days))
    assert letter.subject == "alice@pec.example scade il 1 gennaio 2027"
    said = (
        f"alice@pec.example scade il 1 gennaio 2027 La casella alice@pec.example scade il 1 gennaio 2027, {distance}. "
        f"{RULE_BEFORE} Per rinnovarla accedi e scegli Rinnova."
    )
    assert words(letter) == (said, said)
    assert letter.message.count("http://localhost:8000/accesso/") == 1 == letter.message.count("http")


AFTER = (
    "alice@pec.example è scaduta: rinnovabile entro il 1 aprile 2027 La casella alice@pec.example è scaduta il 1 "
    "gennaio 2027. Puoi leggere i messaggi ma non inviarne né riceverne. "
)
RENEW_BY = "Rinnovala entro il 1 aprile 2027: dopo sarà cancellata con tutto il contenuto. "


@pytest.mark.parametrize("days", [1, 30, 89])
def test_after(plans, alice, days):
    open_alices(plans, alice)
    letter = letter_on(E + timedelta(days=days))
    assert letter.subject == "alice@pec.example è scaduta: rinnovabile entro il 1 aprile 2027"
    said = AFTER + RENEW_BY + "Per rinnovarla accedi e scegli Rinnova."
    assert words(letter) == (said, said)


def test_the_words_follow_the_state_and_not_the_kind(plans, alice, settings):
    """A calendar with no point just after the expiry, and an outage: Scaduta, though the point was one before it."""
    settings.NOTICE_DAYS = [-1, 60]
    open_alices(plans, alice)
    assert letter_on(E + timedelta(days=5)).subject.startswith("alice@pec.example è scaduta")
    assert told() == [("alice@pec.example", -1)]


def test_an_order_that_awaits_payment_is_named_without_amounts(plans, alice):
    box = open_alices(plans, alice)
    with at(E - timedelta(days=20)):
        order = place(box, alice)
    tail = (
        f"C'è già un ordine di rinnovo, {order.number}, in attesa di pagamento: accedi e pagalo. Se hai già fatto il "
        "bonifico, ti scriviamo appena arriva."
    )
    letter = letter_on(E - timedelta(days=15))
    assert [text.endswith(f"contenuto. {tail}") for text in words(letter)] == [True, True]
    letter = letter_on(E + timedelta(days=1))
    assert words(letter) == (AFTER + RENEW_BY + tail,) * 2
    assert "€" not in letter.message + letter.html_message


def test_a_payment_that_is_being_verified_is_not_asked_for_again(plans, alice):
    box = open_alices(plans, alice)
    with at(E - timedelta(days=20)):
        order = place(box, alice)
        payment = start_card(order, alice)
        recording.record_outcome(payment.pk, Outcome(Result.UNKNOWN, reason="timeout"))
    tail = (
        f"Per l'ordine di rinnovo {order.number} stiamo verificando il pagamento con la banca. Non pagare di nuovo: ti "
        "scriviamo appena è certo."
    )
    letter = letter_on(E - timedelta(days=15))
    assert [text.endswith(f"contenuto. {tail}") for text in words(letter)] == [True, True]
    assert words(letter_on(E + timedelta(days=1))) == (AFTER + tail,) * 2
    Payment.objects.update(status="failed")
    cases.open_case(
        Case.Kind.MONEY_MISMATCH, detail="x", order=order, amount=order.total
    )  # money that came, not decided
    assert words(letter_on(E + timedelta(days=30))) == (AFTER + tail,) * 2


def test_an_order_at_work_asks_for_nothing(plans, alice):
    box = open_alices(plans, alice)
    with at(E - timedelta(days=20)):
        order = place(box, alice)
    Order.objects.filter(pk=order.pk).update(status="attention")
    tail = (
        f"C'è già un ordine di rinnovo, {order.number}, in lavorazione: non serve farne un altro. Ti scriviamo appena "
        "la casella è rinnovata."
    )
    assert words(letter_on(E + timedelta(days=1))) == (AFTER + tail,) * 2


def test_a_box_on_a_domain_is_renewed_with_it(alice, make_box, today):
    domain = open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(days=7),
        deletion_days=30,
    )  # fmt: skip
    make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    flows.run_day()
    assert told() == [("info@pec.rossi.example", -7)]
    tail = "Questa casella si rinnova con il suo dominio, rossi.example: lo rinnova chi gestisce l'account, da Domini."
    letter = Email.objects.latest("id")
    assert [text.endswith(f"contenuto. {tail}") for text in words(letter)] == [True, True]
    with at(domain.expires_on + timedelta(days=40)):  # past the domain's own thirty days
        flows.run_day()
    assert told() == [("info@pec.rossi.example", -7)]


def test_who_relies_on_a_charge_that_will_not_come_is_told_so(plans, alice):
    open_alices(plans, alice)
    Mailbox.objects.update(auto_renews=True, auto_over_for=E)
    tail = "Il rinnovo automatico è attivo, ma per questa scadenza l'addebito non ci sarà: accedi e scegli Rinnova."
    letter = letter_on(E - timedelta(days=7))
    assert [text.endswith(f"contenuto. {tail}") for text in words(letter)] == [True, True]


# --- What the database and the settings hold -------------------------------------------------------------------------


def test_the_database_tells_a_point_once(box):
    Notice.objects.create(box=box, owner=box.owner, created_at=clock.now(), expiry=box.expires_on, kind=-30)
    Notice.objects.create(box=box, owner=box.owner, created_at=clock.now(), expiry=box.expires_on, kind=-15)
    Notice.objects.create(
        box=box, owner=box.owner, created_at=clock.now(), expiry=box.expires_on + timedelta(days=365), kind=-30
    )
    with pytest.raises(IntegrityError):
        Notice.objects.create(box=box, owner=box.owner, created_at=clock.now(), expiry=box.expires_on, kind=-30)


@pytest.mark.parametrize("value", ["abc", "-30;1", "1000", "-367,1"])
def test_a_calendar_that_is_none_stops_the_start(value):
    import os
    import subprocess
    import sys

    environment = {**os.environ, "NOTICE_DAYS": value}
    command = [sys.executable, "-c", "import pecportal.settings"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and ("NOTICE_DAYS" in done.stderr)
