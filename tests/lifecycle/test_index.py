"""The day's sweep reads the boxes it has to record, not every Scaduta box there is (R28)."""

import pytest
from django.db import connection

from lifecycle import flows, stages
from mailboxes.models import Mailbox

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="a plan of PostgreSQL"),
]


def test_the_sweep_uses_the_index_of_what_is_not_recorded(make_box, alice, today):
    for n in range(5):
        make_box(alice, f"scaduta{n}", expires_in=-n - 1)
    flows.run_for(today)
    assert stages.due_expiries(today).count() == 0
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
    plan = stages.due_expiries(today).order_by("expires_on", "pk").values_list("expires_on", "pk").explain()
    assert "mailbox_expiry_to_record" in plan
    assert "Sort" not in plan


@pytest.mark.parametrize(("recorded_in", "due"), [(None, True), (-3, False), (-368, True), (5, True)])
def test_due_is_what_was_recorded_for_another_date_or_none(make_box, alice, today, recorded_in, due):
    from datetime import timedelta

    make_box(alice, "scaduta", expires_in=-3)
    recorded = None if recorded_in is None else today + timedelta(days=recorded_in)
    Mailbox.objects.update(expiry_recorded_for=recorded)
    assert stages.due_expiries(today).exists() is due
