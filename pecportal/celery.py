"""The Celery app, and the whole timetable of the product on one screen."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pecportal.settings")

app = Celery("pecportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# name → (task, crontab fields in Europe/Rome or seconds). `manage.py seed_timetable` writes the missing ones into
# django-celery-beat, where ops edit them; beat_schedule itself stays empty, or beat would overwrite those edits.
# Nothing is scheduled between 02:00 and 03:00, an hour that some nights have twice and some not at all.
TIMETABLE: dict[str, tuple[str, dict[str, str] | int]] = {
    "lifecycle: the day": ("lifecycle.tasks.run_day", {"minute": "5", "hour": "0"}),
    "lifecycle: catch up": ("lifecycle.tasks.run_day", {"minute": "35", "hour": "*/3"}),
    "lifecycle: deletions under way": (  # 02:00–03:00 left out
        "lifecycle.tasks.finish_deletions",
        {"minute": "12,27,42,57", "hour": "0,1,3-23"},
    ),
    "lifecycle: go on after a kill": ("lifecycle.tasks.take_up", 300),
    "lifecycle: alarms": ("lifecycle.tasks.watch", 300),
    "payments: ask again": ("payments.tasks.sync_due", 60),
    "payments: fulfil what is paid": ("payments.tasks.fulfil_due", 60),
    "payments: activate what was bought": ("payments.tasks.activate_due", 60),
    "payments: webhooks left over": ("payments.tasks.work_off_left_over", 60),
    "payments: what the providers list": (  # 02:00–03:00 left out
        "payments.tasks.sync_listings",
        {"minute": "40", "hour": "0,1,3-23"},
    ),
    "payments: send refunds": ("payments.tasks.send_refunds", 60),
    "payments: reconcile": ("payments.tasks.reconcile", {"minute": "20", "hour": "4"}),
    "payments: automatic renewals": ("lifecycle.tasks.charge_due", {"minute": "10", "hour": "6"}),
    "payments: automatic renewals, catch up": ("lifecycle.tasks.charge_due", {"minute": "40", "hour": "*/3"}),
    "payments: forget removed methods": ("payments.tasks.forget_removed", {"minute": "20", "hour": "4"}),
    "payments: close setups left open": ("payments.tasks.close_left_open_setups", {"minute": "25", "hour": "4"}),
    "invoices: number and write": ("payments.tasks.issue_invoices", 60),
    "invoices: what was left": (  # 02:00–03:00 left out
        "payments.tasks.issue_what_was_left",
        {"minute": "50", "hour": "0,3,6,9,12,15,18,21"},
    ),
    "invoices: send to SdI": ("payments.tasks.send_invoices", 60),
    "invoices: receipts of SdI": ("payments.tasks.read_sdi_receipts", 300),
    "mailboxes: tell the platform": ("mailboxes.tasks.sync_platform", 60),
    "mailboxes: measure the space used": ("mailboxes.tasks.measure_space", 300),
    "lifecycle: what became of letters": ("lifecycle.tasks.read_outcomes", 60),
    "mail: send the queue": ("pecportal.tasks.send_mail", 60),
    "forget old mails and ended sessions": ("pecportal.tasks.forget", {"minute": "30", "hour": "5"}),
}
