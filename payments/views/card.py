"""The card pages: the field is Stripe's own, no card number ever comes here. What it needs of other hosts is allowed on
these pages alone (their content policy)."""

from urllib.parse import urlsplit

from csp.constants import SELF
from django.conf import settings
from django.contrib.auth.decorators import login_not_required, login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from payments import flows, visitors
from payments.models import MethodSetup, Payment
from payments.providers.base import ProviderTimeoutError
from payments.providers.stripe import CardRefusedError, Stripe
from payments.screens import user_of

STRIPE_FRAMES = ("https://js.stripe.com", "https://hooks.stripe.com")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _with_policy(response: HttpResponse) -> HttpResponse:
    """django-csp adds these to the site's own policy, for this answer alone."""
    script, api = _origin(settings.STRIPE_JS_URL), _origin(settings.STRIPE_API_BASE)
    response._csp_update = {  # type: ignore[attr-defined]
        "script-src": [SELF, script], "frame-src": [script, *STRIPE_FRAMES], "connect-src": [SELF, api],
    }  # fmt: skip
    return response


def _attempt_or_404(request: HttpRequest, payment_id: object) -> Payment:
    """An attempt by card that whoever asks has begun: nobody else's exists (R1)."""
    payment = get_object_or_404(Payment.objects.select_related("order", "started_by"), public_id=payment_id)
    if payment.provider != Stripe.name or not visitors.may_pay(request, payment):
        raise Http404
    return payment


def _page(request: HttpRequest, secret: str, **context: object) -> HttpResponse:
    facts = {"secret": secret, "key": settings.STRIPE_PUBLISHABLE_KEY, "script": settings.STRIPE_JS_URL}
    return _with_policy(render(request, "payments/card.html", {**facts, **context}))


@login_not_required
@require_http_methods(["GET", "HEAD"])
@never_cache
def card(request: HttpRequest, payment_id: object, **kwargs: object) -> HttpResponse:
    """The page where a card is typed for an attempt; one that was sent or closed is led to how it came out."""
    payment = _attempt_or_404(request, payment_id)
    back = reverse("payments:return", args=[payment.public_id])
    if not payment.is_live or payment.sent_at is not None or payment.closing:
        return redirect(back)
    try:
        secret = Stripe().card_form(payment)
    except ProviderTimeoutError:
        return render(request, "payments/card_away.html", {"payment": payment}, status=503)
    context = {
        "payment": payment, "send_to": reverse("payments:card_pay", args=[payment.public_id]), "back": back,
        "cancel_url": reverse("payments:visitor_outcome" if payment.started_by is None else "payments:outcome",
                              args=[] if payment.started_by is None else [payment.order.number]) + "?verifica",
    }  # fmt: skip
    return _page(request, secret, **context)


@login_not_required
@require_POST
@never_cache
def card_pay(request: HttpRequest, payment_id: object, **kwargs: object) -> HttpResponse:
    """The card was typed: claim the attempt and ask for the money. Twice asks once (the claim)."""
    payment = _attempt_or_404(request, payment_id)
    back = {"next": reverse("payments:return", args=[payment.public_id])}
    provider = Stripe()
    try:
        card = provider.card_of(payment, request.POST.get("setup_intent", ""))
    except CardRefusedError as error:
        sentence = _("La banca non accetta questa carta: %(why)s. Non ti è stato addebitato nulla.")
        return JsonResponse({"error": sentence % {"why": error}}, status=402)
    except ProviderTimeoutError:
        sentence = _("La banca non risponde: non ti è stato addebitato nulla. Riprova fra un minuto.")
        return JsonResponse({"error": sentence}, status=503)
    if not flows.claim(payment.pk):
        return JsonResponse(back)
    payment.refresh_from_db()
    try:
        outcome, secret = provider.pay(payment, card)
    except ProviderTimeoutError as error:
        flows.note_unknown(payment.pk, str(error))
        return JsonResponse(back)
    flows.record_outcome(payment.pk, outcome)
    return JsonResponse({**back, "confirm": secret} if secret else back)


@login_required
@require_http_methods(["GET", "HEAD"])
@never_cache
def card_setup(request: HttpRequest, setup_id: object, **kwargs: object) -> HttpResponse:
    """The page where a card is saved without paying."""
    setup = get_object_or_404(MethodSetup, public_id=setup_id, login=user_of(request), provider=Stripe.name)
    back = reverse("payments:method_return", args=[setup.public_id])
    if setup.status != MethodSetup.Status.OPEN:
        return redirect(back)
    try:
        secret = Stripe().setup_form(setup)
    except ProviderTimeoutError:
        return render(request, "payments/card_away.html", {}, status=503)
    return _page(request, secret, back=back, cancel_url=reverse("payments:methods"))
