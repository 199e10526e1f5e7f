"""The cap from the stop to Cancellata, and a staff hold, as staff and customers see them (R29)."""

import os
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission

from accounts.models import User
from lifecycle import flows
from lifecycle.models import DeletionStop
from mailboxes.models import Mailbox
from tests.lifecycle.deletions import warn_twice

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("SHOTS", "")  # a folder to look at what the browser saw


def shot(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


@pytest.fixture
def elena(db) -> User:
    """The other member of staff: she may look at deletions and release them, and nothing else."""
    user = User.objects.create_user("elena", "Prova-pec-2026", email="elena@provider.example", is_staff=True)
    codes = ["view_deletionstop", "view_manifestline", "release_deletion"]
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    return user


def test_the_cap_one_asks_another_releases_and_the_box_is_gone(
    new_page, sign_in, make_box, alice, dario, elena, today, settings
):
    settings.DELETION_CAP_COUNT = 1
    boxes = [make_box(alice, f"persa{n}", expires_in=-95) for n in range(3)]
    make_box(alice, "mai-avvisata", expires_in=-95)
    warn_twice(*boxes)
    flows.run_for(today)
    customer = new_page(width=360)
    sign_in(customer, alice.username)
    card = f"/area-clienti/pec/{boxes[0].public_id}/"
    customer.goto(card)
    assert "in attesa di cancellazione" in customer.inner_text("main").lower()
    first = new_page()
    sign_in(first, "dario")
    stop = DeletionStop.objects.get()
    first.goto(f"/admin/lifecycle/deletionstop/{stop.pk}/change/")
    told = first.inner_text("#content-main")
    assert "Da cancellare, avvisata e non rinnovata: 3" in told
    assert "Trattenuta, mancano due avvisi accettati: 1" in told
    shot(first, "stop")
    first.get_by_role("link", name="le caselle da cancellare").click()
    listed = first.inner_text("#changelist")
    assert "persa0@pec.example" in listed and "mai-avvisata@pec.example" not in listed
    shot(first, "manifest")
    first.goto(f"/admin/lifecycle/deletionstop/{stop.pk}/change/")
    first.get_by_role("link", name="Chiedi lo sblocco").click()
    first.get_by_role("button", name="Chiedi lo sblocco").click()
    assert "Scrivi che cosa è stato deciso" in first.inner_text("#content-main")
    first.get_by_label("Che cosa è stato deciso").fill("le caselle importate a marzo, controllate una per una")
    first.get_by_role("button", name="Chiedi lo sblocco").click()
    first.wait_for_url("**/change/")
    first.goto(f"/admin/lifecycle/deletionstop/{stop.pk}/sblocca/")
    first.get_by_role("button", name="Cancella queste caselle").click()
    assert "lo deve dare un'altra persona" in first.inner_text("#content-main")
    shot(first, "stop-same-person")
    second = new_page()
    sign_in(second, "elena")
    second.goto(f"/admin/lifecycle/deletionstop/{stop.pk}/change/")
    second.get_by_role("link", name="Sblocca la cancellazione").click()
    assert "le caselle importate a marzo" in second.inner_text("#content-main")
    shot(second, "stop-release")
    second.get_by_role("button", name="Cancella queste caselle").click()
    second.wait_for_url("**/change/")
    assert "Sbloccata" in second.inner_text("#content-main")
    flows.run_for(today)
    customer.goto(card)
    assert "Cancellata" in customer.inner_text("main")
    assert "i messaggi non si recuperano" in customer.inner_text("main")
    shot(customer, "deleted-360")
    assert Mailbox.objects.filter(phase="deleted").count() == 3


def test_a_hold_keeps_the_box_and_its_lifting_lets_it_go(page, sign_in, make_box, alice, dario, today):
    box = make_box(alice, "persa", expires_in=-95)
    warn_twice(box)
    sign_in(page, "dario")
    page.goto(f"/admin/mailboxes/mailbox/{box.pk}/change/")
    shot(page, "box")
    page.get_by_role("link", name="Blocca la cancellazione").click()
    shot(page, "hold")
    page.get_by_label("Che cosa è stato deciso").fill("in causa: il giudice chiede i messaggi")
    page.get_by_role("button", name="Blocca la cancellazione").click()
    page.wait_for_url("**/change/")
    flows.run_for(today)
    assert Mailbox.objects.get().phase == "live"
    page.goto("/admin/lifecycle/manifestline/")
    assert "Blocco del personale" in page.inner_text("#changelist")
    page.goto(f"/admin/mailboxes/mailbox/{box.pk}/change/")
    page.get_by_role("link", name="Togli il blocco").click()
    assert "la cancella per sempre" in page.inner_text("#content-main")
    page.get_by_role("button", name="Togli il blocco").click()
    page.wait_for_url("**/change/")
    flows.run_for(today)
    assert Mailbox.objects.get().phase == "deleted"
