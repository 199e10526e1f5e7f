"""The postal slip, the QR code and the instructions on paper (R21b, R29)."""

from datetime import timedelta
from io import BytesIO

import pytest
import segno
from django.core.checks import run_checks
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from payments import bank
from payments.methods import methods
from payments.models import Allocation, Payment
from pecportal.formats import il
from renewals.models import NUMBER_ALPHABET, Order
from renewals.references import customer_code, number_of_code, numbers_in
from tests.helpers import place

ACCOUNT = "001012345678"
NUMBERS = st.builds(lambda a, b: f"{a}-{b}", st.sampled_from("RSAD"), st.text(NUMBER_ALPHABET, min_size=6, max_size=6))


@pytest.fixture(autouse=True)
def _account(settings):
    settings.POSTAL_ACCOUNT = ACCOUNT


@pytest.fixture
def slip(box, alice) -> Order:
    return place(box, alice, method="postal")


@pytest.fixture
def client(browser_of, alice):
    return browser_of(alice)


def url(page, order):
    return reverse(f"payments:{page}", args=[order.number])


def words(response):
    return response.content.decode().replace("\u00a0", " ").replace("&#x27;", "'")


@given(NUMBERS)
def test_the_code_is_18_digits_and_finds_its_order(number):
    code = customer_code(Order(number=number))
    assert (len(code), code.isdigit(), int(code[:16]) % 93) == (18, True, int(code[16:]))
    assert number_of_code(code) == number
    assert numbers_in(f"bollettino {code} del 3/11") == {number}


@given(NUMBERS, st.integers(0, 15), st.integers(1, 9))
def test_one_wrong_digit_names_no_order(number, place, more):
    """93 has no factor 2 or 5 and divides no 9 × 10^n: a single wrong digit always shows."""
    code = customer_code(Order(number=number))
    wrong = code[:place] + str((int(code[place]) + more) % 10) + code[place + 1 :]
    assert number_of_code(wrong) == ""


@pytest.mark.parametrize(
    "text",
    ["000000000000000000", "1" + "0" * 17, "9" * 18, "12345678901234567"],
)
def test_other_digits_name_no_order_of_ours(text):
    assert numbers_in(text) <= {"R-222222"}


def test_longer_numbers_are_not_codes():
    code = customer_code(Order(number="R-7KQ4M2"))
    assert (numbers_in(code + "1"), numbers_in("1" + code)) == (set(), set())


@pytest.mark.parametrize(("account", "offered"), [("", False), (ACCOUNT, True)])
def test_it_is_offered_where_there_is_an_account(settings, today, account, offered):
    settings.POSTAL_ACCOUNT = account
    assert ("postal" in [m.code for m in methods(delete_from=None, today=today)]) is offered


@pytest.mark.parametrize(("left", "open_"), [(16, True), (15, False)])
def test_it_is_closed_in_the_last_15_days(today, left, open_):
    """R29."""
    (method,) = (m for m in methods(delete_from=today + timedelta(left), today=today) if m.code == "postal")
    assert (method.refusal == "") is open_
    assert method.note.startswith("5–7 giorni lavorativi.")


@pytest.mark.parametrize(
    ("account", "ids"),
    [("", []), (ACCOUNT, []), ("12345678", ["pecportal.E017"]), ("00101234567x", ["pecportal.E017"])],
)
def test_a_wrong_account_stops_the_start(settings, account, ids):
    settings.POSTAL_ACCOUNT = account
    assert [m.id for m in run_checks() if m.id == "pecportal.E017"] == ids


@pytest.mark.django_db
def test_paga_by_slip_leads_to_its_instructions(client, box, alice):
    order = place(box, alice)
    assert client.post(url("pay", order), {"method": "postal"})["Location"] == url("postal", order)
    assert (Order.objects.get().method, Payment.objects.count()) == ("postal", 0)
    text = words(client.get(url("postal", order)))
    for told in ("Paga un bollettino di € 12,08", ACCOUNT, customer_code(order), "5–7 giorni lavorativi"):
        assert told in text
    assert "bonifico" not in text.split("<main", 1)[1].split("</main", 1)[0].lower().replace("/bonifico/", "")
    assert client.get(url("transfer", order))["Location"] == url("outcome", order)  # the other method's page


@pytest.mark.django_db
def test_declaring_the_slip(client, slip, today):
    assert "Ho pagato il bollettino" in words(client.get(url("outcome", slip)))
    assert client.post(url("postal", slip))["Location"] == url("outcome", slip)
    assert Order.objects.get().transfer_declared_on == today
    assert slip.events.latest("id").why == "bollettino dichiarato"
    assert f"Hai dichiarato il bollettino {il(today)}." in words(client.get(url("outcome", slip)))
    assert "Bollettino dichiarato il" in words(client.get(url("order", slip)))


@pytest.mark.django_db(transaction=True)
def test_the_credit_finds_its_order_by_the_code(slip, dario, today):
    _receipt, done = bank.record_and_match(
        actor=dario, bank_account="IT60", bank_reference="P1", amount=slip.amount_due, value_date=today,
        remittance=f"BOLL. TD896 {customer_code(slip)} UFF 123",
    )  # fmt: skip
    assert done is not None and done.paid
    assert (Order.objects.get().status, Allocation.objects.get().order) == ("fulfilled", slip)


@pytest.mark.django_db
def test_the_confirmation_names_account_and_code(slip):
    from post_office.models import Email

    told = Email.objects.first()
    assert told is not None
    for text in (told.message, told.html_message):
        assert ACCOUNT in text and customer_code(slip) in text and "IBAN" not in text


@pytest.mark.django_db
def test_the_qr_is_the_transfer(client, box, alice, settings):
    settings.BANK_IBAN, settings.BANK_BENEFICIARY = "IT60 X054 2811 1010 0000 0123 456", "Posta Esempio S.p.A."
    order = place(box, alice)
    payload = "\n".join([
        "BCD", "002", "1", "SCT", "", "Posta Esempio S.p.A.", "IT60X0542811101000000123456", "EUR12.08", "",
        bank.creditor_reference(order).replace(" ", ""),
    ])  # fmt: skip
    expected = segno.make_qr(payload.encode(), error="m", boost_error=False)
    shown = client.get(url("transfer", order)).context["transfer"]
    assert shown.qr() == expected.svg_data_uri(scale=4, light="#fff", dark="#000", svgclass=None, lineclass=None)
    assert 'src="data:image/svg+xml' in client.get(url("transfer", order)).content.decode()
    settings.BANK_IBAN = ""
    assert client.get(url("transfer", order)).context["transfer"].qr() == ""  # a page without it, never an error


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["transfer", "postal"])
def test_the_instructions_on_paper(client, box, alice, carla, browser_of, method, settings):
    settings.BANK_IBAN = "IT60X0542811101000000123456"
    order = place(box, alice, method=method)
    answer = client.get(url(f"{method}_pdf", order))
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/pdf")
    pages = PdfReader(BytesIO(answer.content)).pages
    text = " ".join(page.extract_text() for page in pages).replace("\u00a0", " ")
    told = {
        "transfer": ["IT60 X054 2811 1010 0000 0123 456", bank.creditor_reference(order)],
        "postal": [ACCOUNT, customer_code(order)],
    }[method]
    assert len(pages) == 1
    for one in (*told, "€ 12,08", order.number):
        assert one in text
    assert browser_of(carla).get(url(f"{method}_pdf", order)).status_code == 404
    other = {"transfer": "postal", "postal": "transfer"}[method]
    assert client.get(url(f"{other}_pdf", order))["Location"] == url("outcome", order)
