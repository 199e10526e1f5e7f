"""Orders of every kind, as rows: who bought, what, how it was paid, what went back (hypothesis)."""

import uuid
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st
from stdnum import luhn
from stdnum.it import codicefiscale

from accounts.models import User
from mailboxes.models import Domain, Mailbox, PaidPeriod
from payments.invoicing.document import Rea, Seller
from payments.models import Allocation, Commitment, Payment, Receipt
from pecportal import clock
from renewals import pricing
from renewals.models import BillingSnapshot, Kind, Order, OrderLine, new_number

SELLER = Seller(
    name="Posta Esempio S.p.A.", partita_iva="01234560157", codice_fiscale="01234560157",
    address="via dell'Industria 7", postal_code="20121", city="Milano", province="MI",
    rea=Rea("MI", "1234567", Decimal("1000000.00"), False), iban="IT60X0542811101000000123456", bank="Banca di esempio",
)  # fmt: skip
DAY = date(2026, 11, 20)
MOMENT = datetime(2026, 11, 20, 10, 0, tzinfo=clock.ROME)

# Letters that stay, letters that lose a sign, typography: what people have in their names.
LETTERS = "ABCxyzàèìòùÉÄÖÜßñçÆØ ŽžŠőłŁćţœŒ'’-–.“”&/0123456789"
words = st.text(LETTERS, min_size=1, max_size=30).filter(lambda s: any(c.isalnum() for c in s))


def body_code(ten: str) -> str:
    """Eleven digits with their check digit: a partita IVA, or the fiscal code of a body."""
    return ten + luhn.calc_check_digit(ten)


def personal_code(letters: str, day: int) -> str:
    fifteen = f"{letters}80A{day:02}H501"
    return fifteen + codicefiscale.calc_check_digit(fifteen)


vat_numbers = st.integers(1, 9_999_999).map(lambda n: body_code(f"{n:07}015"))
personal_codes = st.builds(personal_code, st.text("BCDFGHLMNPRST", min_size=6, max_size=6), st.integers(1, 31))
roads = st.sampled_from([("", ""), ("0000000", ""), ("ABC1234", ""), ("", "fatture@pec.esempio.it")])


@st.composite
def identities(draw, subject: str):
    """The billing data of one kind of subject; of a legal person also an association without a partita IVA."""
    data = {
        "subject": subject, "address": draw(words), "city": draw(words), "postal_code": "00184", "province": "RM",
        "first_name": draw(words), "last_name": draw(words), "phone": "0612345678",
    }  # fmt: skip
    if subject in ("person", "sole_trader", "professional"):
        data["codice_fiscale"] = draw(personal_codes)
    else:
        data |= {"codice_fiscale": draw(vat_numbers), "company_name": draw(words)}
    if subject in ("sole_trader", "professional"):
        data["partita_iva"] = draw(vat_numbers)
    if subject == "sole_trader":
        data["company_name"] = draw(words)
    if subject in ("company", "public_body"):
        data["partita_iva"] = draw(st.sampled_from(["", data["codice_fiscale"]]))
    if subject == "public_body":
        data["sdi_code"] = draw(st.text("ABCDEFUY0123456789", min_size=6, max_size=6))
    elif subject != "person":
        data["sdi_code"], data["sdi_pec"] = draw(roads)
    return data


@dataclass
class Plan:
    """What an example is about. `prices`: the net of each line; `gone`: lines refunded before they were given."""

    kind: str
    years: int | None
    prices: list[Decimal]
    method: str
    identity: dict[str, object]
    rate: Decimal
    confirmed_rate: Decimal
    committed: bool
    split: bool
    collected: bool
    in_two: bool
    gone: set[int] = field(default_factory=set)


