from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class MailboxesConfig(AppConfig):
    name = "mailboxes"
    verbose_name = gettext_lazy("Caselle")

    def ready(self) -> None:
        from auditlog.registry import auditlog

        from mailboxes.models import Holder, Plan, Price, VatRate

        for model in (Plan, Price, VatRate, Holder):  # who changed what, and from what (R32)
            auditlog.register(model)
