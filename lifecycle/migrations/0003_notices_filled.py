import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('lifecycle', '0002_notices_and_deletion'),
    ]

    operations = [
        migrations.AlterField(
            model_name='notice',
            name='owner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='account'),
        ),
        migrations.AlterField(
            model_name='notice',
            name='told_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='inviato il'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'told'), ('told_at__isnull', False)), models.Q(models.Q(('state', 'told'), _negated=True), ('told_at', None)), _connector='OR'), name='notice_told_with_its_time'),
        ),
    ]
