"""A customer pays with PayPal in a real browser: approve, cancel, approve and close the tab."""

import time

import pytest
import time_machine
from playwright.sync_api import expect

from mailboxes.models import Mailbox
from payments import sync
from payments.models import AutoRenewal, Payment
from pecportal import clock
from pecportal.formats import day
from renewals.models import Order
from tests.browser.test_renewal import after, confirm, to_step_three

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def at_paypal(page, sign_in, paypal, alice, box):
    """The customer confirmed the order and stands on PayPal's page."""
    sign_in(page, alice.username)
    page.goto(f"/area-clienti/pec/{box.public_id}/")
    to_step_three(page, box)
    confirm(page, method="paypal", years=2)
    page.wait_for_url(f"{paypal.url}/checkoutnow*")
    return page


def test_approve_renews_and_keeps_the_account(at_paypal, paypal, alice, box):
    at_paypal.get_by_role("button", name="Approva", exact=True).click()
    expect(at_paypal.get_by_role("main")).to_contain_text(day(after(box, 2)))
    assert (Order.objects.get().status, paypal.captures_made) == ("fulfilled", 1)
    assert Mailbox.objects.get(pk=box.pk).expires_on == after(box, 2)
    consent = AutoRenewal.objects.get(box=box, ended_at=None)
    assert (consent.method.label, consent.years, consent.agreed_by) == ("PayPal m•••@posta.example", 2, alice)


def test_cancel_is_an_honest_page(at_paypal, paypal, box):
    at_paypal.get_by_role("button", name="Annulla").click()
    expect(at_paypal.get_by_role("main")).to_contain_text("Paga")
    assert (Order.objects.get().status, paypal.captures_made) == ("awaiting_payment", 0)
    assert Mailbox.objects.get(pk=box.pk).expires_on == box.expires_on


def test_approve_then_close_the_tab_is_found_by_the_sync(at_paypal, paypal, box):
    at_paypal.get_by_role("button", name="Approva e resta").click()
    expect(at_paypal.get_by_text("Approvato")).to_be_visible()
    at_paypal.close()
    assert Payment.objects.get().status == "pending"
    with time_machine.travel(clock.now().timestamp() + 120, tick=True):
        sync.sync_due()
    deadline = time.monotonic() + 30
    while Order.objects.get().status != "fulfilled" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (Order.objects.get().status, paypal.captures_made) == ("fulfilled", 1)
    assert Mailbox.objects.get(pk=box.pk).expires_on == after(box, 2)
