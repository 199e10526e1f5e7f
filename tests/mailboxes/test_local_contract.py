"""The embedded mail system is what pecportal expects of one."""

import pytest

from tests.platform_contract import PlatformContract

pytestmark = pytest.mark.django_db


class TestLocal(PlatformContract):
    path = "mailboxes.platform.local.LocalPlatform"

    @pytest.fixture
    def fill(self, platform):
        return platform.set_usage
