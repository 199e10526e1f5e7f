"""What people decide: further warnings, cases, a release by hand, holds, and the cap with its two people (R29)."""

from datetime import timedelta

import pytest
import time_machine
from django.db import IntegrityError, transaction
from post_office.models import STATUS, Email

from accounts.models import User
from lifecycle import deletion, deletion_facts, flows, holds, letters, manifest
from lifecycle.models import DeletionStop, HandRelease, Letter, ManifestLine, Notice, StaffHold
from mailboxes.models import Holder, Mailbox
from payments import cases, giving_back, recording
from payments.models import Case
from pecportal import clock
from pecportal.errors import RefusedError
from tests.buying import activate, buy, deleted, new_life
from tests.helpers import pay_transfer
from tests.lifecycle.deletions import lines, noon, phases, run, warn, warn_twice, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def elena(db) -> User:
    """The other member of staff."""
    return User.objects.create_superuser("elena", "Prova-pec-2026", email="elena@provider.example")


@pytest.fixture
def unwarned(make_box, alice) -> Mailbox:
    """On its deletion day, never warned."""
    return make_box(alice, "persa", expires_in=-91)


def day_of(days: int):
    return time_machine.travel(noon(clock.today() + timedelta(days=days)), tick=False)


# --- Not warned: warnings go on, then a person decides ----------------------------------------------------------------


def test_warnings_go_on_every_week_until_two_are_accepted(unwarned, today):
    for days in range(23):
        with day_of(days):
            manifest.make_manifest(clock.today())
    assert list(Notice.objects.order_by("kind").values_list("kind", "state", "expiry")) == [
        (kind, "due", unwarned.expires_on) for kind in (91, 98, 105, 112)
    ]
    Notice.objects.all().delete()
    warn(unwarned, 91, on=today)
    warn(unwarned, 98, on=today + timedelta(days=7))
    for days in range(8, 14):
        with day_of(days):
            run()
            assert lines() == [("persa", "held", "not_warned")]
    with day_of(14):
        run()
    assert phases() == {"persa@pec.example": "deleted"}
    assert Notice.objects.filter(kind__gt=98).count() == 0, "two were accepted: no more were owed"
    assert Case.objects.get().resolution == "cancellata"


def test_after_two_weeks_a_case_once(unwarned):
    for days in (0, 7, 13):
        with day_of(days):
            run()
    assert Case.objects.count() == 0
    for days in (14, 15):
        with day_of(days):
            run()
    case = Case.objects.get()
    assert (case.kind, case.box, case.closed_at) == ("unwarned", unwarned, None)
    assert "0 avvisi accettati su 2" in case.detail
    cases.close_case(case_id=case.pk, actor=unwarned.owner, resolution="la lasciamo")
    with day_of(16):
        run()
    assert (Case.objects.count(), phases()) == (1, {"persa@pec.example": "live"})


def put_off(today, *, through: int) -> None:
    """The relay puts every letter off: each midnight it is taken back, and written anew by the day's runs."""
    for days in range(through + 1):
        with midnight(today, days):
            letters.take_back_stale()
            for _run in range(2):  # the day's, and the first of those that catch up
                flows.run_day()


def midnight(today, days: int):
    return time_machine.travel(noon(today + timedelta(days=days)) - timedelta(hours=11, minutes=55), tick=False)


def taken(today, days: int) -> list[str]:
    """The relay takes what is in the queue at noon: the subjects that one address reads."""
    with day_of(days):
        letters.take_back_stale()
        left = Email.objects.filter(status=STATUS.queued)
        subjects = list(left.filter(to=["alice@posta.example"]).values_list("subject", flat=True))
        left.update(status=STATUS.sent, last_updated=clock.now())
        letters.read_outcomes()
    return subjects


@pytest.mark.parametrize("until", [6, 7, 8])
def test_warnings_that_waited_at_the_relay_are_one_letter_and_one_warning(unwarned, today, until):
    """On the seventh day the next one is written while the first still waits: neither both, nor one that names both."""
    put_off(today, through=until)
    assert taken(today, until) == ["persa@pec.example è scaduta e sta per essere cancellata"]
    read = [until]
    for days in range(until + 1, until + 30):
        with midnight(today, days):
            letters.take_back_stale()
            for _run in range(2):
                flows.run_day()
        if phases() == {"persa@pec.example": "deleted"}:
            break
        if taken(today, days):
            read.append(days)
    assert (len(read), days) == (2, read[-1] + 7), "two letters, the second a week before"


