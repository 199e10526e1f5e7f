"""Edges for the worker: ids in, one flow call each. Every one is a nudge that beat repeats."""

import logging
import time
from datetime import timedelta

from celery import shared_task
from django.conf import settings

from payments import auto_renewal, reconciliation, refunds, setups, sync, wallet
from payments.invoicing import answers, sending, sweeps
from payments.models import ProviderEvent
from payments.providers import PROVIDERS
from pecportal import clock
from renewals import activation

log = logging.getLogger(__name__)
LISTED = timedelta(hours=26)  # a day and an hour more: what a broken hour missed, later ones find
SECONDS = 200  # a task ends by itself, well before the worker's hard limit


@shared_task
def fulfil_due() -> None:
    sync.fulfil_due()


@shared_task
def activate_due() -> None:
    activation.activate_due(on_active=auto_renewal.after_activation)


@shared_task
def sync_due() -> None:
    sync.sync_due()


@shared_task
def send_refunds() -> None:
    refunds.send_due()


@shared_task
def forget_removed() -> None:
    wallet.forget_removed()


@shared_task
def close_left_open_setups() -> None:
    setups.close_left_open()


@shared_task
def sync_listings() -> None:
    for name in PROVIDERS:
        if name in settings.PAYMENT_PROVIDERS:
            try:
                sync.sync_listing(name, clock.now() - LISTED)
                sync.take_told(name, clock.now() - LISTED)
            except Exception:  # one provider that does not answer must not keep the others waiting
                log.exception("what %s has could not be listed; it is tried again in an hour", name)


@shared_task
def work_off_event(event_id: int) -> None:
    sync.work_off_event(event_id)


@shared_task
def work_off_left_over() -> None:
    stop_at = time.monotonic() + SECONDS
    for event_id in (
        ProviderEvent.objects.filter(processed_at=None).order_by("received_at").values_list("pk", flat=True)[:200]
    ):
        if time.monotonic() >= stop_at:
            break
        try:
            sync.work_off_event(event_id)
        except Exception:  # one bad event must not keep the others waiting
            log.exception("event %s could not be worked off; it is tried again", event_id)


@shared_task
def reconcile() -> None:
    reconciliation.run()


@shared_task
def issue_invoices() -> None:
    sweeps.sweep()


@shared_task
def issue_what_was_left() -> None:
    sweeps.sweep_all()


@shared_task
def send_invoices() -> None:
    sending.send_due()


@shared_task
def read_sdi_receipts() -> None:
    answers.take_all()
