"""The day's sweep reads the boxes it has to record, not every Scaduta box there is (R28)."""

from datetime import date, timedelta

import pytest
from django.db import connection, transaction

from lifecycle import flows, stages
from mailboxes.models import Address, Mailbox

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="a plan of PostgreSQL"),
]

BOXES = 10_000


def fill(like: Mailbox, today: date) -> None:
    """Boxes as in a real table, by expiry: the first tenth Scaduta and recorded by earlier sweeps, the rest to come."""
    names = [f"riempi{n}@pec.example" for n in range(BOXES)]
    boxes = []
    for n, address in enumerate(Address.objects.bulk_create(Address(name=n, host="pec.example") for n in names)):
        recorded = n < BOXES // 10
        expires_on = today + timedelta(days=n * 80 // (BOXES // 10) - 80 if recorded else 100 + n * 400 // BOXES)
        boxes.append(
            Mailbox(
                address=address, owner=like.owner, holder=like.holder, plan=like.plan, mailbox_gb=1, phase="live",
                expires_on=expires_on, delete_from=expires_on + timedelta(days=91),
                anchor_month=expires_on.month, anchor_day=expires_on.day,
                expiry_recorded_for=expires_on if recorded else None,
            )
        )  # fmt: skip
    Mailbox.objects.bulk_create(boxes)


@pytest.mark.django_db(transaction=True)  # VACUUM does not run in a transaction
def test_the_sweep_uses_the_index_of_what_is_not_recorded(make_box, alice, today):
    for n in range(5):
        box = make_box(alice, f"scaduta{n}", expires_in=-n - 1)
    flows.run_for(today)
    with transaction.atomic(), connection.cursor() as cursor:
        # The test server commits asynchronously, and VACUUM marks no page whose commit has not reached the disk.
        cursor.execute("SET LOCAL synchronous_commit = on")
        fill(box, today)
    assert stages.due_expiries(today).count() == 0
    with connection.cursor() as cursor:
        # With five rows and no statistics any index costs the same. Now the planner knows the table, and is not forced.
        cursor.execute("VACUUM (ANALYZE) mailboxes_mailbox")
    plan = stages.due_expiries(today).order_by("expires_on", "pk").values_list("expires_on", "pk").explain()
    assert "mailbox_expiry_to_record" in plan, plan
    assert "Sort" not in plan, plan


@pytest.mark.parametrize(("recorded_in", "due"), [(None, True), (-3, False), (-368, True), (5, True)])
def test_due_is_what_was_recorded_for_another_date_or_none(make_box, alice, today, recorded_in, due):
    make_box(alice, "scaduta", expires_in=-3)
    recorded = None if recorded_in is None else today + timedelta(days=recorded_in)
    Mailbox.objects.update(expiry_recorded_for=recorded)
    assert stages.due_expiries(today).exists() is due
