"""SdI by certified mail: the provider's own PEC to SdI's address, a file a message. SdI answers with receipts by mail.

The provider's mail system answers "taken" (250) to the message: from then on it is under way. What it answers before
that is certain; a connection that breaks after the content was begun is not.
"""

import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime, make_msgid
from typing import Any, ClassVar

import environ
from django.conf import settings

from payments.invoicing.sdi.base import NotSentError, PerhapsSentError, Road

TIMEOUT = 30  # seconds of each answer


class MailRoad(Road):
    name: ClassVar[str] = "mail"

    def send(self, file_name: str, content: bytes) -> str:
        message = letter(file_name, content)
        try:
            server = connect()
        except (OSError, ValueError, smtplib.SMTPException) as error:
            raise NotSentError(f"il server della PEC non si raggiunge ({_said(error)})") from error
        try:
            self._envelope(server)
            return self._content(server, message)
        finally:
            server.close()

    def _envelope(self, server: smtplib.SMTP) -> None:
        try:
            for code, said in (server.mail(settings.SDI_MAIL_FROM), server.rcpt(settings.SDI_MAIL_TO)):
                if code >= 300:
                    raise NotSentError(f"il server della PEC rifiuta ({code} {said.decode(errors='replace')[:150]})")
        except (OSError, smtplib.SMTPException) as error:
            raise NotSentError(f"il server della PEC non risponde ({_said(error)})") from error

    def _content(self, server: smtplib.SMTP, message: EmailMessage) -> str:
        try:
            code, said = server.data(message.as_bytes())
        except smtplib.SMTPDataError as error:  # DATA itself was refused: nothing went
            raise NotSentError(f"il server della PEC rifiuta ({_said(error)})") from error
        except (OSError, smtplib.SMTPException) as error:
            raise PerhapsSentError(f"collegamento caduto durante l'invio ({_said(error)})") from error
        answer = said.decode(errors="replace")[:150]
        if code != 250:
            raise NotSentError(f"il server della PEC rifiuta ({code} {answer})")
        return f"{code} {answer}"


def letter(file_name: str, content: bytes) -> EmailMessage:
    """The message: SdI reads the attachment alone, by its name."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = settings.SDI_MAIL_FROM, settings.SDI_MAIL_TO, file_name
    message["Date"], message["Message-ID"] = localtime(), make_msgid(domain=settings.SDI_MAIL_FROM.rpartition("@")[2])
    message.set_content(f"In allegato il file {file_name}.")
    message.add_attachment(content, maintype="application", subtype="xml", filename=file_name)
    return message


def connect() -> smtplib.SMTP:
    """A signed-in connection to the server of SDI_MAIL_URL, its certificate checked. Raises OSError, SMTPException."""
    server = address()
    host, port = server["EMAIL_HOST"], server["EMAIL_PORT"] or 25
    if server.get("EMAIL_USE_SSL"):
        connection: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=ssl.create_default_context())
    else:
        connection = smtplib.SMTP(host, port, timeout=TIMEOUT)
    try:
        if server.get("EMAIL_USE_TLS"):
            connection.starttls(context=ssl.create_default_context())
        if server["EMAIL_HOST_USER"]:
            connection.login(server["EMAIL_HOST_USER"], server["EMAIL_HOST_PASSWORD"] or "")
        connection.ehlo_or_helo_if_needed()
    except BaseException:
        connection.close()
        raise
    return connection


def address() -> dict[str, Any]:
    """SDI_MAIL_URL, written as EMAIL_URL, in its parts. Raises ValueError."""
    try:
        found: dict[str, Any] = environ.Env.email_url_config(settings.SDI_MAIL_URL)
    except (KeyError, environ.ImproperlyConfigured) as error:
        raise ValueError("SDI_MAIL_URL is no address of a mail server") from error
    if "smtp" not in found["EMAIL_BACKEND"] or not found["EMAIL_HOST"]:
        raise ValueError("SDI_MAIL_URL is no address of a mail server")
    return found


def _said(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"{error.smtp_code} {text[:150]}"
    return type(error).__name__
