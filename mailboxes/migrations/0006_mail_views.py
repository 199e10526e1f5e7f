from django.db import migrations

from mailboxes.migrations._mail_views import create, drop


class Migration(migrations.Migration):

    dependencies = [
        ('mailboxes', '0005_space_used'),
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(create(1), drop),
    ]
