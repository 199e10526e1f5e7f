"""Edges for the worker: one flow call each."""

from celery import shared_task

from mailboxes import telling


@shared_task
def sync_platform() -> None:
    """Tell the mail system what changed (a nudge, and every minute from beat)."""
    telling.tell_platform()
