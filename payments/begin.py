"""From a page of ours to the provider's page and back: the addresses that payments.flows.start needs."""

from django.http import HttpRequest
from django.urls import reverse

from accounts.models import User
from payments import flows, methods
from payments.auto_renewal import CONSENT_TEXT_VERSION, PURCHASE_TEXT_VERSION
from payments.models import Payment
from renewals.models import Kind, Order


def start_online(request: HttpRequest, *, order: Order, user: User, provider: str, opted_out: bool) -> str:
    """Begin an attempt of a signed-in customer and return where to send the browser.

    `opted_out` is the tick "Non attivare il rinnovo automatico" (R23). Raises NotPayableError, UnknownPaymentError.
    """

    def return_url(payment: Payment) -> str:
        return request.build_absolute_uri(reverse("payments:return", args=[payment.public_id]))

    return flows.start(
        order_id=order.pk,
        provider=provider,
        user=user,
        auto_renewal_agreed=methods.switches_on(order) and not opted_out,
        consent_text_version=PURCHASE_TEXT_VERSION if order.kind == Kind.PURCHASE else CONSENT_TEXT_VERSION,
        return_url=return_url,
        cancel_url=request.build_absolute_uri(reverse("payments:outcome", args=[order.number]) + "?verifica"),
    )
