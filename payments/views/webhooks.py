"""What providers tell us: a hint, stored once, worked off by a task (R18)."""

import logging

from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from payments import sync, tasks
from payments.models import ProviderEvent
from payments.providers import PROVIDERS, get_provider
from payments.providers.base import BadWebhookError

log = logging.getLogger(__name__)
MOST_BYTES = 256 * 1024  # events are a few kilobytes


@csrf_exempt
@login_not_required
@require_POST
def webhook(request: HttpRequest, provider: str, **kwargs: object) -> HttpResponse:
    """200 once it is stored, also a second time; 400 when it is not the provider's; 5xx only if storing fails."""
    if provider not in PROVIDERS:
        raise Http404
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > MOST_BYTES:
        return HttpResponse(status=413)
    try:
        hint = get_provider(provider).read_webhook(request)
    except BadWebhookError as error:
        log.warning("webhook of %s refused: %s", provider, error)
        return HttpResponse(status=400)
    # One insert and nothing read before it: providers send bursts, and wait for the answer.
    try:
        with transaction.atomic():
            event = sync.event_of(provider, hint)
            event.save(force_insert=True)
            # robust: the event is stored, so a broker that is away must not make the provider send it again
            transaction.on_commit(lambda: tasks.work_off_event.delay(event.pk), robust=True)
    except IntegrityError:
        if not ProviderEvent.objects.filter(provider=provider, event_id=hint.event_id).exists():
            raise  # not the constraint provider_event_once, which says that it came before
    return HttpResponse(status=200)
