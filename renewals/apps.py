from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class RenewalsConfig(AppConfig):
    name = "renewals"
    verbose_name = gettext_lazy("Ordini")
