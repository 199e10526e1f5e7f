"""How full the boxes are: measured in turns, kept with its time, told once (on the embedded mail system)."""

from datetime import timedelta

import pytest
import time_machine
from post_office.models import Email

from mailboxes import measuring, telling
from mailboxes.measuring import Measured
from mailboxes.models import Mailbox, SpaceUsed
from mailboxes.platform.local import LocalPlatform
from mailboxes.rules import GB
from pecportal import clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def watch():
    with time_machine.travel(clock.now(), tick=False) as moving:
        yield moving


def warned() -> list[str]:
    return [mail.subject for mail in Email.objects.order_by("id") if "dello spazio è occupato" in mail.subject]


def test_every_box_that_is_told_is_measured_and_again_after_six_hours(make_box, alice, platform, watch):
    box, other = make_box(alice, "una"), make_box(alice, "altra")
    platform.set_usage(box.address.name, 1000, 0)
    assert measuring.measure_due() == Measured(0, 0)  # nobody told us of any
    telling.tell_platform()
    assert [measuring.measure_due(), measuring.measure_due()] == [Measured(2, 0), Measured(0, 0)]
    rows = {row.box_id: (row.mailbox_bytes, row.measured_at) for row in SpaceUsed.objects.all()}
    assert rows == {box.pk: (1000, clock.now()), other.pk: (0, clock.now())}
    platform.set_usage(box.address.name, 2000, 0)
    watch.shift(timedelta(hours=5, minutes=59))
    assert measuring.measure_due() == Measured(0, 0)
    watch.shift(timedelta(minutes=1))
    assert measuring.measure_due() == Measured(2, 0)
    assert SpaceUsed.objects.get(box=box).mailbox_bytes == 2000


def test_telling_again_keeps_what_was_measured(box, platform):
    telling.tell_platform()
    platform.set_usage(box.address.name, 1000, 0)
    measuring.measure_due()
    Mailbox.objects.update(platform_due_at=clock.now())
    telling.tell_platform()
    assert SpaceUsed.objects.get(box=box).mailbox_bytes == 1000


@pytest.mark.parametrize(
    ("mailbox", "archive", "told"), [(0.69, 0.69, 0), (0.7, 0, 2), (0, 0.7, 2), (0.99, 0.99, 2), (1.5, 0, 2)]
)
def test_either_space_from_seventy_per_cent_on(make_box, alice, platform, mailbox, archive, told):
    box = make_box(alice, "pro", plan="pro")  # 2 GB + 3 GB
    telling.tell_platform()
    platform.set_usage(box.address.name, -int(-2 * GB * mailbox // 1), -int(-3 * GB * archive // 1))
    measuring.measure_due()
    assert len(warned()) == told


def test_told_once_and_once_more_after_there_was_room(box, platform, watch):
    telling.tell_platform()
    counts = []
    for share in (0.8, 0.9, 0.66, 0.71, 0.64, 0.6, 0.75):
        platform.set_usage(box.address.name, int(GB * share))
        watch.shift(timedelta(hours=6))
        measuring.measure_due()
        counts.append(len(warned()) // 2)  # to the account and to the holder
    assert counts == [1, 1, 1, 1, 1, 1, 2]
    assert warned()[0] == "alice@pec.example: 80% dello spazio è occupato"
    assert "0,80 GB dei 1 GB" in Email.objects.order_by("id")[0].message


def test_who_cannot_delete_anything_is_not_told_to(make_box, alice, platform):
    box = make_box(alice, "scaduta", expires_in=-3)
    telling.tell_platform()
    platform.set_usage(box.address.name, GB)
    assert measuring.measure_due() == Measured(1, 0)
    assert warned() == []


def test_a_mail_system_that_is_away_changes_nothing_and_is_asked_again(box, platform, monkeypatch, watch):
    telling.tell_platform()
    platform.set_usage(box.address.name, 1000)
    measuring.measure_due()

    def away(self, addresses):
        raise OSError

    watch.shift(timedelta(hours=6))
    with monkeypatch.context() as patch:
        patch.setattr(LocalPlatform, "usage", away)
        assert measuring.measure_due() == Measured(0, 1)
    assert SpaceUsed.objects.get(box=box).mailbox_bytes == 1000
    assert measuring.measure_due() == Measured(0, 0)
    watch.shift(timedelta(minutes=10))
    assert measuring.measure_due() == Measured(1, 0)


def test_a_worker_that_was_killed_leaves_its_boxes_to_the_next(make_box, alice, monkeypatch, watch):
    make_box(alice, "una")
    telling.tell_platform()

    def killed(self, addresses):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(LocalPlatform, "usage", killed)
        measuring.measure_due()
    assert measuring.measure_due() == Measured(0, 0)
    watch.shift(timedelta(minutes=10))
    assert measuring.measure_due() == Measured(1, 0)


def test_a_box_that_is_gone_is_forgotten(box):
    telling.tell_platform()
    Mailbox.objects.filter(pk=box.pk).update(login=None, phase="deleting")
    measuring.measure_due()
    assert not SpaceUsed.objects.exists()
