"""All settings, in sections. What differs between installations comes from the environment; README.md has the table."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import environ
import structlog
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent


class Env(environ.Env):
    """environ's own, but a value that cannot be read is named, and lists may have spaces after their commas."""

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            value = super().get_value(var, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} cannot be read: {error}.") from error
        if not isinstance(value, list):
            return value
        return [item for item in (i.strip() if isinstance(i, str) else i for i in value) if item != ""]


env = Env()
Env.read_env(env.str("ENV_FILE", default=str(BASE_DIR / ".env")))

# --- Which installation is this ---------------------------------------------------------------------------------------
# Development serves localhost only (ALLOWED_HOSTS), so an installation that forgot to say "production" answers nobody.
ENVIRONMENT = env.str("ENVIRONMENT", default="development")
if ENVIRONMENT not in ("development", "production"):
    raise ImproperlyConfigured(f"ENVIRONMENT must be 'development' or 'production', not {ENVIRONMENT!r}.")
PRODUCTION = ENVIRONMENT == "production"


def secret(name: str) -> str:
    """A secret: must be set in production, has a well-known value in development."""
    value = env.str(name, default="")
    if value:
        return value
    if PRODUCTION:
        raise ImproperlyConfigured(f"{name} is not set: in production every secret must be given in the environment.")
    return f"development-only-{name.lower()}-not-a-secret-0123456789abcdef"


def day(name: str, default: str, *, otherwise: str = "") -> date | None:
    """A date, or None for `otherwise`."""
    value = env.str(name, default=default)
    if value in ("", otherwise):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is a date such as 2027-01-31, not {value!r}.") from error


def folder(name: str, default: Path) -> Path:
    path = Path(env.str(name, default=str(default)))
    path.mkdir(parents=True, exist_ok=True)
    return path


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = secret("SECRET_KEY")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
TOMBSTONE_KEY = secret("TOMBSTONE_KEY")  # R30: its own key, so that rotating SECRET_KEY orphans no tombstone
SITE_URL = env.str("SITE_URL", default="http://localhost:8000").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if not PRODUCTION else [])
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS is empty: name the hosts this installation answers to.")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
VAR_DIR = folder("VAR_DIR", BASE_DIR / "var")

# --- The provider -----------------------------------------------------------------------------------------------------
PROVIDER_NAME = env.str("PROVIDER_NAME", default="Posta Esempio")
PROVIDER_SUPPORT_EMAIL = env.str("PROVIDER_SUPPORT_EMAIL", default="assistenza@posta.example")
PROVIDER_SUPPORT_URL = env.str("PROVIDER_SUPPORT_URL", default="")
PROVIDER_PRIVACY_URL = env.str("PROVIDER_PRIVACY_URL", default="")
ACCOUNT_DOMAIN = env.str("ACCOUNT_DOMAIN", default="pecportal.example").lower()
PEC_DOMAINS = [domain.lower() for domain in env.list("PEC_DOMAINS", default=["pec.example"])]
BANK_BENEFICIARY = env.str("BANK_BENEFICIARY", default="Posta Esempio S.p.A.")
BANK_IBAN = env.str("BANK_IBAN", default="" if PRODUCTION else "IT60X0542811101000000123456")
BANK_NAME = env.str("BANK_NAME", default="Banca di esempio")
POSTAL_ACCOUNT = "".join(env.str("POSTAL_ACCOUNT", default="").split())
OPS_EMAIL = env.str("OPS_EMAIL", default="ops@posta.example" if not PRODUCTION else "")

# --- Rules that an installation may tune ------------------------------------------------------------------------------
GRACE_DAYS = env.int("GRACE_DAYS", default=90)  # R13
ORDER_LAPSE_DAYS = env.int("ORDER_LAPSE_DAYS", default=90)  # R12b
CHARGE_DAYS_BEFORE = env.int("CHARGE_DAYS_BEFORE", default=7)  # R24
CHARGE_RETRY_DAYS = env.list("CHARGE_RETRY_DAYS", cast=int, default=[7, 5, 3, 1, 0])  # R24: days before the expiry
AUTO_NOTICE_DAYS = env.int("AUTO_NOTICE_DAYS", default=30)  # R25
if AUTO_NOTICE_DAYS < 30 or min(CHARGE_RETRY_DAYS, default=0) < 0:
    raise ImproperlyConfigured(
        "AUTO_NOTICE_DAYS is at least 30, the law's; CHARGE_RETRY_DAYS are days before the expiry, such as 7,3,0."
    )
