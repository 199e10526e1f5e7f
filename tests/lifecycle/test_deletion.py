"""Deletion: never without accepted warnings; begun, purged, finished; faults of the platform, kills (R29, R30)."""

from datetime import timedelta

import pytest
from post_office.models import Email

from accounts.models import User
from lifecycle import deletion, flows, manifest
from lifecycle.models import Letter, LifecycleRun, ManifestLine, Notice
from mailboxes import ending, telling
from mailboxes.flows import open_domain, tombstone_hash
from mailboxes.models import Address, BoxEvent, Domain, Mailbox
from mailboxes.platform.base import UnknownBoxError
from mailboxes.platform.local import LocalPlatform
from pecportal import clock
from renewals import purchase
from renewals.again import Again
from tests.conftest import PASSWORD
from tests.domains import domain_of, on_domain, set_dates
from tests.lifecycle.deletions import lines, phases, run, warn, warn_twice, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def doomed(make_box, alice) -> Mailbox:
    """Alice's box, 100 days past its expiry, warned twice."""
    box = make_box(alice, "persa", expires_in=-100)
    warn_twice(box)
    return box


def events(box) -> list[str]:
    return list(box.events.exclude(kind__in=("opened", "expired")).values_list("kind", flat=True))


# --- The test of tests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["queued", "deferred", "refused", "bounced", None])
def test_nothing_is_deleted_when_no_relay_accepted_the_warnings(make_box, alice, platform, today, state):
    box = make_box(alice, "persa", expires_in=-100)
    platform.set_usage("persa@pec.example", 4711)
    for kind in (1, 30, 60, 83, 89) if state else ():
        warn(box, kind, on=box.expires_on + timedelta(days=kind), state=state)
    warn(box, -7, on=box.expires_on - timedelta(days=7))  # before the expiry: counts for nothing
    warn(box, -1, on=box.expires_on - timedelta(days=1))
    for _again in range(3):
        run()
    assert phases() == {"persa@pec.example": "live"}
    assert lines()[0][1] == "held"
    assert platform.usage(["persa@pec.example"])["persa@pec.example"].mailbox_bytes == 4711
    assert BoxEvent.objects.filter(kind__in=("deleting", "deleted")).count() == 0


def test_warnings_of_an_address_that_is_hosted_here_count_for_nothing(make_box, alice, today):
    box = make_box(alice, "persa", expires_in=-100)
    make_box(alice, "altra", host="pec.altri.example")
    for kind, to in ((60, "altra@pec.altri.example"), (83, "x@pec.example"), (89, "altra@PEC.altri.example")):
        warn(box, kind, on=box.expires_on + timedelta(days=kind), to=to)
    run()
    assert (phases()["persa@pec.example"], lines()) == ("live", [("persa", "held", "not_warned")])


def test_warnings_of_another_expiry_count_for_nothing(make_box, alice):
    box = make_box(alice, "persa", expires_in=-100)
    warn_twice(box)
    Notice.objects.update(expiry=box.expires_on - timedelta(days=365))
    run()
    assert lines() == [("persa", "held", "not_warned")]


def test_warnings_from_before_a_renewal_that_was_taken_back_count_for_nothing(doomed, today):
    """They spoke of another deletion: since then the customer had renewed, and withdrew."""
    first = doomed.periods.get()
    doomed.periods.create(
        starts=doomed.expires_on + timedelta(days=1), ends=doomed.expires_on + timedelta(days=365), plan=doomed.plan,
        mailbox_gb=1, archive_gb=0, reversed_on=doomed.expires_on + timedelta(days=83),
    )  # fmt: skip
    Mailbox.objects.filter(pk=doomed.pk).update(expires_on=first.ends)
    deletion.delete_boxes(work(today))
    assert [line[1:] for line in lines()] == [("held", "paid")]  # it was paid for the days until it was taken back
    doomed.periods.filter(reversed_on__isnull=False).update(reversed_on=first.ends)
    deletion.delete_boxes(work(today))
    assert [line[1:] for line in lines()] == [("delete", "warned")]
    assert Mailbox.objects.get().phase == "deleted"


