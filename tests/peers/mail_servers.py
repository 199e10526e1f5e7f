"""Dovecot and Postfix as deploy/mail/server starts them, for a test database; and a customer's mail program."""

import contextlib
import imaplib
import os
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SERVER = str(ROOT / "deploy" / "mail" / "server")
KEY = "a-key-of-the-tests"
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # where Debian has them, which not every user's PATH names


def missing() -> str:
    """Why the servers cannot be started here; empty when they can."""
    absent = [name for name in ("dovecot", "doveadm", "postfix") if shutil.which(name, path=PATH) is None]
    absent += [name for name, path in LIBRARIES.items() if not Path(path).exists()]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return "" if os.geteuid() == 0 else "Dovecot and Postfix are started by root"


LIBRARIES = {
    "dovecot-pgsql": "/usr/lib/dovecot/modules/auth/libdriver_pgsql.so",
    "postfix-pgsql": "/usr/lib/postfix/postfix-pgsql.so",
    "dovecot-imapd": "/usr/lib/dovecot/imap",
    "dovecot-lmtpd": "/usr/lib/dovecot/lmtp",
}


class MailServers:
    """Both, in a folder of their own, until `stop`."""

    def __init__(self, database: dict[str, object], *, role: str, password: str, relay: str = "", **more: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pec-mail-"))
        self.folder.chmod(0o755)
        self.environment = {
            **os.environ, "PATH": PATH,
            "MAIL_DB_HOST": str(database["HOST"]), "MAIL_DB_PORT": str(database["PORT"]),
            "MAIL_DB_NAME": str(database["NAME"]), "MAIL_DB_ROLE": role, "MAIL_DB_PASSWORD": password,
            "DOVEADM_KEY": KEY, "MAIL_RELAY": relay, **more,
        }  # fmt: skip
        self.run("start")
        pairs = (line.split("=") for line in (self.folder / "ports").read_text().split())
        self.ports = {name: int(port) for name, port in pairs}

    def run(self, what: str) -> str:
        done = subprocess.run(
            [SERVER, what, str(self.folder)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        try:
            self.run("stop")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def boxes(self) -> Path:
        return self.folder / "boxes"

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted((self.folder / "log").glob("*.log")))

    # --- What a mail program does -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def imap(self, address: str, password: str) -> Iterator[imaplib.IMAP4]:
        connection = imaplib.IMAP4("127.0.0.1", self.ports["imap"], timeout=30)
        try:
            connection.login(address, password)
            yield connection
        finally:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):  # the server may have ended it
                connection.logout()

    def deliver(self, to: str, *, body: str = "Testo.", sender: str = "mittente@altrove.example") -> tuple[int, str]:
        """The answer to a mail that comes in for a box: of the command that decided."""
        with smtplib.SMTP("127.0.0.1", self.ports["smtp"], timeout=30) as connection:
            return send(connection, sender, to, body)

    def submit(self, address: str, password: str, *, to: str, sender: str | None = None) -> tuple[int, str]:
        """The answer to a mail that a box sends."""
        with smtplib.SMTP("127.0.0.1", self.ports["submission"], timeout=30) as connection:
            try:
                connection.ehlo()
                connection.user, connection.password = address, password
                connection.auth("PLAIN", connection.auth_plain)  # login() would try a wrong password twice
            except smtplib.SMTPAuthenticationError as error:
                return error.smtp_code, f"login: {error.smtp_error.decode()}"
            return send(connection, address if sender is None else sender, to, "Testo.")


def send(connection: smtplib.SMTP, sender: str, to: str, body: str) -> tuple[int, str]:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender or "nessuno@altrove.example", to, "Prova"
    message.set_content(body)
    try:
        connection.sendmail(sender, [to], message.as_bytes())
    except smtplib.SMTPRecipientsRefused as error:
        code, text = error.recipients[to]
        return code, text.decode()
    except smtplib.SMTPResponseException as error:
        text = error.smtp_error
        return error.smtp_code, text.decode() if isinstance(text, bytes) else text
    return 250, ""
