"""One way out for every mail: three templates of one name, queued in the database, sent by the queue's one worker."""

import logging
from email.utils import make_msgid

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext
from post_office.models import PRIORITY, STATUS, Email

from pecportal.context import brand

log = logging.getLogger(__name__)


def send(template: str, *, to: list[str], context: dict[str, object]) -> None:
    """Queue `templates/emails/<template>.{subject.txt,txt,html}` to each address of `to` (duplicates once).

    Call it inside the transaction whose truth it tells: the queue is a table, so the mail exists if and only if that
    commits. Addresses are never logged.
    """
    queue(letters(template, to=to, context=context))


def letters(template: str, *, to: list[str], context: dict[str, object]) -> list[dict[str, object]]:
    """The mails that `send` would queue, for whoever queues many at once."""
    with translation.override(settings.LANGUAGE_CODE):
        values = {
            "brand": brand(),
            "action_url": settings.SITE_URL + reverse("account_login"),  # the one link: to the sign-in
            "action_label": gettext("Accedi all'area clienti"),
            **context,
        }
        subject = " ".join(render_to_string(f"emails/{template}.subject.txt", values).split())
        text = render_to_string(f"emails/{template}.txt", values)
        html = render_to_string(f"emails/{template}.html", values)
    letter = {"sender": settings.DEFAULT_FROM_EMAIL, "subject": subject, "message": text, "html_message": html}
    return [{**letter, "recipients": [a]} for a in sorted({a.strip().lower() for a in to if a})]


def queue(found: list[dict[str, object]], *, priority: int = PRIORITY.medium) -> list[Email]:
    """Queue letters with one insert, and ask for them to be sent after the commit. Returns the rows, in that order.

    Written as they are: post_office's own way in would read them as templates once more, and trip over an address or a
    name with "{%" in it. What is sent by the thousand has a low priority, or a code to sign in would wait behind it.
    """
    rows = [
        Email(
            from_email=letter["sender"], to=letter["recipients"], subject=letter["subject"],
            message=letter["message"], html_message=letter["html_message"], priority=priority, status=STATUS.queued,
            message_id=make_msgid(domain=settings.ACCOUNT_DOMAIN),
        )
        for letter in found
    ]  # fmt: skip
    Email.objects.bulk_create(rows, batch_size=500)
    transaction.on_commit(nudge, robust=True)
    return rows


def nudge() -> None:
    """Ask the worker to send now; if the broker is away, beat does it within a minute."""
    from pecportal.tasks import send_mail

    send_mail.delay()
