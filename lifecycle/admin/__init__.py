"""Staff's pages of what time does. Everything is read only."""

from . import boxes, notices, runs

__all__ = ["boxes", "notices", "runs"]
