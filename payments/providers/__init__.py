"""The providers that move money on-line. Transfer is not one: its money comes as receipts (payments.bank)."""

from django.conf import settings

from .base import Provider
from .paypal import PayPal
from .sandbox import Sandbox
from .stripe import Stripe

PROVIDERS: dict[str, type[Provider]] = {"sandbox": Sandbox, "stripe": Stripe, "paypal": PayPal}


def get_provider(name: str) -> Provider:
    """The provider of a payment, also when it is no longer offered. Raises KeyError on an unknown name."""
    return PROVIDERS[name]()


def offered() -> list[str]:
    """Methods this installation offers, in the order of the setting PAYMENT_PROVIDERS."""
    return [name for name in settings.PAYMENT_PROVIDERS if name in PROVIDERS or name == "transfer"]
