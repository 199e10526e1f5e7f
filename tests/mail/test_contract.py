"""Dovecot is what pecportal expects of a mail system."""

import pytest

from tests.platform_contract import PlatformContract

pytestmark = [pytest.mark.servers, pytest.mark.real_hasher, pytest.mark.django_db(transaction=True)]


@pytest.mark.usefixtures("mail_servers")
class TestDovecot(PlatformContract):
    path = "mailboxes.platform.dovecot.DovecotPlatform"

    @pytest.fixture
    def fill(self, fill_by_imap):
        return fill_by_imap
