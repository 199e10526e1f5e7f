"""One way out for every mail: three templates of one name, queued in the database, sent by the queue's one worker."""

import logging

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext
from post_office import mail as post_office

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


def queue(found: list[dict[str, object]]) -> None:
    """Queue letters with one insert, and ask for them to be sent after the commit."""
    post_office.send_many(found)
    transaction.on_commit(nudge, robust=True)


def nudge() -> None:
    """Ask the worker to send now; if the broker is away, beat does it within a minute."""
    from pecportal.tasks import send_mail

    send_mail.delay()
