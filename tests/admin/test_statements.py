"""Statements by staff: upload, preview, apply (R21b, R31)."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.models import User
from payments.models import Receipt, Statement
from renewals.models import Order
from tests.conftest import PASSWORD
from tests.helpers import place
from tests.statement_files import OURS, camt, csv, entry, line

pytestmark = pytest.mark.django_db(transaction=True)
UPLOAD = "/admin/payments/statement/carica/"


@pytest.fixture(autouse=True)
def _account(settings):
    settings.BANK_IBAN = OURS


def upload(client, content, name="estratto.xml"):
    return client.post(UPLOAD, {"file": SimpleUploadedFile(name, content)})


def said(answer):
    return [(m.level_tag, m.message.replace("\u00a0", " ")) for m in get_messages(answer.wsgi_request)]


def test_from_the_file_to_the_paid_order(staff, box, alice):
    order = place(box, alice)
    answer = upload(staff, camt([entry("R1", "12.08", order.number), entry("R2", "3.00", "<b>boh</b>")]))
    statement = Statement.objects.get()
    page = reverse("admin:payments_statement_change", args=[statement.pk])
    assert (answer.status_code, answer["Location"], statement.name) == (302, page, "estratto.xml")
    seen = staff.get(page)
    html = seen.content.decode()
    assert [(v["value"], v["count"]) for v in seen.context["verdicts"]] == [("paga", 1), ("nessuno", 1)]
    assert reverse("admin:renewals_order_change", args=[order.pk]) in html
    assert "&lt;b&gt;boh&lt;/b&gt;" in html and "<b>boh" not in html
    only = staff.get(page, {"esito": "nessuno"}).content.decode()
    assert ("boh" in only, order.number in only) == (True, False)
    ask = staff.get(f"{page.removesuffix('change/')}registra/")
    assert ask.context["facts"] == [("Paga l'ordine", 1), ("Nessun ordine", 1)]
    assert Receipt.objects.count() == 0
    answer = staff.post(f"{page.removesuffix('change/')}registra/")
    assert said(answer)[-1] == (
        "success", "Registrati 2 accrediti. Gli ordini pagati si completano da soli in pochi minuti."
    )  # fmt: skip
    assert Order.objects.get().status in ("paid", "fulfilled")
    done = staff.get(page)
    assert [(v["value"], v["count"]) for v in done.context["verdicts"]] == [("fatto", 2)]
    for receipt in Receipt.objects.all():
        assert reverse("admin:payments_receipt_change", args=[receipt.pk]) in done.content.decode()
    assert done.context["may_apply"] is False
    again = staff.post(f"{page.removesuffix('change/')}registra/")
    assert said(again)[-1] == ("warning", "Questo estratto conto è già registrato.")
    assert Receipt.objects.count() == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<no", "Riga 1: il file non è un CAMT.053 (001.02 o 001.08)."),
        (b"", "Il file è vuoto."),
        (
            csv(line("A", "dodici", "x")),
            "Riga 2: l'importo «dodici» non si legge. Scrivilo come 12,08 oppure 1.234,50.",
        ),
    ],
    ids=["xml", "empty", "csv"],
)
def test_a_bad_file_is_told_beside_its_field(staff, content, sentence):
    answer = upload(staff, content, "file")
    assert (answer.status_code, dict(answer.context["form"].errors)) == (200, {"file": [sentence]})
    assert Statement.objects.count() == 0


def test_no_file_at_all(staff):
    assert dict(staff.post(UPLOAD, {}).context["form"].errors) == {"file": ["Scegli il file da caricare."]}


def test_the_same_file_twice_leads_to_the_first(staff, today):
    content = camt([entry("R1", "1.00", day=today - timedelta(1))])
    first, again = upload(staff, content), upload(staff, content)
    assert (first["Location"], Statement.objects.count()) == (again["Location"], 1)
    assert said(again)[-1][0] == "warning"


def test_who_may_only_look_registers_nothing(client, box, alice, dario, staff):
    upload(staff, camt([entry("R1", "12.08", place(box, alice).number)]))
    statement = Statement.objects.get()
    from django.contrib.auth.models import Permission

    reader = User.objects.create_user("lettrice", PASSWORD, is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_statement"))
    client.force_login(reader, backend="accounts.backends.AccountBackend")
    base = f"/admin/payments/statement/{statement.pk}/"
    assert [client.get(base + "change/").status_code, client.post(base + "registra/").status_code] == [200, 403]
    assert (client.post(base + "change/").status_code, client.get(UPLOAD).status_code) == (403, 403)
    assert Receipt.objects.count() == 0
    nobody = User.objects.create_user("curiosa", PASSWORD, is_staff=True)
    client.force_login(nobody, backend="accounts.backends.AccountBackend")
    assert client.get(base + "change/").status_code == 403


def test_a_preview_of_many_rows_asks_as_little_as_of_few(staff, box, alice, django_assert_max_num_queries):
    order = place(box, alice)
    upload(staff, camt(entry(f"R{n}", "12.08", order.number if n else "x") for n in range(150)))
    page = reverse("admin:payments_statement_change", args=[Statement.objects.get().pk])
    with django_assert_max_num_queries(20):
        seen = staff.get(page)
    assert seen.context["page"].paginator.count == 150
