"""Invoices: numbered, written, checked by four processes at once, without a gap or a double; and the files alone.

INVOICES is how many (100,000). Orders are a year's renewal paid by card, their rows made in bulk; from there on it is
the product's own road, one order at a time, on a real PostgreSQL.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from tests.bench.figures import Figure, at_least

COUNT = int(os.environ.get("INVOICES", "100000"))
WORKERS = 4
FILES = 1000  # written and checked alone, in one process
LEAST = 50  # a second and core


def run() -> list[Figure]:
    began = time.perf_counter()
    make()
    print(f"  {COUNT:,} orders made in {time.perf_counter() - began:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    command = [sys.executable, str(Path(__file__).with_name("run")), "--measure", "invoices"]
    began = time.perf_counter()
    workers = [subprocess.Popen([*command, "issue", str(n)], stdout=subprocess.PIPE, text=True) for n in range(WORKERS)]
    outputs = [worker.communicate()[0] for worker in workers]
    seconds = time.perf_counter() - began
    cpu = sum(json.loads(output.splitlines()[-1])["cpu"] for output in outputs)
    files = json.loads(subprocess.run([*command, "files"], check=True, capture_output=True, text=True).stdout)
    rate, each = COUNT / seconds, cpu / COUNT * 1000
    print(f"  {seconds:.0f} s, {rate:.0f} a second by {WORKERS} processes, {each:.1f} ms of CPU each", flush=True)
    return [*numbers(), at_least("invoice files written and checked, a second and core", files["rate"], LEAST, "/s")]


def numbers() -> list[Figure]:
    from payments.invoicing import numbering
    from payments.models import Invoice, InvoiceCounter

    counter = InvoiceCounter.objects.exclude(series=InvoiceCounter.FILES).get()
    ready = Invoice.objects.filter(state=Invoice.State.READY)
    doubles = ready.count() - ready.values("number").distinct().count() + ready.count()
    doubles -= ready.values("file_name").distinct().count()
    gaps = len(numbering.gaps(counter.series, counter.year))
    missing = COUNT - ready.count()
    title = f"{COUNT:,} invoices by {WORKERS} processes: gaps, doubles, missing"
    found = (gaps, doubles, missing)
    return [Figure(title, ", ".join(map(str, found)), "0, 0, 0", found == (0, 0, 0))]


def measure(what: str, part: str = "0") -> None:
    """In a process of its own: `issue` the orders of a part, or write and check `files` alone."""
    print(json.dumps(_files() if what == "files" else _issue(int(part))))


def _issue(part: int) -> dict[str, float]:
    from payments.invoicing import issue
    from renewals.models import Order

    ids = list(Order.objects.order_by("pk").values_list("pk", flat=True))[part::WORKERS]
    began = time.process_time()
    for order_id in ids:
        issue.issue(order_id)
    return {"cpu": time.process_time() - began}


def _files() -> dict[str, float]:
    """CPU seconds: what a core does, whoever else works on the machine."""
    from payments.invoicing import checks, configuration
    from payments.invoicing.from_order import draft
    from renewals.models import Order

    orders = list(Order.objects.select_related("owner")[:FILES])
    facts = {"seller": configuration.seller(), "number": "PEC-2026-1", "issued_on": DAY, "progressive": "00001"}
    documents = [draft(order, **facts) for order in orders]  # type: ignore[arg-type]
    checks.review(documents[0], today=DAY)  # the schema is compiled once a process
    began = time.process_time()
    assert not any(checks.review(document, today=DAY) for document in documents)
    return {"rate": len(documents) / (time.process_time() - began)}


# --- The data ---------------------------------------------------------------------------------------------------------

DAY = date(2026, 11, 20)


def make(count: int = COUNT) -> None:
    """Orders as the flows leave them, without what no invoice reads."""
    from accounts.models import BillingProfile, User
    from mailboxes import flows
    from mailboxes.models import Holder, Plan
    from payments.models import Allocation, Payment
    from pecportal import clock
    from pecportal.demo import personal_code
    from renewals.models import BillingSnapshot, Kind, Order, OrderLine

    person = {
        "first_name": "Anna", "last_name": "Verdi", "address": "via Roma 1",
        "postal_code": "00184", "city": "Roma", "province": "RM",
    }  # fmt: skip
    person["codice_fiscale"] = personal_code("Anna", "Verdi", date(1980, 1, 1), woman=True)
    owner = User.objects.create_user("0000001@bench.example", email="anna@posta.example")
    BillingProfile.objects.create(user=owner, **person)
    holder = Holder.objects.create(owner=owner, contact_email="anna@posta.example", **person)
    plan = Plan.objects.get(code="standard")
    box = flows.open_box(
        address="anna@pec.example", owner=owner, holder=holder, plan=plan, expires_on=DAY + timedelta(days=400)
    )
    now = clock.now()
    for start in range(0, count, 5000):
        orders = Order.objects.bulk_create(
            Order(
                number=f"R-{n:06}", kind=Kind.RENEWAL, status="fulfilled", owner=owner, years=1, method="sandbox",
                email="anna@posta.example", vat_rate=Decimal("0.22"), taxable=Decimal("9.90"), vat=Decimal("2.18"),
                total=Decimal("12.08"), amount_due=Decimal("12.08"), terms_version="1", terms_accepted_at=now,
                lapses_on=DAY, confirmed_at=now, paid_at=now, fulfilled_at=now, collected_at=now,
            )
            for n in range(start, min(start + 5000, count))
        )  # fmt: skip
        OrderLine.objects.bulk_create(
            OrderLine(
                order=order, kind=Kind.RENEWAL, status="fulfilled", is_open=False, mailbox=box, plan=plan,
                net=Decimal("9.90"),
            )
            for order in orders
        )  # fmt: skip
        BillingSnapshot.objects.bulk_create(BillingSnapshot(order=order, fixed_at=now, **person) for order in orders)
        payments = Payment.objects.bulk_create(
            Payment(
                public_id=uuid.uuid4(), order=order, provider="sandbox", status="registered", amount=order.total,
                registered_at=now,
            )
            for order in orders
        )  # fmt: skip
        Allocation.objects.bulk_create(
            Allocation(order=payment.order, payment=payment, amount=payment.amount) for payment in payments
        )