@pytest.mark.parametrize(("bounced", "phase"), [("first", "live"), ("none", "deleted")])
def test_a_letter_that_came_back_is_no_warning(doomed, bounced, phase):
    if bounced == "first":
        Letter.objects.filter(pk=Letter.objects.first().pk).update(state="bounced")
    run()
    assert set(phases().values()) == {phase}


# --- Deleted ----------------------------------------------------------------------------------------------------------


def test_a_box_that_nothing_holds_is_deleted_with_all_it_had(doomed, alice, platform, today):
    login, holder = doomed.login, doomed.holder
    telling.tell_platform()
    platform.set_usage("persa@pec.example", 4711)
    run()
    box = Mailbox.objects.get()
    assert (box.phase, box.login, box.platform_due_at) == ("deleted", None, None)
    assert platform.state_of("persa@pec.example") is None
    assert events(box) == ["deleting", "deleted"]
    assert Address.objects.get().tombstone == tombstone_hash(holder.fiscal_key)
    login.refresh_from_db()
    assert not login.has_usable_password()
    told = Email.objects.filter(subject__contains="è stata cancellata")
    assert sorted(str(mail.to[0]) for mail in told) == ["alice.contatto@posta.example", "alice@posta.example"]
    assert "non si possono recuperare" in told[0].message and "acquistare di nuovo" in told[0].message
    line = ManifestLine.objects.get()
    assert (line.verdict, line.why, line.begun_at is not None) == ("delete", "warned", True)
    found = LifecycleRun.objects.get(stage="deletions")
    assert (found.expected, found.done, found.failed, found.left) == (1, 1, 0, 0)
    run()
    telling.tell_platform()
    assert (events(box), told.count()) == (["deleting", "deleted"], 2)
    assert platform.state_of("persa@pec.example") is None, "the mail system was not made to know it again"


def test_the_day_counts_and_not_the_setting(make_box, alice, settings, today):
    """R13: a change from 90 to 30 days moves no box nearer to its deletion, also those that are Scaduta already."""
    kept, gone = make_box(alice, "novanta", expires_in=-90), make_box(alice, "novantuno", expires_in=-91)
    warn_twice(kept, gone)
    settings.GRACE_DAYS = 30
    run()
    assert phases() == {"novanta@pec.example": "live", "novantuno@pec.example": "deleted"}
    assert lines() == [("novantuno", "delete", "warned")]


def test_the_login_of_the_box_is_out_at_once(doomed, client):
    login = User.objects.get(pk=doomed.login_id)
    client.force_login(login, backend="mailboxes.backends.MailboxBackend")
    page = f"/area-clienti/pec/{doomed.public_id}/"
    assert client.get(page).status_code == 200
    run()
    assert client.get(page).status_code == 302
    assert not client.login(username="persa@pec.example", password=PASSWORD)


def test_a_deleted_address_opens_again_only_for_its_holder_and_empty(doomed, alice, make_box):
    from pecportal.errors import RefusedError

    run()
    with pytest.raises(RefusedError, match="altro titolare"):
        make_box(alice, "persa", holder="bruno")
    again = make_box(alice, "persa", holder="alice")
    assert (again.pk == doomed.pk, again.login_id == doomed.login_id) == (False, True)


# --- The mail system's faults -----------------------------------------------------------------------------------------


class Faulty(LocalPlatform):
    """Answers to purge what the test says, one after the other, then as the local one does."""

    answers: list[object] = []
    asked: list[str] = []

    def purge(self, address: str) -> bool:
        self.asked.append(address)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return super().purge(address) if answer is None else answer  # type: ignore[return-value]