NOTICE_DAYS = sorted(  # R27: days from the expiry, negative before it
    set(env.list("NOTICE_DAYS", cast=int, default=[-90, -60, -30, -15, -7, -1, 1, 30, 60, 83, 89]))
)
if NOTICE_DAYS and not -366 <= NOTICE_DAYS[0] <= NOTICE_DAYS[-1] <= 366:
    raise ImproperlyConfigured("NOTICE_DAYS are days from the expiry, such as -30,-7,1: from -366 to 366.")
DELETION_CAP_COUNT = env.int("DELETION_CAP_COUNT", default=100)  # R29: a day's run above both limits stops
DELETION_CAP_PERCENT = env.float("DELETION_CAP_PERCENT", default=0.5)
if DELETION_CAP_COUNT < 0 or not 0 <= DELETION_CAP_PERCENT <= 100:
    raise ImproperlyConfigured(
        "DELETION_CAP_COUNT is a number of boxes, 0 or more; DELETION_CAP_PERCENT is from 0 to 100."
    )
CLOCK_MAX_JUMP_DAYS = env.int("CLOCK_MAX_JUMP_DAYS", default=31)  # R28: more since the last run, and the clock is wrong
TRANSFER_BLACKOUT_DAYS = 15  # R29: transfer is not offered in the last days before deletion
IDLE_MINUTES = env.int("IDLE_MINUTES", default=30)  # R5
MAIL_KEEP_DAYS = env.int("MAIL_KEEP_DAYS", default=730)  # R33: how long a mail that was sent stays
if MAIL_KEEP_DAYS < 1:
    raise ImproperlyConfigured("MAIL_KEEP_DAYS is a number of days, at least 1.")
PAYMENT_PROVIDERS = env.list("PAYMENT_PROVIDERS", default=["transfer"] if PRODUCTION else ["sandbox", "transfer"])
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_PUBLISHABLE_KEY = env.str("STRIPE_PUBLISHABLE_KEY", default="")
STRIPE_WEBHOOK_SECRETS = env.list("STRIPE_WEBHOOK_SECRETS", default=[])  # several while one is being replaced
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="https://api.stripe.com").rstrip("/")
STRIPE_JS_URL = env.str("STRIPE_JS_URL", default="https://js.stripe.com/v3/")
MAILBOX_PLATFORM = env.str("MAILBOX_PLATFORM", default="mailboxes.platform.local.LocalPlatform")
# The next five are for mailboxes.platform.dovecot (docs/mail.md).
MAIL_DB_ROLE = env.str("MAIL_DB_ROLE", default="pecportal_mail")
MAIL_DB_PASSWORD = env.str("MAIL_DB_PASSWORD", default="")
MAIL_STORAGE = env.str("MAIL_STORAGE", default="/var/lib/pecportal-mail/boxes").rstrip("/")
DOVEADM_URL = env.str("DOVEADM_URL", default="http://localhost:8080").rstrip("/")
DOVEADM_KEY = env.str("DOVEADM_KEY", default="")
CURRENCY = "EUR"
PAYPAL_CLIENT_ID = env.str("PAYPAL_CLIENT_ID", default="")
PAYPAL_SECRET = env.str("PAYPAL_SECRET", default="")
PAYPAL_WEBHOOK_ID = env.str("PAYPAL_WEBHOOK_ID", default="")
PAYPAL_API_BASE = env.str("PAYPAL_API_BASE", default="https://api-m.paypal.com").rstrip("/")
PAYPAL_WEB_HOST = env.str("PAYPAL_WEB_HOST", default="https://www.paypal.com").rstrip("/")
PAYPAL_CERT_ORIGINS = env.list(
    "PAYPAL_CERT_ORIGINS", default=["https://api.paypal.com", "https://api.sandbox.paypal.com"]
)
VAT_RATE = Decimal("0.22")  # what catalogue.install() seeds; the dated rates in force are rows

