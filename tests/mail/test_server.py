"""deploy/mail/server as an operator uses it: with a certificate, in the foreground, with something missing."""

import contextlib
import imaplib
import os
import shutil
import signal
import smtplib
import ssl
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.db import connection

from mailboxes.platform import role
from tests.conftest import MAIL_PASSWORD, MAIL_ROLE
from tests.mail.conftest import PASSWORD
from tests.peers.mail_servers import PATH, SERVER, MailServers, missing

pytestmark = [pytest.mark.servers, pytest.mark.skipif("missing()", reason=f"mail servers: {missing()}")]


@pytest.fixture
def certificate(tmp_path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return str(paths[0]), str(paths[1])


@pytest.mark.real_hasher
@pytest.mark.django_db(transaction=True)
def test_with_a_certificate_nothing_is_said_in_the_open(mail_servers, box, certificate):
    cert, key = certificate
    servers = MailServers(
        connection.settings_dict, role=MAIL_ROLE, password=MAIL_PASSWORD,
        MAIL_LISTEN="0.0.0.0", MAIL_TLS_CERT=cert, MAIL_TLS_KEY=key,
    )  # fmt: skip
    try:
        trust = ssl.create_default_context(cafile=cert)
        with imaplib.IMAP4_SSL("localhost", servers.ports["imap"], ssl_context=trust, timeout=20) as mail:
            mail.login(box.address.name, PASSWORD)
            assert mail.select("INBOX")[0] == "OK"
        with smtplib.SMTP_SSL("localhost", servers.ports["submission"], context=trust, timeout=20) as sender:
            sender.login(box.address.name, PASSWORD)
        with smtplib.SMTP("127.0.0.1", servers.ports["smtp"], timeout=20) as incoming:
            incoming.ehlo()
            assert incoming.has_extn("starttls")
            assert not incoming.has_extn("auth")
        with pytest.raises((imaplib.IMAP4.error, OSError)):
            imaplib.IMAP4("127.0.0.1", servers.ports["imap"], timeout=3)
        listening = subprocess.run(["ss", "-tln"], capture_output=True, text=True, check=False).stdout
        assert f"127.0.0.1:{servers.ports['doveadm']}" in listening or not listening
        assert f"0.0.0.0:{servers.ports['doveadm']}" not in listening
        assert MAIL_PASSWORD not in servers.log()
    finally:
        servers.stop()


def call(what: str, folder: object, **environment: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAIL_", "DOVEADM"))}
    return subprocess.run(
        [SERVER, what, str(folder)], env={**kept, "PATH": PATH, **environment}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


RIGHT = {"MAIL_DB_PASSWORD": "password", "DOVEADM_KEY": "key"}


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"DOVEADM_KEY": "key"}, "MAIL_DB_PASSWORD is not set"),
        ({"MAIL_DB_PASSWORD": "password"}, "DOVEADM_KEY is not set"),
        ({**RIGHT, "MAIL_OWNER": "nobody-of-this-name"}, "there is no user nobody-of-this-name"),
        ({**RIGHT, "MAIL_DB_PASSWORD": "a b' ; x"}, "DB_PASSWORD may have letters"),
        ({**RIGHT, "MAIL_TLS_CERT": "/nowhere", "MAIL_TLS_KEY": "/nowhere"}, "cannot be read"),
        ({**RIGHT, "MAIL_LISTEN": "0.0.0.0"}, "passwords would cross the network in the open"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_starts(environment, sentence):
    done = call("start", "/tmp/pec-mail-wrong", **environment)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "not running" in call("status", "/tmp/pec-mail-wrong").stderr


def test_without_a_word_it_says_how_it_is_used():
    done = subprocess.run([SERVER], env={**os.environ, "PATH": PATH}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "start|run|stop|status FOLDER" in done.stderr


@pytest.mark.django_db(transaction=True)
def test_in_the_foreground_it_ends_with_both_when_it_is_told(mail_servers):
    folder = tempfile.mkdtemp(prefix="pec-mail-")
    environment = {**mail_servers.environment}
    process = subprocess.Popen([SERVER, "run", folder], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("imap ")
        assert "both run" in call("status", folder).stdout
        assert "runs already" in call("start", folder, **RIGHT).stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "not running" in call("status", folder).stderr
    finally:
        call("stop", folder)
        process.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.real_hasher
@pytest.mark.django_db(transaction=True)
def test_without_the_database_mail_waits_at_its_sender(mail_servers, box):
    """No answer for good from servers that do not know: 4xx. A reload lets Dovecot look for it at once.

    Servers of its own, and Postfix is not waited for: it looks for a database that was away once a minute.
    """
    other = f"{MAIL_ROLE}_altro"
    role.ensure(other, MAIL_PASSWORD)
    servers = MailServers(connection.settings_dict, role=other, password=MAIL_PASSWORD)
    try:
        assert servers.deliver(box.address.name)[0] == 250
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {other} NOLOGIN")
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [other])
        assert 400 <= servers.deliver(box.address.name)[0] < 500
        # Postfix 3.7 calls it a wrong password; the message stays with the mail program.
        assert servers.submit(box.address.name, PASSWORD, to="a@b.example")[0] in (454, 535)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {other} LOGIN")
        reload = ["doveadm", "-c", str(servers.folder / "dovecot.conf"), "reload"]
        subprocess.run(reload, stdin=subprocess.DEVNULL, check=True, timeout=30)
        assert signs_in_again(servers, box.address.name)
    finally:
        servers.stop()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [other])


def signs_in_again(servers: MailServers, address: str) -> bool:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(imaplib.IMAP4.error, OSError), servers.imap(address, PASSWORD):
            return True
        time.sleep(0.5)
    return False
