"""What the tests of automatic renewal share: a box that renews by itself, days that pass, the mails of a day."""

from contextlib import contextmanager
from datetime import date, datetime, time, timedelta

import time_machine
from post_office.models import Email

from mailboxes.models import Mailbox
from payments import auto_renewal, charging, sync
from payments.models import StoredMethod
from pecportal.clock import ROME


def card(login, *, remote_id: str = "card_1", **facts) -> StoredMethod:
    known = {"label": "Carta •••• 4242", "expires_month": 12, "expires_year": 2099, "is_default": True}
    return StoredMethod.objects.create(login=login, provider="sandbox", remote_id=remote_id, **{**known, **facts})


def at(day: date, hour: int = 12, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), tzinfo=ROME)


@contextmanager
def on(day: date, hour: int = 12, minute: int = 0):
    with time_machine.travel(at(day, hour, minute), tick=False):
        yield


def automatic(box: Mailbox, user, method: StoredMethod, *, days_before: int, years: int = 1) -> Mailbox:
    """Switched on by hand so many days before the expiry."""
    with on(box.expires_on - timedelta(days=days_before)):
        auto_renewal.turn_on(box_id=box.pk, user=user, method_id=method.pk, years=years)
    return fresh(box)


def beat(day: date, **moment) -> None:
    """What beat does on a day, as far as automatic renewal goes."""
    with on(day, **moment):
        charging.run()
        sync.sync_due()
        sync.fulfil_due()


def fresh(box: Mailbox) -> Mailbox:
    return Mailbox.objects.select_related("address", "plan").get(pk=box.pk)


def subjects(*, to: str = "alice@posta.example") -> list[str]:
    """Subjects of the mails to one address, in order, without the name of the box."""
    found = Email.objects.filter(to=[to]).order_by("id").values_list("subject", flat=True)
    return [subject.replace("alice@pec.example", "*") for subject in found]


def forget_mails() -> None:
    Email.objects.all().delete()
