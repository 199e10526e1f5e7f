"""When something without an outcome is asked about again: after 1 and 5 minutes, an hour, then daily (R19)."""

from datetime import timedelta

CHECK_AFTER = (timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1))
DAILY = timedelta(days=1)


def wait(checks: int) -> timedelta:
    """How long after a check (the one before any is 0) the next one comes."""
    return CHECK_AFTER[checks] if checks < len(CHECK_AFTER) else DAILY
