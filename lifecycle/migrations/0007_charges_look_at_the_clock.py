from django.db import migrations

OLD, NEW = "payments.tasks.charge_due", "lifecycle.tasks.charge_due"


def follow(apps, schema_editor):
    """The job's entries of the timetable name the task's new place, with whatever ops made of them."""
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task=OLD).update(task=NEW)


def back(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(task=NEW).update(task=OLD)


class Migration(migrations.Migration):
    dependencies = [
        ("lifecycle", "0006_notices_by_expiry"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(follow, back)]
