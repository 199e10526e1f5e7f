"""The embedded mail system: small files, written whole, one hash for the password."""

import json
import threading
from datetime import UTC, datetime

import pytest
import time_machine

from accounts.models import User
from mailboxes.platform import local
from mailboxes.platform.base import Usage, get_platform
from mailboxes.rules import GB

A, B = "uno@pec.example", "due@pec.example"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_it_is_the_platform_of_development(platform):
    assert isinstance(get_platform(), local.LocalPlatform)


def test_usage_of_many_leaves_out_the_unknown(platform):
    with time_machine.travel(NOON, tick=False):
        platform.set_usage(A, 5 * GB, 7)
    platform.set_capacity(B, mailbox_gb=1, archive_gb=0)
    assert platform.usage([A, B, "nessuno@pec.example"]) == {A: Usage(5 * GB, 7, NOON), B: Usage(0, 0, None)}
    assert platform.usage([]) == {}


def test_addresses_are_one_in_any_case_and_never_a_path(platform, settings):
    platform.set_usage("Uno@PEC.example", 1)
    assert platform.usage([A])[A].mailbox_bytes == 1
    platform.set_usage("../../etc/passwd@pec.example", 1)
    files = [path for path in settings.VAR_DIR.rglob("*") if path.is_file()]
    assert {path.relative_to(settings.VAR_DIR).parts[0] for path in files} == {"platform"}
    assert all(len(path.stem) == 64 for path in files if path.suffix == ".json")
    assert len([path for path in files if path.suffix == ".json"]) == 2


def test_state_and_capacity_are_kept_and_may_be_told_twice(platform):
    for _ in range(2):
        platform.apply_state(A, "scaduta")
        platform.set_capacity(A, mailbox_gb=2, archive_gb=3)
    assert platform.state_of(A) == {"address": A, "state": "scaduta", "mailbox_gb": 2, "archive_gb": 3}
    assert platform.state_of(B) is None


def test_an_archive_that_is_taken_away_loses_its_messages(platform):
    platform.set_usage(A, 10, 20)
    platform.set_capacity(A, mailbox_gb=2, archive_gb=1)
    assert platform.usage([A])[A].archive_bytes == 20
    platform.set_capacity(A, mailbox_gb=1, archive_gb=0)
    assert (platform.usage([A])[A].mailbox_bytes, platform.usage([A])[A].archive_bytes) == (10, 0)


def test_purge_removes_and_confirms_also_what_is_gone(platform):
    platform.set_usage(A, 10, 20)
    platform.set_usage(B, 1, 2)
    assert platform.purge(A) is True
    assert platform.purge(A) is True
    assert platform.purge("mai.vista@pec.example") is True
    assert set(platform.usage([A, B])) == {B}


def test_a_write_that_breaks_off_leaves_the_old_file(platform, settings, monkeypatch):
    platform.set_usage(A, 10, 20)

    def broken(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(local.os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        platform.set_usage(A, 99, 99)
    monkeypatch.undo()
    assert platform.usage([A])[A].mailbox_bytes == 10
    assert [p.name for p in (settings.VAR_DIR / "platform").rglob(".new-*")] == []


def test_two_writers_do_not_undo_each_other(platform):
    def write(n: int) -> None:
        with local._changing(A) as content:
            content["n"] = content.get("n", 0) + n

    threads = [threading.Thread(target=write, args=(1,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert platform.state_of(A)["n"] == 20


def test_without_the_lock_two_writers_do_undo_each_other(platform, monkeypatch):
    """The control: the test above can fail."""
    from contextlib import nullcontext

    monkeypatch.setattr(local, "_locked", lambda path: nullcontext())
    both_have_read = threading.Barrier(2)

    def write() -> None:
        with local._changing(A) as content:
            n = content.get("n", 0)
            both_have_read.wait()
            content["n"] = n + 1

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert platform.state_of(A)["n"] == 1


def test_the_password_is_the_logins_own_hash(platform, box, settings):
    assert platform.check_password(box.login, "Prova-pec-2026")
    platform.set_password(box.login, "Un-altra-password-7")
    login = User.objects.get(pk=box.login_id)
    assert platform.check_password(login, "Un-altra-password-7")
    assert not platform.check_password(login, "Prova-pec-2026")
    assert json.dumps(platform.state_of(box.address.name) or {}).count("password") == 0


def test_an_old_hash_is_renewed_when_the_password_is_seen(platform, box, settings):
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.ScryptPasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    login = User.objects.get(pk=box.login_id)
    assert login.password.startswith("md5$")
    assert platform.check_password(login, "Prova-pec-2026")
    assert User.objects.get(pk=box.login_id).password.startswith("scrypt$")


@pytest.mark.real_hasher
def test_the_stored_hash_is_one_that_mail_servers_read(platform, box):
    platform.set_password(box.login, "Un-altra-password-7")
    stored = User.objects.get(pk=box.login_id).password
    assert stored.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