@pytest.fixture
def faulty(monkeypatch) -> type[Faulty]:
    monkeypatch.setattr(Faulty, "answers", [])
    monkeypatch.setattr(Faulty, "asked", [])
    platform = Faulty()
    for module in (deletion, telling):
        monkeypatch.setattr(module, "get_platform", lambda: platform)
    return Faulty


@pytest.mark.parametrize("answer", [ConnectionRefusedError(), TimeoutError(), False, None.__class__], ids=str)
def test_a_purge_that_is_not_confirmed_is_asked_for_again(doomed, faulty, platform, answer):
    platform.set_usage("persa@pec.example", 1)
    faulty.answers[:] = [answer, answer]
    run()
    assert (phases(), events(doomed)) == ({"persa@pec.example": "deleting"}, ["deleting"])
    assert Address.objects.get().tombstone == ""
    assert Email.objects.filter(subject__contains="cancellata").count() == 0
    deletion.finish_pending()
    assert phases() == {"persa@pec.example": "deleting"}
    assert deletion.finish_pending() == 0
    assert (phases(), events(doomed)) == ({"persa@pec.example": "deleted"}, ["deleting", "deleted"])


def test_a_box_that_the_mail_system_does_not_know_is_gone(doomed, faulty):
    faulty.answers[:] = [UnknownBoxError()]
    run()
    assert phases() == {"persa@pec.example": "deleted"}


def test_confirmed_twice_is_deleted_once(doomed, faulty, monkeypatch):
    """A slow answer: meanwhile somebody else asked again and finished."""
    real = Faulty.purge

    def purge(self, address):
        confirmed = real(self, address)
        deletion.finish(doomed.pk)
        return confirmed

    monkeypatch.setattr(Faulty, "purge", purge)
    run()
    assert events(doomed) == ["deleting", "deleted"]
    assert Email.objects.filter(subject__contains="è stata cancellata").count() == 2


def test_a_mail_system_that_is_away_stops_the_run_before_all_are_under_way(make_box, alice, faulty, today, caplog):
    boxes = [make_box(alice, f"persa{n}", expires_in=-100) for n in range(8)]
    warn_twice(*boxes)
    faulty.answers[:] = [ConnectionRefusedError()] * 20
    run()
    assert sorted(phases().values()) == ["deleting"] * 5 + ["live"] * 3
    assert "the mail system does not confirm" in caplog.text
    faulty.answers.clear()
    run()
    assert set(phases().values()) == {"deleted"}
    found = LifecycleRun.objects.get(stage="deletions")
    assert (found.expected, found.done, found.left) == (8, 8, 0)


def test_nobody_purges_a_box_that_is_being_told_of(doomed, faulty, today):
    """Whoever tells the mail system of a live box now would make it known again after the purge."""
    Mailbox.objects.update(expiry_recorded_for=doomed.expires_on)
    boxes, claim = telling._claim_due(10)
    assert [box.pk for box in boxes] == [doomed.pk]
    run()
    assert (phases(), faulty.asked) == ({"persa@pec.example": "deleting"}, [])
    telling._tell(boxes[0], claim)
    assert deletion.finish_pending() == 0
    assert LocalPlatform().state_of("persa@pec.example") is None


def test_who_tells_of_a_box_that_was_purged_meanwhile_leaves_nothing_behind(doomed, today):
    """The sweep of expiries wrote over the mark that said that somebody is telling."""
    boxes, claim = telling._claim_due(10)
    run()
    assert phases() == {"persa@pec.example": "deleted"}
    telling._tell(boxes[0], claim)
    telling.tell_platform()
    assert LocalPlatform().state_of("persa@pec.example") is None
    assert Mailbox.objects.get().platform_due_at is None


