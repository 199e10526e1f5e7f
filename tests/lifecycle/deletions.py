"""Short words for the tests of deletion: warnings that were accepted, a manifest, what became of a box."""

from datetime import date, datetime, time, timedelta

from lifecycle import flows
from lifecycle.models import Letter, LifecycleRun, ManifestLine, Notice
from lifecycle.stages import Work
from mailboxes.models import Mailbox
from pecportal import clock

OUTSIDE = "alice.contatto@posta.example"


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), clock.ROME)


def warn(box: Mailbox, kind: int, *, on: date, state: str = "accepted", to: str = OUTSIDE) -> Letter:
    """A warning of `box`, told `kind` days after its expiry by a letter that came to `state` on a day."""
    settled = None if state in ("queued", "deferred") else noon(on)
    letter = Letter.objects.create(to=to, state=state, queued_at=noon(on), settled_at=settled)
    notice, _made = Notice.objects.get_or_create(
        box=box, expiry=box.expires_on, kind=kind,
        defaults={"owner_id": box.owner_id, "created_at": noon(on), "state": "told", "told_at": noon(on)},
    )  # fmt: skip
    notice.letters.add(letter)
    return letter


def warn_twice(*boxes: Mailbox) -> None:
    """Warned 60 and 83 days after the expiry, both accepted on the day."""
    for box in boxes:
        for kind in (60, 83):
            warn(box, kind, on=box.expires_on + timedelta(days=kind))


def work(today: date) -> Work:
    run, _made = LifecycleRun.objects.get_or_create(stage="deletions", day=today)
    return Work(run, today=today)


def phases() -> dict[str, str]:
    return dict(Mailbox.objects.order_by("pk").values_list("address__name", "phase"))


def lines(day: date | None = None) -> list[tuple[str, str, str]]:
    found = ManifestLine.objects.filter(day=day or clock.today()).order_by("box")
    return [(name.partition("@")[0], verdict, why) for name, verdict, why in
            found.values_list("box__address__name", "verdict", "why")]  # fmt: skip


def run() -> None:
    flows.run_for(clock.today())
