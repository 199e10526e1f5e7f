"""Recording expiries (R13, R16, R28)."""

import logging
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from lifecycle import expiries, flows
from lifecycle.models import LifecycleRun
from mailboxes.flows import extend, open_box, open_domain
from mailboxes.models import BoxEvent, Mailbox, PaidPeriod
from mailboxes.models.boxes import Phase
from tests.conftest import holder_of

pytestmark = pytest.mark.django_db


def numbers(stage="expiries", day=None) -> tuple[int, int, int, int]:
    run = LifecycleRun.objects.get(stage=stage, **({"day": day} if day else {}))
    assert run.claimed_at is not None and run.finished_at is not None
    return run.expected, run.done, run.failed, run.left


def expired() -> list[tuple[str, date]]:
    events = BoxEvent.objects.filter(kind="expired").select_related("box__address")
    return sorted((e.box.address.name, e.day) for e in events)


def told_at_once() -> set[str]:
    """The boxes whose state the mail system will be told."""
    return set(Mailbox.objects.exclude(platform_due_at=None).values_list("address__name", flat=True))


def forget_what_is_due() -> None:
    Mailbox.objects.update(platform_due_at=None)


def test_each_expired_box_is_recorded_once_and_no_other(make_box, alice, carla, today):
    for name, days in {"ieri": -1, "vecchia": -200, "oggi": 0, "domani": 1}.items():
        make_box(alice, name, expires_in=days)
    make_box(carla, "carla", expires_in=-90)
    forget_what_is_due()
    flows.run_for(today)
    due = ["carla@pec.example", "ieri@pec.example", "vecchia@pec.example"]
    assert [name for name, _day in expired()] == due
    assert told_at_once() == set(due)
    recorded = dict(Mailbox.objects.values_list("address__name", "expiry_recorded_for"))
    expiries = dict(Mailbox.objects.values_list("address__name", "expires_on"))
    assert recorded == {name: expiries[name] if name in due else None for name in expiries}
    assert numbers() == (3, 3, 0, 0)
    forget_what_is_due()
    flows.run_for(today)
    assert [name for name, _day in expired()] == due
    assert told_at_once() == set()
    assert numbers() == (3, 3, 0, 0)


@pytest.mark.parametrize("phase", [Phase.DELETING, Phase.DELETED])
def test_a_box_on_its_way_out_does_not_expire(make_box, alice, today, phase):
    box = make_box(alice, "via", expires_in=-5)
    Mailbox.objects.filter(pk=box.pk).update(phase=phase, login=None)
    flows.run_for(today)
    assert expired() == [] and numbers() == (0, 0, 0, 0)


def test_boxes_of_a_domain_expire_with_it(make_box, alice, today):
    domain = open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today - timedelta(1)
    )
    make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    flows.run_for(today)
    assert expired() == [("info@pec.rossi.example", today)]


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 5000])
def test_batches_smaller_than_the_data_with_dates_that_repeat(make_box, alice, today, batch):
    for n in range(7):
        make_box(alice, f"casella{n}", expires_in=-1 - n // 3)  # three, three and one on a day
    flows.run_for(today, batch=batch)
    assert [name for name, _day in expired()] == [f"casella{n}@pec.example" for n in range(7)]
    assert numbers() == (7, 7, 0, 0)


@pytest.mark.parametrize(
    ("moment", "recorded"),
    [
        (datetime(2026, 11, 22, 22, 59, tzinfo=UTC), False),  # 23:59 in Rome, still the day of expiry
        (datetime(2026, 11, 22, 23, 0, tzinfo=UTC), True),  # midnight in Rome, while UTC says the 22nd
        (datetime(2026, 7, 22, 21, 59, tzinfo=UTC), False),  # summer time
        (datetime(2026, 7, 22, 22, 0, tzinfo=UTC), True),
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), True),  # the nights the clocks change
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), True),
    ],
)
def test_midnight_is_romes(plans, alice, moment, recorded):
    day = moment.date()
    with time_machine.travel(moment, tick=False):
        box = open_box(
            address="mezzanotte@pec.example",
            owner=alice,
            holder=holder_of(alice, "alice"),
            plan=plans.standard,
            expires_on=day,
        )
        flows.run_day()
    assert expired() == ([(box.address.name, day + timedelta(days=1))] if recorded else [])