@st.composite
def plans(draw, subject: str, kind: str, split: bool) -> Plan:
    count = draw(st.integers(1, 6)) if kind == Kind.DOMAIN_RENEWAL else 1
    cents = st.one_of(st.integers(1, 9), st.integers(1, 99_999))
    rate = Decimal("0.22")
    committed = subject == "public_body" and kind != Kind.PURCHASE and (split or draw(st.booleans()))
    gone = set(draw(st.lists(st.integers(1, count - 1), max_size=count - 1))) if count > 1 and not committed else set()
    return Plan(
        kind=kind, years=None if kind == Kind.SPACE else draw(st.integers(1, 5)),
        prices=[Decimal(draw(cents)) / 100 for _ in range(count)],
        method=draw(st.sampled_from(["transfer", "postal", "stripe", "paypal", "sandbox"])),
        identity=draw(identities(subject)), rate=rate,
        confirmed_rate=draw(st.sampled_from([rate, rate, Decimal("0.20"), Decimal("0.24")])),
        committed=committed, split=split, collected=not committed or draw(st.booleans()),
        in_two=draw(st.booleans()), gone=gone,
    )  # fmt: skip


def make(plan: Plan, *, owner: User, box: Mailbox, domain: Domain, staff: User) -> Order:
    """The rows of a plan, as the flows leave them: an order fulfilled, its lines, its data, its money."""
    at_first = pricing.totals(plan.prices, plan.confirmed_rate)
    sums = at_first if plan.rate == plan.confirmed_rate else pricing.resplit(at_first.total, plan.rate)
    order = Order.objects.create(
        number=new_number(plan.kind), kind=plan.kind, status="fulfilled", owner=owner, years=plan.years,
        email="a@posta.example", method=plan.method, vat_rate=sums.vat_rate, taxable=sums.taxable, vat=sums.vat,
        total=sums.total, amount_due=sums.taxable if plan.split else sums.total, terms_version="2026-11",
        terms_accepted_at=MOMENT, lapses_on=DAY + timedelta(days=90), confirmed_at=MOMENT - timedelta(days=3),
        paid_at=None if plan.committed else MOMENT, fulfilled_at=MOMENT,
        collected_at=MOMENT if plan.collected else None,
    )  # fmt: skip
    for number, net in enumerate(plan.prices):
        _line(plan, order, number, net, box, domain)
    BillingSnapshot.objects.create(order=order, fixed_at=MOMENT, **plan.identity)
    if plan.committed:
        Commitment.objects.create(
            order=order, reference="Det. 12/2026", date=DAY, cig="Z1A2B3C4D5", cup="J31B24000010001",
            split_payment=plan.split, registered_by=staff,
        )  # fmt: skip
    if plan.collected:
        first = order.amount_due / 2 if plan.in_two else order.amount_due
        first = pricing.cents(first)
        for amount in filter(None, (first, order.amount_due - first)):
            _money(order, amount, staff)
    return order


def _line(plan: Plan, order: Order, number: int, net: Decimal, box: Mailbox, domain: Domain) -> None:
    whole_domain = plan.kind == Kind.DOMAIN_RENEWAL and number == 0
    target = {"domain": domain} if whole_domain else {"mailbox": box}
    if plan.kind == Kind.PURCHASE:
        target = {"address": box.address}
    period = None
    if plan.kind in (Kind.RENEWAL, Kind.PURCHASE) or whole_domain:
        whose = {"domain": domain} if whole_domain else {"box": box}
        starts = _next_day(PaidPeriod.objects.filter(**whose).count())
        period = PaidPeriod.objects.create(
            **whose, starts=starts, ends=starts + timedelta(days=364), source=uuid.uuid4()
        )
    OrderLine.objects.create(
        order=order, kind=plan.kind, status="refunded" if number in plan.gone else "fulfilled", is_open=False, **target,
        plan=None if whole_domain else box.plan, net=net, old_expiry=DAY + timedelta(days=30), period=period,
        billed_mailbox_gb=2 if plan.kind == Kind.SPACE else 0,
    )  # fmt: skip


def _next_day(count: int) -> date:
    return date(2027, 1, 1) + timedelta(days=count)


def _money(order: Order, amount: Decimal, staff: User) -> None:
    if order.method in ("transfer", "postal"):
        receipt = Receipt.objects.create(
            bank_account="IT60", bank_reference=uuid.uuid4().hex, amount=amount, value_date=DAY, recorded_by=staff
        )
        Allocation.objects.create(order=order, receipt=receipt, amount=amount)
    else:
        payment = Payment.objects.create(
            order=order, provider=order.method, status="registered", amount=amount, registered_at=MOMENT
        )
        Allocation.objects.create(order=order, payment=payment, amount=amount)
