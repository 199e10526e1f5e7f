"""Our card page: Stripe's own field in it takes the number, which never reaches us (DESIGN §7)."""

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_not_required, login_required
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from payments import cards, setups, visitors
from payments.models import MethodSetup, Payment
from payments.providers.base import ProviderTimeoutError
from payments.screens import user_of
from pecportal.errors import RefusedError
from renewals.models import Order, targets_of


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def card(request: HttpRequest, payment_id: object, **kwargs: object) -> HttpResponse:
    """Give the card and pay. A card that is refused stays here with a sentence; all else goes to the return address."""
    payment = get_object_or_404(
        Payment.objects.select_related("order", "started_by"), public_id=payment_id, provider="stripe", method=None
    )
    if payment.started_by_id is None:
        if not visitors.may_pay(request, payment):
            raise Http404
    else:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if payment.started_by_id != request.user.pk:
            raise Http404
        if not Order.objects.visible_to(user_of(request)).filter(pk=payment.order_id).exists():
            raise Http404
    back = reverse("payments:return", args=[payment.public_id])
    if not payment.is_live or payment.closing:
        return redirect(back)
    refusal, secret = "", ""
    if request.method == "POST" and payment.sent_at is None:
        try:
            secret = cards.pay(payment, request.POST.get("setup_intent", "")[:120])
        except cards.ForeignSetupError as error:
            raise Http404 from error
        except RefusedError as error:
            refusal = str(error)
    elif payment.sent_at is not None:
        secret = cards.secret_to_confirm(payment)
    if not refusal and not secret and (request.method == "POST" or payment.sent_at is not None):
        return redirect(back)
    lines = list(payment.order.lines.select_related("mailbox__address", "domain", "address"))
    targets: list[object] = [*targets_of(lines), *(line.address for line in lines if line.address)]
    context: dict[str, object] = {
        "order": payment.order, "payment": payment, "box": targets[0] if len(targets) == 1 else None,
        "confirm_secret": secret, "back": back,
    }  # fmt: skip
    if not secret:
        context.update(_new_setup(payment, refusal))
    return _page(request, "payments/card.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def card_setup(request: HttpRequest, setup_id: object, **kwargs: object) -> HttpResponse:
    """Save a card without paying (R24b); of the login that began it only."""
    setup = get_object_or_404(
        MethodSetup.objects.select_related("login"), public_id=setup_id, provider="stripe", login=user_of(request)
    )
    refusal = ""
    if request.method == "POST":
        try:
            cards.keep(setup, request.POST.get("setup_intent", "")[:120])
        except cards.ForeignSetupError as error:
            raise Http404 from error
        except ProviderTimeoutError:
            refusal = str(cards.NoAnswerError())
        except RefusedError as error:
            refusal = str(error)
        setup.refresh_from_db()
    if setup.status != MethodSetup.Status.OPEN:
        return redirect("payments:method_return", setup_id=setup.public_id)  # it says what became of it
    context: dict[str, object] = {"setup": setup, "back": reverse("payments:methods")}
    context.update(_new_setup(setup, refusal))
    if context["setup_intent"]:
        setups.remember(setup, str(context["setup_intent"]))
    return _page(request, "payments/card_setup.html", context)


def _new_setup(row: Payment | MethodSetup, refusal: str) -> dict[str, object]:
    try:
        made = cards.open_setup(row)
    except RefusedError as error:
        return {"setup_secret": "", "setup_intent": "", "refusal": refusal or str(error)}
    return {"setup_secret": made.secret, "setup_intent": made.remote_id, "refusal": refusal}


def _page(request: HttpRequest, template: str, context: dict[str, object]) -> HttpResponse:
    """The page with Stripe's script; its content policy admits Stripe's hosts, on this page alone."""
    context |= {
        "stripe_js": settings.STRIPE_JS_URL, "publishable_key": settings.STRIPE_PUBLISHABLE_KEY,
        "stripe_locale": get_language() or "it",
    }  # fmt: skip
    response = render(request, template, context)
    response._csp_update = stripe_policy()  # type: ignore[attr-defined]  # what csp.decorators.csp_update sets
    return response


def stripe_policy() -> dict[str, list[str]]:
    """What Stripe's script needs (https://docs.stripe.com/security/guide#content-security-policy)."""
    script, api = _origin(settings.STRIPE_JS_URL), _origin(settings.STRIPE_API_BASE)
    scripts, frames = [script], [script]
    if script == "https://js.stripe.com":
        scripts.append("https://*.js.stripe.com")
        frames += ["https://*.js.stripe.com", "https://hooks.stripe.com"]
    connect = sorted({script, api})
    return {"script-src": ["'self'", *scripts], "frame-src": frames, "connect-src": ["'self'", *connect]}


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
