"""A CAMT.053 of 10,000 credits, each paying an order of an account of its own: parsed, matched, applied (issue B)."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from tests.bench.figures import Figure, at_most

ROWS = int(os.environ.get("CAMT_ROWS", "10000"))
SECONDS, MEGABYTES = 20, 300


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "estratto.xml"
        make(path)
        size = path.stat().st_size / 1e6
        # A process of its own: the memory of making the data is not counted.
        command = [sys.executable, str(Path(__file__).with_name("run")), "--measure", "camt", str(path)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    seconds = json.loads(told)
    peak = seconds.pop("megabytes")
    steps = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    print(f"  {ROWS} credits, {size:.1f} MB: {steps}")
    name = f"CAMT.053 of {ROWS:,} credits: "
    return [
        at_most(name + "parsed, matched, applied", sum(seconds.values()), SECONDS, "s"),
        at_most(name + "memory", peak, MEGABYTES, "MB"),
    ]


def make(path: Path) -> None:
    """Accounts, boxes and orders by the thousand, and the statement that pays them."""
    from stdnum import luhn

    from accounts.models import BillingProfile, User
    from mailboxes.models import Address, Holder, Mailbox, Plan
    from payments.bank import creditor_reference
    from pecportal import clock
    from renewals.models import NUMBER_ALPHABET, BillingSnapshot, Order, OrderLine
    from tests.statement_files import camt, entry

    today, now = clock.today(), clock.now()
    plan = Plan.objects.get(code="standard")
    numbers = range(ROWS)
    letters = len(NUMBER_ALPHABET)
    many = {"batch_size": 1000}
    users = User.objects.bulk_create(
        (User(username=f"{5000000 + n}@bench.example", password="!") for n in numbers), **many
    )
    identity = {"company_name": "Studio Verdi srl", "subject": "company", "partita_iva": "07643520567", "codice_fiscale": "07643520567", "address": "via Roma 1", "postal_code": "00184", "city": "Roma", "province": "RM", "phone": "0612345678", "sdi_code": "ABCDEF1"}  # fmt: skip  # noqa: E501
    for n, user in enumerate(users):
        body = f"{n + 1:07}058"
        user.key = body + luhn.calc_check_digit(body)  # so that the billing data are as good as a customer's
    profiles = [
        BillingProfile(user=u, fiscal_key=u.key, **{**identity, "codice_fiscale": u.key, "partita_iva": u.key})
        for u in users
    ]
    BillingProfile.objects.bulk_create(profiles, **many)
    holders = Holder.objects.bulk_create(
        (Holder(owner=u, fiscal_key=u.key, first_name="Anna", last_name="Verdi") for u in users), **many
    )
    addresses = Address.objects.bulk_create((Address(name=f"n{n}@bench.example") for n in numbers), **many)
    expires = today + timedelta(40)
    boxes = Mailbox.objects.bulk_create((
        Mailbox(address=addresses[n], owner=users[n], holder=holders[n], plan=plan, mailbox_gb=1, archive_gb=0,
                phase="live", expires_on=expires, delete_from=expires + timedelta(91), anchor_month=expires.month,
                anchor_day=expires.day)
        for n in numbers
    ), **many)  # fmt: skip

    def number(n: int) -> str:
        text = ""
        for _place in range(6):
            n, letter = divmod(n, letters)
            text = NUMBER_ALPHABET[letter] + text
        return f"R-{text}"

    money = {"vat_rate": Decimal("0.22"), "taxable": Decimal("9.90"), "vat": Decimal("2.18"), "total": Decimal("12.08"), "amount_due": Decimal("12.08")}  # fmt: skip  # noqa: E501
    orders = Order.objects.bulk_create((
        Order(number=number(n), kind="renewal", owner=users[n], years=1, email="o@posta.example", method="transfer",
              terms_version="2026-11", terms_accepted_at=now, lapses_on=today + timedelta(90), confirmed_at=now,
              **money)
        for n in numbers
    ), **many)  # fmt: skip
    OrderLine.objects.bulk_create((
        OrderLine(order=orders[n], kind="renewal", mailbox=boxes[n], plan=plan, mailbox_gb=1, archive_gb=0,
                  net=Decimal("9.90"), old_expiry=expires)
        for n in numbers
    ), **many)  # fmt: skip
    BillingSnapshot.objects.bulk_create(
        # One customer in ten has moved since the confirmation.
        (
            BillingSnapshot(order=o, **profiles[n].identity() | ({"city": "Latina"} if n % 10 == 0 else {}))
            for n, o in enumerate(orders)
        ),
        **many,
    )
    path.write_bytes(camt(entry(f"CRO{n}", "12.08", creditor_reference(o), day=today) for n, o in enumerate(orders)))


def measure(path: str) -> None:
    """Take, look, apply; prints seconds of each and the peak of this process."""
    from django.conf import settings

    from accounts.models import User
    from payments.models import Receipt
    from payments.statements import flow
    from payments.statements.matching import Verdict
    from pecportal.celery import app
    from renewals.models import Order
    from tests.statement_files import OURS

    settings.BANK_IBAN = OURS
    app.conf.broker_url = "memory://"
    staff = User.objects.first()
    assert staff is not None
    seconds = {}
    started = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal started
        seconds[name] = round(time.perf_counter() - started, 2)
        started = time.perf_counter()

    with open(path, "rb") as file:
        statement = flow.take(file, name="estratto.xml", size=Path(path).stat().st_size, actor=staff)
    lap("parsed")
    assert flow.counts(flow.preview(statement))[Verdict.PAYS] == ROWS
    lap("matched")
    assert flow.apply(statement_id=statement.pk, actor=staff) == ROWS
    lap("applied")
    assert (Order.objects.filter(status="paid").count(), Receipt.objects.count()) == (ROWS, ROWS)
    seconds["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(seconds))
