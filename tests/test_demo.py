"""The demonstration shows every screen with something on it, made by the product's own flows, as often as one likes."""

import pytest
from django.core.management import call_command

from payments.models import Invoice
from renewals.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def test_made_twice_it_has_invoices_of_every_fate(settings, tmp_path, capsys):
    settings.SDI_FOLDER = tmp_path / "sdi"
    for _time in range(2):
        call_command("demo")
        found = [(i.order.owner.email, i.kind, i.state) for i in Invoice.objects.order_by("pk")]
        assert found == [
            ("mario@posta.example", "TD01", "delivered"), ("mario@posta.example", "TD04", "delivered"),
            ("studio@posta.example", "TD01", "rejected"), ("mario@posta.example", "TD01", "ready"),
        ]  # fmt: skip
    assert Order.objects.filter(status="awaiting_payment").count() == 1
    assert "1000001@pecportal.example" in capsys.readouterr().out


def test_where_another_program_invoices_there_are_none(settings):
    settings.INVOICES_FROM = None
    call_command("demo")
    assert Invoice.objects.count() == 0
