"""Automatic renewal as the customer sees it: charged by the beat task, refused and then cancelled, methods kept."""

import re
from datetime import date, timedelta

import pytest
from playwright.sync_api import Page, expect

from lifecycle.tasks import charge_due
from mailboxes.models import Mailbox
from payments.models import AutoRenewal, ScheduledCharge, StoredMethod
from payments.providers import sandbox
from payments.tasks import fulfil_due
from pecportal.formats import day, fino, il
from renewals.models import Order
from tests.browser.test_renewal import after, assert_styled
from tests.payments.charging_helpers import fresh

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def move_expiry(box: Mailbox, to: date) -> Mailbox:
    """The data move, not the clock: the box expires on another day."""
    Mailbox.objects.filter(pk=box.pk).update(
        expires_on=to, delete_from=to + timedelta(days=91), anchor_month=to.month, anchor_day=to.day
    )
    ScheduledCharge.objects.filter(box=box).update(expiry=to, due_on=to - timedelta(days=7))
    return fresh(box)


def switch_on(page: Page, box: Mailbox) -> None:
    """A card is added without paying, then automatic renewal is switched on with it."""
    page.goto("/area-clienti/metodi-di-pagamento/")
    page.get_by_role("link", name="Aggiungi").click()
    page.get_by_role("button", name="Continua").click()
    expect(page.get_by_role("main")).to_contain_text("Metodo di pagamento salvato: Carta di prova •••• 5556.")
    page.goto(f"/area-clienti/pec/{box.public_id}/rinnovo-automatico/")
    page.get_by_role("button", name="Attiva il rinnovo automatico").click()
    expect(page.get_by_role("main")).to_contain_text("Rinnovo automatico attivato.")


def test_the_beat_task_announces_charges_and_moves_the_expiry(page, sign_in, alice, box, today, mails):
    sign_in(page, alice.username)
    switch_on(page, box)
    assert_styled(page)
    box = move_expiry(box, today + timedelta(days=30))
    charge_due()
    page.goto("/area-clienti/metodi-di-pagamento/")
    charge_on = box.expires_on - timedelta(days=7)
    expect(page.get_by_role("main")).to_contain_text(
        re.compile(f"alice@pec.example: {il(charge_on)}, €.12,08 per 1 anno")
    )
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    expect(page.get_by_role("main")).to_contain_text("Si rinnova da sola: addebito")
    box = move_expiry(box, today + timedelta(days=7))
    charge_due()
    fulfil_due()
    page.reload()
    renewed = after(box, 1)
    expect(page.get_by_role("main")).to_contain_text(day(renewed))
    assert fresh(box).expires_on == renewed
    page.get_by_role("link", name=Order.objects.get().number, exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("Rinnovo completato")
    sent = mails()
    assert f"Subject: alice@pec.example: {il(charge_on)} addebitiamo" in sent
    assert f"Subject: alice@pec.example è rinnovata {fino(renewed)}" in sent


def test_a_failed_charge_ends_in_paga_and_annulla_and_annulla_brings_rinnova_back(
    page, sign_in, alice, box, today, mails
):
    sign_in(page, alice.username)
    switch_on(page, box)
    box = move_expiry(box, today + timedelta(days=30))
    charge_due()
    box = move_expiry(box, today + timedelta(days=7))
    sandbox.tell(StoredMethod.objects.get(), status=sandbox.REFUSED, decline="soft", reason="fondi insufficienti")
    charge_due()
    page.goto("/area-clienti/pec/")
    main = page.get_by_role("main")
    expect(main).to_contain_text(f"L'addebito non è riuscito: riproviamo {il(box.expires_on - timedelta(days=5))}")
    sandbox.tell(StoredMethod.objects.get(), status=sandbox.REFUSED, decline="hard", reason="carta bloccata")
    ScheduledCharge.objects.update(due_on=today)
    charge_due()
    page.reload()
    order = Order.objects.get()
    expect(main).to_contain_text("L'addebito automatico non è riuscito: paga l'ordine, o annullalo.")
    expect(page.get_by_role("link", name=f"Paga {order.number}").first).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^Rinnova"))).to_have_count(0)
    page.get_by_role("link", name=f"Annulla {order.number}").first.click()
    page.get_by_role("button", name="Annulla l'ordine").click()
    expect(main).to_contain_text("Ordine annullato")
    page.goto("/area-clienti/pec/")
    expect(page.get_by_role("link", name=re.compile("^Rinnova"))).to_have_count(1)
    expect(main).to_contain_text("rinnova tu la casella")
    charge_due()
    assert Order.objects.count() == 1
    sent = mails()
    for subject in (
        f"alice@pec.example: addebito non riuscito, riproviamo {il(box.expires_on - timedelta(days=5))}",
        f"alice@pec.example non si è rinnovata da sola: scade {il(box.expires_on)}",
    ):
        assert f"Subject: {subject}" in sent
    assert "Il motivo: carta bloccata." in sent


def test_a_card_is_replaced_and_removed(new_page, sign_in, axe, alice, box):
    page = new_page(width=360)
    sign_in(page, alice.username)
    switch_on(page, box)
    page.goto("/area-clienti/metodi-di-pagamento/")
    assert axe(page) == []
    page.get_by_role("link", name=re.compile("^Sostituisci")).click()
    assert axe(page) == []
    expect(page.get_by_role("main")).to_contain_text("Questi rinnovi automatici passano al nuovo metodo")
    page.get_by_role("button", name="Continua").click()
    expect(page.get_by_role("main")).to_contain_text("Paga il rinnovo automatico di:")
    assert StoredMethod.objects.filter(removed_at=None).count() == 1
    page.get_by_role("link", name=re.compile("^Rimuovi")).click()
    assert axe(page) == []
    expect(page.get_by_role("main")).to_contain_text("Un rinnovo automatico si disattiva")
    page.get_by_role("button", name="Rimuovi").click()
    expect(page.get_by_role("main")).to_contain_text("Nessun metodo salvato")
    assert AutoRenewal.objects.get().ended_why == "method_removed"
    assert not fresh(box).auto_renews