def test_nobody_purges_twice_at_once_and_no_new_life_is_purged(doomed, faulty, make_box, alice, platform):
    faulty.answers[:] = [False]
    run()
    assert telling.claim_for_purge(doomed.pk), "free again after a purge that failed"
    assert not telling.claim_for_purge(doomed.pk)
    assert (deletion.purge(doomed.pk), faulty.asked) == (False, ["persa@pec.example"])
    telling.give_up_claim(doomed.pk)
    assert deletion.purge(doomed.pk)
    again = make_box(alice, "persa")
    telling.tell_platform()
    platform.set_usage("persa@pec.example", 99)
    deletion.purge(doomed.pk)
    run()
    Mailbox.objects.filter(pk=doomed.pk).update(platform_due_at=clock.now())
    telling.tell_platform()
    assert platform.usage(["persa@pec.example"])["persa@pec.example"].mailbox_bytes == 99
    assert platform.state_of("persa@pec.example")["state"] == "attiva"
    assert again.pk != doomed.pk


# --- Killed anywhere --------------------------------------------------------------------------------------------------


class KilledError(BaseException):
    """As a SIGKILL: no handler of ours runs for it."""


KILLS = [
    "mailboxes.ending.begin", "payments.box_gone.hold", "payments.box_gone.end", "payments.box_gone.close_attempts",
    "lifecycle.deletion.purge", "lifecycle.deletion._purge", "lifecycle.deletion.finish", "mailboxes.ending.finish",
    "lifecycle.manifest._write", "lifecycle.manifest.is_stopped", "lifecycle.deletion._is_held",
]  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("point", KILLS)
def test_killed_anywhere_the_next_run_ends_the_same(doomed, platform, today, monkeypatch, point, after):
    module, _dot, name = point.rpartition(".")
    target = __import__(module, fromlist=[name])
    real = getattr(target, name)

    def killed(*args, **kwargs):
        if after:
            real(*args, **kwargs)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(target, name, killed)
        with pytest.raises(KilledError):
            flows.run_for(today)
    assert phases()["persa@pec.example"] in ("live", "deleting", "deleted")
    LifecycleRun.objects.update(claimed_at=None)  # half an hour later
    Mailbox.objects.update(platform_due_at=None)  # and the claim of the purge with it
    flows.run_for(today)
    assert phases() == {"persa@pec.example": "deleted"}
    assert events(doomed) == ["deleting", "deleted"]
    assert platform.state_of("persa@pec.example") is None
    assert Email.objects.filter(subject__contains="è stata cancellata").count() == 2
    found = LifecycleRun.objects.get(stage="deletions")
    assert (found.expected, found.done, found.left) == (1, 1, 0)


# --- Domains ----------------------------------------------------------------------------------------------------------


def test_a_domain_goes_when_its_boxes_are_gone_and_its_own_day_has_come(make_box, alice, today):
    facts = {"owner": alice, "expires_on": today - timedelta(days=40)}
    soon = open_domain(name="soon.example", mail_host="pec.soon.example", deletion_days=30, **facts)
    late = open_domain(name="late.example", mail_host="pec.late.example", **facts)
    open_domain(name="empty.example", mail_host="pec.empty.example", deletion_days=30, **facts)
    for domain in (soon, late):
        for name in ("info", "altra"):
            box = make_box(alice, name, plan="domain", domain=domain, host=domain.mail_host)
            for kind in (1, 15):
                warn(box, kind, on=box.expires_on + timedelta(days=kind))
    kept = Mailbox.objects.get(address__name="altra@pec.soon.example")
    Letter.objects.filter(notices__box=kept).update(state="bounced")
    run()
    found = {"info@pec.soon.example": "deleted", "altra@pec.soon.example": "live"}
    assert phases() == {**found, "info@pec.late.example": "live", "altra@pec.late.example": "live"}
    assert [(d.name, d.phase) for d in type(soon).objects.order_by("pk")] == [
        ("soon.example", "live"), ("late.example", "live"), ("empty.example", "live"),
    ]  # fmt: skip
    Letter.objects.filter(notices__box=kept).update(state="accepted")
    run()
    soon.refresh_from_db()
    assert (soon.phase, phases()["altra@pec.soon.example"]) == ("deleted", "deleted")


