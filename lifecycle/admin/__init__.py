"""Staff's pages of what time does: runs, notices, deletions. Everything is changed by flows."""

from . import boxes, deletion, explained, notices, runs

__all__ = ["boxes", "deletion", "explained", "notices", "runs"]