# --- E-invoices -------------------------------------------------------------------------------------------------------
# Money from this day on is invoiced from here; `never`: another system does it, and nothing below is looked at.
INVOICES_FROM = day("INVOICES_FROM", "" if PRODUCTION else "2020-01-01", otherwise="never")
INVOICES_DECIDED = bool(env.str("INVOICES_FROM", default="" if PRODUCTION else "2020-01-01"))
INVOICE_SERIES = env.str("INVOICE_SERIES", default="PEC")
_example = not PRODUCTION
SELLER_NAME = env.str("SELLER_NAME", default="Posta Esempio S.p.A." if _example else "")
SELLER_PARTITA_IVA = env.str("SELLER_PARTITA_IVA", default="01234560157" if _example else "")
SELLER_CODICE_FISCALE = env.str("SELLER_CODICE_FISCALE", default=SELLER_PARTITA_IVA)
SELLER_ADDRESS = env.str("SELLER_ADDRESS", default="via dell'Industria 7" if _example else "")
SELLER_POSTAL_CODE = env.str("SELLER_POSTAL_CODE", default="20121" if _example else "")
SELLER_CITY = env.str("SELLER_CITY", default="Milano" if _example else "")
SELLER_PROVINCE = env.str("SELLER_PROVINCE", default="MI" if _example else "")
SELLER_REGIME = env.str("SELLER_REGIME", default="RF01")
SELLER_REA = env.str("SELLER_REA", default="MI-1234567" if _example else "")
SELLER_CAPITAL = env.str("SELLER_CAPITAL", default="1000000.00" if _example else "")
SELLER_SOLE_SHAREHOLDER = env.str("SELLER_SOLE_SHAREHOLDER", default="")
SELLER_IN_LIQUIDATION = env.bool("SELLER_IN_LIQUIDATION", default=False)
SPLIT_PAYMENT_UNTIL = day("SPLIT_PAYMENT_UNTIL", "2026-06-30", otherwise="always")  # art. 17-ter DPR 633/1972
SIGNING_KEY = env.str("SIGNING_KEY", default="")  # a PKCS#12 file
SIGNING_PASSWORD = env.str("SIGNING_PASSWORD", default="")
SDI_ROAD = env.str("SDI_ROAD", default="" if PRODUCTION else "folder")
SDI_TRANSMITTER = env.str("SDI_TRANSMITTER", default="")
SDI_FOLDER = Path(env.str("SDI_FOLDER", default=str(VAR_DIR / "sdi")))
SDI_MAIL_URL = env.str("SDI_MAIL_URL", default="")
SDI_MAIL_FROM = env.str("SDI_MAIL_FROM", default="")
SDI_MAIL_TO = env.str("SDI_MAIL_TO", default="sdi01@pec.fatturapa.it")

# --- Applications -----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",
    "allauth",
    "allauth.account",
    "auditlog",
    "csp",
    "django_celery_beat",
    "django_htmx",
    "django_prometheus",
    "health_check",
    "post_office",
    "accounts",
    "mailboxes",
    "renewals",
    "payments",
    "lifecycle",
    "pecportal.apps.PecportalConfig",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "pecportal.middleware.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.IdleMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "auditlog.middleware.AuditlogMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "pecportal.urls"
WSGI_APPLICATION = "pecportal.wsgi.application"
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["pecportal.formats", "pecportal.navigation"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "pecportal.context.frame",
            ],
        },
    }
]

# --- Database ---------------------------------------------------------------------------------------------------------
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{VAR_DIR / 'pecportal.sqlite3'}")}
if "ENGINE" not in DATABASES["default"]:
    raise ImproperlyConfigured("DATABASE_URL cannot be read: write it as postgres://user:password@host:5432/name.")
DATABASES["default"]["ATOMIC_REQUESTS"] = False
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif DATABASE_POOL := env.int("DATABASE_POOL", default=0):
    DATABASES["default"]["CONN_MAX_AGE"] = 0
    DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": DATABASE_POOL}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache, sessions --------------------------------------------------------------------------------------------------
REDIS_URL = env.str("REDIS_URL", default="")
if REDIS_URL:
    CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": REDIS_URL}}
else:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(folder("CACHE_DIR", VAR_DIR / "cache")),
        }
    }
CACHES["papers"] = {  # PDFs drawn lately: large, quickly drawn anew, and no business of Redis
    "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
    "LOCATION": str(VAR_DIR / "papers"),
    "TIMEOUT": 24 * 3600,
    "OPTIONS": {"MAX_ENTRIES": 1000},
}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
SESSION_COOKIE_AGE = 24 * 3600  # R5: the row outlives the idle limit, so that what was typed is still there
SESSION_SAVE_EVERY_REQUEST = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- Jobs -------------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.str("BROKER_URL", default=REDIS_URL or "filesystem://localhost")
if CELERY_BROKER_URL.startswith("filesystem"):
    _broker = folder("BROKER_DIR", VAR_DIR / "broker")
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_broker),
        "data_folder_out": str(_broker),
        "control_folder": str(folder("BROKER_CONTROL_DIR", VAR_DIR / "broker-control")),
        "polling_interval": 0.1,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": env.int("BROKER_VISIBILITY_TIMEOUT", default=3600)}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 290
CELERY_TIMEZONE = "Europe/Rome"
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_PUBLISH_RETRY = False  # a publish error must not hold a request: beat picks up what is due
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
DJANGO_CELERY_BEAT_TZ_AWARE = True

