"""Old mails and ended sessions are forgotten; what still waits, and what became of a notice, is not (R33)."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from post_office.models import STATUS, Email

from lifecycle.models import Letter
from pecportal import clock, mail, tasks, tidying

pytestmark = pytest.mark.django_db


def a_mail(*, days_old: int, status: int) -> Email:
    [row] = mail.queue([{"sender": "a@b.example", "recipients": ["c@d.example"], "subject": "s", "message": "m",
                         "html_message": ""}])  # fmt: skip
    Email.objects.filter(pk=row.pk).update(created=clock.now() - timedelta(days=days_old), status=status)
    return row


def test_only_mails_that_are_over_and_old_are_forgotten_in_batches(settings, monkeypatch):
    settings.MAIL_KEEP_DAYS = 100
    monkeypatch.setattr(tidying, "BATCH", 2)
    old = [a_mail(days_old=101, status=status) for status in (STATUS.sent, STATUS.failed, STATUS.sent)]
    kept = [
        a_mail(days_old=99, status=STATUS.sent),
        a_mail(days_old=500, status=STATUS.queued),
        a_mail(days_old=500, status=STATUS.requeued),
    ]
    letter = Letter.objects.create(
        to="c@d.example", state=Letter.State.ACCEPTED, mail=old[0], queued_at=clock.now(), settled_at=clock.now()
    )
    assert tidying.forget_mails() == 3
    assert set(Email.objects.values_list("pk", flat=True)) == {row.pk for row in kept}
    letter.refresh_from_db()
    assert (letter.mail, letter.state, letter.to) == (None, Letter.State.ACCEPTED, "c@d.example")
    assert tidying.forget_mails() == 0


def test_the_job_forgets_ended_sessions_only():
    now = clock.now()
    Session.objects.create(session_key="ended", session_data="", expire_date=now - timedelta(minutes=1))
    Session.objects.create(session_key="open", session_data="", expire_date=now + timedelta(hours=1))
    old = a_mail(days_old=731, status=STATUS.sent)
    tasks.forget()
    assert list(Session.objects.values_list("session_key", flat=True)) == ["open"]
    assert not Email.objects.filter(pk=old.pk).exists()