@pytest.mark.parametrize("letters_", [1, 2])
def test_what_arrives_on_one_day_is_one_warning(unwarned, today, letters_):
    first = warn(unwarned, 83, on=today - timedelta(days=8))
    second = warn(unwarned, 89, on=today - timedelta(days=8))
    if letters_ == 1:
        Notice.objects.get(kind=89).letters.set([first])
        second.delete()
    run()
    assert lines() == [("persa", "held", "not_warned")]
    assert ManifestLine.objects.get().detail == "avvisi accettati: 1"
    with day_of(1):
        warn(unwarned, 91, on=today - timedelta(days=7))
        run()
    assert phases() == {"persa@pec.example": "deleted"}


def test_a_warning_that_one_address_took_stays_one_though_the_other_is_slow(make_box, alice, today):
    box = make_box(alice, "mezza", expires_in=-60)
    for days in (0, 1, 23, 24, 29, 30):  # from 60 to 90 days after the expiry
        with midnight(today, days):
            letters.take_back_stale()
            flows.run_day()
        with day_of(days):
            slow = Email.objects.exclude(to=["alice@posta.example"])
            slow.update(status=STATUS.requeued)
            Email.objects.exclude(pk__in=slow).update(status=STATUS.sent, last_updated=clock.now())
            letters.read_outcomes()
    assert set(Letter.objects.filter(state="accepted").values_list("notices__kind", "to")) == {
        (kind, "alice@posta.example") for kind in (60, 83, 89)
    }
    assert set(Notice.objects.values_list("kind", "state")) == {(kind, "told") for kind in (60, 83, 89)}
    found = deletion_facts.of([deletion_facts.with_details(Mailbox.objects.filter(pk=box.pk)).get()])
    assert found[box.pk].warned_on == tuple(today + timedelta(days=days) for days in (0, 23, 29))


@pytest.mark.parametrize("why", ["bounced", "refused", "hosted"])
def test_a_case_at_once_where_no_address_works(unwarned, today, why):
    addresses = ["alice.contatto@posta.example", "alice@posta.example"]
    if why == "hosted":
        Holder.objects.update(contact_email="altra@pec.example")
        User.objects.filter(pk=unwarned.owner_id).update(email="")
    for to in addresses:
        warn(unwarned, 83, on=today - timedelta(days=8), to=to, state="accepted")
        warn(unwarned, 89, on=today - timedelta(days=2), to=to, state="accepted" if why == "hosted" else why)
    Letter.objects.filter(notices__kind=83).delete()
    run()
    assert lines() == [("persa", "held", "no_address")]
    case = Case.objects.get()
    assert "nessun indirizzo che funzioni" in case.detail
    assert Notice.objects.filter(kind__gt=89).count() == 0


def test_one_address_that_works_is_enough_to_go_on_trying(unwarned, today):
    warn(unwarned, 89, on=today - timedelta(days=2), to="alice@posta.example", state="bounced")
    run()
    assert lines() == [("persa", "held", "not_warned")]
    Holder.objects.update(contact_email="alice@posta.example")
    run()
    assert lines() == [("persa", "held", "no_address")]
    Holder.objects.update(contact_email="nuova@posta.example")  # nothing went there yet: it may work
    run()
    assert lines() == [("persa", "held", "not_warned")]


def test_a_release_by_hand_says_who_and_why_and_lets_one_box_go_once(unwarned, make_box, alice, dario):
    other = make_box(alice, "altra", expires_in=-91)
    with pytest.raises(RefusedError, match="niente da decidere a mano"):
        holds.release_by_hand(box_id=unwarned.pk, actor=dario, why="sentita al telefono")
    with day_of(14):
        run()
        with pytest.raises(RefusedError, match="Scrivi il motivo"):
            holds.release_by_hand(box_id=unwarned.pk, actor=dario, why="  ")
        holds.release_by_hand(box_id=unwarned.pk, actor=dario, why="sentita al telefono")
        with pytest.raises(RefusedError, match="è già stata decisa"):
            holds.release_by_hand(box_id=unwarned.pk, actor=dario, why="ancora")
        run()
    assert phases() == {"persa@pec.example": "deleted", "altra@pec.example": "live"}
    row = HandRelease.objects.get()
    assert (row.box, row.expiry, row.released_by, row.why) == (
        unwarned, unwarned.expires_on, dario, "sentita al telefono"
    )  # fmt: skip
    closed = Case.objects.get(box=unwarned)
    assert (closed.closed_by, closed.resolution) == (dario, "sentita al telefono")
    assert Case.objects.get(box=other).closed_at is None
    assert "persa" in str(Email.objects.filter(subject__contains="è stata cancellata").first().subject)
    with pytest.raises(IntegrityError), transaction.atomic():
        HandRelease.objects.create(
            box=unwarned, expiry=unwarned.expires_on, why="x", released_by=dario, released_at=clock.now()
        )
    with pytest.raises(IntegrityError), transaction.atomic():
        HandRelease.objects.create(
            box=other, expiry=other.expires_on, why="", released_by=dario, released_at=clock.now()
        )


