from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = gettext_lazy("Account")

    def ready(self) -> None:
        from auditlog.registry import auditlog
        from django.contrib.auth.signals import user_logged_in

        from accounts import drafts, models

        user_logged_in.connect(drafts.on_sign_in, dispatch_uid="accounts.drafts.on_sign_in")
        auditlog.register(
            models.User, exclude_fields=["password", "last_login"], m2m_fields={"groups", "user_permissions"}
        )
        auditlog.register(models.BillingProfile, exclude_fields=["updated_at"])  # R32
