"""An installation with a bit of everything, for staff to look at."""

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.db import transaction

from lifecycle import alarms, holds
from lifecycle import flows as lifecycle
from lifecycle.models import Alarm, DeletionStop, HandRelease
from mailboxes.flows import open_domain
from mailboxes.models import Holder, Mailbox, Plan, Price, VatRate
from payments import flows as money
from payments import refunds
from payments.invoicing import answers
from payments.models import (
    AutoRenewal,
    Case,
    Difference,
    Payment,
    ProviderEvent,
    Receipt,
    Reconciliation,
    Refund,
    ScheduledCharge,
    Statement,
    StoredMethod,
)
from payments.providers import sandbox
from pecportal import clock
from renewals.models import Order
from tests.helpers import pay_card, pay_transfer, place, start_card
from tests.payments.invoicing.invoice_rows import issued


@pytest.fixture
def staff(client, dario):
    client.force_login(dario)
    return client


@pytest.fixture
def world(make_box, alice, carla, dario, plans, today) -> SimpleNamespace:
    """Boxes in every state, orders of every fate, money that fits and money that does not."""
    names = {"nuova": 300, "presto": 20, "ferma": -12, "persa": -95, "sconto": 40}
    boxes = {name: make_box(alice, name, expires_in=days) for name, days in names.items()}
    domain = open_domain(
        name="rossi.example", mail_host="pec.rossi.example", owner=alice, expires_on=today + timedelta(9)
    )
    boxes["info"] = make_box(alice, "info", plan="domain", domain=domain, host="pec.rossi.example", holder="bruno")
    boxes["carla"] = make_box(carla, "carla")
    Mailbox.objects.filter(pk=boxes["nuova"].pk).update(
        next_plan=plans.standard, next_mailbox_gb=1, next_archive_gb=0, change_on=today, change_refused_on=today
    )
    waiting, paid, cancelled = place(boxes["presto"], alice), place(boxes["ferma"], alice), place(boxes["nuova"], alice)
    short, card = place(boxes["carla"], carla), place(boxes["sconto"], alice)
    money.declare_transfer(order_id=waiting.pk, actor=alice)
    money.cancel_order(order_id=cancelled.pk, actor=alice)
    failed = start_card(paid, alice)
    sandbox.write(failed.remote_id, status=sandbox.REFUSED)
    money.fetch_and_record(failed.pk)
    pay_transfer(paid, dario, amount=Decimal("20.00"), reference="TROPPO")
    pay_transfer(short, dario, amount=Decimal("5.00"), reference="POCO")
    pay_transfer(cancelled, dario, reference="TARDI")
    payment = pay_card(card, alice)
    ProviderEvent.objects.create(provider="sandbox", event_id="evt-1", remote_id=payment.remote_id)
    ScheduledCharge.objects.create(
        box=boxes["presto"], expiry=boxes["presto"].expires_on, amount=Decimal("12.08"), years=1, due_on=today
    )
    statement = Statement.objects.create(
        sha256="0" * 64, name="estratto.xml", format="camt053", bank_account="IT60", uploaded_by=dario
    )
    for n, words in enumerate((waiting.number, "rinnovo"), 1):
        statement.rows.create(
            line=n, bank_reference=f"E{n}", amount=Decimal("12.08"), value_date=today, remittance=words
        )
    with transaction.atomic():
        refunds.ask(
            payment=Payment.objects.locked().get(pk=payment.pk), amount=Decimal("1.00"), actor=dario, why="prova",
            order=card,
        )  # fmt: skip
    issued(Order.objects.get(pk=card.pk), number=1, state="rejected")
    answers.take(name="IT01234560157_00009_RC_001.xml", content=b"<no/>")
    night = Reconciliation.objects.create(day=today, started_at=clock.now(), finished_at=clock.now())
    Difference.objects.create(about="dates", object_id=boxes["presto"].pk, detail="casella", found_on=night)
    lifecycle.run_for(today)
    holds.place_hold(box_id=boxes["persa"].pk, actor=dario, why="in causa")
    HandRelease.objects.create(
        box=boxes["carla"], expiry=today, why="al telefono", released_by=dario, released_at=clock.now()
    )
    DeletionStop.objects.create(day=today, boxes=101, of_boxes=200, stopped_at=clock.now())
    alarms.raise_one(alarms.LATE, f"{today}: expiries")
    first = {m.__name__: m.objects.order_by("pk").first() for m in (
        Alarm, AutoRenewal, Case, Difference, Holder, Payment, Plan, Price, ProviderEvent, Receipt, Refund,
        ScheduledCharge, StoredMethod, VatRate,
    )}  # fmt: skip
    assert None not in first.values()
    orders = {o.pk: o for o in Order.objects.all()}
    return SimpleNamespace(
        boxes={n: Mailbox.objects.get(pk=b.pk) for n, b in boxes.items()}, domain=domain, waiting=orders[waiting.pk],
        paid=orders[paid.pk], cancelled=orders[cancelled.pk], short=orders[short.pk], card=orders[card.pk], **first,
    )  # fmt: skip