# --- Mail -------------------------------------------------------------------------------------------------------------
EMAIL_BACKEND = "post_office.EmailBackend"
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default=f"{PROVIDER_NAME} <noreply@posta.example>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
_mail = env.email_url("EMAIL_URL", default="filemail://")
EMAIL_HOST = _mail.get("EMAIL_HOST") or ""
EMAIL_PORT = _mail.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = _mail.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = _mail.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 20
EMAIL_FILE_PATH = str(folder("MAIL_DIR", VAR_DIR / "mail"))
POST_OFFICE = {
    "BACKENDS": {"default": _mail["EMAIL_BACKEND"]},
    "CELERY_ENABLED": False,  # its sender claims nothing: our own task sends, one at a time
    "DEFAULT_PRIORITY": "medium",
    "SENDING_ORDER": ["-priority", "id"],
    "BATCH_DELIVERY_TIMEOUT": 60,  # seconds: with the sender's own limit, below that of a task
    # A mail that the relay puts off is tried again after 5 minutes, then ever later (pecportal.relay): 64 times are
    # five days, as long as mail servers try themselves. An outage of the whole relay counts for nothing.
    "MAX_RETRIES": 64,
    "RETRY_INTERVAL": timedelta(minutes=5),
    "MESSAGE_ID_ENABLED": True,
    "MESSAGE_ID_FQDN": ACCOUNT_DOMAIN,
}

# --- Sign-in ----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.AccountBackend", "mailboxes.backends.MailboxBackend"]
MAILBOX_HOSTED_CHECK = "mailboxes.hosting.is_hosted"  # the one dotted path by which accounts reaches right (R3)
PASSWORD_HASHERS = [
    "accounts.hashers.MailboxArgon2Hasher",
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.passwords.NotTheLoginValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "area:home"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
ACCOUNT_PRESERVE_USERNAME_CASING = False
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_LOGOUT_REDIRECT_URL = "/accesso/"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_RATE_LIMITS = {"login_failed": "30/m/ip,5/5m/key", "reset_password": "10/m/ip,5/m/key"}
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXIES", default=0)

# --- Language, time ---------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "it"
LANGUAGES = [("it", "Italiano"), ("en", "English")]
LANGUAGE_COOKIE_NAME = "lingua"
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Europe/Rome"

# --- Static files -----------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
MEDIA_ROOT = VAR_DIR / "media"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": env.str("STATICFILES_BACKEND", default="whitenoise.storage.CompressedManifestStaticFilesStorage")
    },
}
WHITENOISE_USE_FINDERS = DEBUG

# --- Security ---------------------------------------------------------------------------------------------------------
HTTPS = env.bool("HTTPS", default=PRODUCTION)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", default=False) else None
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
CONTENT_SECURITY_POLICY = {
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    },
}
ADMIN_CONTENT_SECURITY_POLICY = {  # /admin/ alone: what unfold needs (pecportal.middleware sets it)
    "default-src": [SELF],
    "script-src": [SELF, UNSAFE_EVAL, UNSAFE_INLINE],
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
    "object-src": [NONE],
    "base-uri": [SELF],
    "frame-ancestors": [NONE],
    "form-action": [SELF],
}

# --- Monitoring -------------------------------------------------------------------------------------------------------
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# --- Admin ------------------------------------------------------------------------------------------------------------
_blues = {  # the brand colour of static/css/tokens.css at 600, as the scale that unfold wants
    "50": ".97 .014", "100": ".935 .03", "200": ".88 .06", "300": ".80 .1", "400": ".71 .13", "500": ".60 .15",
    "600": ".48 .14", "700": ".43 .13", "800": ".37 .11", "900": ".31 .09", "950": ".24 .07",
}  # fmt: skip
UNFOLD = {
    "SITE_TITLE": PROVIDER_NAME,
    "SITE_HEADER": PROVIDER_NAME,
    "SHOW_HISTORY": True,
    "SIDEBAR": {"show_search": True, "navigation": "pecportal.admin.menu"},
    "COLORS": {"primary": {step: f"oklch({light} 252)" for step, light in _blues.items()}},
}

# --- Logs -------------------------------------------------------------------------------------------------------------
# structlog's own tracebacks print every local variable: people's data, and minutes of work. Python's print none.
_for_machines = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
_for_people = [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
_render = _for_machines if PRODUCTION else _for_people
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "structlog.stdlib.ProcessorFormatter",
            "foreign_pre_chain": [
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_render],
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "stripe": {"level": "WARNING"},  # it would write every call, with its address
        "weasyprint": {"level": "ERROR"},  # of every style sheet it tells the rules it does not know
        "fontTools": {"level": "WARNING"},  # it would write twenty lines a document
        "django.server": {"handlers": ["console"], "propagate": False},
        # Its errors name the recipient (R33): the queue's own log in admin has them, and pecportal.relay counts them.
        # Named here, or post_office would add a handler of its own.
        "post_office": {"handlers": ["console"], "level": "CRITICAL", "propagate": False},
    },
}
