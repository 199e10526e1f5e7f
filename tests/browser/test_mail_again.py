"""A Scaduta box is renewed in the browser, and the next message is taken (R13). Nothing else runs in between."""

import time
from datetime import timedelta

import pytest
from playwright.sync_api import expect

from mailboxes.models import Mailbox
from tests.browser.test_renewal import confirm, to_step_three

pytestmark = [
    pytest.mark.browser, pytest.mark.servers, pytest.mark.real_hasher, pytest.mark.django_db(transaction=True),
]  # fmt: skip


def test_renewed_in_the_browser_the_next_message_arrives(mail_servers, page, sign_in, make_box, alice, today):
    box = make_box(alice, "scaduta", expires_in=-12)
    sign_in(page, box.address.name, tab="casella")  # the mail server's hash is the portal's
    expect(page.get_by_role("main")).to_contain_text("Scaduta")
    code, text = mail_servers.deliver(box.address.name)
    assert (code, "Casella scaduta" in text) == (550, True)
    to_step_three(page, box)
    confirm(page, method="sandbox")
    page.get_by_role("button", name="Paga", exact=True).click()
    page.wait_for_load_state()
    assert Mailbox.objects.get(pk=box.pk).expires_on > today + timedelta(days=300)
    assert mail_servers.deliver(box.address.name) == (250, "")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with mail_servers.imap(box.address.name, "Prova-pec-2026") as connection:
            if connection.select("INBOX")[1] == [b"1"]:
                connection.store("1", "+FLAGS", r"(\Seen)")
                assert b"Seen" in connection.fetch("1", "(FLAGS)")[1][0]
                return
    raise AssertionError("the message did not arrive")