def test_a_release_of_another_expiry_lets_nothing_go(unwarned, dario):
    HandRelease.objects.create(
        box=unwarned, expiry=unwarned.expires_on - timedelta(days=365), why="x", released_by=dario,
        released_at=clock.now(),
    )  # fmt: skip
    run()
    assert phases() == {"persa@pec.example": "live"}


# --- Staff hold -------------------------------------------------------------------------------------------------------


def test_a_hold_is_placed_once_with_a_reason_and_never_too_late(unwarned, dario, elena):
    with pytest.raises(RefusedError, match="Scrivi il motivo"):
        holds.place_hold(box_id=unwarned.pk, actor=dario, why=" ")
    holds.place_hold(box_id=unwarned.pk, actor=dario, why="in causa")
    with pytest.raises(RefusedError, match="ha già un blocco"):
        holds.place_hold(box_id=unwarned.pk, actor=elena, why="anch'io")
    warn_twice(unwarned)
    run()
    assert lines() == [("persa", "held", "staff")]
    assert ManifestLine.objects.get().detail == "in causa"
    holds.lift_hold(box_id=unwarned.pk, actor=elena)
    with pytest.raises(RefusedError, match="non ha un blocco"):
        holds.lift_hold(box_id=unwarned.pk, actor=elena)
    found = StaffHold.objects.get()
    assert (found.placed_by, found.released_by) == (dario, elena)
    run()
    assert phases() == {"persa@pec.example": "deleted"}
    with pytest.raises(RefusedError, match="è già cominciata"):
        holds.place_hold(box_id=unwarned.pk, actor=dario, why="tardi")


def test_no_hold_is_placed_on_a_box_that_never_comes_to_life(make_box, alice, dario):
    gone = deleted(make_box(alice, "persa"))
    order = buy(gone, alice)
    pay_transfer(order, dario, reference="B1")
    recording.after_paid(order.pk)
    life = new_life(gone)
    assert life.phase == "activating"
    with pytest.raises(RefusedError, match="non è ancora attiva"):
        holds.place_hold(box_id=life.pk, actor=dario, why="in causa")
    giving_back.refund_line(line_id=order.lines.get().pk, actor=dario, why="rimborsata")
    with day_of(1):
        activate()
    assert not Mailbox.objects.filter(pk=life.pk).exists(), "nobody could buy the address again"


# --- The cap ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_cap(settings):
    settings.DELETION_CAP_COUNT, settings.DELETION_CAP_PERCENT = 3, 10


@pytest.fixture
def many(make_box, alice, small_cap) -> list[Mailbox]:
    """Five boxes to go, of ten."""
    boxes = [make_box(alice, f"persa{n}", expires_in=-100) for n in range(5)]
    warn_twice(*boxes)
    for n in range(5):
        make_box(alice, f"viva{n}")
    return boxes


def gone() -> int:
    return Mailbox.objects.filter(phase="deleted").count()


def test_a_hundred_and_one_boxes_stop_before_the_first(make_box, alice, caplog):
    boxes = [make_box(alice, f"persa{n}", expires_in=-100) for n in range(101)]
    warn_twice(*boxes[:100])
    warn(boxes[100], 60, on=boxes[100].expires_on + timedelta(days=60))
    run()
    assert (gone(), DeletionStop.objects.count()) == (100, 0)  # a hundred are not above the count
    Mailbox.objects.update(phase="live")
    ManifestLine.objects.all().delete()
    warn(boxes[100], 83, on=boxes[100].expires_on + timedelta(days=83))
    run()
    assert gone() == 0
    stop = DeletionStop.objects.get()
    assert (stop.boxes, stop.of_boxes, stop.released_at) == (101, 101, None)
    assert "stopped by the cap: 101 of 101 boxes" in caplog.text
    assert ManifestLine.objects.filter(verdict="delete", why="warned", begun_at=None).count() == 101
    for _again in range(2):
        run()
    assert (gone(), DeletionStop.objects.count()) == (0, 1)


