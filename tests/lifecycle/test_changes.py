"""Downgrades on their day (R7)."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from time import sleep

import pytest
import time_machine
from django.db import transaction
from post_office.models import Email

from lifecycle import flows, stages, tasks
from lifecycle.models import Figure, LifecycleRun, ManifestLine, Notice
from lifecycle.work import OutOfTimeError
from mailboxes.flows import order_capacity
from mailboxes.models import BoxEvent, Mailbox
from mailboxes.platform.base import Usage
from mailboxes.platform.local import LocalPlatform
from mailboxes.rules import GB
from payments import cases
from payments.models import Case
from tests.lifecycle.deletions import phases, warn_twice

pytestmark = pytest.mark.django_db


@pytest.fixture
def smaller(make_box, alice, plans):
    """smaller("name", in_days) → a Pro box that becomes Standard on that day."""

    def make(name: str, in_days: int, today) -> Mailbox:
        box = make_box(alice, name, plan="pro")
        Mailbox.objects.filter(pk=box.pk).update(
            next_plan=plans.standard, next_mailbox_gb=1, next_archive_gb=0, change_on=today + timedelta(days=in_days)
        )
        return box

    return make


def plan_of(box) -> tuple[str, int, int]:
    box = Mailbox.objects.select_related("plan").get(pk=box.pk)
    return box.plan.code, box.mailbox_gb, box.archive_gb


def numbers() -> tuple[int, int, int, int]:
    run = LifecycleRun.objects.get(stage="changes")
    return run.expected, run.done, run.failed, run.left


def noon(day) -> datetime:
    return datetime.combine(day, time(12), UTC)


def test_changes_start_on_their_day_and_not_before(smaller, today):
    late, now, tomorrow = smaller("tardi", -3, today), smaller("oggi", 0, today), smaller("domani", 1, today)
    flows.run_for(today)
    assert [plan_of(b) for b in (late, now, tomorrow)] == [("standard", 1, 0), ("standard", 1, 0), ("pro", 2, 3)]
    assert numbers() == (2, 2, 0, 0)
    flows.run_for(today)
    assert BoxEvent.objects.filter(kind="capacity").count() == 2
    assert numbers() == (2, 2, 0, 0)


def test_a_change_that_does_not_fit_is_told_once_and_is_a_case_after_30_days(smaller, today, dario, plans):
    box, fits = smaller("piena", 0, today), smaller("vuota", 0, today)
    LocalPlatform().set_usage("piena@pec.example", mailbox_bytes=int(1.5 * GB))

    def mails() -> list[list[str]]:
        return [m.to for m in Email.objects.filter(subject__startswith="piena@pec.example: il passaggio")]

    def run(days: int) -> None:
        with time_machine.travel(noon(today + timedelta(days=days)), tick=False):
            flows.run_for(today + timedelta(days=days))

    run(0)
    assert numbers() == (2, 1, 0, 1)
    assert [plan_of(b) for b in (box, fits)] == [("pro", 2, 3), ("standard", 1, 0)]
    both = [["alice.contatto@posta.example"], ["alice@posta.example"]]
    assert sorted(mails()) == both
    for days in (1, 29):
        run(days)
    assert sorted(mails()) == both and not Case.objects.exists()
    run(30)
    run(30)
    case = Case.objects.get()
    assert (case.kind, case.box_id, case.closed_at) == ("downgrade", box.pk, None)
    cases.close_case(case_id=case.pk, actor=dario, resolution="parlato con il cliente")
    run(31)
    assert Case.objects.count() == 1, "closing the case does not bring it back"
    assert sorted(mails()) == both
    # Another refusal, later: the customer made another order in the meantime.
    later = today + timedelta(days=100)
    Mailbox.objects.filter(pk=box.pk).update(change_refused_on=None, change_on=later)
    run(100)
    assert len(mails()) == 4 and Case.objects.count() == 1
    run(130)
    assert Case.objects.count() == 2
    LocalPlatform().set_usage("piena@pec.example", mailbox_bytes=0)
    run(131)
    assert plan_of(box) == ("standard", 1, 0)


def test_a_renewal_that_leaves_a_refused_change_as_it_is_tells_nobody_again(smaller, today, plans):
    """One mail, and a case thirty days after it: a customer who renews meanwhile does not put it off (R7)."""
    box = smaller("piena", 0, today)
    LocalPlatform().set_usage("piena@pec.example", mailbox_bytes=int(1.5 * GB))
    flows.run_for(today)
    mails = Email.objects.count()
    with transaction.atomic():
        again = Mailbox.objects.locked().select_related("plan", "next_plan").get(pk=box.pk)
        order_capacity(
            box=again, plan=plans.standard, mailbox_gb=1, archive_gb=0, old_expiry=again.expires_on, today=today
        )
    flows.run_for(today)
    box.refresh_from_db()
    assert (box.change_refused_on, box.change_on, plan_of(box)) == (today, today, ("pro", 2, 3))
    assert list(BoxEvent.objects.filter(box=box, kind="change_refused").values_list("day", flat=True)) == [today]
    assert Email.objects.count() == mails
    with transaction.atomic():
        again = Mailbox.objects.locked().select_related("plan", "next_plan").get(pk=box.pk)
        order_capacity(
            box=again, plan=plans.standard, mailbox_gb=2, archive_gb=0, old_expiry=again.expires_on, today=today
        )
    assert (again.next_mailbox_gb, again.change_refused_on) == (2, None)  # another change: it may be told anew


def test_a_mail_system_that_does_not_answer_for_one_box_stops_no_other(smaller, today, monkeypatch, caplog):
    bad, good = smaller("muta", 0, today), smaller("viva", 0, today)
    real = stages.start_change

    def ask(*, box_id, today):
        if box_id == bad.pk:
            raise OSError("no answer for muta@pec.example")
        return real(box_id=box_id, today=today)

    monkeypatch.setattr(stages, "start_change", ask)
    flows.run_for(today)
    assert [plan_of(b) for b in (bad, good)] == [("pro", 2, 3), ("standard", 1, 0)]
    assert numbers() == (2, 1, 1, 0)
    assert f"box {bad.pk}: OSError" in caplog.text and "@" not in caplog.text


def test_a_mail_system_that_hangs_keeps_no_warning_from_being_told(smaller, make_box, alice, today, monkeypatch):
    """Each question waits a minute for its answer: the time of every run is over before the changes are through."""
    smaller("una", 0, today)
    make_box(alice, "scade", expires_in=7)
    hung = []

    def hang(work):
        hung.append(work.run.day)
        raise OutOfTimeError

    monkeypatch.setitem(stages.STAGES, stages.Stage.CHANGES, replace(stages.STAGES[stages.Stage.CHANGES], work=hang))
    for _again in range(2):
        flows.run_day(seconds=60)
    assert hung and Notice.objects.filter(state="told").count() == 2


@pytest.fixture
def slow(monkeypatch):
    """A mail system that takes 0.1 s to answer, beside runs of 1 s instead of 240; of some boxes it says nothing."""

    def usage(self, addresses):
        sleep(0.1)
        if addresses[0].startswith("muta"):
            raise TimeoutError
        return {a: Usage(2 * GB if a.startswith("piena") else 0, 0, None) for a in addresses}

    monkeypatch.setattr(LocalPlatform, "usage", usage)


@pytest.mark.parametrize("stuck", [0, 20])
def test_changes_that_do_not_fit_keep_neither_later_ones_nor_deletions_waiting(
    smaller, make_box, alice, today, slow, django_capture_on_commit_callbacks, stuck
):
    """Each run would use up its time on them, and ask for the next at once."""
    for n in range(stuck):
        smaller(f"piena{n}", -60 - n, today)
    flows.run_for(today)
    assert BoxEvent.objects.filter(kind="change_refused").count() == stuck
    fits, gone = smaller("entra", 0, today), make_box(alice, "vecchia", expires_in=-100)
    warn_twice(gone)
    Figure.objects.all().delete()
    with django_capture_on_commit_callbacks() as asked:
        for _run in range(3):
            flows.run_day(seconds=1)
    assert plan_of(fits) == ("standard", 1, 0)
    assert phases()["vecchia@pec.example"] == "deleted" and ManifestLine.objects.filter(day=today).exists()
    assert tasks.run_day.delay not in asked and Figure.objects.exists()
    assert numbers() == (stuck + 1, 1, 0, stuck)


def test_changes_of_which_the_mail_system_says_nothing_keep_nobody_waiting(
    smaller, make_box, alice, today, slow, monkeypatch
):
    """They are new at each run: what helps the others is that the order is another one each time."""
    monkeypatch.setattr(stages.random, "shuffle", list.reverse)
    for n in range(12):
        smaller(f"muta{n}", -60 - n, today)
    fits, gone = smaller("entra", 0, today), make_box(alice, "vecchia", expires_in=-100)
    warn_twice(gone)
    flows.run_day(seconds=1)
    assert plan_of(fits) == ("standard", 1, 0)
    assert phases()["vecchia@pec.example"] == "deleted"
    assert LifecycleRun.objects.get(stage="changes").at_rest, "it fails, and the next run is soon enough"


def test_new_changes_that_go_well_and_need_more_time_have_it_at_once(
    smaller, today, slow, django_capture_on_commit_callbacks
):
    boxes = [smaller(f"entra{n}", 0, today) for n in range(8)]
    with django_capture_on_commit_callbacks() as asked:
        flows.run_day(seconds=1)
    assert tasks.run_day.delay in asked and LifecycleRun.objects.filter(stage="deletions").exists()
    for _run in range(4):
        flows.run_day(seconds=1)
    assert {plan_of(box) for box in boxes} == {("standard", 1, 0)}
