"""A letter that the relay took and that came back, or is late (R29)."""

from enum import StrEnum

from django.db import transaction

from lifecycle.models import Letter
from pecportal import clock

from .reports import Report

State = Letter.State


class Bounce(StrEnum):
    """What a report changed."""

    BOUNCED = "bounced"
    DEFERRED = "deferred"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


def record_bounce(report: Report) -> Bounce:
    """Write down what a report says of a letter. The same report twice, or a late "delayed", changes nothing more.

    "Failed" is final whatever its code: a server that gave up after days says 4.4.1. "Delayed" undoes "accepted": the
    relay has the letter still.
    """
    with transaction.atomic(durable=True):
        letter = (
            Letter.objects.select_for_update(no_key=True, of=("self",)).filter(message_id=report.message_id).first()
        )
        if letter is None:
            return Bounce.UNKNOWN
        if report.action == "failed" and letter.state not in (State.BOUNCED, State.REFUSED, State.REPLACED):
            letter.state, letter.settled_at, letter.delayed_at = State.BOUNCED, clock.now(), None
            done = Bounce.BOUNCED
        elif report.action == "delayed" and letter.delayed_at is None and letter.state in (
            State.QUEUED, State.DEFERRED, State.ACCEPTED,
        ):  # fmt: skip
            letter.state, letter.settled_at, letter.delayed_at = State.DEFERRED, None, clock.now()
            done = Bounce.DEFERRED
        else:
            return Bounce.NOTHING
        letter.detail = report.detail[:200]
        letter.save(update_fields=["state", "settled_at", "delayed_at", "detail"])
    return done
