"""Saved cards and accounts, as their provider knows them. Never a card number."""

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User


class StoredMethod(models.Model):
    """A saved card or account at a provider, of the login that gave it (R24b). Never a card number."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    login = models.ForeignKey(User, on_delete=models.PROTECT, related_name="stored_methods", verbose_name=_("login"))
    provider = models.CharField(_("gestore"), max_length=12)
    remote_id = models.CharField(max_length=120)
    label = models.CharField(_("come si chiama"), max_length=60)
    expires_month = models.PositiveSmallIntegerField(null=True, blank=True)
    expires_year = models.PositiveSmallIntegerField(null=True, blank=True)
    is_default = models.BooleanField(_("predefinito"), default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(_("tolto il"), null=True, blank=True)
    forgotten_at = models.DateTimeField(_("dimenticato dal gestore il"), null=True, blank=True)  # it said so itself

    class Meta:
        verbose_name = _("metodo di pagamento")
        verbose_name_plural = _("metodi di pagamento")
        constraints = [
            models.UniqueConstraint(fields=["provider", "remote_id"], name="stored_method_once"),
            models.UniqueConstraint(
                fields=["login"], condition=Q(is_default=True, removed_at=None), name="stored_method_one_default"
            ),
            models.CheckConstraint(
                condition=Q(forgotten_at=None) | Q(removed_at__isnull=False), name="stored_method_forgotten_if_removed"
            ),
        ]
        indexes = [
            models.Index(
                fields=["removed_at"],
                condition=Q(removed_at__isnull=False, forgotten_at=None),
                name="stored_method_to_forget",
            )
        ]

    def __str__(self) -> str:
        return self.label


class ProviderCustomer(models.Model):
    """How a provider calls a login of ours, where it keeps methods under a customer of its own."""

    login = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    provider = models.CharField(max_length=12)
    remote_id = models.CharField(max_length=120)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["login", "provider"], name="provider_customer_one_per_login"),
            models.UniqueConstraint(fields=["provider", "remote_id"], name="provider_customer_remote_once"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.remote_id}"


class MethodSetup(models.Model):
    """A method being saved without paying: the row before the call, found again on the way back (R19)."""

    class Status(models.TextChoices):
        OPEN = "open", _("In corso")
        DONE = "done", _("Salvato")
        FAILED = "failed", _("Non riuscito")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    login = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    provider = models.CharField(max_length=12)
    remote_id = models.CharField(max_length=120, blank=True)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.OPEN)
    # What the new method takes the place of: its automatic renewals move over (R24).
    replaces = models.ForeignKey(StoredMethod, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    method = models.ForeignKey(StoredMethod, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "remote_id"], condition=~Q(remote_id=""), name="method_setup_remote_once"
            )
        ]
        indexes = [models.Index(fields=["created_at"], condition=Q(status="open"), name="method_setup_left_open")]

    def __str__(self) -> str:
        return f"{self.provider} {self.status}"
