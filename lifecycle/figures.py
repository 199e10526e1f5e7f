"""Numbers as of the last run, counted once a run, so that no request ever counts millions of rows.

The only writer of Figure, but for the day that clockcheck keeps there.
"""

from datetime import date, timedelta

from django.db.models import Case, Count, Sum, Value, When

from lifecycle.expiries import due_expiries
from lifecycle.models import DeletionStop, Figure, Letter, LifecycleRun, ManifestLine, Notice
from mailboxes.models import Mailbox
from mailboxes.models.boxes import Phase
from mailboxes.rules import SOON_DAYS, State
from pecportal import clock

EXPIRING = "in_scadenza"  # Attiva, and expires within 90 days: what the card shows in red
BOXES = "boxes_"  # + the state shown
STATES = (State.ACTIVE, EXPIRING, *(state for state in State if state is not State.ACTIVE))
DUE, OVERDUE = "due", "overdue"
NOTICES_UNSENT, LETTERS_WAITING = "notices_unsent", "letters_waiting"
DELETIONS_HELD, DELETIONS_STOPPED = "deletions_held", "deletions_stopped"
NAMES = (
    *(BOXES + state for state in STATES),
    DUE, OVERDUE, NOTICES_UNSENT, LETTERS_WAITING, DELETIONS_HELD, DELETIONS_STOPPED,
)  # fmt: skip


def boxes_by_state(today: date) -> dict[str, int]:
    """How many boxes are in each state that the screens show on `today`: one reading of the table (R13, R16)."""
    shown = Case(
        When(phase=Phase.ACTIVATING, then=Value(State.ACTIVATING.value)),
        When(phase=Phase.DELETING, then=Value(State.DELETING.value)),
        When(phase=Phase.DELETED, then=Value(State.DELETED.value)),
        When(expires_on__gt=today + timedelta(days=SOON_DAYS), then=Value(State.ACTIVE.value)),
        When(expires_on__gte=today, then=Value(EXPIRING)),
        When(delete_from__gt=today, then=Value(State.EXPIRED.value)),
        default=Value(State.AWAITING_DELETION.value),
    )
    found = Mailbox.objects.values_list(shown.copy()).annotate(boxes=Count("pk")).order_by()
    return {**dict.fromkeys(map(str, STATES), 0), **dict(found)}


def count(today: date) -> dict[str, int]:
    """Every figure, by name, as of now on `today`."""
    stages = LifecycleRun.objects.filter(day=today)
    last_listed = ManifestLine.objects.order_by("-day").values_list("day", flat=True).first() or today
    return {
        **{BOXES + state: boxes for state, boxes in boxes_by_state(today).items()},
        DUE: stages.aggregate(due=Sum("expected"))["due"] or 0,
        OVERDUE: due_expiries(today).count(),
        NOTICES_UNSENT: Notice.objects.filter(state=Notice.State.DUE).count(),
        LETTERS_WAITING: Letter.objects.filter(state__in=["queued", "deferred"], delayed_at=None).count(),
        DELETIONS_HELD: ManifestLine.objects.filter(day=last_listed, verdict=ManifestLine.Verdict.HELD).count(),
        DELETIONS_STOPPED: DeletionStop.objects.filter(day=last_listed, released_at=None).aggregate(boxes=Sum("boxes"))[
            "boxes"
        ]
        or 0,
    }


def write(*, today: date) -> None:
    """Count and keep; a figure has the moment it was counted."""
    now = clock.now()
    Figure.objects.bulk_create(
        [Figure(name=name, value=value, at=now) for name, value in count(today).items()],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["value", "at"],
    )
