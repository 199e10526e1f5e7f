"""Edges for the worker: one flow call each."""

from celery import shared_task

from mailboxes import measuring, telling


@shared_task
def sync_platform() -> None:
    """Tell the mail system what changed (a nudge, and every minute from beat)."""
    telling.tell_platform()


@shared_task
def measure_space() -> None:
    """Ask the mail system how full the boxes are whose turn it is (every five minutes from beat)."""
    measuring.measure_due()
