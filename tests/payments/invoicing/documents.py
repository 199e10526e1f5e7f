"""Documents that many tests begin from: to Alice Rossi, to a municipality; a credit note of half of one."""

from datetime import timedelta
from decimal import Decimal as D

from payments.invoicing.document import Buyer, Document, Kind, Line, Means, Paid, Purchase, credit_note
from tests.payments.invoicing.population import DAY, SELLER

BODY = Buyer(
    "public_body", "Comune di Prova", "", "", "00514490010", "00514490010", "piazza Castello 1", "10121", "Torino",
    "TO", "IT", "UF1234", "",
)  # fmt: skip
ROSSI = Buyer(
    "person", "", "Alice", "Rossi", "RSSLCA80A41H501U", "", "via Roma 1", "00184", "Roma", "RM", "IT", "0000000", ""
)


def invoice(buyer: Buyer = ROSSI, *, split: bool = False, **changes) -> Document:
    due = D("19.80") if split else D("24.16")
    lines = (
        Line("Rinnovo per 1 anno della casella PEC a@pec.example", D("9.90"), DAY, DAY + timedelta(days=364)),
        Line("Rinnovo per 1 anno della casella PEC b@pec.example", D("9.90")),
    )
    facts: dict[str, object] = {
        "kind": Kind.INVOICE, "number": "2026/17", "issued_on": DAY, "progressive": "00017", "seller": SELLER,
        "buyer": buyer, "lines": lines, "vat_rate": D("22.0000"), "taxable": D("19.80"), "vat": D("4.36"),
        "reason": "Ordine R-7KQ4M2 del 17/11/2026", "split_payment": split,
        "payments": (Paid(Means.TRANSFER, due, due_on=DAY),),
        "purchase": Purchase("Det. 12/2026", DAY, "Z1A2B3C4D5", "J31B24000010001") if buyer is BODY else None,
    }  # fmt: skip
    return Document(**{**facts, **changes})  # type: ignore[arg-type]


def note(buyer: Buyer = ROSSI) -> Document:
    return credit_note(
        invoice(buyer), number="NC/1", issued_on=DAY, progressive="00018", amount=D("12.08"), order_number="R-7KQ4M2"
    )
