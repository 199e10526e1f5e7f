"""Who is asking: logins, and the fiscal identities that invoices and holders share."""

from typing import ClassVar

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _


class UserManager(BaseUserManager["User"]):
    def create_user(self, username: str, password: str | None = None, **fields: object) -> "User":
        """Make a login. A login without a password cannot sign in until it sets one (activation, recovery)."""
        user = self.model(username=username.strip().lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, username: str, password: str | None = None, **fields: object) -> "User":
        return self.create_user(username, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(username=(username or "").lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A login: an account, which owns the contract, or a mailbox, whose username is its PEC address (R1)."""

    class Kind(models.TextChoices):
        ACCOUNT = "account", _("Account")
        MAILBOX = "mailbox", _("Casella")

    kind = models.CharField(_("tipo"), max_length=8, choices=Kind.choices, default=Kind.ACCOUNT)
    username = models.CharField(_("username"), max_length=254, unique=True)
    email = models.EmailField(_("e-mail"), blank=True, db_index=True)
    is_active = models.BooleanField(_("attivo"), default=True)
    is_staff = models.BooleanField(_("staff"), default=False)
    date_joined = models.DateTimeField(_("creato il"), auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("login")
        verbose_name_plural = _("login")
        constraints = [
            models.CheckConstraint(condition=Q(username=Lower("username")), name="user_username_lower"),
            models.CheckConstraint(condition=Q(kind="account") | Q(email=""), name="user_mailbox_has_no_email"),
            models.CheckConstraint(condition=Q(kind="account") | Q(is_staff=False), name="user_mailbox_is_not_staff"),
        ]

    def __str__(self) -> str:
        return self.username

    def check_password(self, raw_password: str | None) -> bool:
        """Whether this is the password. A hash whose cost is out of date is renewed, if it is still the one we read.

        Django's own writes it whatever happened meanwhile: a password changed in that moment would be the old again.
        """

        def renew(raw: str) -> None:
            read, self.password = self.password, make_password(raw)
            if not User.objects.filter(pk=self.pk, password=read).update(password=self.password):
                self.password = read

        return check_password(raw_password, self.password, renew)

    @property
    def is_mailbox(self) -> bool:
        return self.kind == self.Kind.MAILBOX

    def get_full_name(self) -> str:
        return self.username

    def get_short_name(self) -> str:
        return self.username


class FiscalIdentity(models.Model):
    """The fiscal data of a person or body: shared by billing profiles, holders and the copies that orders keep."""

    class Subject(models.TextChoices):
        PERSON = "person", _("Persona fisica")
        SOLE_TRADER = "sole_trader", _("Ditta individuale")
        PROFESSIONAL = "professional", _("Libero professionista")
        COMPANY = "company", _("Persona giuridica")
        PUBLIC_BODY = "public_body", _("Pubblica amministrazione")

    subject = models.CharField(_("tipo di soggetto"), max_length=12, choices=Subject.choices, default=Subject.PERSON)
    first_name = models.CharField(_("nome"), max_length=60, blank=True)
    last_name = models.CharField(_("cognome"), max_length=60, blank=True)
    company_name = models.CharField(_("ragione sociale o denominazione"), max_length=80, blank=True)
    codice_fiscale = models.CharField(_("codice fiscale"), max_length=16, blank=True)
    partita_iva = models.CharField(_("partita IVA"), max_length=11, blank=True)
    birth_date = models.DateField(_("data di nascita"), null=True, blank=True)
    representative_codice_fiscale = models.CharField(
        _("codice fiscale del legale rappresentante"), max_length=16, blank=True
    )
    address = models.CharField(_("indirizzo e numero civico"), max_length=60, blank=True)
    postal_code = models.CharField(_("CAP"), max_length=5, blank=True)
    city = models.CharField(_("comune"), max_length=60, blank=True)
    province = models.CharField(_("provincia"), max_length=2, blank=True)
    country = models.CharField(_("nazione"), max_length=2, default="IT")
    phone = models.CharField(_("telefono"), max_length=20, blank=True)

    # For a person, a sole trader and a professional the name is the subject's own; for a company or a public body
    # first_name and last_name are those of the legal representative.
    COPIED: ClassVar[tuple[str, ...]] = (
        "subject", "first_name", "last_name", "company_name", "codice_fiscale", "partita_iva", "birth_date",
        "representative_codice_fiscale", "address", "postal_code", "city", "province", "country", "phone",
    )  # fmt: skip

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        person = f"{self.first_name} {self.last_name}".strip()
        if self.subject in (self.Subject.COMPANY, self.Subject.PUBLIC_BODY, self.Subject.SOLE_TRADER):
            return self.company_name or person
        return person or self.company_name

    def own_fiscal_key(self) -> str:
        """Codice fiscale, else partita IVA, of the subject; a legal representative's code never counts."""
        return self.codice_fiscale or self.partita_iva

    def identity(self) -> dict[str, object]:
        """The shared fields as a dict, to copy one identity into another model."""
        return {name: getattr(self, name) for name in self.COPIED}


class InvoiceAddressee(FiscalIdentity):
    """A fiscal identity together with where its e-invoices go."""

    sdi_code = models.CharField(_("codice destinatario SDI"), max_length=7, blank=True)
    sdi_pec = models.EmailField(_("PEC per le fatture"), blank=True)
    is_consumer = models.BooleanField(_("consumatore"), default=False)

    COPIED: ClassVar[tuple[str, ...]] = (*FiscalIdentity.COPIED, "sdi_code", "sdi_pec", "is_consumer")

    class Meta:
        abstract = True


class BillingProfile(InvoiceAddressee):
    """Dati di fatturazione: the fiscal data of an account, from which its invoices are made."""

    user = models.OneToOneField(User, on_delete=models.PROTECT, related_name="billing", verbose_name=_("account"))
    fiscal_key = models.CharField(max_length=16, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("dati di fatturazione")
        verbose_name_plural = _("dati di fatturazione")
        constraints = [
            models.UniqueConstraint(fields=["fiscal_key"], name="billing_one_account_per_fiscal_key"),  # R2
            models.CheckConstraint(condition=~Q(fiscal_key=""), name="billing_fiscal_key_present"),
        ]

    def save(self, *args: object, **kwargs: object) -> None:
        self.fiscal_key = self.own_fiscal_key()
        super().save(*args, **kwargs)  # type: ignore[arg-type]
