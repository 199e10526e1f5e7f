"""The admin of the packages we stand on: least privilege, no code or link to be read in a queued mail."""

import pytest
from django.urls import reverse
from post_office import mail

from accounts.models import User

pytestmark = pytest.mark.django_db


def test_a_queued_mail_is_listed_without_its_text(client, dario):
    letter = mail.send(
        recipients=["a@posta.example"], sender="x@posta.example", subject="Codice", message="il-codice-77"
    )
    client.force_login(dario, backend="accounts.backends.AccountBackend")
    for url in (
        reverse("admin:post_office_email_changelist"),
        reverse("admin:post_office_email_change", args=[letter.pk]),
    ):
        page = client.get(url)
        assert page.status_code == 200
        assert "Codice" in page.content.decode()
        assert "il-codice-77" not in page.content.decode()
    assert client.post(reverse("admin:post_office_email_change", args=[letter.pk]), {"message": "x"}).status_code == 403


@pytest.mark.parametrize(
    "name", ["django_celery_beat_periodictask", "django_celery_beat_crontabschedule", "auditlog_logentry"]
)
def test_the_pages_of_ops_open(client, dario, name):
    from django.core.management import call_command

    call_command("seed_timetable")
    client.force_login(dario, backend="accounts.backends.AccountBackend")
    assert client.get(reverse(f"admin:{name}_changelist")).status_code == 200
    if "auditlog" not in name:
        assert client.get(reverse(f"admin:{name}_add")).status_code == 200


def test_the_menu_shows_what_a_person_may_see(client, dario):
    client.force_login(dario, backend="accounts.backends.AccountBackend")
    page = client.get(reverse("admin:index")).content.decode()
    for title in ("Casi da verificare", "Accrediti", "Orario dei lavori", "Posta in uscita"):
        assert title in page
    clerk = User.objects.create_user("impiegata", "Prova-pec-2026", is_staff=True)
    client.force_login(clerk, backend="accounts.backends.AccountBackend")
    page = client.get(reverse("admin:index")).content.decode()
    assert "Posta in uscita" not in page
    assert "Accrediti" not in page
