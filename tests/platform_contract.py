"""What pecportal expects of any mail system. A class of yours is right when it passes all of this:

    class TestOurs(PlatformContract):
        path = "our.module.OurPlatform"

        @pytest.fixture
        def fill(self):
            def put(address, mailbox_bytes, archive_bytes=0): ...  # messages of that many bytes, by whatever way
            return put

Boxes are those of the database, as flows have made them; `mailboxes.platform.base.Platform` says what each method does.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest

from accounts.models import User
from mailboxes import ending, telling
from mailboxes.backends import nobody
from mailboxes.models import Mailbox, Plan
from mailboxes.platform.base import Platform, UnknownBoxError, get_platform
from mailboxes.rules import State
from pecportal import clock

PASSWORD, OTHER = "Prova-pec-2026", "Un-altra-password-7"
KB = 1024
SLACK = 16 * KB  # mail systems add headers, and round


class PlatformContract:
    path = ""

    @pytest.fixture
    def fill(self) -> Callable[..., None]:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _platform_under_test(self, settings) -> None:
        settings.MAILBOX_PLATFORM = self.path

    @pytest.fixture
    def theirs(self) -> Platform:
        return get_platform()

    @pytest.fixture
    def pro(self, make_box, alice) -> Mailbox:
        """A living box with an archive, of which the mail system was told."""
        box = make_box(alice, "con.archivio", plan="pro")
        assert telling.tell_platform().failed == 0
        return box

    @pytest.fixture
    def other(self, make_box, alice, fill) -> Mailbox:
        box = make_box(alice, "vicina")
        assert telling.tell_platform().failed == 0
        fill(box.address.name, 30 * KB)
        return box

    # --- Passwords ----------------------------------------------------------------------------------------------------

    def test_one_password_opens_and_others_do_not(self, theirs, pro, other):
        assert theirs.check_password(pro.login, PASSWORD) is True
        assert theirs.check_password(pro.login, OTHER) is False
        assert theirs.check_password(pro.login, "") is False
        assert theirs.check_password(nobody(), PASSWORD) is False

    def test_a_new_password_is_the_only_one_and_is_the_logins_own(self, theirs, pro, other):
        for _twice in range(2):
            theirs.set_password(pro.login, OTHER)
        login = User.objects.get(pk=pro.login_id)
        assert theirs.check_password(login, OTHER) is True
        assert theirs.check_password(login, PASSWORD) is False
        assert theirs.check_password(User.objects.get(pk=other.login_id), PASSWORD) is True
        assert OTHER not in login.password

    # --- Usage --------------------------------------------------------------------------------------------------------

    def test_usage_is_real_of_both_spaces_and_has_its_time(self, theirs, pro, fill):
        before = clock.now()
        fill(pro.address.name, 50 * KB, 200 * KB)
        used = theirs.usage([pro.address.name])[pro.address.name]
        assert 50 * KB <= used.mailbox_bytes <= 50 * KB + SLACK
        assert 200 * KB <= used.archive_bytes <= 200 * KB + SLACK
        assert used.measured_at is not None
        assert before - timedelta(seconds=1) <= used.measured_at <= clock.now()

    def test_usage_of_many_in_one_call_under_the_names_asked_for(self, theirs, pro, other, fill):
        fill(pro.address.name, 10 * KB)
        asked = [pro.address.name.upper(), other.address.name, "nessuno@pec.example"]
        found = theirs.usage(asked)
        assert set(found) == set(asked[:2])
        assert found[asked[1]].mailbox_bytes >= 30 * KB > found[asked[0]].mailbox_bytes > 0
        assert theirs.usage([]) == {}

    # --- State and space ----------------------------------------------------------------------------------------------

    def test_everything_may_be_told_twice(self, theirs, pro, fill):
        fill(pro.address.name, 10 * KB, 10 * KB)
        for state in (State.EXPIRED, State.EXPIRED, State.AWAITING_DELETION, State.ACTIVE, State.ACTIVE):
            theirs.apply_state(pro.address.name, state)
        for gb in ((2, 3), (2, 3), (4, 5)):
            theirs.set_capacity(pro.address.name, mailbox_gb=gb[0], archive_gb=gb[1])
        used = theirs.usage([pro.address.name])[pro.address.name]
        assert min(used.mailbox_bytes, used.archive_bytes) >= 10 * KB

    def test_an_archive_of_nothing_is_gone_with_its_messages_and_the_box_stays(self, theirs, pro, fill):
        fill(pro.address.name, 20 * KB, 40 * KB)
        Mailbox.objects.filter(pk=pro.pk).update(plan=Plan.objects.get(code="standard"), mailbox_gb=2, archive_gb=0)
        for _twice in range(2):
            theirs.set_capacity(pro.address.name, mailbox_gb=2, archive_gb=0)
        Mailbox.objects.filter(pk=pro.pk).update(plan=Plan.objects.get(code="pro"), mailbox_gb=2, archive_gb=3)
        theirs.set_capacity(pro.address.name, mailbox_gb=2, archive_gb=3)
        used = theirs.usage([pro.address.name])[pro.address.name]
        assert used.archive_bytes == 0
        assert used.mailbox_bytes >= 20 * KB

    # --- The beginning and the end ------------------------------------------------------------------------------------

    def test_opening_is_confirmed_and_changes_nothing_of_a_living_box(self, theirs, other):
        before = theirs.usage([other.address.name])[other.address.name].mailbox_bytes
        assert isinstance(theirs.open("nuova@pec.example", mailbox_gb=1, archive_gb=0), bool)
        for _twice in range(2):
            theirs.open(other.address.name, mailbox_gb=9, archive_gb=9)
        assert theirs.usage([other.address.name])[other.address.name].mailbox_bytes == before

    def test_a_purge_leaves_nothing_and_no_other_box_without_its_mail(self, theirs, pro, other, fill):
        fill(pro.address.name, 20 * KB, 40 * KB)
        neighbour = theirs.usage([other.address.name])[other.address.name].mailbox_bytes
        ending.begin(pro, today=clock.today(), why="prova")
        theirs.apply_state(pro.address.name, State.DELETING)
        assert theirs.purge(pro.address.name) is True
        assert theirs.purge(pro.address.name) is True
        for state in (State.DELETING, State.DELETED):  # told late: it is not made known again
            theirs.apply_state(pro.address.name, state)
        assert set(theirs.usage([pro.address.name, other.address.name])) == {other.address.name}
        assert theirs.usage([other.address.name])[other.address.name].mailbox_bytes == neighbour

    def test_the_next_life_of_an_address_is_empty(self, theirs, pro, make_box, alice, fill):
        fill(pro.address.name, 20 * KB, 40 * KB)
        ending.begin(pro, today=clock.today(), why="prova")
        assert theirs.purge(pro.address.name) is True
        ending.finish(pro, today=clock.today())
        make_box(alice, "con.archivio", plan="pro")
        assert telling.tell_platform().failed == 0
        used = theirs.usage([pro.address.name]).get(pro.address.name)
        assert used is None or (used.mailbox_bytes, used.archive_bytes) == (0, 0)

    def test_what_was_never_there_is_gone(self, theirs):
        try:
            assert theirs.purge("mai.vista@pec.example") is True
        except UnknownBoxError:
            pass