def test_a_clamped_29_february_is_scaduta_on_1_march(plans, alice):
    box = open_box(
        address="bisestile@pec.example", owner=alice, holder=holder_of(alice, "alice"), plan=plans.standard,
        expires_on=date(2028, 2, 29),
    )  # fmt: skip
    extend(
        box=box, years=1, source=PaidPeriod.objects.get().source.__class__(int=1), plan=plans.standard, mailbox_gb=1,
        archive_gb=0, today=date(2028, 2, 1),
    )  # fmt: skip
    assert box.expires_on == date(2029, 2, 28)
    with time_machine.travel(datetime(2029, 2, 28, 12, tzinfo=UTC), tick=False):
        flows.run_day()
        assert expired() == []
    with time_machine.travel(datetime(2029, 3, 1, 12, tzinfo=UTC), tick=False):
        flows.run_day()
    assert expired() == [("bisestile@pec.example", date(2029, 3, 1))]


def test_a_scaduta_box_that_was_renewed_is_recorded_anew_at_its_next_expiry(make_box, alice, plans, today):
    box = make_box(alice, "torna", expires_in=-10)
    first = box.expires_on
    flows.run_for(today)
    extend(
        box=Mailbox.objects.get(pk=box.pk), years=1, source=box.public_id, plan=plans.standard, mailbox_gb=1,
        archive_gb=0, today=today,
    )  # fmt: skip
    flows.run_for(today)
    assert expired() == [("torna@pec.example", first + timedelta(days=1))]
    again = Mailbox.objects.get(pk=box.pk).expires_on
    with time_machine.travel(datetime(again.year, again.month, again.day, 12, tzinfo=UTC) + timedelta(days=1)):
        flows.run_day()
    assert expired() == [("torna@pec.example", day + timedelta(days=1)) for day in (first, again)]
    assert Mailbox.objects.get(pk=box.pk).expiry_recorded_for == again


def test_an_expiry_that_a_reversal_brought_back_is_marked_and_told_once(make_box, alice, today):
    """Its event is there already: the unique constraint must not stop the batch."""
    box = make_box(alice, "stornata", expires_in=-10)
    flows.run_for(today)
    Mailbox.objects.filter(pk=box.pk).update(expiry_recorded_for=today + timedelta(days=355))
    flows.run_for(today)
    assert len(expired()) == 1
    assert Mailbox.objects.get(pk=box.pk).expiry_recorded_for == box.expires_on


def test_one_bad_box_stops_no_other_and_no_address_is_logged(make_box, alice, today, monkeypatch, caplog):
    boxes = [make_box(alice, f"casella{n}", expires_in=-3) for n in range(4)]
    real = expiries._record

    def refuse(rows, work):
        if any(pk == boxes[1].pk for _expiry, pk in rows):
            raise ValueError(f"cannot record {boxes[1].address}")
        real(rows, work)

    monkeypatch.setattr(expiries, "_record", refuse)
    with caplog.at_level(logging.INFO):
        flows.run_for(today)
    assert [name for name, _day in expired()] == [f"casella{n}@pec.example" for n in (0, 2, 3)]
    assert numbers() == (4, 3, 1, 0)
    assert "a batch of boxes goes one at a time: ValueError" in caplog.text
    assert f"box {boxes[1].pk}: ValueError" in caplog.text
    assert "@" not in caplog.text
    monkeypatch.undo()
    flows.run_for(today)  # mended: what is due is done, and the failure is no more
    assert len(expired()) == 4
    assert numbers() == (4, 4, 0, 0)