def test_a_box_on_a_domain_is_not_promised_that_it_can_be_bought_again(make_box, alice, today):
    domain = domain_of(alice)
    (box,) = on_domain(make_box, domain, "info")
    set_dates(domain, today - timedelta(days=100))
    box.refresh_from_db()
    warn_twice(box)
    run()
    gone = Mailbox.objects.select_related("address", "holder", "owner", "plan", "domain").get(pk=box.pk)
    assert (gone.phase, purchase.standing_of([gone])[gone.pk].reason) == ("deleted", Again.ON_DOMAIN)
    told = Email.objects.filter(subject__contains="è stata cancellata").first()
    for text in (told.message, told.html_message):
        assert "per riaverla scrivi all" in text
        assert "acquistare di nuovo" not in text


def test_a_domain_that_does_not_go_is_a_failure_that_alarms(make_box, alice, today, monkeypatch):
    facts = {"owner": alice, "expires_on": today - timedelta(days=100)}
    for name in ("guasto", "sano"):
        domain = open_domain(name=f"{name}.example", mail_host=f"pec.{name}.example", **facts)
        warn_twice(make_box(alice, "info", plan="domain", domain=domain, host=domain.mail_host))
    real = ending.finish_domain

    def broken(domain):
        if domain.name == "guasto.example":
            raise ValueError
        real(domain)

    monkeypatch.setattr(ending, "finish_domain", broken)
    run()
    assert dict(Domain.objects.values_list("name", "phase")) == {"guasto.example": "live", "sano.example": "deleted"}
    assert LifecycleRun.objects.get(stage="deletions").failed == 1


def test_a_box_whose_domain_has_a_later_day_is_not_due(make_box, alice, today):
    """A copy that disagrees with its domain: the later date counts."""
    domain = open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today - timedelta(days=80)
    )
    box = make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example")
    for kind in (1, 30):
        warn(box, kind, on=box.expires_on + timedelta(days=kind))
    Mailbox.objects.filter(pk=box.pk).update(delete_from=today)
    run()
    assert (phases()["info@pec.rossi.example"], lines()) == ("live", [])


# --- Only from the manifest, only today -------------------------------------------------------------------------------


def test_without_a_line_of_today_nothing_begins(doomed, today):
    assert not deletion.begin(box_id=doomed.pk, today=today)
    manifest.make_manifest(today)
    ManifestLine.objects.update(day=today - timedelta(days=1))
    assert not deletion.begin(box_id=doomed.pk, today=today)
    ManifestLine.objects.update(day=today, verdict="held", why="staff")
    assert not deletion.begin(box_id=doomed.pk, today=today)
    assert phases() == {"persa@pec.example": "live"}


def test_a_day_that_has_passed_deletes_nothing(doomed, today):
    flows.run_for(today - timedelta(days=2))
    assert (phases(), ManifestLine.objects.count()) == ({"persa@pec.example": "live"}, 0)
    found = LifecycleRun.objects.get(stage="deletions")
    assert (found.expected, found.done) == (0, 0)


def test_what_comes_between_manifest_and_lock_is_written_on_the_line(doomed, today):
    manifest.make_manifest(today)
    assert lines() == [("persa", "delete", "warned")]
    Letter.objects.update(state="bounced")
    assert not deletion.begin(box_id=doomed.pk, today=today)
    assert lines() == [("persa", "held", "not_warned")]  # the account's e-mail may still work
    ManifestLine.objects.update(verdict="delete", why="warned")
    Mailbox.objects.update(expires_on=today, delete_from=today + timedelta(days=91))
    assert not deletion.begin(box_id=doomed.pk, today=today)
    assert lines() == [("persa", "held", "not_due")]
