"""The pages of money that goes back: a button where it can do something, one flow each (R21)."""

import pytest

from payments.models import Case, Refund
from renewals.models import Order
from tests.helpers import pay_card, place

pytestmark = pytest.mark.django_db


def buttons(staff, obj, model):
    page = staff.get(
        f"/admin/payments/case/{obj.pk}/change/" if model == "case" else f"/admin/renewals/order/{obj.pk}/change/"
    )
    assert page.status_code == 200
    text = page.content.decode()
    names = ("rimborsa", "attribuisci", "chiudi", "storna", "evadi", "rimborsa-riga", "annulla")
    return [name for name in names if f"/{obj.pk}/{name}/" in text]


def test_a_receipt_for_a_cancelled_order_is_refunded_with_its_cro(staff, world):
    case = Case.objects.get(kind="too_late", closed_at=None)
    assert buttons(staff, case, "case") == ["rimborsa", "attribuisci", "chiudi"]
    url = f"/admin/payments/case/{case.pk}/rimborsa/"
    page = staff.get(url)
    assert page.status_code == 200 and "12,08" in page.content.decode()
    wrong = staff.post(url, {"amount": "12,09", "reference": "CRO 7", "reason": "tardi"})
    assert "al massimo" in wrong.content.decode() and not case.receipt.refunds.exists()
    typed = {"amount": "12,08", "reference": "CRO 7", "reason": "tardi"}
    assert staff.post(url, typed).status_code == 302
    assert "già chiuso" in staff.post(url, typed).content.decode()
    assert [(str(r.amount), r.remote_id) for r in case.receipt.refunds.all()] == [("12.08", "CRO 7")]
    assert buttons(staff, case, "case") == []
    assert "CRO 7" in staff.get("/admin/payments/refund/").content.decode()


def test_an_order_is_taken_back(staff, make_box, alice, dario, commits):
    order = place(make_box(alice, "una"), alice)
    with commits():
        pay_card(order, alice)
    assert buttons(staff, order, "order") == ["rimborsa", "storna"]
    url = f"/admin/renewals/order/{order.pk}/storna/"
    assert staff.post(url, {"amount": "12,08", "reason": "errore"}).status_code == 302
    assert "solo un ordine completato" in staff.post(url, {"amount": "12,08", "reason": "errore"}).content.decode()
    assert (Order.objects.get().status, Refund.objects.count()) == ("reversed", 1)


def test_a_case_is_given_to_another_order(staff, world, make_box, alice, dario):
    case = Case.objects.get(kind="too_late", closed_at=None)
    other = place(make_box(alice, "altra"), alice)
    url = f"/admin/payments/case/{case.pk}/attribuisci/"
    assert staff.post(url, {"order": other.number}).status_code == 302
    other.refresh_from_db()
    assert other.paid_at is not None and Case.objects.get(pk=case.pk).closed_at is not None


@pytest.fixture
def commits(django_capture_on_commit_callbacks):
    return lambda: django_capture_on_commit_callbacks(execute=True)
