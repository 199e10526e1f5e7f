"""Courtesy copies drawn by one core, and the export of a period of 10,000 documents: seconds, and flat memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from tests.bench.figures import Figure, at_least, at_most

DRAWN = int(os.environ.get("PAPERS_DRAWN", "100"))
ROWS = int(os.environ.get("PAPERS_ROWS", "10000"))
LEAST_A_SECOND, SECONDS, GROWTH = 5, 60, 20  # PDFs of a core; seconds and MB of an export
SETTLED = 1000  # files after which memory is looked at for the first time


def run() -> list[Figure]:
    drawn = measured("draw")
    make()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fatture.zip"
        exported = measured("export", str(path))
        with zipfile.ZipFile(path) as made:
            names = made.namelist()
            lines = made.read("registro.csv").count(b"\r\n")
            assert made.testzip() is None
    print(f"  one of 200 lines: {drawn['long']:.2f} s; the ZIP: {exported['megabytes_out']:.1f} MB")
    name = f"export of {ROWS:,} documents: "
    return [
        at_least("courtesy copies, a core", DRAWN / drawn["seconds"], LEAST_A_SECOND, "PDF/s"),
        at_most(name + "time", exported["seconds"], SECONDS, "s"),
        at_most(name + f"memory, more than after {SETTLED:,}", exported["grown"], GROWTH, "MB"),
        Figure(name + "files", str(len(names) - 1), str(ROWS), len(names) == lines == ROWS + 1),
    ]


def measured(*what: str) -> dict[str, float]:
    """In a process of its own: the memory of making the data is not counted, and one core is one process."""
    command = [sys.executable, str(Path(__file__).with_name("run")), "--measure", "papers", *what]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    return dict(json.loads(told))


def measure(what: str, path: str = "") -> None:
    print(json.dumps(draw() if what == "draw" else export(path)))


def draw() -> dict[str, float]:
    """Seconds of the processor, which other load does not change; the fonts are read before."""
    from payments.invoicing.document import Line
    from payments.invoicing.pdf import courtesy_copy
    from payments.invoicing.xml import write
    from tests.payments.invoicing.documents import invoice

    def one(number: int, **changes: object) -> float:
        xml = write(invoice(number=f"PEC-2026-{number}", **changes))
        started = time.process_time()
        assert courtesy_copy(xml, file_name=f"IT01234560157_{number:05}.xml", key=f"bench-{number}-{os.getpid()}")
        return time.process_time() - started

    one(0)
    lines = tuple(Line(f"Rinnovo per 1 anno della casella PEC c{n}@pec.example", Decimal("4.90")) for n in range(200))
    return {
        "seconds": sum(one(number) for number in range(1, DRAWN + 1)),
        "long": one(99999, lines=lines, taxable=Decimal("980.00"), vat=Decimal("215.60"), payments=()),
    }


def make() -> None:
    """Documents of a year, each of an order of its own, with a file of its own."""
    from accounts.models import User
    from payments.invoicing.xml import write
    from payments.models import Invoice
    from pecportal import clock
    from renewals.models import Order
    from tests.payments.invoicing.documents import invoice

    user, now = User.objects.create_user("6000000@bench.example"), clock.now()
    sums = {"vat_rate": Decimal("0.22"), "taxable": Decimal("19.80"), "vat": Decimal("4.36"), "total": Decimal("24.16")}
    orders = Order.objects.bulk_create(
        (
            Order(
                number=f"R-{n:06}", kind="renewal", status="fulfilled", owner=user, years=1, email="o@posta.example",
                amount_due=sums["total"], terms_version="2026-11", terms_accepted_at=now, lapses_on=clock.today(),
                confirmed_at=now, **sums,
            )
            for n in range(1, ROWS + 1)
        ),
        batch_size=1000,
    )  # fmt: skip
    model = invoice(number="PEC-2026-NUMERO", progressive="00001")
    xml = write(model)
    Invoice.objects.bulk_create(
        (
            Invoice(
                order=order, series="PEC", year=2026, number=n, document_date=model.issued_on + timedelta(n % 30),
                money_on=model.issued_on, due_on=model.issued_on, state="delivered",
                file_name=f"IT01234560157_B{n}.xml", xml=xml.replace(b"NUMERO", str(n).encode()),
                **{**sums, "vat_rate": Decimal(22)},
            )
            for n, order in enumerate(orders, 1)
        ),
        batch_size=1000,
    )  # fmt: skip


def export(path: str) -> dict[str, float]:
    from payments.invoicing import register
    from tests.payments.invoicing.population import DAY

    started, written, seen = time.perf_counter(), 0, []
    with open(path, "wb") as out:
        for count, piece in enumerate(register.archive(DAY, DAY + timedelta(30)), 1):
            written += out.write(piece)
            if count % SETTLED == 0:
                seen.append(resident())
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "grown": max(seen) - seen[0], "megabytes_out": written / 1e6}


def resident() -> float:
    """MB that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
