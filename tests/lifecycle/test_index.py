"""The day's sweep reads the boxes it has to record, not every Scaduta box there is (R28)."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from lifecycle import stages
from mailboxes.models import Address, Mailbox

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="a plan of PostgreSQL"),
]


def test_the_sweep_uses_the_index_of_what_is_not_recorded(make_box, alice, today):
    """Among boxes that were all recorded, as on most days; the planner's own choice, on statistics of its own."""
    box = make_box(alice, "scaduta", expires_in=-1)
    names = [f"scaduta{n}@pec.example" for n in range(5000)]
    addresses = Address.objects.bulk_create([Address(name=name, host="pec.example") for name in names])
    copied = {f.attname: getattr(box, f.attname) for f in Mailbox._meta.concrete_fields}
    for name in ("id", "public_id", "address_id", "login_id", "expires_on"):
        copied.pop(name)
    Mailbox.objects.bulk_create(
        Mailbox(**copied, address=address, expires_on=today - timedelta(days=1 + n % 90))
        for n, address in enumerate(addresses)
    )
    Mailbox.objects.update(expiry_recorded_for=F("expires_on"))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE mailboxes_mailbox")
    assert stages.due_expiries(today).count() == 0
    due = stages.due_expiries(today).order_by("expires_on", "pk").values_list("expires_on", "pk")[:1000]
    assert "mailbox_expiry_to_record" in due.explain()


@pytest.mark.parametrize(("recorded_in", "due"), [(None, True), (-3, False), (-368, True), (5, True)])
def test_due_is_what_was_recorded_for_another_date_or_none(make_box, alice, today, recorded_in, due):
    make_box(alice, "scaduta", expires_in=-3)
    recorded = None if recorded_in is None else today + timedelta(days=recorded_in)
    Mailbox.objects.update(expiry_recorded_for=recorded)
    assert stages.due_expiries(today).exists() is due
