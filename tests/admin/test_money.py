"""Receipts, cases and cancellations by staff: own pages, each on one flow (R12b, R21, R21b)."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from mailboxes.models import Mailbox
from payments import bank
from payments import flows as money
from payments.models import Allocation, Case, Receipt
from payments.providers import sandbox
from pecportal.formats import short_day
from renewals.models import Order
from tests.helpers import place, start_card

pytestmark = pytest.mark.django_db
RECORD = "/admin/payments/receipt/registra/"
IBAN = "IT60X0542811101000000123456"


@pytest.fixture
def staff(client, dario):
    client.force_login(dario, backend="accounts.backends.AccountBackend")
    return client


@pytest.fixture
def order(box, alice) -> Order:
    """€ 12,08, awaiting its transfer."""
    return place(box, alice)


def typed(today, **changes) -> dict[str, str]:
    return {
        "bank_account": IBAN, "bank_reference": "CRO 1", "amount": "12,08", "value_date": f"{today:%d/%m/%Y}",
        "payer": "Alice Rossi", "remittance": "", "order": "", **changes,
    }  # fmt: skip


def said(response) -> list[tuple[str, str]]:
    return [(m.level_tag, m.message.replace("\u00a0", " ")) for m in get_messages(response.wsgi_request)]


def errors(response) -> dict[str, list[str]]:
    assert response.status_code == 200
    return {k: list(v) for k, v in response.context["form"].errors.items()}


def fate(order) -> tuple[str, list[Decimal], list[str]]:
    """Its status, what was allocated to it, and the open cases about it or its money."""
    order = Order.objects.get(pk=order.pk)
    return (
        order.status,
        [a.amount for a in order.allocations.order_by("pk")],
        sorted(order.cases.values_list("kind", flat=True)),
    )


@pytest.mark.django_db(transaction=True)
def test_a_receipt_that_names_its_order_pays_it_and_moves_the_expiry(staff, order, box, today, dario):
    answer = staff.post(RECORD, typed(today, remittance=f"saldo {bank.creditor_reference(order)} rossi"))
    receipt = Receipt.objects.get()
    assert answer.status_code == 302 and answer["Location"] == reverse(
        "admin:payments_receipt_change", args=[receipt.pk]
    )
    assert said(answer) == [("success", f"Accredito di € 12,08 registrato. L'ordine {order} è pagato con € 12,08.")]
    assert (receipt.bank_account, receipt.bank_reference, receipt.amount, receipt.value_date, receipt.recorded_by) == (
        IBAN, "CRO 1", Decimal("12.08"), today, dario,
    )  # fmt: skip
    assert fate(order) == ("fulfilled", [Decimal("12.08")], [])
    assert Mailbox.objects.get(pk=box.pk).expires_on > box.expires_on
    assert order.events.filter(after="paid").get().actor == dario


@pytest.mark.parametrize("amount", ["12,08", "12.08", "€ 12,08", "12,08 €", " 12,08 ", "EUR 12,08", "0012,08"], ids=str)
@pytest.mark.parametrize("date", ["%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y", "%Y-%m-%d"])
def test_amounts_and_dates_as_italians_write_them(staff, order, today, amount, date):
    answer = staff.post(RECORD, typed(today, amount=amount, value_date=today.strftime(date), order=order.number))
    assert answer.status_code == 302, errors(answer)
    assert fate(order)[0] in ("paid", "fulfilled")


@pytest.mark.parametrize("written", ["{0}", " {0} ", "{1}", "{2}", "{3}"])
def test_order_numbers_however_they_are_written(staff, order, today, written):
    number = order.number
    forms = (number, number.lower(), number.replace("-", ""), bank.creditor_reference(order))
    assert staff.post(RECORD, typed(today, order=written.format(*forms))).status_code == 302
    assert fate(order)[0] in ("paid", "fulfilled")


AMOUNT = "Scrivi l'importo in euro come 12,08 oppure 1234,50."
BAD = [
    ({"amount": "0"}, {"amount": ["L'importo deve essere maggiore di zero."]}),
    ({"amount": "0,00"}, {"amount": ["L'importo deve essere maggiore di zero."]}),
    ({"amount": "-12,08"}, {"amount": ["L'importo deve essere maggiore di zero."]}),
    ({"amount": ""}, {"amount": ["Scrivi l'importo."]}),
    ({"amount": "dodici"}, {"amount": [AMOUNT]}),
    ({"amount": "12,085"}, {"amount": [AMOUNT]}),
    ({"amount": "1.234"}, {"amount": [AMOUNT]}),  # a thousand, or one and a bit? nobody guesses
    ({"amount": "1,234.50"}, {"amount": [AMOUNT]}),
    ({"amount": "NaN"}, {"amount": [AMOUNT]}),
    ({"amount": "1e3"}, {"amount": [AMOUNT]}),
    ({"amount": "١٢,٠٨"}, {"amount": [AMOUNT]}),
    ({"amount": "99999999,00"}, {"amount": ["L'importo è troppo grande: controlla le cifre."]}),
    ({"amount": "9" * 400}, {"amount": [AMOUNT]}),
    ({"value_date": ""}, {"value_date": ["Scrivi la data."]}),
    ({"value_date": "31/02/2026"}, {"value_date": ["Scrivi la data come 31/05/2027."]}),
    ({"value_date": "12/25/2026"}, {"value_date": ["Scrivi la data come 31/05/2027."]}),
    ({"value_date": "ieri"}, {"value_date": ["Scrivi la data come 31/05/2027."]}),
    ({"value_date": "01/01/0026"}, {"value_date": ["Controlla l'anno: è 26."]}),
    ({"value_date": "01/01/2099"}, {"__all__": ["La data valuta è troppo avanti nel tempo: controllala."]}),
    ({"bank_reference": "  "}, {"bank_reference": ["Scrivi il riferimento della banca (CRO o TRN)."]}),
    ({"bank_account": ""}, {"bank_account": ["Scrivi l'IBAN del conto su cui è arrivato l'accredito."]}),
    (
        {"bank_account": "IT60X0542811101000000123457"},
        {"bank_account": ["L'IBAN contiene un errore: ricontrolla tutti i caratteri."]},
    ),
    ({"order": "R-222222"}, {"order": ["Nessun ordine ha il numero R-222222: controllalo. Ha la forma R-7KQ4M2."]}),
    ({"order": "<b>"}, {"order": ["Nessun ordine ha il numero <b>: controllalo. Ha la forma R-7KQ4M2."]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"), BAD, ids=[f"{next(iter(c))}={next(iter(c.values()))[:20]}" for c, _e in BAD]
)
def test_bad_receipts_get_their_sentence_and_nothing_is_lost_or_recorded(staff, order, today, changes, expected):
    answer = staff.post(RECORD, typed(today, **{"order": order.number, "payer": "Còlor d'Oro", **changes}))
    assert errors(answer) == expected
    page = answer.content.decode()
    assert "Controlla i campi indicati: non è stato registrato nulla." in page
    assert "Còlor d&#x27;Oro" in page and "<b>:" not in page
    assert not Receipt.objects.exists() and fate(order) == ("awaiting_payment", [], [])


@pytest.mark.parametrize("again", ["CRO 1", " cro  1 ", "Cro 1"])
@pytest.mark.parametrize("account", [IBAN, "it60 x054 2811 1010 0000 0123 456"])
def test_the_same_receipt_twice_is_refused_however_it_is_typed(staff, order, today, again, account):
    assert staff.post(RECORD, typed(today, order=order.number)).status_code == 302
    answer = staff.post(RECORD, typed(today, bank_reference=again, bank_account=account, order=order.number))
    assert errors(answer) == {"__all__": ["Questo accredito è già registrato: stesso conto e stesso riferimento."]}
    assert Receipt.objects.count() == 1 and Allocation.objects.count() == 1


def test_too_little_too_much_unmatched_cancelled_and_paid_already(staff, order, make_box, alice, today):
    other, gone = place(make_box(alice, "altra"), alice), place(make_box(alice, "annullata"), alice)
    money.cancel_order(order_id=gone.pk, actor=alice)

    def record(reference, **changes):
        answer = staff.post(RECORD, typed(today, bank_reference=reference, **changes))
        assert answer.status_code == 302, errors(answer)
        return said(answer)[-1:]

    short = f"Attribuiti € 5,00 all'ordine {order}: mancano € 7,08, l'ordine aspetta. È aperto un caso."
    assert record("A", amount="5,00", order=order.number) == [("warning", f"Accredito di € 5,00 registrato. {short}")]
    assert fate(order) == ("awaiting_payment", [Decimal("5.00")], ["short"])
    assert record("B", amount="7,08", order=order.number)[0][1].endswith(f"L'ordine {order} è pagato con € 7,08.")
    assert record("C", amount="20,00", order=other.number) == [
        ("warning", f"Accredito di € 20,00 registrato. L'ordine {other} è pagato. Avanzano € 7,92: è aperto un caso.")
    ]
    assert fate(other)[1:] == ([Decimal("12.08")], ["over"])
    nothing = f"Nulla è stato attribuito all'ordine {gone}: l'ordine è annullato. È aperto un caso per € 12,08."
    assert record("D", order=gone.number) == [("warning", f"Accredito di € 12,08 registrato. {nothing}")]
    assert fate(gone) == ("cancelled", [], ["too_late"])
    assert "Nulla è stato attribuito" in record("E", order=order.number)[0][1]  # paid already: never swallowed
    assert record("F", remittance="rinnovo pec rossi") == [
        ("warning", "Accredito di € 12,08 registrato. La causale non nomina un ordine: è aperto un caso da verificare.")
    ]
    assert Case.objects.filter(kind="unmatched", closed_at=None, receipt__bank_reference="F").count() == 1


def test_the_page_comes_filled_from_the_order(staff, order, today, alice):
    money.declare_transfer(order_id=order.pk, actor=alice)
    way = staff.get(reverse("admin:renewals_order_record_transfer", args=[order.pk]))
    assert way["Location"] == f"{RECORD}?ordine={order.number}"
    page = staff.get(way["Location"])
    form = page.context["form"]
    shown = {n: form[n].value() for n in ("bank_account", "amount", "order", "remittance")}
    reference = bank.creditor_reference(order)
    assert shown == {"bank_account": IBAN, "amount": "12,08", "order": order.number, "remittance": reference}
    text = page.content.decode().replace("\xa0", " ")
    assert 'value="12,08"' in text and f'value="{today:%d/%m/%Y}"' in text
    assert "Bonifico dichiarato il" in text and "2000001@pecportal.example" in text
    assert staff.get(f"{RECORD}?ordine=R-nessuno").status_code == 200
    assert staff.get(f"{RECORD}?ordine=R-%00").status_code == 200


def test_a_receipt_is_attributed_later(staff, order, today):
    staff.post(RECORD, typed(today, remittance="rossi"))
    receipt = Receipt.objects.get()
    page = f"/admin/payments/receipt/{receipt.pk}/attribuisci/"
    assert (
        "Attribuisci a un ordine"
        in staff.get(reverse("admin:payments_receipt_change", args=[receipt.pk])).content.decode()
    )
    assert "rossi" in staff.get(page).content.decode()
    assert errors(staff.post(page, {"order": ""})) == {"order": ["Scrivi il numero dell'ordine."]}
    assert list(errors(staff.post(page, {"order": "R-234567"}))) == ["order"]
    answer = staff.post(page, {"order": order.number})
    assert said(answer) == [("success", f"L'ordine {order} è pagato con € 12,08.")]
    assert fate(order)[0] in ("paid", "fulfilled") and not Case.objects.filter(closed_at=None).exists()
    again = staff.post(page, {"order": order.number})
    assert errors(again) == {"__all__": ["Questo accredito è già attribuito per intero."]}
    # The button is gone with the money.
    assert "attribuisci/" not in staff.get(reverse("admin:payments_receipt_change", args=[receipt.pk])).content.decode()
    assert Allocation.objects.count() == 1
    assert staff.get("/admin/payments/receipt/999999/attribuisci/").status_code == 404


def test_a_case_is_closed_once_with_a_reason(staff, order, today, dario):
    staff.post(RECORD, typed(today, remittance="rossi"))
    case = Case.objects.get()
    page = f"/admin/payments/case/{case.pk}/chiudi/"
    assert "la causale non nomina un ordine" in staff.get(page).content.decode()
    for empty in ("", "   "):
        assert errors(staff.post(page, {"reason": empty})) == {"reason": ["Scrivi che cosa è stato deciso."]}
    assert Case.objects.get().closed_at is None
    answer = staff.post(page, {"reason": "restituito alla banca"})
    assert answer.status_code == 302 and said(answer) == [("success", "Caso chiuso.")]
    case.refresh_from_db()
    assert (case.closed_by, case.resolution) == (dario, "restituito alla banca") and case.closed_at
    assert errors(staff.post(page, {"reason": "ancora"})) == {"__all__": ["Il caso è già chiuso."]}
    assert Case.objects.get().resolution == "restituito alla banca"


def test_an_order_is_cancelled_by_staff_with_a_reason_in_its_events(staff, order, dario):
    page = f"/admin/renewals/order/{order.pk}/annulla/"
    assert errors(staff.post(page, {"reason": " "})) == {"reason": ["Scrivi che cosa è stato deciso."]}
    assert fate(order)[0] == "awaiting_payment"
    answer = staff.post(page, {"reason": "chiesto per telefono"})
    assert said(answer) == [("success", f"Ordine {order} annullato.")]
    event = order.events.filter(line=None).last()
    assert (event.after, event.actor, event.why) == ("cancelled", dario, "chiesto per telefono")
    assert errors(staff.post(page, {"reason": "ancora"})) == {"__all__": ["L'ordine è già chiuso."]}
    shown = staff.get(reverse("admin:renewals_order_change", args=[order.pk])).content.decode()
    assert "annulla/" not in shown and "accredito/" not in shown


def test_a_declared_transfer_asks_for_one_more_tick(staff, order, alice):
    money.declare_transfer(order_id=order.pk, actor=alice)
    page = f"/admin/renewals/order/{order.pk}/annulla/"
    assert list(errors(staff.post(page, {"reason": "doppio"}))) == ["despite_transfer"]
    assert fate(order)[0] == "awaiting_payment"
    assert staff.post(page, {"reason": "doppio", "despite_transfer": "on"}).status_code == 302
    assert fate(order)[0] == "cancelled"


def test_cancelling_closes_a_live_attempt_first_and_yields_to_captured_money(staff, order, alice):
    payment = start_card(order, alice)
    sandbox.write(payment.remote_id, status=sandbox.PAID)
    answer = staff.post(f"/admin/renewals/order/{order.pk}/annulla/", {"reason": "doppio"})
    assert errors(answer) == {"__all__": ["L'ordine risulta pagato e non si può più annullare."]}
    assert fate(order)[0] in ("paid", "fulfilled")


def test_money_after_the_last_day_is_a_case(staff, order, box, today):
    Mailbox.objects.filter(pk=box.pk).update(
        expires_on=today - timedelta(days=100), delete_from=today - timedelta(days=9)
    )
    late = staff.post(RECORD, typed(today, order=order.number))
    assert "iniziato dopo l'ultimo giorno utile per rinnovare" in said(late)[0][1]
    early = f"{today - timedelta(days=10):%d/%m/%Y}"
    in_time = staff.post(RECORD, typed(today, order=order.number, bank_reference="2", value_date=early))
    assert said(in_time)[-1][0] == "success"  # R21b: the value date decides


def test_no_own_page_runs_in_a_transaction_of_djangos(staff, order, today, settings):
    """The flows are durable: they would raise inside one. Real connections, as in production."""
    assert not settings.DATABASES["default"]["ATOMIC_REQUESTS"]
    assert re.search(r"csrfmiddlewaretoken", staff.get(RECORD).content.decode())


def test_own_pages_ask_for_the_csrf_token(dario, order):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(dario, backend="accounts.backends.AccountBackend")
    assert strict.post(f"/admin/renewals/order/{order.pk}/annulla/", {"reason": "x"}).status_code == 403
    assert fate(order)[0] == "awaiting_payment"


# --- Money that is no euro --------------------------------------------------------------------------------------------


def test_dollars_are_never_shown_as_euro(staff, order, alice, dario, today):
    """In the lists, on their own pages and beside the refund: by card and by bank."""
    payment = start_card(order, alice)
    sandbox.write(payment.remote_id, status=sandbox.PAID, currency="USD", amount="77.01")
    money.fetch_and_record(payment.pk)
    receipt = bank.record_receipt(
        actor=dario, bank_account=IBAN, bank_reference="FX", amount=Decimal("77.02"), value_date=today, currency="USD"
    )
    by_card, by_bank = Case.objects.order_by("pk")
    pages = {
        reverse("admin:payments_case_changelist"): ("77,01\u00a0USD", "77,02\u00a0USD"),
        reverse("admin:payments_case_change", args=[by_card.pk]): ("77,01\u00a0USD",),
        reverse("admin:payments_case_close", args=[by_card.pk]): ("77,01\u00a0USD",),
        reverse("admin:payments_case_refund", args=[by_bank.pk]): ("77,02\u00a0USD",),
        reverse("admin:payments_receipt_changelist"): ("77,02\u00a0USD",),
        reverse("admin:payments_receipt_change", args=[receipt.pk]): ("77,02\u00a0USD",),
        reverse("admin:renewals_order_change", args=[order.pk]): ("77,01\u00a0USD",),
    }
    for page, amounts in pages.items():
        text = staff.get(page).content.decode()
        for amount in amounts:
            assert amount in text, page
        assert "€\u00a077" not in text, page


@pytest.mark.parametrize(("expires_in", "days"), [(40, 90), (-60, 30)])
def test_staff_read_the_same_last_day_to_pay_as_the_customer(staff, make_box, alice, today, expires_in, days):
    """Of a box that is Scaduta it is E+90, sooner than the order's own lapse (R12b)."""
    order = place(make_box(alice, "tardi", expires_in=expires_in), alice)
    last = short_day(today + timedelta(days=days)).replace(" ", "\u00a0")
    for path in (reverse("admin:renewals_order_changelist"), reverse("admin:renewals_order_change", args=[order.pk])):
        assert last in staff.get(path).content.decode(), path
