from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class LifecycleConfig(AppConfig):
    name = "lifecycle"
    verbose_name = gettext_lazy("Scadenze")
