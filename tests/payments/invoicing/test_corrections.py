"""What SdI rejects: the same number and date within five days, then a new document; what a body refuses."""

from datetime import timedelta

import pytest
import time_machine

from accounts.models import BillingProfile
from payments.invoicing import answers, corrections, numbering, schema_check
from payments.invoicing.reading import text
from payments.models import Invoice
from pecportal import clock
from pecportal.errors import RefusedError
from renewals.models import BillingSnapshot
from tests.payments.invoicing.issued import (
    BODY,
    answered,
    fresh,
    given,
    invoiced,
    refunded,
    rejection,
    sent,
)

pytestmark = pytest.mark.django_db(transaction=True)
CITY = "FatturaElettronicaHeader/CessionarioCommittente/Sede/Comune"
CAUSE = "FatturaElettronicaBody/DatiGenerali/DatiGeneraliDocumento/Causale"


@pytest.fixture
def rejected(box, alice) -> Invoice:
    invoice = sent(invoiced(given(box, alice)))
    answers.take(name="NS", content=rejection(invoice.file_name))
    return fresh(invoice)


def read(invoice):
    return schema_check.parse(bytes(invoice.xml))


def test_a_rejection_says_why_and_until_when(rejected, today):
    assert (rejected.state, rejected.detail) == ("rejected", "00305 Codice non valido")
    assert rejected.due_on == today + timedelta(days=5)


def test_corrected_with_the_data_of_today_it_keeps_number_and_date(rejected, dario, today):
    BillingProfile.objects.update(city="Milano")
    old_name, old_xml = rejected.file_name, bytes(rejected.xml)
    with time_machine.travel(clock.now() + timedelta(days=5)):
        again = corrections.correct(invoice_id=rejected.pk, with_todays_data=True, actor=dario)
    assert (again.pk, again.number, again.document_date, again.state) == (rejected.pk, 1, today, "ready")
    assert again.file_name != old_name
    assert (text(read(again), CITY), again.detail) == ("Milano", "")
    assert again.events.last().actor == dario
    assert bytes(again.transmissions.get().content) == old_xml
    assert BillingSnapshot.objects.get().city == "Roma"
    again = sent(again)
    assert answered(again, number=7).state == "delivered"


def test_with_its_own_data_it_is_written_as_the_order_has_it(rejected, dario, settings):
    BillingProfile.objects.update(city="Milano")
    settings.SELLER_ADDRESS = "via Nuova 1"
    again = corrections.correct(invoice_id=rejected.pk, with_todays_data=False, actor=dario)
    assert text(read(again), CITY) == "Roma"
    assert "via Nuova 1" in bytes(again.xml).decode()


def test_a_body_that_was_taken_for_a_company_gets_a_file_for_bodies_which_is_signed(rejected, dario):
    BillingProfile.objects.update(**BODY)
    again = corrections.correct(invoice_id=rejected.pk, with_todays_data=True, actor=dario)
    assert (again.state, again.format, read(again).get("versione")) == ("to_sign", "FPA12", "FPA12")
    BillingProfile.objects.update(subject="company", sdi_code="ABC1234", partita_iva="00514490010")
    Invoice.objects.filter(pk=again.pk).update(state="rejected")
    again = corrections.correct(invoice_id=rejected.pk, with_todays_data=True, actor=dario)
    assert (again.state, again.format, read(again).get("versione")) == ("ready", "FPR12", "FPR12")


def test_what_would_be_rejected_again_stays(rejected, dario):
    BillingProfile.objects.update(city="Рим")
    with pytest.raises(corrections.StillRejectableError, match="Comune: Il carattere") as found:
        corrections.correct(invoice_id=rejected.pk, with_todays_data=True, actor=dario)
    assert len(found.value.sentences) == 1
    assert (fresh(rejected).state, fresh(rejected).file_name) == ("rejected", rejected.file_name)


def test_after_five_days_only_a_new_document_can_take_its_place(rejected, dario, today):
    with time_machine.travel(clock.now() + timedelta(days=6)):
        with pytest.raises(RefusedError, match="cinque giorni"):
            corrections.correct(invoice_id=rejected.pk, with_todays_data=False, actor=dario)
        new = corrections.replace(invoice_id=rejected.pk, with_todays_data=False, actor=dario)
    old = fresh(rejected)
    assert (old.state, old.replaced_by, new.replaces) == ("replaced", new, old)
    assert (new.number, new.state, new.document_date) == (2, "ready", today + timedelta(days=6))
    assert (new.money_on, new.total) == (old.money_on, old.total)
    said = text(read(new), CAUSE)
    assert f"sostituisce la fattura {old.number_text} del {today:%d/%m/%Y}, scartata" in said
    assert numbering.gaps("PEC", today.year) == []
    with pytest.raises(RefusedError):
        corrections.replace(invoice_id=rejected.pk, with_todays_data=False, actor=dario)


@pytest.mark.parametrize("verb", [corrections.correct, corrections.replace])
def test_only_what_was_rejected(box, alice, dario, verb):
    invoice = invoiced(given(box, alice))
    with pytest.raises(RefusedError, match="scartato"):
        verb(invoice_id=invoice.pk, with_todays_data=False, actor=dario)


def test_a_late_rejection_of_the_old_file_does_not_touch_the_new_one(rejected, dario):
    old_name = rejected.file_name
    again = sent(corrections.correct(invoice_id=rejected.pk, with_todays_data=False, actor=dario))
    receipt = answers.take(name="NS", content=rejection(old_name, number=2))
    assert (fresh(again).state, receipt.understood) == ("sent", True)


def test_a_credit_note_is_corrected_like_an_invoice(box, alice, dario):
    from payments.invoicing import notes

    order = given(box, alice)
    answered(sent(invoiced(order)))
    note = sent(notes.issue_note(refunded(order, "5.00").pk))
    answers.take(name="NS", content=rejection(note.file_name))
    BillingProfile.objects.update(city="Milano")
    again = corrections.correct(invoice_id=note.pk, with_todays_data=True, actor=dario)
    assert (again.state, again.number, text(read(again), CITY)) == ("ready", 2, "Milano")
    answers.take(name="NS", content=rejection(sent(again).file_name, number=3))
    new = corrections.replace(invoice_id=note.pk, with_todays_data=False, actor=dario)
    assert (new.kind, new.refund, new.corrects, text(read(new), CITY)) == (
        "TD04", note.refund, note.corrects, "Milano",
    )  # fmt: skip


def test_what_a_body_refuses_is_sent_again_with_its_number(box, alice, dario):
    BillingProfile.objects.filter(user=alice).update(**BODY)
    invoice = invoiced(given(box, type(alice).objects.get(pk=alice.pk)))
    Invoice.objects.filter(pk=invoice.pk).update(state="ready")  # as if it were signed
    invoice = answered(sent(invoice), "NotificaEsito", "<EsitoCommittente><Esito>EC02</Esito></EsitoCommittente>")
    assert invoice.state == "refused"
    again = corrections.correct(invoice_id=invoice.pk, with_todays_data=False, actor=dario)
    assert (again.state, again.number) == ("to_sign", invoice.number)