@pytest.mark.parametrize(("percent", "goes"), [(50, True), (49.9, False)])
def test_above_the_count_alone_does_not_stop(many, settings, percent, goes):
    settings.DELETION_CAP_PERCENT = percent
    run()
    assert gone() == (5 if goes else 0)


def test_a_second_run_of_the_day_has_no_allowance_of_its_own(many, make_box, alice):
    held = [holds.place_hold(box_id=box.pk, actor=alice, why="prova") for box in many[3:]]
    run()
    assert (gone(), DeletionStop.objects.count()) == (3, 0)
    for hold in held:
        holds.lift_hold(box_id=hold.box_id, actor=alice)
    run()
    stop = DeletionStop.objects.get()
    assert (gone(), stop.boxes, stop.of_boxes) == (3, 5, 10)
    with day_of(1):
        run()
        assert gone() == 5  # the next day has its own


def test_one_asks_with_a_reason_another_releases(many, dario, elena):
    run()
    stop = DeletionStop.objects.get()
    with pytest.raises(RefusedError, match="Prima qualcuno deve chiedere"):
        holds.release_stop(stop_id=stop.pk, actor=elena)
    with pytest.raises(RefusedError, match="Scrivi il motivo"):
        holds.ask_release(stop_id=stop.pk, actor=dario, why="")
    holds.ask_release(stop_id=stop.pk, actor=dario, why="importazione di marzo")
    with pytest.raises(RefusedError, match="è già stato chiesto"):
        holds.ask_release(stop_id=stop.pk, actor=elena, why="anch'io")
    with pytest.raises(RefusedError, match="l'hai chiesto tu"):
        holds.release_stop(stop_id=stop.pk, actor=dario)
    run()
    assert gone() == 0
    for wrong in ({"released_by": dario}, {"released_by": elena, "asked_by": None, "asked_at": None, "asked_why": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            DeletionStop.objects.update(released_at=clock.now(), **wrong)
    holds.release_stop(stop_id=stop.pk, actor=elena)
    with pytest.raises(RefusedError, match="È già sbloccata"):
        holds.release_stop(stop_id=stop.pk, actor=elena)
    run()
    assert gone() == 5
    stop.refresh_from_db()
    assert (stop.asked_by, stop.asked_why, stop.released_by) == (dario, "importazione di marzo", elena)


def test_a_release_covers_the_lines_that_were_read_each_looked_at_again(many, make_box, alice, dario, elena):
    run()
    late = make_box(alice, "tardi", expires_in=-100)
    warn_twice(late)
    stop = DeletionStop.objects.get()
    holds.ask_release(stop_id=stop.pk, actor=dario, why="va bene")
    holds.release_stop(stop_id=stop.pk, actor=elena)
    holds.place_hold(box_id=many[0].pk, actor=dario, why="no, questa no")
    Letter.objects.filter(notices__box=many[1]).update(state="bounced")
    run()
    assert gone() == 3
    assert Mailbox.objects.get(pk=late.pk).phase == "live"
    assert lines()[:2] == [("persa0", "held", "staff"), ("persa1", "held", "not_warned")]


def test_only_the_newest_day_is_released(many, dario, elena):
    run()
    stop = DeletionStop.objects.get()
    holds.ask_release(stop_id=stop.pk, actor=dario, why="va bene")
    with day_of(1):
        with pytest.raises(RefusedError, match="di un giorno passato"):
            holds.release_stop(stop_id=stop.pk, actor=elena)
        run()
        assert gone() == 0
        newest = DeletionStop.objects.latest("day")
        assert (newest.pk == stop.pk, newest.asked_by) == (False, None)


def test_no_box_begins_while_the_stop_stands_whoever_began_before(many, today):
    """A run that looked at the cap before somebody else stopped the day."""
    manifest.make_manifest(today)
    DeletionStop.objects.create(day=today, boxes=5, of_boxes=10, stopped_at=clock.now())
    assert not deletion.begin(box_id=many[0].pk, today=today)
    assert gone() == 0


def test_a_run_that_midnight_overtakes_leaves_no_stop_which_nobody_can_release(make_box, alice, today, settings):
    settings.DELETION_CAP_COUNT = settings.DELETION_CAP_PERCENT = 0
    warn_twice(make_box(alice, "una", expires_in=-100))
    job = work(today)
    with midnight(today, 1):
        deletion.delete_boxes(job)
    assert not DeletionStop.objects.exists() and not ManifestLine.objects.filter(day=today).exists()
